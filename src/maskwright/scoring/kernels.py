"""Compiled counting: pairs of class ids, and overlaps of 0/1 planes, each in one pass over bytes."""

from __future__ import annotations

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
NARROW = 4
"""Bits of a class id up to which a pair of ids fits one byte."""
FEW, SEVERAL = 3, 6
"""Changes in 64 pixels up to which runs are counted instead of pixels. Fixed numbers of steps, so that the
chip guesses right; 2-8 and 6-16 were tried on blocks, regions and noise, 2026-11-21."""

_ONE = np.uint64(1)
_LOW_BYTE = np.uint64(0xFF)
_ALL_VALID = np.uint64(0x0101010101010101)


@helper
def _cell(truth: Bytes, predicted: Bytes, valid: Bytes, index: int, bits: int, trash: int) -> int:
    """Return the cell of one pixel's pair in a table; `trash` for a pixel that does not count."""
    if valid.size and valid[index] == 0:
        return trash
    keep = (1 << bits) - 1
    return ((truth[index] & keep) << bits) | (predicted[index] & keep)


@helper
def _count_eight(table: Numbers, true: Word, said: Word, bits: int, stride: int) -> None:
    """Count eight valid pixels, given as words."""
    if bits == NARROW:
        pairs = (true << np.uint64(NARROW)) | said
        for place in range(8):
            table[(place & (LANES - 1)) * stride + np.int64((pairs >> np.uint64(8 * place)) & _LOW_BYTE)] += 1
    else:
        keep = (np.uint64(1) << np.uint64(bits)) - np.uint64(1)
        for place in range(8):
            high = ((true >> np.uint64(8 * place)) & keep) << np.uint64(bits)
            pair = high | ((said >> np.uint64(8 * place)) & keep)
            table[(place & (LANES - 1)) * stride + np.int64(pair)] += 1


@kernel(types.uint64(BYTES, BYTES, BYTES, types.int64, NUMBERS_OUT))
def count_pairs(truth: Bytes, predicted: Bytes, valid: Bytes, bits: int, table: Numbers) -> Word:
    """Add to a table how often each pair of ids occurs; runs of one pair are counted at once.

    Args:
        truth: class ids.
        predicted: class ids, as many.
        valid: 0 where a pixel does not count, as many; or empty, and all count.
        bits: of an id, NARROW..8; the caller checks the ids afterwards by what is returned.
        table: LANES tables of 4^bits cells in a row, true id in the upper bits, then one cell of trash.

    Returns:
        All ids seen, or-ed together byte by byte.
    """
    size, stride = truth.size, 1 << (2 * bits)
    trash, begin, index = LANES * stride, 0, 1
    seen = np.uint64(0)
    while index + 64 < size:
        change = changes64(truth, index) | changes64(predicted, index)
        if valid.size:
            change |= changes64(valid, index)
        count = ones(change)
        if count == 0:
            index += 64
            continue
        if count <= SEVERAL:
            for step in range(FEW if count <= FEW else SEVERAL):
                place = index + lowest(change)
                cell = _cell(truth, predicted, valid, begin, bits, trash)
                table[cell + (step & (LANES - 1)) * stride if cell != trash else trash] += place - begin
                seen |= np.uint64(truth[begin] | predicted[begin])
                begin = place
                change &= change - _ONE
        else:
            table[_cell(truth, predicted, valid, begin, bits, trash)] += index - begin
            seen |= np.uint64(truth[begin] | predicted[begin])
            begin = index + 64
            for word in range(index, begin, 8):
                true, said = load8(truth, word), load8(predicted, word)
                seen |= true | said
                if valid.size and load8(valid, word) != _ALL_VALID:
                    for place in range(word, word + 8):
                        table[_cell(truth, predicted, valid, place, bits, trash)] += 1
                else:
                    _count_eight(table, true, said, bits, stride)
        index += 64
    if size:
        table[_cell(truth, predicted, valid, begin, bits, trash)] += index - begin
        seen |= np.uint64(truth[begin] | predicted[begin])
    for place in range(index, size):
        table[_cell(truth, predicted, valid, place, bits, trash)] += 1
        seen |= np.uint64(truth[place] | predicted[place])
    return seen


@kernel(types.void(BYTES, BYTES, BYTES, NUMBERS_OUT))
def count_overlap(truth: Bytes, predicted: Bytes, valid: Bytes, totals: Numbers) -> None:
    """Add up pixels set in both, in truth, in the prediction, and valid ones.

    Args:
        truth: 0, or anything else for foreground.
        predicted: the same, as many.
        valid: 0 where a pixel does not count, as many; or empty, and all count.
        totals: int64 (4,), added to.
    """
    size, index = truth.size, 0
    both = true = said = counted = 0
    while index + 64 <= size:
        bits, answer = differs64(truth, index, 0), differs64(predicted, index, 0)
        if valid.size:
            mask = differs64(valid, index, 0)
            bits &= mask
            answer &= mask
            counted += ones(mask)
        both += ones(bits & answer)
        true += ones(bits)
        said += ones(answer)
        index += 64
    if not valid.size:
        counted = index
    for place in range(index, size):
        if not valid.size or valid[place] != 0:
            both += truth[place] != 0 and predicted[place] != 0
            true += truth[place] != 0
            said += predicted[place] != 0
            counted += 1
    totals[0] += both
    totals[1] += true
    totals[2] += said
    totals[3] += counted
