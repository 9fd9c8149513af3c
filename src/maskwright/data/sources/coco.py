"""Images in a folder and one COCO JSON file: polygons, run lengths and crowds, joined by file name."""

from __future__ import annotations

import unicodedata
from collections import Counter, defaultdict
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath
from typing import Any

from maskwright.core.errors import InputError
from maskwright.core.files import inside
from maskwright.core.grid import Shape
from maskwright.core.labels import Task
from maskwright.core.recipe.sources import CocoSource
from maskwright.data.findings import Finding
from maskwright.data.pixels.rasters import SUFFIXES
from maskwright.data.sources.coco_entry import boxes_that_differ, digest_of, is_id, lay_out, named
from maskwright.data.sources.listing import case_twins
from maskwright.data.sources.outlines import UNDRAWN, Drawing, Outlines, Vector, Writer
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
    unknown_classes,
    unused_names,
)

OWN_FIELDS = ("id", "file_name", "width", "height")
"""Fields of an image that are no attributes."""
LISTS = ("images", "annotations", "categories")


def join(block: CocoSource, root: Path, task: Task) -> tuple[Vector, list[Finding]]:
    """Join the images of a COCO file with those in a folder, and its annotations with the task's classes.

    Args:
        block: the recipe's block.
        root: data.root.
        task: names the classes.

    Returns:
        the source of everything that joins, and every fault and suspicion of the file; equal faults are
        one finding with some examples and a count.

    Raises:
        InputError: folder or file is absent, or the file is no COCO JSON.
    """
    path = root / block.annotations
    file = _File(block, path, root / block.images, root, task)
    given = _lists(read_json(path, LISTS), path)
    file.take_images(given["images"])
    file.take_categories(given["categories"])
    file.take_annotations(given["annotations"])
    return file.source(), file.findings()


def _lists(given: Any, path: Path) -> dict[str, list[Any]]:
    """Return the lists of a COCO file; those that may be absent are empty then."""
    fix = "give a COCO file with images, annotations and categories"
    if not isinstance(given, Mapping):
        what = f"no COCO file: a list or a value, not an object ({type(given).__name__})"
        raise InputError(what, where=path, fix=fix, kind="bad_label_file")
    if "images" not in given:
        listed = ", ".join(f"'{legible(name):.40}'" for name in list(given)[:6]) or "nothing"
        if "shapes" in given or "points" in str(given.get("annotations"))[:400]:
            fix = "this looks like polygons of one image; set format: polygons"
        raise InputError(f"no COCO file: it holds {listed}, not images", where=path, fix=fix, kind="bad_label_file")
    found = {}
    for name in LISTS:
        value = given.get(name)
        if value is not None and not isinstance(value, list):
            what = f"{name} is no list ({type(value).__name__})"
            raise InputError(what, where=path, fix=fix, kind="bad_label_file")
        found[name] = value or []
    return found


@dataclass
class _File:
    """A COCO file while it is read; an entry with a fault is noted and passed over."""

    block: CocoSource
    path: Path
    folder: Path
    root: Path
    task: Task
    tally: Tally = field(init=False)
    more: list[Finding] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)
    listed: int = 0
    """Entries of images."""
    images: dict[str, Path] = field(default_factory=dict)
    sizes: dict[str, Shape] = field(default_factory=dict)
    fields: dict[str, dict[str, str]] = field(default_factory=dict)
    key_of: dict[Any, str | None] = field(default_factory=dict)
    """Image id -> key; None for images that have a fault."""
    names: dict[Any, str] = field(default_factory=dict)
    """Category id -> name."""
    by_key: dict[str, list[Mapping[str, Any]]] = field(default_factory=lambda: defaultdict(list))
    spans: dict[str, tuple[int, int]] = field(default_factory=dict)
    outlines: Outlines = field(default_factory=lambda: Writer().done())
    annotations: int = 0

    def __post_init__(self) -> None:
        self.tally = Tally(FAULTS)

    def note(self, sort: str, example: str, key: str = "") -> None:
        """Note a fault of an entry."""
        self.tally.add(sort, self.path, example, key)

    def take_images(self, entries: list[Any]) -> None:
        """Find every image of the file in the folder."""
        disk, twins = files_below(self.folder, SUFFIXES)
        for names_on_disk in twins:
            self.note("same_name", " and ".join(f"{name!r:.80}" for name in names_on_disk))
        names: dict[str, Any] = {}
        self.listed = len(entries)
        for place, entry in enumerate(entries):
            known = isinstance(entry, Mapping) and isinstance(entry.get("file_name"), str) and is_id(entry.get("id"))
            if not known:
                self.note("image_entry", f"entry {place + 1}")
                continue
            number, name = entry["id"], entry["file_name"]
            if number in self.key_of:
                self.note("image_twice", f"id {number} ({name!r:.80})")
                continue
            self.key_of[number] = None
            if name in names:
                self.note("name_twice", f"{name!r:.80} (ids {names[name]} and {number})")
                continue
            names[name] = number
            self._take_image(entry, disk)
        unused = len(disk) - len({str(path) for path in self.images.values()})
        if unused and self.images:
            self.notes.append(f"{self.folder}: {unused} images that {self.path.name} does not list are left aside")
        if not entries:
            self.more.append(Finding("no_images", str(self.path), "lists no images", "give the file that does"))
        self.more += case_twins(self.images, self.path)

    def _take_image(self, entry: Mapping[str, Any], disk: Mapping[str, str]) -> None:
        name = unicodedata.normalize("NFC", str(PurePosixPath(entry["file_name"].replace("\\", "/"))))
        key = name.removesuffix(PurePosixPath(name).suffix)
        if name not in disk or not _textual(key):
            self._no_file(entry["file_name"], name, disk)
            return
        path = self.folder / disk[name]
        if not leads_inside(path, self.folder, self.root):
            self.note("link", f"{entry['file_name']!r:.80}")
            return
        if key in self.images:
            self.note("same_key", f"{self.images[key].name!r} and {path.name!r}", key)
            return
        self.images[key], self.key_of[entry["id"]] = path, key
        self.fields[key] = plain_fields(entry, OWN_FIELDS)
        size = shape_of(entry.get("height"), entry.get("width"))
        if size is None and (entry.get("height"), entry.get("width")) != (None, None):
            self.note("image_size", f"'{name}' ({entry.get('width')!r:.20} x {entry.get('height')!r:.20})", key)
        if size is None:
            size = size_on_disk(path)
        if size is not None:
            self.sizes[key] = size

    def _no_file(self, said: str, name: str, disk: Mapping[str, str]) -> None:
        try:
            inside(self.folder, said, self.path)
        except (InputError, ValueError):
            self.note("odd_name", f"{said!r:.80}")
            return
        hint = next((found for found in disk if found.casefold() == name.casefold()), "")
        base = PurePosixPath(name).name
        hint = hint or next((found for found in disk if PurePosixPath(found).name == base), "")
        self.note("no_file", f"{said!r:.80}" + (f" (there is '{hint}')" if hint else ""))

    def take_categories(self, entries: list[Any]) -> None:
        """Read the names of the categories."""
        for place, entry in enumerate(entries):
            if not isinstance(entry, Mapping) or not is_id(entry.get("id")):
                self.note("category_entry", f"entry {place + 1}")
                continue
            number, name = entry["id"], legible(str(entry.get("name", entry["id"])))
            if self.names.get(number, name) != name:
                self.note("category_id_twice", f"id {number} ('{self.names[number]}' and '{name}')")
            self.names.setdefault(number, name)

    def take_annotations(self, entries: list[Any]) -> None:
        """Give every annotation to its image and its class, and check all that is to be drawn."""
        self.annotations = len(entries)
        seen: Counter[Any] = Counter()
        for place, entry in enumerate(entries):
            if not isinstance(entry, Mapping):
                self.note("annotation_entry", f"entry {place + 1}")
                continue
            number, image, category = entry.get("id"), entry.get("image_id"), entry.get("category_id")
            if is_id(number):
                seen[number] += 1
            if not is_id(image) or image not in self.key_of:
                self.note("no_image", f"{named(entry)} (image_id {image!r:.20}{_other_type(image, self.key_of)})")
            elif not is_id(category) or category not in self.names:
                self.note("no_category", _uncategorised(entry, self.names), self.key_of[image] or "")
            elif (key := self.key_of[image]) is not None:
                self.by_key[key].append(entry)
        for number, times in seen.items():
            if times > 1:
                self.note("annotation_twice", f"id {number}")
        self._write()

    def _write(self) -> None:
        """Lay the annotations out by item."""
        codes, writer, drawn = self._codes(), Writer(), []
        for key, entries in self.by_key.items():
            start, seen = len(writer.codes), set[tuple[Any, int]]()
            for entry in entries:
                code, size = codes[entry["category_id"]], self.sizes.get(key)
                bad = lay_out(entry, writer, code, size, self.block.missing_outline)
                if bad is not None:
                    detail = f" ({bad.detail})" if bad.detail else ""
                    self.note(bad.sort, f"{named(entry)} of '{key}'{detail}", key)
                elif self.block.overlap == "highest_id" and not isinstance(entry.get("id"), int):
                    self.note("no_rank", f"{named(entry)} of '{key}'", key)
                same = entry["category_id"], digest_of(entry) if bad is None else 0
                if same in seen and same[1]:
                    self.note("equal", f"{named(entry)} of '{key}'", key)
                seen.add(same)
                drawn.append(entry)
            self.spans[key] = (start, len(writer.codes))
        self.outlines = writer.done(self._out_of_reach(writer.done(), drawn))

    def _codes(self) -> dict[Any, int]:
        """Return the class of each category; name those that are used and have none."""
        used = Counter(entry["category_id"] for entries in self.by_key.values() for entry in entries)
        codes, unmapped = {}, Counter[str]()
        known: list[str] = []
        for number, name in self.names.items():
            code = class_code([str(number), name], self.block.categories, self.task)
            codes[number] = UNDRAWN if code is None else code
            if code is not None and code >= 0:
                known.append(self.task.plane_names[code])
            elif code is None and used[number]:
                unmapped[name] += used[number]
        self.more += unknown_classes(unmapped, known, self.task, self.path, self.block.categories)
        names = [name for number, each in self.names.items() for name in (str(number), each)]
        self.more += unused_names(self.block.categories, names, self.path)
        self._tell_twins(used)
        return codes

    def _tell_twins(self, used: Mapping[Any, int]) -> None:
        """Name categories that share a name: a suspicion if more than one of them is used."""
        for name, times in Counter(self.names.values()).items():
            numbers = [number for number, each in self.names.items() if each == name]
            busy = [str(number) for number in numbers if used.get(number)]
            told = all(str(number) in (self.block.categories or {}) for number in numbers if used.get(number))
            if times > 1 and len(busy) > 1 and not told:
                self.note("category_twice", f"'{name}' (ids {', '.join(busy)})")
            elif times > 1 and len(busy) < 2:
                idle = ", ".join(str(number) for number in numbers if not used.get(number))
                self.notes.append(f"{self.path}: '{name}' names {times} categories; id {idle} has no annotation")

    def _out_of_reach(self, outlines: Outlines, entries: list[Mapping[str, Any]]) -> list[int]:
        """Check coordinates against the images; return the annotations that cannot be drawn."""
        keys = [key for key in self.spans for _ in range(*self.spans[key])]
        found = reach(outlines, lambda index: self.sizes.get(keys[index]))
        for sort, indices in (("not_finite", found.not_finite), ("far", found.far)):
            for index in indices:
                self.note(sort, f"{named(entries[index])} of '{keys[index]}'", keys[index])
        for index, by in found.over.items():
            self.note("over_edge", f"{named(entries[index])} of '{keys[index]}' by {by:.0f} pixels", keys[index])
        bad = {*found.not_finite, *found.far}
        for index in boxes_that_differ(outlines, entries):
            if index not in bad:
                self.note("box_differs", f"{named(entries[index])} of '{keys[index]}'", keys[index])
        return sorted(bad)

    def source(self) -> Vector:
        """Return what joined."""
        if self.annotations:
            lone = sum(key not in self.spans for key in self.images)
            if lone:
                self.notes.append(f"{self.path}: {lone} of {len(self.images)} images have no annotation")
            self.notes += note_rest(self.block.unlabelled, self.task, self.path)
        else:
            self.notes.append(f"{self.path}: there are no annotations, so the images are unlabelled")
        return Vector(
            keys=tuple(sorted(self.images)),
            labelled=bool(self.annotations),
            notes=tuple(self.notes),
            images=self.images,
            files=dict.fromkeys(self.images, self.path) if self.annotations else {},
            spans=self.spans,
            sizes=self.sizes,
            outlines=self.outlines,
            drawing=Drawing("coco", self.block.overlap, rest_of(self.block.unlabelled, self.task), self.block.crowd),
            fields=self.fields,
            in_file=True,
        )

    def findings(self) -> list[Finding]:
        """Return everything that is wrong or odd."""
        return [*self.tally.findings(), *self.more]


def _textual(key: str) -> bool:
    """Say whether a key can be written into our files."""
    return bool(key) and key.isprintable()


def _uncategorised(entry: Mapping[str, Any], names: Mapping[Any, str]) -> str:
    category = entry.get("category_id")
    return f"{named(entry)} (category_id {category!r:.20}{_other_type(category, names)})"


def _other_type(number: Any, listed: Mapping[Any, Any]) -> str:
    """Say that an id is listed as a text where a number is given, or the reverse."""
    other: Any = str(number)
    if isinstance(number, str) and number.isascii() and number.isdigit():
        other = int(number[:18])
    elif isinstance(number, float) and number.is_integer():
        other = int(number)
    return f", listed as {other!r:.20}" if other in listed else ""


FAULTS: dict[str, Fault] = {
    "image_entry": Fault("bad_label_file", "images without an id and a file_name", "mend the entries"),
    "image_twice": Fault("id_twice", "image ids that occur twice", "give every image an id of its own"),
    "name_twice": Fault("key_twice", "file names that occur twice", "list each image once"),
    "same_key": Fault("key_twice", "images whose names differ in the suffix alone", "keep one, or rename it"),
    "same_name": Fault("key_twice", "files whose names are one text, composed otherwise", "keep one of them"),
    "link": Fault("bad_link", "links that lead nowhere or out of the data folder", "copy the files"),
    "odd_name": Fault("odd_name", "file names that lead out of the data folder", "use names below images"),
    "no_file": Fault("orphan_label", "images that are not in the folder", "add the files, or set images: FOLDER"),
    "image_size": Fault("bad_label_file", "images with an odd width x height", "write whole numbers of pixels"),
    "category_entry": Fault("bad_label_file", "categories without an id", "mend the entries"),
    "category_id_twice": Fault("id_twice", "category ids with two names", "give every category an id of its own"),
    "category_twice": Fault(
        "category_twice", "category names with several ids in use", "if they differ, set categories by id"
    ),
    "annotation_entry": Fault("bad_label_file", "annotations that are no objects", "mend the entries"),
    "annotation_twice": Fault("annotation_twice", "annotation ids that occur twice", "all are drawn; look for copies"),
    "equal": Fault("annotation_twice", "annotations that repeat another one of their image", "drop the copies"),
    "no_image": Fault("orphan_label", "annotations of images that are not listed", "list the images, or drop them"),
    "no_category": Fault("bad_annotation", "annotations of categories that are not listed", "list the categories"),
    "no_rank": Fault("bad_annotation", "annotations without a whole id, under overlap: highest_id", "number them"),
    "crowd": Fault("bad_annotation", "annotations whose iscrowd is neither 0 nor 1", "write 0 or 1"),
    "no_outline": Fault(
        "bad_annotation", "annotations without a segmentation", "add it, or set missing_outline: skip or box"
    ),
    "segmentation": Fault(
        "bad_annotation", "segmentations of an unknown layout", "write [[x, y, x, y, ...]] or size and counts"
    ),
    "odd_count": Fault("bad_annotation", "polygons with an odd count of numbers", "write x and y for each vertex"),
    "few_points": Fault("bad_annotation", "polygons with fewer than 3 vertices", "mend or drop them"),
    "not_number": Fault("bad_annotation", "coordinates that are no numbers", "mend or drop them"),
    "not_finite": Fault("bad_annotation", "coordinates that are not finite", "mend or drop them"),
    "far": Fault("bad_annotation", "outlines far outside of their image", "check that the labels are of these images"),
    "rle_size": Fault("bad_annotation", "run lengths of another size than the image", "encode them anew"),
    "rle_counts": Fault("bad_annotation", "run lengths that cannot be drawn", "encode them anew"),
    "over_edge": Fault(
        "outside_image", "outlines that reach out of their image", "they are cut off; check the size that was labelled"
    ),
    "box_differs": Fault("box_differs", "boxes that do not fit their outlines", "outlines are drawn; check both"),
}
"""What can be wrong with an entry -> how it is told. In the order in which it is told."""
