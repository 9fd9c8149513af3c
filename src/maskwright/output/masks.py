"""Write a label as single-channel PNG masks at native size, palette included."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from maskwright.core.files import atomic_path, safe_name, stored_name
from maskwright.core.labels import Task

if TYPE_CHECKING:
    from PIL import Image

BINARY_BACKGROUND = (0, 0, 0)
"""Palette colour of what is not the foreground of a binary task."""


def mask_paths(folder: Path, key: str, task: Task) -> list[Path]:
    """Return where `write_mask` puts an item, so that finished items can be skipped.

    Args:
        folder: folder of masks.
        key: item key; each `/` becomes a sub-folder, other unusual characters %XX.
        task: multilabel gives one path for each class, in class order; the others give one.
    """
    if task.kind == "multilabel":
        return [folder / stored_name(key) / f"{safe_name(name)}.png" for name in task.classes]
    return [folder / f"{stored_name(key)}.png"]


def write_mask(
    folder: Path, key: str, label: NDArray[np.uint8], task: Task, values: Mapping[int, int] | None = None
) -> list[Path]:
    """Write one item's label; each file is whole or absent, and equal labels give equal bytes.

    Args:
        folder: folder of masks; it is made.
        key: item key, e.g. `sub/img_1`, which becomes `sub/img_1.png`.
        label: uint8 (H, W) of class ids; multilabel (K, H, W) of 0 and 1.
        task: gives classes and palette.
        values: class id -> stored value 0..255, written as plain grey; None: ids as palette indices.
            Multilabel planes are always stored as 0 and 255.

    Returns:
        The files written: one, or for multilabel one a class, `<key>/<class>.png`.

    Raises:
        StorageError: disk full or no permission; no partial file keeps a final name.
    """
    paths = mask_paths(folder, key, task)
    if task.kind == "multilabel":
        assert label.ndim == 3, label.shape
        for path, plane in zip(paths, label, strict=True):
            _save(path, _grey(plane, {0: 0, 1: 255}))
        return paths
    assert label.ndim == 2, label.shape
    picture = _indexed(label, task) if values is None else _grey(label, values)
    _save(paths[0], picture)
    return paths


def _grey(label: NDArray[np.uint8], values: Mapping[int, int]) -> Image.Image:
    from PIL import Image

    table = np.zeros(256, np.uint8)
    for value, stored in values.items():
        table[value] = stored
    assert label.size == 0 or int(label.max()) in values, (int(label.max()), dict(values))
    return Image.fromarray(table[label])


def _indexed(label: NDArray[np.uint8], task: Task) -> Image.Image:
    from PIL import Image

    assert label.size == 0 or int(label.max()) in task.values, (int(label.max()), task.values)
    rows = task.palette.tolist()
    colours = [list(BINARY_BACKGROUND), *rows] if task.kind == "binary" else rows
    picture = Image.fromarray(np.ascontiguousarray(label))
    picture.putpalette([channel for row in colours for channel in row])
    return picture


def _save(path: Path, picture: Image.Image) -> None:
    with atomic_path(path) as temporary, temporary.open("wb") as stream:
        picture.save(stream, format="PNG", bits=8)  # fewer bits a pixel trip simple readers and save nothing
