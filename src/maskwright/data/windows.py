"""Cut windows out of an item and resize them; past the edges an image is mirrored, and nothing counts there."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from maskwright.core.grid import SYMMETRY, Shape, Symmetry, Window, apply_symmetry
from maskwright.data.header import Pixels, Valid
from maskwright.data.sources.base import Label

CV2_CHANNELS = 4
"""More channels at once are refused by some OpenCV functions in some releases."""


class Layers(NamedTuple):
    """What is cut and transformed together; every function returns new ones and leaves its own alone."""

    image: Pixels
    """(H, W, B) uint8 or float32."""
    label: Label
    """uint8 (H, W) or (K, H, W); 0 where not valid."""
    valid: Valid
    """bool (H, W)."""

    @property
    def shape(self) -> Shape:
        """(height, width) in pixels."""
        return self.valid.shape[0], self.valid.shape[1]


def cut(layers: Layers, window: Window) -> Layers:
    """Cut a window, which may reach past the raster.

    Args:
        layers: at full size.
        window: in their pixels; some of it must lie inside.

    Returns:
        layers of the window's shape; views of the given ones if it lies inside.
    """
    if window.clip(layers.shape) == window:
        rows, cols = window.slices
        return Layers(layers.image[rows, cols], layers.label[..., rows, cols], layers.valid[rows, cols])
    import cv2

    inside = window.clip(layers.shape)
    assert inside.height > 0, "the window lies beside the raster"
    assert inside.width > 0, "the window lies beside the raster"
    top, left = inside.row - window.row, inside.col - window.col
    bottom, right = window.height - top - inside.height, window.width - left - inside.width
    rows, cols = inside.slices
    image = cv2.copyMakeBorder(layers.image[rows, cols], top, bottom, left, right, cv2.BORDER_REFLECT_101)
    label = np.zeros((*layers.label.shape[:-2], *window.shape), np.uint8)
    valid = np.zeros(window.shape, bool)
    there = slice(top, top + inside.height), slice(left, left + inside.width)
    label[(..., *there)] = layers.label[..., rows, cols]
    valid[there] = layers.valid[rows, cols]
    return Layers(image.reshape(*window.shape, -1), label, valid)


def resize(layers: Layers, size: Shape) -> Layers:
    """Resize to (height, width): image by area where it shrinks much, else linear; label and valid by nearest pixel."""
    import cv2

    if layers.shape == size:
        return layers
    much = 2 * size[0] < layers.shape[0] and 2 * size[1] < layers.shape[1]  # linear skips no pixel down to half
    how = cv2.INTER_AREA if much else cv2.INTER_LINEAR
    return map_layers(
        layers,
        lambda pixels: cv2.resize(pixels, size[::-1], interpolation=how),
        lambda plane: cv2.resize(plane, size[::-1], interpolation=cv2.INTER_NEAREST_EXACT),
    )


def turn(layers: Layers, name: str) -> Layers:
    """Apply one of the eight symmetries by name; returns views where that is as fast."""
    symmetry = SYMMETRY[name]
    return Layers(
        _turned(layers.image, symmetry),
        apply_symmetry(layers.label, symmetry),
        apply_symmetry(layers.valid, symmetry),
    )


def _turned(image: Pixels, symmetry: Symmetry) -> Pixels:
    """Turn an image (H, W, B); OpenCV copies backward rows of pixels thirty times faster than numpy."""
    import cv2

    if image.shape[2] > CV2_CHANNELS or not (symmetry.swap or symmetry.cols):
        return apply_symmetry(image, symmetry, (0, 1))
    result: Any = cv2.transpose(image) if symmetry.swap else image
    if symmetry.rows or symmetry.cols:
        result = cv2.flip(result, -1 if symmetry.rows and symmetry.cols else int(symmetry.cols))
    return with_bands(result)


def map_layers(
    layers: Layers, on_image: Callable[[Pixels], Any], on_plane: Callable[[NDArray[np.uint8]], Any]
) -> Layers:
    """Apply one OpenCV function to the image and another to each plane of label and valid.

    Args:
        layers: what to transform.
        on_image: gets (H, W, up to 4 bands) or (H, W).
        on_plane: gets uint8 (H, W); what it adds must be 0.
    """
    label = layers.label
    planes = label[None] if label.ndim == 2 else label
    turned = np.stack([on_plane(np.ascontiguousarray(plane)) for plane in planes])
    valid = on_plane(np.ascontiguousarray(layers.valid).view(np.uint8))
    return Layers(by_bands(on_image, layers.image), turned[0] if label.ndim == 2 else turned, valid.view(bool))


def by_bands(function: Callable[[Pixels], Any], image: Pixels) -> Pixels:
    """Apply an OpenCV function to an image (H, W, B): at once up to four bands, one by one beyond."""
    import cv2

    whole = np.ascontiguousarray(image)
    if image.shape[2] <= CV2_CHANNELS:
        return with_bands(function(whole))
    merged: Pixels = cv2.merge([function(band) for band in cv2.split(whole)])
    return merged


def with_bands(image: Pixels) -> Pixels:
    """Give back the band axis that OpenCV drops for a single band."""
    return image if image.ndim == 3 else image[:, :, None]
