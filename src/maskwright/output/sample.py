"""A sample submission: the header, the ids and the order that organisers want."""

from __future__ import annotations

import csv
from collections.abc import Hashable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from maskwright.core.errors import InputError, from_os_error

MAX_FIELD = 1 << 26
"""Longest text of one cell, in characters; the csv module's own limit is 131,072."""


@dataclass(frozen=True)
class Sample:
    """What stands in the file."""

    path: Path
    header: tuple[str, ...]
    lines: tuple[int, ...]
    """Line number in the file of each row."""
    rows: tuple[tuple[str, ...], ...]

    def column(self, name: str) -> list[str]:
        """Return the cells of a column."""
        at = self.header.index(name)
        return [row[at] for row in self.rows]


def read_sample(path: Path, columns: Sequence[str], settings: str) -> Sample:
    """Read a sample submission.

    Args:
        path: the CSV file.
        columns: those that are written, in any order.
        settings: of the output that name them, in words.

    Raises:
        InputError: not readable, other columns, or a row of other length than the header.
    """
    limit = csv.field_size_limit(MAX_FIELD)
    try:
        with path.open(encoding="utf-8-sig", errors="surrogateescape", newline="") as stream:
            reader = csv.reader(stream)
            header = tuple(next(reader, []))
            rows = [(reader.line_num, row) for row in reader if row]
    except OSError as error:
        raise from_os_error(error, path) from error
    except csv.Error as error:
        raise InputError(f"not readable as CSV ({error})", where=path, fix="give the sample submission") from None
    finally:
        csv.field_size_limit(limit)
    for line, row in rows:
        if len(row) != len(header):
            raise InputError(
                f"{len(row)} cells below a header of {len(header)}", where=f"{path}:{line}", fix="mend the row"
            )
    if sorted(header) != sorted(columns):
        raise InputError(
            f"the sample submission has columns {','.join(header)} but the recipe writes {','.join(columns)}",
            where=f"{path}:1",
            fix=f"set {settings} of the output to the sample's",
        )
    return Sample(path, header, tuple(line for line, _ in rows), tuple(tuple(row) for _, row in rows))


def refuse_other_ids(sample: Path, ids: Sequence[str], by_id: Mapping[str, str]) -> None:
    """Refuse a sample that names other ids than ours.

    Args:
        sample: the file.
        ids: of the sample, all different.
        by_id: our ids.

    Raises:
        InputError: saying which are missing on either side.
    """
    asked = set(ids)
    missing = [text for text in ids if text not in by_id]
    extra = [text for text in by_id if text not in asked]
    faults = []
    if missing:
        faults.append(f"{_few(missing)} of the sample submission {_have(missing)} no prediction")
    if extra:
        faults.append(f"{_few(extra)} of ours {_have(extra)} no row in the sample submission")
    if faults:
        raise InputError(
            ", and ".join(faults),
            where=sample,
            fix="check data.test, key_extension and key_column; every id of the sample needs one item",
        )


def refuse_repeated(table: Sample, values: Sequence[Hashable], what: str, fix: str) -> None:
    """Refuse a sample in which something stands twice.

    Args:
        table: the sample.
        values: of its rows.
        what: says with {} what a value is, e.g. `id '{}'`.
        fix: what to do.

    Raises:
        InputError: at the second row of a value.
    """
    seen: set[Hashable] = set()
    for line, value in zip(table.lines, values, strict=True):
        if value in seen:
            parts = value if isinstance(value, tuple) else (value,)
            said = f"{what.format(*parts)} stand{'' if len(parts) > 1 else 's'} in two rows of the sample submission"
            raise InputError(said, where=f"{table.path}:{line}", fix=fix)
        seen.add(value)


def _few(ids: Sequence[str]) -> str:
    named = ", ".join(ids[:3]) + (", ..." if len(ids) > 3 else "")
    return f"{len(ids)} id{'s' * (len(ids) != 1)} ({named})"


def _have(ids: Sequence[str]) -> str:
    return "has" if len(ids) == 1 else "have"
