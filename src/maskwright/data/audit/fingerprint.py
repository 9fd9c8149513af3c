"""Look at every pixel of a set once, in parallel: sizes, bands, statistics, class counts, duplicates, faults.

Sums are taken item by item and combined in the order of keys, so the result is the same whatever the
number of threads. The fingerprint is written beside the run; later stages need no second pass.
"""

from __future__ import annotations

import os
from collections import Counter, defaultdict
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass
from pathlib import PurePosixPath
from typing import Any

import numpy as np
from numpy.typing import NDArray

from maskwright.core.errors import InputError
from maskwright.core.labels import Task
from maskwright.core.progress import Reporter
from maskwright.core.recipe.blocks import Data
from maskwright.core.stop import Stop
from maskwright.data.audit.measure import Describer, Measured, Moments, measure
from maskwright.data.findings import Finding
from maskwright.data.ground import Ground
from maskwright.data.pixels.header import Header
from maskwright.data.sources.base import Source
from maskwright.data.stretch import levels_of_set

MOST_THREADS = 16


@dataclass(frozen=True)
class ItemRecord:
    """What one pass learnt of one item."""

    key: str
    path: str
    """Image file below the folder that all images of the set share."""
    height: int
    width: int
    bands: int
    """Bands in the file, alpha left out."""
    dtype: str
    bytes: int
    """Size of the image file, to notice that it was changed."""
    digest: str
    """Of the decoded pixels, 32 hex digits: equal for equal images, however compressed."""
    pixels: tuple[int, ...]
    """Valid pixels of each value of the task, or of each plane for multilabel; empty if unlabelled."""
    valid: int
    """Pixels that count."""
    plane: str = ""
    """Of its ground, see Ground."""
    corners: tuple[float, ...] = ()
    """Where it lies: x and y of four corners in turn; empty: nobody knows."""

    @property
    def ground(self) -> Ground | None:
        """Where it lies."""
        return Ground(self.plane, self.corners) if self.corners else None


@dataclass(frozen=True)
class Fingerprint:
    """What one pass learnt of a set."""

    items: tuple[ItemRecord, ...]
    """In the order of keys."""
    bands: int
    """Bands of an image; grey images in a colour set count as 3."""
    dtype: str
    divide: float
    """What pixel values are divided by."""
    mean: tuple[float, ...]
    """Mean of each band the recipe uses, over valid pixels, after dividing."""
    std: tuple[float, ...]
    """Standard deviation of the same; 1 for a band that is constant."""
    class_pixels: tuple[int, ...]
    """Sum of the items' pixels."""
    duplicates: tuple[tuple[str, ...], ...]
    """Keys of images whose pixels are equal, group by group; plain one-coloured images are not compared."""
    notes: tuple[str, ...] = ()
    """What the user should know, in words: suspicions and notes of the audit."""
    similar: tuple[tuple[str, str, str, float], ...] = ()
    """Pairs of items that show the same thing though their pixels differ: key, key, how, 0..1 (see similar.py)."""
    low: tuple[float, ...] = ()
    """Value of each band the recipe uses that becomes 0, if data.stretch goes over the set."""
    high: tuple[float, ...] = ()
    """Value that becomes 1."""

    def to_plain(self) -> dict[str, Any]:
        """Return plain data for JSON."""
        return asdict(self)

    @classmethod
    def from_plain(cls, plain: Mapping[str, Any]) -> Fingerprint:
        """Build it from to_plain's data, also after a trip through JSON.

        Raises:
            InputError: the data is of another version.
        """
        try:
            known = dict(plain)
            known["items"] = tuple(_read_record(row) for row in plain["items"])
            known["duplicates"] = tuple(tuple(group) for group in plain["duplicates"])
            for name in ("mean", "std", "class_pixels", "notes"):
                known[name] = tuple(plain[name])
            known |= {name: tuple(plain.get(name, ())) for name in ("low", "high")}
            known["similar"] = tuple(tuple(pair) for pair in plain["similar"])
            return cls(**known)
        except (KeyError, TypeError) as error:
            raise InputError(
                f"the fingerprint is of another version ({error})", where="fingerprint.json", fix="run inspect again"
            ) from None


def _read_record(row: Mapping[str, Any]) -> ItemRecord:
    return ItemRecord(**{**row, "pixels": tuple(row["pixels"]), "corners": tuple(row.get("corners", ()))})


def look(
    source: Source,
    task: Task,
    data: Data,
    reporter: Reporter,
    workers: int | None = None,
    stop: Stop | None = None,
    after: Callable[[Measured], None] | None = None,
    describe: Mapping[str, Describer] | None = None,
) -> list[Measured]:
    """Decode every image and label of a source once, in parallel.

    Args:
        source: labelled or not.
        task: gives classes, values and ignore.
        data: max_pixels.
        reporter: gets one progress bar.
        workers: threads; None: as many as there are processors, 16 at most.
        stop: looked at after each item.
        after: gets each item in the order of keys, in this thread.
        describe: name -> what is to be written down of each item, in the threads.

    Returns:
        what was learnt of each item, in the order of keys, their small copies taken away.

    Raises:
        Interrupted: a stop was asked for.
    """
    found: list[Measured] = []
    executor = ThreadPoolExecutor(workers or min(MOST_THREADS, len(os.sched_getaffinity(0))))

    def one(key: str) -> Measured:
        return measure(source, key, task, data.max_pixels, describe)

    try:
        with reporter.task("inspect", len(source.keys)) as tick:
            for measured in executor.map(one, source.keys):
                if after is not None:
                    after(measured)
                measured.small = None
                found.append(measured)
                tick.advance()
                if stop is not None:
                    stop.check("nothing was written yet")
    finally:
        executor.shutdown(wait=True, cancel_futures=True)
    return found


def take(
    source: Source,
    task: Task,
    data: Data,
    reporter: Reporter,
    workers: int | None = None,
    stop: Stop | None = None,
) -> tuple[Fingerprint, list[Finding]]:
    """Look at a source, and return the fingerprint of what could be read and the faults of all other items."""
    found = look(source, task, data, reporter, workers, stop)
    return sum_up(source, found, task, data), [finding for one in found for finding in one.findings]


def divisor(data: Data, dtype: str) -> float:
    """Return what pixel values are divided by: data.divide, or 255 for 8 bit, 65535 for 16 bit, else 1."""
    if data.stretch is not None:
        return 1.0
    return data.divide or {"uint8": 255.0, "int8": 255.0, "uint16": 65535.0, "int16": 65535.0}.get(dtype, 1.0)


def sum_up(source: Source, found: Sequence[Measured], task: Task, data: Data) -> Fingerprint:
    """Put the items together; those with faults are left out."""
    whole = [one for one in found if one.moments is not None]
    bands, dtype = _usual([one.header for one in found if one.header is not None])
    total = _total(whole, bands, data)
    divide = divisor(data, dtype)
    mean, std = total.mean / divide, np.sqrt(total.squares / max(total.count, 1)) / divide
    low, high = _levels(whole, bands, data)
    if len(low):  # as if nothing were cut off beyond the levels
        mean, std = (mean - low) / (high - low), std / (high - low)
    records = tuple(_record(source, one) for one in whole)
    kinds = 0 if not source.labelled else task.planes if task.kind == "multilabel" else len(task.values)
    return Fingerprint(
        items=records,
        bands=bands,
        dtype=dtype,
        divide=divide,
        mean=tuple(float(value) for value in mean),
        std=tuple(float(value) if value > 0 else 1.0 for value in std),
        class_pixels=tuple(sum(record.pixels[kind] for record in records) for kind in range(kinds)),
        duplicates=_duplicates(whole),
        low=tuple(float(value) for value in low),
        high=tuple(float(value) for value in high),
    )


def _levels(whole: Sequence[Measured], bands: int, data: Data) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Return low and high of each band that the recipe uses, if it stretches over the set."""
    if data.stretch is None or data.stretch.over != "set":
        return np.empty(0), np.empty(0)
    chosen = [band - 1 for band in data.bands or range(1, bands + 1)]
    samples = [one.clues["levels"] for one in whole if "levels" in one.clues]
    fitting = [sample for sample in samples if sample.shape[1] == 1 or sample.shape[1] > max(chosen, default=0)]
    low, high = levels_of_set(fitting, data.stretch, chosen).astype(np.float64)
    return low, high


def _record(source: Source, one: Measured) -> ItemRecord:
    assert one.header is not None, one.key
    path, header, ground = source.image_path(one.key), one.header, source.ground(one.key)
    return ItemRecord(
        key=one.key,
        path=str(PurePosixPath(one.key).with_name(path.name)),
        height=header.height,
        width=header.width,
        bands=header.bands,
        dtype=header.dtype,
        bytes=path.stat().st_size,
        digest=one.digest,
        pixels=one.pixels,
        valid=one.valid,
        plane="" if ground is None else ground.plane,
        corners=() if ground is None else ground.corners,
    )


def _usual(headers: Sequence[Header]) -> tuple[int, str]:
    """Return bands and dtype of most images; grey beside colour counts as colour."""
    if not headers:
        return 0, ""
    bands = Counter(header.bands for header in headers)
    if set(bands) == {1, 3}:
        bands = Counter({3: 1})
    dtypes = Counter(header.dtype for header in headers)
    return max(sorted(bands), key=lambda n: bands[n]), max(sorted(dtypes), key=lambda name: dtypes[name])


def _total(whole: Sequence[Measured], bands: int, data: Data) -> Moments:
    """Add up the bands that the recipe uses; grey images in a colour set count in each."""
    chosen = [band - 1 for band in data.bands or range(1, bands + 1)]
    total = Moments(0, np.zeros(len(chosen)), np.zeros(len(chosen)))
    for one in whole:
        assert one.moments is not None, one.key
        have = len(one.moments.mean)
        places = [0] * len(chosen) if have == 1 and bands == 3 else chosen
        if max(places, default=0) < have:  # the audit refuses the others
            total = total + Moments(one.moments.count, one.moments.mean[places], one.moments.squares[places])
    return total


def _duplicates(whole: Sequence[Measured]) -> tuple[tuple[str, ...], ...]:
    by_digest: dict[str, list[str]] = defaultdict(list)
    for one in whole:
        if not one.plain:
            by_digest[one.digest].append(one.key)
    return tuple(tuple(keys) for keys in by_digest.values() if len(keys) > 1)
