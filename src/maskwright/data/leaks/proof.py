"""Compiled proof of a likely pair: where one image lies in the other, and how alike they are there."""

from __future__ import annotations

import numpy as np
from numba import types
from numpy.typing import NDArray

from maskwright.core.compiled import NUMBERS, helper, kernel
from maskwright.data.leaks.kernels import likeness, match

Numbers = NDArray[np.int64]
Reals = NDArray[np.float64]
Words = NDArray[np.uint64]
Floats = NDArray[np.float32]

SIDE = 64
"""Rows and columns of a thumbnail."""
MOST_APART = 30
"""Bits of 128 in which two marks of one spot may differ."""
LEAST_MATCHES = 4
"""Marks that must agree on one shift."""
LEAST_SHARE = 0.08
"""Share of an image that must overlap: less is too little to prove anything by."""
STEPS = (1.0, 0.5, 0.25)
"""Pixels of a thumbnail by which the way is tried this way and that."""

_REALS_OUT = types.Array(types.float64, 1, "C")
_TABLE = types.Array(types.int64, 2, "C", readonly=True)
_TABLE_OUT = types.Array(types.int64, 2, "C")
_REALS2 = types.Array(types.float64, 2, "C", readonly=True)
_REALS2_OUT = types.Array(types.float64, 2, "C")
_THUMBS = types.Array(types.float32, 3, "C", readonly=True)
_WORDS = types.Array(types.uint64, 2, "C", readonly=True)
_MARKS = types.Array(types.float64, 2, "C", readonly=True)


@helper
def _relative(turn: int, other: int) -> tuple[int, int, int]:
    """Return (swap, sign of rows, sign of columns) that takes offsets in one mark's image to the other's."""
    swap = 1 if (turn & 4) != (other & 4) else 0
    down = -1 if turn & 1 else 1
    right = -1 if turn & 2 else 1
    if swap:
        down, right = right, down
    return swap, -down if other & 1 else down, -right if other & 2 else right


@kernel(types.int64(_MARKS, _TABLE, types.int64, _REALS2_OUT))
def line_up(marks: Reals, pairs: Numbers, count: int, work: Reals) -> int:
    """Write what each pair of marks says: position, turned position, mate's position, ratio, which symmetry.

    Args:
        marks: (N, 5): row, column in pixels of the image itself, level, turn, size of a pixel of its level.
        pairs: (F, 2), marks.
        count: how many pairs.
        work: (F, 8), written.
    """
    for place in range(count):
        one, other = pairs[place, 0], pairs[place, 1]
        swap, down, right = _relative(int(marks[one, 3]), int(marks[other, 3]))
        row, col = marks[one, 0], marks[one, 1]
        if swap:
            row, col = col, row
        work[place, 0], work[place, 1] = down * row, right * col
        work[place, 2], work[place, 3] = marks[other, 0], marks[other, 1]
        work[place, 4] = marks[other, 4] / marks[one, 4]
        work[place, 5] = swap + 2 * (down < 0) + 4 * (right < 0)
        work[place, 6] = marks[other, 4]
        work[place, 7] = 0
    return count


@kernel(types.UniTuple(types.int64, 2)(_REALS2_OUT, types.int64))
def leader(work: Reals, count: int) -> tuple[int, int]:
    """Find the pair of marks whose shift and scale most others agree on, roughly.

    Args:
        work: (F, 8) by line_up.
        count: how many pairs.

    Returns:
        how many agree, itself among them, and which it is.
    """
    best = first = -1
    for place in range(count):
        ratio = work[place, 4]
        down = work[place, 2] - ratio * work[place, 0]
        right = work[place, 3] - ratio * work[place, 1]
        votes = 0
        for other in range(count):
            if work[other, 5] != work[place, 5] or not 0.75 < work[other, 4] / ratio < 1.34:
                continue
            far = abs(work[other, 2] - work[place, 2]) + abs(work[other, 3] - work[place, 3])
            off = abs(ratio * work[other, 0] + down - work[other, 2]) + abs(
                ratio * work[other, 1] + right - work[other, 3]
            )
            votes += off < 4 * work[place, 6] + 0.13 * far
        if votes > best:
            best, first = votes, place
    return best, first


@kernel(types.int64(_REALS2_OUT, types.int64, _REALS_OUT))
def agree(work: Reals, count: int, way: Reals) -> int:
    """Find the shift and scale that most pairs of marks agree on, and settle it by least squares.

    Args:
        work: (F, 8) by line_up.
        count: how many pairs.
        way: (4,): scale, shift of rows, shift of columns, symmetry; written.

    Returns:
        how many pairs agree in the end.
    """
    best, first = leader(work, count)
    if best < LEAST_MATCHES:
        return best
    way[0], way[3] = work[first, 4], work[first, 5]
    way[1] = work[first, 2] - way[0] * work[first, 0]
    way[2] = work[first, 3] - way[0] * work[first, 1]
    inside = best
    for turn in range(4):
        slack = 0.13 if turn == 0 else 0.0
        y = x = v = u = 0.0
        inside = 0
        for place in range(count):
            far = abs(work[place, 2] - work[first, 2]) + abs(work[place, 3] - work[first, 3])
            off = abs(way[0] * work[place, 0] + way[1] - work[place, 2]) + abs(
                way[0] * work[place, 1] + way[2] - work[place, 3]
            )
            good = work[place, 5] == way[3] and off < 4 * work[place, 6] + slack * far
            work[place, 7] = good
            if good:
                y, x, v, u = y + work[place, 0], x + work[place, 1], v + work[place, 2], u + work[place, 3]
                inside += 1
        if inside < LEAST_MATCHES:
            return inside
        y, x, v, u = y / inside, x / inside, v / inside, u / inside
        both = alone = 0.0
        for place in range(count):
            if work[place, 7]:
                dy, dx = work[place, 0] - y, work[place, 1] - x
                both += dy * (work[place, 2] - v) + dx * (work[place, 3] - u)
                alone += dy * dy + dx * dx
        if alone / inside > 100 * work[first, 6] ** 2 and both > 0:
            way[0] = both / alone
        way[1], way[2] = v - way[0] * y, u - way[0] * x
    return inside


@kernel(
    types.float64(
        types.Array(types.float32, 2, "C", readonly=True),
        types.Array(types.float32, 2, "C", readonly=True),
        _REALS_OUT,
        types.float64,
        types.Array(types.float32, 2, "C"),
    )
)
def settle(one: Floats, other: Floats, way: Reals, least: float, room: Floats) -> float:
    """Move the way by fractions of a pixel while the thumbnails grow more alike; return how alike they are.

    Args:
        one: (S, S).
        other: (S, S).
        way: six numbers as for likeness; changed in place.
        least: share that must overlap.
        room: to work in.
    """
    best = likeness(one, other, way, least, room)
    if best < 0.25:
        return best
    for step in STEPS:
        for _ in range(3):
            if best > 0.97:
                return best
            better = False
            for axis in (2, 5):
                for sign in (-1.0, 1.0):
                    way[axis] += sign * step
                    value = likeness(one, other, way, least, room)
                    if value > best:
                        best, better = value, True
                        break
                    way[axis] -= sign * step
            if not better:
                break
    return best


@kernel(types.void(_REALS_OUT, types.Array(types.float64, 1, "C", readonly=True), _REALS_OUT))
def to_thumbs(way: Reals, sizes: Reals, out: Reals) -> None:
    """Turn a way between images into the one between their thumbnails.

    Args:
        way: scale, shifts, symmetry, by agree.
        sizes: height and width of the one and of the other, in pixels.
        out: six numbers as for likeness, written.
    """
    scale, kind = way[0], int(way[3])
    swap, down, right = kind & 1, -1.0 if kind & 2 else 1.0, -1.0 if kind & 4 else 1.0
    tall, wide = sizes[0] / SIDE, sizes[1] / SIDE
    other_tall, other_wide = sizes[2] / SIDE, sizes[3] / SIDE
    # image = (thumb + 0.5) * tall - 0.5
    for place in range(6):
        out[place] = 0.0
    from_row, from_col = (wide, tall) if swap else (tall, wide)
    out[1 if swap else 0] = scale * down * from_row / other_tall
    out[3 if swap else 4] = scale * right * from_col / other_wide
    out[2] = (scale * down * (0.5 * from_row - 0.5) + way[1] + 0.5) / other_tall - 0.5
    out[5] = (scale * right * (0.5 * from_col - 0.5) + way[2] + 0.5) / other_wide - 0.5


@kernel(types.void(_TABLE, NUMBERS, _MARKS, types.Array(types.int64, 1, "C")))
def count_votes(pairs: Numbers, starts: Numbers, marks: Reals, votes: Numbers) -> None:
    """Count for two items how many of their like marks agree on one shift.

    Args:
        pairs: (F, 2), like marks, those of the same two items in one run.
        starts: (G + 1,), where the runs begin.
        marks: (N, 5), as for line_up.
        votes: (G,), written.
    """
    work = np.empty((256, 8), np.float64)
    for group in range(votes.size):
        count = min(starts[group + 1] - starts[group], 256)
        line_up(marks, pairs[starts[group] : starts[group] + count], count, work)
        votes[group], _ = leader(work, count)


@kernel(types.void(_TABLE, _THUMBS, _WORDS, _MARKS, NUMBERS, _REALS2, _REALS2_OUT))
def prove_overlaps(
    pairs: Numbers, thumbs: Floats, words: Words, marks: Reals, starts: Numbers, sizes: Reals, found: Reals
) -> None:
    """Judge pairs that may show parts of one scene.

    Args:
        pairs: (P, 2), items.
        thumbs: (I, S, S).
        words: (N, 2), of the marks of all items.
        marks: (N, 5), as for line_up.
        starts: (I + 1,), where the marks of each item begin.
        sizes: (I, 2), height and width in pixels.
        found: (P, 8): likeness (-2: no proof), marks that agree, and the six numbers of the way; written.
    """
    room = np.empty((4 * (SIDE + 1), SIDE + 1), np.float32)
    matched = np.empty((256, 2), np.int64)
    work = np.empty((256, 8), np.float64)
    rough, way, both = np.empty(4, np.float64), np.empty(6, np.float64), np.empty(4, np.float64)
    for place in range(pairs.shape[0]):
        one, other = pairs[place, 0], pairs[place, 1]
        found[place, 0] = -2.0
        count = match(words, starts, one, other, MOST_APART, matched)
        if count < LEAST_MATCHES:
            continue
        line_up(marks, matched, count, work)
        agreed = agree(work, count, rough)
        found[place, 1] = agreed
        if agreed < LEAST_MATCHES:
            continue
        both[0], both[1], both[2], both[3] = sizes[one, 0], sizes[one, 1], sizes[other, 0], sizes[other, 1]
        to_thumbs(rough, both, way)
        found[place, 0] = settle(thumbs[one], thumbs[other], way, LEAST_SHARE, room)
        for number in range(6):
            found[place, 2 + number] = way[number]


@kernel(types.void(_TABLE, _THUMBS, _THUMBS, _REALS2_OUT))
def prove_wholes(pairs: Numbers, thumbs: Floats, tiny: Floats, found: Reals) -> None:
    """Judge pairs that may show one scene whole, under the best of the eight symmetries.

    Args:
        pairs: (P, 2), items.
        thumbs: (I, S, S).
        tiny: (I, T, T), the same much smaller, without their mean.
        found: (P, 8), as for prove_overlaps; the second number is that of the symmetry.
    """
    room = np.empty((4 * (SIDE + 1), SIDE + 1), np.float32)
    way, side = np.zeros(6, np.float64), tiny.shape[1]
    for place in range(pairs.shape[0]):
        one, other = tiny[pairs[place, 0]], tiny[pairs[place, 1]]
        best, which = -1e30, 0
        for turn in range(8):
            total = 0.0
            for row in range(side):
                for col in range(side):
                    y, x = (col, row) if turn & 4 else (row, col)
                    total += one[row, col] * other[side - 1 - y if turn & 1 else y, side - 1 - x if turn & 2 else x]
            if total > best:
                best, which = total, turn
        for number in range(6):
            way[number] = 0.0
        way[1 if which & 4 else 0] = -1.0 if which & 1 else 1.0
        way[3 if which & 4 else 4] = -1.0 if which & 2 else 1.0
        way[2] = SIDE - 1.0 if which & 1 else 0.0
        way[5] = SIDE - 1.0 if which & 2 else 0.0
        found[place, 0] = settle(thumbs[pairs[place, 0]], thumbs[pairs[place, 1]], way, 0.5, room)
        found[place, 1] = which
        for number in range(6):
            found[place, 2 + number] = way[number]
