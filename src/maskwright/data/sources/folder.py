"""Images in one folder and index masks in another (or the same), joined by key."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import numpy as np

from maskwright.core.errors import InputError
from maskwright.core.grid import Shape
from maskwright.core.labels import Task, apply_value_map
from maskwright.core.recipe.sources import FolderSource, ValueMap
from maskwright.data.rasters import read_mask_and_nodata
from maskwright.data.sources.base import Defaults, Label, Valid
from maskwright.data.sources.listing import Listing, list_images


@dataclass(frozen=True)
class Folder(Defaults):
    """Items of a folder source."""

    keys: tuple[str, ...]
    labelled: bool
    notes: tuple[str, ...]
    images: Mapping[str, Path]
    masks: Mapping[str, Path]
    """Without an entry for images whose missing mask means background."""
    values: ValueMap | None

    def image_path(self, key: str) -> Path:
        """Return the image file of an item."""
        return self.images[key]

    def label_path(self, key: str) -> Path | None:
        """Return the mask file of an item; None if it has none."""
        return self.masks.get(key)

    def read_label(self, key: str, shape: Shape, task: Task) -> tuple[Label, Valid]:
        """Read the mask of an item and map its values; see Source.

        A nodata value that a TIFF names is ignored where the task gives it no other meaning: many
        writers name 0, which is background all the same.
        """
        assert self.labelled, "an unlabelled source was asked for a label"
        path = self.masks.get(key)
        if path is None:
            return np.zeros(shape, np.uint8), np.ones(shape, bool)
        raw, nodata = read_mask_and_nodata(path, shape[0] * shape[1], shape)
        values = self.values
        if nodata is not None and nodata not in (task.values if values is None else values):
            own: dict[int, int | Literal["ignore"]] = {value: value for value in task.values}
            values = {**(own if values is None else values), nodata: "ignore"}
        return apply_value_map(raw, task, values, str(path))


def join(block: FolderSource, root: Path, task: Task) -> tuple[Folder, list[str]]:
    """Join images and masks by key.

    Args:
        block: the recipe's block.
        root: data.root.
        task: unused but for symmetry with the other sources.

    Returns:
        the source of everything that joins, and every fault of the join, one line each.

    Raises:
        InputError: a folder is absent.
    """
    del task
    image_folder = root / block.images
    if block.masks is None:
        images = list_images(image_folder, root, block.image_suffix)
        faults = images.faults + _refuse_none(images, image_folder)
        return _folder(block, images, Listing()), faults
    mask_folder = root / block.masks
    images, masks = _list_both(block, image_folder, mask_folder, root)
    faults = images.faults + masks.faults + _refuse_none(images, image_folder)
    missing, orphans = (
        sorted(images.paths.keys() - masks.paths.keys()),
        sorted(masks.paths.keys() - images.paths.keys()),
    )
    if images.paths and len(missing) == len(images.paths) and orphans:
        return _folder(block, images, masks), [*faults, _nothing_joins(missing, orphans, mask_folder)]
    if block.missing_mask == "refuse":
        faults += [
            f"{images.paths[key]}: no mask of key '{key}' in {mask_folder}; add it, or set missing_mask: background"
            for key in missing
        ]
    faults += [
        f"{masks.paths[key]}: no image of key '{key}' in {image_folder}; add it, or take the mask away"
        for key in orphans
    ]
    if missing and block.missing_mask == "background":
        images.notes.append(f"{len(missing)} of {len(images.paths)} images have no mask and count as background")
    return _folder(block, images, masks), faults


def _folder(block: FolderSource, images: Listing, masks: Listing) -> Folder:
    labelled = block.masks is not None
    keys = [key for key in images.paths if not labelled or key in masks.paths or block.missing_mask == "background"]
    return Folder(
        keys=tuple(sorted(keys)),
        labelled=labelled,
        notes=tuple(images.notes + masks.notes),
        images=images.paths,
        masks={key: path for key, path in masks.paths.items() if key in images.paths},
        values=block.values,
    )


def _list_both(block: FolderSource, images: Path, masks: Path, root: Path) -> tuple[Listing, Listing]:
    """List images and masks, which may share a folder or lie one below the other."""
    together = images.is_dir() and masks.is_dir() and images.resolve() == masks.resolve()
    if together and block.image_suffix == block.mask_suffix:
        raise InputError(
            "images and masks are in one folder and nothing tells them apart",
            where=images,
            fix="set mask_suffix, e.g. _mask",
        )
    found = list_images(
        images, root, block.image_suffix, block.mask_suffix if together else "", None if together else masks
    )
    labels = list_images(
        masks, root, block.mask_suffix, block.image_suffix if together else "", None if together else images
    )
    if together:  # each listing set the other's files aside
        found.notes, labels.notes = [], []
    return found, labels


def _refuse_none(images: Listing, folder: Path) -> list[str]:
    if images.paths or images.faults:
        return []
    reason = f" ({images.notes[0].partition(': ')[2]})" if images.notes else ""
    return [f"{folder}: no images{reason}; check the folder and image_suffix"]


def _nothing_joins(image_keys: list[str], mask_keys: list[str], folder: Path) -> str:
    """Say in one line that no key joins, and which suffixes would make all of them join, if any do."""
    ends = [_common_end(keys) for keys in (image_keys, mask_keys)]
    stems = [
        {key[: len(key) - len(end)] for key in keys} for keys, end in zip((image_keys, mask_keys), ends, strict=True)
    ]
    fix = "make the names equal, or set image_suffix and mask_suffix"
    if stems[0] & stems[1]:
        names = ("image_suffix", "mask_suffix")
        fix = "set " + " and ".join(f"{name}: {end}" for name, end in zip(names, ends, strict=True) if end)
    return (
        f"{folder}: no mask has the key of an image: images are named like '{image_keys[0]}', "
        f"masks like '{mask_keys[0]}'; {fix}"
    )


def _common_end(keys: list[str]) -> str:
    """Return the longest common end of all keys that begins at _ or - (or nothing)."""
    length = 0
    for letters in zip(*(reversed(key) for key in keys), strict=False):
        if len(set(letters)) > 1:
            break
        length += 1
    end = keys[0][len(keys[0]) - length :]
    places = [place for place in (end.find("_"), end.find("-")) if place >= 0]
    return end[min(places) :] if places and len(keys) > 1 else ""
