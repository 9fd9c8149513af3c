"""Scores made of counts: IoU, Dice, F-beta, precision, recall, accuracy, and how a mean over classes is taken.

Every score here is a ratio of sums of tp, fp, fn and tn. Counts that were added up before give pooled
scores (each pixel weighs the same); `mean_over_items` takes the score of each item first (each image
weighs the same). Names differ between fields: IoU is Jaccard, Dice is F1, recall is sensitivity and,
averaged over classes, what segmentation papers call mean accuracy.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Sequence
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from maskwright.core.errors import unknown
from maskwright.scoring.counts import FIELDS, Counts

Floats = NDArray[np.float64]
Ratio = Callable[[Counts], tuple[NDArray[Any], NDArray[Any]]]
Empty = Literal["skip", "one", "zero"]
"""What a class scores that neither truth nor prediction holds: it is left out of means, 1, or 0."""


def per_class(counts: Counts, metric: str, empty: Empty = "skip") -> Floats:
    """Return the score of each class.

    Args:
        counts: of K classes.
        metric: a name from METRICS, or f and any beta, e.g. f1.5.
        empty: what 0/0 means for a class that neither truth nor prediction holds. A class that occurs
            in only one of them scores 0 where its ratio is 0/0, e.g. precision without a prediction.

    Returns:
        float64 (K,) in [0, 1]; nan for a class left out.

    Raises:
        InputError: metric is not in METRICS; lists near names.
    """
    above, below = ratio(metric)(counts)
    present = (counts.tp + counts.fp + counts.fn) > 0
    values = np.where(present, 0.0, _EMPTY[empty])
    return np.divide(above, below, out=values, where=below > 0)


def score(counts: Counts, metric: str, empty: Empty = "skip") -> float:
    """Return the mean of a score over classes, in [0, 1]; nan if every class is left out."""
    return nan_mean(per_class(counts, metric, empty))


def nan_mean(values: Floats) -> float:
    """Return the mean of what is not nan; nan where nothing is left."""
    kept = values[~np.isnan(values)]
    return float(kept.mean()) if kept.size else float("nan")


def mean_over_items(items: Iterable[Counts], metric: str, empty: Empty = "one") -> float:
    """Return the mean over items of each item's score, as many competitions do; nan without any score.

    Args:
        items: counts of each item.
        metric: a name from METRICS.
        empty: as in per_class; `one`: an item rightly left empty is perfect.
    """
    return nan_mean(np.array([score(counts, metric, empty) for counts in items], np.float64))


def pooled(counts: Counts, metric: str, empty: Empty = "skip") -> float:
    """Return the score of all classes taken together as one (micro average), in [0, 1] or nan."""
    together = Counts(*(getattr(counts, field).sum(keepdims=True) for field in FIELDS))
    return float(per_class(together, metric, empty)[0])


def pixel_accuracy(counts: Counts) -> float:
    """Return the share of rightly labelled pixels; nan without pixels.

    One class: right means found or rightly left out. Several: each pixel is taken to have one class
    (multiclass), and right means that class was found.
    """
    pixels = int(counts.pixels.max(initial=0))
    right = counts.tp.sum() + (counts.tn.sum() if counts.classes == 1 else 0)
    return float(right / pixels) if pixels else float("nan")


def summary(counts: Counts, names: Sequence[str], empty: Empty = "skip", metrics: Sequence[str] = ()) -> dict[str, Any]:
    """Return scores and counts as plain data for JSON; a score that does not exist is None.

    Args:
        counts: of K classes.
        names: K class names, distinct.
        empty: what a class scores that neither truth nor prediction holds.
        metrics: names besides those in METRICS.

    Returns:
        pixels; mean, metric -> mean over classes; classes, name -> all metrics and tp, fp, fn, tn.
    """
    scores = {metric: per_class(counts, metric, empty) for metric in dict.fromkeys((*METRICS, *metrics))}
    numbers = counts.to_plain()
    classes = {
        name: {
            **{metric: _plain(values[index]) for metric, values in scores.items()},
            **{field: values[index] for field, values in numbers.items()},
        }
        for index, name in enumerate(names)
    }
    assert len(classes) == counts.classes, (names, counts.classes)
    return {
        "pixels": int(counts.pixels.max(initial=0)),
        "mean": {metric: _plain(nan_mean(values)) for metric, values in scores.items()},
        "classes": classes,
    }


def _plain(value: float) -> float | None:
    return None if np.isnan(value) else float(value)


def f_name(beta: float) -> str:
    """Return the name of the F score of a beta: dice for 1, else f and the number."""
    return "dice" if beta == 1 else f"f{beta:g}"


def ratio(metric: str) -> Ratio:
    """Return the function from counts to what stands above and below the line of a score.

    Args:
        metric: a name from METRICS, or f and any beta above 0.

    Raises:
        InputError: it is neither; lists near names.
    """
    if metric in METRICS:
        return METRICS[metric]
    found = re.fullmatch(r"f(\d+(?:\.\d+)?)", metric)
    if found is None or not float(found[1]):
        raise unknown("metric", metric, METRICS)
    return _f_beta(float(found[1]))


def _f_beta(beta: float) -> Ratio:
    """Return the F score that holds recall beta times as important as precision (van Rijsbergen 1979)."""
    weight = beta * beta

    def sums(counts: Counts) -> tuple[NDArray[Any], NDArray[Any]]:
        above = (1 + weight) * counts.tp
        return above, above + weight * counts.fn + counts.fp

    return sums


def _iou(counts: Counts) -> tuple[NDArray[Any], NDArray[Any]]:
    return counts.tp, (counts.tp + counts.fp + counts.fn)


def _precision(counts: Counts) -> tuple[NDArray[Any], NDArray[Any]]:
    return counts.tp, counts.predicted


def _recall(counts: Counts) -> tuple[NDArray[Any], NDArray[Any]]:
    return counts.tp, counts.truth


def _accuracy(counts: Counts) -> tuple[NDArray[Any], NDArray[Any]]:
    return (counts.tp + counts.tn), counts.pixels


METRICS: dict[str, Ratio] = {
    "iou": _iou,
    "dice": _f_beta(1.0),
    "precision": _precision,
    "recall": _recall,
    "accuracy": _accuracy,
    "f0.5": _f_beta(0.5),
    "f2": _f_beta(2.0),
}
"""Scores by name, as sums above and below the line."""

_EMPTY: dict[Empty, float] = {"skip": float("nan"), "one": 1.0, "zero": 0.0}
