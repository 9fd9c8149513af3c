"""Compiled passes over one item: what every candidate blend would answer, counted without keeping a pixel.

Blends are integers: stored values times whole shares. A table turns each sum into its bin, so a bin is
exact however many members are blended. Where all members agree so do all candidates, and one look is
enough; pixels on which they do not are gathered and blended many at a time.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numba import types
from numpy.typing import NDArray

from maskwright.core.compiled import BYTES, BYTES_OUT, NUMBERS, helper, kernel

Values = NDArray[np.uint16]
Bytes = NDArray[np.uint8]
Numbers = NDArray[np.int64]
Small = NDArray[np.int32]

BLOCK = 1024
"""Pixels blended at once: the buffers stay in the fastest cache."""

_VALUES = types.Array(types.uint16, 3, "C", readonly=True)
_PLANES = types.Array(types.uint8, 2, "C", readonly=True)
_SHARES = types.Array(types.int64, 2, "C", readonly=True)
_BINS = types.Array(types.int64, 4, "C")
_MATRICES = types.Array(types.int64, 3, "C")


@helper
def _blend(gathered: Small, count: int, shares: Numbers, totals: Small) -> None:
    """Sum shares times values: gathered int32 (M, BLOCK) into totals (BLOCK,)."""
    sums = totals[:count]
    sums[:] = 0
    for member in range(shares.size):
        share = np.int32(shares[member])
        if share != 0:
            row = gathered[member, :count]
            for place in range(row.size):
                sums[place] += share * row[place]


@helper
def _add_bins(totals: Small, halves: Small, count: int, lookup: Bytes, lanes: Numbers) -> None:
    """Count blended pixels in two tables by turns: adding to one cell twice in a row makes the chip wait."""
    even = count - count % 2
    for place in range(0, even, 2):
        lanes[0, halves[place] + lookup[totals[place]]] += 1
        lanes[1, halves[place + 1] + lookup[totals[place + 1]]] += 1
    if even < count:
        lanes[0, halves[even] + lookup[totals[even]]] += 1


@kernel(types.void(_VALUES, _PLANES, BYTES, _SHARES, NUMBERS, BYTES, _BINS))
def count_bins(
    values: Values, truth: Bytes, valid: Bytes, shares: Numbers, offsets: Numbers, table: Bytes, bins: Numbers
) -> None:
    """Add every valid pixel to the histogram of each candidate, plane and truth.

    Args:
        values: uint16 (M, K, N), stored probabilities.
        truth: uint8 (K, N), 0 or 1.
        valid: uint8 (N,), 0 where a pixel does not count.
        shares: int64 (A, M) of A candidates.
        offsets: int64 (A + 1,), where each candidate's part of `table` begins; the last is for one whole share.
        table: uint8, bin of each sum of shares times values, for each total of shares.
        bins: int64 (A, K, 2, 256), added to.
    """
    members, planes, pixels = values.shape
    candidates = shares.shape[0]
    gathered, totals = np.empty((members, BLOCK), np.int32), np.empty(BLOCK, np.int32)
    halves = np.empty(BLOCK, np.int32)
    agreed, lanes = np.empty((2, 256), np.int64), np.empty((candidates, 2, 512), np.int64)
    single = table[offsets[candidates] :]
    for plane in range(planes):
        agreed[:] = 0
        lanes[:] = 0
        begin = 0
        while begin < pixels:
            end, count = min(begin + BLOCK, pixels), 0
            for pixel in range(begin, end):
                if valid[pixel] == 0:
                    continue
                true = 1 if truth[plane, pixel] != 0 else 0
                first = values[0, plane, pixel]
                same = True
                for member in range(1, members):
                    same &= values[member, plane, pixel] == first
                if same:
                    agreed[true, single[first]] += 1
                else:
                    for member in range(members):
                        gathered[member, count] = values[member, plane, pixel]
                    halves[count] = 256 * true
                    count += 1
            begin = end
            for candidate in range(candidates if count else 0):
                _blend(gathered, count, shares[candidate], totals)
                _add_bins(totals, halves, count, table[offsets[candidate] :], lanes[candidate])
        for candidate in range(candidates):
            for place in range(512):
                both = lanes[candidate, 0, place] + lanes[candidate, 1, place]
                bins[candidate, plane, place >> 8, place & 255] += both + agreed[place >> 8, place & 255]


@helper
def _keep_larger(row: Values | Small, plane: int, highest: Small, best: Small) -> None:
    """Take a class over where it is more probable than all before it; a tie stays with the lower id."""
    number = np.int32(plane)
    for place in range(row.size):
        value = np.int32(row[place])
        before = highest[place]
        best[place] = number if value > before else best[place]
        highest[place] = max(value, before)


@helper
def _gather(values: Values, places: Numbers, gathered: Small) -> None:
    """Copy some pixels: values uint16 (M, C, N) into gathered int32 (C, M, BLOCK)."""
    for plane in range(values.shape[1]):
        for member in range(values.shape[0]):
            row = gathered[plane, member]
            for index in range(places.size):
                row[index] = values[member, plane, places[index]]


@kernel(types.void(_VALUES, BYTES, BYTES, _SHARES, _MATRICES))
def count_classes(values: Values, truth: Bytes, valid: Bytes, shares: Numbers, matrices: Numbers) -> None:
    """Add every valid pixel to the confusion matrix of each candidate; a tie goes to the lowest id.

    Args:
        values: uint16 (M, C, N), stored probabilities.
        truth: uint8 (N,), ids below C.
        valid: uint8 (N,), 0 where a pixel does not count.
        shares: int64 (A, M) of A candidates.
        matrices: int64 (A, C, C), rows = truth, added to.
    """
    members, classes, pixels = values.shape
    candidates = shares.shape[0]
    answers, totals = np.empty((members, BLOCK), np.int32), np.empty(BLOCK, np.int32)
    highest, best = np.empty(BLOCK, np.int32), np.empty(BLOCK, np.int32)
    gathered, places = np.empty((classes, members, BLOCK), np.int32), np.empty(BLOCK, np.int64)
    agreed = np.zeros((classes, classes), np.int64)
    begin = 0
    while begin < pixels:
        end = min(begin + BLOCK, pixels)
        for member in range(members):
            highest[:] = -1
            for plane in range(classes):
                _keep_larger(values[member, plane, begin:end], plane, highest, answers[member])
        count = 0
        for pixel in range(begin, end):
            said = answers[0, pixel - begin]
            same = True
            for member in range(1, members):
                same &= answers[member, pixel - begin] == said
            if valid[pixel] != 0 and same:
                agreed[truth[pixel], said] += 1
            elif valid[pixel] != 0:
                places[count] = pixel
                count += 1
        begin = end
        if count == 0:
            continue
        _gather(values, places[:count], gathered)
        for candidate in range(candidates):
            highest[:] = -1
            for plane in range(classes):
                _blend(gathered[plane], count, shares[candidate], totals)
                _keep_larger(totals[:count], plane, highest, best)
            for place in range(count):
                matrices[candidate, truth[places[place]], best[place]] += 1
    for candidate in range(candidates):
        matrices[candidate] += agreed


@kernel(types.void(types.Array(types.uint16, 2, "C", readonly=True), NUMBERS, types.Array(types.int32, 1, "C")))
def blend_members(values: Any, shares: Numbers, units: Small) -> None:
    """Sum shares times values.

    Args:
        values: uint16 (M, N).
        shares: int64 (M,).
        units: int32 (N,), filled.
    """
    for begin in range(0, units.size, BLOCK):
        end = min(begin + BLOCK, units.size)
        sums = units[begin:end]
        sums[:] = 0
        for member in range(shares.size):
            share = np.int32(shares[member])
            if share != 0:
                row = values[member, begin:end]
                for place in range(row.size):
                    sums[place] += share * np.int32(row[place])


@kernel(
    [types.void(types.Array(kind, 2, "C", readonly=True), NUMBERS, BYTES_OUT) for kind in (types.int32, types.int64)]
)
def largest(values: Any, order: Numbers, label: Bytes) -> None:
    """Write the class of the largest value of each pixel; among equals the one that comes first in `order`.

    Args:
        values: int32 or int64 (C, N).
        order: all classes.
        label: uint8 (N,), filled.
    """
    highest = np.empty(BLOCK, values.dtype)
    for begin in range(0, label.size, BLOCK):
        end = min(begin + BLOCK, label.size)
        best = label[begin:end]
        best[:] = np.uint8(order[0])
        highest[: best.size] = values[order[0], begin:end]
        for step in range(1, order.size):
            number = np.uint8(order[step])
            row = values[order[step], begin:end]
            for place in range(row.size):
                value = row[place]
                best[place] = number if value > highest[place] else best[place]
                highest[place] = max(value, highest[place])


@kernel(
    types.void(
        types.Array(types.uint16, 2, "C", readonly=True),
        types.Array(types.uint16, 1, "C", readonly=True),
        types.Array(types.uint16, 2, "C"),
    )
)
def warm_classes(values: Any, table: Any, made: Any) -> None:
    """Look up each probability and divide by the sum over classes, rounded to whole units.

    Args:
        values: uint16 (C, N).
        table: uint16 (65536,).
        made: uint16 (C, N), filled; as given where all are 0.
    """
    totals, scales = np.empty(BLOCK, np.int32), np.empty(BLOCK, np.float64)
    for begin in range(0, values.shape[1], BLOCK):
        end = min(begin + BLOCK, values.shape[1])
        totals[:] = 0
        for plane in range(values.shape[0]):
            row, out = values[plane, begin:end], made[plane, begin:end]
            for place in range(row.size):
                out[place] = table[row[place]]
            for place in range(row.size):
                totals[place] += np.int32(out[place])
        for place in range(end - begin):
            scales[place] = 65535.0 / max(totals[place], 1)
        for plane in range(values.shape[0]):
            out = made[plane, begin:end]
            for place in range(out.size):
                out[place] = np.uint16(np.int32(out[place] * scales[place] + 0.5))


@kernel(
    types.void(
        types.Array(types.int32, 2, "C", readonly=True),
        BYTES,
        NUMBERS,
        NUMBERS,
        types.int64,
        NUMBERS,
        types.Array(types.int64, 3, "C"),
    )
)
def count_wins(
    units: Any, truth: Bytes, factors: Numbers, order: Numbers, kind: int, steps: Numbers, wins: Any
) -> None:
    """Count pixels by truth, by the best of all classes but one, and by the first factor at which that one wins.

    Args:
        units: int32 (C, N), blended probabilities in whole numbers.
        truth: uint8 (N,), ids below C.
        factors: int64 (C,), of the other classes.
        order: all classes; of equals the first wins.
        kind: the one class.
        steps: int64 (F,), factors that it might have, ascending.
        wins: int64 (C, C, F + 1), added to; the last place: it wins at none of them.
    """
    best, rivals = np.empty(BLOCK, np.int64), np.empty(BLOCK, np.int64)
    mine = 0
    for place in range(order.size):
        if order[place] == kind:
            mine = place
    for begin in range(0, truth.size, BLOCK):
        end = min(begin + BLOCK, truth.size)
        best[:] = -1
        for place in range(order.size):
            other = order[place]
            if other != kind:
                row, factor = units[other, begin:end], factors[other]
                for index in range(row.size):
                    value = factor * row[index]
                    rivals[index] = place if value > best[index] else rivals[index]
                    best[index] = max(value, best[index])
        own = units[kind, begin:end]
        for index in range(own.size):
            low, high = 0, steps.size
            value, goal = np.int64(own[index]), best[index] + (1 if rivals[index] < mine else 0)
            while low < high:
                middle = (low + high) >> 1
                if steps[middle] * value >= goal:
                    high = middle
                else:
                    low = middle + 1
            wins[truth[begin + index], order[rivals[index]], low] += 1
