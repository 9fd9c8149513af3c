"""Windows on a raster, tile arithmetic, rasters on the ground, and the eight symmetries with their inverses.

Coordinates, once and for all: row 0, column 0 is the centre of the top-left pixel; rows grow
downwards, columns to the right; a window is [row, row + height) x [col, col + width) in whole pixels.
Shapes are (height, width). Windows and symmetries are integer arithmetic. A Grid alone knows places
between pixels: (0.0, 0.0) is the outer corner of the top-left pixel there, as in every GIS.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import NamedTuple, TypeVar

import numpy as np
from numpy.typing import NDArray

Shape = tuple[int, int]
T = TypeVar("T", bound=np.generic)
IDENTITY = (1.0, 0.0, 0.0, 0.0, 1.0, 0.0)
"""The transform of a picture without a place: pixels."""
Affine = tuple[float, float, float, float, float, float]
"""(a, b, c, d, e, f) with x = a col + b row + c and y = d col + e row + f, as rasterio writes it."""
Points = NDArray[np.float64]
"""(N, 2)."""


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


@dataclass(frozen=True)
class Lattice:
    """Equal windows that cover a raster, as rows and columns of where they begin."""

    shape: Shape
    """Of the raster."""
    size: Shape
    """Of a window; it reaches past the raster only where that is smaller."""
    rows: tuple[int, ...]
    cols: tuple[int, ...]

    @classmethod
    def over(cls, shape: Shape, size: Shape, overlap: float) -> Lattice:
        """Cover a raster.

        Args:
            shape: raster (height, width).
            size: window (height, width).
            overlap: share of a window that its neighbour covers again, 0 <= overlap < 1.
        """
        steps = [max(1, round(side * (1 - overlap))) for side in size]
        rows, cols = (starts(n, side, step) for n, side, step in zip(shape, size, steps, strict=True))
        return cls(shape, size, tuple(rows), tuple(cols))

    def window(self, row: int, col: int) -> Window:
        """Return one window."""
        return Window(self.rows[row], self.cols[col], *self.size)

    def done(self, row: int, col: int) -> Window:
        """Return the part of a window that no later one touches, going row by row; these parts tile the raster."""
        (top, bottom), (left, right) = (
            (begin[place], begin[place + 1] if place + 1 < len(begin) else end)
            for begin, place, end in zip((self.rows, self.cols), (row, col), self.shape, strict=True)
        )
        return Window(top, left, bottom - top, right - left)

    @property
    def carried(self) -> int:
        """Pixel rows at most that a row of windows shares with the next one."""
        gaps = [below - above for above, below in zip(self.rows, self.rows[1:], strict=False)]
        return self.size[0] - min(gaps) if gaps else 0


def sliding(shape: Shape, size: Shape, overlap: float) -> list[Window]:
    """Return equal windows that cover a raster, row by row; they reach past it only where it is smaller.

    Args:
        shape: raster (height, width).
        size: window (height, width).
        overlap: share of a window that its neighbour covers again, 0 <= overlap < 1.
    """
    lattice = Lattice.over(shape, size, overlap)
    return [Window(row, col, *size) for row in lattice.rows for col in lattice.cols]


def partition(shape: Shape, size: Shape) -> list[Window]:
    """Return windows of `size` that meet but never overlap; those at the end may reach past the raster."""
    return [Window(r, c, *size) for r in range(0, shape[0], size[0]) for c in range(0, shape[1], size[1])]


def even(shape: Shape, size: Shape) -> list[Window]:
    """Return windows that cover every pixel of a raster once, row by row, their sides as near to `size` as can be.

    A raster of 1100 rows and a size of 512 gives two windows of 550: nothing overlaps, and no sliver is left.
    """
    cuts = []
    for length, side in zip(shape, size, strict=True):
        count = max(1, (2 * length + side) // (2 * side))
        cuts.append([length * place // count for place in range(count + 1)])
    return [
        Window(top, left, bottom - top, right - left)
        for top, bottom in zip(cuts[0], cuts[0][1:], strict=False)
        for left, right in zip(cuts[1], cuts[1][1:], strict=False)
    ]


def padding_to_multiple(shape: Shape, multiple: int) -> tuple[int, int]:
    """Return the rows and columns to add below and right until both sides divide by `multiple`."""
    return -shape[0] % multiple, -shape[1] % multiple


@dataclass(frozen=True)
class Grid:
    """A raster on the ground: a coordinate system by name, where its pixels lie in it, and how many there are."""

    crs: str
    """EPSG:32645, or well-known text; empty: not known."""
    affine: Affine
    """From (column, row), counted from the outer corner of the first pixel, to (x, y); any turn, shear and mirror."""
    shape: Shape

    def __post_init__(self) -> None:
        a, b, _, d, e, _ = self.affine
        assert all(math.isfinite(value) for value in self.affine), self.affine
        assert a * e != b * d, f"the transform {self.affine} has no inverse"

    def to_ground(self, pixels: Points) -> Points:
        """Return (x, y) of places in the raster.

        Args:
            pixels: (N, 2) column and row.
        """
        a, b, c, d, e, f = self.affine
        col, row = pixels[:, 0], pixels[:, 1]
        return np.stack([a * col + b * row + c, d * col + e * row + f], axis=1)

    def to_pixels(self, ground: Points) -> Points:
        """Return (column, row) of places on the ground; the inverse of to_ground.

        Args:
            ground: (N, 2) x and y.
        """
        a, b, c, d, e, f = self.affine
        area = a * e - b * d
        x, y = ground[:, 0] - c, ground[:, 1] - f
        return np.stack([(e * x - b * y) / area, (a * y - d * x) / area], axis=1)

    @classmethod
    def nowhere(cls, shape: Shape) -> Grid:
        """Return the grid of a picture without a place: pixels, and no coordinate system."""
        return cls("", IDENTITY, shape)

    def window(self, window: Window) -> Grid:
        """Return the grid of a window of this one."""
        a, b, c, d, e, f = self.affine
        row, col = window.row, window.col
        return Grid(self.crs, (a, b, a * col + b * row + c, d, e, d * col + e * row + f), window.shape)

    def resized(self, shape: Shape) -> Grid:
        """Return a grid of the same ground with other pixels."""
        a, b, c, d, e, f = self.affine
        tall, wide = self.shape[0] / shape[0], self.shape[1] / shape[1]
        return Grid(self.crs, (a * wide, b * tall, c, d * wide, e * tall, f), shape)

    @property
    def corners(self) -> Points:
        """Return (x, y) of the four outer corners, (4, 2): clockwise from the first pixel as the raster is stored."""
        return self.to_ground(_corners(self.shape))

    @property
    def pixel_size(self) -> tuple[float, float]:
        """(height, width) of a pixel in units of the coordinate system."""
        a, b, _, d, e, _ = self.affine
        return math.hypot(b, e), math.hypot(a, d)

    @property
    def north_up(self) -> bool:
        """Whether rows run exactly west to east, the first one northernmost."""
        a, b, _, d, e, _ = self.affine
        return b == d == 0 and a > 0 > e

    def matches(self, other: Grid, slack: float = 0.01) -> bool:
        """Say whether another grid has the same size and its corners within `slack` pixels of ours.

        The names of the coordinate systems are not compared here.
        """
        return self.shape == other.shape and bool(
            np.abs(self.to_pixels(other.corners) - _corners(self.shape)).max() <= slack
        )


def _corners(shape: Shape) -> Points:
    height, width = shape
    return np.array([[0, 0], [width, 0], [width, height], [0, height]], np.float64)


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
