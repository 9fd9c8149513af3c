"""Compiled pass for crf.py: sums over neighbours by distance and colour."""

from __future__ import annotations

from typing import Any

from numba import types
from numpy.typing import NDArray

from maskwright.core.compiled import kernel

_PLANES = types.Array(types.float64, 3, "C", readonly=True)
_PLANES_OUT = types.Array(types.float64, 3, "C")
_IMAGE = types.Array(types.uint8, 3, "C", readonly=True)
_TABLE = types.Array(types.float64, 1, "C", readonly=True)


@kernel(types.void(_PLANES, _IMAGE, _TABLE, _TABLE, _PLANES_OUT))
def sum_alike(planes: Any, image: NDArray[Any], near: Any, alike: Any, result: Any) -> None:
    """Add up planes over all neighbours within reach, each by near[dy] near[dx] alike[squared distance of colours].

    Args:
        planes: float64 (n, H, W).
        image: uint8 (H, W, 3).
        near: float64 (reach + 1,), weight of a distance along one axis.
        alike: float64 (m,), weight of a squared distance of colours; beyond its end 0.
        result: float64 (n, H, W), written to.
    """
    count, height, width = planes.shape
    reach = near.size - 1
    for row in range(height):
        for col in range(width):
            red, green, blue = int(image[row, col, 0]), int(image[row, col, 1]), int(image[row, col, 2])
            for plane in range(count):
                result[plane, row, col] = 0.0
            for other in range(max(0, row - reach), min(height, row + reach + 1)):
                down = near[abs(other - row)]
                for beside in range(max(0, col - reach), min(width, col + reach + 1)):
                    far = (
                        (int(image[other, beside, 0]) - red) ** 2
                        + (int(image[other, beside, 1]) - green) ** 2
                        + (int(image[other, beside, 2]) - blue) ** 2
                    )
                    if far < alike.size:
                        weight = down * near[abs(beside - col)] * alike[far]
                        for plane in range(count):
                            result[plane, row, col] += weight * planes[plane, other, beside]
