"""Digests of pixels and of files, fast enough to take of everything: equal digests mean equal bytes.

They guard against accidents, not against an adversary: 256 bits of a mixing function are bound
together with shape and dtype by BLAKE2b, as 32 hex digits.
"""

from __future__ import annotations

import hashlib
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from maskwright.core.errors import from_os_error

MOST_ROWS = 1 << 16
"""Rows of squares of bytes that 32 bits hold."""
CHUNK = 1 << 22
"""Bytes of a file held in memory."""


def of_arrays(*arrays: NDArray[Any]) -> str:
    """Return the digest of arrays: their bytes in C order, shapes and dtypes."""
    from maskwright.data.audit.kernels import mix

    state = hashlib.blake2b(digest_size=16)
    for array in arrays:
        lanes = np.zeros(4, np.int64)
        mix(np.ascontiguousarray(array).reshape(-1).view(np.uint8), lanes)
        state.update(f"{array.shape}{array.dtype}".encode())
        state.update(lanes.tobytes())
    return state.hexdigest()


def of_file(path: Path) -> str:
    """Return the digest of a file's bytes.

    Raises:
        InputError: it is absent.
        StorageError: it cannot be read.
    """
    from maskwright.data.audit.kernels import mix

    lanes, size = np.zeros(4, np.int64), 0
    try:
        with path.open("rb") as handle:
            while chunk := handle.read(CHUNK):
                mix(np.frombuffer(chunk, np.uint8), lanes)
                size += len(chunk)
    except OSError as error:
        raise from_os_error(error, path) from error
    return hashlib.blake2b(f"{size}".encode() + lanes.tobytes(), digest_size=16).hexdigest()


def sums_of(image: NDArray[np.uint8]) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Return the sum of each band of an image (H, W, B), and the sum of squares, exactly."""
    from maskwright.data.audit.kernels import add_rows

    height, width, bands = image.shape
    totals = np.zeros((2, bands), np.int64)
    for row in range(0, height, MOST_ROWS):
        parts = np.zeros((2, width * bands), np.uint32)
        add_rows(np.ascontiguousarray(image[row : row + MOST_ROWS]).reshape(-1), parts[0], parts[1])
        totals += parts.reshape(2, width, bands).sum(axis=1, dtype=np.int64)
    return totals[0], totals[1]


def tally(values: NDArray[np.uint8]) -> NDArray[np.int64]:
    """Count how often each of 256 values occurs in an array of bytes."""
    from maskwright.data.audit.kernels import tally as compiled

    counts = np.zeros(1024, np.int64)
    compiled(np.ascontiguousarray(values).reshape(-1), counts)
    total: NDArray[np.int64] = counts.reshape(4, 256).sum(0)
    return total
