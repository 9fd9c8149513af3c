"""Compiled counting: pairs of class ids, and overlaps of 0/1 planes, each in one pass over bytes."""

from __future__ import annotations

from typing import Any

import numpy as np
from numba import types
from numpy.typing import NDArray

from maskwright.core.compiled import (
    BYTES,
    NUMBERS_OUT,
    Word,
    changes64,
    differs64,
    helper,
    kernel,
    load8,
    lowest,
    ones,
)

Bytes = NDArray[np.uint8]
Numbers = NDArray[np.int64]

LANES = 4
"""Tables that neighbours are counted in by turns: adding to one cell twice in a row makes the chip wait."""
LANED = 6
"""Bits of a class id up to which that many tables fit the nearest cache."""
NARROW = 4
"""Bits of a class id up to which a pair of ids fits one byte."""
FEW, SEVERAL = 3, 6
"""Changes in 64 pixels up to which runs are counted instead of pixels. Fixed numbers of steps, so that the
chip guesses right; 2-8 and 6-16 were tried on blocks, regions and noise, 2026-11-21."""

_ONE = np.uint64(1)
_EIGHT = np.uint64(8)
_BYTE = np.uint64(0xFF)
_EVEN = np.uint64(0x00FF00FF00FF00FF)
_ALL_VALID = np.uint64(0x0101010101010101)


@helper
def _pair(true: Word, said: Word, bits: int) -> Any:
    """Return the cell of a pair of ids; whatever the ids are, it lies in the table."""
    keep = (1 << bits) - 1
    return ((true & keep) << bits) | (said & keep)


@kernel(types.uint64(BYTES, BYTES, BYTES, types.int64, NUMBERS_OUT))
def count_pairs(truth: Bytes, predicted: Bytes, valid: Bytes, bits: int, table: Numbers) -> Word:
    """Add to a table how often each pair of ids occurs; runs of one pair are counted at once.

    Args:
        truth: class ids.
        predicted: class ids, as many.
        valid: 0 where a pixel does not count, else 1, as many.
        bits: of an id, NARROW..8; the caller checks the ids afterwards by what is returned.
        table: LANES tables of 4^bits cells in a row, or one, true id in the upper bits.

    Returns:
        All ids seen, or-ed together byte by byte; those of pixels that do not count may be among them.
    """
    size, cells, begin, index = truth.size, 1 << (2 * bits), 0, 1
    stride = cells if table.size > cells else 0
    shift, keep = np.uint64(bits), np.uint64(cells - 1)
    seen = np.uint64(0)
    while index + 64 < size:
        change = changes64(truth, index) | changes64(predicted, index) | changes64(valid, index)
        count = ones(change)
        if 0 < count <= SEVERAL:
            for step in range(FEW if count <= FEW else SEVERAL):
                place = index + lowest(change)
                cell = _pair(truth[begin], predicted[begin], bits) + (step & (LANES - 1)) * stride
                seen |= np.uint64(truth[begin] | predicted[begin])
                table[cell] += (place - begin) * (valid[begin] != 0)
                begin = place
                change &= change - _ONE
        elif count:
            table[_pair(truth[begin], predicted[begin], bits)] += (index - begin) * (valid[begin] != 0)
            seen |= np.uint64(truth[begin] | predicted[begin])
            begin = index + 64
            for word in range(index, begin, 8):
                true, said = load8(truth, word), load8(predicted, word)
                seen |= true | said
                if load8(valid, word) != _ALL_VALID:
                    for place in range(word, word + 8):
                        table[_pair(truth[place], predicted[place], bits)] += valid[place] != 0
                elif bits == NARROW:
                    both = (true << shift) | said
                    for place in range(8):
                        lane = (place & (LANES - 1)) * stride
                        table[lane + np.int64((both >> np.uint64(8 * place)) & _BYTE)] += 1
                else:
                    even = ((true & _EVEN) << shift) | (said & _EVEN)
                    odd = (((true >> _EIGHT) & _EVEN) << shift) | ((said >> _EIGHT) & _EVEN)
                    for pair in range(4):
                        move, lane = np.uint64(16 * pair), (2 * pair & (LANES - 1)) * stride
                        table[lane + np.int64((even >> move) & keep)] += 1
                        table[lane + stride + np.int64((odd >> move) & keep)] += 1
        index += 64
    if size:
        table[_pair(truth[begin], predicted[begin], bits)] += (index - begin) * (valid[begin] != 0)
        seen |= np.uint64(truth[begin] | predicted[begin])
    for place in range(index, size):
        table[_pair(truth[place], predicted[place], bits)] += valid[place] != 0
        seen |= np.uint64(truth[place] | predicted[place])
    return seen


@kernel(types.int64(types.uint64, types.int64, NUMBERS_OUT, types.int64, NUMBERS_OUT))
def gather_pairs(seen: Word, bits: int, table: Numbers, classes: int, matrix: Numbers) -> int:
    """Add up the tables of count_pairs into a matrix; return 0, or more if ids of `classes` or above were seen.

    Args:
        seen: what count_pairs returned.
        bits: of an id.
        table: what count_pairs filled; changed.
        classes: C, at most 2^bits.
        matrix: int64 (C * C,), filled.
    """
    cells, side, total, inside = 1 << (2 * bits), 1 << bits, 0, 0
    for start in range(cells, table.size, cells):
        for cell in range(cells):
            table[cell] += table[start + cell]
    for cell in range(cells):
        total += table[cell]
    for true in range(classes):
        for said in range(classes):
            matrix[true * classes + said] = table[true * side + said]
            inside += table[true * side + said]
    high = (~np.uint64(side - 1)) & _BYTE
    strangers: int = total - inside + ones(seen & (high * _ALL_VALID))
    return strangers


@kernel(types.void(BYTES, BYTES, BYTES, NUMBERS_OUT))
def count_overlap(truth: Bytes, predicted: Bytes, valid: Bytes, totals: Numbers) -> None:
    """Add up pixels set in both, in truth, in the prediction, and valid ones.

    Args:
        truth: 0, or anything else for foreground.
        predicted: the same, as many.
        valid: 0 where a pixel does not count, as many; or empty, and all count.
        totals: int64 (4,), added to.
    """
    size, masked = truth.size, valid.size > 0
    both = true = said = 0
    counted = 0 if masked else size
    if masked:
        for index in range(0, size - 63, 64):
            mask = differs64(valid, index, 0)
            present, answered = differs64(truth, index, 0) & mask, differs64(predicted, index, 0) & mask
            both += ones(present & answered)
            true += ones(present)
            said += ones(answered)
            counted += ones(mask)
    else:
        for index in range(0, size - 63, 64):
            present, answered = differs64(truth, index, 0), differs64(predicted, index, 0)
            both += ones(present & answered)
            true += ones(present)
            said += ones(answered)
    for place in range(size - size % 64, size):
        if not masked or valid[place] != 0:
            both += truth[place] != 0 and predicted[place] != 0
            true += truth[place] != 0
            said += predicted[place] != 0
            counted += masked
    totals[0] += both
    totals[1] += true
    totals[2] += said
    totals[3] += counted
