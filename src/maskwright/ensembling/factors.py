"""Weigh classes before the likeliest is taken: the multiclass twin of thresholds, searched class by class."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from maskwright.core.labels import Task
from maskwright.core.stop import Stop
from maskwright.ensembling.choose import FACTOR_ONE, FACTORS, ranked
from maskwright.ensembling.honest import Plan
from maskwright.ensembling.oof import OutOfFold
from maskwright.ensembling.sample import Sample, Samples, joined
from maskwright.ensembling.select import Path
from maskwright.ensembling.settle import Setting, heated
from maskwright.scoring.measures import Measure

SWEEPS = 4
"""Times that all classes are gone through, at most; two were enough on simulated and real sets."""
Part = tuple[NDArray[np.int32], NDArray[np.uint8]]
"""Blended probabilities in whole numbers (C, N), and the truth (N,)."""


def weigh(oof: OutOfFold, samples: Samples, plan: Plan, measure: Measure, stop: Stop | None = None) -> Plan | None:
    """Give the classes of a plan factors, each fold's chosen on the other folds' sampled pixels; None if all stay 1.

    Args:
        oof: gives task and folds.
        samples: some pixels of each fold.
        plan: shares so far.
        measure: the score that is made as large as possible.
        stop: looked at between folds.
    """
    parts = joined(samples) if measure.pooled else samples

    def weighed(path: Path, setting: Setting) -> Setting:
        if stop is not None:
            stop.check("nothing is decided yet")
        chosen = [part for fold, drawn in parts.items() if fold != path for part in _blended(drawn, setting, oof.task)]
        found = search(chosen, measure, oof.task, setting.priority)
        return setting if set(found) == {FACTOR_ONE} else setting._replace(factors=found)

    nested = {fold: weighed(fold, setting) for fold, setting in plan.nested.items()}
    made = Plan(nested, weighed(None, plan.final))
    return None if made == plan else made


def in_words(setting: Setting, names: Sequence[str]) -> str:
    """Say which class is multiplied with what."""
    factors = setting.factors or (FACTOR_ONE,) * len(names)
    told = [f"{name} x{factor / FACTOR_ONE:.2f}" for name, factor in zip(names, factors, strict=True)]
    return ", ".join(each for each, factor in zip(told, factors, strict=True) if factor != FACTOR_ONE) or "nothing"


def search(parts: Sequence[Part], measure: Measure, task: Task, priority: Sequence[int] = ()) -> tuple[int, ...]:
    """Return the factors with the highest score, class after class until nothing helps; the first class keeps 1.

    Scores depend on ratios of factors only. For one class all factors are looked at in one pass: each pixel has one
    from which on the class wins it.

    Args:
        parts: pixels; of one image each, if scores are means over images.
        measure: the score.
        task: multiclass.
        priority: classes that win ties.
    """
    from maskwright.ensembling import kernels

    classes = len(task.classes)
    factors = np.full(classes, FACTOR_ONE, np.int64)
    order = np.array(ranked(priority, classes), np.int64)
    steps = np.array(FACTORS, np.int64)
    for _ in range(SWEEPS):
        before = factors.copy()
        for kind in range(1, classes):
            total: NDArray[np.float64] | None = None
            for units, label in parts:
                wins = np.zeros((classes, classes, len(FACTORS) + 1), np.int64)
                kernels.count_wins(units, label, factors, order, kind, steps, wins)
                sums = measure.lift(_counts_of(wins, kind)).astype(np.float64)
                total = sums if total is None else total + sums
            assert total is not None
            scores = np.nan_to_num(measure.mean(total))
            top = int(scores.argmax())
            if scores[top] > scores[FACTORS.index(int(factors[kind]))] + 1e-12:
                factors[kind] = FACTORS[top]
        if (before == factors).all():
            break
    return tuple(int(factor) for factor in factors)


def _counts_of(wins: NDArray[np.int64], kind: int) -> NDArray[np.int64]:
    """Return tp, fp, fn, tn of every class at each factor of one class, int64 (F, 4, C).

    Args:
        wins: pixels by truth, by the best of the other classes, and by the first factor at which `kind` wins.
        kind: the class whose factor varies.
    """
    taken = wins[:, :, :-1].cumsum(2)
    left = wins.sum(2, keepdims=True) - taken  # truth, rival, factor: the rival is the answer
    matrix = left.copy()
    matrix[:, kind] = taken.sum(1)
    hits = np.diagonal(matrix)  # factor, class
    said, true = matrix.sum(0).T, matrix.sum(1).T
    rest = matrix.sum((0, 1))[:, None] - said - true + hits
    return np.stack([hits, said - hits, true - hits, rest], 1)


def _blended(samples: Sequence[Sample], setting: Setting, task: Task) -> list[Part]:
    """Return the blended probabilities of sampled pixels."""
    from maskwright.ensembling import kernels

    found: list[Part] = []
    for sample in samples:
        values, _ = heated(sample.values, sample.scale, setting, task)
        units = np.empty(values.shape[1:], np.int32)
        kernels.blend_members(
            np.ascontiguousarray(values).reshape(len(values), -1),
            np.array(setting.shares, np.int64),
            units.reshape(-1),
        )
        found.append((units, sample.label))
    return found
