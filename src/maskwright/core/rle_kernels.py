"""Compiled halves of rle.py: pixels to edges, runs to digits, digits to runs, runs to pixels.

Edges are the sorted places, counted along the order, where 0 turns to 1 or back. Runs are laid out
as start, length, start, length, ... with starts from 0. Nothing here raises: parsing and checking
return a status that rle.py puts into words, and only runs that were checked are painted.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numba import types
from numpy.typing import NDArray

from maskwright.core.compiled import (
    BYTES,
    BYTES_OUT,
    NUMBERS,
    NUMBERS_OUT,
    Word,
    differs64,
    helper,
    kernel,
    load8,
    lowest,
    outside64,
    store8,
)

Bytes = NDArray[np.uint8]
Numbers = NDArray[np.int64]

FINE, NOT_A_NUMBER, TOO_MANY, BEFORE, NO_LENGTH, PAST_END, UNSORTED = range(7)
LARGEST = 10**17
"""Larger numbers are held at this: past the end of any mask, and the sum of two still fits 64 bits."""
WIDEST = 36
"""Bytes that one run can need in text: two numbers up to LARGEST and two spaces."""
SLACK = 8
"""Bytes after written text that whole-word writes may touch."""
BEFORE_TEXT, AFTER_TEXT = 8, 64
"""Spaces around text that is read, for wide reads."""

_ONE = np.uint64(1)
_LAST = np.uint64(63)
_SPACE = 32
_DIGIT_0 = np.uint64(0x3030303030303030)
_EIGHT_DIGITS = 10**8


@helper
def _bits(flat: Bytes, index: int, count: int) -> Word:
    """Return which of `count` (up to 64) pixels from `index` are set, one bit each."""
    if index + 64 <= flat.size:
        bits = differs64(flat, index, 0)
        return bits if count >= 64 else bits & ((_ONE << np.uint64(count)) - _ONE)
    bits = np.uint64(0)
    for place in range(count):
        if flat[index + place] != 0:
            bits |= _ONE << np.uint64(place)
    return bits


@helper
def _append(change: Word, index: int, edges: Numbers, count: int) -> int:
    """Append the place of every set bit while there is room; return the count as if there were."""
    while change != 0:
        if count < edges.size:
            edges[count] = index + lowest(change)
        count += 1
        change &= change - _ONE
    return count


@kernel(types.int64(BYTES, NUMBERS_OUT))
def row_edges(flat: Bytes, edges: Numbers) -> int:
    """Find the edges of a mask in row order; return how many there are, which may be more than fit."""
    size, count = flat.size, 0
    carry = np.uint64(0)
    for index in range(0, size - 63, 64):
        bits = differs64(flat, index, 0)
        count = _append(bits ^ ((bits << _ONE) | carry), index, edges, count)
        carry = bits >> _LAST
    rest = size - size % 64
    bits = _bits(flat, rest, size % 64)
    return _append(bits ^ ((bits << _ONE) | carry), rest, edges, count)


@helper
def _deal(change: Word, row: int, col: int, height: int, offsets: Numbers, edges: Numbers) -> None:
    """Give every set bit to its column: count it, and note its place if there is a list for it."""
    while change != 0:
        here = col + lowest(change)
        if edges.size:
            edges[offsets[here]] = here * height + row
        offsets[here] += 1
        change &= change - _ONE


@kernel(types.void(BYTES, types.int64, NUMBERS_OUT, NUMBERS_OUT))
def column_edges(flat: Bytes, width: int, offsets: Numbers, edges: Numbers) -> None:
    """Find the edges of a mask in column order, the one at the very end left out.

    Args:
        flat: pixels in row order, as everywhere.
        width: of the mask.
        offsets: int64 (width,): where each column's edges begin in `edges`; moved to where they end.
        edges: filled; if it is empty, edges are only counted.
    """
    height = flat.size // width
    before = np.uint8(0)
    for col in range(width):
        if (flat[col] != 0) != (before != 0):
            _deal(_ONE, 0, col, height, offsets, edges)
        before = flat[flat.size - width + col]
    for row in range(1, height):
        at, col = row * width, 0
        while col + 64 <= width:
            change = differs64(flat, at + col, 0) ^ differs64(flat, at + col - width, 0)
            _deal(change, row, col, height, offsets, edges)
            col += 64
        rest = width - col
        if rest:
            change = _bits(flat, at + col, rest) ^ _bits(flat, at + col - width, rest)
            _deal(change, row, col, height, offsets, edges)


@helper
def _put8(text: Bytes, at: int, value: Word, whole: bool) -> int:
    """Write a number below 10^8, with leading zeros if `whole`; return the place after it.

    Splits into halves by multiplication: 5243 / 2^19 is 1/100 and 103 / 2^10 is 1/10, exact in range.
    """
    high = value // np.uint64(10_000)
    word = high | ((value - high * np.uint64(10_000)) << np.uint64(32))
    part = ((word * np.uint64(5243)) >> np.uint64(19)) & np.uint64(0x0000007F0000007F)
    word = part | ((word - np.uint64(100) * part) << np.uint64(16))
    part = ((word * np.uint64(103)) >> np.uint64(10)) & np.uint64(0x000F000F000F000F)
    word = part | ((word - np.uint64(10) * part) << np.uint64(8))
    zeros = 0 if whole else min(lowest(word) >> 3, 7)
    store8(text, at, (word >> np.uint64(8 * zeros)) + _DIGIT_0)
    return at + 8 - zeros


@helper
def _put(text: Bytes, at: int, value: int) -> int:
    """Write a number up to LARGEST; return the place after it."""
    if value < _EIGHT_DIGITS:
        return _put8(text, at, np.uint64(value), False)
    upper, lower = value // _EIGHT_DIGITS, value % _EIGHT_DIGITS
    if upper < _EIGHT_DIGITS:
        at = _put8(text, at, np.uint64(upper), False)
    else:
        at = _put8(text, at, np.uint64(upper // _EIGHT_DIGITS), False)
        at = _put8(text, at, np.uint64(upper % _EIGHT_DIGITS), True)
    return _put8(text, at, np.uint64(lower), True)


@kernel(types.int64(NUMBERS, types.int64, BYTES_OUT))
def write_edges(edges: Numbers, base: int, text: Bytes) -> int:
    """Write edges as start and length, a space after each number; return the bytes written.

    Args:
        edges: int64 (2 n,), start and end of each run in turn.
        base: number of the first pixel.
        text: room for WIDEST bytes a run, and SLACK.
    """
    at = 0
    for index in range(0, edges.size - 1, 2):
        at = _put(text, at, edges[index] + base)
        text[at] = _SPACE
        at = _put(text, at + 1, edges[index + 1] - edges[index])
        text[at] = _SPACE
        at += 1
    return at


@helper
def _eight(digits: Word) -> Any:
    """Return the number that eight digits 0..9 stand for, the first in the lowest byte."""
    pairs = (digits * np.uint64(10) + (digits >> np.uint64(8))) & np.uint64(0x00FF00FF00FF00FF)
    fours = (pairs * np.uint64(100) + (pairs >> np.uint64(16))) & np.uint64(0x0000FFFF0000FFFF)
    return np.int64((fours * np.uint64(10_000) + (fours >> np.uint64(32))) & np.uint64(0xFFFFFFFF))


@kernel(types.UniTuple(types.int64, 3)(BYTES, types.int64, NUMBERS_OUT))
def parse_runs(text: Bytes, base: int, numbers: Numbers) -> tuple[int, int, int]:
    """Read whole numbers between white space and take `base` off every other one.

    Finds the gaps of 64 bytes at once, so that numbers do not wait for the ends of those before them.

    Args:
        text: BEFORE_TEXT spaces, ASCII, AFTER_TEXT spaces.
        base: number of the first pixel.
        numbers: filled; TOO_MANY is returned when it is full and another number comes.

    Returns:
        Status, how many numbers were read, and the byte of `text` that is no digit and no white space.
    """
    begin = index = BEFORE_TEXT
    count, room = 0, numbers.size
    while index + 64 <= text.size:
        gaps = outside64(text, index, 48, 57)
        odd = gaps & differs64(text, index, _SPACE) & outside64(text, index, 9, 13)
        if odd != 0:
            return NOT_A_NUMBER, count, index + lowest(odd)
        while gaps != 0:
            end = index + lowest(gaps)
            gaps &= gaps - _ONE
            length = end - begin
            if length:
                if count == room:
                    return TOO_MANY, count, begin
                if length <= 8:
                    unused = np.uint64(64 - 8 * length)
                    value = _eight(((load8(text, end - 8) ^ _DIGIT_0) >> unused) << unused)
                else:
                    value = 0
                    for place in range(begin, end):
                        value = min(value * 10 + np.int64(text[place]) - 48, LARGEST)
                numbers[count] = value if count & 1 else value - base
                count += 1
            begin = end + 1
        index += 64
    return FINE, count, index


@kernel(types.UniTuple(types.int64, 2)(NUMBERS, types.int64))
def check_runs(runs: Numbers, pixels: int) -> tuple[int, int]:
    """Check every run; return status and the run it is about.

    UNSORTED, returned when nothing else is wrong, means that some run starts before its forerunner ends.
    All is checked at once first, without a branch a run, since nearly always nothing is wrong.
    """
    end, odd = 0, False
    for index in range(0, runs.size, 2):
        start, length = runs[index], runs[index + 1]
        odd |= (start < end) | (length <= 0) | (length > pixels - start)
        end = start + length
    if not odd:
        return FINE, 0
    for index in range(0, runs.size, 2):
        start, length = runs[index], runs[index + 1]
        if start < 0:
            return BEFORE, index // 2
        if length <= 0:
            return NO_LENGTH, index // 2
        if length > pixels - start:
            return PAST_END, index // 2
    return UNSORTED, 0


@kernel(types.void(NUMBERS, BYTES_OUT))
def paint_rows(runs: Numbers, flat: Bytes) -> None:
    """Set the pixels of checked runs in row order; others stay as they are."""
    for index in range(0, runs.size, 2):
        flat[runs[index] : runs[index] + runs[index + 1]] = 1


@kernel(types.void(NUMBERS, types.int64, BYTES_OUT))
def paint_columns(runs: Numbers, width: int, flat: Bytes) -> None:
    """Paint checked runs in column order on a mask of zeros.

    Marks where a column changes, then carries each row's state down: strided writes of every pixel
    are ten times slower.
    """
    height = flat.size // width
    for index in range(0, runs.size, 2):
        start, end = runs[index], runs[index] + runs[index + 1]
        first, last = start // height, end // height
        flat[(start % height) * width + first] ^= 1
        for col in range(first + 1, min(last + 1, width)):
            flat[col] ^= 1
        if last < width:
            flat[(end % height) * width + last] ^= 1
    for row in range(1, height):
        above, here = flat[(row - 1) * width : row * width], flat[row * width : (row + 1) * width]
        for col in range(width):
            here[col] ^= above[col]
