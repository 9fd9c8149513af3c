"""Whether PNG and JPEG files hold all that their heads promise, which decoders do not ask."""

from __future__ import annotations

import struct
import zlib
from collections.abc import Iterator

CHANNELS = {0: 1, 2: 3, 3: 1, 4: 2, 6: 4}
"""Samples a pixel of each PNG colour type: grey, RGB, palette, grey and alpha, RGB and alpha."""
PASSES = ((0, 0, 8, 8), (4, 0, 8, 8), (0, 4, 4, 8), (2, 0, 4, 4), (0, 2, 2, 4), (1, 0, 2, 2), (0, 1, 1, 2))
"""First column, first row and steps of both of each pass of an interlaced PNG (PNG specification, 8.2)."""
PIECE = 1 << 20
"""Bytes that are unpacked at once."""
_CHUNK = struct.Struct(">I4s")
LONE_MARKERS = (0x01, *range(0xD0, 0xD9))
"""JPEG markers without a length."""


def refuse_broken_png(data: bytes) -> None:
    """Refuse a PNG that lacks its end or the palette it needs, or one of whose checksums is wrong.

    Raises:
        SyntaxError: what is wrong.
    """
    view, place, name, colours = memoryview(data), 8, b"", False
    while name != b"IEND":
        if place + 12 > len(data):
            raise SyntaxError("image file is truncated")
        length, name = _CHUNK.unpack_from(data, place)
        if place + 12 + length > len(data):
            raise SyntaxError("image file is truncated")
        end = place + 8 + length
        if zlib.crc32(view[place + 4 : end]) != int.from_bytes(view[end : end + 4]):
            raise SyntaxError(f"wrong checksum of a {name.decode('latin-1')} chunk")
        colours = colours or name == b"PLTE"
        place += 12 + length
    if data[25] == 3 and not colours:
        raise SyntaxError("a palette image without a palette")


def refuse_short_png(data: bytes) -> None:
    """Refuse a PNG whose image data unpack to less than its head says; Pillow gives black rows then.

    Args:
        data: a PNG whose chunks are whole.
    """
    wanted = _bytes_promised(data)
    unpack = zlib.decompressobj()
    got = 0
    for piece in _image_data(data):
        left = piece
        while left and got < wanted:
            got += len(unpack.decompress(left, PIECE))
            left = unpack.unconsumed_tail
    if got < wanted:
        raise SyntaxError("image data end early")


def _bytes_promised(data: bytes) -> int:
    """Return the bytes of all rows of a PNG with the filter byte of each."""
    width, height, depth, kind = struct.unpack_from(">IIBB", data, 16)
    bits = depth * CHANNELS.get(kind, 1)
    passes = PASSES if data[28] else ((0, 0, 1, 1),)
    total = 0
    for left, top, across, down in passes:
        columns, rows = -((left - width) // across), -((top - height) // down)
        total += rows * (1 + (columns * bits + 7) // 8) if columns > 0 and rows > 0 else 0
    return total


def _image_data(data: bytes) -> Iterator[bytes]:
    place, name = 8, b""
    while name != b"IEND":
        length, name = struct.unpack_from(">I4s", data, place)
        if name == b"IDAT":
            yield data[place + 8 : place + 8 + length]
        place += 12 + length


def refuse_cut_jpeg(data: bytes) -> None:
    """Refuse a JPEG that has no end after its image data began, as when only a part of it was copied.

    Decoders fill up what is missing and say nothing where zeros follow instead of the end of the file.
    """
    start = _image_data_of_jpeg(data)
    if start and data.rfind(b"\xff\xd9") < start:
        raise SyntaxError("image data end early")


def _image_data_of_jpeg(data: bytes) -> int:
    """Return where the first scan of a JPEG begins; 0 if its segments cannot be followed."""
    place = 2
    while place + 4 <= len(data) and data[place] == 0xFF:
        marker = data[place + 1]
        if marker == 0xDA:
            return place
        if marker == 0xFF:
            place += 1
        elif marker in LONE_MARKERS:
            place += 2
        else:
            place += 2 + int.from_bytes(data[place + 2 : place + 4], "big")
    return 0
