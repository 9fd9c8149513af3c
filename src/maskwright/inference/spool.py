"""Finished row bands of one raster on disk, from which its final files are made: planes of bytes and a journal.

    journal.jsonl    what the bands are made from, then one line for each band that is whole, written after its bytes
    <layer>.bytes    band after band; in a band, part after part; in a part, plane after plane

Bytes are stored as 255 - value, so that what was never written, a hole in the file, reads as 255: no data.
A killed process loses the band it was in. A line that was cut off does not count.
"""

from __future__ import annotations

import errno
import json
import os
import shutil
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from types import TracebackType
from typing import Any

import numpy as np
from numpy.typing import NDArray

from maskwright.core.errors import MaskwrightError, StorageError, from_os_error
from maskwright.core.grid import Lattice

NODATA = 255
JOURNAL = "journal.jsonl"
Bytes = NDArray[np.uint8]


class Spool:
    """The bands of one raster; use it as a context manager.

    Args:
        folder: of this raster alone; it is made.
        lattice: rows of windows are bands, and their columns parts.
        layers: name -> planes.
        made_from: JSON-able; bands that were made from anything else are thrown away.

    Raises:
        StorageError: disk full or no permission.
    """

    def __init__(self, folder: Path, lattice: Lattice, layers: Mapping[str, int], made_from: Mapping[str, Any]) -> None:
        self.folder, self._lattice, self._layers = folder, lattice, dict(layers)
        head = {"made_from": json.loads(json.dumps(made_from)), "layers": self._layers}
        self._head = json.dumps(head, sort_keys=True, separators=(",", ":"))
        self._files: dict[str, int] = {}
        self.bands = 0
        """Bands that are whole, from the top."""
        self.renewed = False
        """Whether bands were thrown away, since they were made from something else."""

    def __enter__(self) -> Spool:
        with _said(self.folder):
            self.folder.mkdir(parents=True, exist_ok=True)
            self.bands, end = self._look()
            height, width = self._lattice.shape
            self._journal = os.open(self.folder / JOURNAL, os.O_RDWR | os.O_CREAT, 0o644)
            for layer, planes in self._layers.items():
                handle = os.open(self.folder / f"{layer}.bytes", os.O_RDWR | os.O_CREAT, 0o644)
                self._files[layer] = handle
                if not self.bands:
                    os.ftruncate(handle, 0)
                os.ftruncate(handle, planes * height * width)
            os.ftruncate(self._journal, end)
            if not end:
                self._note(self._head)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        for handle in (*self._files.values(), self._journal):
            os.close(handle)

    def write(self, layer: str, row: int, col: int, part: Bytes) -> None:
        """Write the done part of one window.

        Args:
            layer: its name.
            row: band.
            col: which part of the band.
            part: uint8 (planes, h, w) of lattice.done(row, col); 255 is no data.
        """
        with _said(self.folder):
            data = np.ascontiguousarray(NODATA - part).reshape(-1).data
            place = self._offset(layer, row, col)
            while data:
                count = os.pwrite(self._files[layer], data, place)
                if not count:
                    raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
                data, place = data[count:], place + count

    def finish(self, row: int) -> None:
        """Make a band durable, and only then say so in the journal."""
        assert row == self.bands, (row, self.bands)
        with _said(self.folder):
            for handle in self._files.values():
                os.fsync(handle)
            self._note(json.dumps({"band": row}))
        self.bands += 1

    def read(self, layer: str, plane: int) -> Iterator[Bytes]:
        """Give one plane from the top, band by band, uint8 (rows, W)."""
        for row in range(len(self._lattice.rows)):
            first = self._lattice.done(row, 0)
            band = np.empty((first.height, self._lattice.shape[1]), np.uint8)
            for col in range(len(self._lattice.cols)):
                window = self._lattice.done(row, col)
                size = window.height * window.width
                place = self._offset(layer, row, col) + plane * size
                with _said(self.folder):
                    data = os.pread(self._files[layer], size, place)
                band[:, window.col : window.col + window.width] = np.frombuffer(data, np.uint8).reshape(window.shape)
            yield NODATA - band

    def remove(self) -> None:
        """Delete the folder; the bands are in final files by now."""
        with _said(self.folder):
            shutil.rmtree(self.folder)

    def _offset(self, layer: str, row: int, col: int) -> int:
        window = self._lattice.done(row, col)
        return self._layers[layer] * (window.row * self._lattice.shape[1] + window.height * window.col)

    def _look(self) -> tuple[int, int]:
        """Return how many bands the journal vouches for, and where its last good line ends."""
        path = self.folder / JOURNAL
        if not path.exists():
            return 0, 0
        lines = path.read_bytes().split(b"\n")[:-1]  # what follows the last line end was cut off
        if not lines:
            return 0, 0
        if lines[0] != self._head.encode() or not all(self._whole(layer) for layer in self._layers):
            self.renewed = len(lines) > 1
            return 0, 0
        bands, end = 0, len(lines[0]) + 1
        for line in lines[1:]:
            if line != json.dumps({"band": bands}).encode():
                break
            bands, end = bands + 1, end + len(line) + 1
        return bands, end

    def _whole(self, layer: str) -> bool:
        """Say whether the file of a layer is there: a hole in its place would read as no data."""
        path, (height, width) = self.folder / f"{layer}.bytes", self._lattice.shape
        return path.is_file() and path.stat().st_size == self._layers[layer] * height * width

    def _note(self, line: str) -> None:
        os.lseek(self._journal, 0, os.SEEK_END)
        os.write(self._journal, line.encode() + b"\n")
        os.fsync(self._journal)


@contextmanager
def _said(path: Path) -> Iterator[None]:
    """Turn an error of the operating system into ours, with the free space where the disk is full."""
    try:
        yield
    except MaskwrightError:
        raise
    except OSError as error:
        if error.errno in (errno.ENOSPC, errno.EDQUOT):
            raise full_disk(path) from error
        raise from_os_error(error, path) from error


def full_disk(path: Path) -> StorageError:
    """Say that a disk is full and how much of it is free."""
    folder = next(place for place in (path, *path.parents) if place.exists())
    free = shutil.disk_usage(folder).free / 2**20
    what = f"No space left on device ({free:.1f} MiB free)"
    return StorageError(what, where=path, fix="free some space and run again; finished row bands are kept")
