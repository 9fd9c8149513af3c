"""Colour: what happens between bands, and what only red, green and blue have."""

from __future__ import annotations

import math
from typing import Annotated

import numpy as np
from numpy.typing import NDArray
from pydantic import Field

from maskwright.data.augment.base import (
    Probability,
    Range,
    Rng,
    Setting,
    Share,
    Step,
    band_stats,
    like,
    scale_bands,
    span,
)
from maskwright.data.pixels.header import Pixels
from maskwright.data.windows import CV2_CHANNELS, Layers, for_cv2, from_planes, to_planes, with_bands

Matrix = NDArray[np.float64]
Band = Annotated[int, Field(ge=1, le=65535)]
Triple = tuple[Band, Band, Band]
LUMA = np.array([0.299, 0.587, 0.114])
"""Weights of red, green and blue in what looks grey (ITU-R BT.601)."""


class Coloured(Step):
    """A step that must know which bands are red, green and blue: the bands, if there are three."""

    rgb: Triple | None = None
    """Red, green and blue among the bands the model gets, from 1; null: the three bands there are."""

    def fit(self, setting: Setting) -> Step:
        """Refuse an image without the three colours."""
        if setting.bands is not None:
            self._bands(setting.bands)
        return self

    def _bands(self, count: int) -> list[int]:
        """Return red, green and blue, from 0."""
        if self.rgb is None and count != 3:
            word = "band" if count == 1 else "bands"
            raise ValueError(
                f"needs red, green and blue, the images have {count} {word}; "
                + ("leave it out" if count < 3 else "name them, e.g. rgb: [3, 2, 1], or leave it out")
            )
        bands = [band - 1 for band in self.rgb or (1, 2, 3)]
        if max(bands) >= count:
            raise ValueError(f"band {max(bands) + 1} is named, the images have {count}; count the bands from 1")
        return bands


class HueSaturation(Coloured):
    """Turn the hue by up to `hue` degrees, and multiply the distance from grey by 1 -+ up to `saturation`.

    Both are linear maps about the grey axis, so they suit any range of values.
    """

    hue: float = Field(default=20.0, ge=0, le=180)
    saturation: float = Field(default=0.3, ge=0, le=1)

    def apply(self, layers: Layers, rng: Rng) -> Layers:
        """Transform one sample."""
        matrix = _turn_hue(rng.uniform(-self.hue, self.hue))
        matrix = _saturate(1 + rng.uniform(-self.saturation, self.saturation)) @ matrix
        bands = self._bands(layers.image.shape[2])
        return layers._replace(image=_mixed(layers.image, bands, matrix, np.zeros(3)))


class PhotometricDistortion(Step):
    """Change brightness, contrast, saturation and hue, each every other time: mmseg's, as one linear map.

    Saturation and hue are left alone unless the image has three bands, or `rgb` names them. Contrast is
    about 0 for 8 bit, as in mmseg, and about the band's mean otherwise.
    """

    brightness: Share = 0.125
    """Most that is added, as a share of the range: 255 (mmseg adds 32), or four deviations of a float band."""
    contrast: Range = (0.5, 1.5)
    saturation: Range = (0.5, 1.5)
    hue: float = Field(default=36.0, ge=0, le=180)
    """Degrees; mmseg counts 18 of 180."""
    rgb: Triple | None = None
    """Red, green and blue among the bands the model gets, from 1."""
    p: Probability = 1.0

    def apply(self, layers: Layers, rng: Rng) -> Layers:
        """Transform one sample."""
        image, count = layers.image, layers.image.shape[2]
        each = rng.random(4) < 0.5
        added = rng.uniform(-self.brightness, self.brightness) * each[0]
        gain = rng.uniform(*self.contrast) if each[1] else 1.0
        matrix = _saturate(rng.uniform(*self.saturation)) if each[2] else np.eye(3)
        matrix = (_turn_hue(rng.uniform(-self.hue, self.hue)) if each[3] else np.eye(3)) @ matrix
        still = np.zeros(count) if image.dtype == np.uint8 else band_stats(image)[0]
        shift = added * span(image) + still * (1 - gain)
        bands = [band - 1 for band in self.rgb] if self.rgb else [0, 1, 2] if count == 3 else []
        if not bands or not each[2:].any():
            return layers._replace(image=scale_bands(image, np.full(count, gain), shift))
        if count > 3:
            others = np.ones(count)
            others[[band for band in range(count) if band not in bands]] = gain
            image = scale_bands(image, others, np.where(others == 1, 0, shift))
        return layers._replace(image=_mixed(image, bands, matrix * gain, matrix @ shift[bands]))

    def fit(self, setting: Setting) -> Step:
        """Refuse bands that are not there."""
        if self.rgb and setting.bands is not None and max(self.rgb) > setting.bands:
            raise ValueError(f"band {max(self.rgb)} is named, the images have {setting.bands}; count the bands from 1")
        return self


class RgbShift(Step):
    """Add to each band, whatever it is, a share of its own up to `limit` of its range (255, or four deviations)."""

    limit: Share = 0.08

    def apply(self, layers: Layers, rng: Rng) -> Layers:
        """Transform one sample."""
        count = layers.image.shape[2]
        shift = rng.uniform(-self.limit, self.limit, count) * span(layers.image)
        return layers._replace(image=scale_bands(layers.image, np.ones(count), shift))


class ChannelShuffle(Step):
    """Put the bands in random order; float bands are brought to the mean and deviation of the band they replace."""

    p: Probability = 0.1

    def apply(self, layers: Layers, rng: Rng) -> Layers:
        """Transform one sample."""
        order = rng.permutation(layers.image.shape[2])
        shuffled = layers.image[:, :, order]
        if layers.image.dtype != np.uint8:
            mean, std = band_stats(layers.image)
            gain = std / np.maximum(std[order], 1e-12)
            shuffled = scale_bands(shuffled, gain, mean - gain * mean[order])
        return layers._replace(image=shuffled)


class ChannelDropout(Step):
    """Replace up to `most` bands by their mean; at least one band always stays."""

    most: int = Field(default=1, ge=1, le=1000)
    p: Probability = 0.1

    def apply(self, layers: Layers, rng: Rng) -> Layers:
        """Transform one sample."""
        count = layers.image.shape[2]
        if count == 1:
            return layers
        lost = rng.permutation(count)[: rng.integers(1, min(self.most, count - 1) + 1)]
        image = layers.image.copy(order="K")
        image[:, :, lost] = like(band_stats(layers.image)[0], image)[lost]
        return layers._replace(image=image)


class ToGray(Step):
    """Show grey in all bands: the luma of three 8-bit bands, else the bands' mean, each on its own scale."""

    p: Probability = 0.1

    def apply(self, layers: Layers, rng: Rng) -> Layers:
        """Transform one sample."""
        image, count = layers.image, layers.image.shape[2]
        if count == 3 and image.dtype == np.uint8:
            return layers._replace(image=_mixed(image, [0, 1, 2], np.tile(LUMA, (3, 1)), np.zeros(3)))
        mean, std = band_stats(image)
        std = np.maximum(std, 1e-12)
        planes = to_planes(image)
        grey = np.zeros(layers.shape, np.float32)
        for plane, middle, width in zip(planes, mean, std, strict=True):
            grey += (plane - np.float32(middle)) * np.float32(1 / (width * count))
        bands = [like(grey * np.float32(w) + np.float32(m), image) for m, w in zip(mean, std, strict=True)]
        return layers._replace(image=from_planes(bands))


def _turn_hue(degrees: float) -> Matrix:
    """Return the turn about the grey axis, 3 x 3: red goes to green at 120 degrees (Rodrigues' formula)."""
    turn = math.radians(degrees)
    cos, sin = math.cos(turn), math.sin(turn) / math.sqrt(3)
    cross = np.array([[0.0, -1, 1], [1, 0, -1], [-1, 1, 0]])
    return cos * np.eye(3) + (1 - cos) / 3 * np.ones((3, 3)) + sin * cross


def _saturate(factor: float) -> Matrix:
    """Return the map that multiplies the distance from grey of equal luma, 3 x 3."""
    return factor * np.eye(3) + (1 - factor) * np.tile(LUMA, (3, 1))


def _mixed(image: Pixels, bands: list[int], matrix: Matrix, shift: Matrix) -> Pixels:
    """Apply a linear map to three bands of an image; the others stay."""
    import cv2

    whole = np.column_stack([matrix, shift])
    if image.shape[2] == 3 and bands == [0, 1, 2]:
        mapped: Pixels = cv2.transform(for_cv2(image), whole)
        return mapped
    planes = to_planes(image)
    colours = cv2.split(cv2.transform(cv2.merge([planes[band] for band in bands]), whole))
    for band, colour in zip(bands, colours, strict=True):
        planes[band] = colour
    return with_bands(cv2.merge(planes)) if len(planes) <= CV2_CHANNELS else from_planes(planes)
