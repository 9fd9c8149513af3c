"""Decode PNG, JPEG, GIF and BMP with Pillow, each by the one plug-in that its first bytes name.

Pillow's own `open` tries plug-ins and warns at its own size limit; here neither happens. Whatever
breaks while decoding is a damaged file: Pillow raises on truncation where GDAL gives pixels.
"""

from __future__ import annotations

import struct
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO, Any, cast

import numpy as np
from numpy.typing import NDArray
from PIL.BmpImagePlugin import BmpImageFile
from PIL.GifImagePlugin import GifImageFile
from PIL.Image import DecompressionBombError, DecompressionBombWarning
from PIL.ImageFile import ImageFile
from PIL.JpegImagePlugin import JpegImageFile
from PIL.PngImagePlugin import PngImageFile

from maskwright.core.errors import InputError, from_os_error
from maskwright.data.pixels.header import Header, Limit, Pixels, Valid, hush, refuse_size
from maskwright.data.pixels.wholeness import refuse_broken_png, refuse_cut_jpeg, refuse_short_png

ORIENTATION = 0x0112
"""EXIF tag."""
_BROKEN = (
    OSError,
    SyntaxError,
    ValueError,
    IndexError,
    TypeError,
    EOFError,
    OverflowError,
    struct.error,
    zlib.error,
    DecompressionBombError,
)
"""What Pillow raises on damaged files (seen on truncated, bit-flipped and hand-made ones)."""
_GREY_STEP = {"L;2": 85, "L;4": 17}
"""Pillow stretches 2- and 4-bit greys to 0..255 by these factors; in a mask they are undone."""


@contextmanager
def opened(path: Path, limit: Limit) -> Iterator[ImageFile]:
    """Open a file with the one plug-in its signature names; whatever breaks inside is a damaged file."""
    hush(UserWarning, "PIL[.]")  # odd EXIF data is nothing to warn of
    hush(DecompressionBombWarning)  # sizes are checked here, against the recipe's limit
    try:
        with path.open("rb") as handle:
            picture = _plugin(handle)
            refuse_size((picture.height, picture.width), limit, path)
            if getattr(picture, "n_frames", 1) > 1:
                raise InputError("is an animation", where=path, fix="save one frame as PNG", kind="animation")
            yield picture
    except InputError:
        raise
    except _BROKEN as error:
        if isinstance(error, OSError) and error.errno is not None:
            raise from_os_error(error, path) from error
        raise InputError(
            f"is damaged or truncated ({error})",
            where=path,
            fix="copy it again, or take it out of the set",
            kind="damaged_file",
        ) from error


def _plugin(handle: IO[bytes]) -> ImageFile:
    head = handle.read(16)
    handle.seek(0)
    for signature, (_, plugin) in PLUGINS.items():
        if head.startswith(signature):
            return plugin(handle)
    raise SyntaxError("the file changed while it was read")


def _decode(picture: ImageFile, path: Path) -> Pixels:
    """Decode the pixels as Pillow lays them out; a PNG must also carry the right checksums to its end.

    Pillow asks for no checksum at the end, and gives black rows where data end early. Plain PNGs go to
    OpenCV, which is faster and refuses such data; the rest, and what OpenCV refuses, goes to Pillow.
    """
    data = path.read_bytes() if picture.format in ("PNG", "JPEG") else b""
    if picture.format == "JPEG":
        refuse_cut_jpeg(data)
    if picture.format != "PNG":
        return np.array(picture)
    refuse_broken_png(data)
    if _raw_mode(picture) not in PLAIN or {"transparency", "interlace"} & picture.info.keys():
        refuse_short_png(data)
        return np.array(picture)
    import cv2

    if picture.width >= WIDEST or picture.height >= WIDEST or picture.width * picture.height >= LARGEST:
        refuse_short_png(data)
        return np.array(picture)
    values: Pixels | None = cv2.imdecode(np.frombuffer(data, np.uint8), PLAIN[_raw_mode(picture)])
    if values is None:
        picture.load()  # says what is wrong, unless it is only that the data end early
        raise SyntaxError("image data end early")
    return cast(Pixels, cv2.cvtColor(values, cv2.COLOR_BGRA2RGBA, dst=values)) if picture.mode == "RGBA" else values


def _raw_mode(picture: ImageFile) -> str:
    """Return how samples are packed in the file, e.g. RGB;16B; to be asked before loading."""
    packed = picture.tile[0][3] if picture.tile else ""
    return packed if isinstance(packed, str) else ""


def header(picture: ImageFile, path: Path) -> Header:
    """Return what the opened file says of itself.

    Raises:
        InputError: a colour mode that is neither grey, palette nor RGB.
    """
    raw_mode = _raw_mode(picture)
    if picture.mode not in BANDS:
        raise InputError(
            f"has colour mode {picture.mode}", where=path, fix="convert it to grey, RGB or RGBA", kind="odd_colours"
        )
    deep = picture.mode.startswith("I") or raw_mode.endswith(";16B")
    return Header(
        height=picture.height,
        width=picture.width,
        bands=1 if raw_mode == "LA;16B" else BANDS[picture.mode],
        dtype="uint16" if deep else "uint8",
        driver=str(picture.format),
        has_alpha=picture.mode.endswith("A") or "transparency" in picture.info,
        orientation=_orientation(picture),
    )


def _orientation(picture: ImageFile) -> int:
    if picture.format not in ("JPEG", "PNG") or "exif" not in picture.info:
        return 1
    found = picture.getexif().get(ORIENTATION, 1)
    return found if isinstance(found, int) and 1 <= found <= 8 else 1


def image(picture: ImageFile, path: Path) -> tuple[Pixels, Valid]:
    """Decode the opened file as an image: bands without alpha, and where it is not transparent."""
    raw_mode, see_through = _raw_mode(picture), picture.info.get("transparency")
    pixels = _decode(picture, path)
    if raw_mode in ("RGB;16B", "RGBA;16B", "LA;16B"):
        values = _deep_colour(path)  # Pillow keeps the high bytes only
        if raw_mode == "LA;16B":
            values = values[:, :, [0, 3]]
    else:
        values = pixels
        values = values[:, :, None] if values.ndim == 2 else values
        if picture.mode == "1":
            values = values.astype(np.uint8) * 255
        elif picture.mode.startswith("I"):
            values = values.astype(np.uint16)
    valid = np.ones(values.shape[:2], bool)
    if values.shape[2] in (2, 4):
        valid, values = values[:, :, -1] != 0, np.ascontiguousarray(values[:, :, :-1])
    elif see_through is not None:
        valid = _opaque(values, see_through, picture.mode, _GREY_STEP.get(raw_mode, 1))
    if picture.mode == "P":
        palette = np.zeros((256, 3), np.uint8)
        colours = np.array(picture.getpalette("RGB"), np.uint8).reshape(-1, 3)
        palette[: len(colours)] = colours
        highest = int(values.max(initial=0))
        if picture.format == "PNG" and highest >= len(colours):
            raise SyntaxError(f"colour {highest} of a palette of {len(colours)}")
        values = palette[values[:, :, 0]]
    return values, valid


def alpha(picture: ImageFile) -> NDArray[np.generic] | None:
    """Decode the alpha channel of the opened file, (H, W) uint8; None if it has none."""
    return np.array(picture.getchannel("A")) if picture.mode.endswith("A") else None


def is_palette_png(path: Path) -> bool:
    """Say whether a PNG's head says that its pixels are indices of a palette.

    Raises:
        InputError: it cannot be opened.
    """
    try:
        with path.open("rb") as handle:
            return handle.read(26)[25:] == b"\3"
    except OSError as error:
        raise from_os_error(error, path) from error


def palette(picture: ImageFile) -> bytes | None:
    """Return the colours of the opened palette image as r, g, b, r, g, b, ...; None if it is none."""
    if picture.mode != "P" or picture.palette is None:
        return None
    return bytes(picture.palette.getdata()[1])


def _opaque(values: Pixels, see_through: Any, mode: str, step: int) -> Valid:
    """Return where a PNG or GIF without an alpha channel is not the one transparent colour or index."""
    if mode == "P" and isinstance(see_through, bytes):
        alpha = np.full(256, 255, np.uint8)
        alpha[: len(see_through)] = np.frombuffer(see_through, np.uint8)
        return cast(Valid, alpha[values[:, :, 0]] != 0)
    if mode == "1":
        step = 255
    return cast(Valid, (values != np.multiply(see_through, step)).any(axis=2))


def _deep_colour(path: Path) -> Pixels:
    """Decode a 16-bit colour PNG, whose wholeness Pillow has checked, at its full depth: RGB or RGBA uint16."""
    import cv2

    values = cv2.imdecode(np.frombuffer(path.read_bytes(), np.uint8), cv2.IMREAD_UNCHANGED)
    if values is None or values.ndim != 3:
        raise InputError("16-bit colour could not be decoded", where=path, fix="save it as a GeoTIFF")
    order = [2, 1, 0, 3][: values.shape[2]]
    return np.ascontiguousarray(values[:, :, order])


def mask(picture: ImageFile, path: Path) -> NDArray[np.integer]:
    """Decode the opened file as a mask: grey values or palette indices as they are stored.

    Raises:
        InputError: it has colour channels, or is a JPEG.
    """
    if picture.format == "JPEG":
        raise InputError("a JPEG mask has blurred label values", where=path, fix="save masks as PNG", kind="jpeg_mask")
    raw_mode = _raw_mode(picture)
    if picture.mode not in ("1", "L", "P", "I", "I;16", "I;16B"):
        raise InputError(
            f"a mask must have one channel, this one has {len(picture.getbands())} ({picture.mode})",
            where=path,
            fix="save class ids as a grey or palette PNG, or set encoding: rgb if colours stand for classes",
            kind="colour_mask",
        )
    values = _decode(picture, path)
    if picture.mode == "1":
        return values.astype(np.uint8)
    if picture.mode.startswith("I"):
        return values.astype(np.uint16)
    step = _GREY_STEP.get(raw_mode, 1)
    return values if step == 1 else values // np.uint8(step)


PLAIN = {"L": 128 | 0, "RGB": 128 | 256, "RGBA": -1}
"""Raw modes of PNGs that OpenCV decodes to the same pixels, 8 bit and no palette -> how it is asked: IMREAD_GRAYSCALE,
_COLOR_RGB (both with _IGNORE_ORIENTATION), _UNCHANGED."""
WIDEST, LARGEST = 1 << 20, 1 << 28
"""Pixels of a side and of an image from which OpenCV is not asked; it raises at its own limits."""
BANDS = {"1": 1, "L": 1, "LA": 1, "P": 3, "RGB": 3, "RGBA": 3, "I": 1, "I;16": 1, "I;16B": 1}
"""Bands besides alpha of each Pillow mode that we read."""
PLUGINS: dict[bytes, tuple[str, type[ImageFile]]] = {
    b"\x89PNG\r\n\x1a\n": ("PNG", PngImageFile),
    b"\xff\xd8\xff": ("JPEG", JpegImageFile),
    b"GIF8": ("GIF", GifImageFile),
    b"BM": ("BMP", BmpImageFile),
}
"""First bytes of a file -> its name and the plug-in that reads it."""
