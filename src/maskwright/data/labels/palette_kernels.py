"""Compiled pass from colours to class ids."""

from __future__ import annotations

import numpy as np
from numba import types
from numpy.typing import NDArray

from maskwright.core.compiled import BYTES, BYTES_OUT, NUMBERS, kernel


@kernel(types.int64(BYTES, NUMBERS, BYTES, BYTES_OUT, types.uint8))
def name_colours(
    rgb: NDArray[np.uint8], codes: NDArray[np.int64], values: NDArray[np.uint8], out: NDArray[np.uint8], other: int
) -> int:
    """Write the value of each pixel's colour and return how many have none; neighbours mostly share a colour.

    Args:
        rgb: 3 bytes a pixel.
        codes: red * 65536 + green * 256 + blue of each known colour.
        values: what stands for each.
        out: one byte a pixel, written.
        other: written for a colour that is not known.
    """
    last, value, unknown = np.int64(-1), other, 0
    for pixel in range(out.size):
        code = (np.int64(rgb[3 * pixel]) << 16) | (np.int64(rgb[3 * pixel + 1]) << 8) | np.int64(rgb[3 * pixel + 2])
        if code != last:
            last, value = code, other
            for place in range(codes.size):
                if codes[place] == code:
                    value = values[place]
                    break
        unknown += value == other
        out[pixel] = value
    return unknown
