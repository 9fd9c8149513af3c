"""Images in a folder and a JSON file of polygons for each (labelme, Cityscapes, Supervisely, ours), joined by key."""

from __future__ import annotations

import unicodedata
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath
from typing import Any, NamedTuple

from maskwright.core.errors import InputError
from maskwright.core.grid import Shape
from maskwright.core.labels import Task
from maskwright.core.recipe.sources import PolygonsSource
from maskwright.data.findings import Finding
from maskwright.data.sources.listing import list_images
from maskwright.data.sources.outlines import UNDRAWN, Drawing, Outlines, Vector, Writer
from maskwright.data.sources.polygon_entry import DRAWN, BadShapeError, Ring, read_shape
from maskwright.data.sources.vector import (
    Fault,
    Tally,
    class_code,
    files_below,
    leads_inside,
    legible,
    note_rest,
    plain_fields,
    reach,
    read_json,
    rest_of,
    shape_of,
    size_on_disk,
    some,
    unknown_classes,
    unused_names,
)

LISTS = ("annotations", "shapes", "objects")
"""Keys under which the list of shapes is looked for."""
SIZES = (("height", "width"), ("imageHeight", "imageWidth"), ("imgHeight", "imgWidth"))
"""Keys of an image's size: our own, labelme's, Cityscapes'."""
NAMES = ("filename", "file_name", "imagePath", "image")
"""Keys under which a file says which image it is of."""
NO_FIELDS = ("imageData", *(name for pair in SIZES for name in pair))
"""Fields that are no attributes."""


class Shapes(NamedTuple):
    """One JSON file that could be read."""

    key: str
    path: Path
    entries: list[Any]


def join(block: PolygonsSource, root: Path, task: Task) -> tuple[Vector, list[Finding]]:
    """Join images and JSON files by key, and the labels in them with the task's classes.

    Args:
        block: the recipe's block.
        root: data.root.
        task: names the classes.

    Returns:
        the source of everything that joins, and every fault and suspicion; equal faults of one file are
        one finding with some examples and a count.

    Raises:
        InputError: a folder is absent.
    """
    folder = _Folder(block, root / block.images, root / block.annotations, task)
    folder.take(root)
    return folder.source(), folder.findings()


@dataclass
class _Folder:
    """The files of a set while they are read; a shape with a fault is noted and passed over."""

    block: PolygonsSource
    image_folder: Path
    folder: Path
    task: Task
    tally: Tally = field(init=False)
    more: list[Finding] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)
    images: Mapping[str, Path] = field(default_factory=dict)
    files: dict[str, Path] = field(default_factory=dict)
    sizes: dict[str, Shape] = field(default_factory=dict)
    fields: dict[str, dict[str, str]] = field(default_factory=dict)
    spans: dict[str, tuple[int, int]] = field(default_factory=dict)
    outlines: Outlines = field(default_factory=lambda: Writer().done())
    used: Counter[str] = field(default_factory=Counter)
    codes: dict[str, int | None] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.tally = Tally(FAULTS)

    def take(self, root: Path) -> None:
        """Read everything."""
        listing = list_images(self.image_folder, root)
        self.images, self.notes = listing.paths, list(listing.notes)
        self.more += listing.faults
        if not listing.paths and not listing.faults:
            self.more.append(Finding("no_images", str(self.image_folder), "no images", "check the folder"))
        found, twins = files_below(self.folder, [".json"])
        paths: dict[str, Path] = {}
        for name, real in found.items():
            first = paths.setdefault(name[: -len(PurePosixPath(name).suffix)], self.folder / real)
            if first != self.folder / real:
                twins.append((first.relative_to(self.folder).as_posix(), real))
        for pair in twins:
            self.tally.add("same_key", self.folder, " and ".join(f"'{name}'" for name in pair))
        for key, path in list(paths.items()):
            if not leads_inside(path, self.folder, root):
                self.tally.add("link", paths.pop(key), path.name, key)
        self._tell_alone(paths)
        read = [shapes for key in sorted(paths) if (shapes := self._read(key, paths[key])) is not None]
        self._write(read)

    def _tell_alone(self, paths: Mapping[str, Path]) -> None:
        """Name images without a file and files without an image."""
        missing = sorted(self.images.keys() - paths.keys())
        orphans = sorted(paths.keys() - self.images.keys())
        if self.images and len(missing) == len(self.images) and orphans:
            what = f"no file has the key of an image: images are named like '{missing[0]}', files like '{orphans[0]}'"
            self.more.append(Finding("nothing_joins", str(self.folder), what, "make the names equal"))
            return
        if missing and self.block.missing_mask == "background":
            self.notes.append(f"{len(missing)} of {len(self.images)} images have no JSON file and count as background")
        elif missing:
            for key in missing:
                self.tally.add("no_file", self.folder, f"'{key}'", key)
        for key in orphans:
            self.tally.add("no_image", self.folder, f"'{key}'", key)

    def _read(self, key: str, path: Path) -> Shapes | None:
        """Read one file; None if there is nothing in it to draw from."""
        try:
            given = read_json(path, [self.block.shapes_field or "", *LISTS])
            entries = _entries(given, self.block.shapes_field, path)
        except InputError as error:
            self.more.append(Finding.of(error, "bad_label_file", (key,)))
            return None
        if key not in self.images:
            return None
        self.files[key] = path
        self.fields[key] = plain_fields(given, NO_FIELDS)
        for names in SIZES:
            said = tuple(given.get(name) for name in names)
            if said != (None, None) and (size := shape_of(*said)) is not None:
                self.sizes[key] = size
            elif said != (None, None):
                self.tally.add("image_size", path, f"{said[1]!r:.20} x {said[0]!r:.20}", key)
        if key not in self.sizes and (size := size_on_disk(self.images[key])) is not None:
            self.sizes[key] = size
        other = _other_image(given, key)
        if other in self.images:
            self.tally.add("other_image", path, f"'{other}'", key)
        return Shapes(key, path, entries)

    def _write(self, read: Sequence[Shapes]) -> None:
        """Lay the shapes out by item."""
        writer, owners = Writer(), list[tuple[str, Path, str]]()
        for key, path, entries in read:
            start = len(writer.codes)
            for name, label, parts in self._grouped(key, path, entries):
                for part in parts:
                    for place, ring in enumerate(part):
                        writer.ring(ring, hole=place > 0)
                writer.close(self._code(label), len(writer.codes))
                owners.append((key, path, name))
            if len(writer.codes) > start:
                self.spans[key] = (start, len(writer.codes))
        unmapped = {label: self.used[label] for label, code in self.codes.items() if code is None}
        known = [self.task.plane_names[code] for code in self.codes.values() if code is not None and code >= 0]
        self.more += unknown_classes(unmapped, known, self.task, self.folder, self.block.categories)
        self.more += unused_names(self.block.categories, list(self.codes), self.folder)
        self.outlines = writer.done(self._out_of_reach(writer.done(), owners))

    def _grouped(self, key: str, path: Path, entries: Sequence[Any]) -> list[tuple[str, str, list[list[Ring]]]]:
        """Read the shapes of a file and put those of one id and label together, at the place of the first."""
        groups: dict[Any, tuple[str, str, list[list[Ring]]]] = {}
        for place, entry in enumerate(entries):
            number = entry.get("id", entry.get("group_id")) if isinstance(entry, Mapping) else None
            name = f"shape {place + 1}"
            try:
                label, rings = read_shape(entry, self.block)
            except BadShapeError as error:
                self.tally.add(error.sort, path, f"{name}{error.detail}", key)
                continue
            self.used[label] += 1
            group = (number, label) if isinstance(number, int | str) else (place, None, None)
            groups.setdefault(group, (name, label, []))[2].append(rings)
        return list(groups.values())

    def _code(self, label: str) -> int:
        if label not in self.codes:
            self.codes[label] = class_code([label], self.block.categories, self.task)
        code = self.codes[label]
        return UNDRAWN if code is None else code

    def _out_of_reach(self, outlines: Outlines, owners: Sequence[tuple[str, Path, str]]) -> list[int]:
        """Check coordinates against the sizes that the files name; return the shapes that cannot be drawn."""
        found = reach(outlines, lambda index: self.sizes.get(owners[index][0]))
        for sort, indices in (("not_finite", found.not_finite), ("far", found.far)):
            for index in indices:
                key, path, name = owners[index]
                self.tally.add(sort, path, name, key)
        for index, by in found.over.items():
            key, path, name = owners[index]
            self.tally.add("over_edge", path, f"{name} by {by:.0f} pixels", key)
        return sorted({*found.not_finite, *found.far})

    def source(self) -> Vector:
        """Return what joined."""
        empty = [key for key in self.files if key not in self.spans]
        if empty:
            self.notes.append(f"{self.folder}: {len(empty)} of {len(self.files)} files hold no shape: {some(empty)}")
        self.notes += note_rest(self.block.unlabelled, self.task, self.folder)
        background = self.block.missing_mask == "background"
        return Vector(
            keys=tuple(sorted(key for key in self.images if key in self.files or background)),
            labelled=True,
            notes=tuple(self.notes),
            images=self.images,
            files=self.files,
            spans=self.spans,
            sizes=self.sizes,
            outlines=self.outlines,
            drawing=Drawing(self.block.vertices, self.block.overlap, rest_of(self.block.unlabelled, self.task)),
            fields=self.fields,
        )

    def findings(self) -> list[Finding]:
        """Return everything that is wrong or odd."""
        return [*self.tally.findings(), *self.more]


def _entries(given: Any, name: str | None, path: Path) -> list[Any]:
    """Return the list of shapes of a file."""
    fix = "set shapes_field to the key of the list of shapes"
    if not isinstance(given, Mapping):
        what = f"no object with a list of shapes ({type(given).__name__})"
        raise InputError(what, where=path, fix=fix, kind="bad_label_file")
    names = [name] if name is not None else [each for each in LISTS if each in given]
    if not names or names[0] not in given:
        listed = ", ".join(f"'{legible(each):.40}'" for each in list(given)[:6]) or "nothing"
        wanted = f"'{name}'" if name is not None else " or ".join(f"'{each}'" for each in LISTS)
        raise InputError(f"no {wanted} in it, it holds {listed}", where=path, fix=fix, kind="bad_label_file")
    if not isinstance(given[names[0]], list):
        what = f"'{names[0]}' is no list ({type(given[names[0]]).__name__})"
        raise InputError(what, where=path, fix=fix, kind="bad_label_file")
    return list(given[names[0]])


def _other_image(given: Mapping[str, Any], key: str) -> str:
    """Return the key of the image that a file says it is of, if that is not the one it is joined to."""
    said = next((given[name] for name in NAMES if isinstance(given.get(name), str)), "")
    stem = PurePosixPath(unicodedata.normalize("NFC", said.replace("\\", "/"))).stem
    folder, _, own = key.rpartition("/")
    return "" if not stem or stem == own else f"{folder}/{stem}".removeprefix("/")


FAULTS: dict[str, Fault] = {
    "no_file": Fault("missing_label", "images without a JSON file", "add them, or set missing_mask: background"),
    "no_image": Fault("orphan_label", "JSON files without an image", "add the images, or take the files away"),
    "same_key": Fault("key_twice", "JSON files with one key", "keep one of them"),
    "link": Fault("bad_link", "links that lead nowhere or out of the data folder", "copy the files"),
    "image_size": Fault("bad_label_file", "an odd width x height", "write whole numbers of pixels"),
    "other_image": Fault(
        "other_image_named", "files that name another image than their own", "check that the labels are not swapped"
    ),
    "entry": Fault("bad_label_file", "shapes that are no objects", "mend or drop them"),
    "no_label": Fault("bad_annotation", "shapes without a label", "add it, or set label_field"),
    "no_points": Fault("bad_annotation", "shapes without [[x, y], ...]", "mend them, or set points_field"),
    "kind": Fault("bad_annotation", "shapes that have no area or that we do not draw", f"use {', '.join(DRAWN)}"),
    "few_points": Fault(
        "bad_annotation", "polygons with fewer than 3 vertices", "mend or drop them, or set vertices: centres"
    ),
    "not_number": Fault("bad_annotation", "coordinates that are no numbers", "mend or drop them"),
    "not_finite": Fault("bad_annotation", "coordinates that are not finite", "mend or drop them"),
    "far": Fault("bad_annotation", "outlines far outside of their image", "check that the labels are of these images"),
    "over_edge": Fault(
        "outside_image", "outlines that reach out of their image", "they are cut off; check the size that was labelled"
    ),
}
"""What can be wrong with a file or a shape -> how it is told. In the order in which it is told."""
