"""Compiled passes over one item: what every candidate blend would answer, counted without keeping a pixel.

Blends are integers: stored values times whole shares. A table turns each sum into its bin, so a bin is
exact however many members are blended. Where all members agree so do all candidates: one look is enough.
"""

from __future__ import annotations

import numpy as np
from numba import types
from numpy.typing import NDArray

from maskwright.core.compiled import BYTES, NUMBERS, helper, kernel

Values = NDArray[np.uint16]
Bytes = NDArray[np.uint8]
Numbers = NDArray[np.int64]

_VALUES = types.Array(types.uint16, 3, "C", readonly=True)
_PLANES = types.Array(types.uint8, 2, "C", readonly=True)
_SHARES = types.Array(types.int64, 2, "C", readonly=True)
_BINS = types.Array(types.int64, 4, "C")
_MATRICES = types.Array(types.int64, 3, "C")


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
        offsets: int64 (A + 1,), where each candidate's part of `table` begins; the last is of one whole share.
        table: uint8, bin of each sum of shares times values, for each candidate.
        bins: int64 (A, K, 2, 256), added to.
    """
    members, planes, pixels = values.shape
    candidates = shares.shape[0]
    agreed = np.zeros((2, 256), np.int64)
    for plane in range(planes):
        agreed[:] = 0
        for pixel in range(pixels):
            if valid[pixel] == 0:
                continue
            true = 1 if truth[plane, pixel] != 0 else 0
            first = values[0, plane, pixel]
            same = True
            for member in range(1, members):
                same &= values[member, plane, pixel] == first
            if same:
                agreed[true, table[offsets[candidates] + first]] += 1
                continue
            for candidate in range(candidates):
                total = offsets[candidate]
                for member in range(members):
                    total += shares[candidate, member] * values[member, plane, pixel]
                bins[candidate, plane, true, table[total]] += 1
        for candidate in range(candidates):
            bins[candidate, plane] += agreed


@helper
def _largest(values: Values, member: int, pixel: int) -> int:
    """Return the lowest class among a member's most probable ones."""
    best = 0
    for plane in range(1, values.shape[1]):
        if values[member, plane, pixel] > values[member, best, pixel]:
            best = plane
    return best


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
    agreed = np.zeros((classes, classes), np.int64)
    for pixel in range(pixels):
        if valid[pixel] == 0:
            continue
        true = truth[pixel]
        said = _largest(values, 0, pixel)
        same = True
        for member in range(1, members):
            same &= _largest(values, member, pixel) == said
        if same:
            agreed[true, said] += 1
            continue
        for candidate in range(candidates):
            best, highest = 0, np.int64(-1)
            for plane in range(classes):
                total = np.int64(0)
                for member in range(members):
                    total += shares[candidate, member] * values[member, plane, pixel]
                if total > highest:
                    best, highest = plane, total
            matrices[candidate, true, best] += 1
    for candidate in range(candidates):
        matrices[candidate] += agreed
