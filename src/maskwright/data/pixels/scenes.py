"""GeoTIFF scenes: where they lie, and windows read straight from the file, however large it is.

Files beside a scene (.aux.xml, .ovr, .msk, world files) are not looked at, and overviews are not used: what
is smaller than the file is averaged from its own pixels, since nobody knows how overviews were made.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from maskwright.core.errors import InputError
from maskwright.core.grid import Grid
from maskwright.data.pixels import geotiff, rasters
from maskwright.data.pixels.geotiff import Part
from maskwright.data.pixels.header import Header, Pixels, Valid

ANY_SIZE = 1 << 62
"""Scenes are read by windows, so that their own size is no matter."""
MOST_BLOCK = 1 << 26
"""Pixels of a block of a scene; GDAL decodes a whole block to read one pixel."""
COARSE = 256
"""Side to which a block of a mask is reduced to see whether anything in it is valid."""


@dataclass(frozen=True)
class Scene:
    """What a GeoTIFF says of itself before any pixel is decoded."""

    path: Path
    grid: Grid
    """crs is empty where the file names none; then the affine is that of pixels, unless it has one all the same."""
    header: Header
    masked: bool
    """Whether alpha, nodata or a mask may hide pixels."""


def open_scene(path: Path) -> Scene:
    """Read size, bands and place of a GeoTIFF.

    Raises:
        InputError: no TIFF, damaged at its head, placed by ground control points alone, or stored so that no
            window of it can be read by itself.
    """
    if not rasters.is_tiff(path):
        raise InputError(
            "is no TIFF, and scenes are GeoTIFF",
            where=path,
            fix="convert it, or use format: folder",
            kind="foreign_format",
        )
    with geotiff.opened(path, ANY_SIZE) as dataset:
        block = max(rows * cols for rows, cols in dataset.block_shapes)
        if block > MOST_BLOCK:
            what = f"is stored in blocks of {block} pixels, each of which has to be decoded for one pixel"
            raise InputError(what, where=path, fix="store it in tiles of 256 or 512 pixels", kind="odd_bands")
        affine = dataset.transform
        if dataset.gcps[0] and affine.is_identity:
            what, fix = "is placed by ground control points alone", "warp it, e.g. with rio warp or gdalwarp"
            raise InputError(what, where=path, fix=fix, kind="no_place")
        a, b, c, d, e, f = (float(value) for value in tuple(affine)[:6])
        if not np.isfinite((a, b, c, d, e, f)).all() or a * e == b * d:
            what, fix = f"has the transform ({a:g}, {b:g}, {c:g}, {d:g}, {e:g}, {f:g}), which has no inverse", "mend it"
            raise InputError(what, where=path, fix=fix, kind="no_place")
        crs = "" if dataset.crs is None else (dataset.crs.to_string() or dataset.crs.to_wkt())
        return Scene(
            path=path,
            grid=Grid(crs, (a, b, c, d, e, f), dataset.shape),
            header=geotiff.header(dataset),
            masked=any("all_valid" not in (flag.name for flag in flags) for flags in dataset.mask_flag_enums),
        )


def read_part(path: Path, part: Part, shape: tuple[int, int]) -> tuple[Pixels, Valid]:
    """Read a part of a scene, resampled to `shape` if that is another size.

    Args:
        path: the GeoTIFF.
        part: row, column, height and width in pixels of the file; it lies inside.
        shape: (H, W) of what comes back.

    Returns:
        pixels (H, W, B) in the file's dtype, 0 where not valid; valid bool (H, W).

    Raises:
        InputError: it is damaged there.
    """
    with geotiff.opened(path, ANY_SIZE) as dataset:
        if shape == part[2:] or not dataset.overviews(1):
            return rasters.hidden(*geotiff.image(dataset, path, part, shape))
    with geotiff.opened(path, ANY_SIZE, overviews=False) as dataset:
        return rasters.hidden(*geotiff.image(dataset, path, part, shape))


def read_mask_part(path: Path, part: Part, shape: tuple[int, int]) -> tuple[NDArray[np.integer], int | None]:
    """Read a part of a label raster by nearest pixel, and the nodata value the file names, if any.

    Raises:
        InputError: as read_mask.
    """
    with geotiff.opened(path, ANY_SIZE, overviews=shape == part[2:]) as dataset:
        return geotiff.mask(dataset, path, part, shape)


def any_valid(scene: Scene, parts: Sequence[Part]) -> list[bool]:
    """Say for each part whether any pixel of it counts.

    A reduced mask is looked at first, and only where it shows nothing every pixel is.

    Raises:
        InputError: the scene is damaged there.
    """
    if not scene.masked:
        return [True] * len(parts)
    found = []
    with geotiff.opened(scene.path, ANY_SIZE) as dataset:
        for part in parts:
            small = (min(math.ceil(part[2]), COARSE), min(math.ceil(part[3]), COARSE))
            some = geotiff.validity(dataset, part, small).any()
            found.append(bool(some or (small != part[2:] and geotiff.validity(dataset, part).any())))
    return found
