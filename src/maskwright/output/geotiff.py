"""Write rasters of answers as cloud-optimised GeoTIFF: probabilities, or classes with palette and names.

A plain tiled file is written first and checked, then GDAL's COG driver makes the final one from it, overviews included;
that is read back whole and compared before it gets its name. Memory: some rows of one band.
"""

from __future__ import annotations

import logging
import shutil
import zlib
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from maskwright.core.errors import MaskwrightError, StorageError
from maskwright.core.files import atomic_path
from maskwright.core.grid import Grid

BLOCK = 512
"""Side of a tile; and the rows that are written at once."""
CACHE_MB = 64
"""Of GDAL; its own default is a share of the machine's memory."""
LEVEL = 4
"""Of deflate: files 2 % larger than at 6 in two thirds of the time (measured, docs/log.md 2026-11-27)."""
Rows = Iterator[NDArray[np.uint8]]


@dataclass(frozen=True)
class Layer:
    """What a raster of bytes is, besides its pixels."""

    grid: Grid
    """Shape, coordinate system as well-known text (empty: none) and transform."""
    names: tuple[str, ...]
    """Of the bands."""
    nodata: int
    tags: Mapping[str, str] = field(default_factory=dict)
    scale: float | None = None
    """What a stored value times this is; None: it is what it is."""
    palette: Mapping[int, tuple[int, int, int]] | None = None
    """Value -> colour, for one band."""
    value_names: tuple[str, ...] = ()
    """Names of the values 0, 1, ..., for one band."""
    overviews: Literal["average", "mode"] = "average"
    """What one pixel of an overview shows of four."""


def write_geotiff(path: Path, layer: Layer, read: Callable[[int], Rows]) -> None:
    """Write a raster; it is whole and checked, or absent.

    Args:
        path: final name, ends in .tif.
        layer: what it is.
        read: gives the rows of a band (from 0) from the top, uint8 (any count, W).

    Raises:
        StorageError: disk full (with the free space), no permission, or what was written reads back otherwise.
    """
    import rasterio
    from rasterio.shutil import copy

    with (
        _said(path),
        rasterio.Env(GDAL_CACHEMAX=CACHE_MB, GDAL_DISABLE_READDIR_ON_OPEN="EMPTY_DIR", GDAL_PAM_ENABLED="NO"),
    ):
        sums: list[int] = []

        def verify(written: Path) -> None:
            if _sums(written) != sums:
                raise StorageError("reads back otherwise than it was written", where=path, fix="check the disk")

        with atomic_path(path, verify) as temporary:
            plain = temporary.with_name(f"{temporary.name[: -len('.partial')]}.plain.partial")
            try:
                with _said(path):
                    sums += _write_plain(plain, layer, read)
                    verify(plain)
                    copy(str(plain), str(temporary), driver="COG", **_cog_options(layer))
            finally:
                _sweep(temporary, plain)
    if layer.value_names:
        _write_names(path, layer.value_names)


def _cog_options(layer: Layer) -> dict[str, Any]:
    return {
        "COMPRESS": "DEFLATE",
        "LEVEL": LEVEL,
        "PREDICTOR": "NO" if layer.palette else "STANDARD",
        "BLOCKSIZE": BLOCK,
        "BIGTIFF": "IF_SAFER",
        "OVERVIEWS": "IGNORE_EXISTING",
        "OVERVIEW_RESAMPLING": layer.overviews.upper(),
        "NUM_THREADS": "2",
        "SPARSE_OK": "TRUE",
    }


def _write_plain(path: Path, layer: Layer, read: Callable[[int], Rows]) -> list[int]:
    """Write a tiled file, and return a check sum of each band."""
    import rasterio
    from rasterio.errors import NotGeoreferencedWarning
    from rasterio.transform import Affine
    from rasterio.windows import Window

    height, width = layer.grid.shape
    profile: dict[str, Any] = {
        "driver": "GTiff",
        "height": height,
        "width": width,
        "count": len(layer.names),
        "dtype": "uint8",
        "nodata": layer.nodata,
        "tiled": True,
        "blockxsize": BLOCK,
        "blockysize": BLOCK,
        **_swift(),
        "interleave": "band",
        "sparse_ok": True,
        "bigtiff": "IF_SAFER",
    }
    if layer.grid.crs:
        profile["crs"] = layer.grid.crs
    affine = Affine(*layer.grid.affine)
    if layer.grid.crs or not affine.is_identity:
        profile["transform"] = affine
    sums = []
    with _quiet(NotGeoreferencedWarning), rasterio.open(path, "w", **profile) as file:
        for band, name in enumerate(layer.names, start=1):
            total, row = 0, 0
            for rows in _in_blocks(read(band - 1)):
                total = zlib.crc32(np.ascontiguousarray(rows).data, total)
                file.write(rows, band, window=Window(0, row, width, len(rows)))
                row += len(rows)
            assert row == height, (row, height)
            sums.append(total)
            file.set_band_description(band, name)
        if layer.palette is not None:
            file.write_colormap(1, {value: (*colour, 255) for value, colour in layer.palette.items()})
        if layer.scale is not None:
            file.scales = [layer.scale] * len(layer.names)
        file.update_tags(**layer.tags)
        for value, name in enumerate(layer.value_names):
            file.update_tags(1, **{f"CLASS_{value}": name})
    return sums


@cache
def _swift() -> Mapping[str, Any]:
    """Return how the plain file is packed, which is read twice and deleted: zstd, where GDAL was built with it."""
    from rasterio.errors import NotGeoreferencedWarning, RasterioError
    from rasterio.io import MemoryFile

    fast = {"compress": "zstd", "zstd_level": 1}
    tiny = {"height": 16, "width": 16, "count": 1, "dtype": "uint8"}
    try:
        with _quiet(NotGeoreferencedWarning), MemoryFile() as memory, memory.open(driver="GTiff", **tiny, **fast):
            return fast
    except RasterioError:
        return {"compress": "deflate", "zlevel": 1}


def _in_blocks(parts: Rows) -> Rows:
    """Give the same rows in heights of tiles, so that no tile is written twice."""
    held: list[NDArray[np.uint8]] = []
    have = 0
    for part in parts:
        held.append(part)
        have += len(part)
        if have < BLOCK:
            continue
        rows = np.concatenate(held)
        end = have - have % BLOCK
        for start in range(0, end, BLOCK):
            yield rows[start : start + BLOCK]
        held, have = [rows[end:].copy()], have - end
    if have:
        yield np.concatenate(held)


def _sums(path: Path) -> list[int]:
    """Read a file whole and return a check sum of each band."""
    import rasterio
    from rasterio.errors import NotGeoreferencedWarning
    from rasterio.windows import Window

    sums = []
    with _quiet(NotGeoreferencedWarning), rasterio.open(path, driver="GTiff") as file:
        for band in range(1, file.count + 1):
            total = 0
            for row in range(0, file.height, BLOCK):
                window = Window(0, row, file.width, min(BLOCK, file.height - row))
                total = zlib.crc32(np.ascontiguousarray(file.read(band, window=window)).data, total)
            sums.append(total)
    return sums


def _write_names(path: Path, names: tuple[str, ...]) -> None:
    """Write names of values where GDAL and QGIS look for them: <name>.tif.aux.xml."""
    from xml.sax.saxutils import escape

    listed = "".join(f"      <Category>{escape(name)}</Category>\n" for name in names)
    band = f'  <PAMRasterBand band="1">\n    <CategoryNames>\n{listed}    </CategoryNames>\n  </PAMRasterBand>\n'
    target = path.with_name(f"{path.name}.aux.xml")
    with atomic_path(target) as temporary:
        temporary.write_text(f"<PAMDataset>\n{band}</PAMDataset>\n", encoding="utf-8")


def _sweep(temporary: Path, plain: Path) -> None:
    """Delete the plain file and what GDAL put beside the final one on its way."""
    with suppress(OSError):
        plain.unlink(missing_ok=True)
        for left in temporary.parent.glob(f"{temporary.name}.*"):
            left.unlink(missing_ok=True)


@contextmanager
def _quiet(category: type[Warning]) -> Iterator[None]:
    import warnings

    with warnings.catch_warnings():
        warnings.simplefilter("ignore", category)
        yield


@contextmanager
def _said(path: Path) -> Iterator[None]:
    """Turn a fault while writing into a disk's fault that names path and free space; GDAL's own words are not shown."""
    from rasterio._err import CPLE_BaseError  # what GDAL says while a file is closed comes as it is
    from rasterio.errors import RasterioError

    silent = logging.NullHandler()
    logging.getLogger("rasterio").addHandler(silent)
    try:
        yield
    except MaskwrightError as error:
        if not isinstance(error, StorageError) or "MiB free" in error.what:
            raise
        raise StorageError(f"{error.what} ({_free(path)})", where=path, fix=error.fix) from error
    except (RasterioError, CPLE_BaseError, OSError) as error:
        what = f"could not be written ({_free(path)}; {error.__cause__ or error})"
        raise StorageError(what, where=path, fix="free some space and run again") from error
    finally:
        logging.getLogger("rasterio").removeHandler(silent)


def _free(path: Path) -> str:
    folder = next(place for place in path.parents if place.exists())
    return f"{shutil.disk_usage(folder).free / 2**20:.1f} MiB free"
