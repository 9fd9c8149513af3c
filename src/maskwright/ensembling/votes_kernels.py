"""Compiled halves of votes.py: run lengths read, voted on and written, from bytes to bytes; no pixel is made.

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
LIMIT = 1 << 46
"""Places end below this; it stands behind the last edge of every list."""
STRETCH = 1 << 12
"""Places that are looked at together: what their weights change by fits the first cache."""
VOTE, PICK = 0, 1
"""Kinds of a step: a weighted vote of its inputs, or one input for each row."""

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
def _number(data: Bytes, begin: int, end: int) -> Any:
    """Return a whole number from its digits, at most LIMIT; there are 8 bytes or more before `end`."""
    length = end - begin
    if length <= 8:
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


@helper
def _edges_of(data: Bytes, begin: int, end: int, base: int, last: int, edges: Numbers, at: int) -> int:
    """Append the edges of one row's runs and LIMIT; return the place after it, or -1 if the row is not plain."""
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
def _sweep(edges: Numbers, cursors: Numbers, turns: Numbers, room: Numbers, marks: Any, need: int, out: int) -> Any:
    """Append the edges of where the weights of all voters reach `need`.

    Places are taken a stretch at a time: what weights change by at each place is added up in `room`, a bit marks the
    place, so that edges come in order without being compared, and stretches without edges are passed over.

    Args:
        edges: lists that end with LIMIT; the answer is appended at `out`, and ends so too.
        cursors: first edge of each voter; moved.
        turns: weight of each voter; turned to and fro.
        room: int64 (STRETCH,), all 0, and so left.
        marks: uint64 (STRETCH / 64,), all 0, and so left.
        need: the sum of weights that is enough, 1 or more.
        out: where the answer begins.

    Returns:
        the place after it.
    """
    total, inside = np.int64(0), False
    while True:
        first = np.int64(LIMIT)
        for voter in range(cursors.size):
            first = min(first, edges[cursors[voter]])
        if first >= LIMIT:
            break
        base = first - first % STRETCH
        for voter in range(cursors.size):
            cursor, turn = cursors[voter], turns[voter]
            place = edges[cursor] - base
            while place < STRETCH:
                room[place] += turn
                marks[place >> 6] |= _ONE << np.uint64(place & 63)
                turn = -turn
                cursor += 1
                place = edges[cursor] - base
            cursors[voter], turns[voter] = cursor, turn
        for word in range(marks.size):
            bits = marks[word]
            marks[word] = 0
            while bits != 0:
                place = (word << 6) + lowest(bits)
                bits &= bits - _ONE
                total += room[place]
                room[place] = 0
                edges[out] = base + place
                out += (total >= need) != inside
                inside = total >= need
    edges[out] = LIMIT
    return out + 1


@kernel(types.void(NUMBERS_OUT, _TABLE, _TABLE, NUMBERS, NUMBERS, _TABLE, types.int64, NUMBERS_OUT))
def vote_rows(
    edges: Numbers,
    places: Numbers,
    program: Numbers,
    inputs: Numbers,
    weights: Numbers,
    choices: Numbers,
    work: int,
    answers: Numbers,
) -> None:
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
    """
    files, rows, steps = places.shape[0], places.shape[1] - 1, program.shape[0]
    cursors, turns = np.empty(inputs.size, np.int64), np.empty(inputs.size, np.int64)
    room, marks = np.zeros(STRETCH, np.int64), np.zeros(STRETCH // 64, np.uint64)
    given = np.empty(files + steps, np.int64)
    at = work
    for row in range(rows):
        for file in range(files):
            given[file] = places[file, row]
        inner = at
        for step in range(steps):
            first, count = program[step, 1], program[step, 2] - program[step, 1]
            if program[step, 0] == PICK:
                first, count = first + choices[step, row], 1
            for voter in range(count):
                cursors[voter] = given[inputs[first + voter]]
                turns[voter] = weights[first + voter]
            given[files + step] = inner
            inner = _sweep(edges, cursors[:count], turns[:count], room, marks, program[step, 3], inner)
        answers[row] = at
        last_one = given[files + steps - 1]
        while edges[last_one] < LIMIT and last_one > at:  # down over the answers of inner steps
            edges[at] = edges[last_one]
            at, last_one = at + 1, last_one + 1
        at = inner if last_one == at else at + 1
        edges[at - 1] = LIMIT
    answers[rows] = at


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
