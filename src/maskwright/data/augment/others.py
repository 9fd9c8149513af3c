"""Where mixing steps get other items from: windows of a training set, drawn by chance or on a wanted class."""

from __future__ import annotations

from collections.abc import Callable, Collection
from dataclasses import dataclass

import numpy as np

from maskwright.core.grid import Shape, Window
from maskwright.data.augment.base import Rng
from maskwright.data.augment.erase import where_is
from maskwright.data.windows import Layers, cut

TRIES = 4
"""Items looked through for a wanted class before any window is taken: each may have to be decoded."""


@dataclass(frozen=True)
class OtherItems:
    """Windows of the items of a training set, each item equally often; see augment/base.py, Others."""

    count: int
    """Number of items."""
    read: Callable[[int], Layers]
    """Returns the layers of an item at full size, which must not be written to."""

    def __call__(self, rng: Rng, shape: Shape, classes: Collection[int] = ()) -> Layers:
        """Return a window of `shape`, on a pixel of one of the classes if one is found.

        Args:
            rng: the only source of chance.
            shape: (height, width) of the window; it may reach past a smaller item.
            classes: label values (planes, for multilabel) to look for.
        """
        for _ in range(TRIES if classes else 1):
            layers = self.read(int(rng.integers(self.count)))
            seen = [value for value in classes if _has(layers, value)]
            if seen:
                places = np.flatnonzero(where_is(layers, seen[int(rng.integers(len(seen)))]))
                place = divmod(int(places[rng.integers(len(places))]), layers.shape[1])
                return cut(layers, _window(layers.shape, shape, rng, place))
        return cut(layers, _window(layers.shape, shape, rng))


def _has(layers: Layers, value: int) -> bool:
    """Say whether an item shows a value that counts; 0 in the label alone may mean that nothing counts there."""
    return bool(where_is(layers, value).any())


def _window(item: Shape, shape: Shape, rng: Rng, place: tuple[int, int] | None = None) -> Window:
    """Return a random window, of those that hold `place` (row, col) if one is given."""
    starts = []
    for axis, (length, side) in enumerate(zip(item, shape, strict=True)):
        low, high = min(0, length - side), max(0, length - side)
        if place is not None:
            low, high = max(low, place[axis] - side + 1), min(high, place[axis])
        starts.append(int(rng.integers(low, high, endpoint=True)))
    return Window(starts[0], starts[1], *shape)
