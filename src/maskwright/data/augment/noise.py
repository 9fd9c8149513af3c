"""Noise: Gaussian, multiplicative (speckle), and that of a camera at a high ISO number."""

from __future__ import annotations

import numpy as np

from maskwright.data.augment.base import Probability, Range, Rng, Step, band_stats, like, normal, span
from maskwright.data.windows import Layers


class Noise(Step):
    """Add Gaussian noise whose deviation, as a share of each band's own deviation, lies in `strength`."""

    strength: Range = (0.02, 0.15)
    p: Probability = 0.3

    def apply(self, layers: Layers, rng: Rng) -> Layers:
        """Transform one sample."""
        sigma = rng.uniform(*self.strength) * band_stats(layers.image)[1]
        noisy = normal(rng, layers.image.shape)
        noisy *= sigma.astype(np.float32)
        noisy += layers.image
        return layers._replace(image=like(noisy, layers.image))


class MultiplicativeNoise(Step):
    """Multiply by 1 plus Gaussian noise of a deviation in `strength`: the speckle of radar and ultrasound."""

    strength: Range = (0.02, 0.15)
    p: Probability = 0.2

    def apply(self, layers: Layers, rng: Rng) -> Layers:
        """Transform one sample."""
        noisy = normal(rng, layers.image.shape)
        noisy *= np.float32(rng.uniform(*self.strength))
        noisy += 1
        noisy *= layers.image
        return layers._replace(image=like(noisy, layers.image))


class IsoNoise(Step):
    """Add the noise of a camera: one grain in all bands, of `intensity`, and another in each, of `colour`.

    Both are deviations as shares of the range: 255, or four deviations of a float band.
    """

    intensity: Range = (0.02, 0.08)
    colour: Range = (0.01, 0.03)
    p: Probability = 0.2

    def apply(self, layers: Layers, rng: Rng) -> Layers:
        """Transform one sample."""
        whole = span(layers.image).astype(np.float32)
        noisy = normal(rng, layers.image.shape)
        noisy *= np.float32(rng.uniform(*self.colour))
        noisy += np.float32(rng.uniform(*self.intensity)) * normal(rng, layers.shape)[:, :, None]
        noisy *= whole
        noisy += layers.image
        return layers._replace(image=like(noisy, layers.image))
