"""One score of many images as sums that add up over them: pooled over pixels, or the mean over images."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from maskwright.scoring.counts import Counts
from maskwright.scoring.scores import Empty, per_class

Per = Literal["pooled", "image"]
Sums = NDArray[Any]
"""What a measure adds up, (..., S, K): pooled: tp, fp, fn, tn; image: the sum of scores and how many there are."""


@dataclass(frozen=True)
class Measure:
    """A score of each class, and their mean.

    Args:
        metric: a name of scoring/scores.py.
        per: pooled: the score of all images' pixels together; image: the score of each image, and the mean of
            these class by class.
        empty: what a class scores that neither truth nor answer holds: in all pixels, or in one image.
        planes: the classes that count in the mean, by place; none: all.
    """

    metric: str = "iou"
    per: Per = "pooled"
    empty: Empty = "skip"
    planes: tuple[int, ...] = ()

    @property
    def pooled(self) -> bool:
        """Whether pixels are pooled: only then are its sums counts."""
        return self.per == "pooled"

    @property
    def name(self) -> str:
        """Say in words what it is, as it stands beside numbers."""
        parts = [self.metric]
        if not self.pooled:
            parts.append("mean over images")
        if self.empty != "skip":
            parts.append(f"absent classes count {1 if self.empty == 'one' else 0}")
        if self.planes:
            parts.append("some classes only")
        return parts[0] if len(parts) == 1 else f"{parts[0]} ({', '.join(parts[1:])})"

    def lift(self, counts: NDArray[Any]) -> Sums:
        """Turn the counts of one image (or of many, each on its own) into what adds up over images.

        Args:
            counts: tp, fp, fn, tn of K classes, int (..., 4, K).

        Returns:
            (..., S, K); whole numbers where pixels are pooled.
        """
        if self.pooled:
            return counts
        tp, fp, fn, tn = np.moveaxis(counts, -2, 0)
        scores = elementwise(tp, fp, fn, tn, self.metric, self.empty)
        there = ~np.isnan(scores)
        return np.stack([np.where(there, scores, 0.0), there.astype(np.float64)], -2)

    def classes(self, sums: Sums) -> NDArray[np.float64]:
        """Return the score of each class from sums, (..., K), all K of them; nan where there is none."""
        if self.pooled:
            tp, fp, fn, tn = np.moveaxis(sums, -2, 0)
            return elementwise(tp, fp, fn, tn, self.metric, self.empty)
        total, number = np.moveaxis(sums, -2, 0)
        scores = np.full(total.shape, np.nan)
        np.divide(total, number, out=scores, where=number > 0)
        return scores

    def mean(self, sums: Sums) -> NDArray[np.float64]:
        """Return the mean over the classes that count, (...); nan where none has a score."""
        return self.over_classes(self.classes(sums))

    def over_classes(self, scores: NDArray[np.float64]) -> NDArray[np.float64]:
        """Average the last axis over the classes that count and are not nan."""
        if self.planes:
            scores = scores[..., list(self.planes)]
        there = ~np.isnan(scores)
        count = there.sum(-1)
        total = np.where(there, scores, 0.0).sum(-1)
        return np.where(count > 0, total / np.maximum(count, 1), np.nan)

    def score(self, sums: Sums) -> float:
        """Return the mean of one set of sums, (S, K), as a number or nan."""
        return float(self.mean(sums))

    def item(self, counts: NDArray[Any]) -> float:
        """Return the score of one image alone from its counts (4, K)."""
        return self.score(self.lift(counts))


def elementwise(
    tp: NDArray[Any], fp: NDArray[Any], fn: NDArray[Any], tn: NDArray[Any], metric: str, empty: Empty = "skip"
) -> NDArray[np.float64]:
    """Score each element of count arrays of any equal shape.

    Args:
        tp: found.
        fp: wrongly found.
        fn: missed.
        tn: rightly left out.
        metric: a name of scoring/scores.py.
        empty: what an element scores that has nothing in truth or answer.
    """
    scores = per_class(Counts(tp, fp, fn, tn), metric, empty)
    return np.asarray(scores, np.float64).reshape(np.shape(tp))
