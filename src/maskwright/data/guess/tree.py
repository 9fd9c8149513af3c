"""What lies below a folder: pictures folder by folder, those that look like masks, tables, JSON, names of classes."""

from __future__ import annotations

import os
import re
import unicodedata
from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path, PurePosixPath
from typing import Literal

from maskwright.core.errors import InputError, from_os_error
from maskwright.data.guess.masks import FLAT, PEEKED, looks_like_mask, spread
from maskwright.data.pixels.rasters import SUFFIXES

MANY_FOLDERS = 200
"""From so many folders on, one picture of each is looked at."""
MOST_FILES, MOST_DEPTH = 500_000, 8
"""A folder with more is no data set that could be guessed."""
LABEL_WORDS = re.compile(
    r"(?i)(?<![a-z])(masks?|labels?|annot\w*|annotations?|gt|ground_?truth|seg|segmentations?|targets?|instances?)"
    r"(?![a-z])|annot$|labels?$|masks?$"
)
SPLITS = {"test": r"(?i)^(test|unlabell?ed)", "val": r"(?i)^(val|dev|holdout)", "train": r"(?i)^train"}
"""Split -> how names of folders and files begin that belong to it."""
Look = Literal["image", "mask"]


@dataclass
class Folder:
    """A folder of pictures of one sort, all below it taken together."""

    path: str
    """Below the root, with slashes; "." for the root itself."""
    names: tuple[str, ...]
    """Picture files below it, with their suffix."""
    look: Look
    prefix: str = ""
    """Start and end of the stems that are not part of the key."""
    suffix: str = ""

    @cached_property
    def keys(self) -> frozenset[str]:
        """Keys of its files."""
        return frozenset(self.key(name) for name in self.names)

    def key(self, name: str) -> str:
        """Return the key of a file: its path without extension, prefix and suffix."""
        stem = unicodedata.normalize("NFC", name.removesuffix(PurePosixPath(name).suffix))
        folder, slash, last = stem.rpartition("/")
        return f"{folder}{slash}{last.removeprefix(self.prefix).removesuffix(self.suffix)}"

    @property
    def split(self) -> str:
        """Return train, val, test or nothing, by its name."""
        return split_of(self.path)


@dataclass(frozen=True)
class Tree:
    """All that could be images or labels below a root."""

    root: Path
    folders: tuple[Folder, ...]
    tables: tuple[str, ...]
    """CSV files below the root."""
    objects: tuple[str, ...]
    """JSON files that lie alone or in a few."""
    json_folders: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    """Folder of many JSON files -> their names."""
    foreign: tuple[str, ...] = ()
    """Label files of formats that are not read, e.g. GeoJSON."""
    lists: tuple[str, ...] = ()
    """Text files that may list classes."""


def split_of(path: str) -> str:
    """Say which split a path names: train, val, test or nothing; the last part that says so counts."""
    for part in reversed(PurePosixPath(path).parts):
        for word in re.split(r"[^A-Za-z]+", part):
            for split, pattern in SPLITS.items():
                if re.match(pattern, word):
                    return split
    return ""


def survey(root: Path) -> Tree:
    """Walk a folder, and look at a few pictures of each folder to tell images from masks.

    Args:
        root: the folder; links out of it are not followed.

    Raises:
        InputError: there is no such folder, or far too much in it.
    """
    if not root.is_dir():
        raise InputError("no such folder", where=root, fix="give the folder that holds images and labels")
    files = _files(root)
    by_folder: dict[str, list[str]] = defaultdict(list)
    for name in files:
        folder, _, last = name.rpartition("/")
        by_folder[folder or "."].append(last)
    peeks = PEEKED if len(by_folder) <= MANY_FOLDERS else 1
    leaves = [
        leaf for path, names in sorted(by_folder.items()) for leaf in _leaves(root, path, _of(names, SUFFIXES), peeks)
    ]
    jsons = {path: _of(names, (".json",)) for path, names in by_folder.items()}
    return Tree(
        root=root,
        folders=tuple(_joined(leaves)),
        tables=tuple(sorted(_of(files, (".csv",)))),
        objects=tuple(sorted(_path(path, name) for path, names in jsons.items() if len(names) <= 6 for name in names)),
        json_folders={path: names for path, names in jsons.items() if len(names) > 1},
        foreign=tuple(sorted(_of(files, (".geojson", ".gpkg", ".fgb", ".shp", ".xml", ".npy", ".npz", ".mat")))[:20]),
        lists=tuple(sorted(_of(files, (".txt", ".names")))[:50]),
    )


def _files(root: Path) -> list[str]:
    """List visible files below a folder, with slashes."""
    found: list[str] = []
    waiting = [(root, 0)]
    home = root.resolve()
    while waiting:
        current, depth = waiting.pop()
        try:
            entries = sorted(os.scandir(current), key=lambda entry: entry.name)
        except OSError as error:
            raise from_os_error(error, current) from error
        for entry in entries:
            if entry.name.startswith(".") or not entry.name.isprintable():
                continue
            if entry.is_symlink() and (entry.is_dir() or not Path(entry.path).resolve().is_relative_to(home)):
                continue
            if entry.is_dir() and depth < MOST_DEPTH:
                waiting.append((Path(entry.path), depth + 1))
            elif entry.is_file():
                found.append(Path(entry.path).relative_to(root).as_posix())
        if len(found) > MOST_FILES:
            raise InputError(f"more than {MOST_FILES} files", where=root, fix="give the folder of one data set")
    return found


def _of(names: Iterable[str], suffixes: tuple[str, ...]) -> tuple[str, ...]:
    return tuple(name for name in names if name.lower().endswith(suffixes))


def _path(folder: str, name: str) -> str:
    return name if folder == "." else f"{folder}/{name}"


def _leaves(root: Path, path: str, names: tuple[str, ...], peeks: int) -> list[Folder]:
    """Tell what the pictures of one folder are; images and masks side by side become two."""
    if not names:
        return []
    pairs = _side_by_side(names)
    if pairs is not None:
        return [
            Folder(path, pairs[0], "image"),
            Folder(path, pairs[1], "mask", suffix=pairs[2]),
        ]
    files = spread([root / path / name for name in names], peeks)
    if LABEL_WORDS.search(path.rpartition("/")[2]):  # small objects leave few equal neighbours
        return [Folder(path, names, "mask" if looks_like_mask(files, FLAT / 2) > 0.4 else "image")]
    return [Folder(path, names, "mask" if looks_like_mask(files) > 0.8 else "image")]


def _side_by_side(names: tuple[str, ...]) -> tuple[tuple[str, ...], tuple[str, ...], str] | None:
    """Split a folder that holds a.jpg and a_mask.png: images, masks, the masks' suffix."""
    stems = {PurePosixPath(name).stem for name in names}
    ends = Counter(
        "_" * (stem[-len(end) - 1] == "_") + ("-" * (stem[-len(end) - 1] == "-")) + end
        for stem in stems
        for end in MASK_ENDS
        if stem.lower().endswith(end) and len(stem) > len(end) + 1 and stem[-len(end) - 1] in "_-"
    )
    for end, number in ends.most_common(1):
        masks = tuple(name for name in names if PurePosixPath(name).stem.endswith(end))
        images = tuple(name for name in names if name not in set(masks))
        bare = {PurePosixPath(name).stem.removesuffix(end) for name in masks}
        if images and number > 1 and len(bare & {PurePosixPath(name).stem for name in images}) >= 0.8 * len(masks):
            return images, masks, end
    return None


def _joined(leaves: list[Folder]) -> list[Folder]:
    """Put folders together that lie below one folder of nothing but their sort, unless it names splits."""
    sorts: dict[str, set[tuple[str, str]]] = defaultdict(set)
    for leaf in leaves:
        for parent in PurePosixPath(leaf.path).parents:
            sorts[str(parent)].add((leaf.look, leaf.split))
    tops: dict[str, list[Folder]] = defaultdict(list)
    for leaf in leaves:
        tops[_top(leaf, sorts)].append(leaf)
    found = []
    for top, inside in sorted(tops.items()):
        if len(inside) == 1 or len({leaf.look for leaf in inside}) > 1:
            found += inside
            continue
        names = tuple(
            _path(str(PurePosixPath(leaf.path).relative_to(top)), name) for leaf in inside for name in leaf.names
        )
        found.append(Folder(top, names, inside[0].look, suffix=inside[0].suffix))
    return found


def _top(leaf: Folder, sorts: Mapping[str, set[tuple[str, str]]]) -> str:
    """Return the highest folder above a leaf that holds pictures of its sort and of its split only."""
    top = leaf.path
    for parent in PurePosixPath(leaf.path).parents:
        if str(parent) == "." or len(sorts[str(parent)]) > 1:
            break
        top = str(parent)
    return top


MASK_ENDS = ("mask", "masks", "label", "labels", "gt", "seg", "segmentation", "annotation", "anno", "l", "labelids")
"""Words at the end of a mask's name, after _ or -, lower case."""
