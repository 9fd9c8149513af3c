"""Cut windows out of an item and resize them; past the edges an image is mirrored, and nothing counts there."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from maskwright.core.grid import SYMMETRY, Shape, Symmetry, Window, apply_symmetry
from maskwright.data.pixels.header import Pixels, Valid
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
    if not much and for_cv2(layers.image) is layers.image:  # linear takes 512 bands at once, the others four
        image = with_bands(cv2.resize(layers.image, size[::-1], interpolation=how))
    else:
        image = by_bands(lambda pixels: cv2.resize(pixels, size[::-1], interpolation=how), layers.image)
    nearest = cv2.INTER_NEAREST_EXACT
    return with_planes(layers, image, lambda plane: cv2.resize(plane, size[::-1], interpolation=nearest), inside=True)


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
    if not (symmetry.swap or symmetry.cols):
        return apply_symmetry(image, symmetry, (0, 1))
    return by_bands(lambda pixels: _turned_by_cv2(pixels, symmetry), image)


def _turned_by_cv2(pixels: Pixels, symmetry: Symmetry) -> Any:
    import cv2

    result: Any = cv2.transpose(pixels) if symmetry.swap else pixels
    if symmetry.rows or symmetry.cols:
        result = cv2.flip(result, -1 if symmetry.rows and symmetry.cols else int(symmetry.cols))
    return result


def with_planes(
    layers: Layers, image: Pixels, on_plane: Callable[[NDArray[np.uint8]], Any], *, inside: bool = False
) -> Layers:
    """Put a transformed image together with label and valid, transformed plane by plane.

    Args:
        layers: before.
        image: after.
        on_plane: gets uint8 (H, W); what it adds must be 0.
        inside: nothing comes in from outside, so that where all is valid, all stays so.
    """
    label = layers.label
    label = on_plane(for_cv2(label)) if label.ndim == 2 else np.stack([on_plane(for_cv2(plane)) for plane in label])
    if inside and layers.valid.all():
        return Layers(image, label, np.ones(image.shape[:2], bool))
    valid = on_plane(np.ascontiguousarray(layers.valid).view(np.uint8))
    return Layers(image, label, valid.view(bool))


def by_bands(function: Callable[[Pixels], Any], image: Pixels) -> Pixels:
    """Apply an OpenCV function to an image (H, W, B): at once up to four bands, one by one beyond."""
    if image.shape[2] <= CV2_CHANNELS:
        return with_bands(function(for_cv2(image)))
    return from_planes([function(band) for band in to_planes(image)])


def for_cv2(image: Pixels) -> Pixels:
    """Return an image (H, W, B) or plane (H, W) as OpenCV takes it: a window as it is, anything turned copied."""
    row = image[0]
    return image if row.flags.c_contiguous and image.strides[0] >= row.nbytes else np.ascontiguousarray(image)


def to_planes(image: Pixels) -> list[Pixels]:
    """Return the bands of an image (H, W, B), each contiguous (H, W): without a copy if they lie so in memory."""
    import cv2

    bands = [image[:, :, band] for band in range(image.shape[2])]
    if all(band.flags.c_contiguous for band in bands):
        return bands
    if len(bands) <= CV2_CHANNELS:
        return list(cv2.split(for_cv2(image)))
    planes = list(_blank(image.shape, image.dtype))
    return list(cv2.split(for_cv2(image), planes))


def from_planes(bands: list[Pixels]) -> Pixels:
    """Put bands (H, W) together to (H, W, B); beyond four they lie one after another, as to_planes wants them."""
    import cv2

    if len(bands) <= CV2_CHANNELS:
        return with_bands(cv2.merge(bands))
    image = _blank((*bands[0].shape, len(bands)), bands[0].dtype)
    for plane, band in zip(image, bands, strict=True):
        plane[:] = band
    return image.transpose(1, 2, 0)


def _blank(shape: tuple[int, ...], dtype: np.dtype[Any]) -> Pixels:
    """Return (B, H, W) for an image (H, W, B), planes 64 bytes apart.

    Planes a power of two apart fall into the same lines of the cache: splitting 14 bands of 512 x 512 floats
    took 23 ms without the gap and 1.5 ms with it (measured, docs/log.md 2026-11-21).
    """
    height, width, bands = shape
    whole = np.empty((bands, height * width + 64 // dtype.itemsize), dtype)
    return whole[:, : height * width].reshape(bands, height, width)


def with_bands(image: Pixels) -> Pixels:
    """Give back the band axis that OpenCV drops for a single band."""
    return image if image.ndim == 3 else image[:, :, None]
