"""Count the objects of each class, the connected pieces of its pixels, and sort them by area."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from maskwright.core.labels import Task
from maskwright.data.pixels.header import Valid

AREA_BINS = 32
"""Bin b counts objects of 2^b to 2^(b+1) - 1 pixels."""
HIDDEN = 255
"""Stands for pixels that do not count; class ids end at 253."""


class Objects(NamedTuple):
    """The objects of one item."""

    counts: tuple[int, ...]
    """Of each value of the task, or of each plane for multilabel."""
    areas: NDArray[np.int64]
    """int64 (values or planes, AREA_BINS): how many objects of each size."""


def count_objects(label: NDArray[np.uint8], valid: Valid, task: Task) -> Objects:
    """Count the connected pieces of an item; pixels that touch at a corner belong together.

    Args:
        label: (H, W), or (K, H, W) for multilabel.
        valid: (H, W); other pixels belong to no piece.
        task: gives the values.
    """
    hidden = None if valid.all() else ~valid
    if task.kind != "multilabel":
        seen = label if hidden is None else np.where(hidden, np.uint8(HIDDEN), label)
        areas = _areas(seen, HIDDEN, len(task.values))
    else:
        areas = np.zeros((task.planes, AREA_BINS), np.int64)
        for plane, mask in enumerate(label):
            if mask.any():
                areas[plane] = _areas(mask, 0, 2)[1]
    return Objects(tuple(int(count) for count in areas.sum(1)), areas)


def _areas(label: NDArray[np.uint8], skip: int, values: int) -> NDArray[np.int64]:
    """Return for each value how many pieces of each size there are."""
    from maskwright.data.audit import kernels as audit_kernels

    flat = np.ascontiguousarray(label).reshape(-1)
    room = audit_kernels.changes(flat) + label.shape[0] + 1
    runs, parents = np.empty(4 * room, np.int64), np.empty(room, np.int64)
    total = audit_kernels.components(flat, label.shape[1], skip, runs, parents)
    pieces = runs[: 4 * total].reshape(-1, 4)
    pieces = pieces[pieces[:, 3] > 0]
    bins = np.minimum(np.frexp(pieces[:, 3].astype(np.float64))[1] - 1, AREA_BINS - 1)
    table = np.bincount(pieces[:, 0] * AREA_BINS + bins, minlength=values * AREA_BINS)
    return table[: values * AREA_BINS].reshape(values, AREA_BINS)
