"""Turn a raster mask into a label, whatever it encodes: class ids, colours, objects, or one plane for each class."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping
from functools import lru_cache
from pathlib import Path
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from maskwright.core.errors import InputError
from maskwright.core.grid import Shape
from maskwright.core.labels import IGNORE, Task, apply_value_map
from maskwright.core.recipe.source_clashes import colours_of
from maskwright.core.recipe.sources import MaskBlock
from maskwright.data.labels.instances import levels, touching
from maskwright.data.labels.palettes import Rgb, classify
from maskwright.data.labels.soft import Planes, harden, known, to_bytes
from maskwright.data.pixels.rasters import read_colours, read_mask_and_nodata
from maskwright.data.sources.base import Defaults, Label, Valid

PLANE_VALUES: dict[int, int | Literal["ignore"]] = {0: 0, 1: 1, 255: 1}
"""What planes hold unless the recipe says otherwise: 255 as we write them, 1 as others do."""


class Masked(Defaults, ABC):
    """What sources of mask files share: labels may be probabilities."""

    block: MaskBlock
    """What the masks hold."""

    @abstractmethod
    def by_plane(self, key: str) -> Mapping[int, Path]:
        """Return plane -> mask of an item; a lone mask is that of plane 0."""

    @property
    def soft(self) -> bool:
        """Whether labels are probabilities."""
        return self.block.encoding == "soft"

    def read_soft(self, key: str, shape: Shape, task: Task) -> tuple[Planes, Valid]:
        """Read the probabilities of an item; see Source."""
        return read_soft(self.by_plane(key), shape, task) if self.soft else super().read_soft(key, shape, task)

    def read_hard(self, key: str, shape: Shape, task: Task) -> tuple[Label, Valid]:
        """Read the likeliest label of an item whose labels are probabilities."""
        probabilities, valid = self.read_soft(key, shape, task)
        return harden(probabilities, task), valid


def read_encoded(path: Path, shape: Shape, task: Task, block: MaskBlock) -> tuple[Label, Valid]:
    """Read a mask of any encoding but planes.

    Args:
        path: the mask.
        shape: (H, W) of its image in pixels.
        task: gives classes, values and ignore.
        block: encoding, values, palette, target and border.

    Returns:
        label uint8 (H, W), 0 where not valid; valid bool (H, W).

    Raises:
        InputError: it cannot be read, has another size, or holds what the recipe does not declare.
    """
    return ENCODINGS[block.encoding](path, shape, task, block)


def read_planes(paths: Mapping[int, Path], shape: Shape, task: Task, block: MaskBlock) -> tuple[Label, Valid]:
    """Read the masks of the classes of one item; a class without a mask is absent everywhere.

    Args:
        paths: plane -> mask.
        shape: (H, W) of the image in pixels.
        task: multilabel.
        block: values; a pixel that one plane ignores does not count in any.

    Returns:
        label uint8 (K, H, W) of 0 and 1, 0 where not valid; valid bool (H, W).
    """
    label, valid = np.zeros((task.planes, *shape), np.uint8), np.ones(shape, bool)
    values = PLANE_VALUES if block.values is None else block.values
    for plane, path in paths.items():
        label[plane], known = _mapped(path, shape, task, values)
        valid &= known
    if not valid.all():
        label[:, ~valid] = 0
    return label, valid


def read_soft(paths: Mapping[int, Path], shape: Shape, task: Task) -> tuple[Planes, Valid]:
    """Read the probabilities of one item; a plane without a mask is 0 everywhere.

    Args:
        paths: plane -> mask; the one of a binary task is plane 0.
        shape: (H, W) of the image in pixels.
        task: what is predicted.

    Returns:
        uint8 (K, H, W), 255 being probability 1, 0 where not valid; valid bool (H, W).
    """
    planes, valid = np.zeros((task.planes, *shape), np.uint8), np.ones(shape, bool)
    for plane, path in paths.items():
        raw, nodata = read_mask_and_nodata(path, shape[0] * shape[1], shape)
        planes[plane] = to_bytes(raw, path)
        if nodata not in (None, 0):
            valid &= raw != nodata
    valid &= known(planes, task, next(iter(paths.values()), Path()))
    if not valid.all():
        planes[:, ~valid] = 0
    return planes, valid


def _index(path: Path, shape: Shape, task: Task, block: MaskBlock) -> tuple[Label, Valid]:
    return _mapped(path, shape, task, block.values)


def _mapped(
    path: Path, shape: Shape, task: Task, values: Mapping[int, int | Literal["ignore"]] | None
) -> tuple[Label, Valid]:
    """Read a mask and map its values.

    A nodata value that a TIFF names is ignored where the task gives it no other meaning: many
    writers name 0, which is background all the same.
    """
    raw, nodata = read_mask_and_nodata(path, shape[0] * shape[1], shape)
    return map_values(raw, nodata, task, values, path)


def map_values(
    raw: NDArray[np.integer],
    nodata: int | None,
    task: Task,
    values: Mapping[int, int | Literal["ignore"]] | None,
    path: Path,
) -> tuple[Label, Valid]:
    """Turn raw values into classes; nodata is ignored where the task gives it no other meaning.

    Args:
        raw: integer (H, W).
        nodata: value that the file names so; None: none.
        task: gives values and ignore.
        values: the recipe's map; None: raw values are class ids.
        path: for messages.
    """
    if nodata is not None and nodata not in (task.values if values is None else values):
        own: dict[int, int | Literal["ignore"]] = {value: value for value in task.values}
        values = {**(own if values is None else values), nodata: "ignore"}
    return apply_value_map(raw, task, values, str(path))


def _rgb(path: Path, shape: Shape, task: Task, block: MaskBlock) -> tuple[Label, Valid]:
    """Read a mask of colours; transparent pixels do not count, whatever colour they have."""
    colours, opaque = read_colours(path, shape)
    label, valid = classify(colours, opaque, _codes(block, task), str(path))
    return label, valid


@lru_cache(maxsize=8)
def _coded(names: tuple[tuple[str, tuple[Rgb, ...]], ...], classes: tuple[str, ...]) -> dict[Rgb, tuple[str, int]]:
    return {
        colour: (name, IGNORE if name == "ignore" else classes.index(name))
        for name, colours in names
        for colour in colours
    }


def _codes(block: MaskBlock, task: Task) -> dict[Rgb, tuple[str, int]]:
    return _coded(tuple(colours_of(block, task).items()), task.value_names)


def _instances(path: Path, shape: Shape, task: Task, block: MaskBlock) -> tuple[Label, Valid]:
    """Read an instance map: 0 is background, each other value an object; nodata and task.ignore do not count."""
    raw, nodata = read_mask_and_nodata(path, shape[0] * shape[1], shape)
    valid = np.ones(shape, bool)
    for value in {nodata, task.ignore} - {None, 0}:
        valid &= raw != value
    if not valid.all():
        raw = np.where(valid, raw, np.zeros((), raw.dtype))
    if raw.dtype.kind == "i" and raw.size and raw.min() < 0:
        raise InputError(
            f"an instance map holds {int(raw.min())}; 0 is background and objects are numbered from 1",
            where=path,
            fix="mend it, or set task.ignore if the value means unknown",
            kind="undeclared_instance",
        )
    if block.target == "border":
        return touching(raw, block.border), valid
    if block.target == "distance":
        return levels(raw, len(task.classes) - 1), valid
    return (raw != 0).view(np.uint8), valid


ENCODINGS: dict[str, Callable[[Path, Shape, Task, MaskBlock], tuple[Label, Valid]]] = {
    "index": _index,
    "rgb": _rgb,
    "instances": _instances,
}
"""Encoding of one file -> the function that reads it."""
