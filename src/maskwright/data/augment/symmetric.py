"""Flips and turns by right angles, exact to the pixel."""

from __future__ import annotations

from collections.abc import Sequence

from maskwright.core.grid import SYMMETRIES, SYMMETRY, Shape
from maskwright.data.augment.base import Probability, Rng, Step
from maskwright.data.windows import Layers, turn


class HFlip(Step):
    """Swap left and right."""

    def apply(self, layers: Layers, rng: Rng) -> Layers:
        """Transform one sample."""
        return turn(layers, "hflip")


class VFlip(Step):
    """Swap top and bottom."""

    def apply(self, layers: Layers, rng: Rng) -> Layers:
        """Transform one sample."""
        return turn(layers, "vflip")


class Transpose(Step):
    """Swap rows and columns; windows that are not square are left alone."""

    def apply(self, layers: Layers, rng: Rng) -> Layers:
        """Transform one sample."""
        return turn(layers, "transpose" if layers.shape[0] == layers.shape[1] else "identity")


class Rot90(Step):
    """Turn by 0, 90, 180 or 270 degrees, equally often; by 0 or 180 where the window is not square."""

    p: Probability = 1.0

    def apply(self, layers: Layers, rng: Rng) -> Layers:
        """Transform one sample."""
        return turn(layers, _draw(("identity", "rot90", "rot180", "rot270"), layers.shape, rng))


class D4(Step):
    """Apply one of the eight symmetries of the square, equally often; of the four that fit if it is no square."""

    p: Probability = 1.0

    def apply(self, layers: Layers, rng: Rng) -> Layers:
        """Transform one sample."""
        return turn(layers, _draw(SYMMETRIES, layers.shape, rng))


def _draw(names: Sequence[str], shape: Shape, rng: Rng) -> str:
    fits = [name for name in names if shape[0] == shape[1] or not SYMMETRY[name].swap]
    return fits[int(rng.integers(len(fits)))]
