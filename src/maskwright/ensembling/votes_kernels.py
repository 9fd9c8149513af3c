"""Compiled halves of votes.py: rows of a CSV found and joined, run lengths voted on from bytes to bytes.

Nothing here raises and no pixel is made: a row that is not plain is given back by number, and Python looks at it.
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
    Word,
    differs64,
    helper,
    kernel,
    load8,
    lowest,
    outside64,
)
from maskwright.core.rle_kernels import WIDEST, write_edges

Bytes = NDArray[np.uint8]
Numbers = NDArray[np.int64]

FINE, ODD, FULL = range(3)
"""A row is done; Python must look at it; there is no room for what it gives."""
SHIFT = 16
"""Bits for the number of a voter beside a place: 65,536 voters at most."""
LIMIT = 1 << 46
"""Places end below this; it stands behind the last edge of every list."""
VOTE, PICK = 0, 1
"""Kinds of a step: a weighted vote of its inputs, or one input for each row."""

_TABLE = types.Array(types.int64, 2, "C", readonly=True)
_TABLE_OUT = types.Array(types.int64, 2, "C")
_ONE = np.uint64(1)
_DIGIT_0 = np.uint64(0x3030303030303030)
_FNV, _PRIME = np.uint64(0xCBF29CE484222325), np.uint64(0x100000001B3)
_QUOTE, _COMMA, _FEED, _RETURN, _SPACE, _MINUS = 34, 44, 10, 13, 32, 45


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


@kernel(types.void(BYTES, _TABLE, NUMBERS, BYTES, _TABLE, NUMBERS_OUT))
def find(data: Bytes, rows: Numbers, slots: Numbers, other: Bytes, theirs: Numbers, found: Numbers) -> None:
    """Look up the ids of another file; `found` gets the row of the first file for each, or -1.

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
        near = row < rows.shape[0] and rows[row, 3] == code  # nearly always: the same order
        if near and _same(data, rows[row, 0], rows[row, 1], other, begin, end):
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


@helper
def _number(data: Bytes, begin: int, end: int) -> Any:
    """Return a whole number from its digits, at most LIMIT."""
    length = end - begin
    if length <= 8 and end >= 8:
        unused = np.uint64(64 - 8 * length)
        digits = ((load8(data, end - 8) ^ _DIGIT_0) >> unused) << unused
        pairs = (digits * np.uint64(10) + (digits >> np.uint64(8))) & np.uint64(0x00FF00FF00FF00FF)
        fours = (pairs * np.uint64(100) + (pairs >> np.uint64(16))) & np.uint64(0x0000FFFF0000FFFF)
        return np.int64((fours * np.uint64(10_000) + (fours >> np.uint64(32))) & np.uint64(0xFFFFFFFF))
    value: Any = 0
    for place in range(begin, end):
        value = min(value * 10 + np.int64(data[place]) - 48, LIMIT)
    return value


@helper
def _gaps(data: Bytes, index: int, end: int) -> Any:
    """Return which of 64 bytes are no digits, and which of these are no white space either; past `end` all are gaps."""
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
        inside = (_ONE << np.uint64(end - index)) - _ONE
        gaps, strange = gaps | ~inside, strange & inside
    return gaps, strange


@helper
def _edges_of(data: Bytes, begin: int, end: int, base: int, last: int, edges: Numbers, at: int) -> int:
    """Append the edges of one row's runs and LIMIT; return the place after it, or -1 if the row is not plain."""
    index = start = begin
    before, count, odd = np.int64(0), 0, False
    while index < end:
        gaps, strange = _gaps(data, index, end)
        if strange != 0:
            return -1
        while gaps != 0:
            stop = index + lowest(gaps)
            gaps &= gaps - _ONE
            if stop > start:
                value = _number(data, start, stop)
                place = value + (before if count & 1 else np.int64(-base))
                # the first run may begin at 0; others begin where one ends, or later; ends lie behind starts
                odd |= (place < before) | ((place == before) & ((count & 1) == 1)) | (place > last)
                edges[at] = place
                before = place
                at += 1
                count += 1
            start = stop + 1
            if stop >= end:
                break
        index += 64
    if start < end:  # the last number ends with the text, at the end of a word
        value = _number(data, start, end)
        place = value + (before if count & 1 else np.int64(-base))
        odd |= (place < before) | ((place == before) & ((count & 1) == 1)) | (place > last)
        edges[at] = place
        at += 1
        count += 1
    if odd or count & 1 or count == 0:
        return -1
    edges[at] = LIMIT
    return at + 1


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
    at = places[0]
    for row in range(spans.shape[0]):
        begin, end = _trimmed(data, spans[row, 0], spans[row, 1])
        minus = end - begin == 2 and data[begin] == _MINUS and data[begin + 1] == 49
        if begin == end or minus or _is(data, begin, end, empty):
            edges[at] = LIMIT
            at += 1
        else:
            after = _edges_of(data, begin, end, base, last, edges, at)
            if after < 0:
                return ODD, row
            at = after
        places[row + 1] = at
    return FINE, spans.shape[0]


@helper
def _sweep(edges: Numbers, cursors: Numbers, steps: Numbers, tree: Numbers, size: int, need: int, out: int) -> int:
    """Walk over the edges of all voters in order, and append the edges of where their weights reach `need`.

    A tree of losers finds the next edge: at each of its knots the larger of two waits, so that one way up gives the
    least (Knuth, The Art of Computer Programming 3, 5.4.1).

    Args:
        edges: lists that end with LIMIT; the answer is appended at `out`, and ends so too.
        cursors: (size,) first edge of each voter; moved.
        steps: (size,) weight of each voter; turned to and fro.
        tree: (2 size,), room.
        size: voters, filled up with empty ones to a power of two.
        need: the sum of weights that is enough, 1 or more.
        out: where the answer begins.

    Returns:
        the place after it.
    """
    for voter in range(size):
        tree[size + voter] = (edges[cursors[voter]] << SHIFT) | voter
    for knot in range(size - 1, 0, -1):
        left, right = tree[2 * knot], tree[2 * knot + 1]
        tree[knot] = min(left, right)
    current = tree[1]
    for knot in range(1, size):  # the winner of a knot is above it; what stays is the loser
        left, right = tree[2 * knot], tree[2 * knot + 1]
        tree[knot] = max(left, right)
    begin, total, inside = out, np.int64(0), False
    while (current >> SHIFT) < LIMIT:
        voter, place = current & ((1 << SHIFT) - 1), current >> SHIFT
        total += steps[voter]
        steps[voter] = -steps[voter]
        cursors[voter] += 1
        current = (edges[cursors[voter]] << SHIFT) | voter
        knot = (voter + size) >> 1
        while knot > 0:
            waits = tree[knot]
            tree[knot] = max(waits, current)
            current = min(waits, current)
            knot >>= 1
        if (total >= need) != inside:
            inside = not inside
            if out > begin and edges[out - 1] == place:
                out -= 1  # there and back at one place
            else:
                edges[out] = place
                out += 1
    edges[out] = LIMIT
    return out + 1


@kernel(types.UniTuple(types.int64, 3)(NUMBERS_OUT, _TABLE, _TABLE, NUMBERS, NUMBERS, _TABLE, types.int64, NUMBERS_OUT))
def vote_rows(
    edges: Numbers,
    places: Numbers,
    program: Numbers,
    inputs: Numbers,
    weights: Numbers,
    choices: Numbers,
    work: int,
    answers: Numbers,
) -> tuple[int, int, int]:
    """Take rows through all steps of a program.

    Args:
        edges: of all files and rows; room for all answers from `work` on.
        places: int64 (M, R + 1), where each row of each file begins.
        program: int64 (S, 4) steps: kind, first of its inputs, past the last of them, what it needs.
        inputs: files 0..M-1 and steps M.. whose answers are asked.
        weights: of the inputs.
        choices: int64 (S, R), for PICK: the input of each row, counted from the step's first.
        work: where answers begin in `edges`; those of inner steps are overwritten by the next row's.
        answers: int64 (R + 1,), filled: where each row's answer begins, and the end.

    Returns:
        Status, rows done, and the place after the last answer.
    """
    files, rows, steps = places.shape[0], places.shape[1] - 1, program.shape[0]
    most = 1
    for step in range(steps):
        while most < program[step, 2] - program[step, 1]:
            most *= 2
    cursors, turns, tree = np.empty(most, np.int64), np.empty(most, np.int64), np.empty(2 * most, np.int64)
    given = np.empty(files + steps, np.int64)
    nothing = work  # one empty list for voters that only fill up
    edges[nothing] = LIMIT
    at = work + 1
    for row in range(rows):
        for file in range(files):
            given[file] = places[file, row]
        inner = at
        for step in range(steps):
            first, last = program[step, 1], program[step, 2]
            size = 1
            if program[step, 0] == PICK:
                cursors[0], turns[0] = given[inputs[first + choices[step, row]]], 1
            else:
                while size < last - first:
                    size *= 2
                for voter in range(size):
                    real = first + voter < last
                    cursors[voter] = given[inputs[first + voter]] if real else nothing
                    turns[voter] = weights[first + voter] if real else 0
            given[files + step] = inner
            inner = _sweep(edges, cursors, turns, tree, size, program[step, 3], inner)
        answers[row] = at
        last_one = given[files + steps - 1]
        while edges[last_one] < LIMIT and last_one > at:  # down over the answers of inner steps
            edges[at] = edges[last_one]
            at, last_one = at + 1, last_one + 1
        at = inner if last_one == at else at + 1
        edges[at - 1] = LIMIT
    answers[rows] = at
    return FINE, rows, at


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
