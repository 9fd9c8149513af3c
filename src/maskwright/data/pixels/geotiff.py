"""Decode TIFF with GDAL's GTiff driver alone; files beside it, which it may point at, are not looked for."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from maskwright.core.errors import InputError
from maskwright.core.grid import Shape, Window
from maskwright.data.pixels.header import Header, Limit, Pixels, Valid, hush, refuse_size

MAX_BANDS = 1024
MAX_BLOCK = 1 << 24
"""Pixels of a block that are always accepted; GDAL reserves a whole block to read one pixel."""


Part = tuple[float, float, float, float]
"""Row, column, height and width of what is read, in pixels of the file; fractions where it is resampled."""


@contextmanager
def opened(path: Path, limit: Limit, *, overviews: bool = True) -> Iterator[Any]:
    """Open a TIFF with the GTiff driver alone, without looking for files beside it.

    Args:
        path: the file.
        limit: see refuse_size.
        overviews: False: they are not there, for reading at another size. GDAL then knows no transform.
    """
    import rasterio
    from rasterio.errors import NotGeoreferencedWarning, RasterioError

    hush(NotGeoreferencedWarning)  # an image without coordinates is nothing to warn of
    try:
        with (
            rasterio.Env(GDAL_DISABLE_READDIR_ON_OPEN="EMPTY_DIR"),
            rasterio.open(path, driver="GTiff", **({} if overviews else {"OVERVIEW_LEVEL": "NONE"})) as dataset,
        ):
            refuse_size(dataset.shape, limit, path)
            _refuse_odd_tiff(dataset, path)
            yield dataset
    except RasterioError as error:
        raise InputError(
            f"is damaged or truncated ({error.__cause__ or error})",
            where=path,
            fix="copy it again, or take it out of the set",
            kind="damaged_file",
        ) from error


def _refuse_odd_tiff(dataset: Any, path: Path) -> None:
    if dataset.count > MAX_BANDS:
        raise InputError(
            f"has {dataset.count} bands, more than {MAX_BANDS}", where=path, fix="keep fewer bands", kind="odd_bands"
        )
    if len(set(dataset.dtypes)) > 1 or np.dtype(dataset.dtypes[0]).kind not in "uif":
        raise InputError(
            f"has bands of type {', '.join(sorted(set(dataset.dtypes)))}",
            where=path,
            fix="store all as one real type",
            kind="odd_bands",
        )
    if len(dataset.subdatasets) > 1:
        pages, fix = len(dataset.subdatasets), "save each page as a file of its own"
        raise InputError(f"has {pages} pages", where=path, fix=fix, kind="animation")
    space = dataset.tags(ns="IMAGE_STRUCTURE").get("SOURCE_COLOR_SPACE", "")
    if space in ("CMYK", "CIELAB", "ICCLAB", "ITULAB", "LOGL", "LOGLUV"):
        raise InputError(
            f"has colour mode {space}", where=path, fix="convert it to grey, RGB or RGBA", kind="odd_colours"
        )
    block = max(rows * cols for rows, cols in dataset.block_shapes)
    if block > max(MAX_BLOCK, dataset.height * dataset.width):
        raise InputError(
            f"has blocks of {block} pixels, more than the image",
            where=path,
            fix="store it in tiles of 256 or 512 pixels",
            kind="odd_bands",
        )


def _alpha_bands(dataset: Any) -> list[int]:
    from rasterio.enums import ColorInterp

    return [index for index, meaning in enumerate(dataset.colorinterp, 1) if meaning == ColorInterp.alpha]


def _palette_of(dataset: Any) -> NDArray[np.uint8] | None:
    """Return RGB of every index, uint8 (256, 3), if the TIFF is a palette image; black and white is none."""
    from rasterio.enums import ColorInterp

    if dataset.count != 1 or dataset.dtypes[0] != "uint8" or dataset.colorinterp[0] != ColorInterp.palette:
        return None
    palette = np.zeros((256, 3), np.uint8)
    for index, colour in dataset.colormap(1).items():
        palette[index] = colour[:3]
    if _bits(dataset) == 1 and palette[:2].tolist() in ([[0] * 3, [255] * 3], [[255] * 3, [0] * 3]):
        return None
    return palette


def _bits(dataset: Any) -> int:
    """Return bits a sample: 1, 2 or 4 where GDAL gives uint8 of few values, else 0."""
    bits = int(dataset.tags(1, ns="IMAGE_STRUCTURE").get("NBITS", 0))
    return bits if bits in (1, 2, 4) and dataset.dtypes[0] == "uint8" else 0


def _white_is_0(dataset: Any) -> bool:
    """Whether grey values are stored as a negative (MINISWHITE), which GDAL does not undo."""
    return bool(dataset.count == 1 and dataset.tags(ns="IMAGE_STRUCTURE").get("MINISWHITE") == "YES")


def header(dataset: Any) -> Header:
    """Return what the opened TIFF says of itself."""
    alpha = _alpha_bands(dataset)
    bands = 3 if _palette_of(dataset) is not None else dataset.count - len(alpha)
    told = [dataset.descriptions[index] or "" for index in range(dataset.count) if index + 1 not in alpha]
    names = tuple(told) if any(told) and len(told) == bands else ()
    return Header(dataset.height, dataset.width, bands, dataset.dtypes[0], "GTiff", bool(alpha), names=names)


def image(
    dataset: Any, path: Path, part: Part | None = None, shape: Shape | None = None, *, packed: bool = True
) -> tuple[Pixels, Valid]:
    """Decode the opened TIFF as an image: bands without alpha, and where alpha, nodata or mask let them count.

    A pixel whose bands are nodata only in part counts, as in GDAL's own data-set mask.

    Args:
        dataset: opened.
        path: for messages.
        part: what to read; None: all of it.
        shape: (H, W) that the part is resampled to: averaged where it shrinks, linear where it grows, valid and
            palette indices by nearest pixel; None: its own. Always made from the full resolution.
        packed: whether the bands of a pixel lie together in memory; otherwise band lies after band, which saves a copy.
    """
    from rasterio.enums import ColorInterp, MaskFlags

    alpha, palette = _alpha_bands(dataset), _palette_of(dataset)
    colour = [index for index in range(1, dataset.count + 1) if index not in alpha]
    if not colour:
        raise InputError(
            "has no band but alpha", where=path, fix="give an image with at least one band", kind="odd_bands"
        )
    if palette is None and dataset.dtypes[0] == "uint16" and dataset.colorinterp[0] == ColorInterp.palette:
        raise InputError("has a palette of 16 bits", where=path, fix="save it as RGB", kind="odd_colours")
    wanted = _wanted(part, shape, smooth=palette is None and not _bits(dataset))
    pixels = np.moveaxis(_read(dataset, colour, wanted), 0, -1)
    if packed:
        pixels = np.ascontiguousarray(pixels)
    if all(flags == [MaskFlags.all_valid] for flags in dataset.mask_flag_enums):
        valid = np.ones(pixels.shape[:2], bool)
    else:
        valid = validity(dataset, part, shape)
    if palette is not None:
        return palette[pixels[:, :, 0]], valid
    if bits := _bits(dataset):
        pixels = pixels * np.uint8(255 // (2**bits - 1))
    if _white_is_0(dataset) and pixels.dtype.kind == "u":
        pixels = np.iinfo(pixels.dtype).max - pixels
    return pixels, valid


def alpha(dataset: Any) -> NDArray[np.generic] | None:
    """Decode the alpha band of the opened TIFF, (H, W); None if it has none."""
    bands = _alpha_bands(dataset)
    return np.asarray(dataset.read(bands[0])) if bands else None


def _wanted(part: Part | None, shape: Shape | None, *, smooth: bool) -> dict[str, Any]:
    """Return rasterio's arguments for a part of a raster, resampled."""
    from rasterio.enums import Resampling
    from rasterio.windows import Window

    if part is None:
        return {}
    row, col, height, width = part
    wanted: dict[str, Any] = {"window": Window(col, row, width, height)}
    if shape is not None and shape != (height, width):
        shrinks = shape[0] <= height and shape[1] <= width
        how = Resampling.average if shrinks else Resampling.bilinear
        wanted |= {"out_shape": shape, "resampling": how if smooth else Resampling.nearest}
    return wanted


def _read(dataset: Any, bands: list[int], wanted: dict[str, Any]) -> Pixels:
    known = dict(wanted)
    if "out_shape" in known:
        known["out_shape"] = (len(bands), *known["out_shape"])
    pixels: Pixels = dataset.read(bands, **known)
    return pixels


def validity(dataset: Any, part: Part | None = None, shape: Shape | None = None) -> Valid:
    """Return where alpha, nodata or mask of an opened TIFF let a part of it count, bool (H, W)."""
    valid: Valid = dataset.dataset_mask(**_wanted(part, shape, smooth=False)) != 0
    return valid


def holes(dataset: Any) -> Callable[[Window], bool]:
    """Return what says of a window that the opened TIFF holds not one of its blocks, so that all of it is no data.

    Nothing is read. It says no where no value for no data is declared, since a hole then stands for 0.
    """
    from rasterio.enums import MaskFlags

    height, width = dataset.block_shapes[0]
    alike = all(shape == (height, width) for shape in dataset.block_shapes)
    known = alike and all(flags == [MaskFlags.nodata] for flags in dataset.mask_flag_enums)

    def empty(window: Window) -> bool:
        rows = range(window.row // height, -(-(window.row + window.height) // height))
        cols = range(window.col // width, -(-(window.col + window.width) // width))
        return known and all(
            dataset.get_tag_item(f"BLOCK_OFFSET_{col}_{row}", "TIFF", bidx=band) is None
            for band in dataset.indexes
            for row in rows
            for col in cols
        )

    return empty


def mask(
    dataset: Any, path: Path, part: Part | None = None, shape: Shape | None = None
) -> tuple[NDArray[np.integer], int | None]:
    """Decode the opened TIFF as a mask, and return its nodata value if it is a whole number.

    Args:
        dataset: opened.
        path: for messages.
        part: what to read; None: all of it.
        shape: (H, W) that the part is brought to, by nearest pixel; None: its own.

    Raises:
        InputError: it has several bands, or fractions; was packed with loss, or as a negative.
    """
    if dataset.count != 1:
        raise InputError(
            f"a mask must have one channel, this one has {dataset.count}",
            where=path,
            fix="keep the band of class ids, or set encoding: rgb if colours stand for classes",
            kind="colour_mask",
        )
    packing = dataset.tags(ns="IMAGE_STRUCTURE")
    if "JPEG" in packing.get("COMPRESSION", "") or packing.get("COMPRESSION_REVERSIBILITY") == "LOSSY":
        what = f"a mask packed with loss ({packing['COMPRESSION']}) has blurred label values"
        raise InputError(what, where=path, fix="save masks with deflate or LZW", kind="jpeg_mask")
    if _white_is_0(dataset):
        what, fix = "a mask stored as a negative (MINISWHITE) is read in two ways", "save it as MINISBLACK"
        raise InputError(what, where=path, fix=fix, kind="odd_colours")
    values, nodata = _read(dataset, [1], _wanted(part, shape, smooth=False))[0], dataset.nodata
    if values.dtype.kind == "f":
        whole = np.isfinite(values) & (np.abs(values) < 2**31) & (values == np.floor(values))
        if not whole.all():
            raise InputError(
                "a mask must hold whole numbers", where=path, fix="store class ids as uint8", kind="fraction_mask"
            )
        values = values.astype(np.int32)
    return values, int(nodata) if nodata is not None and float(nodata).is_integer() else None
