"""Submission files as mapped bytes with an index of ids: rows are joined by name, their values stay in the file."""

from __future__ import annotations

import mmap
from collections.abc import Sequence
from concurrent.futures import Executor
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from maskwright.core.errors import InputError, from_os_error, near

Bytes = NDArray[np.uint8]
Numbers = NDArray[np.int64]

STRIDE = 1 << 24
"""Bytes of a file that are looked at before its pages are given back."""
ROOM = 1 << 16
"""Lines found at once."""
NAMED = 3
"""Ids that a refusal names."""
PACKED = {b"\x1f\x8b": "gzip", b"PK\x03\x04": "zip", b"BZh": "bzip2", b"\xfd7zXZ": "xz", b"(\xb5/\xfd": "zstd"}
"""How files begin that hold submissions packed, and what they are."""
_BOM = b"\xef\xbb\xbf"


@dataclass(frozen=True)
class Dialect:
    """What a submission's columns are called, and what its last one holds."""

    keys: tuple[str, ...]
    """Columns that name a row together; empty: all but the last, whatever they are called."""
    value: str
    """The last column; empty: whatever it is called."""
    empty: str
    """What is written for a mask without pixels."""
    says: str
    """For people."""
    classes: bool = False
    """Whether the last column holds a class for each pixel instead of run lengths."""
    base: int = 1
    """Number of the first pixel of run lengths."""

    @property
    def columns(self) -> tuple[str, ...]:
        """All columns, in their order."""
        return (*self.keys, self.value)


class Table:
    """One submission file, mapped, with its rows: first byte, first byte of the value, byte past it, hash of the id.

    Memory is 32 bytes a row; pages of the file are given back as it is gone through.

    Args:
        path: CSV with commas, UTF-8, any line ends; cells may be in quotation marks.
        dialect: the columns that it must have.

    Raises:
        InputError: absent, no such columns, no rows, or a row with too few cells.
    """

    def __init__(self, path: Path, dialect: Dialect) -> None:
        self.path = path
        try:
            with path.open("rb") as stream:
                self._map = mmap.mmap(stream.fileno(), 0, access=mmap.ACCESS_READ)
        except ValueError:
            raise InputError("the file is empty", where=path, fix="give a submission with a header and rows") from None
        except OSError as error:
            raise from_os_error(error, path) from error
        self.data: Bytes = np.frombuffer(self._map, np.uint8)
        self.begin = 3 if self._map[:3] == _BOM else 0
        self.header, self._first = self._read_header(dialect)
        self.rows = self._read_rows(len(self.header) - 1)

    def _read_header(self, dialect: Dialect) -> tuple[tuple[str, ...], int]:
        packed = next((name for start, name in PACKED.items() if self._map[: len(start)] == start), None)
        if packed is not None:
            raise InputError(f"is a {packed} file, not a table as text", where=self.path, fix="unpack it first")
        end = self._map.find(b"\n")
        line = self._map[self.begin : end if end >= 0 else len(self._map)]
        cells = tuple(cell.strip().strip('"') for cell in line.decode("utf-8", "replace").split(","))
        wanted = dialect.columns if dialect.keys else cells
        if cells != wanted or len(cells) < 2:
            asked = ",".join(wanted) if dialect.keys else "two columns or more between commas"
            hint = "; its first column has no name, as pandas writes an index" if cells[0] == "" else ""
            raise InputError(
                f"the header is {','.join(cells)[:120]!r}, but {dialect.says} has {asked}{hint}",
                where=f"{self.path}:1",
                fix="give the format of this file with --format, or write it with these columns",
            )
        return cells, end + 1 if end >= 0 else len(self._map)

    def _read_rows(self, keys: int) -> Numbers:
        """Find all rows, a stretch of the file at a time."""
        from maskwright.ensembling import votes_row_kernels as kernels

        ends, found = np.empty(ROOM, np.int64), []
        at, quoted, line = self._first, 0, self._first
        while at < len(self.data):
            count, at, quoted = kernels.line_ends(self.data, at, min(at + STRIDE, len(self.data)), quoted, ends)
            lines = np.concatenate(([line], ends[:count] + 1))
            if at >= len(self.data) and lines[-1] < len(self.data):  # the last line has no line feed
                lines = np.append(lines, len(self.data) + 1)
            rows = np.empty((len(lines) - 1, 4), np.int64)
            made, bad = kernels.read_rows(self.data, lines, keys, rows)
            if bad >= 0:
                raise self._bad_line(int(lines[bad]), int(lines[bad + 1]) - 1)
            found.append(rows[:made])
            line = int(lines[-1])
            self.forget()
        table = np.concatenate(found) if found else np.empty((0, 4), np.int64)
        if not len(table):
            raise InputError("there are no rows", where=self.path, fix="give a submission with rows below its header")
        return table

    def _bad_line(self, begin: int, end: int) -> InputError:
        text = self._map[begin : min(end, begin + 60)].decode("utf-8", "replace").strip()
        return InputError(
            f"the row {text!r} has fewer cells than the header ({','.join(self.header)}), or its id holds a comma, "
            "quotation mark or line feed",
            where=f"{self.path}:{self.line_of(begin)}",
            fix="mend the row",
        )

    def line_of(self, place: int) -> int:
        """Return the number of the line, from 1, in which a byte of the file lies."""
        return 1 + sum(self._map[at : min(at + STRIDE, place)].count(b"\n") for at in range(0, place, STRIDE))

    def name(self, row: Numbers) -> str:
        """Return the id of a row of an index, its cells joined by commas."""
        return self._map[int(row[0]) : int(row[1]) - 1].decode("utf-8", "replace").replace('"', "")

    def text(self, row: Numbers) -> str:
        """Return the value of a row of an index without white space and quotation marks at its ends."""
        return self._map[int(row[1]) : int(row[2])].decode("utf-8", "replace").strip().strip('"').strip()

    def where(self, row: Numbers) -> str:
        """Return file, line and id of a row of an index, for messages."""
        return f"{self.path}:{self.line_of(int(row[0]))} ({self.name(row)})"

    def forget(self) -> None:
        """Give back the memory of what was read; it can be read again."""
        if hasattr(mmap, "MADV_DONTNEED"):
            self._map.madvise(mmap.MADV_DONTNEED)


def join(first: Table, others: Sequence[Table], pool: Executor) -> list[Numbers]:
    """Return for each file its rows in the order of the first one, int64 (N, 4) each, the first one's included.

    Args:
        first: whose order counts.
        others: files of the same ids.
        pool: threads; each looks up the ids of one file.

    Raises:
        InputError: an id that stands twice in a file, or is not in all of them.
    """
    from maskwright.ensembling import votes_row_kernels as kernels

    count = len(first.rows)
    slots = np.zeros(1 << max(4, (2 * count).bit_length()), np.int64)
    twice = kernels.claim(first.data, first.rows, slots)
    if twice >= 0:
        raise _twice(first, twice)
    found = list(pool.map(partial(_places, first, slots), others))
    return [first.rows, *(_ordered(first, table, places) for table, places in zip(others, found, strict=True))]


def _places(first: Table, slots: Numbers, table: Table) -> Numbers:
    """Return for each row of a file which row of the first one has its id; -1: none."""
    from maskwright.ensembling import votes_row_kernels as kernels

    found = np.empty(len(table.rows), np.int64)
    kernels.find(first.data, first.rows, slots, table.data, table.rows, found)
    return found


def _ordered(first: Table, table: Table, found: Numbers) -> Numbers:
    """Return the rows of a file in the order of the first one; refuse what is twice, missing or strange."""
    known = found >= 0
    times = np.bincount(found[known], minlength=len(first.rows))
    if known.all() and (times == 1).all():
        if (found == np.arange(len(found))).all():
            return table.rows
        ordered = np.empty_like(table.rows)
        ordered[found] = table.rows
        return ordered
    over = np.flatnonzero(known & (times[found] > 1))
    if len(over):
        same = np.flatnonzero(found == found[over[0]])
        raise _twice(table, int(same[1]))
    raise strangers(first, table, first.rows[times == 0], table.rows[~known])


def _twice(table: Table, row: int) -> InputError:
    return InputError(
        f"id '{table.name(table.rows[row])}' stands in two rows",
        where=f"{table.path}:{table.line_of(int(table.rows[row, 0]))}",
        fix="keep one of them; a vote needs one row for each id",
    )


def strangers(first: Table, table: Table, missing: Numbers, extra: Numbers) -> InputError:
    """Say that ids of one file are not those of another.

    Args:
        first: whose ids count.
        table: the other file.
        missing: int64 (N, 4), rows of the first file that the other one lacks.
        extra: rows of the other one whose ids the first one lacks.
    """
    faults = []
    if len(missing):
        faults.append(f"{_ids(first, missing)} of {first.path.name} {_have(missing)} no row here")
    if len(extra):
        hint = near(table.name(extra[0]), [first.name(row) for row in missing[:1000]])
        faults.append(f"{_ids(table, extra)}{hint} {_have(extra)} no row in {first.path.name}")
    return InputError(", and ".join(faults), where=table.path, fix="vote on files of the same ids")


def _ids(table: Table, rows: Numbers) -> str:
    named = ", ".join(f"'{table.name(row)}'" for row in rows[:NAMED]) + (", ..." if len(rows) > NAMED else "")
    return f"{len(rows)} id{'s' * (len(rows) != 1)} ({named})"


def _have(rows: Numbers) -> str:
    return "has" if len(rows) == 1 else "have"


DIALECTS: dict[str, Dialect] = {
    "dacon": Dialect(("img_id",), "mask_rle", "-1", "dacon (row-major run lengths from 1, -1 without pixels)"),
    "hand-bone": Dialect(("image_name", "class"), "rle", "", "hand-bone (run lengths for each image and class)"),
    "kaggle": Dialect(("ImageId",), "EncodedPixels", "", "kaggle (column-major run lengths from 1)"),
    "rle": Dialect((), "", "", "rle (run lengths in the last column, ids in those before)"),
    "class-string": Dialect(
        ("image_id",), "PredictionString", "", "class-string (a class id for each pixel)", classes=True
    ),
}
"""Every format of submission files that can be voted on."""
MAP_FORMATS = ("maps", "npz", "joblib")
"""Other things that can be voted on. maps: a folder of single-band TIFF or PNG, probability times 255 or 65535, or
masks. npz: one file an item that holds `logits`, uint16 (K, H, W) of probability times 10,000 (SEEDS 003.2). joblib:
one file that holds {name: mask} (SEEDS 002.2)."""
