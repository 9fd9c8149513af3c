"""Compiled halves of votes.py: run lengths of submission files read and written, from bytes to bytes.

Nothing here raises: a row that is not plain is given back by number, and Python looks at it.
Edges are places, from 0, where a mask turns to 1 or back, in turn; each list of edges ends with LIMIT.
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
    differs64,
    get,
    helper,
    kernel,
    load8,
    lowest,
    ones,
    outside64,
    place_of,
    put,
    put_runs4,
)
from maskwright.core.rle_kernels import WIDEST, write_edges

Bytes = NDArray[np.uint8]
Numbers = NDArray[np.int64]

FINE, ODD, FULL = range(3)
"""A row is done; Python must look at it; there is no room for what it gives."""
LIMIT = 1 << 46
"""Places end below this; it stands behind the last edge of every list."""

_TABLE = types.Array(types.int64, 2, "C", readonly=True)
_ONE = np.uint64(1)
_DIGIT_0 = np.uint64(0x3030303030303030)
_QUOTE, _FEED, _SPACE, _MINUS = 34, 10, 32, 45


@helper
def _trimmed(data: Bytes, begin: int, end: int) -> Any:
    """Take white space, then one pair of quotation marks, then white space off both ends."""
    for _ in range(2):
        while begin < end and (data[begin] == _SPACE or (data[begin] >= 9 and data[begin] <= 13)):
            begin += 1
        while begin < end and (data[end - 1] == _SPACE or (data[end - 1] >= 9 and data[end - 1] <= 13)):
            end -= 1
        if end - begin >= 2 and data[begin] == _QUOTE and data[end - 1] == _QUOTE:
            begin, end = begin + 1, end - 1
        else:
            break
    return begin, end


@helper
def _eight(text: int, begin: int, end: int) -> Any:
    """Return a whole number from its digits, any if there are more than 8; there are 8 bytes or more before `end`.

    Args:
        text: the bytes, or their address.
        begin: first digit.
        end: past the last.
    """
    unused = np.uint64((64 - 8 * (end - begin)) & 63)
    digits = ((load8(text, end - 8) ^ _DIGIT_0) >> unused) << unused
    pairs = (digits * np.uint64(10) + (digits >> np.uint64(8))) & np.uint64(0x00FF00FF00FF00FF)
    fours = (pairs * np.uint64(100) + (pairs >> np.uint64(16))) & np.uint64(0x0000FFFF0000FFFF)
    return np.int64((fours * np.uint64(10_000) + (fours >> np.uint64(32))) & np.uint64(0xFFFFFFFF))


@helper
def _number(data: Bytes, begin: int, end: int) -> Any:
    """Return a whole number from its digits, at most LIMIT; there are 8 bytes or more before `end`."""
    if end - begin <= 8:
        return _eight(place_of(data), begin, end)
    value: Any = 0
    for place in range(begin, end):
        value = min(value * 10 + np.int64(data[place]) - 48, LIMIT)
    return value


@helper
def _gaps(data: Bytes, index: int, end: int) -> Any:
    """Return which of 64 bytes are no digits, and which of these are no white space either, up to `end`."""
    if index + 64 <= data.size:
        gaps = outside64(data, index, 48, 57)
        strange = gaps & differs64(data, index, _SPACE) & outside64(data, index, 9, 13)
    else:
        gaps = strange = np.uint64(0)
        for place in range(data.size - index):
            byte = data[index + place]
            if byte < 48 or byte > 57:
                gaps |= _ONE << np.uint64(place)
                if byte != _SPACE and (byte < 9 or byte > 13):
                    strange |= _ONE << np.uint64(place)
    if index + 64 > end:
        last = _ONE << np.uint64(end - index)
        gaps, strange = (gaps & (last - _ONE)) | last, strange & (last - _ONE)
    return gaps, strange


@helper
def _listed(bits: Any, base: int, numbers: int, at: int) -> Any:
    """Append the places of the set bits at an address, eight at a time without asking; up to 7 more are written."""
    after = at + ones(bits)
    while at < after:
        for step in range(8):
            put(numbers, at + step, base + lowest(bits))
            bits &= bits - _ONE
        at += 8
    return after


@helper
def _ends(text: int, begin: int, end: int, ends: int) -> Any:
    """List where the numbers of a plain row end, from ends[1] on; return how many there are, or -1 if it is not plain.

    A plain row has one white space between its numbers, and nothing else; 64 bytes of the file are behind its last one.
    """
    index, after, before, odd = begin, 1, _ONE, np.uint64(0)
    while index <= end:  # the byte at `end` counts as a gap
        gaps = outside64(text, index, 48, 57)
        strange = gaps & differs64(text, index, _SPACE) & outside64(text, index, 9, 13)
        if index + 64 > end:
            last = _ONE << np.uint64(end - index)
            gaps, strange = (gaps & (last - _ONE)) | last, strange & (last - _ONE)
        odd = strange | (gaps & ((gaps << _ONE) | before))
        if odd != 0:
            break
        before = gaps >> np.uint64(63)
        after = _listed(gaps, index, ends, after)
        index += 64
    return after - 1 if odd == 0 else -1


@helper
def _numbers(data: Bytes, begin: int, end: int, edges: Numbers, at: int) -> int:
    """Append the numbers of one row; return the place after them, or -1 if something else stands there."""
    index = start = begin
    while index <= end:  # the byte at `end` counts as a gap
        gaps, strange = _gaps(data, index, end)
        if strange != 0:
            return -1
        while gaps != 0:
            stop = index + lowest(gaps)
            gaps &= gaps - _ONE
            if stop > start:
                edges[at] = _number(data, start, stop)
                at += 1
            start = stop + 1
        index += 64
    return at


@kernel(types.int64(BYTES, types.int64, types.int64, types.int64, types.int64, NUMBERS_OUT, types.int64))
def _odd_edges(data: Bytes, begin: int, end: int, base: int, last: int, edges: Numbers, at: int) -> int:
    """Do as _edges_of, for any white space and numbers of any length."""
    after = _numbers(data, begin, end, edges, at) if begin >= 8 else -1
    if after <= at or (after - at) & 1:
        return -1
    before, odd = np.int64(0), False
    for place in range(at, after, 2):
        start = edges[place] - base
        stop = start + edges[place + 1]
        edges[place], edges[place + 1] = start, stop
        odd |= (start < before) | (stop <= start) | (stop > last)
        before = stop
    if odd:
        return -1
    edges[after] = LIMIT
    return after + 1


@helper
def _edges_of(text: int, begin: int, end: int, base: int, last: int, ends: int, edges: int, at: int) -> int:
    """Append the edges of a plain row's runs and LIMIT; return the place after it, or -1 if it is not plain.

    Args:
        text: address of the file.
        begin: first byte of the value; there are 8 or more before it.
        end: past its last; there are 64 or more from it on.
        base: number of the first pixel.
        last: largest place there may be.
        ends: address of room for where numbers end.
        edges: address of edges.
        at: where to append.
    """
    put(ends, 0, begin - 1)
    count = _ends(text, begin, end, ends)
    if count < 0 or count & 1:
        return -1
    before = odd = index = 0
    while index + 8 <= count:
        odd |= put_runs4(text, ends, index + 1, before, base, edges, at + index)
        index += 8
        before = get(edges, at + index - 1)
    while index < count:
        zero, first, second = get(ends, index), get(ends, index + 1), get(ends, index + 2)
        start = _eight(text, zero + 1, first) - base
        stop = start + _eight(text, first + 1, second)
        odd |= int((first - zero > 9) | (second - first > 9) | (start < before) | (stop <= start))
        put(edges, at + index, start)
        put(edges, at + index + 1, stop)
        before = stop
        index += 2
    put(edges, at + count, LIMIT)
    return -1 if odd != 0 or before > last else at + count + 1


@helper
def _is(data: Bytes, begin: int, end: int, text: Bytes) -> bool:
    """Compare some bytes with a text."""
    same = end - begin == text.size
    for place in range(text.size if same else 0):
        same &= data[begin + place] == text[place]
    return same


@kernel(types.UniTuple(types.int64, 2)(BYTES, _TABLE, BYTES, types.int64, types.int64, NUMBERS_OUT, NUMBERS_OUT))
def read_runs(
    data: Bytes, spans: Numbers, empty: Bytes, base: int, last: int, edges: Numbers, places: Numbers
) -> tuple[int, int]:
    """Append the edges of some rows of one file.

    Args:
        data: the file.
        spans: int64 (R, 2), first byte and byte past each row's value.
        empty: one more text that stands for no pixels, beside nothing and -1.
        base: number of the first pixel.
        last: largest place there may be: the pixels of a mask, or below LIMIT.
        edges: from places[0] on there is room for half the bytes of the values, and 2 for each row.
        places: int64 (R + 1,); places[0] is given, the others are filled: where each row's edges begin, and the end.

    Returns:
        Status and row: the first that is not plain, which Python reads.
    """
    at, text, numbers = places[0], place_of(data), place_of(edges)
    most = 0
    for row in range(spans.shape[0]):
        most = max(most, spans[row, 1] - spans[row, 0])
    ends = np.empty(most // 2 + 16, np.int64)
    for row in range(spans.shape[0]):
        begin, end = _trimmed(data, spans[row, 0], spans[row, 1])
        minus = end - begin == 2 and data[begin] == _MINUS and data[begin + 1] == 49
        if begin == end or minus or _is(data, begin, end, empty):
            edges[at] = LIMIT
            at += 1
        else:
            after = -1
            if begin >= 8 and end + 64 <= data.size:
                after = _edges_of(text, begin, end, base, last, place_of(ends), numbers, at)
            if after < 0:
                after = _odd_edges(data, begin, end, base, last, edges, at)
            if after < 0:
                return ODD, row
            at = after
        places[row + 1] = at
    return FINE, spans.shape[0]


@kernel(types.UniTuple(types.int64, 3)(BYTES, _TABLE, NUMBERS, NUMBERS, types.int64, BYTES, BYTES_OUT))
def write_rows(
    data: Bytes, spans: Numbers, edges: Numbers, answers: Numbers, base: int, empty: Bytes, text: Bytes
) -> tuple[int, int, int]:
    """Write rows: id as it stands in the first file, then run lengths, then a line feed.

    Args:
        data: the first file.
        spans: int64 (R, 2), first byte of each row and of its value.
        edges: the answers.
        answers: int64 (R + 1,), where each begins.
        base: number of the first pixel.
        empty: text for a mask without pixels.
        text: room for every id, WIDEST bytes for each run, `empty` and 16 bytes for each row.

    Returns:
        Status, bytes written, and rows without pixels.
    """
    at = blank = 0
    for row in range(spans.shape[0]):
        runs = edges[answers[row] : answers[row + 1] - 1]
        if text.size - at < spans[row, 1] - spans[row, 0] + runs.size // 2 * WIDEST + empty.size + 16:
            return FULL, at, row
        for place in range(spans[row, 0], spans[row, 1]):
            text[at] = data[place]
            at += 1
        if runs.size == 0:
            blank += 1
            for place in range(empty.size):
                text[at] = empty[place]
                at += 1
            text[at] = _FEED
            at += 1
        else:
            at += write_edges(runs, base, text[at:])
            text[at - 1] = _FEED
    return FINE, at, blank
