"""Images in a folder and run lengths in a CSV file, joined by key."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath
from typing import Literal, NamedTuple

import numpy as np
from numpy.typing import NDArray

from maskwright.core import rle
from maskwright.core.errors import InputError, near
from maskwright.core.files import inside
from maskwright.core.grid import Shape
from maskwright.core.labels import Task, looks_background
from maskwright.core.recipe.sources import RleCsvSource
from maskwright.data.findings import Finding
from maskwright.data.pixels.rasters import SUFFIXES, read_header, read_image
from maskwright.data.sources.base import Defaults, Label, Valid
from maskwright.data.sources.csv_file import CsvFile
from maskwright.data.sources.listing import Listing, list_images

GUESS_ITEMS = 64
"""Rows looked at to guess the order."""
GUESS_PIXELS = 1 << 26
"""Larger images are not looked at for the guess."""


class Row(NamedTuple):
    """One row of the table that belongs to an image."""

    plane: int
    """Class id; 0 for a binary task."""
    text: str
    line: int
    """Line of the file, from 1, on which the row ends."""


@dataclass(frozen=True)
class RleCsv(Defaults):
    """Items of a run-length table. The texts are kept, pixels are painted when asked for."""

    keys: tuple[str, ...]
    notes: tuple[str, ...]
    images: Mapping[str, Path]
    rows: Mapping[str, tuple[Row, ...]]
    table: Path
    order: rle.Order
    base: int
    empty: tuple[str, ...]
    background_has_runs: bool
    """Class 0 of a multiclass task is painted by rows of its own, so pixels without a run are unlabelled."""
    overlap: Literal["refuse", "order", "large_first"]
    fields: Mapping[str, Mapping[str, str]]
    """Key -> attributes."""
    labelled: bool = True

    def ordered(self) -> tuple[str, ...] | None:
        """Return the keys in the order of their first rows, then those without a row."""
        return (*self.rows, *(key for key in self.keys if key not in self.rows))

    def image_path(self, key: str) -> Path:
        """Return the image file of an item."""
        return self.images[key]

    def label_path(self, key: str) -> Path | None:
        """Return the table."""
        return self.table

    def attributes(self, key: str) -> Mapping[str, str]:
        """Return the further columns of the table that are the same in all rows of the image."""
        return self.fields.get(key, {})

    def read_label(self, key: str, shape: Shape, task: Task) -> tuple[Label, Valid]:
        """Paint the runs of an item; see Source.

        In a multiclass task pixels without a run are class 0; where class 0 has runs of its own
        anywhere in the table they are not valid instead.

        Raises:
            InputError: runs that are malformed or leave the image; a pixel in two classes of a multiclass task.
        """
        rows, valid = self.rows.get(key, ()), np.ones(shape, bool)
        if task.kind == "multiclass" and self.overlap != "refuse":
            label, claimed = self._over_each_other(rows, key, shape)
            return label, claimed if self.background_has_runs else valid
        by_plane: dict[int, list[Row]] = defaultdict(list)
        for row in rows:
            by_plane[row.plane].append(row)
        planes = {plane: self._paint(rows, key, shape) for plane, rows in by_plane.items()}
        if task.kind == "binary":
            return planes.get(0, np.zeros(shape, np.uint8)), valid
        if task.kind == "multilabel":
            label = np.zeros((task.planes, *shape), np.uint8)
            for plane, mask in planes.items():
                label[plane] = mask
            return label, valid
        label, claimed = self._one_class_a_pixel(planes, key, shape, task)
        return label, claimed if self.background_has_runs else valid

    def _paint(self, rows: Sequence[Row], key: str, shape: Shape) -> Label:
        where = [f"{self.table}:{row.line} ({key})" for row in rows]
        try:
            return rle.join([row.text for row in rows], shape, self.order, self.base, self.empty, where)
        except InputError as error:
            error.kind = error.kind or "bad_runs"
            raise

    def _over_each_other(self, rows: Sequence[Row], key: str, shape: Shape) -> tuple[Label, NDArray[np.bool_]]:
        """Paint row over row: in the order of lines, or the largest first."""
        label, claimed = np.zeros(shape, np.uint8), np.zeros(shape, bool)
        masks = [(row.plane, self._paint([row], key, shape) != 0) for row in rows]
        if self.overlap == "large_first":
            masks.sort(key=lambda pair: -int(np.count_nonzero(pair[1])))
        for plane, mask in masks:
            label[mask] = plane
            claimed |= mask
        return label, claimed

    def _one_class_a_pixel(
        self, planes: Mapping[int, Label], key: str, shape: Shape, task: Task
    ) -> tuple[Label, NDArray[np.bool_]]:
        label, claimed = np.zeros(shape, np.uint8), np.zeros(shape, bool)
        for plane, mask in sorted(planes.items()):
            both = claimed & (mask != 0)
            if both.any():
                other = task.classes[int(label[both][0])]
                raise InputError(
                    f"'{task.classes[plane]}' and '{other}' share {int(both.sum())} pixels of '{key}', "
                    "but a multiclass task has one class a pixel",
                    where=self.table,
                    fix="mend the rows, set overlap: order or large_first, or use kind: multilabel",
                    kind="class_overlap",
                )
            label[mask != 0] = plane
            claimed |= mask != 0
        return label, claimed


def join(block: RleCsvSource, root: Path, task: Task) -> tuple[RleCsv | None, list[Finding]]:
    """Join the images of a folder with the rows of a table by key.

    Args:
        block: the recipe's block.
        root: data.root.
        task: names the classes that the class column may hold.

    Returns:
        the source of everything that joins, None if a column is missing; and every fault of the join.

    Raises:
        InputError: the folder or the table is absent, or no text.
    """
    images = list_images(root / block.images, root)
    faults = list(images.faults)
    if not images.paths and not faults:
        faults.append(Finding("no_images", str(root / block.images), "no images", "check the folder"))
    table = _Table(block, root / block.table, root / block.images, task, images.paths)
    table.read()
    if not table.file.columns:
        return None, faults + table.file.findings
    faults += table.findings() + list(_missing(block, task, images, table))
    notes = list(images.notes) + table.file.notes
    lone = sum(key not in table.rows for key in images.paths)
    if lone and block.missing_mask == "background":
        notes.append(f"{table.path}: {lone} of {len(images.paths)} images have no row and count as background")
    order = block.order
    if order is None:
        guess = _guess(block, images, table)
        order = guess.order
        notes.append(
            f"{table.path}: order {order} was guessed (confidence {guess.confidence:.2f}: {guess.reason}); "
            f"write order: {order} to fix it"
        )
    background = _background_has_runs(block, task, table, notes)
    source = RleCsv(
        keys=tuple(sorted(key for key in images.paths if key in table.rows or block.missing_mask == "background")),
        notes=tuple(notes),
        images=images.paths,
        rows={key: tuple(rows) for key, rows in table.rows.items()},
        table=table.path,
        order=order,
        base=block.base,
        empty=block.empty,
        background_has_runs=background,
        overlap=block.overlap,
        fields=table.fields,
    )
    return source, faults


def _background_has_runs(block: RleCsvSource, task: Task, table: _Table, notes: list[str]) -> bool:
    """Say whether class 0 of a multiclass task has runs, and note what becomes of pixels without one."""
    if task.kind != "multiclass":
        return False
    background = any(
        row.plane == 0 and row.text.strip() not in block.empty for rows in table.rows.values() for row in rows
    )
    name = task.classes[0]
    rest = f"do not count, since '{name}' has runs of its own" if background else f"are '{name}'"
    if background or not looks_background(name):
        notes.append(f"{table.path}: pixels without a run {rest}")
    return background


@dataclass
class _Table:
    """The rows of a CSV file, read one at a time; a row with a fault is named and passed over."""

    block: RleCsvSource
    path: Path
    folder: Path
    task: Task
    images: Mapping[str, Path]
    rows: dict[str, list[Row]] = field(default_factory=lambda: defaultdict(list))
    fields: dict[str, dict[str, str]] = field(default_factory=dict)
    file: CsvFile = field(init=False)
    _faults: list[tuple[int, Finding]] = field(default_factory=list)
    _first_line: dict[tuple[str, int], int] = field(default_factory=dict)

    def __post_init__(self) -> None:
        wanted = {
            "key_column": self.block.key_column,
            "rle_column": self.block.rle_column,
            "class_column": self.block.class_column,
        }
        self.file = CsvFile(self.path, wanted)

    def read(self) -> None:
        """Stream the file.

        Raises:
            InputError: it is absent, or no UTF-8.
        """
        for line, cells in self.file.rows():
            self._take(cells, line)
        if self.file.findings and len(self.file.columns) < sum(name is not None for name in self.file.wanted.values()):
            self.file.columns.clear()

    def findings(self) -> list[Finding]:
        """Return the faults of rows, in the order of lines."""
        placed = [(int(fault.where.rpartition(":")[2]), fault) for fault in self.file.findings]
        return [fault for _, fault in sorted([*self._faults, *placed], key=lambda pair: pair[0])]

    def _take(self, cells: list[str], line: int) -> None:
        places, where = self.file.columns, f"{self.path}:{line}"
        name = cells[places["key_column"]].strip()
        key = _key(name, self.images)
        if key is None:
            self._faults.append((line, no_image(name, self.folder, where)))
            return
        text = cells[places["class_column"]].strip() if "class_column" in places else None
        plane = 0 if text is None else _plane(text, self.task)
        if plane is None:
            names = self.task.classes
            hint = near(text or "", names)
            what, fix = (
                f"class {(text or '')[:40]!r}{hint} is none of {', '.join(names)}",
                "use these names or ids 0 to ",
            )
            self._fault("unknown_class", line, what, f"{fix}{len(names) - 1}", key)
            return
        first = self._first_line.setdefault((key, plane), line)
        if first != line and self.block.rows == "image":
            of_class = "" if text is None else f" for class '{self.task.classes[plane]}'"
            what = f"a second row of '{key}'{of_class}, the first is line {first}"
            self._fault("row_twice", line, what, "keep one, or set rows: instance if each row is an object", key)
            return
        self.rows[key].append(Row(plane, cells[places["rle_column"]], line))
        others = self.file.others(cells)
        known = self.fields.setdefault(key, others)
        for column in [column for column, value in known.items() if others[column] != value]:
            del known[column]  # it says something of a row, not of the image

    def _fault(self, kind: str, line: int, what: str, fix: str, key: str) -> None:
        self._faults.append((line, Finding(kind, f"{self.path}:{line}", what, fix, (key,))))


def _key(name: str, paths: Mapping[str, Path]) -> str | None:
    """Return the key a table means by a name: the key itself, or a file name of it with any image suffix."""
    if name in paths:
        return name
    path = PurePosixPath(name.replace("\\", "/"))
    plain = str(path)
    if plain in paths:
        return plain
    if path.suffix.lower() in SUFFIXES:
        stem = plain[: -len(path.suffix)]
        return stem if stem in paths else None
    return None


def no_image(name: str, folder: Path, where: str) -> Finding:
    """Say that a table names an image that is not there, or a way out of the folder."""
    try:
        inside(folder, name, where)
    except InputError as error:
        return Finding.of(error, "odd_name")
    return Finding("orphan_label", where, f"no image '{name[:80]}' in {folder}", "add it, or take the row away")


def _plane(text: str, task: Task) -> int | None:
    """Return the class id a cell names: a class name first, then an id."""
    if text in task.classes:
        return task.classes.index(text)
    if text.isascii() and text.isdigit() and int(text) < len(task.classes):
        return int(text)
    return None


def _missing(block: RleCsvSource, task: Task, images: Listing, table: _Table) -> Iterator[Finding]:
    """Name images without a row, and for multilabel tasks images that lack rows of some classes."""
    if block.missing_mask == "background":
        return
    for key in sorted(images.paths):
        planes = {row.plane for row in table.rows.get(key, ())}
        absent = [name for plane, name in enumerate(task.classes) if plane not in planes]
        if not planes:
            what, fix = f"no row in {block.table}", "add it, or set missing_mask: background"
            yield Finding("missing_label", str(images.paths[key]), what, fix, (key,))
        elif task.kind == "multilabel" and absent:
            names = ", ".join(f"'{name}'" for name in absent[:6]) + (", ..." if len(absent) > 6 else "")
            what, fix = f"no row in {block.table} for {names}", "add them, or set missing_mask: background"
            yield Finding("missing_label", str(images.paths[key]), what, fix, (key,))


def _guess(block: RleCsvSource, images: Listing, table: _Table) -> rle.OrderGuess:
    """Guess the order from some rows spread over the table and the headers of their images."""
    full = [
        (key, row.text) for key in sorted(table.rows) for row in table.rows[key] if row.text.strip() not in block.empty
    ]
    texts, shapes, keys = [], [], []
    for key, text in full[:: max(1, len(full) // GUESS_ITEMS)][:GUESS_ITEMS]:
        try:
            shape = read_header(images.paths[key], GUESS_PIXELS).shape
        except InputError:
            continue  # the audit names it
        texts.append(text)
        shapes.append(shape)
        keys.append(key)

    def image(index: int) -> NDArray[np.generic]:
        try:
            return read_image(images.paths[keys[index]], GUESS_PIXELS)[0]
        except InputError:
            return np.zeros((*shapes[index], 1), np.uint8)  # says nothing; the audit names it

    return rle.guess_order(texts, shapes, block.base, block.empty, image)
