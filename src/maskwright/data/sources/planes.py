"""Masks of one class each, joined to their images: the labels of a multilabel task in folders."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from maskwright.core.errors import near
from maskwright.core.files import safe_name, stored_name
from maskwright.core.grid import Shape
from maskwright.core.labels import Task
from maskwright.core.recipe.sources import FolderSource, MaskBlock
from maskwright.data.findings import Finding
from maskwright.data.sources.base import Label, Valid
from maskwright.data.sources.encodings import Masked, read_planes
from maskwright.data.sources.listing import Listing

Layout = Literal["key/class", "class/key"]
LAYOUTS: tuple[Layout, ...] = ("key/class", "class/key")


@dataclass(frozen=True)
class Planes(Masked):
    """Items whose labels are one mask for each class."""

    keys: tuple[str, ...]
    notes: tuple[str, ...]
    images: Mapping[str, Path]
    masks: Mapping[str, Mapping[int, Path]]
    """Key -> plane -> mask; classes without a mask are absent from the item."""
    block: MaskBlock
    fields: Mapping[str, Mapping[str, str]]
    """Key -> attributes."""
    labelled: bool = True

    def ordered(self) -> tuple[str, ...] | None:
        """Return the keys in the order in which images were found: that of rows, of a table."""
        ours = frozenset(self.keys)
        return tuple(key for key in self.images if key in ours)

    def image_path(self, key: str) -> Path:
        """Return the image file of an item."""
        return self.images[key]

    def label_path(self, key: str) -> Path | None:
        """Return the mask of the first class that has one; None if none has."""
        return next(iter(self.label_paths(key)), None)

    def label_paths(self, key: str) -> tuple[Path, ...]:
        """Return the masks of all classes that have one."""
        return tuple(path for _, path in sorted(self.masks.get(key, {}).items()))

    def attributes(self, key: str) -> Mapping[str, str]:
        """Return what else is known of an item."""
        return self.fields.get(key, {})

    def by_plane(self, key: str) -> Mapping[int, Path]:
        """Return plane -> mask of an item."""
        return self.masks.get(key, {})

    def read_label(self, key: str, shape: Shape, task: Task) -> tuple[Label, Valid]:
        """Read the masks of an item; see Source."""
        if self.soft:
            return self.read_hard(key, shape, task)
        return read_planes(self.masks.get(key, {}), shape, task, self.block)


def join_planes(
    block: FolderSource, task: Task, images: Listing, masks: Listing, folder: Path
) -> tuple[Planes, list[Finding]]:
    """Join images with one mask for each class.

    Args:
        block: layout and missing_mask.
        task: names the classes; a folder or file of a class has its name, or the name we write for it.
        images: by key.
        masks: by path below the folder of masks, without suffix.
        folder: of masks, for messages.
    """
    notes = list(images.notes) + list(masks.notes)
    split = {each: _split(each, masks.paths, images.paths, task) for each in LAYOUTS}
    layout = _likely(split) if block.layout is None else block.layout
    if block.layout is None:
        notes.append(
            f"{folder}: masks lie in {layout} order, as guessed from their names; write layout: {layout} to fix it"
        )
    parts = split[layout]
    found = _foreign(parts, task, folder)
    joined = {key: planes for key, planes in parts.masks.items() if key in images.paths}
    if images.paths and parts.masks and not joined:
        example = next(iter(sorted(parts.masks)))
        what = (
            f"no mask has the key of an image: images are named like '{min(images.paths)}', "
            f"masks of a class like '{example}'"
        )
        found.append(Finding("nothing_joins", str(folder), what, "make the names equal, or set layout"))
    else:
        found += _alone(block, task, images, parts, folder)
    keys = [key for key in images.paths if key in joined or block.missing_mask == "background"]
    if block.missing_mask == "background":
        lacking = sum(len(joined.get(key, {})) < task.planes for key in images.paths)
        if lacking:
            notes.append(f"{lacking} of {len(images.paths)} images lack the mask of a class, which counts as absent")
    return Planes(tuple(sorted(keys)), tuple(notes), images.paths, joined, block, {}), found


@dataclass(frozen=True)
class _Parts:
    """Masks by key and plane as one layout reads their paths."""

    masks: Mapping[str, dict[int, Path]]
    foreign: Mapping[str, Path]
    """Texts in the place of a class that name none."""
    named: int
    """Masks whose class is known."""
    fit: int
    """Masks whose class is known and whose key is an image's."""


def _likely(split: Mapping[Layout, _Parts]) -> Layout:
    """Return the layout by which most masks join; the one that we write where both do."""
    key_first, class_first = ((split[each].fit, split[each].named) for each in LAYOUTS)
    return "class/key" if class_first > key_first else "key/class"


def _split(layout: Layout, paths: Mapping[str, Path], images: Mapping[str, Path], task: Task) -> _Parts:
    planes = {safe_name(name): plane for plane, name in enumerate(task.classes)}
    planes |= {name: plane for plane, name in enumerate(task.classes)}
    stored = {stored_name(key): key for key in images}
    masks: dict[str, dict[int, Path]] = {}
    foreign: dict[str, Path] = {}
    named = fit = 0
    for name, path in sorted(paths.items()):
        key, _, text = name.rpartition("/") if layout == "key/class" else name.partition("/")[::-1]
        plane = planes.get(text)
        if plane is None or not key:
            foreign.setdefault(text if key else name, path)
            continue
        key = key if key in images else stored.get(key, key)
        named += 1
        fit += key in images
        masks.setdefault(key, {})[plane] = path
    return _Parts(masks, foreign, named, fit)


def _foreign(parts: _Parts, task: Task, folder: Path) -> list[Finding]:
    found = []
    for text, path in parts.foreign.items():
        what = f"'{text}' is no class{near(text, task.classes)}, the task has {', '.join(task.classes)}"
        fix = "rename it, take it away, or add the class to the task"
        found.append(Finding("unknown_class", str(path), f"{what} (masks below {folder})", fix))
    return found


def _alone(block: FolderSource, task: Task, images: Listing, parts: _Parts, folder: Path) -> list[Finding]:
    """Name images that lack masks, unless that means background, and masks without an image."""
    found = []
    for key in sorted(images.paths) if block.missing_mask == "refuse" else []:
        absent = [name for plane, name in enumerate(task.classes) if plane not in parts.masks.get(key, {})]
        if absent:
            names = ", ".join(f"'{name}'" for name in absent[:6]) + (", ..." if len(absent) > 6 else "")
            what, fix = f"no mask of key '{key}' for {names} in {folder}", "add it, or set missing_mask: background"
            found.append(Finding("missing_label", str(images.paths[key]), what, fix, (key,)))
    for key in sorted(parts.masks.keys() - images.paths.keys()):
        path = next(iter(parts.masks[key].values()))
        what, fix = f"no image of key '{key}'", "add it, or take the masks away"
        found.append(Finding("orphan_label", str(path), what, fix, (key,)))
    return found
