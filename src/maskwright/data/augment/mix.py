"""Mix: samples made from several items: mosaic, pasted objects, pasted boxes."""

from __future__ import annotations

import math

import numpy as np
from pydantic import Field

from maskwright.core.labels import Task
from maskwright.data.augment.base import (
    Count,
    Mix,
    Others,
    Probability,
    Range,
    Rng,
    Setting,
    Shares,
    Step,
    class_ids,
    foreground,
    refuse_soft,
)
from maskwright.data.augment.erase import pieces, present, where_is
from maskwright.data.pixels.header import Pixels, Valid
from maskwright.data.windows import CV2_CHANNELS, Layers, resize, turn


class Mosaic(Mix):
    """Put together parts of four items, this one among them, that meet at a random point.

    It should stand first in the list: what stands before it changes this item's part alone.
    """

    centre: Shares = (0.25, 0.75)
    """Where the four meet, as shares of height and width."""
    p: Probability = 0.3

    def mix(self, layers: Layers, rng: Rng, others: Others) -> Layers:
        """Transform one sample."""
        height, width = layers.shape
        row, col = (min(max(round(side * rng.uniform(*self.centre)), 1), max(side - 1, 1)) for side in (height, width))
        result, own = _blank(layers), int(rng.integers(4))
        for corner in range(4):
            rows = slice(0, row) if corner < 2 else slice(row, height)
            cols = slice(0, col) if corner % 2 == 0 else slice(col, width)
            shape = rows.stop - rows.start, cols.stop - cols.start
            if 0 in shape:
                continue
            part = _part(layers, rows, cols) if corner == own else others(rng, shape)
            _put(result, rows, cols, part)
        return result


class CutMix(Mix):
    """Paste a box of another item; the box covers a share in `area` of the window."""

    area: Shares = (0.1, 0.4)
    p: Probability = 0.3

    def mix(self, layers: Layers, rng: Rng, others: Others) -> Layers:
        """Transform one sample."""
        share = math.sqrt(rng.uniform(*self.area))
        sides = [min(side, max(1, round(side * share))) for side in layers.shape]
        starts = [int(rng.integers(side - part + 1)) for side, part in zip(layers.shape, sides, strict=True)]
        rows, cols = (slice(start, start + part) for start, part in zip(starts, sides, strict=True))
        result = Layers(layers.image.copy(order="K"), layers.label.copy(), layers.valid.copy())
        _put(result, rows, cols, others(rng, (sides[0], sides[1])))
        return result


class CopyPaste(Mix):
    """Paste up to `objects` objects of another item, connected pieces of some classes, where they are there.

    The other item is enlarged by a factor in `scale` and flipped every other time before.
    """

    classes: tuple[str | int, ...] = ()
    """Whose objects, by name or id; empty: the rarer half of the classes, a background not counted."""
    objects: Count = 3
    scale: Range = (0.75, 1.3333)
    flip: Probability = 0.5
    least: Count = 16
    """Pixels below which a piece is no object."""
    blend: float = Field(default=1.0, ge=0, le=50)
    """Pixels (deviation of a Gaussian) over which the edge fades in the image; the label has a sharp edge."""

    def fit(self, setting: Setting) -> Step:
        """Turn the names of classes into ids, or find the rarer half of them."""
        refuse_soft(setting, "copy_paste looks for objects in labels", "use mosaic or cutmix")
        task = setting.task
        if self.classes or task is None:
            return self.model_copy(update={"classes": class_ids(self.classes, task)})
        if setting.pixels is None:
            return self
        return self.model_copy(update={"classes": rarer_half(task, setting.pixels)})

    def mix(self, layers: Layers, rng: Rng, others: Others) -> Layers:
        """Transform one sample."""
        low, high = (math.log(value) for value in self.scale)
        factor = math.exp(rng.uniform(low, high))
        shape = max(1, round(layers.shape[0] / factor)), max(1, round(layers.shape[1] / factor))
        wanted = [value for value in self.classes if isinstance(value, int)]
        other = resize(others(rng, shape, wanted), layers.shape)
        if rng.random() < self.flip:
            other = turn(other, "hflip")
        region = self._objects(other, wanted or _rarer_seen(other), rng)
        return layers if region is None else paste(layers, other, region, self.blend)

    def _objects(self, other: Layers, classes: list[int], rng: Rng) -> Valid | None:
        found = pieces(other, classes, rng, other.valid.size // 2, self.least) if classes else []
        if not found:
            return None
        count = min(len(found), int(rng.integers(1, self.objects, endpoint=True)))
        region = np.zeros(other.shape, bool)
        for place in rng.permutation(len(found))[:count]:
            found[place].add_to(region)
        return region


def rarer_half(task: Task, pixels: tuple[int, ...]) -> tuple[int, ...]:
    """Return the rarer half (rounded up) of the classes that there are, a background not counted."""
    there = [value for value in foreground(task) if pixels[value]]
    return tuple(sorted(sorted(there, key=lambda value: pixels[value])[: (len(there) + 1) // 2]))


def _rarer_seen(layers: Layers) -> list[int]:
    """Return the rarer half of the values (planes) seen in one sample, 0 not counted."""
    seen = [int(value) for value in present(layers.label)]
    seen.sort(key=lambda value: int(np.count_nonzero(where_is(layers, value))))
    return seen[: (len(seen) + 1) // 2]


def paste(layers: Layers, other: Layers, region: Valid, blend: float) -> Layers:
    """Paste a region (H, W) of another sample of the same size, its edge faded in over `blend` pixels."""
    import cv2

    rows, cols = _around(region, math.ceil(3 * blend))
    result = Layers(layers.image.copy(order="K"), layers.label.copy(), layers.valid.copy())
    inner = region[rows, cols]
    share = inner.astype(np.float32)
    if blend:
        share = cv2.GaussianBlur(share, (0, 0), blend)
    share = share[:, :, None]
    under = layers.image[rows, cols]
    mixed = under + share * (other.image[rows, cols].astype(np.float32) - under)
    result.image[rows, cols] = np.rint(mixed) if layers.image.dtype == np.uint8 else mixed
    result.label[..., rows, cols][..., inner] = other.label[..., rows, cols][..., inner]
    result.valid[rows, cols][inner] = other.valid[rows, cols][inner]
    return result


def _around(region: Valid, margin: int) -> tuple[slice, slice]:
    """Return the box around a region, with a margin."""
    sides = []
    for axis in (1, 0):
        places = np.flatnonzero(region.any(axis))
        first, last = int(places[0]) - margin, int(places[-1]) + margin + 1
        sides.append(slice(max(first, 0), min(last, region.shape[1 - axis])))
    return sides[0], sides[1]


def _blank(layers: Layers) -> Layers:
    """Return layers of the same shapes with nothing in them yet; many bands lie plane by plane."""
    height, width, bands = layers.image.shape
    image: Pixels = np.empty(
        (height, width, bands) if bands <= CV2_CHANNELS else (bands, height, width), layers.image.dtype
    )
    image = image if bands <= CV2_CHANNELS else image.transpose(1, 2, 0)
    return Layers(image, np.empty(layers.label.shape, np.uint8), np.empty(layers.valid.shape, bool))


def _part(layers: Layers, rows: slice, cols: slice) -> Layers:
    return Layers(layers.image[rows, cols], layers.label[..., rows, cols], layers.valid[rows, cols])


def _put(result: Layers, rows: slice, cols: slice, part: Layers) -> None:
    result.image[rows, cols] = part.image
    result.label[..., rows, cols] = part.label
    result.valid[rows, cols] = part.valid
