"""Windows on a raster, tile arithmetic, and the eight symmetries of the square with their inverses.

Coordinates, once and for all: row 0, column 0 is the centre of the top-left pixel; rows grow
downwards, columns to the right; a window is [row, row + height) x [col, col + width) in whole pixels.
Shapes are (height, width). Everything here is integer arithmetic.
"""

from __future__ import annotations

import math
from typing import NamedTuple, TypeVar

import numpy as np
from numpy.typing import NDArray

Shape = tuple[int, int]
T = TypeVar("T", bound=np.generic)


class Window(NamedTuple):
    """A rectangle of whole pixels. It may reach past the raster; readers pad there, with valid False."""

    row: int
    col: int
    height: int
    width: int

    @property
    def shape(self) -> Shape:
        """(height, width) in pixels."""
        return self.height, self.width

    @property
    def slices(self) -> tuple[slice, slice]:
        """Row and column slices; only for windows inside the raster."""
        return slice(self.row, self.row + self.height), slice(self.col, self.col + self.width)

    def clip(self, shape: Shape) -> Window:
        """Return the part inside a raster of `shape`; height or width 0 where there is none."""
        top, left = max(self.row, 0), max(self.col, 0)
        bottom, right = min(self.row + self.height, shape[0]), min(self.col + self.width, shape[1])
        return Window(top, left, max(bottom - top, 0), max(right - left, 0))


def whole(shape: Shape) -> Window:
    """Return the window that covers a raster of `shape`."""
    return Window(0, 0, *shape)


def starts(length: int, size: int, step: int) -> list[int]:
    """Return where windows of `size` begin so that they cover [0, length), the last one flush with the end.

    Args:
        length: pixels to cover, >= 1.
        size: window side in pixels, >= 1; if it is not below `length`, one window at 0 suffices.
        step: distance between neighbours, 1..size.
    """
    assert min(length, size, step) >= 1, (length, size, step)
    assert step <= size, (step, size)
    if size >= length:
        return [0]
    count = math.ceil((length - size) / step) + 1
    return [min(index * step, length - size) for index in range(count)]


def sliding(shape: Shape, size: Shape, overlap: float) -> list[Window]:
    """Return equal windows that cover a raster, row by row; they reach past it only where it is smaller.

    Args:
        shape: raster (height, width).
        size: window (height, width).
        overlap: share of a window that its neighbour covers again, 0 <= overlap < 1.
    """
    steps = [max(1, round(side * (1 - overlap))) for side in size]
    rows, cols = (starts(n, side, step) for n, side, step in zip(shape, size, steps, strict=True))
    return [Window(row, col, *size) for row in rows for col in cols]


def partition(shape: Shape, size: Shape) -> list[Window]:
    """Return windows of `size` that meet but never overlap; those at the end may reach past the raster."""
    return [Window(r, c, *size) for r in range(0, shape[0], size[0]) for c in range(0, shape[1], size[1])]


def padding_to_multiple(shape: Shape, multiple: int) -> tuple[int, int]:
    """Return the rows and columns to add below and right until both sides divide by `multiple`."""
    return -shape[0] % multiple, -shape[1] % multiple


class Symmetry(NamedTuple):
    """Swap rows and columns first, if `swap`; then reverse rows and/or columns."""

    swap: bool
    rows: bool
    cols: bool

    @property
    def inverse(self) -> Symmetry:
        """Return the symmetry that undoes this one exactly."""
        return Symmetry(True, self.cols, self.rows) if self.swap else self


SYMMETRY: dict[str, Symmetry] = {
    "identity": Symmetry(False, False, False),
    "hflip": Symmetry(False, False, True),
    "vflip": Symmetry(False, True, False),
    "rot180": Symmetry(False, True, True),
    "transpose": Symmetry(True, False, False),
    "rot90": Symmetry(True, True, False),
    "rot270": Symmetry(True, False, True),
    "antitranspose": Symmetry(True, True, True),
}
"""The eight symmetries by name; rot90 is counter-clockwise, as numpy.rot90."""
SYMMETRIES: tuple[str, ...] = tuple(SYMMETRY)


def apply_symmetry(array: NDArray[T], symmetry: Symmetry, axes: tuple[int, int] = (-2, -1)) -> NDArray[T]:
    """Apply a symmetry to two axes of an array; returns a view.

    Args:
        array: any array.
        symmetry: one of SYMMETRY's values, or an inverse.
        axes: the row axis and the column axis.
    """
    result = np.swapaxes(array, *axes) if symmetry.swap else array
    flips = [axis for axis, flip in zip(axes, (symmetry.rows, symmetry.cols), strict=True) if flip]
    return np.flip(result, tuple(flips)) if flips else result
