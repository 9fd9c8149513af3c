"""Compiled passes for the diagnosis: reliability bins, entropy, and where members err alike, one item at a time."""

from __future__ import annotations

import numpy as np
from numba import types
from numpy.typing import NDArray

from maskwright.core.compiled import BYTES, NUMBERS, helper, kernel

Values = NDArray[np.uint16]
Bytes = NDArray[np.uint8]
Numbers = NDArray[np.int64]
Floats = NDArray[np.float64]

BLOCK = 1024
"""Pixels looked at class by class: their buffers stay in the fastest cache."""
_VALUES = types.Array(types.uint16, 3, "C", readonly=True)
_PLANES = types.Array(types.uint8, 2, "C", readonly=True)
_TABLE = types.Array(types.float64, 1, "C", readonly=True)
_PAIRS = types.Array(types.int64, 3, "C")
_BINS = types.Array(types.float64, 3, "C")
_SUMS = types.Array(types.float64, 1, "C")


@helper
def _pair_up(answers: Numbers, true: np.int64, pairs: Numbers) -> float:
    """Count which members are wrong together and which differ; say 1 if not all answer alike."""
    members = answers.size
    same, wrong = True, False
    for member in range(members):
        same &= answers[member] == answers[0]
        wrong |= answers[member] != true
    if wrong:
        for one in range(members):
            for other in range(members):
                if answers[one] != true and answers[other] != true:
                    pairs[0, one, other] += 1
    if not same:
        for one in range(members):
            for other in range(members):
                if answers[one] != answers[other]:
                    pairs[1, one, other] += 1
    return 0.0 if same else 1.0


@helper
def _reach(bins: Floats, plane: int, p: float, right: bool) -> None:
    """Count a pixel of one probability."""
    place = min(int(p * bins.shape[1]), bins.shape[1] - 1)
    bins[plane, place, 0] += 1.0
    bins[plane, place, 1] += 1.0 if right else 0.0
    bins[plane, place, 2] += p


@helper
def _take(row: Values, plane: int, highest: Numbers, answers: Numbers) -> None:
    """Take a class over as one member's answer where it is more probable than all before it."""
    number = np.int32(plane)
    for place in range(row.size):
        value = np.int32(row[place])
        answers[place] = number if value > highest[place] else answers[place]
        highest[place] = max(value, highest[place])


@helper
def _sum(row: Values, share: int, totals: Numbers) -> None:
    """Add a member's share of a class."""
    for place in range(row.size):
        totals[place] += share * np.int64(row[place])


@kernel(types.void(_VALUES, _PLANES, BYTES, NUMBERS, _TABLE, _BINS, _PAIRS, _SUMS))
def look_at_planes(
    values: Values,
    truth: Bytes,
    valid: Bytes,
    rule: Numbers,
    entropy: Floats,
    bins: Floats,
    pairs: Numbers,
    sums: Floats,
) -> None:
    """Add every valid pixel of each plane of a binary or multilabel item.

    Args:
        values: uint16 (M, K, N), stored probabilities times a scale.
        truth: uint8 (K, N), 0 or 1.
        valid: uint8 (N,), 0 where a pixel does not count.
        rule: int64 (M + K + 1,): shares of the blend; limits, a member says yes where 2 values >= limit; the scale.
        entropy: float64 (T,) of a probability 0..1 in equal steps.
        bins: float64 (K, B, 3), added to: pixels, pixels of the class, sum of probabilities.
        pairs: int64 (2, M, M), added to: pixels on which both members are wrong; on which their answers differ.
        sums: float64 (3,), added to: pixels, entropy, pixels on which not all members agree.
    """
    members, planes, pixels = values.shape
    steps = bins.shape[1]
    shares, limits = rule[:members], rule[members : members + planes]
    whole = float(rule[members + planes] * shares.sum())
    answers = np.empty(members, np.int64)
    for plane in range(planes):
        for pixel in range(pixels):
            if valid[pixel] == 0:
                continue
            total = np.int64(0)
            for member in range(members):
                value = np.int64(values[member, plane, pixel])
                total += shares[member] * value
                answers[member] = 1 if 2 * value >= limits[plane] else 0
            true = np.int64(1 if truth[plane, pixel] != 0 else 0)
            p = total / whole
            place = min(int(p * steps), steps - 1)
            bins[plane, place, 0] += 1.0
            bins[plane, place, 1] += true
            bins[plane, place, 2] += p
            sums[0] += 1.0
            sums[1] += entropy[int(p * (entropy.size - 1) + 0.5)]
            sums[2] += _pair_up(answers, true, pairs)


@kernel(types.void(_VALUES, BYTES, BYTES, NUMBERS, _TABLE, _BINS, _PAIRS, _SUMS))
def look_at_classes(
    values: Values,
    truth: Bytes,
    valid: Bytes,
    rule: Numbers,
    entropy: Floats,
    bins: Floats,
    pairs: Numbers,
    sums: Floats,
) -> None:
    """Add every valid pixel of a multiclass item.

    Args:
        values: uint16 (M, C, N), stored probabilities times `scale`.
        truth: uint8 (N,), ids below C.
        valid: uint8 (N,), 0 where a pixel does not count.
        rule: int64 (M + 1,): shares of the blend; the scale, 255 or 65535.
        entropy: float64 (T,), what a class of probability 0..1 in equal steps adds.
        bins: float64 (C + 1, B, 3), added to: pixels, right ones, sum of probabilities; last the winning class alone.
        pairs: int64 (2, M, M), added to, as in look_at_planes.
        sums: float64 (3,), added to, as in look_at_planes.
    """
    members, classes, pixels = values.shape
    shares = rule[:members]
    whole = float(rule[members] * shares.sum())
    mine, both = np.empty(members, np.int64), np.empty((2, members, BLOCK), np.int32)
    answers, highest = both[0], both[1]
    totals, said = np.empty(BLOCK, np.int64), np.empty(BLOCK, np.int64)
    best, spread = np.empty(BLOCK, np.float64), np.empty(BLOCK, np.float64)
    for begin in range(0, pixels, BLOCK):
        count = min(BLOCK, pixels - begin)
        answers[:] = 0
        highest[:] = -1
        best[:] = -1.0
        spread[:] = 0.0
        for plane in range(classes):
            totals[:] = 0
            for member in range(members):
                _take(values[member, plane, begin : begin + count], plane, highest[member], answers[member])
                _sum(values[member, plane, begin : begin + count], shares[member], totals)
            for at in range(count):
                if valid[begin + at] == 0:
                    continue
                p = totals[at] / whole
                _reach(bins, plane, p, truth[begin + at] == plane)
                spread[at] += entropy[int(p * (entropy.size - 1) + 0.5)]
                if p > best[at]:
                    best[at], said[at] = p, plane
        for at in range(count):
            if valid[begin + at] == 0:
                continue
            true = np.int64(truth[begin + at])
            _reach(bins, classes, best[at], said[at] == true)
            sums[0] += 1.0
            sums[1] += spread[at]
            for member in range(members):
                mine[member] = answers[member, at]
            sums[2] += _pair_up(mine, true, pairs)
