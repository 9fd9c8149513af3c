"""Read windows of one raster after another from an open file: GeoTIFF of any size, or a picture held in memory."""

from __future__ import annotations

import zlib
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from maskwright.core.errors import InputError
from maskwright.core.grid import Grid, Shape, Window
from maskwright.data.pixels import geotiff, rasters
from maskwright.data.pixels.header import Header, Pixels, Valid
from maskwright.data.pixels.scenes import ANY_SIZE, open_scene

GDAL_CACHE_MB = 64
"""Decoded blocks that GDAL keeps: windows overlap, and a block lies in several."""

ENDS = 1 << 20
"""Bytes at either end of a raster by which, with size and time, a changed one is told."""


@dataclass(frozen=True)
class Windows:
    """An open raster."""

    path: Path
    header: Header
    grid: Grid
    """With the coordinate system as the file writes it, as well-known text; empty: none."""
    read: Callable[[Window], tuple[Pixels, Valid]]
    """Return pixels (h, w, B) in the file's dtype, 0 where not valid, and valid (h, w), of a window inside."""

    @property
    def shape(self) -> Shape:
        """(height, width) in pixels."""
        return self.header.shape

    def identity(self) -> dict[str, Any]:
        """Return by what a changed raster is told: size, time, and the bytes at its ends. No path."""
        told = self.path.stat()
        with self.path.open("rb") as stream:
            check = zlib.crc32(stream.read(ENDS))
            stream.seek(max(0, told.st_size - ENDS))
            check = zlib.crc32(stream.read(ENDS), check)
        return {
            "file": self.path.name,
            "bytes": told.st_size,
            "time": told.st_mtime_ns,
            "check": check,
            "shape": list(self.shape),
            "crs": self.grid.crs,
            "transform": list(self.grid.affine),
        }


@contextmanager
def opened_windows(path: Path, max_pixels: int) -> Iterator[Windows]:
    """Open a raster for reading by windows; use it from one thread at a time.

    Args:
        path: a GeoTIFF of any size, or a PNG, JPEG, GIF or BMP, which is decoded whole.
        max_pixels: larger pictures are refused; a GeoTIFF may have any size.

    Raises:
        InputError: see read_header and open_scene; while reading, that the file is damaged.
    """
    if not rasters.is_tiff(path):
        header = rasters.read_header(path, max_pixels)
        pixels, valid = rasters.read_image(path, max_pixels)

        def cut(window: Window) -> tuple[Pixels, Valid]:
            return pixels[window.slices], valid[window.slices]

        yield Windows(path, header, Grid.nowhere(header.shape), cut)
        return
    import rasterio

    scene = open_scene(path)
    with (
        rasterio.Env(GDAL_DISABLE_READDIR_ON_OPEN="EMPTY_DIR", GDAL_CACHEMAX=GDAL_CACHE_MB),
        geotiff.opened(path, ANY_SIZE) as dataset,
    ):
        empty = geotiff.holes(dataset)

        def read(window: Window) -> tuple[Pixels, Valid]:
            if empty(window):
                return np.zeros((*window.shape, scene.header.bands), scene.header.dtype), np.zeros(window.shape, bool)
            try:
                return rasters.hidden(*geotiff.image(dataset, path, window, packed=False))
            except OSError as error:
                what = f"is damaged between rows {window.row} and {window.row + window.height}"
                what += f", columns {window.col} and {window.col + window.width} ({error.__cause__ or error})"
                raise InputError(what, where=path, fix="copy it again", kind="damaged_file") from error

        crs = "" if dataset.crs is None else dataset.crs.to_wkt()
        yield Windows(path, scene.header, Grid(crs, scene.grid.affine, scene.grid.shape), read)
