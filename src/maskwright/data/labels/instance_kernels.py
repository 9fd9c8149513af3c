"""Compiled pass that finds where each object of a map lies."""

from __future__ import annotations

import numpy as np
from numba import types
from numpy.typing import NDArray

from maskwright.core.compiled import NUMBERS, NUMBERS_OUT, kernel


@kernel(types.void(NUMBERS, types.int64, NUMBERS_OUT))
def find_boxes(ids: NDArray[np.int64], width: int, boxes: NDArray[np.int64]) -> None:
    """Widen the box of each object by its pixels.

    Args:
        ids: a number >= 0 for each pixel, row by row; 0 is no object.
        width: pixels of a row.
        boxes: four numbers for each id from 0: first row, last row, first column, last column;
            changed in place. Before, the first ones are larger than any row or column, the last ones -1.
    """
    row, column = 0, 0
    for pixel in range(ids.size):
        place = 4 * ids[pixel]
        if place:
            boxes[place] = min(boxes[place], row)
            boxes[place + 1] = max(boxes[place + 1], row)
            boxes[place + 2] = min(boxes[place + 2], column)
            boxes[place + 3] = max(boxes[place + 3], column)
        column += 1
        if column == width:
            row, column = row + 1, 0
