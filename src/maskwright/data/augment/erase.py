"""Erase: holes, grids and whole objects go; what the label says there then is in the recipe, never silent."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Literal, NamedTuple

import numpy as np
from numpy.typing import NDArray
from pydantic import Field

from maskwright.core.labels import Task
from maskwright.data.augment.base import (
    Count,
    Counts,
    Probability,
    Rng,
    Setting,
    Share,
    Shares,
    Step,
    band_stats,
    class_ids,
    foreground,
    like,
    normal,
    refuse_soft,
)
from maskwright.data.pixels.header import Pixels, Valid
from maskwright.data.sources.base import Label
from maskwright.data.windows import CV2_CHANNELS, Layers

Fill = Literal["mean", "noise"] | float
NOTHING = -1
"""Fill of multilabel masks that says: none of the classes."""


class Erase(Step):
    """What all that erases shares: what is put in the image, and what the label says there."""

    fill: Fill = "mean"
    """What is put in the image: each band's mean, noise of its mean and deviation, or a value (0..255 for 8 bit)."""
    mask_fill: str | int = "keep"
    """What the label says there: keep (as before), ignore (it does not count), or a class by name or id."""

    def fit(self, setting: Setting) -> Step:
        """Turn the name of a class into its id."""
        if self.mask_fill not in ("keep", "ignore"):
            refuse_soft(setting, f"mask_fill writes class {self.mask_fill} into labels", "use mask_fill: ignore")
        return self.model_copy(update={"mask_fill": fill_id(self.mask_fill, setting.task)})

    def erased(self, layers: Layers, region: Valid, rng: Rng) -> Layers:
        """Erase a region (H, W) of one sample."""
        image = layers.image.copy(order="K")
        image[region] = self._values(layers.image, (int(np.count_nonzero(region)),), rng)
        return self._relabel(layers._replace(image=image), region)

    def erased_boxes(self, layers: Layers, boxes: Sequence[tuple[slice, slice]], rng: Rng) -> Layers:
        """Erase boxes of one sample."""
        image = layers.image.copy(order="K")
        if self.fill == "noise":
            for rows, cols in boxes:
                image[rows, cols] = self._values(layers.image, (rows.stop - rows.start, cols.stop - cols.start), rng)
        else:
            _paint(image, boxes, self._values(layers.image, (), rng))
        layers = layers._replace(image=image)
        if self.mask_fill == "keep":
            return layers
        region = np.zeros(layers.shape, bool)
        for box in boxes:
            region[box] = True
        return self._relabel(layers, region)

    def _values(self, image: Pixels, shape: tuple[int, ...], rng: Rng) -> Any:
        """Return what is put in the image, (B,) or, for noise, (*shape, B)."""
        if isinstance(self.fill, float):
            return like(np.full(image.shape[2], self.fill), image)
        mean, std = band_stats(image)
        if self.fill == "mean":
            return like(mean, image)
        return like(normal(rng, (*shape, image.shape[2])) * std.astype(np.float32) + mean.astype(np.float32), image)

    def _relabel(self, layers: Layers, region: Valid) -> Layers:
        if self.mask_fill == "keep":
            return layers
        if self.mask_fill == "ignore":
            valid = layers.valid & ~region
            return layers._replace(label=layers.label * valid, valid=valid)
        assert isinstance(self.mask_fill, int), f"class {self.mask_fill} has no id yet; fit was not called"
        label = layers.label.copy()
        if label.ndim == 2:
            label[region & layers.valid] = self.mask_fill
        else:
            label[:, region] = 0
            if self.mask_fill != NOTHING:
                label[self.mask_fill, region & layers.valid] = 1
        return layers._replace(label=label)


def _paint(image: Pixels, boxes: Sequence[tuple[slice, slice]], values: NDArray[Any]) -> None:
    """Fill boxes of an image with one value a band; OpenCV does that eight times faster than numpy."""
    import cv2

    if image.shape[2] <= CV2_CHANNELS and image.flags.c_contiguous:
        colour = values.astype(float).tolist()
        for rows, cols in boxes:
            cv2.rectangle(image, (cols.start, rows.start), (cols.stop - 1, rows.stop - 1), colour, cv2.FILLED)
        return
    for rows, cols in boxes:
        for band, value in enumerate(values):
            image[rows, cols, band] = value


class CoarseDropout(Erase):
    """Cut holes (cutout): a number in `holes` of boxes whose sides are shares in `size` of the window's."""

    holes: Counts = (3, 5)
    size: Shares = (0.1, 0.2)
    p: Probability = 0.3

    def apply(self, layers: Layers, rng: Rng) -> Layers:
        """Transform one sample."""
        boxes = []
        for _ in range(int(rng.integers(*self.holes, endpoint=True))):
            sides = [max(1, round(side * rng.uniform(*self.size))) for side in layers.shape]
            starts = [int(rng.integers(side - part + 1)) for side, part in zip(layers.shape, sides, strict=True)]
            rows, cols = (slice(start, start + part) for start, part in zip(starts, sides, strict=True))
            boxes.append((rows, cols))
        return self.erased_boxes(layers, boxes, rng)


class GridMask(Erase):
    """Cut a grid of squares: one in each cell, cells of a side in `cell` of the window's shorter one, `ratio` of it."""

    cell: Shares = (0.1, 0.3)
    ratio: float = Field(default=0.5, gt=0, lt=1)
    p: Probability = 0.3

    def apply(self, layers: Layers, rng: Rng) -> Layers:
        """Transform one sample."""
        side = max(2, round(min(layers.shape) * rng.uniform(*self.cell)))
        hole = max(1, round(side * self.ratio))
        rows, cols = (
            [slice(max(at, 0), min(at + hole, length)) for at in range(int(rng.integers(side)) - side, length, side)]
            for length in layers.shape
        )
        boxes = [(row, col) for row in rows for col in cols if row.stop > row.start and col.stop > col.start]
        return self.erased_boxes(layers, boxes, rng)


class MaskDropout(Erase):
    """Erase up to `max_objects` whole objects, connected pieces of a class, from image and label."""

    max_objects: Count = 2
    classes: tuple[str | int, ...] = ()
    """Whose objects, by name or id; empty: any class but a background."""
    least: Count = 16
    """Pixels below which a piece is no object."""
    largest: Share = 0.25
    """Share of the window above which a piece is no object."""
    mask_fill: str | int = "ignore"
    """What the label says there: ignore (it does not count), or a class by name or id."""

    def fit(self, setting: Setting) -> Step:
        """Turn the names of classes into ids."""
        if self.mask_fill == "keep":
            raise ValueError("an erased object cannot keep its label; set mask_fill: ignore, or a class")
        refuse_soft(setting, "mask_dropout looks for objects in labels", "use coarse_dropout")
        task = setting.task
        wanted = self.classes or (foreground(task) if task else ())
        filled = super().fit(setting)
        return filled.model_copy(update={"classes": class_ids(wanted, task)})

    def apply(self, layers: Layers, rng: Rng) -> Layers:
        """Transform one sample."""
        found = pieces(layers, self.classes, rng, int(self.largest * layers.valid.size), self.least)
        if not found:
            return layers
        count = min(len(found), int(rng.integers(1, self.max_objects, endpoint=True)))
        region = np.zeros(layers.shape, bool)
        for place in rng.permutation(len(found))[:count]:
            found[place].add_to(region)
        return self.erased(layers, region, rng)


class Piece(NamedTuple):
    """A connected piece of one class."""

    value: int
    number: int
    numbers: NDArray[np.int32]
    """(H, W), the number of the piece each pixel is in."""
    box: tuple[slice, slice]

    def add_to(self, region: Valid) -> None:
        """Set a region (H, W) where the piece is."""
        region[self.box] |= self.numbers[self.box] == self.number


def pieces(
    layers: Layers, classes: Sequence[str | int], rng: Rng, most: int, least: int = 1, kinds: int = 2
) -> list[Piece]:
    """Find connected pieces (8 neighbours) of up to `kinds` classes, drawn from those that are seen.

    Args:
        layers: of one sample.
        classes: label values (planes); empty: all but 0 (all planes).
        rng: draws classes where more are seen.
        most: pixels of the largest piece wanted.
        least: pixels of the smallest.
        kinds: classes looked at, at most.
    """
    import cv2

    found: list[Piece] = []
    values = present(layers.label, classes)
    for value in rng.permutation(values)[:kinds]:
        plane = where_is(layers, int(value))
        _, numbers, stats, _ = cv2.connectedComponentsWithStats(plane.view(np.uint8), connectivity=8)
        areas = stats[1:, cv2.CC_STAT_AREA]
        fits = np.flatnonzero((areas >= least) & (areas <= most)) + 1
        for number in rng.permutation(fits)[:16]:
            left, top, width, height = stats[number, :4].tolist()
            found.append(Piece(int(value), int(number), numbers, (slice(top, top + height), slice(left, left + width))))
    return found


def where_is(layers: Layers, value: int) -> Valid:
    """Return where a label value (a plane, for multilabel) is, (H, W)."""
    there: Valid = layers.label[value] != 0 if layers.label.ndim == 3 else layers.label == value
    return there & layers.valid


def present(label: Label, classes: Sequence[str | int] = ()) -> NDArray[np.int64]:
    """Return which of the label values (planes) are seen; of all but 0 (all planes) if none are named."""
    if label.ndim == 3:
        seen = label.any((1, 2))
    else:
        seen = np.bincount(label.ravel(), minlength=256) > 0
        seen[0] &= 0 in classes
    values = np.flatnonzero(seen)
    return values[np.isin(values, np.array(classes, int))] if classes else values


def fill_id(fill: str | int, task: Task | None) -> str | int:
    """Turn the name of a class that fills a mask into its id; `keep` and `ignore` stay.

    Raises:
        ValueError: the task has no such class.
    """
    if fill in ("keep", "ignore") or task is None:
        return fill
    if task.kind == "multilabel" and fill == "background" and fill not in task.classes:
        return NOTHING
    return class_ids((fill,), task)[0]
