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
from maskwright.output.sample import read_sample, refuse_other_ids, refuse_repeated

Label = NDArray[np.uint8]


def write_class_strings(
    path: Path,
    block: ClassStringOutput,
    keys: Sequence[str],
    label_of: Callable[[str], Label],
    sample: Path | None = None,
) -> None:
    """Write a row for each item, its label row by row, one space between ids; the file is whole or absent.

    Args:
        path: the CSV file.
        block: columns, and the size that labels are brought to.
        keys: items, all different, in the order of rows.
        label_of: gives an item's label, uint8 (H, W) of class ids.
        sample: sample submission whose header is followed, and whose ids and order if it has rows.

    Raises:
        InputError: the sample has another header, other ids than the items, or one twice.
        StorageError: disk full or no permission.
    """
    assert len(set(keys)) == len(keys), "keys must be distinct"
    header, ordered = (block.key_column, block.label_column), tuple(keys)
    if sample is not None:
        header, ordered = _as_sample(sample, block, ordered)
    with (
        atomic_path(path) as temporary,
        temporary.open("w", encoding="utf-8", errors="surrogateescape", newline="") as stream,
    ):
        writer = csv.writer(stream, lineterminator="\n")
        writer.writerow(header)
        for key in ordered:
            label = label_of(key)
            sized = label if block.size is None else nearest(label, block.size)
            text = " ".join(map(str, sized.reshape(-1).tolist()))
            cells = {block.key_column: key + block.key_extension, block.label_column: text}
            writer.writerow([cells[column] for column in header])


def _as_sample(
    sample: Path, block: ClassStringOutput, keys: tuple[str, ...]
) -> tuple[tuple[str, str], tuple[str, ...]]:
    """Return the header of a sample, and the keys in its order if it has rows."""
    table = read_sample(sample, (block.key_column, block.label_column), "key_column and label_column")
    header = table.header[0], table.header[1]
    if not table.rows:
        return header, keys
    ids, by_id = table.column(block.key_column), {key + block.key_extension: key for key in keys}
    refuse_other_ids(sample, ids, by_id)
    refuse_repeated(table, ids, "id '{}'", "mend the sample")
    return header, tuple(by_id[name] for name in ids)


def nearest(label: Label, size: Shape) -> Label:
    """Return a label of another size, each pixel that in which its corner lies: floor(i H / h), as OpenCV does.

    Args:
        label: uint8 (H, W).
        size: (h, w).
    """
    rows, cols = (np.arange(new) * old // new for old, new in zip(label.shape, size, strict=True))
    return np.ascontiguousarray(label[np.ix_(rows, cols)])
