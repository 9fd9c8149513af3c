"""Windows of unlabelled images in which models found nothing, as items that are all background; listed, never copied.

The list says for each fold which models looked (digests of their weights) and which labelled items they had never
seen. A window trains only the folds whose own models found nothing in it, and a fold only if everything that it is
scored on now was unseen by them then: else what it is scored on would have had a say in what it is trained on.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import Any, Literal

import numpy as np
from pydantic import Field, ValidationError

from maskwright.core.errors import InputError
from maskwright.core.files import inside, read_json
from maskwright.core.grid import Shape, Window
from maskwright.core.labels import Task
from maskwright.core.recipe.base import Block
from maskwright.core.recipe.sources import MinedSource
from maskwright.data.findings import Finding
from maskwright.data.pixels import rasters
from maskwright.data.pixels.header import Header, Pixels
from maskwright.data.sources.base import Defaults, Label, Limited, Source, Valid
from maskwright.data.sources.merge import Merged

AGAIN = "run maskwright mine again"


class Negative(Block):
    """A window, or a whole image, without anything in it."""

    key: str
    image: str
    """File below the pool's folder."""
    window: tuple[int, int, int, int] | None
    """Row, column, height, width in pixels; None: the whole image."""
    folds: tuple[int, ...] = Field(min_length=1)
    """Whose models found nothing."""
    highest: tuple[float, ...]
    """For each of these: the highest probability of something in any pixel."""
    presence: tuple[float | None, ...]
    """For each: the probability of something by image-level heads; None: the models have none."""


class Hard(Block):
    """A labelled item on which a fold's own models see what is not there; it is one that the fold trains on."""

    key: str
    fold: int
    area: int
    """Background pixels that they call something with confidence."""
    boxes: tuple[tuple[int, int, int, int], ...] = ()
    """Row, column, height, width of the largest connected regions of these, in pixels of the item."""


class Teacher(Block):
    """The models of one fold, which looked for it."""

    fold: int
    weights: dict[str, str]
    """File in the run folder -> digest."""
    unseen: tuple[str, ...]
    """Keys of labelled items that they were not trained on."""


class MinedList(Block):
    """What maskwright mine wrote."""

    version: Literal[1] = 1
    recipe: str
    """Hash of the recipe of the run that mined."""
    pool: str
    """Digest of the images that were looked at."""
    looked: int
    """Images of the pool."""
    test_items: tuple[str, ...] = ()
    """Images of it that are items of data.test."""
    presence: float
    """Windows with this probability of something by image-level heads, or more, are no negatives."""
    pixel: float
    """The same for the highest probability of any pixel."""
    window: tuple[int, int] | None
    """Height and width of windows; None: whole images."""
    sure: float
    """From which probability on a false positive is a confident one."""
    teachers: tuple[Teacher, ...]
    negatives: tuple[Negative, ...]
    hard: tuple[Hard, ...] = ()
    shut: dict[str, tuple[int, ...]] = Field(default_factory=dict)
    """Image of the pool that shows what a labelled item shows -> folds that are scored on that."""

    def to_plain(self) -> dict[str, Any]:
        """Return plain data; `shut` is younger than the first lists and left out where there is none."""
        return self.model_dump(mode="json", exclude=None if self.shut else {"shut"})


def read_list(path: Path) -> MinedList:
    """Read a list of mined windows.

    Raises:
        InputError: absent or damaged.
    """
    try:
        return MinedList.model_validate(read_json(path))
    except (ValidationError, TypeError) as error:
        raise InputError("not a list of mined windows of this version", where=path, fix=AGAIN) from error


@dataclass(frozen=True)
class Mined(Defaults):
    """Items of a list."""

    keys: tuple[str, ...]
    images: Mapping[str, Path]
    negatives: Mapping[str, Negative]
    listed: MinedList
    block: MinedSource
    labelled: bool = True
    notes: tuple[str, ...] = ()

    def image_path(self, key: str) -> Path:
        """Return the image that an item is a window of."""
        return self.images[key]

    def attributes(self, key: str) -> Mapping[str, str]:
        """Return the folds that an item may train, and itself as its own scene, so that spatial folds take it."""
        return {"mined_for": " ".join(map(str, self.negatives[key].folds)), "scene": key}

    def _window(self, key: str) -> Window | None:
        window = self.negatives[key].window
        return None if window is None else Window(*window)

    def read_header(self, key: str, max_pixels: int) -> Header:
        """Read the header of the image; its size is that of the window."""
        header, window = rasters.read_header(self.images[key], max_pixels), self._window(key)
        if window is None:
            return header
        if window.clip(header.shape) != window:
            raise InputError(f"window {list(window)} lies beyond the image", where=self.images[key], fix=AGAIN)
        return replace(header, height=window.height, width=window.width)

    def read_image(self, key: str, max_pixels: int) -> tuple[Pixels, Valid]:
        """Decode the image and cut the window out of it."""
        pixels, valid = rasters.read_image(self.images[key], max_pixels)
        window = self._window(key)
        return (pixels, valid) if window is None else (pixels[window.slices].copy(), valid[window.slices].copy())

    def read_label(self, key: str, shape: Shape, task: Task) -> tuple[Label, Valid]:
        """Return nothing, everywhere."""
        del key
        full = (task.planes, *shape) if task.kind == "multilabel" else shape
        return np.zeros(full, np.uint8), np.ones(shape, bool)

    @cached_property
    def unseen(self) -> Mapping[int, frozenset[str]]:
        """Fold -> labelled items that its models had not seen when they looked."""
        return {teacher.fold: frozenset(teacher.unseen) for teacher in self.listed.teachers}

    def refuse_seen(self, fold: int, held: Iterable[tuple[str, ...]]) -> None:
        """Refuse to train a fold on this list if its models had seen an item that the fold is scored on now.

        Args:
            fold: to be trained.
            held: what it is scored on, and the hold-out: the names that each item may have, its key first.

        Raises:
            InputError: they had, or the list knows nothing of an item.
        """
        unseen = self.unseen.get(fold, frozenset())
        for names in held:
            if unseen.isdisjoint(names):
                raise InputError(
                    f"fold {fold} is scored on '{names[0]}', which the models that mined for it may have seen",
                    where=self.block.list,
                    fix=f"{AGAIN} with the folds of this recipe",
                )


def mined_parts(source: Source) -> Iterator[tuple[str, Mined]]:
    """Yield the mined sources in a source, each with what its keys begin with."""
    if isinstance(source, Limited):
        yield from mined_parts(source.whole)
    elif isinstance(source, Mined):
        yield "", source
    elif isinstance(source, Merged):
        for name, part in source.parts.items():
            for _, found in mined_parts(part):
                yield "" if name == source.bare else f"{name}/", found


def names_of(source: Source, key: str) -> tuple[str, ...]:
    """Return the names that an item may have had in a list: its key, and that without the name of a merge's part."""
    if isinstance(source, Limited):
        return names_of(source.whole, key)
    return (key, source.place(key)[1]) if isinstance(source, Merged) else (key,)


def mined_keys(source: Source) -> frozenset[str]:
    """Return the keys of a source's items that were mined."""
    return frozenset(start + key for start, part in mined_parts(source) for key in part.keys)


def join(block: MinedSource, root: Path, task: Task) -> tuple[Mined, list[Finding]]:
    """Read the list and look whether its images are there.

    Args:
        block: the recipe's block.
        root: data.root.
        task: what is predicted.

    Returns:
        the source of all windows whose image is there, and a finding for each other.

    Raises:
        InputError: the list is absent or damaged.
    """
    del task
    path = Path(block.list)
    listed, folder = read_list(path), root / block.images
    images: dict[str, Path] = {}
    findings = []
    for one in listed.negatives:
        image = inside(folder, one.image, path)
        if image.is_file():
            images[one.key] = image
        else:
            fix = "set images to the folder that was mined, or mine again"
            findings.append(Finding("missing_label", str(path), f"no image '{one.image}' in {folder}", fix, (one.key,)))
    kept = {one.key: one for one in listed.negatives if one.key in images}
    return Mined(tuple(sorted(kept)), images, kept, listed, block), findings
