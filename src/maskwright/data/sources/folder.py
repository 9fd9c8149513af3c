"""Images in one folder and masks in another (or the same), joined by key."""

from __future__ import annotations

import glob
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from maskwright.core.errors import InputError
from maskwright.core.files import stored_name
from maskwright.core.grid import Shape
from maskwright.core.labels import Task
from maskwright.core.recipe.sources import FolderSource, MaskBlock
from maskwright.data.findings import Finding
from maskwright.data.pixels.rasters import SUFFIXES, read_palette
from maskwright.data.sources import planes
from maskwright.data.sources.base import Label, Source, Valid
from maskwright.data.sources.encodings import Masked, read_encoded
from maskwright.data.sources.listing import Listing, Naming, likes, list_images

HINTS = 100
"""Masks without an image up to which the folder is searched for files of other formats."""


@dataclass(frozen=True)
class Folder(Masked):
    """Items of a folder source."""

    keys: tuple[str, ...]
    labelled: bool
    notes: tuple[str, ...]
    images: Mapping[str, Path]
    masks: Mapping[str, Path]
    """Without an entry for images whose missing mask means background."""
    block: MaskBlock

    def ordered(self) -> tuple[str, ...] | None:
        """Return the keys by folders and names, where keys are names alone."""
        if not (isinstance(self.block, FolderSource) and self.block.key == "name"):
            return None
        return tuple(sorted(self.keys, key=lambda key: self.images[key].as_posix()))

    def image_path(self, key: str) -> Path:
        """Return the image file of an item."""
        return self.images[key]

    def label_path(self, key: str) -> Path | None:
        """Return the mask file of an item; None if it has none."""
        return self.masks.get(key)

    def palette(self, key: str) -> bytes | None:
        """Return the palette of an item's mask where its indices are class ids."""
        path = self.masks.get(key)
        return read_palette(path) if path is not None and self.block.encoding == "index" else None

    def by_plane(self, key: str) -> Mapping[int, Path]:
        """Return plane -> mask of an item."""
        path = self.masks.get(key)
        return {} if path is None else {0: path}

    def read_label(self, key: str, shape: Shape, task: Task) -> tuple[Label, Valid]:
        """Read the mask of an item; see Source."""
        assert self.labelled, "an unlabelled source was asked for a label"
        path = self.masks.get(key)
        if self.soft:
            return self.read_hard(key, shape, task)
        if path is None:
            return np.zeros(shape, np.uint8), np.ones(shape, bool)
        return read_encoded(path, shape, task, self.block)


def join(block: FolderSource, root: Path, task: Task) -> tuple[Source, list[Finding]]:
    """Join images and masks by key.

    Args:
        block: the recipe's block.
        root: data.root.
        task: names the classes, for planes.

    Returns:
        the source of everything that joins, and every fault of the join.

    Raises:
        InputError: a folder is absent.
    """
    image_folder = root / block.images
    if block.masks is None:
        images = list_images(image_folder, root, _naming(block, "image"))
        return _folder(block, images, Listing()), images.faults + _refuse_none(images, image_folder)
    mask_folder = root / block.masks
    images, masks = _list_both(block, image_folder, mask_folder, root, apart=_by_class(block, task))
    faults = images.faults + masks.faults + _refuse_none(images, image_folder)
    if _by_class(block, task):
        source, found = planes.join_planes(block, task, images, masks, mask_folder)
        return source, faults + found
    _take_stored_names(images.paths, masks.paths)
    missing, orphans = (
        sorted(images.paths.keys() - masks.paths.keys()),
        sorted(masks.paths.keys() - images.paths.keys()),
    )
    if images.paths and len(missing) == len(images.paths) and orphans:
        return _folder(block, images, masks), [*faults, nothing_joins(missing, orphans, mask_folder)]
    faults += _alone(block, images, masks, (image_folder, mask_folder))
    if missing and block.missing_mask == "background":
        images.notes.append(f"{len(missing)} of {len(images.paths)} images have no mask and count as background")
    return _folder(block, images, masks), faults


def _by_class(block: FolderSource, task: Task) -> bool:
    """Say whether there is a mask for each class."""
    return block.encoding == "planes" or (block.encoding == "soft" and task.kind != "binary")


def _alone(block: FolderSource, images: Listing, masks: Listing, folders: tuple[Path, Path]) -> list[Finding]:
    """Name images without a mask, unless that means background, and masks without an image."""
    found = []
    lone, orphans = sorted(images.paths.keys() - masks.paths.keys()), sorted(masks.paths.keys() - images.paths.keys())
    near_mask, near_image = likes(lone, orphans), likes(orphans, lone)
    for key in lone if block.missing_mask == "refuse" else []:
        what, fix = (
            f"no mask of key '{key}' in {folders[1]}{near_mask.get(key, '')}",
            "add it, or set missing_mask: background",
        )
        found.append(Finding("missing_label", str(images.paths[key]), what, fix, (key,)))
    for key in orphans:
        hint = near_image.get(key) or (_unread(folders[0], key) if len(orphans) <= HINTS else "")
        what, fix = f"no image of key '{key}' in {folders[0]}{hint}", "add it, or take the mask away"
        found.append(Finding("orphan_label", str(masks.paths[key]), what, fix, (key,)))
    return found


def _unread(folder: Path, key: str) -> str:
    """Return ` (there is 'X', ...)` for a file that has the name, but is of a format that is not read."""
    found = sorted((folder / key).parent.glob(f"{glob.escape(Path(key).name)}.*"))
    names = [path.name for path in found if path.suffix.lower() not in SUFFIXES]
    return f" (there is '{names[0]}', which is of a format that is not read)" if names else ""


def _folder(block: FolderSource, images: Listing, masks: Listing) -> Folder:
    labelled = block.masks is not None
    keys = [key for key in images.paths if not labelled or key in masks.paths or block.missing_mask == "background"]
    return Folder(
        keys=tuple(sorted(keys)),
        labelled=labelled,
        notes=tuple(images.notes + masks.notes),
        images=images.paths,
        masks={key: path for key, path in masks.paths.items() if key in images.paths},
        block=block,
    )


def _naming(block: FolderSource, which: str, *, apart: bool = False) -> Naming:
    name_only = block.key == "name"
    if which == "image":
        return Naming(block.image_suffix, block.image_prefix, block.image_folder.strip("/"), name_only)
    # the class of a plane is a folder, which a lone name would lose
    alone = name_only and not apart
    return Naming(block.mask_suffix, block.mask_prefix, block.mask_folder.strip("/"), alone)


def _list_both(block: FolderSource, images: Path, masks: Path, root: Path, *, apart: bool) -> tuple[Listing, Listing]:
    """List images and masks (`apart`: one for each class), which may share a folder or lie one below the other."""
    together = images.is_dir() and masks.is_dir() and images.resolve() == masks.resolve()
    pictures, labels = _naming(block, "image"), _naming(block, "mask", apart=apart)
    if together and pictures == labels:
        raise InputError(
            "images and masks are in one folder and nothing tells them apart",
            where=images,
            fix="set mask_suffix, e.g. _mask",
            kind="nothing_joins",
        )
    found = list_images(images, root, pictures, labels if together else None, None if together else masks)
    other = list_images(masks, root, labels, pictures if together else None, None if together else images)
    if together:  # what is no image, and faulty links, were seen twice
        other.notes = []
        other.faults = [fault for fault in other.faults if fault not in found.faults]
    return found, other


def _take_stored_names(images: Collection[str], masks: dict[str, Path]) -> None:
    """Give masks the key of their image where they have the name that we write for it (%XX, see core.files)."""
    for key in images:
        stored = stored_name(key)
        if key not in masks and stored in masks and stored not in images:
            masks[key] = masks.pop(stored)


def _refuse_none(images: Listing, folder: Path) -> list[Finding]:
    if images.paths or images.faults:
        return []
    reason = f" ({images.notes[0].partition(': ')[2]})" if images.notes else ""
    return [Finding("no_images", str(folder), f"no images{reason}", "check the folder and image_suffix")]


def nothing_joins(image_keys: list[str], mask_keys: list[str], folder: Path) -> Finding:
    """Say in one line that no key joins, and what would make all of them join, if anything does."""
    ends = [_common_end(keys) for keys in (image_keys, mask_keys)]
    starts = [_common_start(keys) for keys in (image_keys, mask_keys)]
    bare = [_without(keys, "", end) for keys, end in zip((image_keys, mask_keys), ends, strict=True)]
    cut = [_without(keys, start, "") for keys, start in zip((image_keys, mask_keys), starts, strict=True)]
    names = [[key.rpartition("/")[2] for key in keys] for keys in (image_keys, mask_keys)]
    fix = "make the names equal, or set image_suffix and mask_suffix"
    if bare[0] & bare[1]:
        fix = _settings(("image_suffix", "mask_suffix"), ends)
    elif cut[0] & cut[1]:
        fix = _settings(("image_prefix", "mask_prefix"), starts)
    elif set(names[0]) & set(names[1]) and len(set(names[0])) == len(names[0]):
        fix = "set key: name if files are told apart by their names alone, or image_folder and mask_folder"
    what = f"no mask has the key of an image: images are named like '{image_keys[0]}', masks like '{mask_keys[0]}'"
    return Finding("nothing_joins", str(folder), what, fix)


def _settings(names: tuple[str, str], values: list[str]) -> str:
    return "set " + " and ".join(f"{name}: {value}" for name, value in zip(names, values, strict=True) if value)


def _without(keys: list[str], start: str, end: str) -> set[str]:
    found = set()
    for key in keys:
        above, slash, name = key.rpartition("/")
        found.add(above + slash + name.removeprefix(start).removesuffix(end))
    return found


def _common_end(keys: list[str]) -> str:
    """Return the longest common end of all keys that begins at _ or - (or nothing)."""
    end = _shared([key[::-1] for key in keys])[::-1]
    places = [place for place in (end.find("_"), end.find("-")) if place >= 0]
    return end[min(places) :] if places and len(keys) > 1 else ""


def _common_start(keys: list[str]) -> str:
    """Return the longest common start of all file names that ends with _ or - (or nothing)."""
    start = _shared([key.rpartition("/")[2] for key in keys])
    return start[: max(start.rfind("_"), start.rfind("-")) + 1] if len(keys) > 1 else ""


def _shared(texts: list[str]) -> str:
    length = 0
    for letters in zip(*texts, strict=False):
        if len(set(letters)) > 1:
            break
        length += 1
    return texts[0][:length]
