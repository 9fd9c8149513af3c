"""Pad by mirror, wrap or a constant, then crop: the picture moves, and something else fills the gap."""

from __future__ import annotations

from typing import Literal

import numpy as np
from numpy.typing import NDArray
from pydantic import Field

from maskwright.data.augment.base import Probability, Rng, Step, band_stats, like
from maskwright.data.windows import Layers, by_bands

Mode = Literal["mirror", "wrap", "constant"]


class PadCrop(Step):
    """Pad each side by up to `share` of it and crop the size back: the picture moves by as much.

    A padding of 2 times and a random crop, as in seed 002, is share 0.5.
    """

    share: float = Field(default=0.5, gt=0, lt=1)
    modes: tuple[Mode, ...] = Field(default=("mirror",), min_length=1)
    """What fills the gap, one of these each time: the picture mirrored, the picture wrapped around, its mean."""
    labels: Literal["ignore", "mirror"] = "ignore"
    """ignore: what was filled in does not count; mirror: it has the label of the pixels it was made from."""
    p: Probability = 1.0

    def apply(self, layers: Layers, rng: Rng) -> Layers:
        """Transform one sample."""
        mode = self.modes[int(rng.integers(len(self.modes)))]
        moves = [round(side * rng.uniform(-self.share, self.share)) for side in layers.shape]
        lines = [_line(side, move, mode) for side, move in zip(layers.shape, moves, strict=True)]
        rows, cols = lines[0][0], lines[1][0]
        inside = lines[0][1][:, None] & lines[1][1][None]
        image = by_bands(lambda pixels: _taken(pixels, rows, cols), layers.image)
        if mode == "constant":
            image = image.copy()
            image[~inside] = like(band_stats(layers.image)[0], layers.image)
        label, valid = layers.label[..., rows[:, None], cols], layers.valid[rows[:, None], cols]
        if self.labels == "ignore" or mode == "constant":
            valid &= inside
            label *= valid
        return Layers(image, label, valid)


def _taken(pixels: NDArray[np.generic], rows: NDArray[np.int64], cols: NDArray[np.int64]) -> NDArray[np.generic]:
    return np.take(np.take(pixels, rows, axis=0), cols, axis=1)


def _line(side: int, move: int, mode: Mode) -> tuple[NDArray[np.int64], NDArray[np.bool_]]:
    """Return where each pixel of a moved line comes from, and whether that is the line itself."""
    place = np.arange(side) - move
    inside = (place >= 0) & (place < side)
    if mode == "wrap":
        return place % side, inside
    lap = max(2 * side - 2, 1)
    place = np.abs(place) % lap
    return np.where(place < side, place, lap - place), inside
