"""Hard and weighted votes on submission files, joined by id and counted on runs: no pixel is decoded.

Rows are voted on in blocks by a few threads, each from mapped bytes to bytes; what stays in memory is an index of ids.
Weights are whole numbers (votes_rules.py), so a sum is exact and a pixel at the threshold is in.
"""

from __future__ import annotations

import os
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from typing import BinaryIO, NamedTuple

import numpy as np
from numpy.typing import NDArray

from maskwright.core import rle
from maskwright.core.errors import InputError, unknown
from maskwright.core.files import atomic_path, sweep_abandoned
from maskwright.core.stop import Stop
from maskwright.ensembling.votes_rules import Program, Step
from maskwright.ensembling.votes_table import Dialect, Numbers, Table, join, strangers

BLOCK = 1 << 19
"""Bytes of all files that one thread votes on at once: they and their edges stay in the second cache."""
BLOCKS_KEPT = 64
"""Blocks after which the pages of files are given back."""
WRITTEN = 1 << 22
"""Bytes after which the disk is given work, so that the last sync has not all of it to wait for."""
MOST_THREADS = 8


@dataclass(frozen=True)
class Voted:
    """What was written."""

    path: Path
    rows: int
    files: int
    empty: int
    """Rows without pixels; for classes 0."""


class Ballot(NamedTuple):
    """Files joined by id: the same row number is the same id in all of them."""

    order: Table
    """Whose ids and header are written."""
    lines: Numbers
    """int64 (N, 4), its rows, see Table."""
    tables: tuple[Table, ...]
    spans: tuple[Numbers, ...]
    """Rows of each file."""


class Shape(NamedTuple):
    """What is known of masks."""

    empty: str
    """Text for a mask without pixels."""
    size: tuple[int, int] | None
    """(H, W)."""


Made = tuple[bytes, int]
"""Text of a block of rows, and how many of them are empty."""
Maker = Callable[[Ballot, int, int], Made]


def vote(
    program: Program, dialect: Dialect, output: Path, sample: Path | None, shape: Shape, stop: Stop | None = None
) -> Voted:
    """Vote on submission files and write one; it is whole or absent.

    Args:
        program: the files, and who is asked how.
        dialect: how the files are written.
        output: file to write, in the same dialect.
        sample: file whose ids and order count; None: the first member's.
        shape: text for no pixels, and the size of masks if it is known.
        stop: looked at between blocks; nothing is written when it is raised.

    Returns:
        what was written.

    Raises:
        InputError: a file that is not of the dialect, ids that differ, runs that are malformed or leave the mask.
        StorageError: disk full or no permission.
    """
    if any(output.resolve() == path.resolve() for path in program.files):
        raise InputError("the output is one of the members", where=output, fix="write to another file")
    ballot = open_ballot(program.files, dialect, sample)
    make = _maker(program, dialect, ballot, shape)
    blank = written = 0
    sweep_abandoned(output)
    with atomic_path(output) as temporary, temporary.open("wb") as stream:
        stream.write(",".join(_quoted(cell) for cell in ballot.order.header).encode() + b"\n")
        for text, empty in _blocks(ballot, make):
            stream.write(text)
            blank += empty
            written += len(text)
            if written >= WRITTEN:
                written = 0
                _begin_to_write(stream)
            if stop is not None:
                stop.check("nothing is written")
    return Voted(output, len(ballot.lines), len(program.files), blank)


def _begin_to_write(stream: BinaryIO) -> None:
    """Have the disk begin with what was written, where the system can be told so, without waiting for it."""
    stream.flush()
    with suppress(AttributeError, OSError):  # systems and file systems without it lose nothing but time
        os.posix_fadvise(stream.fileno(), 0, 0, os.POSIX_FADV_DONTNEED)


def open_ballot(files: Sequence[Path], dialect: Dialect, sample: Path | None) -> Ballot:
    """Open files and join their rows by id.

    Raises:
        InputError: see Table and join; files whose columns differ.
    """
    paths = [*([] if sample is None else [sample]), *files]
    with ThreadPoolExecutor(_threads()) as pool:
        tables = list(pool.map(lambda path: Table(path, dialect), paths))
        for table in tables[1:]:
            if table.header != tables[0].header:
                said, other = ",".join(table.header), ",".join(tables[0].header)
                what = f"the header is {said[:80]!r}, but {tables[0].path.name} has {other[:80]!r}"
                raise InputError(what, where=f"{table.path}:1", fix="vote on files of the same columns")
        joined = join(tables[0], tables[1:], pool)
    begin = 0 if sample is None else 1
    return Ballot(tables[0], joined[0], tuple(tables[begin:]), tuple(joined[begin:]))


def _maker(program: Program, dialect: Dialect, ballot: Ballot, shape: Shape) -> Maker:
    if dialect.classes:
        from maskwright.ensembling.votes_classes import ClassVote

        return ClassVote(program.steps, shape.size).make
    return RunVote(program.steps, dialect, ballot, shape).make


def _quoted(cell: str) -> str:
    return f'"{cell}"' if "," in cell else cell


def _threads() -> int:
    return min(MOST_THREADS, len(os.sched_getaffinity(0)))


def _checked(make: Maker, ballot: Ballot, first: int, last: int) -> Made:
    """Make some rows whose ids are seen to be the same; join has compared hashes of most."""
    from maskwright.ensembling import votes_row_kernels as kernels

    order, lines = ballot.order, ballot.lines[first:last]
    for table, spans in zip(ballot.tables, ballot.spans, strict=True):
        row = -1 if table is order else kernels.stranger(order.data, lines, table.data, spans[first:last])
        if row >= 0:
            raise strangers(order, table, lines[row : row + 1], spans[first + row : first + row + 1])
    return make(ballot, first, last)


def _blocks(ballot: Ballot, make: Maker) -> Iterator[Made]:
    """Yield the text of all rows, in order, made by a few threads."""
    sizes = np.sum([spans[:, 2] - spans[:, 1] for spans in ballot.spans], axis=0) + 1
    ends = np.cumsum(sizes)
    cuts, row = [0], 0
    while row < len(ends):
        reached = int(ends[row - 1]) if row else 0
        row = max(row + 1, int(np.searchsorted(ends, reached + BLOCK, side="right")))
        cuts.append(row)
    waiting: deque[Future[Made]] = deque()
    threads, done = _threads(), 0
    with ThreadPoolExecutor(threads) as pool:
        try:
            for first, last in pairwise(cuts):
                waiting.append(pool.submit(_checked, make, ballot, first, last))
                if len(waiting) > 3 * threads:
                    yield waiting.popleft().result()
                    done += 1
                    if done % BLOCKS_KEPT == 0:
                        for table in {id(table): table for table in (ballot.order, *ballot.tables)}.values():
                            table.forget()
            while waiting:
                yield waiting.popleft().result()
        finally:
            for future in waiting:
                future.cancel()


class RunVote:
    """A program on masks in run lengths.

    Args:
        steps: of the program.
        dialect: gives the number of the first pixel.
        ballot: for rule best, the classes of its rows.
        shape: text for no pixels, and the size of masks.
    """

    def __init__(self, steps: Sequence[Step], dialect: Dialect, ballot: Ballot, shape: Shape) -> None:
        from maskwright.ensembling import votes_edge_kernels as edge_kernels
        from maskwright.ensembling import votes_kernels as kernels

        self.base, self.empty = dialect.base, np.frombuffer(shape.empty.encode(), np.uint8)
        self.texts = tuple(dict.fromkeys((*rle.EMPTY, shape.empty)))
        self.size = shape.size or (1, edge_kernels.LIMIT - 1)
        self.last = min(self.size[0] * self.size[1], edge_kernels.LIMIT - 1)
        self.choices = np.zeros((len(steps), len(ballot.lines)), np.int32)
        rows, inputs, weights = [], list[int](), list[int]()
        for number, step in enumerate(steps):
            kind = kernels.PICK if step.rule == "best" else kernels.VOTE
            rows.append((kind, len(inputs), len(inputs) + len(step.inputs), step.need))
            inputs += step.inputs
            weights += step.weights or (1,) * len(step.inputs)
            if step.best is not None:
                self.choices[number] = _choices(step, ballot)
        self.program = np.array(rows, np.int64)
        self.inputs, self.weights = np.array(inputs, np.int64), np.array(weights, np.int64)

    def make(self, ballot: Ballot, first: int, last: int) -> Made:
        """Vote on some rows; see _blocks."""
        from maskwright.ensembling import votes_edge_kernels as edge_kernels
        from maskwright.ensembling import votes_kernels as kernels

        rows, files = last - first, len(ballot.tables)
        parts = [np.ascontiguousarray(spans[first:last, 1:3]) for spans in ballot.spans]
        most = [int((part[:, 1] - part[:, 0]).sum()) for part in parts]
        room = sum(most) // 2 + 3 * rows * (files + 1)
        edges = np.empty(2 * room + (room + 1) * len(self.program) + kernels.STRETCH + 8, np.int64)
        places, at = np.zeros((files, rows + 1), np.int64), 0
        for number, (table, part) in enumerate(zip(ballot.tables, parts, strict=True)):
            places[number, 0] = at
            self._read(table, ballot.spans[number][first:last], part, edges, places[number])
            at = int(places[number, rows])
        answers = np.empty(rows + 1, np.int64)
        choices = np.ascontiguousarray(self.choices[:, first:last]).astype(np.int64)
        kernels.vote_rows(edges, places, self.program, self.inputs, self.weights, choices, at, answers)
        lines = np.ascontiguousarray(ballot.lines[first:last, :2])
        size = 2 * max(most) + int((lines[:, 1] - lines[:, 0]).sum()) + (1 << 12)
        while True:
            text = np.empty(size, np.uint8)
            status, written, blank = edge_kernels.write_rows(
                ballot.order.data, lines, edges, answers, self.base, self.empty, text
            )
            if status == edge_kernels.FINE:
                return text[:written].tobytes(), blank
            size *= 2

    def _read(self, table: Table, spans: Numbers, part: Numbers, edges: Numbers, places: Numbers) -> None:
        """Append the edges of rows of one file; rows that are not plain are read by core.rle, which says why."""
        from maskwright.ensembling import votes_edge_kernels as kernels

        done = 0
        while True:
            status, rows = kernels.read_runs(
                table.data, part[done:], self.empty, self.base, self.last, edges, places[done:]
            )
            done += rows
            if status == kernels.FINE:
                return
            span = spans[done]
            starts, lengths = rle.parse(table.text(span), self.size, self.base, self.texts, table.where(span))
            at, end = int(places[done]), int(places[done]) + 2 * len(starts)
            edges[at:end:2], edges[at + 1 : end : 2], edges[end] = starts, starts + lengths, kernels.LIMIT
            done += 1
            places[done] = end + 1


def _choices(step: Step, ballot: Ballot) -> NDArray[np.int32]:
    """Return the number of the input that each row is taken from."""
    assert step.best is not None
    if len(ballot.order.header) < 3:
        raise InputError(
            f"the columns {','.join(ballot.order.header)} hold no class", where=step.name, fix="use another rule"
        )
    found = np.empty(len(ballot.lines), np.int32)
    for number, row in enumerate(ballot.lines):
        kind = ballot.order.name(row).rpartition(",")[2]
        if kind not in step.best:
            raise unknown("class", kind, step.best, ballot.order.where(row))
        found[number] = step.best[kind]
    return found
