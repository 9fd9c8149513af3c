"""Which item a training draws next, by weights, classes or errors: pure functions of (seed, epoch, index)."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from maskwright.core.grid import Shape, Window
from maskwright.core.recipe.members import Sampling

ANYWHERE, OBJECT = -1, -2
"""Aims besides the number of a class: a window at any place, a window on an object."""
HARDEST = 8.0
"""How much more often than an item of mean error the hardest is drawn at most: wrong labels are the hardest of all."""
LAPS = 4
"""Permutations that are kept."""
RULE, CLASS, ITEM = -5, -6, -7
"""Streams of chance that belong to an epoch."""


def sample_seed(seed: int, epoch: int, index: int) -> int:
    """Return a 63-bit number that differs for every triple: BLAKE2b, the same on every machine and version.

    Args:
        seed: of the run.
        epoch: any integer.
        index: any integer.
    """
    digest = hashlib.blake2b(f"{seed},{epoch},{index}".encode(), digest_size=8).digest()
    return int.from_bytes(digest, "little") >> 1


def chance(seed: int, epoch: int, stream: int, first: int, count: int) -> NDArray[np.float64]:
    """Return numbers in [0, 1) for the draws first..first+count of an epoch, each by its own index alone.

    Source: SplitMix64, Steele, Lea, Flood 2014, Fast splittable pseudorandom number generators.

    Args:
        seed: of the run.
        epoch: any integer.
        stream: numbers of different streams have nothing to do with each other.
        first: of the draws.
        count: how many.

    Returns:
        float64 (count,).
    """
    mixed = np.arange(first + 1, first + count + 1, dtype=np.uint64) * np.uint64(0x9E3779B97F4A7C15)
    mixed += np.uint64(sample_seed(seed, epoch, stream))
    mixed = (mixed ^ (mixed >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    mixed = (mixed ^ (mixed >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    mixed ^= mixed >> np.uint64(31)
    numbers: NDArray[np.float64] = (mixed >> np.uint64(11)).astype(np.float64) * 2.0**-53
    return numbers


class Lots:
    """Which item each draw of a training takes, and what its window is aimed at.

    Without weights and rules, the draws of all epochs walk through one permutation of the items after
    another, so every item is drawn equally often to within one, also when an epoch is shorter than the
    set. With weights, a lap through the set holds each item as often as its share says, rounded up or
    down by lot. A rule replaces the share `sampling.p` of the draws; which ones, depends on their
    indices alone.

    Args:
        seed: of the training.
        items: number of items, >= 1.
        draws: in an epoch.
        weights: how often an item is drawn relative to others, >= 0, one above 0; None: all alike.
        sampling: the recipe's rule.
        pixels: (items, classes) valid pixels of each class in each item; needed by the rules balanced and objects.
        classes: columns of `pixels` that these two rules draw; None: all.
    """

    def __init__(
        self,
        seed: int,
        items: int,
        draws: int,
        weights: Sequence[float] | None = None,
        sampling: Sampling | None = None,
        pixels: NDArray[np.int64] | None = None,
        classes: Sequence[int] | None = None,
    ) -> None:
        assert items >= 1, "no items to draw"
        self.seed, self.count, self.draws = seed, items, draws
        self.sampling = sampling or Sampling()
        self.weights = np.ones(items) if weights is None else np.asarray(weights, np.float64)
        assert self.weights.shape == (items,), "a weight for each item"
        assert self.weights.min() >= 0, "weights below 0"
        assert self.weights.max() > 0, "no item is ever drawn"
        self._even = bool((self.weights == self.weights[0]).all())
        self._laps: dict[int, NDArray[np.int64]] = {}
        self._classes: tuple[int, ...] = ()
        self._class_ends, self._item_ends = np.ones(0), np.ones((0, items))
        if self.sampling.windows in ("balanced", "objects"):
            assert pixels is not None, "the rule needs the pixels of each class in each item"
            self._prepare(pixels, range(pixels.shape[1]) if classes is None else classes)
        self._hard_ends: NDArray[np.float64] | None = None

    def _prepare(self, pixels: NDArray[np.int64], classes: Sequence[int]) -> None:
        """Work out how likely each class is, and each item that has it; classes no item has are left out."""
        wanted, aims = pixels[:, list(classes)], tuple(classes)
        if self.sampling.windows == "objects":
            wanted, aims = wanted.sum(1, keepdims=True), (OBJECT,)
        shares = (wanted > 0) * self.weights[:, None]
        there = np.flatnonzero(shares.sum(0) > 0)
        self._classes = tuple(aims[place] for place in there)
        if self._classes:
            self._item_ends = _ends(shares[:, there].T)
            odds = np.ones(len(there))
            if self.sampling.windows == "balanced" and self.sampling.class_odds == "inverse_sqrt":
                odds = 1 / np.sqrt(pixels[:, list(self._classes)].sum(0))
            self._class_ends = _ends(odds)

    def learn(self, errors: NDArray[np.float64] | None) -> None:
        """Take in last epoch's errors, by which the rule hard draws from now on.

        Args:
            errors: (items,) mean training error of each item, not a number where unknown; None: nothing is known.
        """
        known = errors is not None and np.isfinite(errors).any()
        self._hard_ends = _ends(self.weights * hardness(errors)) if errors is not None and known else None

    def items(self, epoch: int, first: int, count: int) -> NDArray[np.int64]:
        """Return the items that the draws first..first+count of an epoch take, int64 (count,)."""
        return self.picks(epoch, first, count)[0]

    def picks(self, epoch: int, first: int, count: int) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
        """Return items and aims of the draws first..first+count of an epoch.

        Returns:
            item int64 (count,), and aim int64 (count,): a class, ANYWHERE or OBJECT.
        """
        items = self._walk(epoch * self.draws + first, count)
        aims = np.full(count, ANYWHERE, np.int64)
        hard = self.sampling.windows == "hard" and self._hard_ends is not None
        if not (hard or self._classes):
            return items, aims
        by_rule = chance(self.seed, epoch, RULE, first, count) < self.sampling.p
        lot = chance(self.seed, epoch, ITEM, first, count)
        if hard and self._hard_ends is not None:
            items[by_rule] = np.searchsorted(self._hard_ends, lot[by_rule], "right")
            return items, aims
        drawn = np.searchsorted(self._class_ends, chance(self.seed, epoch, CLASS, first, count), "right")
        for place, aim in enumerate(self._classes):
            mine = by_rule & (drawn == place)
            items[mine] = np.searchsorted(self._item_ends[place], lot[mine], "right")
            aims[mine] = aim
        return items, aims

    def _walk(self, first: int, count: int) -> NDArray[np.int64]:
        """Return the items at some places of the endless walk through all laps."""
        parts = []
        lap, place = divmod(first, self.count)
        while count > 0:
            part = self._lap(lap)[place : place + count]
            parts.append(part)
            count -= len(part)
            lap, place = lap + 1, 0
        return np.concatenate(parts) if parts else np.empty(0, np.int64)

    def _lap(self, lap: int) -> NDArray[np.int64]:
        known = self._laps.get(lap)
        if known is None:
            rng = np.random.default_rng(sample_seed(self.seed, lap, -1))
            known = rng.permutation(self.count)
            if not self._even:
                known = _deal(self.weights[known], known, rng)
            while len(self._laps) >= LAPS:
                self._laps.pop(next(iter(self._laps)))
            self._laps[lap] = known
        return known

    def __getstate__(self) -> dict[str, object]:
        """Travel to a worker process without the permutations."""
        return {**self.__dict__, "_laps": {}}


def _deal(weights: NDArray[np.float64], items: NDArray[np.int64], rng: np.random.Generator) -> NDArray[np.int64]:
    """Return a shuffled lap that holds each item floor or ceil of its share times; on average just its share.

    Source: systematic sampling, Madow 1949, On the theory of systematic sampling II.
    """
    ends = np.minimum(np.floor(_ends(weights) * len(items) + rng.random()), len(items)).astype(np.int64)
    ends[-1] = len(items)
    dealt = np.repeat(items, np.diff(ends, prepend=0))
    rng.shuffle(dealt)
    return dealt


def _ends(shares: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return where each share ends on a line from 0 to 1; what has no share has no length."""
    sums = np.cumsum(shares, axis=-1)
    ends: NDArray[np.float64] = sums / sums[..., -1:]
    return ends


def hardness(errors: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return how often items are drawn for their errors: in proportion, in half octaves, within 1/8 and 8 of the mean.

    The steps are coarse so that two trainings whose errors differ in the last digits, as with other numbers of
    processes, draw alike.

    Args:
        errors: >= 0, not a number where unknown, which counts as the mean.
    """
    known = np.isfinite(errors)
    mean = errors[known].mean() if known.any() else 0.0
    if mean <= 0:
        return np.ones(len(errors))
    ratio = np.clip(np.where(known, errors, mean) / mean, 1 / HARDEST, HARDEST)
    result: NDArray[np.float64] = 2.0 ** (np.round(2 * np.log2(ratio)) / 2)
    return result


def order(seed: int, epoch: int, items: int, draws: int) -> NDArray[np.int64]:
    """Return which item each draw of an epoch takes where all items are alike; see Lots.

    Args:
        seed: of the run.
        epoch: from 0.
        items: number of items, >= 1.
        draws: draws in an epoch, >= 0.

    Returns:
        int64 (draws,) in 0..items-1.
    """
    return Lots(seed, items, draws).items(epoch, 0, draws)


def crop_window(seed: int, epoch: int, index: int, shape: Shape, size: Shape) -> Window:
    """Return a random window, every place equally likely.

    Args:
        seed: of the run.
        epoch: of the draw.
        index: of the draw in its epoch.
        shape: (H, W) of the image in pixels.
        size: (h, w) of the window; where it is larger than the image, the image lies at a random place in it.
    """
    return any_window(shape, size, np.random.default_rng(sample_seed(sample_seed(seed, epoch, index), 0, -2)))


def any_window(shape: Shape, size: Shape, rng: np.random.Generator) -> Window:
    """Return a window of `size` (h, w) in an image of `shape` (H, W), every place equally likely."""
    row, col = (int(rng.integers(min(0, n - side), max(0, n - side) + 1)) for n, side in zip(shape, size, strict=True))
    return Window(row, col, *size)
