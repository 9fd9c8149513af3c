"""Images in a folder and run lengths in a CSV file, joined by key."""

from __future__ import annotations

import csv
from collections import defaultdict
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from maskwright.core import rle
from maskwright.core.errors import DataError, InputError, from_os_error, near
from maskwright.core.files import inside
from maskwright.core.grid import Shape
from maskwright.core.labels import Task, looks_background
from maskwright.core.recipe.sources import RleCsvSource
from maskwright.data.rasters import SUFFIXES, read_header, read_image
from maskwright.data.sources.base import Defaults, Label, Valid
from maskwright.data.sources.listing import Listing, list_images

FIELD_LIMIT = 1 << 30
"""Characters of one CSV field; Python's own limit of 131072 is below a large mask's run lengths."""
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
    labelled: bool = True

    def image_path(self, key: str) -> Path:
        """Return the image file of an item."""
        return self.images[key]

    def label_path(self, key: str) -> Path | None:
        """Return the table."""
        return self.table

    def read_label(self, key: str, shape: Shape, task: Task) -> tuple[Label, Valid]:
        """Paint the runs of an item; see Source.

        In a multiclass task pixels without a run are class 0; where class 0 has runs of its own
        anywhere in the table they are not valid instead.

        Raises:
            InputError: runs that are malformed or leave the image; a pixel in two classes of a multiclass task.
        """
        by_plane: dict[int, list[Row]] = defaultdict(list)
        for row in self.rows.get(key, ()):
            by_plane[row.plane].append(row)
        planes = {plane: self._paint(rows, key, shape) for plane, rows in by_plane.items()}
        valid = np.ones(shape, bool)
        if task.kind == "binary":
            return planes.get(0, np.zeros(shape, np.uint8)), valid
        if task.kind == "multilabel":
            label = np.zeros((task.planes, *shape), np.uint8)
            for plane, mask in planes.items():
                label[plane] = mask
            return label, valid
        label, claimed = self._one_class_a_pixel(planes, key, shape, task)
        return label, claimed if self.background_has_runs else valid

    def _paint(self, rows: list[Row], key: str, shape: Shape) -> Label:
        where = [f"{self.table}:{row.line} ({key})" for row in rows]
        return rle.join([row.text for row in rows], shape, self.order, self.base, self.empty, where)

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
                    fix="mend the rows, or use kind: multilabel",
                )
            label[mask != 0] = plane
            claimed |= mask != 0
        return label, claimed


def join(block: RleCsvSource, root: Path, task: Task) -> tuple[RleCsv, list[str]]:
    """Join the images of a folder with the rows of a table by key.

    Args:
        block: the recipe's block.
        root: data.root.
        task: names the classes that the class column may hold.

    Returns:
        the source of everything that joins, and every fault of the join, one line each.

    Raises:
        InputError: the folder or the table is absent, unreadable, or lacks a column.
    """
    images = list_images(root / block.images, root)
    faults = list(images.faults)
    if not images.paths and not faults:
        faults.append(f"{root / block.images}: no images; check the folder")
    table = _Table(block, root / block.table, root / block.images, task, images.paths)
    table.read()
    faults += table.faults + _missing(block, task, images, table)
    notes = list(images.notes)
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
    background = task.kind == "multiclass" and any(
        row.plane == 0 and row.text.strip() not in block.empty for rows in table.rows.values() for row in rows
    )
    if task.kind == "multiclass":
        name = task.classes[0]
        rest = f"do not count, since '{name}' has runs of its own" if background else f"are '{name}'"
        if background or not looks_background(name):
            notes.append(f"{table.path}: pixels without a run {rest}")
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
    )
    return source, faults


class _Columns(NamedTuple):
    key: int
    text: int
    plane: int | None
    cells: int


@dataclass
class _Table:
    """The rows of a CSV file, read one at a time; a row with a fault is named and passed over."""

    block: RleCsvSource
    path: Path
    folder: Path
    task: Task
    images: Mapping[str, Path]
    rows: dict[str, list[Row]] = field(default_factory=lambda: defaultdict(list))
    faults: list[str] = field(default_factory=list)
    first_line: dict[tuple[str, int], int] = field(default_factory=dict)

    def read(self) -> None:
        """Stream the file.

        Raises:
            InputError: it is absent, no UTF-8, or lacks a column.
        """
        csv.field_size_limit(FIELD_LIMIT)
        line = 0
        try:
            with self.path.open(encoding="utf-8-sig", newline="") as handle:
                reader = csv.reader(handle, strict=True)
                columns = self._columns(next(reader, []))
                for cells in reader:
                    line = reader.line_num
                    if cells:
                        self._take(cells, line, columns)
        except OSError as error:
            raise from_os_error(error, self.path) from error
        except UnicodeDecodeError as error:
            raise InputError(
                f"not UTF-8 text ({error.reason})", where=self.path, fix="save the table as UTF-8 CSV"
            ) from None
        except csv.Error as error:
            self.faults.append(f"{self.path}:{line + 1}: not valid CSV ({error}); mend the line")

    def _columns(self, header: list[str]) -> _Columns:
        """Find the columns by name, or refuse the table with every name that is absent."""
        names, block = [name.strip() for name in header], self.block
        wanted = {"key_column": block.key_column, "rle_column": block.rle_column, "class_column": block.class_column}
        faults = []
        for setting, name in wanted.items():
            if name is not None and names.count(name) != 1:
                problem = f"no column '{name}'{near(name, names)}" if name not in names else f"two columns '{name}'"
                listed = ", ".join(f"'{column}'" for column in names[:12]) or "nothing"
                faults.append(f"{self.path}:1: {problem}, the header holds {listed}; set {setting}, or mend the header")
        if faults:
            raise DataError(faults)
        plane = None if block.class_column is None else names.index(block.class_column)
        return _Columns(names.index(block.key_column), names.index(block.rle_column), plane, len(names))

    def _take(self, cells: list[str], line: int, columns: _Columns) -> None:
        where = f"{self.path}:{line}"
        if len(cells) != columns.cells:
            self.faults.append(f"{where}: {len(cells)} cells, the header has {columns.cells}; mend the row")
            return
        name = cells[columns.key].strip()
        key = _key(name, self.images)
        if key is None:
            self.faults.append(_no_image(name, self.folder, where))
            return
        plane = 0 if columns.plane is None else _plane(cells[columns.plane].strip(), self.task)
        if plane is None:
            names = self.task.classes
            self.faults.append(
                f"{where}: class {cells[columns.plane or 0][:40]!r} is none of {', '.join(names)}; "
                f"use these names or ids 0 to {len(names) - 1}"
            )
            return
        first = self.first_line.setdefault((key, plane), line)
        if first != line and self.block.rows == "image":
            of_class = "" if columns.plane is None else f" for class '{self.task.classes[plane]}'"
            self.faults.append(
                f"{where}: a second row of '{key}'{of_class}, the first is line {first}; "
                "keep one, or set rows: instance if each row is an object"
            )
            return
        self.rows[key].append(Row(plane, cells[columns.text], line))


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


def _no_image(name: str, folder: Path, where: str) -> str:
    try:
        inside(folder, name, where)
    except InputError as error:
        return str(error)
    return f"{where}: no image '{name[:80]}' in {folder}; add it, or take the row away"


def _plane(text: str, task: Task) -> int | None:
    """Return the class id a cell names: a class name first, then an id."""
    if text in task.classes:
        return task.classes.index(text)
    if text.isascii() and text.isdigit() and int(text) < len(task.classes):
        return int(text)
    return None


def _missing(block: RleCsvSource, task: Task, images: Listing, table: _Table) -> list[str]:
    """List images without a row, and for multilabel tasks images that lack rows of some classes."""
    if block.missing_mask == "background":
        return []
    path, faults = block.table, []
    for key in sorted(images.paths):
        planes = {row.plane for row in table.rows.get(key, ())}
        absent = [name for plane, name in enumerate(task.classes) if plane not in planes]
        if not planes:
            faults.append(f"{images.paths[key]}: no row in {path}; add it, or set missing_mask: background")
        elif task.kind == "multilabel" and absent:
            names = ", ".join(f"'{name}'" for name in absent[:6]) + (", ..." if len(absent) > 6 else "")
            faults.append(
                f"{images.paths[key]}: no row in {path} for {names}; add them, or set missing_mask: background"
            )
    return faults


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
