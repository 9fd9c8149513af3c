"""Measure one item: statistics of its bands, pixels of each class, digests, and its faults."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from maskwright.core.errors import InputError
from maskwright.core.labels import Task
from maskwright.data.header import Header, Pixels, Valid
from maskwright.data.items import Item, combine
from maskwright.data.rasters import read_header, read_image
from maskwright.data.sources.base import Source


@dataclass(frozen=True)
class Moments:
    """Count, mean and sum of squared deviations of each band; adding two is exact up to rounding.

    Source: Chan, Golub, LeVeque 1979, Updating formulae and a pairwise algorithm.
    """

    count: int
    mean: NDArray[np.float64]
    squares: NDArray[np.float64]

    def __add__(self, other: Moments) -> Moments:
        count = self.count + other.count
        if count == 0:
            return self
        step = other.mean - self.mean
        mean = self.mean + step * (other.count / count)
        return Moments(count, mean, self.squares + other.squares + step**2 * (self.count * other.count / count))

    @classmethod
    def of(cls, image: Pixels, valid: Valid) -> Moments:
        """Measure the bands of one image (H, W, B) over its valid pixels (H, W)."""
        import cv2

        count = int(valid.sum())
        known = image if image.dtype in (np.uint8, np.uint16, np.int16, np.float32) else image.astype(np.float64)
        mean, std = cv2.meanStdDev(known, mask=None if count == valid.size else valid.view(np.uint8))
        return cls(count, mean[:, 0], std[:, 0] ** 2 * count)


@dataclass
class Measured:
    """What was learnt of one item; parts stay empty where a fault came first."""

    key: str
    faults: list[str] = field(default_factory=list)
    header: Header | None = None
    moments: Moments | None = None
    """None: the item has faults."""
    digest: str = ""
    """BLAKE2b of the decoded pixels, 32 hex digits."""
    label_digest: str = ""
    pixels: tuple[int, ...] = ()
    """Valid pixels of each value of the task, or of each plane for multilabel."""
    valid: int = 0
    """Pixels that count."""
    hidden: int = 0
    """Pixels that the image's own alpha or nodata hides."""
    plain: bool = False
    """The image has one colour only."""


def measure(source: Source, key: str, task: Task, max_pixels: int) -> Measured:
    """Decode one item and measure it; its faults are collected, not raised.

    Args:
        source: where it comes from.
        key: one of the source's keys.
        task: gives classes, values and ignore.
        max_pixels: larger images are a fault.
    """
    found = Measured(key)
    path = source.image_path(key)
    try:
        found.header = read_header(path, max_pixels)
    except InputError as error:
        found.faults.append(str(error))
        return found
    image = seen = label = known = None
    try:
        image, seen = read_image(path, max_pixels)
    except InputError as error:
        found.faults.append(str(error))
    if source.labelled:  # also below a damaged image, so that one run names both
        try:
            label, known = source.read_label(key, found.header.shape, task)
        except InputError as error:
            found.faults.append(str(error))
    if found.faults or image is None or seen is None:
        return found
    if label is None or known is None:
        _describe(found, Item(key, image, None, seen, seen), task)
    else:
        _describe(found, combine(key, image, seen, label, known), task)
    return found


def _describe(found: Measured, item: Item, task: Task) -> None:
    found.moments = Moments.of(item.image, item.seen)
    found.digest = _digest(item.image)
    found.valid = int(item.valid.sum())
    found.hidden = int(item.seen.size - item.seen.sum())
    found.plain = bool((item.image == item.image[:1, :1]).all())
    if item.label is not None:
        found.label_digest = _digest(item.label, item.valid)
        found.pixels = _count(item.label, item.valid.size - found.valid, task)


def _digest(*arrays: NDArray[Any]) -> str:
    state = hashlib.blake2b(digest_size=16)
    for array in arrays:
        state.update(f"{array.shape}{array.dtype}".encode())
        state.update(np.ascontiguousarray(array).view(np.uint8).data)
    return state.hexdigest()


def _count(label: NDArray[np.uint8], invalid: int, task: Task) -> tuple[int, ...]:
    """Count the valid pixels of each value (or plane); labels are 0 where not valid."""
    if task.kind == "multilabel":
        return tuple(int(plane.sum()) for plane in label)
    counts = np.bincount(label.reshape(-1), minlength=len(task.values))
    counts[0] -= invalid
    return tuple(int(count) for count in counts)
