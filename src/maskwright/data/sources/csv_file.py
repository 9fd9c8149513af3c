"""Read a CSV file that somebody gave us, row by row, and name every line that is not as it should be."""

from __future__ import annotations

import csv
from collections.abc import Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path

from maskwright.core.errors import InputError, from_os_error, near
from maskwright.data.findings import Finding

FIELD_LIMIT = 1 << 30
"""Characters of one CSV field; Python's own limit of 131072 is below a large mask's run lengths."""
DELIMITERS = {",": "commas", ";": "semicolons", "\t": "tabs"}


@dataclass
class CsvFile:
    """A table while it is read.

    Args:
        path: the file.
        wanted: setting of the recipe -> the column it names; None: not used.
    """

    path: Path
    wanted: Mapping[str, str | None]
    notes: list[str] = field(default_factory=list)
    findings: list[Finding] = field(default_factory=list)
    header: list[str] = field(default_factory=list)
    columns: dict[str, int] = field(default_factory=dict)
    """Setting -> place of its column."""

    def rows(self) -> Iterator[tuple[int, list[str]]]:
        """Yield line and cells of each row that is whole; faults go to `findings`. Lines count from 1.

        Raises:
            InputError: the file is absent, or no UTF-8.
        """
        csv.field_size_limit(FIELD_LIMIT)
        line = 0
        try:
            with self.path.open(encoding="utf-8-sig", newline="") as handle:
                delimiter = self._delimiter(handle.readline())
                handle.seek(0)
                reader = csv.reader(handle, strict=True, delimiter=delimiter, skipinitialspace=True)
                if not self._find_columns(next(reader, [])):
                    return
                for cells in reader:
                    line = reader.line_num
                    if len(cells) == len(self.header):
                        yield line, cells
                    elif cells:
                        what = f"{len(cells)} cells, the header has {len(self.header)}"
                        self.findings.append(Finding("bad_row", f"{self.path}:{line}", what, "mend the row"))
        except OSError as error:
            raise from_os_error(error, self.path) from error
        except UnicodeDecodeError as error:
            raise InputError(
                f"not UTF-8 text ({error.reason})",
                where=self.path,
                fix="save the table as UTF-8 CSV",
                kind="bad_label_file",
            ) from None
        except csv.Error as error:
            what = f"not valid CSV ({error})"
            self.findings.append(Finding("bad_label_file", f"{self.path}:{line + 1}", what, "mend the line"))

    def _delimiter(self, first: str) -> str:
        """Choose what separates columns: that by which most of the wanted ones are found in the header."""

        def found(delimiter: str) -> tuple[int, int]:
            names: list[str] = []
            with suppress(csv.Error):
                names = [
                    name.strip() for name in next(csv.reader([first], delimiter=delimiter, skipinitialspace=True), [])
                ]
            return sum(name in names for name in self.wanted.values() if name is not None), len(names)

        best = max(DELIMITERS, key=found)
        if best != ",":
            self.notes.append(f"{self.path}: columns are separated by {DELIMITERS[best]}, as guessed from the header")
        return best

    def _find_columns(self, header: list[str]) -> bool:
        """Find the columns by name, and name every one that is absent."""
        self.header = names = [name.strip() for name in header]
        for setting, name in self.wanted.items():
            if name is None:
                continue
            if names.count(name) == 1:
                self.columns[setting] = names.index(name)
                continue
            problem = f"no column '{name}'{near(name, names)}" if name not in names else f"two columns '{name}'"
            listed = ", ".join(f"'{column}'" for column in names[:12]) or "nothing"
            what, fix = f"{problem}, the header holds {listed}", f"set {setting}, or mend the header"
            self.findings.append(Finding("no_column", f"{self.path}:1", what, fix))
        return not self.findings

    def others(self, cells: list[str]) -> dict[str, str]:
        """Return the cells of a row in columns that no setting names, by column."""
        used = set(self.columns.values())
        return {
            name: cell.strip()
            for place, (name, cell) in enumerate(zip(self.header, cells, strict=True))
            if place not in used and name
        }
