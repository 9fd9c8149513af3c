"""Write a submission that holds a class id for each pixel as text."""

from __future__ import annotations

import csv
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from maskwright.core.files import atomic_path
from maskwright.core.grid import Shape
from maskwright.core.recipe.outputs import ClassStringOutput

Label = NDArray[np.uint8]


def write_class_strings(
    path: Path, block: ClassStringOutput, keys: Sequence[str], label_of: Callable[[str], Label]
) -> None:
    """Write a row for each item, its label row by row, one space between ids; the file is whole or absent.

    Args:
        path: the CSV file.
        block: columns, and the size that labels are brought to.
        keys: items, all different, in the order of rows.
        label_of: gives an item's label, uint8 (H, W) of class ids.

    Raises:
        StorageError: disk full or no permission.
    """
    assert len(set(keys)) == len(keys), "keys must be distinct"
    with (
        atomic_path(path) as temporary,
        temporary.open("w", encoding="utf-8", errors="surrogateescape", newline="") as stream,
    ):
        writer = csv.writer(stream, lineterminator="\n")
        writer.writerow([block.key_column, block.label_column])
        for key in keys:
            label = label_of(key)
            sized = label if block.size is None else nearest(label, block.size)
            writer.writerow([key + block.key_extension, " ".join(map(str, sized.reshape(-1).tolist()))])


def nearest(label: Label, size: Shape) -> Label:
    """Return a label of another size, each pixel that in which its corner lies: floor(i H / h), as OpenCV does.

    Args:
        label: uint8 (H, W).
        size: (h, w).
    """
    rows, cols = (np.arange(new) * old // new for old, new in zip(label.shape, size, strict=True))
    return np.ascontiguousarray(label[np.ix_(rows, cols)])
