"""A pickle of a dictionary, name -> uint8 label, as joblib.dump and pickle.dump write one: for organisers that want it.

Nothing is unpickled here (core/pickles.py finds arrays in files of others). This file's bytes are put together here,
opcode by opcode, item by item: memory holds one label, and no version of numpy or joblib leaves its mark. joblib.load
and pickle.load read it with any numpy.
"""

from __future__ import annotations

import math
import struct
import zlib
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import IO

import numpy as np
from numpy.typing import NDArray

from maskwright.core.errors import InputError
from maskwright.core.files import atomic_path

LabelOf = Callable[[str], NDArray[np.uint8]]
"""Name -> uint8 label at native size: (H, W), or (K, H, W) for multilabel."""
_Seen = tuple[tuple[int, ...], int]
"""A label's shape and check sum."""


def write_dictionary(path: Path, names: Sequence[str], label_of: LabelOf) -> None:
    """Write a dictionary of labels; the file is whole or absent, and is read back before it has its name.

    Args:
        path: the file.
        names: keys of the dictionary in its order, all different.
        label_of: gives a name's label; called once for each, in order.

    Raises:
        StorageError: disk full or no permission.
        InputError: what was read back is not what was written.
    """
    assert len(set(names)) == len(names), "names must be distinct"
    seen: dict[str, _Seen] = {}

    def verify(written: Path) -> None:
        if read_back(written) != seen:
            raise InputError("does not read back as it was written", where=path, fix="check the disk, and run again")

    with atomic_path(path, verify) as temporary, temporary.open("wb") as stream:
        stream.write(_HEAD)
        for name in names:
            label = np.ascontiguousarray(label_of(name), np.uint8)
            seen[name] = (label.shape, zlib.crc32(label.data))
            stream.write(_text(name) + _array(label) + b"s")
        stream.write(b".")


def read_back(path: Path) -> dict[str, _Seen]:
    """Return shape and check sum of each label in a file that write_dictionary wrote; no label is kept in memory.

    The bytes are compared with what stands in our files; nothing is unpickled.

    Raises:
        InputError: the file holds anything else.
    """
    found: dict[str, _Seen] = {}
    try:
        with path.open("rb") as stream:
            _expect(stream, _HEAD)
            while (mark := stream.read(1)) == b"X":
                name = _taken(stream, _number(stream, "<I")).decode("utf-8", "surrogatepass")
                _expect(stream, _MADE + b"(K\x01")
                shape = []
                while (code := stream.read(1)) == b"J":
                    shape.append(_number(stream, "<i"))
                if code != _TUPLES.get(len(shape)):
                    raise ValueError(f"a label of {len(shape)} axes")
                _expect(stream, b"h\x02\x89")
                size = _number(stream, "<I" if _taken(stream, 1) == b"B" else "<Q")
                if size != math.prod(shape):
                    raise ValueError(f"{size} bytes for a label of {tuple(shape)}")
                found[name] = (tuple(shape), zlib.crc32(_taken(stream, size)))
                _expect(stream, b"tbs")
            if mark + stream.read(1) != b".":
                raise ValueError("no end where it should be")
    except (OSError, ValueError) as error:
        raise InputError(f"no dictionary of labels ({error})", where=path, fix="write it again") from None
    return found


def _taken(stream: IO[bytes], count: int) -> bytes:
    data = stream.read(count)
    if len(data) != count:
        raise ValueError("it is cut off")
    return data


def _expect(stream: IO[bytes], wanted: bytes) -> None:
    if _taken(stream, len(wanted)) != wanted:
        raise ValueError(f"other bytes before {stream.tell()}")


def _number(stream: IO[bytes], kind: str) -> int:
    (value,) = struct.unpack(kind, _taken(stream, struct.calcsize(kind)))
    return int(value)


def _text(text: str) -> bytes:
    data = text.encode("utf-8", "surrogatepass")
    return b"X" + struct.pack("<I", len(data)) + data


def _array(label: NDArray[np.uint8]) -> bytes:
    """Return the opcodes that make an array: a blank one, then its state (numpy's __reduce__)."""
    shape = b"".join(b"J" + struct.pack("<i", side) for side in label.shape) + _TUPLES[label.ndim]
    if label.nbytes >= 1 << 32:
        size = b"\x8e" + struct.pack("<Q", label.nbytes)
    else:
        size = b"B" + struct.pack("<I", label.nbytes)
    return _MADE + b"(K\x01" + shape + b"h\x02\x89" + size + label.tobytes() + b"tb"


_TUPLES = {2: b"\x86", 3: b"\x87"}
"""What makes a tuple of so many numbers."""
_NAMES = (("numpy.core.multiarray", "_reconstruct"), ("numpy", "ndarray"), ("numpy", "dtype"))
"""Old names on purpose: numpy from 1.16 on to 2.x opens them."""
_GLOBALS = [b"c" + module.encode() + b"\n" + name.encode() + b"\n" for module, name in _NAMES]
_DTYPE = (
    _GLOBALS[2]
    + _text("u1")
    + b"\x89\x88\x87R"
    + b"(K\x03"
    + _text("|")
    + b"NNN"
    + 2 * b"J\xff\xff\xff\xff"
    + b"K\x00tb"
)
_HEAD = b"\x80\x04" + _GLOBALS[0] + b"q\x000" + _GLOBALS[1] + b"q\x010" + _DTYPE + b"q\x020" + b"}"
"""Protocol 4; memo 0: what makes an array, 1: its class, 2: dtype uint8; then an empty dictionary."""
_MADE = b"h\x00h\x01K\x00\x85C\x01b\x87R"
"""_reconstruct(ndarray, (0,), b"b")."""
