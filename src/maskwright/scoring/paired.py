"""Whether a change is more than chance: scores paired by fold and seed, intervals, and many tries at once.

A fold is the witness. Its seeds are averaged, which takes the luck of training away but adds no new items; the means
of the folds are compared by Student's t with the variance that Nadeau and Bengio gave for training sets that overlap
("Inference for the Generalization Error", Machine Learning 52, 2003, eq. 11): 1 / n + test items / training items
times the sample variance, where the plain paired t has 1 / n. For k folds the ratio is 1 / (k - 1).
Many changes are judged together by Holm's step-down rule (Scand. J. Statist. 6, 1979), which bounds the chance
that any of them is believed by chance, whatever they share: and they do share the unchanged recipe's trainings.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]


@dataclass(frozen=True)
class Paired:
    """Differences of one change, or of many: arrays of the shape that is left without folds and seeds."""

    mean: Floats
    low: Floats
    high: Floats
    p: Floats
    """Two-sided; 1 where nothing differs, nan for a single fold."""


def compare_paired(differences: NDArray[Any], ratio: float, confidence: float = 0.95) -> Paired:
    """Judge differences that are paired by fold and seed.

    Args:
        differences: changed minus unchanged, (..., folds, seeds).
        ratio: held-out items over training items of a fold, above 0.
        confidence: of the interval, 0..1.
    """
    from scipy.special import stdtr, stdtrit

    folds = np.asarray(differences, np.float64).mean(-1)
    number = folds.shape[-1]
    mean = folds.mean(-1)
    if number < 2:
        nothing = np.full(mean.shape, np.nan)
        return Paired(mean, nothing, nothing, nothing)
    error = np.sqrt(folds.var(-1, ddof=1) * (1 / number + ratio))
    half = float(stdtrit(number - 1, 0.5 + confidence / 2)) * error
    t = np.divide(np.abs(mean), error, out=np.full(mean.shape, np.inf), where=error > 0)
    p = np.where(mean == 0, 1.0, 2 * stdtr(number - 1, -t))
    return Paired(mean, mean - half, mean + half, np.asarray(p, np.float64))


def holm(p: Sequence[float] | Floats) -> Floats:
    """Return p-values adjusted for being looked at together, (..., n); nan stays and counts as a try.

    Args:
        p: (..., n) of changes that are judged together.
    """
    given = np.asarray(p, np.float64)
    order = np.argsort(np.where(np.isnan(given), 2.0, given), -1)
    ranked = np.take_along_axis(given, order, -1)
    number = given.shape[-1]
    steps = np.maximum.accumulate(np.nan_to_num(ranked, nan=1.0) * (number - np.arange(number)), -1)
    adjusted = np.empty_like(given)
    np.put_along_axis(adjusted, order, np.minimum(steps, 1.0), -1)
    return np.where(np.isnan(given), np.nan, adjusted)
