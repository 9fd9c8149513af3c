"""Light: brightness, contrast, gamma, local contrast, sharpness; each band for itself, any number of them."""

from __future__ import annotations

import math
from collections.abc import Callable

import numpy as np
from pydantic import Field

from maskwright.data.augment.base import Probability, Range, Rng, Step, band_stats, each_band, look_up, scale_bands
from maskwright.data.pixels.header import Pixels
from maskwright.data.windows import Layers, by_bands


class BrightnessContrast(Step):
    """Move each band's mean by up to `brightness` of itself, and stretch about it by up to `contrast`."""

    brightness: float = Field(default=0.2, ge=0, le=1)
    contrast: float = Field(default=0.2, ge=0, le=1)

    def apply(self, layers: Layers, rng: Rng) -> Layers:
        """Transform one sample; all bands by the same shares."""
        gain = 1 + rng.uniform(-self.contrast, self.contrast)
        mean = band_stats(layers.image)[0]
        shift = mean * (1 + rng.uniform(-self.brightness, self.brightness) - gain)
        return layers._replace(image=scale_bands(layers.image, np.full(len(mean), gain), shift))


class Gamma(Step):
    """Raise each band to a power in `gamma`, every octave equally often: of 0..255, or of its own range if float."""

    gamma: Range = (0.7, 1.4)

    def apply(self, layers: Layers, rng: Rng) -> Layers:
        """Transform one sample; all bands by the same power."""
        low, high = (math.log(value) for value in self.gamma)
        power = math.exp(rng.uniform(low, high))
        image = layers.image
        if image.dtype == np.uint8:
            curve = np.rint(255 * np.linspace(0, 1, 256) ** power).astype(np.uint8)
            return layers._replace(image=look_up(image, curve))

        def bend(plane: Pixels, number: int) -> Pixels:
            del number
            least, extent = _range(plane)
            bent: Pixels = ((plane - least) / extent) ** np.float32(power) * extent + least
            return bent

        return layers._replace(image=each_band(bend, image))


class Clahe(Step):
    """Equalise locally: contrast-limited histograms of `tiles` x `tiles` parts, clipped at a limit in `clip`.

    What it does to a float band is found in 256 steps of its range, and added to it.
    """

    clip: Range = (1.0, 4.0)
    tiles: int = Field(default=8, ge=1, le=64)
    p: Probability = 0.3

    def apply(self, layers: Layers, rng: Rng) -> Layers:
        """Transform one sample, each band for itself."""
        import cv2

        tiles = min(self.tiles, *layers.shape)
        worker = cv2.createCLAHE(rng.uniform(*self.clip), (tiles, tiles))

        return layers._replace(image=each_band(lambda plane, _: _in_8_bit(plane, worker.apply), layers.image))


class Equalize(Step):
    """Equalise each band: every value within its range becomes equally frequent.

    What that does to a float band is found in 256 steps of its range, and added to it.
    """

    p: Probability = 0.2

    def apply(self, layers: Layers, rng: Rng) -> Layers:
        """Transform one sample, each band for itself."""
        import cv2

        return layers._replace(image=each_band(lambda plane, _: _in_8_bit(plane, cv2.equalizeHist), layers.image))


class Sharpen(Step):
    """Add a share in `strength` of what a Gaussian of one pixel takes away."""

    strength: Range = (0.2, 1.0)
    p: Probability = 0.3

    def apply(self, layers: Layers, rng: Rng) -> Layers:
        """Transform one sample."""
        import cv2

        share = rng.uniform(*self.strength)

        def sharper(pixels: Pixels) -> Pixels:
            blurred = cv2.GaussianBlur(pixels, (0, 0), 1.0)
            done: Pixels = cv2.addWeighted(pixels, 1 + share, blurred, -share, 0)
            return done

        return layers._replace(image=by_bands(sharper, layers.image))


def _in_8_bit(plane: Pixels, function: Callable[[Pixels], Pixels]) -> Pixels:
    """Apply a function of 8-bit bands; what it does to a float band is found in 256 steps of its range, and added."""
    if plane.dtype == np.uint8:
        return function(plane)
    least, extent = _range(plane)
    step = extent / np.float32(255)
    eight = np.rint((plane - least) / step).astype(np.uint8)
    changed: Pixels = plane + (function(eight).astype(np.float32) - eight) * step
    return changed


def _range(plane: Pixels) -> tuple[np.float32, np.float32]:
    """Return a band's least value and its extent, which is never 0."""
    least, most = np.float32(plane.min()), np.float32(plane.max())
    return least, max(most - least, np.float32(1e-12))
