"""Add up what a set holds, item by item: sizes, classes, objects, what occurs together and where, the mean image."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from maskwright.core.labels import Task, looks_background
from maskwright.data.audit.measure import Measured
from maskwright.data.audit.objects import AREA_BINS
from maskwright.data.audit.small import Small

CELLS = 16
"""Rows and columns of a position map."""
SAMPLED = 64
"""Rows and columns of a label that its position map is taken from."""
MEAN_SIDE = 32
"""Rows and columns of the mean image."""
COVERAGE_BINS = 20
MOST_OBJECTS = 500
"""The last bin of objects per image holds this many and more."""


@dataclass
class Statistics:
    """Sums over the items of one set without faults, taken in the order of keys."""

    task: Task
    items: int = 0
    labelled: int = 0
    counted: int = 0
    """Labelled items whose objects were counted."""
    sizes: Counter[tuple[int, int]] = field(default_factory=Counter)
    pixels: NDArray[np.int64] = field(init=False)
    images: NDArray[np.int64] = field(init=False)
    objects: NDArray[np.int64] = field(init=False)
    areas: NDArray[np.int64] = field(init=False)
    together: NDArray[np.int64] = field(init=False)
    positions: NDArray[np.float64] = field(init=False)
    places: NDArray[np.float64] = field(init=False)
    coverage: NDArray[np.int64] = field(init=False)
    per_image: Counter[int] = field(default_factory=Counter)
    classes_per_image: Counter[int] = field(default_factory=Counter)
    mean_image: NDArray[np.float64] = field(init=False)
    shared: NDArray[np.int64] = field(init=False)
    """(K, K) sampled pixels of both planes of a multilabel task; on the diagonal, of one."""
    several: NDArray[np.float64] = field(init=False)
    """Sampled pixels of two planes or more, cell by cell."""

    def __post_init__(self) -> None:
        count = len(names(self.task))
        self.pixels, self.images, self.objects = (np.zeros(count, np.int64) for _ in range(3))
        self.areas = np.zeros((count, AREA_BINS), np.int64)
        self.together = np.zeros((count, count), np.int64)
        self.positions = np.zeros((count, CELLS, CELLS))
        self.places = np.zeros((CELLS, CELLS))
        self.coverage = np.zeros(COVERAGE_BINS, np.int64)
        self.shared, self.several = np.zeros((count, count), np.int64), np.zeros((CELLS, CELLS))
        self.mean_image = np.zeros((MEAN_SIDE, MEAN_SIDE, 3))

    def take(self, one: Measured) -> None:
        """Add an item and take its large parts away."""
        small, one.small = one.small, None
        if small is None or one.header is None:
            return
        self.items += 1
        self.sizes[one.header.shape] += 1
        self.mean_image += _thumb(small)
        if small.label is None:
            return
        self.labelled += 1
        self._label(one)
        self._positions(small)

    def _label(self, one: Measured) -> None:
        pixels = np.array(one.pixels)
        present = pixels > 0
        self.pixels += pixels
        self.images += present
        self.together += np.outer(present, present)
        if one.objects is not None:
            self.counted += 1
            self.objects += np.array(one.objects.counts)
            self.areas += one.objects.areas
            things = sum(one.objects.counts[kind] for kind in foreground(self.task))
            self.per_image[min(things, MOST_OBJECTS)] += 1
        self.classes_per_image[int(present.sum())] += 1
        share = covered(one, self.task)
        self.coverage[min(int(share * COVERAGE_BINS), COVERAGE_BINS - 1)] += 1

    def _positions(self, small: Small) -> None:
        assert small.label is not None
        rows, cols = (_spread(length) for length in small.valid.shape)
        cells = (rows[1][:, None] * CELLS + cols[1]).reshape(-1)
        valid = small.valid[rows[0][:, None], cols[0]].reshape(-1)
        label = small.label[..., rows[0][:, None], cols[0]]
        self.places += np.bincount(cells[valid], minlength=CELLS**2).reshape(CELLS, CELLS)
        if label.ndim == 3:
            planes = label.reshape(len(label), -1)[:, valid] != 0
            self.shared += np.rint(planes.astype(np.float32) @ planes.astype(np.float32).T).astype(np.int64)
            twice = cells[valid][planes.sum(axis=0) > 1]
            self.several += np.bincount(twice, minlength=CELLS**2).reshape(CELLS, CELLS)
            for plane, mask in enumerate(label):
                chosen = cells[valid & (mask.reshape(-1) != 0)]
                self.positions[plane] += np.bincount(chosen, minlength=CELLS**2).reshape(CELLS, CELLS)
            return
        pairs = label.reshape(-1)[valid].astype(np.intp) * CELLS**2 + cells[valid]
        table = np.bincount(pairs, minlength=len(self.positions) * CELLS**2)
        self.positions += table.reshape(self.positions.shape)

    def to_plain(self) -> dict[str, Any]:
        """Return plain data for audit.json."""
        named = names(self.task)
        shares = self.positions / np.maximum(self.places, 1)
        mean = self.mean_image / max(self.items, 1)
        return {
            "items": self.items,
            "labelled": self.labelled,
            "objects_counted": self.counted,
            "sizes": [[*shape, count] for shape, count in sorted(self.sizes.items())],
            "classes": [
                {
                    "name": name,
                    "pixels": int(self.pixels[kind]),
                    "images": int(self.images[kind]),
                    "objects": int(self.objects[kind]),
                    "areas": _trimmed(self.areas[kind]),
                }
                for kind, name in enumerate(named)
                if self.labelled
            ],
            "objects_per_image": _histogram(self.per_image),
            "classes_per_image": _histogram(self.classes_per_image),
            "coverage": [int(count) for count in self.coverage],
            "cooccurrence": self.together.tolist() if self.labelled else [],
            "positions": {
                name: np.round(shares[kind], 4).tolist() for kind, name in enumerate(named) if self.pixels[kind]
            },
            "overlap": np.round(self.several / np.maximum(self.places, 1), 4).tolist() if self.several.any() else [],
            "overlap_pixels": self.shared.tolist() if self.several.any() else [],
            "mean_image": np.rint(mean).astype(int).tolist(),
        }


def names(task: Task) -> tuple[str, ...]:
    """Return a name for each row of the statistics: value names, or class names for multilabel."""
    return task.classes if task.kind == "multilabel" else task.value_names


def foreground(task: Task) -> tuple[int, ...]:
    """Return the rows that are something: all but background."""
    count = len(names(task))
    if task.kind == "multilabel" or (task.kind == "multiclass" and not looks_background(task.classes[0])):
        return tuple(range(count))
    return tuple(range(1, count))


def covered(one: Measured, task: Task) -> float:
    """Return the share 0..1 of an item's valid pixels that foreground covers; for multilabel of the largest plane."""
    if not one.valid:
        return 0.0
    chosen = [one.pixels[kind] for kind in foreground(task)]
    return (max(chosen) if task.kind == "multilabel" else sum(chosen)) / one.valid


def _thumb(small: Small) -> NDArray[np.float64]:
    import cv2

    image = small.image if small.image.shape[2] == 3 else np.repeat(small.image, 3, axis=2)
    thumb: NDArray[np.uint8] = cv2.resize(image, (MEAN_SIDE, MEAN_SIDE), interpolation=cv2.INTER_AREA)
    return thumb.astype(np.float64)


def _spread(length: int) -> tuple[NDArray[np.intp], NDArray[np.intp]]:
    """Return up to 64 indices spread over a length, and the cell of a position map that each lies in."""
    steps = max(min(length, SAMPLED), CELLS)
    at = (np.arange(steps) + 0.5) / steps
    return (at * length).astype(np.intp), (at * CELLS).astype(np.intp)


def _trimmed(counts: NDArray[np.int64]) -> list[int]:
    """Return the bins up to the last that holds anything."""
    used = np.flatnonzero(counts)
    return [int(count) for count in counts[: used[-1] + 1]] if len(used) else []


def _histogram(counts: Counter[int]) -> list[int]:
    """Return how often 0, 1, 2, ... occurred."""
    return [counts[value] for value in range(max(counts) + 1)] if counts else []
