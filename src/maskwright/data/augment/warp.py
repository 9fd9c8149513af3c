"""Warps: turned, sheared, stretched and bent; what comes in from outside is mirrored and does not count."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
from numpy.typing import NDArray
from pydantic import Field

from maskwright.core.grid import Shape
from maskwright.data.augment.base import Rng, Step
from maskwright.data.windows import Layers, by_bands, with_planes

Floats = NDArray[np.float32]


class Rotate(Step):
    """Turn about the centre by up to `limit` degrees either way."""

    limit: float = Field(default=20.0, gt=0, le=180)

    def apply(self, layers: Layers, rng: Rng) -> Layers:
        """Transform one sample."""
        return affine(layers, _about_centre(layers.shape, rng.uniform(-self.limit, self.limit), 1.0, (0.0, 0.0)))


class ShiftScaleRotate(Step):
    """Move by up to `shift` of the sides, enlarge by up to `scale`, turn by up to `rotate` degrees, either way."""

    shift: float = Field(default=0.0625, ge=0, le=1)
    scale: float = Field(default=0.1, ge=0, lt=1)
    rotate: float = Field(default=45.0, ge=0, le=180)

    def apply(self, layers: Layers, rng: Rng) -> Layers:
        """Transform one sample."""
        height, width = layers.shape
        angle = rng.uniform(-self.rotate, self.rotate)
        factor = 1 + rng.uniform(-self.scale, self.scale)
        move = width * rng.uniform(-self.shift, self.shift), height * rng.uniform(-self.shift, self.shift)
        return affine(layers, _about_centre(layers.shape, angle, factor, move))


class Perspective(Step):
    """Look at the plane from an angle: each corner of what is seen lies up to `scale` of the sides further in."""

    scale: float = Field(default=0.1, gt=0, lt=0.5)

    def apply(self, layers: Layers, rng: Rng) -> Layers:
        """Transform one sample."""
        import cv2

        height, width = layers.shape
        full = np.array([[0, 0], [width - 1, 0], [width - 1, height - 1], [0, height - 1]], np.float64)
        inward = np.array([[1, 1], [-1, 1], [-1, -1], [1, -1]]) * (width - 1, height - 1)
        seen = full + inward * rng.uniform(0, self.scale, (4, 2))
        matrix = cv2.getPerspectiveTransform(seen.astype(np.float32), full.astype(np.float32))
        how, nothing = _borders()
        image = by_bands(lambda pixels: cv2.warpPerspective(pixels, matrix, (width, height), **how), layers.image)
        return with_planes(layers, image, lambda plane: cv2.warpPerspective(plane, matrix, (width, height), **nothing))


class ElasticTransform(Step):
    """Bend as rubber: random shifts of up to `alpha` pixels, smoothed by a Gaussian of `sigma` pixels.

    What is left of the shifts is small: their deviation is 0.163 * alpha / sigma pixels (that of a uniform number,
    1 / sqrt(3), through a Gaussian in two dimensions, 1 / (2 sqrt(pi) sigma)).
    """

    alpha: float = Field(default=60.0, gt=0, le=10_000)
    sigma: float = Field(default=6.0, ge=0.5, le=500)
    affine: float = Field(default=0.0, ge=0, le=1000)
    """Pixels by which three points a third of the sides from the centre are moved at most, as one plane."""

    def apply(self, layers: Layers, rng: Rng) -> Layers:
        """Transform one sample."""
        import cv2

        height, width = layers.shape
        rows, cols = _grid(layers.shape)
        shifts = self._shifts(layers.shape, rng)
        to_cols, to_rows = cols + shifts[:, :, 0], rows + shifts[:, :, 1]
        if self.affine:
            centre = np.array([(width - 1) / 2, (height - 1) / 2])
            third = min(height, width) / 3
            points = (centre + third * np.array([[1, 1], [1, -1], [-1, -1]])).astype(np.float32)
            moved = points + rng.uniform(-self.affine, self.affine, (3, 2)).astype(np.float32)
            (a, b, c), (d, e, f) = cv2.getAffineTransform(points, moved).astype(np.float32)
            to_cols, to_rows = a * to_cols + b * to_rows + c, d * to_cols + e * to_rows + f
        return remap(layers, to_cols, to_rows)

    def _shifts(self, shape: Shape, rng: Rng) -> Floats:
        """Return shifts (H, W, 2), drawn on a grid as coarse as the Gaussian allows: eight times faster at sigma 6."""
        import cv2

        coarse = max(1, int(self.sigma / 3))
        rows, cols = (-(-side // coarse) + 1 for side in shape)
        noise = rng.random((rows, cols, 2), np.float32) * 2 - 1
        noise = cv2.GaussianBlur(noise, (0, 0), self.sigma / coarse, borderType=cv2.BORDER_REFLECT_101)
        noise *= self.alpha / coarse  # noise of a coarser grid, blurred as far, is as much stronger
        shifts: Floats = cv2.resize(noise, (cols * coarse, rows * coarse), interpolation=cv2.INTER_LINEAR)
        return shifts[: shape[0], : shape[1]]


class GridDistortion(Step):
    """Stretch the rows and columns of a grid of `steps` x `steps` cells by up to `limit` of a cell, either way."""

    steps: int = Field(default=5, ge=2, le=100)
    limit: float = Field(default=0.3, gt=0, lt=1)

    def apply(self, layers: Layers, rng: Rng) -> Layers:
        """Transform one sample."""
        rows, cols = (self._line(length, rng) for length in layers.shape)
        return remap(layers, *np.meshgrid(cols, rows))

    def _line(self, length: int, rng: Rng) -> Floats:
        """Return where each pixel of a line is taken from; both ends stay."""
        parts = 1 + rng.uniform(-self.limit, self.limit, self.steps)
        knots = np.concatenate([[0.0], np.cumsum(parts)]) / parts.sum()
        even = np.linspace(0, 1, self.steps + 1)
        taken: Floats = np.interp(np.linspace(0, 1, length), even, knots).astype(np.float32)
        return taken * np.float32(length - 1)


class OpticalDistortion(Step):
    """Look through a lens: barrel or cushion of strength up to `limit`, its centre moved by up to `shift` of the sides.

    A pixel at distance r from the centre (in sides) is taken from r (1 + k r^2 + k r^4), k in -limit..limit
    (OpenCV, camera calibration, radial distortion).
    """

    limit: float = Field(default=0.3, gt=0, le=4)
    shift: float = Field(default=0.05, ge=0, le=0.5)

    def apply(self, layers: Layers, rng: Rng) -> Layers:
        """Transform one sample."""
        height, width = layers.shape
        k = np.float32(rng.uniform(-self.limit, self.limit))
        row = np.float32((height - 1) / 2 + height * rng.uniform(-self.shift, self.shift))
        col = np.float32((width - 1) / 2 + width * rng.uniform(-self.shift, self.shift))
        rows, cols = _grid(layers.shape)
        down, right = (rows - row) / np.float32(height), (cols - col) / np.float32(width)
        square = down * down + right * right
        factor = 1 + k * square + k * square * square
        return remap(layers, (cols - col) * factor + col, (rows - row) * factor + row)


def affine(layers: Layers, matrix: NDArray[np.float64]) -> Layers:
    """Apply an affine map, 2 x 3, from (column, row) given to (column, row) wanted."""
    import cv2

    size = layers.shape[::-1]
    how, nothing = _borders()
    image = by_bands(lambda pixels: cv2.warpAffine(pixels, matrix, size, **how), layers.image)
    return with_planes(layers, image, lambda plane: cv2.warpAffine(plane, matrix, size, **nothing))


def remap(layers: Layers, cols: Floats, rows: Floats) -> Layers:
    """Take each pixel from a place of its own, float32 (H, W) columns and rows."""
    import cv2

    how, nothing = _borders()
    interpolation, nearest = how.pop("flags"), nothing.pop("flags")
    cols, rows = np.ascontiguousarray(cols, np.float32), np.ascontiguousarray(rows, np.float32)
    image = by_bands(lambda pixels: cv2.remap(pixels, cols, rows, interpolation, **how), layers.image)
    return with_planes(layers, image, lambda plane: cv2.remap(plane, cols, rows, nearest, **nothing))


def _borders() -> tuple[dict[str, Any], dict[str, Any]]:
    import cv2

    mirror = {"flags": cv2.INTER_LINEAR, "borderMode": cv2.BORDER_REFLECT_101}
    return mirror, {"flags": cv2.INTER_NEAREST, "borderMode": cv2.BORDER_CONSTANT, "borderValue": 0}


def _about_centre(shape: Shape, degrees: float, factor: float, move: tuple[float, float]) -> NDArray[np.float64]:
    """Return the map that turns counter-clockwise and enlarges about the centre, then moves by (columns, rows)."""
    turn = math.radians(degrees)
    cos, sin = factor * math.cos(turn), factor * math.sin(turn)
    row, col = (shape[0] - 1) / 2, (shape[1] - 1) / 2
    return np.array(
        [
            [cos, sin, col - cos * col - sin * row + move[0]],
            [-sin, cos, row + sin * col - cos * row + move[1]],
        ]
    )


def _grid(shape: Shape) -> tuple[Floats, Floats]:
    """Return row numbers (H, 1) and column numbers (1, W)."""
    return np.arange(shape[0], dtype=np.float32)[:, None], np.arange(shape[1], dtype=np.float32)[None]
