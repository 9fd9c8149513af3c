"""How far a score may be chance: bootstrap over groups of items, of one score and of the difference of two."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from maskwright.scoring.measures import Measure

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


def spread(counts: ItemCounts, groups: Sequence[str], measure: Measure, seed: int = 0) -> Range | None:
    """Return the score of some items with its interval, or None for fewer than 8 groups.

    Percentile bootstrap (Efron and Tibshirani, An Introduction to the Bootstrap, 1993, chapter 13): groups are
    drawn with replacement, what their items add is summed, and the score is made of the sums, as the headline's is.

    Args:
        counts: int64 (items, 4, K).
        groups: of each item; items of one group are drawn together.
        measure: the score.
        seed: of the draws.
    """
    return _range(counts[:, None], groups, measure, seed)


def gap(before: ItemCounts, after: ItemCounts, groups: Sequence[str], measure: Measure, seed: int = 0) -> Range | None:
    """Return the score of `after` minus that of `before`, both drawn on the same items, with its interval."""
    return _range(np.stack([before, after], 1), groups, measure, seed)


def _range(sides: NDArray[np.int64], groups: Sequence[str], measure: Measure, seed: int) -> Range | None:
    names = {name: index for index, name in enumerate(sorted(set(groups)))}
    units = len(names)
    if units < LEAST_UNITS:
        return None
    lifted = measure.lift(sides).astype(np.float64)
    total = np.zeros((units, *lifted.shape[1:]))
    np.add.at(total, np.array([names[group] for group in groups]), lifted)
    flat = total.reshape(units, -1)
    rng = np.random.default_rng(seed)
    found = []
    for _ in range(DRAWS // _CHUNK):
        drawn = rng.multinomial(units, np.full(units, 1 / units), size=_CHUNK).astype(np.float64)
        scores = measure.mean((drawn @ flat).reshape(_CHUNK, *total.shape[1:]))
        found.append(scores[:, -1] - scores[:, 0] if sides.shape[1] == 2 else scores[:, 0])
    draws = np.concatenate(found)
    draws = draws[~np.isnan(draws)]
    value = [measure.score(side) for side in total.sum(0)]
    whole = value[-1] - value[0] if len(value) == 2 else value[0]
    if not draws.size or np.isnan(whole):
        return None
    low, high = np.quantile(draws, [(1 - LEVEL) / 2, (1 + LEVEL) / 2])
    return Range(float(whole), float(low), float(high), units)
