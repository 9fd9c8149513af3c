"""Which window of an item a training draws: anywhere, around a class, on an object, not all of one class."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable, Mapping, Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from maskwright.core.errors import InputError
from maskwright.core.grid import Shape, Window
from maskwright.core.labels import Task
from maskwright.core.recipe.members import Sampling
from maskwright.data.augment.base import class_ids, foreground
from maskwright.data.pixels.header import Valid
from maskwright.data.sampling import ANYWHERE, OBJECT, any_window, sample_seed
from maskwright.data.sources.base import Label
from maskwright.data.windows import Layers

REMEMBERED = 16 << 20
"""Bytes of places each process remembers: row counts of classes and middles of objects."""


class Spots(NamedTuple):
    """Places of an item that windows are drawn around more often than elsewhere."""

    share: float
    """Of the draws of this item that are not aimed at something else, 0..1."""
    middles: tuple[tuple[float, float], ...]
    """Row and column of each, as parts of the item's height and width."""


class Places:
    """Chooses windows. The same item, aim and seed give the same window, whatever was asked before.

    Args:
        sampling: the recipe's rule.
        classes: label values (planes, for multilabel) whose objects are drawn.
        spots: key of an item -> where its windows are drawn more often.
    """

    def __init__(
        self, sampling: Sampling, classes: Sequence[int] = (), spots: Mapping[str, Spots] | None = None
    ) -> None:
        self.sampling, self.classes, self.spots = sampling, tuple(classes), spots or {}
        self._known: OrderedDict[tuple[str, int], NDArray[np.int32]] = OrderedDict()
        self._held = 0

    @property
    def looks(self) -> bool:
        """Whether labels are looked at."""
        return self.sampling.windows in ("balanced", "objects") or self.sampling.max_class_share is not None

    def window(self, key: str, layers: Layers, aim: int, seed: int, size: Shape) -> Window:
        """Return a window of an item.

        Args:
            key: of the item.
            layers: the whole item.
            aim: a class one of whose pixels shall be seen, OBJECT, or ANYWHERE; an aim that the item has
                not is ANYWHERE.
            seed: of the sample; all chance comes from it.
            size: (h, w) of the window.
        """
        limit = self.sampling.max_class_share
        best: tuple[float, Window] | None = None
        for turn in range(1 if limit is None else self.sampling.tries):
            window = self._draw(key, layers, aim, size, np.random.default_rng(sample_seed(seed, turn, -2)))
            if limit is None:
                return window
            share = largest_share(layers, window)
            if share <= limit:
                return window
            if best is None or share < best[0]:
                best = share, window
        assert best is not None, "at least one window is drawn"
        return best[1]

    def _draw(self, key: str, layers: Layers, aim: int, size: Shape, rng: np.random.Generator) -> Window:
        if aim == OBJECT:
            middles = self._remember(key, aim, lambda: object_middles(layers, self.classes))
            if len(middles):
                return self._around(middles[int(rng.integers(len(middles)))], layers.shape, size, rng)
        elif aim != ANYWHERE:
            ends = self._remember(key, aim, lambda: row_ends(layers, aim))
            if ends[-1]:
                return holding(pixel_of(layers, aim, ends, int(rng.integers(ends[-1]))), layers.shape, size, rng)
        spots = self.spots.get(key)
        if spots is not None and rng.random() < spots.share:
            middle = spots.middles[int(rng.integers(len(spots.middles)))]
            place = np.array([part * side for part, side in zip(middle, layers.shape, strict=True)], np.int32)
            return self._around(place, layers.shape, size, rng)
        return any_window(layers.shape, size, rng)

    def _around(self, middle: NDArray[np.int32], shape: Shape, size: Shape, rng: np.random.Generator) -> Window:
        """Return a window whose middle lies near a place (row, col), moved into the image where that is larger."""
        starts = []
        for place, length, side in zip(middle, shape, size, strict=True):
            wanted = round(int(place) - side / 2 + self.sampling.jitter * side * rng.uniform(-1, 1))
            starts.append(min(max(wanted, min(0, length - side)), max(0, length - side)))
        return Window(starts[0], starts[1], *size)

    def _remember(self, key: str, aim: int, find: Callable[[], NDArray[np.int32]]) -> NDArray[np.int32]:
        known = self._known.get((key, aim))
        if known is None:
            known = self._known[key, aim] = find()
            self._held += known.nbytes
            while self._held > REMEMBERED and len(self._known) > 1:
                self._held -= self._known.popitem(last=False)[1].nbytes
        else:
            self._known.move_to_end((key, aim))
        return known

    def __getstate__(self) -> dict[str, object]:
        """Travel to a worker process without what was found."""
        return {**self.__dict__, "_known": OrderedDict(), "_held": 0}


def drawn_classes(sampling: Sampling, task: Task) -> tuple[int, ...]:
    """Return the label values (planes, for multilabel) that the rules balanced and objects draw.

    Raises:
        ValueError: the task has no such class.
    """
    if sampling.classes is not None:
        return class_ids(sampling.classes, task)
    if sampling.windows == "objects":
        return foreground(task)
    return tuple(range(task.planes if task.kind == "multilabel" else len(task.values)))


def check(sampling: Sampling, task: Task, where: str) -> None:
    """Refuse classes that the task does not have, naming the recipe key.

    Raises:
        InputError: an unknown class.
    """
    try:
        drawn_classes(sampling, task)
    except ValueError as error:
        what, _, fix = str(error).partition("; ")
        raise InputError(what, where=f"{where}.classes", fix=fix) from None


def row_ends(layers: Layers, value: int) -> NDArray[np.int32]:
    """Return how many pixels of a class there are down to each row, int32 (H,)."""
    return np.cumsum(_where(layers.label, layers.valid, value).sum(1, dtype=np.int32), dtype=np.int32)


def pixel_of(layers: Layers, value: int, ends: NDArray[np.int32], number: int) -> tuple[int, int]:
    """Return (row, col) of a class's pixel by its number in reading order; `ends` as row_ends gives it."""
    row = int(np.searchsorted(ends, number, "right"))
    before = int(ends[row - 1]) if row else 0
    places = np.flatnonzero(_where(layers.label[..., row, :], layers.valid[row], value))
    return row, int(places[number - before])


def holding(place: tuple[int, int], shape: Shape, size: Shape, rng: np.random.Generator) -> Window:
    """Return a random window of those that hold a pixel and, where the image is larger, lie inside it."""
    starts = []
    for at, length, side in zip(place, shape, size, strict=True):
        low, high = max(min(0, length - side), at - side + 1), min(max(0, length - side), at)
        starts.append(int(rng.integers(low, high + 1)))
    return Window(starts[0], starts[1], *size)


def object_middles(layers: Layers, classes: Sequence[int]) -> NDArray[np.int32]:
    """Return (row, col) of the middle of each connected object's box, int32 (N, 2), class by class.

    Args:
        layers: of an item.
        classes: label values, or planes for multilabel.
    """
    import cv2

    found = [np.zeros((0, 2), np.int32)]
    for value in classes:
        there = _where(layers.label, layers.valid, value)
        if not there.any():
            continue
        _, _, boxes, _ = cv2.connectedComponentsWithStats(there.view(np.uint8), connectivity=8, ltype=cv2.CV_32S)
        left, top, width, height = (boxes[1:, column] for column in range(4))
        found.append(np.stack([top + height // 2, left + width // 2], 1).astype(np.int32))
    return np.concatenate(found)


def largest_share(layers: Layers, window: Window) -> float:
    """Return the largest share of a class in a window, of the pixels that count; 1 if none does.

    For multilabel a pixel without any class is one of the class 'nothing'.
    """
    import cv2

    rows, cols = window.clip(layers.shape).slices
    label, valid = layers.label[..., rows, cols], layers.valid[rows, cols]
    total = int(np.count_nonzero(valid))
    if total == 0:
        return 1.0
    if label.ndim == 3:
        covered = [int(np.count_nonzero(plane)) for plane in label]
        nothing = total - int(np.count_nonzero(label.any(0)))
        return max(nothing, *covered) / total
    counts = cv2.calcHist([np.ascontiguousarray(label)], [0], None, [256], [0, 256]).reshape(-1)
    counts[0] -= label.size - total  # what does not count is 0 in the label
    return float(counts.max()) / total


def _where(label: Label, valid: Valid, value: int) -> Valid:
    """Return where a class is seen; labels are 0 where not valid."""
    if label.ndim > valid.ndim:
        plane: Valid = label[value] != 0
        return plane
    there: Valid = label == value
    return there if value else there & valid
