"""Compiled half of votes.py: masks as lists of edges are voted on; no pixel is made.

Edges are places, from 0, where a mask turns to 1 or back, in turn; each list of edges ends with LIMIT.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numba import types
from numpy.typing import NDArray

from maskwright.core.compiled import (
    NUMBERS,
    NUMBERS_OUT,
    clear64,
    differs64,
    get,
    helper,
    kernel,
    lowest,
    ones,
    place_of,
    put,
    put1,
)
from maskwright.ensembling.votes_edge_kernels import LIMIT

Numbers = NDArray[np.int64]

STRETCH = 1 << 12
"""Places that are looked at together: what their weights change by fits the first cache."""
VOTE, PICK = 0, 1
"""Kinds of a step: a weighted vote of its inputs, or one input for each row."""

_TABLE = types.Array(types.int64, 2, "C", readonly=True)
_ONE = np.uint64(1)


@helper
def _marked(marks: int, room: int, base: int, total: int, need: int, edges: int, out: int) -> Any:
    """Go over a stretch's marked places in order and append those where the sum comes to `need` or falls below it.

    Args:
        marks: address of STRETCH bytes, 1 where the sum may change; set to 0.
        room: address of STRETCH numbers, what it changes by; set to 0.
        base: first place of the stretch.
        total: sum of weights before it.
        need: the sum that is enough.
        edges: address of edges.
        out: where to append; there is room for STRETCH and 8 more.

    Returns:
        the sum after the stretch, and the place after what was appended.
    """
    # where they are first, four at a time: how many a word holds cannot be foreseen
    last = out
    for word in range(0, STRETCH, 64):
        bits = differs64(marks, word, 0)
        clear64(marks, word)
        after = last + ones(bits)
        while True:
            for step in range(4):
                put(edges, last + step, word + lowest(bits))
                bits &= bits - _ONE
            last += 4
            if last >= after:
                break
        last = after
    inside = total >= need
    for index in range(out, last):
        place = get(edges, index)
        total += get(room, place)
        put(room, place, 0)
        put(edges, out, base + place)
        out += (total >= need) != inside
        inside = total >= need
    return total, out


@helper
def _sweep(edges: int, cursors: int, turns: int, voters: int, room: int, marks: int, need: int, out: int) -> Any:
    """Append the edges of where the weights of all voters reach `need`.

    Places are taken a stretch at a time: what weights change by at each place is added up in `room`, the place is
    marked, so that edges come in order without being compared, and stretches without edges are passed over.

    Args:
        edges: address of lists that end with LIMIT; the answer is appended at `out`, and ends so too.
        cursors: address of the first edge of each voter; moved.
        turns: address of the weight of each voter; turned to and fro.
        voters: how many there are.
        room: address of STRETCH numbers, all 0, and so left.
        marks: address of STRETCH bytes, all 0, and so left.
        need: the sum of weights that is enough, 1 or more.
        out: where the answer begins.

    Returns:
        the place after it.
    """
    total = 0
    while True:
        first: Any = LIMIT
        for voter in range(voters):
            first = min(first, get(edges, get(cursors, voter)))
        if first >= LIMIT:
            break
        base = first - first % STRETCH
        for voter in range(voters):
            cursor, turn = get(cursors, voter), get(turns, voter)
            place = get(edges, cursor) - base
            while place < STRETCH:
                put(room, place, get(room, place) + turn)
                put1(marks, place, 1)
                turn = -turn
                cursor += 1
                place = get(edges, cursor) - base
            put(cursors, voter, cursor)
            put(turns, voter, turn)
        total, out = _marked(marks, room, base, total, need, edges, out)
    put(edges, out, LIMIT)
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
        edges: of all files and rows; room for all answers from `work` on, and STRETCH and 8 more.
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
    room, marks = np.zeros(STRETCH, np.int64), np.zeros(STRETCH, np.uint8)
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
            inner = _sweep(
                place_of(edges),
                place_of(cursors),
                place_of(turns),
                count,
                place_of(room),
                place_of(marks),
                program[step, 3],
                inner,
            )
        answers[row] = at
        last_one = given[files + steps - 1]
        while edges[last_one] < LIMIT and last_one > at:  # down over the answers of inner steps
            edges[at] = edges[last_one]
            at, last_one = at + 1, last_one + 1
        at = inner if last_one == at else at + 1
        edges[at - 1] = LIMIT
    answers[rows] = at
    room[0], marks[0] = 0, 0  # arrays whose addresses are used live to their last use
