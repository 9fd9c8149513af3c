"""Read pixels, and nothing else reads pixels: one allow-list of formats, sizes checked before decoding.

The first bytes of a file choose its reader, never its name: PNG, JPEG, GIF and BMP go to Pillow, TIFF
to GDAL's GTiff driver alone. A VRT, which could point at any file, is refused whatever it is called.

Images come as (H, W, B) in the file's dtype with `valid` (H, W). Alpha is never a band: where it is 0,
where nodata says so, and where a float is not finite, `valid` is False and the pixel is 0. Palette
images become RGB; palette masks stay indices. EXIF orientation is reported and not applied: pixels
and labels are compared as they are stored.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from maskwright.core.errors import InputError, from_os_error
from maskwright.core.grid import Shape
from maskwright.data.pixels import geotiff, pictures
from maskwright.data.pixels.header import Header, Limit, Pixels, Valid

SUFFIXES = (".png", ".jpg", ".jpeg", ".gif", ".bmp", ".tif", ".tiff")
"""Names that are taken for images when a folder is listed."""
MOST_MASK_PIXELS = 1 << 34
"""Size up to which the palette of a mask is looked at; nothing of it is decoded."""
TIFF = (b"II*\0", b"MM\0*", b"II+\0", b"MM\0+")
"""First bytes of classic TIFF and BigTIFF in both byte orders."""


def read_header(path: Path, max_pixels: int) -> Header:
    """Read size, bands and dtype of an image without decoding it.

    Args:
        path: the file.
        max_pixels: larger images are refused.

    Raises:
        InputError: not an image we read, empty, damaged at its head, or too large.
    """
    if _driver(path) == "GTiff":
        with geotiff.opened(path, max_pixels) as dataset:
            return geotiff.header(dataset)
    with pictures.opened(path, max_pixels) as picture:
        return pictures.header(picture, path)


def read_image(path: Path, max_pixels: int) -> tuple[Pixels, Valid]:
    """Decode an image whole.

    Args:
        path: the file.
        max_pixels: larger images are refused before decoding.

    Returns:
        pixels (H, W, B) in the file's dtype, 0 where not valid; valid bool (H, W).

    Raises:
        InputError: as read_header, or truncated or damaged anywhere.
    """
    return hidden(*_decoded(path, _driver(path), max_pixels))


def _decoded(path: Path, driver: str, limit: Limit) -> tuple[Pixels, Valid]:
    """Decode a file whole by the reader that its first bytes name."""
    if driver == "GTiff":
        with geotiff.opened(path, limit) as dataset:
            return geotiff.image(dataset, path)
    with pictures.opened(path, limit) as picture:
        pictures.header(picture, path)
        return pictures.image(picture, path)


def hidden(pixels: Pixels, valid: Valid) -> tuple[Pixels, Valid]:
    """Let floats that are not finite not count either, and put 0 where nothing counts.

    Args:
        pixels: (H, W, B); written to.
        valid: bool (H, W).
    """
    if pixels.dtype.kind == "f" and not np.isfinite(pixels).all():
        valid = valid & np.isfinite(pixels).all(axis=2)
    if not valid.all():
        pixels[~valid] = 0
    return pixels, valid


def is_tiff(path: Path) -> bool:
    """Say whether a file's first bytes are those of a TIFF.

    Raises:
        InputError: it is empty, a VRT, or nothing we read.
    """
    return _driver(path) == "GTiff"


def read_mask(path: Path, max_pixels: int, shape: Shape | None = None) -> NDArray[np.integer]:
    """Decode a single-channel mask whole: grey values or palette indices as stored.

    Args:
        path: the file.
        max_pixels: larger masks are refused before decoding.
        shape: (H, W) the mask must have, e.g. its image's; None: any.

    Returns:
        integer (H, W).

    Raises:
        InputError: as read_image; a colour mask, a JPEG, fractions, or another size.
    """
    return read_mask_and_nodata(path, max_pixels, shape)[0]


def read_mask_and_nodata(
    path: Path, max_pixels: int, shape: Shape | None = None
) -> tuple[NDArray[np.integer], int | None]:
    """Decode a mask as read_mask does, and return beside it the nodata value its TIFF names, if any."""
    limit = max_pixels if shape is None else shape
    if _driver(path) == "GTiff":
        with geotiff.opened(path, limit) as dataset:
            return geotiff.mask(dataset, path)
    with pictures.opened(path, limit) as picture:
        return pictures.mask(picture, path), None


def read_colours(path: Path, shape: Shape) -> tuple[NDArray[np.uint8], Valid]:
    """Decode a mask of colours whole; grey is a colour with three equal parts, and a palette is looked up.

    Args:
        path: the file.
        shape: (H, W) the mask must have.

    Returns:
        uint8 (H, W, 3) as stored; bool (H, W), False where it is transparent.

    Raises:
        InputError: as read_image; a JPEG, another size, another number of bands, or more than 8 bits.
    """
    driver = _driver(path)
    if driver == "JPEG":
        raise InputError("a JPEG mask has blurred colours", where=path, fix="save masks as PNG", kind="jpeg_mask")
    pixels, opaque = _decoded(path, driver, shape)
    if pixels.shape[2] not in (1, 3) or pixels.dtype != np.uint8:
        raise InputError(
            f"a mask of colours has 3 bands of uint8, this one {pixels.shape[2]} of {pixels.dtype}",
            where=path,
            fix="save it as an 8-bit RGB PNG",
            kind="colour_mask",
        )
    return (pixels if pixels.shape[2] == 3 else np.repeat(pixels, 3, axis=2)), opaque


def read_alpha(path: Path, max_pixels: int) -> NDArray[np.generic] | None:
    """Decode the alpha band of an image, (H, W) in the file's dtype; None if it has none of its own."""
    if _driver(path) == "GTiff":
        with geotiff.opened(path, max_pixels) as dataset:
            return geotiff.alpha(dataset)
    with pictures.opened(path, max_pixels) as picture:
        return pictures.alpha(picture)


def read_palette(path: Path) -> bytes | None:
    """Return the palette of a palette PNG as r, g, b, r, g, b, ...; None if it is no such file, or is damaged."""
    try:
        if _driver(path) != "PNG" or not pictures.is_palette_png(path):
            return None
        with pictures.opened(path, MOST_MASK_PIXELS) as picture:
            return pictures.palette(picture)
    except InputError:
        return None


def _driver(path: Path) -> str:
    """Return the reader for a file's first bytes, or refuse the file."""
    try:
        with path.open("rb") as handle:
            head = handle.read(16)
    except OSError as error:
        raise from_os_error(error, path) from error
    if not head:
        raise InputError(
            "is empty (0 bytes)", where=path, fix="copy it again, or take it out of the set", kind="empty_file"
        )
    if head.startswith(TIFF):
        return "GTiff"
    for signature, (name, _) in pictures.PLUGINS.items():
        if head.startswith(signature):
            return name
    if head.lstrip().startswith(b"<VRT"):
        raise InputError(
            "is a GDAL VRT, which may point at any file and is never opened",
            where=path,
            fix="give the GeoTIFF it points at",
            kind="virtual_raster",
        )
    raise InputError(
        f"is no PNG, JPEG, GIF, BMP or TIFF (it begins with {ascii(head[:8])[2:-1]})",
        where=path,
        fix="convert it, or take it out of the set",
        kind="foreign_format",
    )
