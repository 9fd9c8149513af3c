"""How windows are weighted at their seams and summed into one raster, whole or band by band.

Windows come from core.grid.sliding. Weights are above zero everywhere, so the weighted sum can be
divided by the sum of weights at every pixel that any window covers.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping

import numpy as np
from numpy.typing import NDArray

from maskwright.core.errors import unknown
from maskwright.core.grid import Shape, Window

Floats = NDArray[np.float32]


def seam_weights(kind: str, shape: Shape) -> Floats:
    """Return how much each pixel of a window counts, float32 (h, w), all above 0, at most 1.

    Args:
        kind: a name of SEAMS.
        shape: window (height, width) in pixels, each 1..65536.

    Raises:
        InputError: unknown kind.
    """
    if kind not in SEAMS:
        raise unknown("seam", kind, SEAMS, "predict.seam")
    rows, cols = (SEAMS[kind](side) for side in shape)
    weights: Floats = np.outer(rows, cols).astype(np.float32)
    assert weights.min() > 0, (kind, shape)
    return weights


class Accumulator:
    """A weighted sum of overlapping windows over a raster, of which only `band` rows are held.

    Args:
        shape: raster (height, width) in pixels.
        planes: K.
        band: rows held at once; None: all. A window's height is enough if windows come by rising row
            and `finish` is called with each new row first.
    """

    def __init__(self, shape: Shape, planes: int, band: int | None = None) -> None:
        self.shape, self.top = shape, 0
        rows = min(shape[0], band or shape[0])
        self._sum = np.zeros((planes, rows, shape[1]), np.float32)
        self._weight = np.zeros((rows, shape[1]), np.float32)

    def add(self, window: Window, probabilities: Floats, weights: Floats) -> None:
        """Add one window; what reaches past the raster is left out.

        Args:
            window: where it lies; its top left corner is inside the raster and not above finished rows.
            probabilities: float32 (K, h, w) of the window's shape.
            weights: float32 (h, w), above 0.
        """
        inside = window.clip(self.shape)
        assert (inside.row, inside.col) == (window.row, window.col), (window, self.shape)
        assert self.top <= inside.row <= self.top + self._sum.shape[1] - inside.height, (window, self.top)
        rows, cols = inside._replace(row=inside.row - self.top).slices
        part = weights[: inside.height, : inside.width]
        self._sum[:, rows, cols] += probabilities[:, : inside.height, : inside.width] * part
        self._weight[rows, cols] += part

    def finish(self, row: int) -> Floats:
        """Return the rows above `row` that were not returned before, and let go of them.

        Returns:
            float32 (K, rows, W), the weighted mean; possibly 0 rows.
        """
        count = row - self.top
        assert 0 <= count <= self._sum.shape[1], (row, self.top)
        weight = self._weight[:count]
        assert (weight > 0).all(), f"no window covered some pixels of rows {self.top} to {row}"
        done: Floats = self._sum[:, :count] / weight
        kept = self._sum.shape[1] - count
        self._sum[:, :kept] = self._sum[:, count:].copy()
        self._weight[:kept] = self._weight[count:].copy()
        self._sum[:, kept:], self._weight[kept:] = 0, 0
        self.top = row
        return done

    def result(self) -> Floats:
        """Return all rows that are left, float32 (K, H, W) if `finish` was never called."""
        return self.finish(self.shape[0])


def _constant(side: int) -> NDArray[np.float64]:
    return np.ones(side)


def _hann(side: int) -> NDArray[np.float64]:
    """Sample the Hann window at pixel centres, which never touches its zeros."""
    wave: NDArray[np.float64] = np.sin(np.pi * (np.arange(side) + 0.5) / side) ** 2
    return wave


def _gaussian(side: int) -> NDArray[np.float64]:
    """Sample a bell with a sigma of side / 8 (Isensee et al., nnU-Net, 2021, supplementary note 2)."""
    offset = (np.arange(side) + 0.5 - side / 2) / (side / 8)
    bell: NDArray[np.float64] = np.exp(-0.5 * offset**2)
    return bell


SEAMS: Mapping[str, Callable[[int], NDArray[np.float64]]] = {
    "constant": _constant,
    "gaussian": _gaussian,
    "hann": _hann,
}
"""Weight along one side of a window, by the recipe's name."""
