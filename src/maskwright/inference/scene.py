"""A raster of any size becomes finished row bands on disk, in bounded memory and in one pass over it.

Three things go on side by side: a thread reads and prepares windows, this one runs the models, and a third adds windows
up at their seams, answers, and writes what is done. Windows in which nothing is valid are not predicted. Windows share
a forward pass only within a row of windows, so what is made anew after a kill has the same bytes.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, replace
from typing import NamedTuple, Protocol

import numpy as np
from numpy.typing import NDArray

from maskwright.core.grid import Lattice, Shape, Window
from maskwright.core.progress import Tick
from maskwright.core.stop import Stop
from maskwright.data.pixels.windows import Windows
from maskwright.data.preprocess import Preprocess
from maskwright.inference.row_bands import RowBands
from maskwright.inference.spool import NODATA
from maskwright.inference.tiles import seam_weights

Floats = NDArray[np.float32]
AHEAD = 2
"""Batches that are read before they are needed, and that wait to be added up."""
SCALE = 254
"""A stored probability is round(p * 254); 255 is no data."""
PROBABILITY, CLASSES = "probability", "classes"
"""Layers of the spool."""


class Answering(Protocol):
    """Members that answer with one probability."""

    def batch_size(self, shape: Shape) -> int:
        """Return how many windows of a shape go through at once, a pure function."""

    def __call__(self, images: Sequence[Floats], names: Sequence[str]) -> Floats:
        """Return float32 (B, K, h, w) of B windows.

        Args:
            images: for each of `preprocesses`, float32 (B, C, h, w).
            names: of the windows, for messages.
        """


class Keeping(Protocol):
    """Where finished bands go: a spool on disk, or what is carried to one."""

    bands: int
    """The next band to be finished."""

    def write(self, layer: str, row: int, col: int, part: NDArray[np.uint8]) -> None:
        """Take uint8 (planes, h, w), the done part of one window; 255 is no data."""

    def finish(self, row: int) -> None:
        """Take note that a band is whole."""


@dataclass(frozen=True)
class Layout:
    """How a raster is cut up, and what is answered, whoever answers."""

    planes: int
    """K."""
    size: Shape
    overlap: float
    seam: str
    label_planes: int
    """1, or K for multilabel."""

    def lattice(self, shape: Shape) -> Lattice:
        """Return where windows lie on a raster."""
        return Lattice.over(shape, self.size, self.overlap)

    @property
    def layers(self) -> dict[str, int]:
        """Name -> planes, as the spool wants them."""
        return {PROBABILITY: self.planes, CLASSES: self.label_planes}

    def bytes_held(self, lattice: Lattice) -> int:
        """Return the bytes that grow with the width of a raster: carried sums, and rows on their way to a file."""
        carried = lattice.carried * (self.planes + 1) * 4
        return lattice.shape[1] * (carried + 4 * max(lattice.size[0], 512))


@dataclass(frozen=True)
class Scenery(Layout):
    """What is done with every raster."""

    model: Answering
    preprocesses: tuple[Preprocess, ...]
    """The different ways in which the members want a window."""
    label: Callable[[Floats], NDArray[np.uint8]]
    """From probabilities (K, h, w) to class ids (h, w), or (K, h, w) of 0 and 1."""


class _Read(NamedTuple):
    """Windows of a row that go on together."""

    row: int
    cols: range
    valid: list[NDArray[np.bool_]]
    """For each window, as large as its part inside the raster."""
    images: list[Floats] | None
    """For each way of preparing, (B, C, h, w) of the windows with anything valid; None: there are none."""


def predict_scene(
    scenery: Scenery, raster: Windows, spool: Keeping, tick: Tick, stop: Stop, end: int | None = None
) -> None:
    """Make the bands that are not whole yet.

    Args:
        scenery: models and settings.
        raster: open.
        spool: of scenery.lattice(raster.shape); its `bands` says where to begin.
        tick: is told of each window.
        stop: looked at between batches.
        end: the band to end before; None: after the last.

    Raises:
        InputError: the raster is damaged, or has other bands than the models were trained on.
        StorageError: disk full.
        Interrupted: a signal asked to stop; finished bands stay.
    """
    lattice = scenery.lattice(raster.shape)
    end = len(lattice.rows) if end is None else end
    if spool.bands >= end:
        return
    work = _Work(_with_levels(scenery, raster), lattice, raster, spool, tick)
    step = scenery.model.batch_size(scenery.size)
    groups = [
        (row, range(start, min(start + step, len(lattice.cols))))
        for row in range(first_row(lattice, spool.bands), end)
        for start in range(0, len(lattice.cols), step)
    ]
    adding: deque[Future[None]] = deque()
    with ThreadPoolExecutor(1) as reader, ThreadPoolExecutor(1) as writer:
        try:
            for read in _ahead(reader, work, groups):
                answers = None if read.images is None else scenery.model(read.images, work.names(read))
                while len(adding) >= AHEAD:
                    adding.popleft().result()
                adding.append(writer.submit(work.add, read, answers))
                if stop.requested:
                    _wait(adding)
                    stop.check(f"{spool.bands} of {len(lattice.rows)} row bands of {raster.path.name} are finished")
            _wait(adding)
        finally:
            reader.shutdown(cancel_futures=True)
            writer.shutdown(cancel_futures=True)


def first_row(lattice: Lattice, finished: int) -> int:
    """Return the first row of windows that reaches below the finished bands."""
    top = lattice.rows[finished]
    return next(row for row, start in enumerate(lattice.rows) if row == finished or start + lattice.size[0] > top)


def _with_levels(scenery: Scenery, raster: Windows) -> Scenery:
    """Take the levels of the raster where values are stretched over scenes."""
    return replace(scenery, preprocesses=tuple(way.of_scene(raster.path) for way in scenery.preprocesses))


def _wait(adding: deque[Future[None]]) -> None:
    while adding:
        adding.popleft().result()


def _ahead(reader: ThreadPoolExecutor, work: _Work, groups: Sequence[tuple[int, range]]) -> Iterator[_Read]:
    """Give what is read, while the next is being read."""
    waiting: deque[Future[_Read]] = deque()
    for row, cols in groups:
        waiting.append(reader.submit(work.read, row, cols))
        if len(waiting) > AHEAD:
            yield waiting.popleft().result()
    while waiting:
        yield waiting.popleft().result()


class _Work:
    """What reader and writer do; each is only ever in one thread."""

    def __init__(self, scenery: Scenery, lattice: Lattice, raster: Windows, spool: Keeping, tick: Tick) -> None:
        self._scenery, self._lattice, self._raster, self._spool, self._tick = scenery, lattice, raster, spool, tick
        self.bands = RowBands(lattice, scenery.planes, seam_weights(scenery.seam, scenery.size))

    def names(self, read: _Read) -> list[str]:
        """Return names of the predicted windows, for messages."""
        top = self._lattice.rows[read.row]
        cols = [self._lattice.cols[col] for col, valid in zip(read.cols, read.valid, strict=True) if valid.any()]
        return [f"{self._raster.path}: window at row {top}, column {col}" for col in cols]

    def read(self, row: int, cols: range) -> _Read:
        """Read and prepare some windows of a row."""
        valid, chosen = [], []
        for col in cols:
            window = self._lattice.window(row, col).clip(self._lattice.shape)
            pixels, known = self._raster.read(window)
            valid.append(known)
            if known.any():
                chosen.append((pixels, known))
        if not chosen:
            return _Read(row, cols, valid, None)
        where = str(self._raster.path)
        images = []
        for ready in self._scenery.preprocesses:
            made = [self._padded(ready(pixels, known, where)) for pixels, known in chosen]
            images.append(made[0][None] if len(made) == 1 else np.stack(made))
        return _Read(row, cols, valid, images)

    def _padded(self, image: Floats) -> Floats:
        """Mirror what is smaller than a window to its size."""
        missing = [max(0, side - have) for side, have in zip(self._scenery.size, image.shape[1:], strict=True)]
        if not any(missing):
            return image
        return np.pad(image, [(0, 0), *((0, count) for count in missing)], mode="reflect")

    def add(self, read: _Read, answers: Floats | None) -> None:
        """Add windows up, and write what is done with them."""
        place = 0
        for col, valid in zip(read.cols, read.valid, strict=True):
            known = bool(valid.any())
            assert not known or answers is not None
            done = self.bands.add(read.row, col, answers[place] if known and answers is not None else None)
            place += known
            if read.row < self._spool.bands:
                continue  # its band is whole; it was only added up for the rows below
            self._write(read.row, col, done.window, done.mean, valid)
            self._tick.advance()
        if read.cols.stop == len(self._lattice.cols) and read.row == self._spool.bands:
            self._spool.finish(read.row)

    def _write(self, row: int, col: int, window: Window, mean: Floats, valid: NDArray[np.bool_]) -> None:
        shown = valid[: window.height, : window.width]
        if not shown.any():
            return  # a hole in the spool is no data
        label = self._scenery.label(mean).reshape(self._scenery.label_planes, *window.shape)
        scaled = mean * np.float32(SCALE)
        stored = np.rint(scaled, out=scaled).astype(np.uint8)
        hidden = None if shown.all() else ~shown
        for layer, part in ((PROBABILITY, stored), (CLASSES, label)):
            if hidden is not None:
                part[:, hidden] = NODATA
            self._spool.write(layer, row, col, part)
