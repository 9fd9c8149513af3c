"""How a scene becomes items: cut evenly into chips, at one scale to be scored and at others to train with."""

from __future__ import annotations

import math
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from maskwright.core.errors import InputError
from maskwright.core.grid import Grid, Shape, Window, even, sliding, whole
from maskwright.core.recipe.sources import SceneSource
from maskwright.data.ground import metres_a_pixel
from maskwright.data.pixels.geotiff import Part
from maskwright.data.pixels.scenes import Scene


class Chip(NamedTuple):
    """One item of a scene."""

    scene: str
    """Key of the scene."""
    part: Part
    """What is read, in pixels of the file."""
    grid: Grid
    """Of the item as it is used."""
    scored: bool
    """False: it only ever trains."""

    @classmethod
    def of(cls, key: str, scene: Scene, shape: Shape, window: Window, *, scored: bool = False) -> Chip:
        """Make the chip of a window of a scene that is resampled to a shape."""
        grid = scene.grid.resized(shape)
        tall, wide = scene.grid.shape[0] / shape[0], scene.grid.shape[1] / shape[1]
        part = (window.row * tall, window.col * wide, window.height * tall, window.width * wide)
        return cls(key, part, grid.window(window), scored)


def cut_scene(key: str, scene: Scene, block: SceneSource) -> dict[str, Chip]:
    """Cut a scene into chips.

    At scale 1 (of `gsd`, if that is given) the chips cover each pixel once. Windows beyond these, by
    `chip_overlap`, and all windows of other scales are extra: they only ever train.

    Args:
        key: of the scene.
        scene: its header.
        block: chip, chip_overlap, gsd, scales.

    Returns:
        key of the item -> chip, extra ones after the others.

    Raises:
        InputError: gsd is asked for and the scene has no place on the ground.
    """
    chips: dict[str, Chip] = {}
    digits = len(str(max(scene.grid.shape)))
    for scale in dict.fromkeys((1.0, *block.scales)):
        shape, size = scaled_shape(scene, scale, block.gsd), block.chip_shape
        base = windows_at(shape, size)
        extra = [] if size is None or not block.chip_overlap else _beside(shape, size, block.chip_overlap, base)
        for place, window in enumerate([*base, *extra]):
            name = key if size is None else f"{key}/{window.row:0{digits}}_{window.col:0{digits}}"
            name += "" if scale == 1 else f"_x{scale:g}"
            name += f"_{window.height}" if place >= len(base) else ""
            chips[name] = Chip.of(key, scene, shape, window, scored=scale == 1 and place < len(base))
    return chips


def windows_at(shape: Shape, size: Shape | None) -> list[Window]:
    """Return windows that cover each pixel of a scene of a shape once; one for all without a size."""
    return [whole(shape)] if size is None else even(shape, size)


def around(boxes: NDArray[np.float64], native: Shape, shape: Shape, pad: int) -> list[Window]:
    """Return a window around each object, cut at the edges of the scene.

    Args:
        boxes: (N, 4) left, top, right and bottom in pixels of the file.
        native: (H, W) of the file.
        shape: (H, W) that the scene is resampled to.
        pad: pixels of the file on each side of an object.
    """
    scale = np.array([shape[1] / native[1], shape[0] / native[0]] * 2)
    grown = (boxes + np.array([-pad, -pad, pad, pad])) * scale
    found = []
    for left, top, right, bottom in grown:
        row, col = math.floor(top), math.floor(left)
        window = Window(row, col, math.ceil(bottom) - row, math.ceil(right) - col).clip(shape)
        if window.height and window.width:
            found.append(window)
    return found


def scaled_shape(scene: Scene, scale: float, gsd: float | None) -> Shape:
    """Return the (height, width) that a scene has at a scale.

    Args:
        scene: its header.
        scale: length of a pixel on the ground, in lengths of the unscaled one.
        gsd: metres that an unscaled pixel is to measure; None: what it measures in the file.

    Raises:
        InputError: gsd is asked for and the scene has no place on the ground.
    """
    tall = wide = scale
    if gsd is not None:
        metres = metres_a_pixel(scene.grid)
        if metres is None:
            what, fix = "has no coordinate system, so its pixels have no size in metres", "set crs, or leave gsd out"
            raise InputError(what, where=scene.path, fix=fix, kind="no_place")
        tall, wide = scale * gsd / metres[0], scale * gsd / metres[1]
    height, width = scene.grid.shape
    return max(1, round(height / tall)), max(1, round(width / wide))


def _beside(shape: Shape, size: Shape, overlap: float, base: list[Window]) -> list[Window]:
    """Return overlapping windows that are not among the even ones and lie inside."""
    inside = min(size[0], shape[0]), min(size[1], shape[1])
    return [window for window in sliding(shape, inside, overlap) if window not in base]
