"""Row bands of a raster as pieces that other processes make, and what such a process gives back: compressed bytes."""

from __future__ import annotations

import math
import zlib
from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from maskwright.core.grid import Lattice
from maskwright.inference.spool import Spool

MOST_BANDS = 32
"""Of one piece: what is lost with a worker, and the least that is written at once."""
MOST_BYTES = 1 << 27
"""Of one piece, before it is compressed."""
LEVEL = 1
"""Of deflate: answers shrink to a fraction, at several times the speed of a model."""


@dataclass(frozen=True)
class Piece:
    """Some row bands of one raster, from `first` up to and without `end`."""

    scene: str
    """Name of the raster."""
    first: int
    end: int


class Carried:
    """Finished bands on their way from the process that made them to the one that keeps them; see scene.Keeping.

    Args:
        first: the band that comes first.
    """

    def __init__(self, first: int) -> None:
        self.bands = first
        self._parts: list[tuple[str, int, int, bytes]] = []

    def write(self, layer: str, row: int, col: int, part: NDArray[np.uint8]) -> None:
        """Take uint8 (planes, h, w), the done part of one window."""
        self._parts.append((layer, row, col, zlib.compress(np.ascontiguousarray(part).data, LEVEL)))

    def finish(self, row: int) -> None:
        """Take note that a band is whole."""
        assert row == self.bands, (row, self.bands)
        self.bands += 1

    def pour(self, spool: Spool, lattice: Lattice, layers: Mapping[str, int]) -> None:
        """Write all of it into the spool of its raster, whose next band is our first one.

        Args:
            spool: open.
            lattice: of the raster.
            layers: name -> planes.

        Raises:
            StorageError: disk full or no permission.
        """
        for layer, row, col, packed in self._parts:
            for band in range(spool.bands, row):
                spool.finish(band)
            shape = layers[layer], *lattice.done(row, col).shape
            spool.write(layer, row, col, np.frombuffer(zlib.decompress(packed), np.uint8).reshape(shape))
        for band in range(spool.bands, self.bands):
            spool.finish(band)


def cut(lattice: Lattice, first: int, workers: int, planes: int) -> list[tuple[int, int]]:
    """Divide the bands of a raster between workers so that all are done soonest.

    Each piece but the first predicts the windows above it again that reach into it, so few large pieces waste less,
    and many small ones keep all workers at work.

    Args:
        lattice: of the raster.
        first: the first band that is missing.
        workers: how many work at once.
        planes: of all layers, for the size of a piece.

    Returns:
        (first, end) of each piece, from the top.
    """
    from maskwright.inference.scene import first_row

    count, middle = len(lattice.rows) - first, len(lattice.rows) // 2
    again = middle - first_row(lattice, middle)
    band = max(1, planes * lattice.shape[1] * lattice.done(0, 0).height)
    most = max(1, min(MOST_BANDS, MOST_BYTES // band))

    def time(size: int) -> tuple[int, int]:
        return math.ceil(math.ceil(count / size) / workers) * (size + again), -size

    size = min(range(1, most + 1), key=time)
    return [(start, min(start + size, len(lattice.rows))) for start in range(first, len(lattice.rows), size)]
