"""What every source of labelled items can do, and a view of one with fewer items."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from maskwright.core.grid import Shape
from maskwright.core.labels import Task
from maskwright.data.ground import Ground
from maskwright.data.labels.soft import soften
from maskwright.data.pixels import rasters
from maskwright.data.pixels.header import Header, Pixels

Label = NDArray[np.uint8]
Valid = NDArray[np.bool_]


class Source(Protocol):
    """Items joined by key. Sources hold names and texts, not pixels, and travel to worker processes."""

    @property
    def keys(self) -> tuple[str, ...]:
        """Keys of all items, sorted; a key is the image's path below its folder without the suffix."""

    @property
    def labelled(self) -> bool:
        """Whether items have labels."""

    @property
    def notes(self) -> tuple[str, ...]:
        """What was guessed or passed over, in words for the user."""

    def ordered(self) -> tuple[str, ...] | None:
        """Return all keys in the order of the file that lists the items; None: nothing does, `keys` are in theirs."""

    def image_path(self, key: str) -> Path:
        """Return the image file of an item."""

    def label_path(self, key: str) -> Path | None:
        """Return the file an item's label comes from; None if it has none."""

    def label_paths(self, key: str) -> tuple[Path, ...]:
        """Return all files an item's label comes from, e.g. one for each class."""

    def attributes(self, key: str) -> Mapping[str, str]:
        """Return what else is known of an item, by name: columns of a table, fields of a JSON file."""

    def weight(self, key: str) -> float:
        """Return how often an item is drawn in training, relative to others."""

    @property
    def soft(self) -> bool:
        """Whether labels (of some items) are probabilities."""

    def read_soft(self, key: str, shape: Shape, task: Task) -> tuple[Label, Valid]:
        """Read the label of an item as probabilities; plain labels become certain ones.

        Args:
            key: one of `keys`; the source must be labelled.
            shape: (H, W) of the item's image in pixels.
            task: gives classes, values and ignore.

        Returns:
            uint8 (K, H, W), 255 being probability 1, 0 where not valid; valid bool (H, W).

        Raises:
            InputError: as read_label.
        """

    def scored(self, key: str) -> bool:
        """Whether an item may be held out and scored; False for items that only ever train."""

    def palette(self, key: str) -> bytes | None:
        """Return the palette of an item's mask, r, g, b, r, ..., where its indices are class ids; None elsewhere."""

    def ground(self, key: str) -> Ground | None:
        """Return where an item lies on the ground; None: nobody knows."""

    def read_header(self, key: str, max_pixels: int) -> Header:
        """Read size, bands and dtype of an item's image without decoding it.

        Raises:
            InputError: not an image we read, empty, damaged at its head, or larger than max_pixels.
        """

    def read_image(self, key: str, max_pixels: int) -> tuple[Pixels, Valid]:
        """Decode the image of an item: pixels (H, W, B) in the file's dtype, 0 where not valid; valid bool (H, W).

        Raises:
            InputError: as read_header, or truncated or damaged.
        """

    def read_label(self, key: str, shape: Shape, task: Task) -> tuple[Label, Valid]:
        """Read the label of an item.

        Args:
            key: one of `keys`; the source must be labelled.
            shape: (H, W) of the item's image in pixels.
            task: gives classes, values and ignore.

        Returns:
            label uint8 (H, W), or (K, H, W) of 0/1 for multilabel, 0 where not valid; valid bool (H, W).

        Raises:
            InputError: the label cannot be read, has another size, or holds undeclared values.
        """


class Labels(Protocol):
    """What gives plain labels."""

    def read_label(self, key: str, shape: Shape, task: Task) -> tuple[Label, Valid]:
        """See Source."""


def certain(source: Labels, key: str, shape: Shape, task: Task) -> tuple[Label, Valid]:
    """Read a plain label as probabilities; see Source.read_soft."""
    label, valid = source.read_label(key, shape, task)
    planes = soften(label, task)
    if not valid.all():
        planes[:, ~valid] = 0
    return planes, valid


class Defaults(ABC):
    """What most sources answer: an item is a file, all weigh alike, all are scored, labels are plain."""

    @abstractmethod
    def image_path(self, key: str) -> Path:
        """Return the image file of an item."""

    def ordered(self) -> tuple[str, ...] | None:
        """Return the order of the file that lists the items: there is none."""
        return None

    def read_header(self, key: str, max_pixels: int) -> Header:
        """Read the header of an item's file."""
        return rasters.read_header(self.image_path(key), max_pixels)

    def read_image(self, key: str, max_pixels: int) -> tuple[Pixels, Valid]:
        """Decode the item's file whole."""
        return rasters.read_image(self.image_path(key), max_pixels)

    def ground(self, key: str) -> Ground | None:
        """Return where an item lies on the ground."""
        del key
        return None

    @property
    def soft(self) -> bool:
        """Whether labels are probabilities."""
        return False

    def read_soft(self, key: str, shape: Shape, task: Task) -> tuple[Label, Valid]:
        """Read the label of an item as probabilities: certain ones."""
        assert hasattr(self, "read_label"), "a source without labels was asked for one"
        return certain(self, key, shape, task)

    def label_path(self, key: str) -> Path | None:
        """Return the file an item's label comes from; None if it has none."""
        del key
        return None

    def label_paths(self, key: str) -> tuple[Path, ...]:
        """Return all files an item's label comes from."""
        path = self.label_path(key)
        return () if path is None else (path,)

    def attributes(self, key: str) -> Mapping[str, str]:
        """Return what else is known of an item."""
        del key
        return {}

    def weight(self, key: str) -> float:
        """Return how often an item is drawn, relative to others."""
        del key
        return 1.0

    def scored(self, key: str) -> bool:
        """Whether an item may be held out and scored."""
        del key
        return True

    def palette(self, key: str) -> bytes | None:
        """Return the palette of an item's mask where its indices are class ids."""
        del key
        return None


@dataclass(frozen=True)
class Limited:
    """A source of which only some items are used.

    Args:
        whole: the source.
        keys: some of its keys, sorted.
    """

    whole: Source
    keys: tuple[str, ...]

    @property
    def labelled(self) -> bool:
        """Whether items have labels."""
        return self.whole.labelled

    @property
    def notes(self) -> tuple[str, ...]:
        """What was guessed or passed over, and how many items are used."""
        return (*self.whole.notes, f"{len(self.keys)} of {len(self.whole.keys)} items are used")

    def ordered(self) -> tuple[str, ...] | None:
        """Return the keys in the order of the whole source."""
        whole, ours = self.whole.ordered(), frozenset(self.keys)
        return None if whole is None else tuple(key for key in whole if key in ours)

    def image_path(self, key: str) -> Path:
        """Return the image file of an item."""
        return self.whole.image_path(key)

    def label_path(self, key: str) -> Path | None:
        """Return the file an item's label comes from; None if it has none."""
        return self.whole.label_path(key)

    def label_paths(self, key: str) -> tuple[Path, ...]:
        """Return all files an item's label comes from."""
        return self.whole.label_paths(key)

    def attributes(self, key: str) -> Mapping[str, str]:
        """Return what else is known of an item."""
        return self.whole.attributes(key)

    def weight(self, key: str) -> float:
        """Return how often an item is drawn, relative to others."""
        return self.whole.weight(key)

    def scored(self, key: str) -> bool:
        """Whether an item may be held out and scored."""
        return self.whole.scored(key)

    def palette(self, key: str) -> bytes | None:
        """Return the palette of an item's mask where its indices are class ids."""
        return self.whole.palette(key)

    @property
    def soft(self) -> bool:
        """Whether labels are probabilities."""
        return self.whole.soft

    def read_soft(self, key: str, shape: Shape, task: Task) -> tuple[Label, Valid]:
        """Read the label of an item as probabilities, as the whole source does."""
        return self.whole.read_soft(key, shape, task)

    def read_header(self, key: str, max_pixels: int) -> Header:
        """Read the header of an item's image."""
        return self.whole.read_header(key, max_pixels)

    def read_image(self, key: str, max_pixels: int) -> tuple[Pixels, Valid]:
        """Decode the image of an item."""
        return self.whole.read_image(key, max_pixels)

    def ground(self, key: str) -> Ground | None:
        """Return where an item lies on the ground."""
        return self.whole.ground(key)

    def read_label(self, key: str, shape: Shape, task: Task) -> tuple[Label, Valid]:
        """Read the label of an item, as the whole source does."""
        return self.whole.read_label(key, shape, task)


def limited(source: Source, keys: Sequence[str]) -> Source:
    """Return a view of a source with fewer items.

    Args:
        source: any source.
        keys: some of its keys, in any order.
    """
    chosen = tuple(sorted(keys))
    assert set(chosen) <= set(source.keys), "keys that are not in the source"
    return source if chosen == source.keys else Limited(source, chosen)


def limit_keys(keys: Sequence[str], limit: int) -> tuple[str, ...]:
    """Pick at most `limit` keys, evenly spread over the sorted keys, first and last among them.

    Args:
        keys: distinct keys.
        limit: how many to keep, >= 1.
    """
    ordered = sorted(keys)
    if limit >= len(ordered):
        return tuple(ordered)
    places = np.linspace(0, len(ordered) - 1, limit).round().astype(int) if limit > 1 else [0]
    return tuple(ordered[place] for place in places)
