"""Compiled halves of shapes.py: COCO's text to run lengths and back, polygons to where lines of pixels turn on or off.

Nothing here raises, and nothing is written outside its arrays: reading returns a status that shapes.py
puts into words, and functions that may need more room say how much, as if they had it.
"""

from __future__ import annotations

import math

import numpy as np
from numba import types
from numpy.typing import NDArray

from maskwright.core.compiled import BYTES, BYTES_OUT, NUMBERS, NUMBERS_OUT, helper, kernel

Bytes = NDArray[np.uint8]
Numbers = NDArray[np.int64]
Reals = NDArray[np.float64]

REALS = types.Array(types.float64, 1, "C", readonly=True)
FINE, NOT_A_DIGIT, UNENDED, TOO_LARGE = range(4)
FINER = 5
"""COCO draws outlines on a grid this many times finer than the pixels."""
_MOST_DIGITS = 7
"""Of 5 bits each: more than 32 bits are no run length."""
WIDEST = 8
"""Characters one run length can need."""


@kernel(types.UniTuple(types.int64, 3)(BYTES, NUMBERS_OUT))
def read_counts(text: Bytes, counts: Numbers) -> tuple[int, int, int]:
    """Read COCO's compressed run lengths: 5 bits a character, from the fourth on the difference to the last but one.

    Args:
        text: the characters.
        counts: room for one number each character.

    Returns:
        Status, how many were read, and the character that is wrong.
    """
    count = place = 0
    while place < text.size:
        value, digit, more = 0, 0, True
        while more:
            if place >= text.size:
                return UNENDED, count, place - 1
            code = int(text[place]) - 48
            if code < 0 or code > 63:
                return NOT_A_DIGIT, count, place
            if digit >= _MOST_DIGITS:
                return TOO_LARGE, count, place
            value |= (code & 31) << (5 * digit)
            more = (code & 32) != 0
            place += 1
            digit += 1
            if not more and (code & 16) != 0:
                value -= 1 << (5 * digit)
        if count > 2:
            value += counts[count - 2]
        counts[count] = value
        count += 1
    return FINE, count, place


@kernel(types.int64(NUMBERS, BYTES_OUT))
def write_counts(counts: Numbers, text: Bytes) -> int:
    """Write run lengths as COCO's text; return the characters written, WIDEST a number at most."""
    place = 0
    for index in range(counts.size):
        value = counts[index] - (counts[index - 2] if index > 2 else 0)
        more = True
        while more:
            code = value & 31
            value >>= 5
            more = value != -1 if code & 16 else value != 0
            text[place] = np.uint8((code | 32 if more else code) + 48)
            place += 1
    return place


@helper
def _down(value: float) -> int:
    """Drop the fraction, towards zero, as a cast in C does."""
    return math.trunc(value)


@kernel(types.int64(REALS, types.int64, types.int64, NUMBERS_OUT))
def outline_columns(points: Reals, height: int, width: int, places: Numbers) -> int:
    """Find where the columns of a mask turn on or off, by the rule of COCO's own tools (maskApi.c, rleFrPoly).

    The outline is walked on a grid 5 times as fine; where it passes from one fine column to the next in
    the middle of a pixel, that pixel's column turns at the height of the outline, rounded up.

    Args:
        points: float64 (2 n,), x and y in turn, in pixels from the corner of the first one.
        height: of the mask.
        width: of the mask.
        places: filled in the order of the walk with column * height + row, while there is room.

    Returns:
        How many places there are, which may be more than fit.
    """
    corners, count, first = points.size // 2, 0, True
    last_u = last_v = 0
    for corner in range(corners):
        after = corner + 1 if corner + 1 < corners else 0
        x0, y0 = _down(FINER * points[2 * corner] + 0.5), _down(FINER * points[2 * corner + 1] + 0.5)
        x1, y1 = _down(FINER * points[2 * after] + 0.5), _down(FINER * points[2 * after + 1] + 0.5)
        wide, high = abs(x1 - x0), abs(y1 - y0)
        flat = wide >= high
        turned = (flat and x0 > x1) or (not flat and y0 > y1)
        if turned:
            x0, y0, x1, y1 = x1, y1, x0, y0
        steps = wide if flat else high
        slope = 0.0 if steps == 0 else ((y1 - y0) / wide if flat else (x1 - x0) / high)
        for step in range(steps + 1):
            along = steps - step if turned else step
            if flat:
                u, v = along + x0, _down(y0 + slope * along + 0.5)
            else:
                u, v = _down(x0 + slope * along + 0.5), along + y0
            if not first and u != last_u:
                fine = u if u < last_u else u - 1
                if (fine - FINER // 2) % FINER == 0 and 0 <= fine < width * FINER:
                    row = math.ceil(min(max((min(v, last_v) + 0.5) / FINER - 0.5, 0.0), float(height)))
                    if count < places.size:
                        places[count] = fine // FINER * height + int(row)
                    count += 1
            first, last_u, last_v = False, u, v
    return count


@kernel(types.int64(REALS, types.int64, types.int64, NUMBERS_OUT))
def outline_rows(points: Reals, height: int, width: int, places: Numbers) -> int:
    """Find where the rows of a mask turn on or off, by where the centres of pixels lie.

    A centre on the left or upper outline is inside, one on the right or lower is not, so that polygons
    which share a side share no pixel.

    Args:
        points: float64 (2 n,), x and y in turn, in pixels from the corner of the first one.
        height: of the mask.
        width: of the mask.
        places: filled with row * width + column, while there is room.

    Returns:
        How many places there are, which may be more than fit.
    """
    corners, count = points.size // 2, 0
    for corner in range(corners):
        after = corner + 1 if corner + 1 < corners else 0
        x0, y0, x1, y1 = points[2 * corner], points[2 * corner + 1], points[2 * after], points[2 * after + 1]
        if y0 > y1:
            x0, y0, x1, y1 = x1, y1, x0, y0
        row = int(max(0.0, math.ceil(y0 - 0.5)))
        end = int(min(float(height), math.ceil(y1 - 0.5)))
        while row < end:
            cross = x0 + (row + 0.5 - y0) * ((x1 - x0) / (y1 - y0))
            column = int(min(max(math.ceil(cross - 0.5), 0.0), float(width)))
            if count < places.size:
                places[count] = row * width + column
            count += 1
            row += 1
    return count
