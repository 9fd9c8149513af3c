"""Votes on probability maps of one item: sums against summed thresholds, means, and the rule of the odd member out.

Maps are whole numbers, a probability times a scale, as members keep them on disk (SEEDS 003.2: 10,000; 004.2: 255).
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from fractions import Fraction
from typing import Any

import numpy as np
from numpy.typing import NDArray

from maskwright.core.grid import Shape
from maskwright.ensembling.votes_rules import enough, whole

Map = NDArray[np.integer[Any]]
"""Whole numbers (H, W)."""
Mask = NDArray[np.uint8]
SURE, UNSURE = 0.5, 0.9
"""The odd member must be surer than the first somewhere, and the mean nowhere as sure as the second (SEEDS 004.7)."""


def soft(maps: Sequence[Map], thresholds: Sequence[float], scale: int) -> Mask:
    """Return where the sum of maps reaches the sum of the members' own thresholds, uint8 (H, W) of 0/1.

    Sums are of 64 bits: 16 overflow with seven members or more (SEEDS 003.7).

    Args:
        maps: one of each member.
        thresholds: one of each member, as probabilities.
        scale: what a probability of 1 is.
    """
    need = math.ceil(sum((Fraction(str(each)) for each in thresholds), Fraction(0)) * scale)
    return (_sum(maps, [1] * len(maps)) >= need).view(np.uint8)


def mean(maps: Sequence[Map], weights: Sequence[Fraction], threshold: float, scale: int) -> Mask:
    """Return where the weighted mean of probabilities is at least the threshold, in exact sums, uint8 (H, W) of 0/1."""
    shares = whole(weights)
    if sum(shares) * scale >= 1 << 62:
        shares = whole([Fraction(round(weight / sum(weights) * (1 << 40))) for weight in weights])
    return (_sum(maps, shares) >= enough(threshold, sum(shares) * scale)).view(np.uint8)


def hard(maps: Sequence[Map], weights: Sequence[int], need: int) -> Mask:
    """Return where the weights of members that are not 0 there reach `need`, uint8 (H, W) of 0/1."""
    return (_sum([(each != 0).view(np.uint8) for each in maps], weights) >= need).view(np.uint8)


def low_variance(maps: Sequence[Map], threshold: float, scale: int, resize: Shape | None = None) -> Mask:
    """Return where the mean reaches the threshold after the member that varies least may have been left out.

    The rule of SEEDS 004.7: a member's deviation is that of its pixels above 0. If the one with the least is above 0.5
    somewhere, while the mean of all is below 0.9 everywhere, the mean is taken of the others. A member without pixels
    above 0 has no deviation and is never that one.

    Args:
        maps: one of each member, all of one shape.
        threshold: compared with the mean.
        scale: what a probability of 1 is.
        resize: (H, W) that maps are brought to first, bilinear; the mean is then brought back. None: as they are.

    Returns:
        uint8 (H, W) of 0/1.
    """
    import cv2

    shape = maps[0].shape
    chances = [(each / scale).astype(np.float32) for each in maps]
    if resize is not None:
        chances = [cv2.resize(each, resize[::-1], interpolation=cv2.INTER_LINEAR) for each in chances]
    stack = np.stack(chances)
    blended = stack.mean(axis=0, dtype=np.float64)
    spread = [float(each[each > 0].std(dtype=np.float64)) if (each > 0).any() else math.inf for each in stack]
    least = int(np.argmin(spread))
    if len(maps) > 1 and math.isfinite(spread[least]) and stack[least].max() > SURE and blended.max() < UNSURE:
        blended = np.delete(stack, least, axis=0).mean(axis=0, dtype=np.float64)
    if resize is not None:
        blended = cv2.resize(blended, shape[::-1], interpolation=cv2.INTER_LINEAR)
    answer: Mask = (blended >= threshold).view(np.uint8)
    return answer


def _sum(maps: Sequence[Map], weights: Sequence[int]) -> NDArray[np.int64]:
    total = np.zeros(maps[0].shape, np.int64)
    for each, weight in zip(maps, weights, strict=True):
        total += each.astype(np.int64) * weight
    return total
