"""Weighted votes on files that hold a class id for each pixel as text: each pixel gets the class with most weight."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from maskwright.core.errors import InputError
from maskwright.ensembling.votes import Ballot, Made
from maskwright.ensembling.votes_rules import Step
from maskwright.ensembling.votes_table import Bytes, Numbers, Table


class ClassVote:
    """A program on class ids.

    Args:
        steps: of the program.
        size: (H, W) of every map if it is known.
    """

    def __init__(self, steps: Sequence[Step], size: tuple[int, int] | None = None) -> None:
        rows, inputs, weights = [], list[int](), list[int]()
        for step in steps:
            rows.append((len(inputs), len(inputs) + len(step.inputs)))
            inputs += step.inputs
            weights += step.weights
        self.pixels = None if size is None else size[0] * size[1]
        self.program = np.array(rows, np.int64)
        self.inputs, self.weights = np.array(inputs, np.int64), np.array(weights, np.int64)

    def make(self, ballot: Ballot, first: int, last: int) -> Made:
        """Vote on some rows; see votes.vote."""
        return b"".join(self._row(ballot, row) for row in range(first, last)), 0

    def _row(self, ballot: Ballot, row: int) -> bytes:
        from maskwright.ensembling import votes_class_kernels as kernels

        spans = [rows[row] for rows in ballot.spans]
        room = max(int(span[2] - span[1]) for span in spans) // 2 + 2
        labels = np.empty((len(spans) + len(self.program), room), np.uint8)
        counts = [
            _read(table, span, labels[n]) for n, (table, span) in enumerate(zip(ballot.tables, spans, strict=True))
        ]
        for table, span, count in zip(ballot.tables, spans, counts, strict=True):
            wanted = counts[0] if self.pixels is None else self.pixels
            if count != wanted or not count:
                other = ballot.tables[0].path.name if self.pixels is None else "the size"
                what = f"{count} class ids, but {other} has {wanted}" if count else "there are no class ids"
                raise InputError(what, where=table.where(span), fix="write one class id for each pixel")
        kernels.vote_labels(labels, self.program, self.inputs, self.weights, counts[0])
        head = bytes(ballot.order.data[int(ballot.lines[row, 0]) : int(ballot.lines[row, 1])])
        text = np.empty(len(head) + 4 * counts[0] + 8, np.uint8)
        text[: len(head)] = np.frombuffer(head, np.uint8)
        return text[: kernels.write_labels(labels[-1, : counts[0]], text, len(head))].tobytes()


def _read(table: Table, span: Numbers, labels: Bytes) -> int:
    """Read the class ids of a row; return how many there are."""
    from maskwright.ensembling import votes_class_kernels as kernels

    begin, end = int(span[1]), int(span[2])
    while begin < end and table.data[begin] in b' "\t':
        begin += 1
    while begin < end and table.data[end - 1] in b' "\t\r':
        end -= 1
    count = int(kernels.read_labels(table.data, begin, end, labels))
    if count < 0:
        place = -1 - count
        token = bytes(table.data[max(begin, place - 3) : min(end, place + 17)]).decode("utf-8", "replace").split()
        raise InputError(
            f"there is something that is no class id 0..255, near {' '.join(token)[:30]!r}",
            where=table.where(span),
            fix="write whole numbers between spaces",
        )
    return count
