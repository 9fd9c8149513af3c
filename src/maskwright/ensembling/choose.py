"""The arithmetic of answers, all in whole numbers: temperature, thresholds, the likeliest class, priority.

Both ways to an answer go through here: blend.py for what is written, settle.py for what is counted.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache
from typing import Any

import numpy as np
from numpy.typing import NDArray

from maskwright.core.labels import TaskKind
from maskwright.ensembling.thresholds import Edges

UNIT = 65535
"""Probabilities are whole multiples of 1/65535 (8-bit ones of 257/65535)."""
STEPS = range(-8, 9)
"""Temperature steps, a quarter of an octave each: 2^(step / 4), from 1/4 to 4."""
FACTOR_ONE = 64
FACTORS = (16, 19, 23, 27, 32, 38, 45, 54, 64, 76, 91, 108, 128, 152, 181, 215, 256)
"""What a class may be multiplied with, over 64: 2^(-2) to 2^2 in quarters of an octave, as whole numbers."""


def temperature_of(step: int) -> float:
    """Return the temperature that a step stands for."""
    return float(2.0 ** (step / 4))


def warm(values: NDArray[np.uint16], step: int, kind: TaskKind) -> NDArray[np.uint16]:
    """Return probabilities of one member at another temperature: above 1 flatter, below 1 steeper.

    p becomes p^(1/T) over the sum of the same for all classes; where a plane stands alone the other class is
    1 - p. This is softmax or sigmoid of logits divided by T (Guo et al. 2017, On Calibration).

    Args:
        values: uint16 (K, ...), in units of 1/65535.
        step: the temperature, see temperature_of.
        kind: multiclass: planes are classes that exclude each other.
    """
    if not step:
        return values
    table = _table(step, kind == "multiclass")
    if kind != "multiclass":
        return table[values]
    from maskwright.ensembling import kernels

    made = np.empty(values.shape, np.uint16)
    flat = np.ascontiguousarray(values).reshape(len(values), -1)
    kernels.warm_classes(flat, table, made.reshape(len(values), -1))
    return made


@lru_cache(maxsize=40)
def _table(step: int, classes: bool) -> NDArray[np.uint16]:
    """Return p^(1/T) of every unit; not of classes: divided by p^(1/T) + (1 - p)^(1/T)."""
    chances = np.arange(UNIT + 1) / UNIT
    powers = chances ** (1 / temperature_of(step))
    made = np.rint(UNIT * (powers if classes else powers / (powers + powers[::-1]))).astype(np.uint16)
    made.flags.writeable = False
    return made


def above(units: NDArray[np.integer[Any]], scale: int, edges: Edges) -> NDArray[np.uint8]:
    """Return where units / scale >= threshold, in whole numbers, uint8 (K, ...) of 0/1.

    Args:
        units: (K, ...) probabilities times `scale`.
        scale: a multiple of 255.
        edges: K edges.
    """
    # p >= (2b - 1)/510  <=>  2 units >= (2b - 1) scale / 255  <=>  units >= ceil((2b - 1) (scale / 255) / 2)
    limits = np.array([-(-(2 * edge - 1) * (scale // 255) // 2) for edge in edges], units.dtype)
    return (units >= limits.reshape(-1, *[1] * (units.ndim - 1))).view(np.uint8)


def reached(chances: NDArray[np.float32], total: int, edges: Edges) -> NDArray[np.uint8]:
    """Return what `above` says of chances brought to the nearest whole unit, uint8 (K, ...) of 0/1, in one pass.

    Args:
        chances: (K, ...) probabilities.
        total: the sum of shares; a unit is 1/(65535 total).
        edges: K edges.
    """
    least = np.array([_least(edge, total) for edge in edges], np.float32)
    return (chances >= least.reshape(-1, *[1] * (chances.ndim - 1))).view(np.uint8)


@lru_cache(maxsize=256)
def _least(edge: int, total: int) -> np.float32:
    """Return the smallest float32 whose nearest whole unit reaches an edge."""

    def reaches(chance: np.float32) -> bool:
        units = np.rint(np.float64(chance) * (UNIT * total)).astype(np.int64)
        return bool(above(units.reshape(1, 1), UNIT * total, (edge,))[0, 0])

    chance = np.float32((2 * edge - 1) / 510)
    while not reaches(chance):
        chance = np.nextafter(chance, np.float32(2))
    while reaches(below := np.nextafter(chance, np.float32(-1))):
        chance = below
    return chance


def likeliest(
    units: NDArray[np.integer[Any]], factors: Sequence[int], priority: Sequence[int]
) -> tuple[NDArray[np.uint8], NDArray[Any]]:
    """Return the class with the highest unit times factor, uint8 (...), and these products.

    Args:
        units: (C, ...) blended probabilities in whole numbers.
        factors: one for each class; empty: all alike.
        priority: classes that win a tie, the first first; then the lowest id wins.
    """
    from maskwright.ensembling import kernels

    products: NDArray[Any] = units
    if len(factors):
        small = units.dtype == np.int32 and int(units.max(initial=0)) * max(factors) <= np.iinfo(np.int32).max
        kind = np.int32 if small else np.int64  # half the bytes, the same numbers
        scale: NDArray[np.integer[Any]] = np.array(factors, kind)
        products = units * scale.reshape(-1, *[1] * (units.ndim - 1))
    flat = np.ascontiguousarray(products, None if products.dtype == np.int32 else np.int64).reshape(len(units), -1)
    label = np.empty(flat.shape[1], np.uint8)
    kernels.largest(flat, np.array(ranked(priority, len(units)), np.int64), label)
    return label.reshape(units.shape[1:]), products


def ranked(priority: Sequence[int], classes: int) -> tuple[int, ...]:
    """Return all classes, those with priority first."""
    return (*priority, *(kind for kind in range(classes) if kind not in priority))


def exclusive(planes: NDArray[np.uint8], priority: Sequence[int]) -> NDArray[np.uint8]:
    """Let the planes with priority exclude each other: where several are set, only the first of them stays.

    Args:
        planes: uint8 (K, ...) of 0/1; changed.
        priority: planes, the strongest first; planes that are not named may lie over all others.
    """
    if not priority:
        return planes
    taken = planes[priority[0]].copy()
    for plane in priority[1:]:
        planes[plane] &= 1 - taken
        taken |= planes[plane]
    return planes
