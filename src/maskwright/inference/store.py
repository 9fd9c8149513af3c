"""Probabilities on disk: one small safetensors file for each item, quantised, whole or absent.

A file `<safe name of the key>.safetensors` holds

    probability  U8 or U16 (K, H, W)      round(p * scale), scale 255 or 65535
    valid        U8 (H, ceil(W / 8))      bits of each row, first pixel highest; left out if all are valid

and, as JSON in its metadata: key, scale, shape, a check sum of the data, and the writer's facts.
Equal content gives equal bytes. The format is written here because the safetensors library reports
a full disk as no OSError (seen with 0.8.0); any safetensors reader can open the files.
"""

from __future__ import annotations

import json
import math
import os
import struct
import zlib
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal
from urllib.parse import unquote

import numpy as np
from numpy.typing import NDArray

from maskwright.core.errors import InputError, from_os_error
from maskwright.core.files import atomic_path, safe_name
from maskwright.core.grid import Shape, Window

SUFFIX = ".safetensors"
META = "maskwright"
AT_ONCE = 1 << 16
"""Numbers that are quantised together: they stay in the second cache."""
LONGEST_HEADER = 1 << 20
"""Bytes; ours take a few hundred, a damaged length must not ask for memory."""
Quantised = NDArray[np.unsignedinteger[Any]]
"""uint8 or uint16."""
Bits = Literal[8, 16]
_Stored = tuple[Quantised, NDArray[np.bool_], int]
"""Values, valid and the scale."""
_Stamp = tuple[int, int, int, int]
"""A file's inode, size and times."""


@dataclass(frozen=True)
class _Header:
    """What stands before the data of one file."""

    offset: int
    """Bytes before the data."""
    shape: tuple[int, int, int]
    dtype: np.dtype[np.unsignedinteger[Any]]
    masked: bool
    """Whether a `valid` tensor follows."""
    key: str
    check: int
    facts: dict[str, Any]

    @property
    def scale(self) -> int:
        return 255 if self.dtype.itemsize == 1 else 65535

    @property
    def probability_bytes(self) -> int:
        return math.prod(self.shape) * self.dtype.itemsize

    @property
    def packed(self) -> Shape:
        return self.shape[1], -(-self.shape[2] // 8)

    @property
    def data_bytes(self) -> int:
        return self.probability_bytes + (math.prod(self.packed) if self.masked else 0)


class Store:
    """A folder of stored probabilities, joined by key.

    A file's check sum is looked at once for each Store, and again if the file has become another one.

    Args:
        folder: made when the first item is written.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._checked: dict[str, _Stamp] = {}

    def path(self, key: str) -> Path:
        """Return the file of one item, there or not."""
        return self.folder / f"{safe_name(key)}{SUFFIX}"

    def has(self, key: str) -> bool:
        """Say whether an item is there; what is there is whole."""
        return self.path(key).is_file()

    def keys(self) -> tuple[str, ...]:
        """Return the keys of all items, sorted."""
        if not self.folder.is_dir():
            return ()
        names = (path.name for path in self.folder.iterdir())
        return tuple(
            sorted(unquote(n.removesuffix(SUFFIX)) for n in names if n.endswith(SUFFIX) and not n.startswith("."))
        )

    def write(
        self,
        key: str,
        probabilities: NDArray[np.float32],
        valid: NDArray[np.bool_],
        bits: Bits = 8,
        facts: Mapping[str, Any] | None = None,
    ) -> None:
        """Quantise and write one item atomically; an older file of that key is replaced.

        Args:
            key: of the item.
            probabilities: float32 (K, H, W) in [0, 1].
            valid: bool (H, W); False where the image has no data.
            bits: 8 or 16.
            facts: JSON-able; which models made it.

        Raises:
            StorageError: disk full or no permission.
        """
        self.write_quantised(key, quantise(probabilities, bits), valid, facts)

    def write_quantised(
        self, key: str, stored: Quantised, valid: NDArray[np.bool_], facts: Mapping[str, Any] | None = None
    ) -> None:
        """Write one item that was quantised before; see `write`.

        Args:
            key: of the item.
            stored: uint8 or uint16 (K, H, W) from `quantise`.
            valid: bool (H, W).
            facts: JSON-able.
        """
        assert stored.ndim == 3, stored.shape
        assert valid.shape == stored.shape[1:], (valid.shape, stored.shape)
        planes, height, width = stored.shape
        parts = [np.ascontiguousarray(stored)]
        if not valid.all():
            parts.append(np.packbits(valid, axis=1))
        check = 0
        for part in parts:
            check = zlib.crc32(part.data, check)
        header = _Header(0, (planes, height, width), stored.dtype, len(parts) > 1, key, check, dict(facts or {}))
        path = self.path(key)

        def verify(written: Path) -> None:
            _read_all(written, key)

        with atomic_path(path, verify) as temporary, temporary.open("wb") as stream:
            stream.write(_header_bytes(header))
            for part in parts:
                stream.write(part.data)

    def read(self, key: str, window: Window | None = None) -> NDArray[np.float32]:
        """Return probabilities, float32 (K, H, W), of the whole item or of a window inside it.

        Raises:
            InputError: absent or damaged (a window is checked for size, not for content).
        """
        if window is None:
            stored, scale = self.read_quantised(key)
            return dequantise(stored, scale)
        path = self.path(key)
        header = _read_header(path, key)
        rows, cols = window.slices
        assert window.clip((header.shape[1], header.shape[2])) == window, (window, header.shape)
        mapped = np.memmap(path, header.dtype, "r", header.offset, header.shape)
        return dequantise(np.array(mapped[:, rows, cols]), header.scale)

    def read_quantised(self, key: str) -> tuple[Quantised, int]:
        """Return what is stored, uint8 or uint16 (K, H, W), and the scale it was multiplied with.

        Raises:
            InputError: absent or damaged.
        """
        stored, _, scale = self.read_item(key)
        return stored, scale

    def read_item(self, key: str) -> tuple[Quantised, NDArray[np.bool_], int]:
        """Return stored values (K, H, W), valid bool (H, W) and the scale, from one read of the file.

        Raises:
            InputError: absent or damaged.
        """
        found, stamp = _read_all(self.path(key), key, self._checked.get(key))
        self._checked[key] = stamp
        return found

    def valid(self, key: str) -> NDArray[np.bool_]:
        """Return bool (H, W): where the image had data.

        Raises:
            InputError: absent or damaged.
        """
        return self.read_item(key)[1]

    def shape(self, key: str) -> tuple[int, int, int]:
        """Return (K, H, W) from the file's header."""
        return _read_header(self.path(key), key).shape

    def facts(self, key: str) -> dict[str, Any]:
        """Return the writer's facts from the file's header."""
        return _read_header(self.path(key), key).facts

    def describe(self, key: str) -> tuple[tuple[int, int, int], dict[str, Any]]:
        """Return shape (K, H, W) and facts from one look at the file's header."""
        header = _read_header(self.path(key), key)
        return header.shape, header.facts


def quantise(probabilities: NDArray[np.float32], bits: Bits = 8) -> Quantised:
    """Return round(p * 255) as uint8 or round(p * 65535) as uint16; halves go down.

    So a probability of one half is stored below the middle: it is not foreground, as with a strict > 0.5 (SEEDS 002.6)
    and as a tie of two classes goes to the first.

    Args:
        probabilities: float32 in [0, 1], any shape; sums that miss 1 by a rounding are cut to it.
        bits: 8 or 16.
    """
    scale, kind = (255, np.uint8) if bits == 8 else (65535, np.uint16)
    result: Quantised = np.empty(probabilities.shape, kind)
    flat, stored = probabilities.reshape(-1), result.reshape(-1)
    for start in range(0, flat.size, AT_ONCE):  # fresh pages for the whole would cost more than the arithmetic
        scaled = flat[start : start + AT_ONCE] * np.float32(scale)
        scaled -= np.float32(0.5)
        np.ceil(scaled, out=scaled)
        stored[start : start + AT_ONCE] = np.clip(scaled, 0, scale, out=scaled)
    return result


def dequantise(stored: Quantised, scale: int) -> NDArray[np.float32]:
    """Return stored / scale as float32; quantising that again gives `stored`."""
    result: NDArray[np.float32] = np.divide(stored, np.float32(scale), dtype=np.float32)
    return result


def _header_bytes(header: _Header) -> bytes:
    end = header.probability_bytes
    kind = "U8" if header.dtype.itemsize == 1 else "U16"
    meta = {
        "key": header.key,
        "scale": header.scale,
        "check": header.check,
        "facts": header.facts,
    }
    entries: dict[str, Any] = {
        "__metadata__": {META: json.dumps(meta, ensure_ascii=False, allow_nan=False)},
        "probability": {"dtype": kind, "shape": list(header.shape), "data_offsets": [0, end]},
    }
    if header.masked:
        entries["valid"] = {"dtype": "U8", "shape": list(header.packed), "data_offsets": [end, header.data_bytes]}
    text = json.dumps(entries, ensure_ascii=False, separators=(",", ":")).encode()
    text += b" " * (-len(text) % 8)  # safetensors wants aligned data
    return struct.pack("<Q", len(text)) + text


def _damaged(path: Path, why: str) -> InputError:
    return InputError(f"damaged probabilities ({why})", where=path, fix="delete the file and run maskwright predict")


def _parse(start: bytes, size: int, path: Path, key: str) -> _Header:
    """Check a file's first bytes against its size and its key."""
    try:
        (length,) = struct.unpack_from("<Q", start)
        entries = json.loads(start[8 : 8 + length].decode())
        meta = json.loads(entries["__metadata__"][META])
        probability = entries["probability"]
        planes, height, width = (int(side) for side in probability["shape"])
        kind: np.dtype[np.unsignedinteger[Any]] = np.dtype({"U8": "u1", "U16": "<u2"}[probability["dtype"]])
        header = _Header(
            8 + length, (planes, height, width), kind, "valid" in entries, meta["key"], meta["check"], meta["facts"]
        )
    except (struct.error, ValueError, KeyError, TypeError):
        raise _damaged(path, "its header is not readable") from None
    if min(header.shape) < 1 or header.offset + header.data_bytes != size:
        raise _damaged(path, f"{size} bytes instead of {header.offset + header.data_bytes}")
    if header.key != key:
        raise _damaged(path, f"it holds item '{header.key}', not '{key}'")
    return header


def _read_header(path: Path, key: str) -> _Header:
    try:
        with path.open("rb") as stream:
            start = stream.read(8)
            length = int.from_bytes(start, "little")
            start += stream.read(min(length, LONGEST_HEADER))
            return _parse(start, path.stat().st_size, path, key)
    except FileNotFoundError:
        raise _absent(path, key) from None
    except OSError as error:
        raise from_os_error(error, path) from error


def _read_all(path: Path, key: str, checked: _Stamp | None = None) -> tuple[_Stored, _Stamp]:
    """Read a file; its content is checked unless it is the very file that was checked before."""
    try:
        with path.open("rb") as stream:
            about = os.fstat(stream.fileno())
            data = stream.read()
    except FileNotFoundError:
        raise _absent(path, key) from None
    except OSError as error:
        raise from_os_error(error, path) from error
    stamp = about.st_ino, about.st_size, about.st_mtime_ns, about.st_ctime_ns
    header = _parse(data, len(data), path, key)
    if stamp != checked and zlib.crc32(memoryview(data)[header.offset :]) != header.check:
        raise _damaged(path, "its check sum does not match")
    _, height, width = header.shape
    stored = np.frombuffer(data, header.dtype, math.prod(header.shape), header.offset).reshape(header.shape)
    if not header.masked:
        return (stored, np.ones((height, width), bool), header.scale), stamp
    packed = np.frombuffer(data, np.uint8, -1, header.offset + header.probability_bytes).reshape(header.packed)
    return (stored, np.unpackbits(packed, axis=1, count=width).astype(bool), header.scale), stamp


def _absent(path: Path, key: str) -> InputError:
    return InputError(f"no probabilities of item '{key}'", where=path.parent, fix="run maskwright predict")
