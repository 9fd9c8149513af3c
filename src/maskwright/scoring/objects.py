"""Scores of objects: which predicted ones are which true ones, and the F score of these pairs."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray


@dataclass(frozen=True)
class ObjectCounts:
    """Predicted and true objects, and how many of them are pairs; they add up over scenes."""

    pairs: int = 0
    predicted: int = 0
    true: int = 0

    def __add__(self, other: ObjectCounts) -> ObjectCounts:
        """Add the objects of another scene."""
        return ObjectCounts(self.pairs + other.pairs, self.predicted + other.predicted, self.true + other.true)

    @property
    def precision(self) -> float:
        """Share of predicted objects that are true ones; nan without any."""
        return self.pairs / self.predicted if self.predicted else float("nan")

    @property
    def recall(self) -> float:
        """Share of true objects that were found; nan without any."""
        return self.pairs / self.true if self.true else float("nan")

    @property
    def f1(self) -> float:
        """Twice the pairs over predicted and true objects together; nan where there are neither."""
        total = self.predicted + self.true
        return 2 * self.pairs / total if total else float("nan")


def match(
    overlaps: Sequence[tuple[int, int, float]], confidence: NDArray[np.float64], true: int, least: float = 0.5
) -> ObjectCounts:
    """Pair predicted with true objects: the surest first, each with the free true object that it overlaps most.

    This is SpaceNet's rule for building footprints (Van Etten et al. 2018, SpaceNet, section 4.1): a pair has an IoU of
    at least 0.5, and every true object is found once.

    Args:
        overlaps: predicted object, true object, their IoU; pairs that are not named do not meet.
        confidence: (N,) of each predicted object.
        true: number of true objects.
        least: IoU of a pair.

    Returns:
        counts of pairs, predicted and true objects.
    """
    partners: dict[int, list[tuple[float, int]]] = {}
    for one, other, overlap in overlaps:
        if overlap >= least:
            partners.setdefault(one, []).append((-overlap, other))
    taken: set[int] = set()
    for one in sorted(partners, key=lambda place: (-confidence[place], place)):
        free = [(cost, other) for cost, other in partners[one] if other not in taken]
        if free:
            taken.add(min(free)[1])
    return ObjectCounts(len(taken), len(confidence), true)
