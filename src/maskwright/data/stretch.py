"""Bring values to 0..1 between a low and a high level of each band: of the whole set, or of each image by itself."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from maskwright.core.recipe.blocks import Stretch
from maskwright.data.pixels.header import Pixels, Valid

SAMPLE = 1024
"""Pixels of an item, at most, that levels of a set are found from; they lie on an even grid."""
Levels = NDArray[np.float32]
"""(2, B): low and high of each band."""


def sample_levels(image: Pixels, valid: Valid) -> NDArray[np.float32]:
    """Return the values of some valid pixels of an image, float32 (n, B), and the least and largest of each band.

    The first two rows are the least and the largest values of all valid pixels; (0, B) if none is valid.

    Args:
        image: (H, W, B).
        valid: bool (H, W).
    """
    if not valid.any():
        return np.zeros((0, image.shape[2]), np.float32)
    step = max(1, int(np.ceil(np.sqrt(valid.size / SAMPLE))))
    some = image[::step, ::step][valid[::step, ::step]].astype(np.float32)
    seen = image[valid]
    ends = np.stack([seen.min(axis=0), seen.max(axis=0)]).astype(np.float32)
    return np.concatenate([ends, some])


def levels_of_set(samples: Sequence[NDArray[np.float32]], stretch: Stretch, bands: Sequence[int]) -> Levels:
    """Return the levels of a set from the samples of its items, each item counting by its number of samples.

    Args:
        samples: by sample_levels.
        stretch: how.
        bands: chosen ones, from 0; a grey sample serves for each.
    """
    whole = [sample[:, [0] * len(bands) if sample.shape[1] == 1 else list(bands)] for sample in samples if len(sample)]
    if not whole:
        return np.stack([np.zeros(len(bands)), np.ones(len(bands))]).astype(np.float32)
    if stretch.by == "minmax":
        return _apart(np.stack([np.min([s[0] for s in whole], axis=0), np.max([s[1] for s in whole], axis=0)]), stretch)
    return _apart(np.percentile(np.concatenate([s[2:] for s in whole]), (stretch.low, stretch.high), axis=0), stretch)


def levels_of_image(image: Pixels, valid: Valid | None, stretch: Stretch) -> Levels:
    """Return the levels of one image over its valid pixels.

    Args:
        image: (H, W, B) with the chosen bands.
        valid: bool (H, W); None: all.
        stretch: how.
    """
    seen = image.reshape(-1, image.shape[2]) if valid is None or valid.all() else image[valid]
    if not len(seen):
        return np.stack([np.zeros(image.shape[2]), np.ones(image.shape[2])]).astype(np.float32)
    if stretch.by == "minmax":
        return _apart(np.stack([seen.min(axis=0), seen.max(axis=0)]), stretch)
    return _apart(np.percentile(seen, (stretch.low, stretch.high), axis=0), stretch)


def _apart(levels: NDArray[Any], stretch: Stretch) -> Levels:
    """Put bands together if the recipe says so, and keep high above low."""
    found = levels.astype(np.float32)
    if stretch.bands == "together":
        found = np.stack([np.full_like(found[0], found[0].min()), np.full_like(found[1], found[1].max())])
    found[1] = np.where(found[1] > found[0], found[1], found[0] + 1)
    return found


def apply_levels(image: Pixels, levels: Levels) -> NDArray[np.float32]:
    """Bring an image (H, W, B) to 0..1 between levels; what lies beyond is cut off."""
    low, high = levels
    result: NDArray[np.float32] = (image.astype(np.float32) - low) / (high - low)
    return np.clip(result, 0, 1, out=result)
