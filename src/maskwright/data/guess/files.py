"""What tables, JSON files and lists of classes beside images seem to hold, for a first recipe."""

from __future__ import annotations

import csv
import json
import re
from collections import Counter
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path, PurePosixPath
from typing import Any

from maskwright.core.errors import InputError
from maskwright.core.recipe.sources import CocoSource
from maskwright.data.guess.masks import spread
from maskwright.data.pixels.rasters import SUFFIXES

RUNS = re.compile(r"\s*\d+ \d+( \d+ \d+)*\s*")
MOST_ROWS, MOST_BYTES, MOST_CLASSES = 20_000, 1 << 30, 254
OVERLAPS, NESTED = 0.05, 0.2
"""Share of the labelled pixels that several classes share, and share of meeting pairs of which the smaller lies within
the larger: more of the first and less of the second means classes that overlap (measured 2026-11-21: chest_xray 0.41
and 0.07, facades 0.31 and 0.36)."""
DRAWN = 12


@dataclass(frozen=True)
class RleTable:
    """A CSV file with run lengths."""

    path: str
    key: str
    rle: str
    class_column: str | None
    classes: tuple[str, ...]
    rows: str
    """image or instance."""
    keys: frozenset[str]
    empty: tuple[str, ...]


@dataclass(frozen=True)
class PathTable:
    """A CSV file with paths of images and masks."""

    path: str
    image: str
    mask: str | None
    pairs: tuple[tuple[str, str], ...]


@dataclass(frozen=True)
class Coco:
    """A COCO file."""

    path: str
    names: tuple[str, ...]
    """file_name of each image."""
    classes: tuple[str, ...]
    """Categories that annotations use, in order of their ids."""
    annotations: int


@dataclass(frozen=True)
class Polygons:
    """A folder of JSON files, one for each image."""

    path: str
    keys: frozenset[str]
    shapes: str
    label: str
    points: str
    classes: tuple[str, ...]
    traced: bool = False
    """Some outlines have one or two vertices, as contour tracers write dots and lines."""


@lru_cache(maxsize=16)
def read_rows(path: Path) -> tuple[list[str], list[dict[str, str]]]:
    """Return the columns and the first rows of a CSV file; nothing if it is none."""
    csv.field_size_limit(1 << 28)
    try:
        with path.open(encoding="utf-8-sig", newline="") as stream:
            reader = csv.DictReader(stream)
            rows = [row for row, _ in zip(reader, range(MOST_ROWS), strict=False)]
            columns = [column for column in reader.fieldnames or [] if column]
    except (OSError, ValueError, csv.Error):
        return [], []
    return columns, [{column: (row.get(column) or "").strip() for column in columns} for row in rows]


def stem(name: str) -> str:
    """Return a name without the suffix of an image."""
    return name[: -len(PurePosixPath(name).suffix)] if PurePosixPath(name).suffix.lower() in SUFFIXES else name


def rle_table(root: Path, path: str, keys: Collection[str]) -> RleTable | None:
    """Say whether a CSV file holds run lengths of the images with these keys."""
    columns, rows = read_rows(root / path)
    if not rows:
        return None
    runs = {name: sum(bool(RUNS.fullmatch(row[name])) for row in rows) for name in columns}
    rle = max(columns, key=lambda name: runs[name])
    blank = {row[rle] for row in rows if not RUNS.fullmatch(row[rle])}
    if not runs[rle] or not blank <= {"", "-1", "1 0", "nan", "NaN"}:
        return None
    known = set(keys)
    joins = {name: sum(stem(row[name]) in known for row in rows) for name in columns if name != rle}
    key = max(joins, key=lambda name: joins[name], default="")
    if not key or joins[key] < 0.5 * len(rows):
        return None
    kinds = {
        name: list(dict.fromkeys(row[name] for row in rows))
        for name in columns
        if name not in (key, rle) and not any(PurePosixPath(row[name]).suffix for row in rows[:50])
    }
    named = [name for name, values in kinds.items() if 1 <= len(values) <= 100 and CLASS_COLUMN.search(name)]
    class_column = named[0] if named else None
    counts = Counter((row[key], row[class_column] if class_column else "") for row in rows)
    return RleTable(
        path=path,
        key=key,
        rle=rle,
        class_column=class_column,
        classes=tuple(kinds[class_column]) if class_column else (),
        rows="instance" if max(counts.values()) > 1 else "image",
        keys=frozenset(stem(row[key]) for row in rows),
        empty=tuple(sorted(blank | {"", "-1"})),
    )


def path_table(root: Path, path: str) -> PathTable | None:
    """Say whether a CSV file names images and masks by paths below the root."""
    columns, rows = read_rows(root / path)
    some = spread(rows, 40)
    there = {
        name: sum(_is_picture(root, row[name]) for row in some)
        for name in columns
        if some and PurePosixPath(some[0][name]).suffix.lower() in SUFFIXES
    }
    full = [name for name in columns if there.get(name, 0) >= 0.9 * len(some) and some]
    masks = [name for name in full if MASK_COLUMN.search(name)]
    images = [name for name in full if name not in masks]
    if not images or not masks:
        return None
    return PathTable(path, images[0], masks[0], tuple((row[images[0]], row[masks[0]]) for row in rows))


def _is_picture(root: Path, name: str) -> bool:
    parts = PurePosixPath(name).parts
    return bool(name) and ".." not in parts and not name.startswith("/") and (root / name).is_file()


def read_json(path: Path) -> Any:
    """Return what a JSON file holds; None if it is none."""
    try:
        if path.stat().st_size > MOST_BYTES:
            return None
        return json.loads(path.read_text(encoding="utf-8-sig"))
    except (OSError, ValueError, RecursionError):
        return None


@lru_cache(maxsize=64)
def coco_file(root: Path, path: str) -> Coco | None:
    """Say whether a JSON file is COCO with masks."""
    held = read_json(root / path)
    if not isinstance(held, Mapping) or not all(isinstance(held.get(name), list) for name in ("images", "annotations")):
        return None
    names = [row.get("file_name") for row in held["images"] if isinstance(row, Mapping)]
    used = Counter(str(row.get("category_id")) for row in held["annotations"] if isinstance(row, Mapping))
    outlined = any(isinstance(row, Mapping) and row.get("segmentation") for row in held["annotations"][:2000])
    categories = [row for row in held.get("categories") or [] if isinstance(row, Mapping)]
    rows = sorted((row for row in categories if used[str(row.get("id"))]), key=lambda row: str(row.get("id")).rjust(12))
    classes = tuple(dict.fromkeys(str(row.get("name")) for row in rows))
    if not outlined or not 1 <= len(classes) <= MOST_CLASSES:
        return None
    return Coco(
        path, tuple(name for name in names if isinstance(name, str) and name), classes, len(held["annotations"])
    )


@lru_cache(maxsize=64)
def polygons_folder(root: Path, path: str, names: tuple[str, ...]) -> Polygons | None:
    """Say whether a folder holds one JSON file of outlines for each image."""
    classes: Counter[str] = Counter()
    fields: tuple[str, str, str] | None = None
    traced = False
    for name in spread(names, 200):
        held = read_json(root / path / name)
        if not isinstance(held, Mapping):
            return None
        for shapes in SHAPES:
            rows = held.get(shapes)
            if not isinstance(rows, list):
                continue
            for row in rows:
                label = next((key for key in LABELS if isinstance(row, Mapping) and isinstance(row.get(key), str)), "")
                points = next((key for key in POINTS if label and isinstance(row.get(key), list)), "")
                if points:
                    fields = fields or (shapes, label, points)
                    classes[row[label]] += 1
                    traced = traced or 0 < len(row[points]) < 3
    if fields is None:
        return None
    keys = frozenset(name.removesuffix(".json") for name in names)
    return Polygons(path, keys, *fields, tuple(sorted(classes)), traced)


def class_lists(
    root: Path, tables: Sequence[str], texts: Sequence[str]
) -> tuple[dict[tuple[int, int, int], str], list[str]]:
    """Find lists of classes beside the data: name,r,g,b tables and text files with a name a line.

    Returns:
        colour -> name, of the first table that has both; names in order, of the first list.
    """
    for path in tables:
        columns, rows = read_rows(root / path)
        by_letter = {column.strip().lower(): column for column in columns}
        if {"name", "r", "g", "b"} <= by_letter.keys() and 1 < len(rows) <= MOST_CLASSES:
            try:
                named = {_colour(row, by_letter): row[by_letter["name"]] for row in rows}
            except ValueError:
                continue
            if len(set(named.values())) == len(rows):
                return named, list(named.values())
    for path in texts:
        if CLASS_LIST.search(PurePosixPath(path).stem):
            try:
                lines = (root / path).read_text(encoding="utf-8").splitlines()[: MOST_CLASSES + 1]
            except (OSError, ValueError):
                continue
            names = [re.sub(r"^\d+[:,\s]+", "", line.strip()) for line in lines if line.strip()]
            if (
                1 <= len(names) <= MOST_CLASSES
                and all(len(name) <= 60 for name in names)
                and len(set(names)) == len(names)
            ):
                return {}, names
    return {}, []


def _colour(row: Mapping[str, str], columns: Mapping[str, str]) -> tuple[int, int, int]:
    red, green, blue = (int(row[columns[letter]]) for letter in "rgb")
    return red, green, blue


def overlaps(root: Path, images: str, coco: Coco) -> tuple[float, float]:
    """Draw some images of a COCO file class by class.

    Returns:
        share of the labelled pixels that several classes share; of pairs of classes that meet in an image, the
        share whose smaller lies within the larger.
    """
    from maskwright.core.labels import Task
    from maskwright.data.pixels.rasters import read_header
    from maskwright.data.sources import coco as reader

    task = Task(kind="multilabel", classes=coco.classes)
    source, _ = reader.join(CocoSource(images=images, annotations=coco.path), root, task)
    covered = shared = met = nested = 0
    for key in spread(source.keys, DRAWN):
        try:
            header = read_header(source.image_path(key), 1 << 30)
            planes, _ = source.read_label(key, header.shape, task)
        except InputError:
            continue
        rows, cols = (slice(None, None, max(1, length // 512)) for length in header.shape)
        planes = planes[:, rows, cols].reshape(len(planes), -1)
        depth = planes.sum(axis=0)
        covered += int((depth > 0).sum())
        shared += int((depth > 1).sum())
        there = planes[planes.any(axis=1)].astype("float32")
        common = there @ there.T
        for a in range(len(there)):
            for b in range(a):
                small = min(common[a, a], common[b, b])
                if common[a, b] > 0.02 * small:
                    met += 1
                    nested += bool(common[a, b] > 0.9 * small)
    return shared / max(covered, 1), nested / max(met, 1)


def forget() -> None:
    """Drop what was read of files, which may have changed."""
    for call in (read_rows, coco_file, polygons_folder):
        call.cache_clear()


CLASS_COLUMN = re.compile(r"(?i)class|label|categor|type|structure|organ")
MASK_COLUMN = re.compile(r"(?i)mask|label|annot|target|seg|gt|truth")
CLASS_LIST = re.compile(r"(?i)^(classes|class_?names|labels|label_?names|categories|names|obj)$")
SHAPES = ("annotations", "shapes", "objects")
LABELS = ("label", "class", "classTitle", "category", "name")
POINTS = ("points", "polygon", "vertices")
"""Keys that JSON files of outlines go by; the first that is there."""
