"""Blur and loss of detail: Gaussian, motion, median, JPEG, coarse pixels; any number of bands."""

from __future__ import annotations

import math
from typing import Annotated, Any

import numpy as np
from numpy.typing import NDArray
from pydantic import AfterValidator, Field

from maskwright.data.augment.base import Odds, Probability, Range, Rng, Step, ascending
from maskwright.data.pixels.header import Pixels
from maskwright.data.windows import Layers, by_bands, from_planes, to_planes, with_bands

Fraction = Annotated[float, Field(ge=0.01, le=1)]
Fractions = Annotated[tuple[Fraction, Fraction], AfterValidator(ascending)]
Quality = Annotated[int, Field(ge=1, le=100)]
Qualities = Annotated[tuple[Quality, Quality], AfterValidator(ascending)]


class Blur(Step):
    """Blur by a Gaussian whose standard deviation, in pixels, lies in `sigma`."""

    sigma: Range = (0.3, 1.5)
    p: Probability = 0.3

    def apply(self, layers: Layers, rng: Rng) -> Layers:
        """Transform one sample."""
        import cv2

        sigma = rng.uniform(*self.sigma)
        return layers._replace(image=by_bands(lambda pixels: cv2.GaussianBlur(pixels, (0, 0), sigma), layers.image))


class MotionBlur(Step):
    """Blur along a line in any direction, its length, an odd number of pixels, in `length`."""

    length: Odds = (3, 7)
    p: Probability = 0.3

    def apply(self, layers: Layers, rng: Rng) -> Layers:
        """Transform one sample."""
        import cv2

        kernel = _line(_odd(self.length, rng), rng.uniform(0, math.pi))
        return layers._replace(image=by_bands(lambda pixels: cv2.filter2D(pixels, -1, kernel), layers.image))


class MedianBlur(Step):
    """Put the median of a square, its side an odd number of pixels in `size`; 3 or 5 for float images."""

    size: Odds = (3, 5)
    p: Probability = 0.2

    def apply(self, layers: Layers, rng: Rng) -> Layers:
        """Transform one sample."""
        import cv2

        side = _odd(self.size, rng)
        if layers.image.dtype != np.uint8:
            side = min(side, 5)  # OpenCV has no larger median of floats
        return layers._replace(image=by_bands(lambda pixels: cv2.medianBlur(pixels, side), layers.image))


class Downscale(Step):
    """Shrink by a factor in `scale` and enlarge again: the detail is gone."""

    scale: Fractions = (0.4, 0.8)
    p: Probability = 0.2

    def apply(self, layers: Layers, rng: Rng) -> Layers:
        """Transform one sample."""
        import cv2

        height, width = layers.shape
        factor = rng.uniform(*self.scale)
        small = max(1, round(width * factor)), max(1, round(height * factor))

        def coarse(pixels: Pixels) -> Pixels:
            shrunk = cv2.resize(pixels, small, interpolation=cv2.INTER_AREA)
            done: Pixels = cv2.resize(shrunk, (width, height), interpolation=cv2.INTER_LINEAR)
            return done

        return layers._replace(image=by_bands(coarse, layers.image))


class Compression(Step):
    """Save as JPEG of a quality in `quality` and read again; bands beyond three go in threes.

    A float band is cut into 256 steps of its range for that, and what JPEG changed is added to it.
    """

    quality: Qualities = (50, 95)
    p: Probability = 0.2

    def apply(self, layers: Layers, rng: Rng) -> Layers:
        """Transform one sample."""
        low, high = self.quality
        quality = int(rng.integers(low, high + 1))
        planes = to_planes(layers.image)
        done: list[Pixels] = []
        for first in range(0, len(planes), 3):
            part = planes[first : first + 3]
            if layers.image.dtype == np.uint8:
                done += _jpeg(part, quality)
                continue
            least = [plane.min() for plane in part]
            steps = [max((plane.max() - low) / 255, 1e-12) for plane, low in zip(part, least, strict=True)]
            eight = [
                np.rint((plane - low) / step).astype(np.uint8)
                for plane, low, step in zip(part, least, steps, strict=True)
            ]
            for plane, before, after, step in zip(part, eight, _jpeg(eight, quality), steps, strict=True):
                done.append(plane + (after.astype(np.float32) - before) * np.float32(step))
        return layers._replace(image=from_planes(done))


def _jpeg(planes: list[Pixels], quality: int) -> list[Pixels]:
    """Send 1 to 3 planes, uint8 (H, W), through JPEG; two go one by one."""
    import cv2

    if len(planes) == 2:
        return [_jpeg([plane], quality)[0] for plane in planes]
    whole = with_bands(cv2.merge(planes[::-1]))  # OpenCV wants blue first
    _, code = cv2.imencode(".jpg", whole, [cv2.IMWRITE_JPEG_QUALITY, quality])
    read: Any = cv2.imdecode(code, cv2.IMREAD_UNCHANGED)
    return list(cv2.split(read))[::-1]


def _odd(ends: tuple[int, int], rng: Rng) -> int:
    """Draw an odd number within the ends."""
    return 2 * int(rng.integers(ends[0] // 2, ends[1] // 2, endpoint=True)) + 1


def _line(length: int, angle: float) -> NDArray[np.float32]:
    """Return a kernel, (length, length), that averages along a line through its centre."""
    half = length // 2
    along = np.linspace(-half, half, 4 * length)
    kernel = np.zeros((length, length), np.float32)
    rows = np.rint(half + along * math.sin(angle)).astype(int)
    cols = np.rint(half + along * math.cos(angle)).astype(int)
    np.add.at(kernel, (rows, cols), 1)
    kernel /= kernel.sum()
    return kernel
