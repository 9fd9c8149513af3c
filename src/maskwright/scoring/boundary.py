"""Boundary IoU: hits and misses counted only in a band inside each outline, where fine masks differ from coarse."""

from __future__ import annotations

from math import hypot

import numpy as np
from numpy.typing import NDArray

from maskwright.core.labels import Task
from maskwright.scoring.counts import Counts

SHARE = 0.02
"""Width of the band as a share of the image's diagonal."""


def band(mask: NDArray[np.bool_], width: int) -> NDArray[np.bool_]:
    """Return the pixels of a mask within `width` of its outline; the image's edge is an outline too.

    Args:
        mask: bool (H, W).
        width: pixels, >= 1, measured along rows, columns and diagonals alike.
    """
    padded = np.pad(mask, width).astype(np.int32)
    sums = np.pad(padded.cumsum(0).cumsum(1), ((1, 0), (1, 0)))
    side = 2 * width + 1
    inside = sums[side:, side:] - sums[:-side, side:] - sums[side:, :-side] + sums[:-side, :-side]
    return np.asarray(mask & (inside < side * side))


def count_boundary(
    truth: NDArray[np.uint8], predicted: NDArray[np.uint8], valid: NDArray[np.bool_], task: Task, share: float = SHARE
) -> Counts:
    """Count in the bands inside the outlines of truth and prediction; the IoU of these counts is Boundary IoU.

    Pixels that are not valid count in no band, and are no outline. Source: Cheng et al. 2021, Boundary IoU, eq. 3.

    Args:
        truth: label as in core/labels.py.
        predicted: the same form.
        valid: bool (H, W).
        task: gives the classes.
        share: width of the band as a share of the diagonal, at least one pixel.
    """
    width = max(1, round(share * hypot(*valid.shape)))
    found = Counts.zero(task.planes)
    columns = []
    for plane in range(task.planes):
        masks = [_plane(label, plane, task) for label in (truth, predicted)]
        true, guess = (band(mask | ~valid, width) & mask & valid for mask in masks)
        hit = int((true & guess).sum())
        columns.append((hit, int(guess.sum()) - hit, int(true.sum()) - hit, int((valid & ~true & ~guess).sum())))
    return found + Counts(*np.array(columns, np.int64).T)


def _plane(label: NDArray[np.uint8], plane: int, task: Task) -> NDArray[np.bool_]:
    if task.kind == "multilabel":
        return np.asarray(label[plane] > 0)
    return np.asarray(label == (1 if task.kind == "binary" else plane))
