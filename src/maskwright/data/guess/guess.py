"""Guess layout and task of a labelled set from its files alone, and say from what; nothing is believed in silence."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from statistics import median
from typing import Any

from maskwright.core.errors import InputError
from maskwright.data.guess import files, joins
from maskwright.data.guess.ground import CHIP, by_ground
from maskwright.data.guess.joins import MOST_PIXELS, Labels
from maskwright.data.guess.masks import spread
from maskwright.data.guess.tree import Folder, Tree, survey
from maskwright.data.pixels.rasters import SUFFIXES, read_header
from maskwright.data.pixels.scenes import ANY_SIZE

GROUP_SIZE = 2.0
"""Items a group has on average, at least, for a prefix to be taken for one."""


@dataclass(frozen=True)
class Guess:
    """All that was guessed of a set."""

    root: Path
    task: Mapping[str, Any]
    train: Mapping[str, Any]
    test: Mapping[str, Any] | None
    folds: Mapping[str, Any]
    crop: int
    whole: bool
    """Images are small enough to be predicted whole."""
    bands: int
    items: int
    said: tuple[str, ...]
    """What was guessed from what."""
    others: tuple[Mapping[str, Any], ...] = ()
    """Other source blocks that would do, too."""
    group: str | None = None
    """A regular expression that might name groups, if it is too doubtful to be used."""
    sizes: tuple[int, int] = field(default=(0, 0))
    """Median height and width."""


def guess_folder(root: Path) -> Guess:
    """Look at everything below a folder and choose the likeliest images and labels.

    Args:
        root: data.root of the recipe to be.

    Raises:
        InputError: there are no images, or no labels that could be told.
    """
    files.forget()
    tree = survey(root)
    images = [folder for folder in tree.folders if folder.look == "image"]
    if not images:
        raise InputError("no images", where=root, fix="give the folder that holds images and labels")
    found = sorted(_candidates(tree, images), key=_rank)
    if not found:
        raise InputError(_no_labels(tree, images), where=root, fix="write a recipe by hand (see maskwright recipes)")
    chosen = found[0]
    rest = [one for one in found if one.train != chosen.train]
    test = _test(chosen, rest, images)
    alike = [one.train for one in rest if one.images == chosen.images]
    return _finish(tree.root, chosen, test, alike)


def guess_labels(form: str, images: Path, labels: Path, classes: int | None = None) -> Guess:
    """Look at one folder of images and its labels, whose format is known.

    Args:
        form: folder, coco, rle-csv or polygons.
        images: folder of images.
        labels: folder of masks or of JSON files, or the CSV or JSON file.
        classes: how many classes there are; None: told from the labels.

    Raises:
        InputError: a path is absent, or the labels are not of that format.
    """
    files.forget()
    for path in (images, labels):
        if not path.exists():
            raise InputError("no such file or folder", where=path, fix="check --images and --labels")
    root = _common_root(images.resolve(), labels.resolve())
    below, told = images.resolve().relative_to(root).as_posix(), labels.resolve().relative_to(root).as_posix()
    tree = survey(images)
    pictures = Folder(below, tuple(name for one in tree.folders for name in _below(one)), "image")
    found = _of_format(form, root, pictures, told)
    if found is None:
        fix = "check --format and --labels; maskwright init looks at a whole folder"
        raise InputError(f"these are no labels of format {form} for the images in {images}", where=labels, fix=fix)
    chosen = _with_classes(found, classes)
    return _finish(root, chosen, None, [])


def _below(folder: Folder) -> Iterator[str]:
    """Give the files of a folder by their path below the root of its tree."""
    yield from (name if folder.path == "." else f"{folder.path}/{name}" for name in folder.names)


def _common_root(first: Path, second: Path) -> Path:
    for parent in (first, *first.parents):
        if parent not in (first, second) and second.is_relative_to(parent):
            return parent
    return first.parent


def _of_format(form: str, root: Path, images: Folder, labels: str) -> Labels | None:
    """Look at labels as one format; None if they are not of it."""
    if form == "folder":
        inside = [folder for folder in survey(root / labels).folders if folder.path]
        names = tuple(name for folder in inside for name in _below(folder))
        return joins.by_masks(root, images, Folder(labels, names, "mask"), {}, ()) if names else None
    if form == "coco":
        return joins.by_coco(root, images, labels)
    if form == "rle-csv":
        return joins.by_rle(root, images, labels)
    names = tuple(sorted(path.name for path in (root / labels).glob("*.json")))
    return joins.by_polygons(root, images, labels, names) if names else None


def _with_classes(found: Labels, classes: int | None) -> Labels:
    """Make the task have as many classes as somebody says there are."""
    if classes is None or classes == len(found.task["classes"]):
        return found
    names = [*found.task["classes"], *(f"class_{place}" for place in range(len(found.task["classes"]), classes))]
    task = {**found.task, "classes": names[:classes]}
    task.pop("colours", None)
    if task["kind"] == "binary" and classes > 2:
        task["kind"] = "multiclass"
        task["classes"] = [f"class_{place}" for place in range(classes)]
    return replace(found, task=task, said=(*found.said, f"--classes says {classes}"))


def _candidates(tree: Tree, images: Sequence[Folder]) -> Iterator[Labels]:
    """Give every way in which labels lie beside images, as far as it can be read."""
    root = tree.root
    colours, names = files.class_lists(root, tree.tables, tree.lists)
    masks = [folder for folder in tree.folders if folder.look == "mask"]
    for folder in images:
        looks: list[Labels | None] = [joins.by_masks(root, folder, mask, colours, names) for mask in masks]
        looks += [joins.by_rle(root, folder, path) for path in tree.tables[:40]]
        looks += [joins.by_coco(root, folder, path) for path in tree.objects[:40]]
        looks += [joins.by_polygons(root, folder, path, given) for path, given in tree.json_folders.items()]
        looks += [by_ground(root, folder, path) for path in tree.foreign]
        yield from (one for one in looks if one is not None)
    for path in tree.tables[:40]:
        table = files.path_table(root, path)
        if table is not None:
            yield joins.by_table(root, table)


def _rank(one: Labels) -> tuple[Any, ...]:
    """Order candidates: the training split first, whole joins, then by how little is left to guess, then by size."""
    split = {"train": 0, "": 1, "val": 2, "test": 3}[one.split]
    form = FORMATS.index(one.train["format"])
    tidy = one.train.get("encoding", "index") == "index" and not any("too many" in text for text in one.said)
    return (split, one.share < 0.95, not tidy, form, -len(one.keys), one.images)


def _test(chosen: Labels, rest: Sequence[Labels], images: Sequence[Folder]) -> Mapping[str, Any] | None:
    """Choose the items to predict: labelled ones of another split, else unlabelled images."""
    for one in rest:
        same = one.train["format"] == chosen.train["format"] and one.task["kind"] == chosen.task["kind"]
        if one.split in ("val", "test") and one.split != chosen.split and same and one.images != chosen.images:
            return {**chosen.train, **{key: one.train[key] for key in PLACES if key in one.train}}
    for folder in images:
        if folder.split == "test" and folder.path != chosen.images:
            return {"format": "folder", "images": folder.path}
    return None


def _finish(root: Path, chosen: Labels, test: Mapping[str, Any] | None, others: Sequence[Mapping[str, Any]]) -> Guess:
    """Add what follows from sizes and keys: windows, folds, groups."""
    on_ground = chosen.train["format"] == "scenes"
    most = ANY_SIZE if on_ground else MOST_PIXELS
    headers = [read_header(path, most) for path in spread(_image_paths(root, chosen), 60)]
    height, width = (int(median(getattr(one, name) for one in headers)) for name in ("height", "width"))
    bands = Counter(header.bands for header in headers)
    short = min(height, width)
    crop = 512 if short >= 1024 else 256 if short >= 256 else max(32, short // 32 * 32)
    group, sure, groups = guess_groups(chosen.keys)
    count = max(2, min(5, len(chosen.keys) // 2, groups if sure else 5))
    folds: dict[str, Any] = {"kind": "stratified", "count": count}
    said = list(chosen.said)
    if group is not None and sure and not on_ground:
        folds = {"kind": "grouped", "count": count, "group": group}
        said.append(f"keys begin with {groups} different words followed by numbers: items of one stay in one fold")
    if on_ground:
        height, width = (min(side, CHIP) for side in (height, width))
        folds = {"kind": "spatial", "count": count, "spatial": {"unit": "cluster", "clusters": count}}
        said.append("items lie on the ground: whole places are held out (folds.kind: spatial)")
        test = None if test is None else {"format": "scenes", "images": test["images"], "chip": CHIP}
    if test is not None:
        said.append(f"{test['images'] if 'images' in test else test['table']}: items to predict (data.test)")
    large = max(max(one.shape) for one in headers)
    return Guess(
        root=root,
        task=chosen.task,
        train=chosen.train,
        test=test,
        folds=folds,
        crop=crop,
        whole=on_ground or large <= 1024,
        bands=max(bands, key=lambda number: bands[number]) if bands else 3,
        items=len(chosen.keys),
        said=tuple(said),
        others=tuple(others),
        group=None if sure else group,
        sizes=(height, width),
    )


def _image_paths(root: Path, chosen: Labels) -> list[Path]:
    folder = root / chosen.images
    found = {path for path in folder.rglob("*") if path.suffix.lower() in SUFFIXES and path.is_file()}
    return sorted(found)[:5000]


def guess_groups(keys: Sequence[str]) -> tuple[str | None, bool, int]:
    """Find a start of the keys that several items share, as of a patient, a sequence or a place.

    Returns:
        a regular expression whose parenthesis is the group, or None; whether what follows is numbers, as of frames
        or tiles; how many groups there are.
    """
    for words in (1, 2):
        pattern = "^(" + "[^_/.-]+" * (words == 1) + ")[_/.-]" if words == 1 else "^([^_/.-]+[_/.-][^_/.-]+)[_/.-]"
        found = [re.match(pattern, key) for key in keys]
        if not all(found):
            return None, False, 0
        groups = Counter(match[1] for match in found if match)
        if len(groups) >= 2 and len(keys) >= GROUP_SIZE * len(groups):
            rests = [key[match.end() :] for key, match in zip(keys, found, strict=True) if match]
            numbers = all(re.fullmatch(r"[a-zA-Z]{0,2}\d+([_/.-][a-zA-Z]{0,2}\d+)*", rest) for rest in rests)
            return pattern, numbers and len(groups) >= 2 and len(keys) >= 8, len(groups)
    return None, False, 0


def _no_labels(tree: Tree, images: Sequence[Folder]) -> str:
    names = ", ".join(f"{folder.path} ({len(folder.names)})" for folder in images[:6])
    foreign = f"; {', '.join(tree.foreign[:3])} cannot be read as labels of them" if tree.foreign else ""
    return f"images in {names}, but no labels for them: no masks, run lengths, COCO or outlines that join{foreign}"


FORMATS = ("folder", "scenes", "coco", "rle_csv", "polygons", "csv")
"""Formats of a recipe, the one that leaves least to guess first."""
PLACES = ("images", "masks", "labels", "annotations", "table")
"""Keys of a source block that say where files are."""
