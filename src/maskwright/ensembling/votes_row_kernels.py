"""Compiled halves of votes_table.py: rows of a CSV file found, split into id and value, and joined by id.

Nothing here raises: a line that is not plain is given back by number. A row is four numbers: its first byte, the first
byte of its value, the byte past that, and a hash of its id.
"""

from __future__ import annotations

import numpy as np
from numba import types
from numpy.typing import NDArray

from maskwright.core.compiled import BYTES, NUMBERS, NUMBERS_OUT, Word, differs64, helper, kernel, lowest

Bytes = NDArray[np.uint8]
Numbers = NDArray[np.int64]

_TABLE = types.Array(types.int64, 2, "C", readonly=True)
_TABLE_OUT = types.Array(types.int64, 2, "C")
_ONE = np.uint64(1)
_FNV, _PRIME = np.uint64(0xCBF29CE484222325), np.uint64(0x100000001B3)
"""FNV-1a of 64 bits (Fowler, Noll, Vo)."""
_QUOTE, _COMMA, _FEED, _RETURN = 34, 44, 10, 13


@helper
def _marks(data: Bytes, index: int) -> Word:
    """Return which of 64 bytes from `index` are line feeds or quotation marks, one bit each; none are past the end."""
    if index + 64 <= data.size:
        return ~(differs64(data, index, _FEED) & differs64(data, index, _QUOTE))
    bits = np.uint64(0)
    for place in range(data.size - index):
        if data[index + place] == _FEED or data[index + place] == _QUOTE:
            bits |= _ONE << np.uint64(place)
    return bits


@kernel(types.UniTuple(types.int64, 3)(BYTES, types.int64, types.int64, types.int64, NUMBERS_OUT))
def line_ends(data: Bytes, at: int, stop: int, quoted: int, ends: Numbers) -> tuple[int, int, int]:
    """Find line feeds outside quotation marks.

    Args:
        data: the file.
        at: where to begin.
        stop: where to stop; whole words of 64 bytes are looked at, so it may be passed by 63.
        quoted: 1 if `at` lies inside quotation marks.
        ends: filled with the places of line feeds.

    Returns:
        How many were found, where to go on, and whether that lies inside quotation marks. When `ends` is full it goes
        on behind its last one.
    """
    count = 0
    while at < stop:
        marks = _marks(data, at)
        while marks != 0:
            place = at + lowest(marks)
            marks &= marks - _ONE
            if data[place] == _QUOTE:
                quoted ^= 1
            elif quoted == 0:
                ends[count] = place
                count += 1
                if count == ends.size:
                    return count, place + 1, 0
        at += 64
    return count, min(at, data.size), quoted


@kernel(types.UniTuple(types.int64, 2)(BYTES, NUMBERS, types.int64, _TABLE_OUT))
def read_rows(data: Bytes, lines: Numbers, keys: int, rows: Numbers) -> tuple[int, int]:
    """Split lines into id and value; the id is the first `keys` cells.

    Args:
        data: the file.
        lines: int64 (N + 1,): each line's first byte, and one past the last line's line feed.
        keys: cells that name a row, 1 or more.
        rows: int64 (N, 4), filled: first byte, first byte of the value, byte past it, and a number made of the id
            without its quotation marks; blank lines are left out.

    Returns:
        Rows found, and -1, or the line that has too few cells or an id with a comma or quotation mark inside.
    """
    count = 0
    for line in range(lines.size - 1):
        begin, end = lines[line], lines[line + 1] - 1
        if end > begin and data[end - 1] == _RETURN:
            end -= 1
        if begin == end:
            continue
        at, left, code, quoted, closed, fresh = begin, keys, _FNV, False, False, True
        while at < end and left > 0:
            byte = data[at]
            if byte == _QUOTE:
                if not (quoted or fresh):
                    return count, line
                closed = quoted
                quoted = not quoted
                fresh = False
            elif byte == _COMMA and not quoted:
                left -= 1
                closed, fresh = False, True
                code = (code ^ np.uint64(byte)) * _PRIME
            elif closed or (quoted and byte in (_COMMA, _FEED)):
                return count, line
            else:
                fresh = False
                code = (code ^ np.uint64(byte)) * _PRIME
            at += 1
        if left > 0:
            return count, line
        rows[count, 0], rows[count, 1], rows[count, 2] = begin, at, end
        rows[count, 3] = np.int64(code ^ (code >> np.uint64(29)))
        count += 1
    return count, -1


@helper
def _same(one: Bytes, at: int, end: int, other: Bytes, place: int, stop: int) -> bool:
    """Compare two ids, quotation marks left out."""
    while True:
        while at < end and one[at] == _QUOTE:
            at += 1
        while place < stop and other[place] == _QUOTE:
            place += 1
        if at == end or place == stop:
            return at == end and place == stop
        if one[at] != other[place]:
            return False
        at, place = at + 1, place + 1


@kernel(types.int64(BYTES, _TABLE, NUMBERS_OUT))
def claim(data: Bytes, rows: Numbers, slots: Numbers) -> int:
    """Put every id into a table of open addresses; return -1, or the first row whose id was there before.

    Args:
        data: the file.
        rows: int64 (N, 4), see read_rows.
        slots: a power of two of them, more than rows, all 0; filled with row + 1.
    """
    mask = slots.size - 1
    for row in range(rows.shape[0]):
        slot = rows[row, 3] & mask
        while slots[slot] != 0:
            known = slots[slot] - 1
            if rows[known, 3] == rows[row, 3] and _same(
                data, rows[row, 0], rows[row, 1], data, rows[known, 0], rows[known, 1]
            ):
                return row
            slot = (slot + 1) & mask
        slots[slot] = row + 1
    return -1


@kernel(types.int64(BYTES, _TABLE, BYTES, _TABLE))
def stranger(one: Bytes, rows: Numbers, other: Bytes, theirs: Numbers) -> int:
    """Return the first row whose id is not the same in two files, or -1.

    Args:
        one: a file.
        rows: int64 (N, 4), some of its rows.
        other: the other file.
        theirs: int64 (N, 4), those of its rows which are said to have the same ids.
    """
    for row in range(rows.shape[0]):
        if not _same(one, rows[row, 0], rows[row, 1], other, theirs[row, 0], theirs[row, 1]):
            return row
    return -1


@kernel(types.void(BYTES, _TABLE, NUMBERS, BYTES, _TABLE, NUMBERS_OUT))
def find(data: Bytes, rows: Numbers, slots: Numbers, other: Bytes, theirs: Numbers, found: Numbers) -> None:
    """Look up the ids of another file; `found` gets the row of the first file for each, or -1.

    Ids at the same place with the same hash are taken for the same without a look into the files, whose pages would all
    have to come again: `stranger` looks once a row is read anyway.

    Args:
        data: the first file.
        rows: its rows, see read_rows.
        slots: from claim.
        other: the other file.
        theirs: its rows.
        found: int64, one for each row of the other file.
    """
    mask = slots.size - 1
    for row in range(theirs.shape[0]):
        begin, end, code = theirs[row, 0], theirs[row, 1], theirs[row, 3]
        if row < rows.shape[0] and rows[row, 3] == code:  # nearly always: the same order
            found[row] = row
            continue
        slot = code & mask
        found[row] = -1
        while slots[slot] != 0:
            known = slots[slot] - 1
            if rows[known, 3] == code and _same(data, rows[known, 0], rows[known, 1], other, begin, end):
                found[row] = known
                break
            slot = (slot + 1) & mask
