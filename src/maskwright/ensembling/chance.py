"""How far a score may be chance: bootstrap over groups of items, of one score and of the difference of two."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from maskwright.ensembling.thresholds import elementwise, mean_over_classes
from maskwright.scoring.counts import Counts
from maskwright.scoring.scores import score

LEVEL = 0.95
DRAWS = 2000
"""Bootstrap samples; an end of a 95 % interval rests on 50 of them."""
_CHUNK = 100
LEAST_UNITS = 8
"""Fewer groups than this say nothing of how groups differ, so no interval is made of them."""
ItemCounts = NDArray[np.int64]
"""tp, fp, fn, tn of each item and plane, int64 (items, 4, K)."""


class Range(NamedTuple):
    """A score, or a difference of two, and where it lies in most redraws of the items."""

    value: float
    low: float
    high: float
    units: int
    """Groups of items that were drawn from."""


def spread(counts: ItemCounts, groups: Sequence[str], metric: str, seed: int = 0) -> Range | None:
    """Return the pooled score of some items with its interval, or None for fewer than 8 groups.

    Percentile bootstrap (Efron and Tibshirani, An Introduction to the Bootstrap, 1993, chapter 13): groups are
    drawn with replacement, their counts added, and the score is made of the sums, as the headline's is.

    Args:
        counts: int64 (items, 4, K).
        groups: of each item; items of one group are drawn together.
        metric: a name of scoring.
        seed: of the draws.
    """
    return _range(counts[:, None], groups, metric, seed)


def gap(before: ItemCounts, after: ItemCounts, groups: Sequence[str], metric: str, seed: int = 0) -> Range | None:
    """Return the pooled score of `after` minus that of `before`, both drawn on the same items, with its interval."""
    return _range(np.stack([before, after], 1), groups, metric, seed)


def _range(sides: NDArray[np.int64], groups: Sequence[str], metric: str, seed: int) -> Range | None:
    names = {name: index for index, name in enumerate(sorted(set(groups)))}
    units = len(names)
    if units < LEAST_UNITS:
        return None
    pooled = np.zeros((units, *sides.shape[1:]), np.int64)
    np.add.at(pooled, np.array([names[group] for group in groups]), sides)
    flat = pooled.reshape(units, -1).astype(np.float64)
    rng = np.random.default_rng(seed)
    found = []
    for _ in range(DRAWS // _CHUNK):
        drawn = rng.multinomial(units, np.full(units, 1 / units), size=_CHUNK).astype(np.float64)
        counts = np.rint(drawn @ flat).astype(np.int64).reshape(_CHUNK, *sides.shape[1:])
        tp, fp, fn, tn = np.moveaxis(counts, 2, 0)
        scores = mean_over_classes(elementwise(tp, fp, fn, tn, metric))
        found.append(scores[:, -1] - scores[:, 0] if sides.shape[1] == 2 else scores[:, 0])
    draws = np.concatenate(found)
    draws = draws[~np.isnan(draws)]
    value = [score(Counts(*side), metric) for side in pooled.sum(0)]
    whole = value[-1] - value[0] if len(value) == 2 else value[0]
    if not draws.size or np.isnan(whole):
        return None
    low, high = np.quantile(draws, [(1 - LEVEL) / 2, (1 + LEVEL) / 2])
    return Range(float(whole), float(low), float(high), units)
