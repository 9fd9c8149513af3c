"""A weighted sum of overlapping windows over a raster of any height, of which little more than their overlap is held.

Windows come row by row, from left to right, all of them. What no later window touches is given out at once: the
part of a window above the next row of windows and left of the next window. The rows that the next row of windows
touches again are carried. Sums are added in the order in which Accumulator adds them, so both give the same floats.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from maskwright.core.grid import Lattice, Window

Floats = NDArray[np.float32]


class Done(NamedTuple):
    """A rectangle that no later window touches."""

    window: Window
    """Where it lies in the raster; inside the window that was given last, and at its top left corner."""
    mean: Floats
    """float32 (K, h, w); 0 where no window was added."""


class RowBands:
    """The sum itself.

    Args:
        lattice: where windows lie.
        planes: K.
        weights: float32 (h, w) of a window, above 0.
    """

    def __init__(self, lattice: Lattice, planes: int, weights: Floats) -> None:
        self._lattice, self._weights = lattice, weights
        height, width = (min(side, have) for side, have in zip(lattice.size, lattice.shape, strict=True))
        self._sum = np.zeros((planes, height, width), np.float32)
        self._weight = np.zeros((height, width), np.float32)
        self._scratch = np.empty_like(self._sum)
        carried = lattice.carried
        self._carry = np.zeros((planes, carried, lattice.shape[1]), np.float32)
        self._carry_weight = np.zeros((carried, lattice.shape[1]), np.float32)
        self._right = 0
        """Columns of this row of windows that were taken up so far."""

    @property
    def held(self) -> int:
        """Bytes of all arrays, which do not depend on the height of the raster."""
        return sum(array.nbytes for array in (self._sum, self._scratch, self._weight, self._carry, self._carry_weight))

    def add(self, row: int, col: int, probabilities: Floats | None) -> Done:
        """Add the next window and return what is done with it.

        Args:
            row: which row of windows.
            col: which window in that row; they come in turn.
            probabilities: float32 (K, h, w) of the window's shape; None: it has nothing to add.
        """
        window = self._lattice.window(row, col).clip(self._lattice.shape)
        self._take_up(row, window)
        if probabilities is not None:
            part = self._weights[: window.height, : window.width]
            given = probabilities[:, : window.height, : window.width]
            self._sum += np.multiply(given, part, out=self._scratch)
            self._weight += part
        return self._give_out(row, col, window)

    def _take_up(self, row: int, window: Window) -> None:
        """Begin columns that no window of this row touched before with what the row above left."""
        first = self._right if window.col else 0
        fresh = slice(first - window.col, window.width)
        self._right = window.col + window.width
        self._sum[:, :, fresh], self._weight[:, fresh] = 0, 0
        rows = self._lattice.rows
        known = rows[row - 1] + self._lattice.size[0] - rows[row] if row else 0
        if known > 0:
            there = slice(first, self._right)
            self._sum[:, :known, fresh] = self._carry[:, :known, there]
            self._weight[:known, fresh] = self._carry_weight[:known, there]

    def _give_out(self, row: int, col: int, window: Window) -> Done:
        done = self._lattice.done(row, col)
        tall, wide = done.height, done.width
        weight = self._weight[:tall, :wide]
        least, most = weight.min(), weight.max()
        if least > 0:
            mean: Floats = self._sum[:, :tall, :wide] / weight
        else:
            mean = np.zeros((len(self._sum), tall, wide), np.float32)
        if least == 0 < most:
            np.divide(self._sum[:, :tall, :wide], weight, out=mean, where=weight > 0)
        kept = window.height - tall
        if kept:
            there = slice(window.col, window.col + wide)
            self._carry[:, :kept, there] = self._sum[:, tall:, :wide]
            self._carry_weight[:kept, there] = self._weight[tall:, :wide]
        left = window.width - wide
        if left:
            self._sum[:, :, :left] = self._sum[:, :, wide:].copy()
            self._weight[:, :left] = self._weight[:, wide:].copy()
        return Done(done, mean)
