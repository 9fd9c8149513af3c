"""Compiled passes of the search for leaks: marks of one image, likely pairs among many, and the proof of a pair."""

from __future__ import annotations

from typing import Any

import numpy as np
from numba import types
from numpy.typing import NDArray

from maskwright.core.compiled import NUMBERS, NUMBERS_OUT, helper, kernel, ones

Floats = NDArray[np.float32]
Words = NDArray[np.uint64]
Bytes = NDArray[np.uint8]
Numbers = NDArray[np.int64]
Reals = NDArray[np.float64]

FLOOR = 0.1
"""Variance of details, in grey levels squared, that is taken for noise (docs/explain/leaks.md)."""
DOUBT = 2.3
"""Standard errors that are taken off a correlation: 99 of 100 are at least that."""
MOST_TAKEN = 6
"""Neighbours in one sorted order that a mark is paired with."""
BLUR = 4.0
"""Neighbouring pixels of a thumbnail that tell the same."""
_PLANE = types.Array(types.float32, 2, "C", readonly=True)
_PLANE_OUT = types.Array(types.float32, 2, "C")
_WAY = types.Array(types.float64, 1, "C", readonly=True)
_WORDS = types.Array(types.uint64, 2, "C", readonly=True)
_WORDS_OUT = types.Array(types.uint64, 2, "C")
_TABLE = types.Array(types.int64, 2, "C", readonly=True)
_TABLE_OUT = types.Array(types.int64, 2, "C")
_TESTS = types.Array(types.int64, 3, "C", readonly=True)
_BYTES_OUT = types.Array(types.uint8, 1, "C")


@kernel(types.void(NUMBERS, NUMBERS, types.int64, NUMBERS_OUT))
def spread(order: Numbers, cells: Numbers, count: int, chosen: Numbers) -> None:
    """Choose marks: of each cell its even share, then the best that are left, whatever their cell.

    Args:
        order: (N,), marks, the best first.
        cells: (N,), cell of each mark.
        count: how many cells there are.
        chosen: (M,) with M <= N, written.
    """
    quota = chosen.size // count
    taken = np.zeros(count, np.int64)
    used = np.zeros(order.size, np.bool_)
    size = 0
    for turn in range(2):
        for place in range(order.size):
            mark = order[place]
            if size == chosen.size:
                return
            if not used[mark] and (turn == 1 or taken[cells[mark]] < quota):
                chosen[size] = mark
                used[mark] = True
                taken[cells[mark]] += 1
                size += 1


@kernel(types.void(_PLANE, _TABLE, types.int64, _TESTS, types.int64, _WORDS_OUT, _BYTES_OUT))
def write_words(
    plane: Floats, places: Numbers, count: int, tests: Numbers, radius: int, words: Words, turns: Bytes
) -> None:
    """Describe the surroundings of marks by 128 comparisons each, in a frame that turns and mirrors with them.

    Args:
        plane: (H, W), the smoothed image.
        places: (N, 2), row and column, at least the reach of the tests inside.
        count: how many of them.
        tests: (8, 128, 4), for each symmetry the offsets row, col, row, col that are compared.
        radius: of the disc whose centre of gravity fixes the frame, in pixels.
        words: (N, 2), written.
        turns: (N,), number of the symmetry that was used, written.
    """
    for mark in range(count):
        row, col = places[mark, 0], places[mark, 1]
        down = right = np.float32(0.0)
        for dy in range(-radius, radius + 1):
            for dx in range(-radius, radius + 1):
                if dy * dy + dx * dx <= radius * radius:
                    value = plane[row + dy, col + dx]
                    down += value * np.float32(dy)
                    right += value * np.float32(dx)
        turn = (1 if down < 0 else 0) + (2 if right < 0 else 0) + (4 if abs(down) > abs(right) else 0)
        for half in range(2):
            word = np.uint64(0)
            for bit in range(64):
                test = tests[turn, 64 * half + bit]
                one = plane[row + test[0], col + test[1]]
                other = plane[row + test[2], col + test[3]]
                if one < other:
                    word |= np.uint64(1) << np.uint64(bit)
            words[mark, half] = word
        turns[mark] = turn


@helper
def _apart(words: Words, one: int, other: int) -> int:
    apart: int = ones(words[one, 0] ^ words[other, 0]) + ones(words[one, 1] ^ words[other, 1])
    return apart


@kernel(
    types.int64(
        types.Array(types.uint64, 1, "C", readonly=True), NUMBERS, _WORDS, NUMBERS, types.int64, types.int64, _TABLE_OUT
    )
)
def neighbours(
    ranked: Words, order: Numbers, words: Words, owners: Numbers, split: int, most_apart: int, found: Numbers
) -> int:
    """Pair marks that stand near each other in one sorted order and differ in few bits.

    Args:
        ranked: (N,), the sort keys in order; marks whose first 20 bits differ are never paired.
        order: (N,), which mark stands where.
        words: (N, 2), the marks.
        owners: (N,), the item of each mark.
        split: items from here on are the other set, and pairs join the two; -1: one set, all pairs.
        most_apart: bits that may differ.
        found: (F, 2), pairs of marks are written here; the first F / 6 marks in order are looked at.

    Returns:
        how many pairs there are.
    """
    count = 0
    total = ranked.size
    for place in range(min(total, found.shape[0] // MOST_TAKEN)):
        mark = order[place]
        taken = 0
        for step in range(1, 25):
            if place + step >= total or (ranked[place] ^ ranked[place + step]) >> np.uint64(44):
                break
            mate = order[place + step]
            if owners[mark] == owners[mate] or (split >= 0 and (owners[mark] < split) == (owners[mate] < split)):
                continue
            if _apart(words, mark, mate) <= most_apart:
                found[count, 0], found[count, 1] = min(mark, mate), max(mark, mate)
                count += 1
                taken += 1
                if taken == MOST_TAKEN:
                    break
    return count


@helper
def _nearest(words: Words, mark: int, start: int, stop: int) -> Any:
    """Return the mark of an item that differs least, by how many bits, and by how many the next one does."""
    best, least, second = -1, 129, 129
    for mate in range(start, stop):
        apart = _apart(words, mark, mate)
        if apart < least:
            best, second, least = mate, least, apart
        elif apart < second:
            second = apart
    return best, least, second


@kernel(types.int64(_WORDS, NUMBERS, types.int64, types.int64, types.int64, _TABLE_OUT))
def match(words: Words, starts: Numbers, one: int, other: int, most_apart: int, found: Numbers) -> int:
    """Match the marks of two items, each the other's nearest and clearly nearer than the next.

    Args:
        words: (N, 2), marks of all items.
        starts: (I + 1,), where the marks of each item begin.
        one: an item.
        other: another.
        most_apart: bits that may differ.
        found: (F, 2), pairs of marks are written here.

    Returns:
        how many pairs there are.
    """
    count = 0
    for mark in range(starts[one], starts[one + 1]):
        mate, apart, second = _nearest(words, mark, starts[other], starts[other + 1])
        if mate < 0 or apart > most_apart or (10 * apart > 9 * second and second > 6):
            continue
        back, _, _ = _nearest(words, mate, starts[one], starts[one + 1])
        if back == mark and count < found.shape[0]:
            found[count, 0], found[count, 1] = mark, mate
            count += 1
    return count


@kernel(types.int64(_PLANE, _PLANE, _WAY, _PLANE_OUT))
def lay_over(one: Floats, other: Floats, way: Reals, room: Floats) -> int:
    """Bring one thumbnail into the frame of another, and add both up over rectangles.

    Args:
        one: (S, S).
        other: (S, S).
        way: as for likeness.
        room: (4 (S + 1), S + 1): sums of one, sums of other, pixels in common, and the other itself (nan: outside).

    Returns:
        how many pixels they have in common.
    """
    side = one.shape[0]
    step = side + 1
    room[::step] = 0
    room[:, 0] = 0
    count = 0
    for row in range(side):
        sum_one = sum_other = sum_count = np.float32(0.0)
        for col in range(side):
            y = way[0] * row + way[1] * col + way[2]
            x = way[3] * row + way[4] * col + way[5]
            value = np.float32(np.nan)
            if -0.5 <= y <= side - 0.5 and -0.5 <= x <= side - 0.5:
                y, x = min(max(y, 0.0), side - 1.001), min(max(x, 0.0), side - 1.001)
                top, left = int(y), int(x)
                dy, dx = np.float32(y - top), np.float32(x - left)
                upper = other[top, left] + (other[top, left + 1] - other[top, left]) * dx
                lower = other[top + 1, left] + (other[top + 1, left + 1] - other[top + 1, left]) * dx
                value = upper + (lower - upper) * dy
                sum_one += one[row, col]
                sum_other += value
                sum_count += np.float32(1.0)
                count += 1
            room[3 * step + row + 1, col + 1] = value
            room[row + 1, col + 1] = room[row, col + 1] + sum_one
            room[step + row + 1, col + 1] = room[step + row, col + 1] + sum_other
            room[2 * step + row + 1, col + 1] = room[2 * step + row, col + 1] + sum_count
    return count


@helper
def _within(room: Floats, top: int, bottom: int, left: int, right: int) -> float:
    """Return the sum over a rectangle, rows counted from the first of its block."""
    total: float = room[bottom, right] - room[top, right] - room[bottom, left] + room[top, left]
    return total


@kernel(types.float64(_PLANE, _PLANE, _WAY, types.float64, _PLANE_OUT))
def likeness(one: Floats, other: Floats, way: Reals, least: float, room: Floats) -> float:
    """Correlate the details of two thumbnails where they overlap.

    Details are what is left of brightness after the mean of the 9 x 9 pixels around is taken off; it is
    taken in the frame of the first, over pixels that both have. Flat areas weigh nothing.

    Args:
        one: (S, S).
        other: (S, S).
        way: six numbers a b c d e f; pixel (row, col) of one is (a row + b col + c, d row + e col + f) of other.
        least: smallest share of pixels of one that must overlap, 0..1.
        room: (4 (S + 1), S + 1) to work in.

    Returns:
        what the correlation is at least (by Fisher's z, given how many pixels carry the details), -1..1; or
        -2 where too little overlaps.
    """
    side = one.shape[0]
    step = side + 1
    count = lay_over(one, other, way, room)
    if count < least * side * side:
        return -2.0
    both = first = second = fourth = 0.0
    for row in range(side):
        top, bottom = max(row - 4, 0), min(row + 5, side)
        for col in range(side):
            value = room[3 * step + row + 1, col + 1]
            if np.isnan(value):
                continue
            left, right = max(col - 4, 0), min(col + 5, side)
            around = _within(room, 2 * step + top, 2 * step + bottom, left, right)
            p = one[row, col] - _within(room, top, bottom, left, right) / around
            q = value - _within(room, step + top, step + bottom, left, right) / around
            both += p * q
            first += p * p
            second += q * q
            fourth += p * p * q * q
    floor = FLOOR * count  # details of compression alone prove nothing
    found = both / np.sqrt((first + floor) * (second + floor))
    many = first * second / max(fourth, 1e-9)  # pixels that carry details: few where one spot is all there is
    least_found: float = np.tanh(np.arctanh(min(max(found, -0.9999), 0.9999)) - DOUBT / np.sqrt(max(many / BLUR, 1.0)))
    return least_found
