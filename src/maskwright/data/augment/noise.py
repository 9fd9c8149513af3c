"""Noise: Gaussian, multiplicative (speckle), and that of a camera at a high ISO number."""

from __future__ import annotations

import numpy as np

from maskwright.data.augment.base import Probability, Range, Rng, Step, added, band_stats, grain, normal, span
from maskwright.data.windows import Layers, from_planes


class Noise(Step):
    """Add Gaussian noise whose deviation, as a share of each band's own deviation, lies in `strength`."""

    strength: Range = (0.02, 0.15)
    p: Probability = 0.3

    def apply(self, layers: Layers, rng: Rng) -> Layers:
        """Transform one sample."""
        sigma = rng.uniform(*self.strength) * band_stats(layers.image)[1]
        return layers._replace(image=added(layers.image, grain(rng, layers.image, sigma)))


class MultiplicativeNoise(Step):
    """Multiply by 1 plus Gaussian noise of a deviation in `strength`: the speckle of radar and ultrasound."""

    strength: Range = (0.02, 0.15)
    p: Probability = 0.2

    def apply(self, layers: Layers, rng: Rng) -> Layers:
        """Transform one sample."""
        image = layers.image
        change = grain(rng, image, np.full(image.shape[2], rng.uniform(*self.strength)))
        change *= image
        return layers._replace(image=added(image, change))


class IsoNoise(Step):
    """Add the noise of a camera: one grain in all bands, of `intensity`, and another in each, of `colour`.

    Both are deviations as shares of the range: 255, or four deviations of a float band.
    """

    intensity: Range = (0.02, 0.08)
    colour: Range = (0.01, 0.03)
    p: Probability = 0.2

    def apply(self, layers: Layers, rng: Rng) -> Layers:
        """Transform one sample."""
        whole = span(layers.image)
        change = grain(rng, layers.image, rng.uniform(*self.colour) * whole)
        shared = normal(rng, layers.shape)
        share = rng.uniform(*self.intensity)
        change += from_planes([shared * np.float32(share * most) for most in whole])
        return layers._replace(image=added(layers.image, change))
