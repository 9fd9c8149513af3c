"""Images and masks whose paths stand in a CSV file, with columns that say more of each item."""

from __future__ import annotations

import unicodedata
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath

from maskwright.core.errors import InputError
from maskwright.core.files import inside
from maskwright.core.labels import Task
from maskwright.core.recipe.sources import TableSource
from maskwright.data.findings import Finding
from maskwright.data.pixels.rasters import SUFFIXES
from maskwright.data.sources.base import Source
from maskwright.data.sources.csv_file import CsvFile
from maskwright.data.sources.folder import Folder
from maskwright.data.sources.listing import case_twins
from maskwright.data.sources.planes import Planes


@dataclass(frozen=True)
class Table(Folder):
    """Items of a table; those of planes are Planes."""

    fields: Mapping[str, Mapping[str, str]] = field(default_factory=dict)
    """Key -> attributes."""

    def ordered(self) -> tuple[str, ...] | None:
        """Return all keys in the order of rows."""
        return tuple(self.images)

    def attributes(self, key: str) -> Mapping[str, str]:
        """Return the further columns of an item."""
        return self.fields.get(key, {})


def join(block: TableSource, root: Path, task: Task) -> tuple[Source | None, list[Finding]]:
    """Read the table and look whether its files are there.

    Args:
        block: the recipe's block.
        root: data.root.
        task: names the classes, for planes.

    Returns:
        the source of all rows without a fault, None if a column is missing; and every fault of the table.

    Raises:
        InputError: the table is absent, or no text.
    """
    rows = _Rows(block, root, task)
    rows.read()
    if not rows.file.columns:
        return None, rows.file.findings
    findings = rows.findings + case_twins(rows.images, rows.file.path)
    if not rows.images and not findings:
        findings.append(Finding("no_images", str(rows.file.path), "no rows", "check the table"))
    notes = list(rows.file.notes)
    lacking = sum(len(masks) < rows.masks_each for masks in rows.masks.values())
    if lacking and block.labelled:
        notes.append(f"{rows.file.path}: {lacking} of {len(rows.masks)} rows lack a mask and count as background")
    keys = tuple(sorted(rows.images))
    if block.mask_columns is not None:
        return Planes(keys, tuple(notes), rows.images, rows.masks, block, rows.fields), findings
    masks = {key: paths[0] for key, paths in rows.masks.items() if paths}
    return Table(keys, block.labelled, tuple(notes), rows.images, masks, block, rows.fields), findings


@dataclass
class _Rows:
    """The rows while they are read; one with a fault is named and passed over."""

    block: TableSource
    root: Path
    task: Task
    file: CsvFile = field(init=False)
    planes: dict[str, int] = field(default_factory=dict)
    """Setting that names a column of masks -> plane."""
    images: dict[str, Path] = field(default_factory=dict)
    masks: dict[str, dict[int, Path]] = field(default_factory=dict)
    fields: dict[str, dict[str, str]] = field(default_factory=dict)
    _faults: list[Finding] = field(default_factory=list)
    _lines: dict[str, int] = field(default_factory=dict)
    _mask_lines: dict[Path, int] = field(default_factory=dict)

    def __post_init__(self) -> None:
        wanted: dict[str, str | None] = {"image_column": self.block.image_column}
        if self.block.mask_column is not None:
            wanted["mask_column"] = self.block.mask_column
            self.planes["mask_column"] = 0
        for name, column in (self.block.mask_columns or {}).items():
            wanted[f"mask_columns.{name}"] = column
            self.planes[f"mask_columns.{name}"] = self.task.classes.index(name)
        self.file = CsvFile(self.root / self.block.table, wanted)

    @property
    def masks_each(self) -> int:
        """Masks that a row names."""
        return len(self.planes)

    @property
    def findings(self) -> list[Finding]:
        """The faults, in the order of lines."""
        found = [*self._faults, *self.file.findings]
        return sorted(found, key=lambda one: int(one.where.rpartition(":")[2]))

    def read(self) -> None:
        """Stream the file."""
        for line, cells in self.file.rows():
            self._take(cells, line)
        if len(self.file.columns) < len(self.file.wanted):
            self.file.columns.clear()

    def _take(self, cells: list[str], line: int) -> None:
        name = cells[self.file.columns["image_column"]].strip()
        image = self._path(name, line, "image")
        if image is None:
            return
        key = unicodedata.normalize("NFC", _stem(name))
        if not key.isprintable():
            self._fault("odd_name", line, f"the name {name[:80]!r} holds control characters", "rename the file")
            return
        first = self._lines.setdefault(key, line)
        if first != line:
            what = f"a second row of '{key}', the first is line {first}"
            self._fault("row_twice", line, what, "keep one, an image has one mask", key)
            return
        masks = {}
        for setting, plane in self.planes.items():
            mask = self._mask(cells[self.file.columns[setting]].strip(), line, setting, key)
            if isinstance(mask, Path):
                masks[plane] = mask
            elif not mask:
                return
        self.images[key], self.masks[key] = image, masks
        self.fields[key] = self.file.others(cells)

    def _mask(self, name: str, line: int, setting: str, key: str) -> Path | bool:
        """Return a mask; True if there is none and that is right, False if the row has a fault."""
        if not name:
            if self.block.missing_mask == "background":
                return True
            what = f"no mask of '{key}' in column '{self.file.wanted[setting]}'"
            self._fault("missing_label", line, what, "add it, or set missing_mask: background", key)
            return False
        path = self._path(name, line, "mask")
        if path is None:
            return False
        first = self._mask_lines.setdefault(path, line)
        if first != line:
            what = f"the mask '{name}' also belongs to line {first}"
            self._fault("label_shared", line, what, "give each image its own mask, unless both show the same", key)
        return path

    def _path(self, name: str, line: int, what: str) -> Path | None:
        """Return the file a cell names, below the root; None, and a fault, if there is none."""
        where = f"{self.file.path}:{line}"
        try:
            path = inside(self.root, name, where)
        except InputError as error:
            self._faults.append(Finding.of(error, "odd_name"))
            return None
        if not path.is_file():
            kind = "missing_label" if what == "mask" else "orphan_label"
            self._fault(kind, line, f"no {what} '{name[:80]}' in {self.root}", "add it, or take the row away")
            return None
        return path

    def _fault(self, kind: str, line: int, what: str, fix: str, key: str = "") -> None:
        keys = (key,) if key else ()
        self._faults.append(Finding(kind, f"{self.file.path}:{line}", what, fix, keys))


def _stem(name: str) -> str:
    """Return a path without the suffix of an image, with slashes and without ./ ."""
    path = PurePosixPath(name.replace("\\", "/"))
    text = str(path)
    return text[: -len(path.suffix)] if path.suffix.lower() in SUFFIXES else text
