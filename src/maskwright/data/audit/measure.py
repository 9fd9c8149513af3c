"""Measure one item: statistics of its bands, pixels and objects of each class, digests, clues, and its faults."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from maskwright.core.errors import InputError, StorageError
from maskwright.core.labels import Task
from maskwright.data.audit import digests
from maskwright.data.audit.nodata import Marks, marks_of
from maskwright.data.audit.objects import Objects
from maskwright.data.audit.small import Small, reduce
from maskwright.data.findings import Finding
from maskwright.data.items import Item, combine
from maskwright.data.pixels.header import Header, Pixels, Valid
from maskwright.data.sources.base import Source

PLAIN_ROWS = 8
"""Rows looked at first to see that an image is not of one colour."""


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

        count = int(np.count_nonzero(valid))
        if image.dtype == np.uint8 and count == valid.size > 0:
            sums, squares = digests.sums_of(image)
            exact = [int(square) * count - int(total) ** 2 for total, square in zip(sums, squares, strict=True)]
            return cls(count, sums / count, np.array([whole / count for whole in exact]))
        known = image if image.dtype in (np.uint8, np.uint16, np.int16, np.float32) else image.astype(np.float64)
        mean, std = cv2.meanStdDev(known, mask=None if count == valid.size else valid.view(np.uint8))
        return cls(count, mean[:, 0], std[:, 0] ** 2 * count)


@dataclass
class Measured:
    """What was learnt of one item; parts stay empty where a fault came first."""

    key: str
    findings: list[Finding] = field(default_factory=list)
    """Its faults."""
    header: Header | None = None
    moments: Moments | None = None
    """None: the item has faults."""
    digest: str = ""
    """Of the decoded pixels, 32 hex digits."""
    label_digest: str = ""
    pixels: tuple[int, ...] = ()
    """Valid pixels of each value of the task, or of each plane for multilabel."""
    objects: Objects | None = None
    """Connected pieces; None: not counted."""
    edges: tuple[int, ...] = ()
    """Pixels of each value with another value beside them; only where the task has a value to ignore."""
    valid: int = 0
    """Pixels that count."""
    hidden: int = 0
    """Pixels that the image's own alpha or nodata hides."""
    plain: bool = False
    """The image has one colour only."""
    grey: bool = False
    """The image has three bands and they are equal, on the small copy."""
    top: float = 0.0
    """Largest value of the image."""
    marks: Marks = field(default_factory=dict)
    """Band (from 0) -> a value that probably means no data and is not declared, and its pixels."""
    palette: bytes | None = None
    """Of the mask, where its indices are class ids."""
    looks: int = 0
    """Distinct colours of the small copy, 1 to 64; 0: not counted."""
    is_label: bool = False
    """The image's first band holds the label, whatever the scale."""
    small: Small | None = None
    """Taken away when it is added up."""
    clues: dict[str, Any] = field(default_factory=dict)
    """What the describers of the pass wrote down, by name."""


Describer = Callable[[Measured, Item], Any]
"""Writes down a few kilobytes about a decoded item, of which the small copy is there too."""


def measure(
    source: Source, key: str, task: Task, max_pixels: int, describe: Mapping[str, Describer] | None = None
) -> Measured:
    """Decode one item and measure it; its faults are collected, not raised.

    Args:
        source: where it comes from.
        key: one of the source's keys.
        task: gives classes, values and ignore.
        max_pixels: larger images are a fault.
        describe: name -> what is to be written down of the item, if it has no faults.
    """
    found = Measured(key)
    try:
        found.header = source.read_header(key, max_pixels)
    except (InputError, StorageError) as error:
        found.findings.append(Finding.of(error, "unreadable_image", (key,)))
        return found
    image = seen = label = known = None
    try:
        image, seen = source.read_image(key, max_pixels)
    except (InputError, StorageError) as error:
        found.findings.append(Finding.of(error, "unreadable_image", (key,)))
    if source.labelled:  # also below a damaged image, so that one run names both
        try:
            label, known = source.read_label(key, found.header.shape, task)
        except (InputError, StorageError) as error:
            found.findings.append(Finding.of(error, "unreadable_label", (key,)))
    if image is not None:
        found.looks = _looks(image)
    if found.findings or image is None or seen is None:
        return found
    if label is None or known is None:
        item = Item(key, image, None, seen, seen)
    else:
        item = combine(key, image, seen, label, known)
    _describe(found, item, task)
    found.palette = source.palette(key) if source.labelled else None
    found.clues = {name: call(found, item) for name, call in (describe or {}).items()}
    return found


def _describe(found: Measured, item: Item, task: Task) -> None:
    found.moments = Moments.of(item.image, item.seen)
    found.digest = digests.of_arrays(item.image)
    found.valid = int(np.count_nonzero(item.valid))
    found.hidden = int(item.seen.size) - (found.valid if item.seen is item.valid else int(np.count_nonzero(item.seen)))
    found.plain = _plain(item.image)
    found.top = float(item.image.max())
    found.marks = marks_of(item.image)
    found.small = small = reduce(item.image, item.label, item.valid)
    if small.image.shape[2] == 3:
        bands = small.image
        found.grey = bool((bands[:, :, 0] == bands[:, :, 1]).all() and (bands[:, :, 0] == bands[:, :, 2]).all())
    if item.label is not None:
        found.label_digest = digests.of_arrays(item.label, item.valid)
        found.pixels = _count(item.label, item.valid.size - found.valid, task)
        if task.kind == "multiclass" and task.ignore is not None and item.valid.all():
            found.edges = _edges(item.label, len(task.values))
        if item.label.ndim == 2 and found.looks <= len(task.values):
            found.is_label = _is_label(item)


def _plain(image: Pixels) -> bool:
    """Say whether an image has one colour; most are known not to have after a few rows."""
    first = image[:1, :1]
    return bool((image[:PLAIN_ROWS] == first).all() and (image == first).all())


def _grid(array: NDArray[Any]) -> NDArray[Any]:
    """Return about 64 x 64 pixels of (H, W) or (H, W, B)."""
    return array[:: max(1, array.shape[0] // 64), :: max(1, array.shape[1] // 64)]


def _looks(image: Pixels) -> int:
    """Count the distinct values of the first band on a grid, up to 64."""
    return min(len(np.unique(_grid(image)[:, :, 0])), 64)


def _is_label(item: Item) -> bool:
    """Say whether an image is its own label in other colours: each class one colour, each colour one class."""
    assert item.label is not None
    image, label = _grid(item.image)[:, :, 0], _grid(item.label)
    values = np.unique(label)
    colours = [np.unique(image[label == value]) for value in values]
    distinct = {found[0] for found in colours}
    return len(values) > 1 and all(len(found) == 1 for found in colours) and len(distinct) == len(values)


def _edges(label: NDArray[np.uint8], values: int) -> tuple[int, ...]:
    """Count the pixels of each value that have another value beside, above or below them."""
    edge = np.zeros(label.shape, bool)
    beside, below = label[:, 1:] != label[:, :-1], label[1:] != label[:-1]
    edge[:, 1:] |= beside
    edge[:, :-1] |= beside
    edge[1:] |= below
    edge[:-1] |= below
    return tuple(int(count) for count in np.bincount(label[edge], minlength=values))


def _count(label: NDArray[np.uint8], invalid: int, task: Task) -> tuple[int, ...]:
    """Count the valid pixels of each value (or plane); labels are 0 where not valid."""
    if task.kind == "multilabel":
        return tuple(int(np.count_nonzero(plane)) for plane in label)
    counts = digests.tally(label)[: len(task.values)]
    counts[0] -= invalid
    return tuple(int(count) for count in counts)
