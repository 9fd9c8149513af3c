"""Read one item whole: its image, its label, and which pixels count, kept in a bounded cache."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass

from maskwright.core.grid import Shape
from maskwright.core.labels import Task
from maskwright.data.pixels.header import Pixels, Valid
from maskwright.data.sources.base import Label, Source

CACHE_BYTES = 256 << 20
"""Decoded items each process keeps: a small set is decoded once, not once an epoch."""


@dataclass(frozen=True)
class Item:
    """One decoded item; its arrays must not be written to."""

    key: str
    image: Pixels
    """(H, W, B) in the file's dtype, 0 where the image itself is not valid."""
    label: Label | None
    """uint8 (H, W), or (K, H, W) for multilabel and for probabilities; 0 where not valid; None if the source is
    unlabelled."""
    valid: Valid
    """(H, W); False where alpha, nodata or the label say that a pixel does not count."""
    seen: Valid
    """(H, W); False where the image itself has nothing to show: alpha, nodata; often the same array as valid."""

    @property
    def shape(self) -> Shape:
        """(height, width) in pixels."""
        return self.valid.shape[0], self.valid.shape[1]

    @property
    def bytes(self) -> int:
        """Memory the arrays take."""
        arrays = {
            id(array): array.nbytes for array in (self.image, self.label, self.valid, self.seen) if array is not None
        }
        return sum(arrays.values())


def read_item(source: Source, key: str, task: Task, max_pixels: int, *, soft: bool = False) -> Item:
    """Decode the image and the label of an item at native size.

    Args:
        source: where it comes from.
        key: one of the source's keys.
        task: gives classes, values and ignore.
        max_pixels: larger images are refused before decoding.
        soft: the label as probabilities, uint8 (K, H, W), 255 being 1.

    Raises:
        InputError: image or label cannot be read, or do not fit each other.
    """
    image, seen = source.read_image(key, max_pixels)
    if not source.labelled:
        return _item(key, image, None, seen, seen)
    shape = (image.shape[0], image.shape[1])
    read = source.read_soft if soft else source.read_label
    return combine(key, image, seen, *read(key, shape, task))


def combine(key: str, image: Pixels, seen: Valid, label: Label, known: Valid) -> Item:
    """Make an item from an image and its label: a pixel counts where both say so, and is 0 in the label elsewhere."""
    valid = seen if known.all() else seen & known
    if not valid.all():
        label[..., ~valid] = 0
    return _item(key, image, label, valid, seen)


def _item(key: str, image: Pixels, label: Label | None, valid: Valid, seen: Valid) -> Item:
    for array in (image, label, valid, seen):
        if array is not None:
            array.flags.writeable = False
    return Item(key, image, label, valid, seen)


class ItemCache:
    """The items read last, up to a number of bytes; one for each process.

    Args:
        read: reads an item by key.
        limit: bytes kept; an item larger than that is read each time.
    """

    def __init__(self, read: Callable[[str], Item], limit: int = CACHE_BYTES) -> None:
        self._read, self.limit, self.held = read, limit, 0
        self._items: OrderedDict[str, Item] = OrderedDict()

    def read(self, key: str) -> Item:
        """Return an item, from memory if it is there."""
        if key in self._items:
            self._items.move_to_end(key)
            return self._items[key]
        item = self._read(key)
        if item.bytes <= self.limit:
            self._items[key] = item
            self.held += item.bytes
            while self.held > self.limit:
                self.held -= self._items.popitem(last=False)[1].bytes
        return item

    def __getstate__(self) -> dict[str, object]:
        """Travel to a worker process without the items."""
        return {**self.__dict__, "held": 0, "_items": OrderedDict()}
