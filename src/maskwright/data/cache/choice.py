"""Choose where a training keeps decoded items: memory, disk or nowhere; by bytes, passes and the time of decoding."""

from __future__ import annotations

import shutil
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from maskwright.core.labels import Task
from maskwright.core.recipe.blocks import Cache
from maskwright.data.audit.fingerprint import ItemRecord
from maskwright.data.cache.cache import CacheSpec, fitting, on_disk
from maskwright.data.items import CACHE_BYTES, read_item
from maskwright.data.preprocess import Preprocess
from maskwright.data.sources.base import Source

OVERHEAD = 4096
"""Bytes of a file besides its arrays, at most."""
WRITING = 200e6
"""Bytes a second that are reckoned for writing the cache: a slow solid-state disk."""
WORTH = 2.0
"""Seconds that must be saved for each second of writing."""
SPARE = 0.1
"""Share of the free disk that is left alone."""
TIMED = 3
"""Items decoded to learn how long it takes."""


@dataclass(frozen=True)
class Use:
    """What will be read."""

    source: Source
    records: Sequence[ItemRecord]
    """Of all items of the source."""
    task: Task
    preprocess: Preprocess
    max_pixels: int
    passes: float
    """How often an item is read, on average."""


def choose(block: Cache, use: Use, folder: Path, salt: str) -> tuple[CacheSpec, str]:
    """Choose where decoded items are kept.

    Args:
        block: of the recipe.
        use: what will be read, and how often.
        folder: for files.
        salt: digest of what decoding depends on besides files.

    Returns:
        the spec, and a line for the user; empty where everything fits into memory without being asked for.
    """
    sizes = [(record.key, item_bytes(record, use)) for record in use.records]
    total = sum(size for _, size in sizes)
    if block.kind == "off":
        return CacheSpec(memory=0), "decode cache: off"
    if block.kind == "memory":
        return CacheSpec(memory=block.size), f"decode cache: up to {amount(block.size)} of memory in each process"
    if block.kind == "auto" and total <= CACHE_BYTES:
        return CacheSpec(), ""
    room = min(block.size, int((_free(folder) + _used(folder / salt)) * (1 - SPARE)))
    keys = fitting(sizes, room)
    kept = sum(size for key, size in sizes if key in keys)
    what = f"{amount(kept)} on disk for {len(keys)} of {len(sizes)} items"
    if block.kind == "disk":
        return on_disk(CacheSpec(), folder, salt, keys), f"decode cache: {what}"
    seconds = time_to_read(use)
    saved = max(use.passes - 1, 0) * len(keys) * seconds
    why = f"decoding takes {1000 * seconds:.1f} ms an item, {use.passes:.0f} passes"
    if not keys or saved < WORTH * kept / WRITING:
        return CacheSpec(), f"decode cache: memory only; {what} would not pay ({why})"
    return on_disk(CacheSpec(), folder, salt, keys), f"decode cache: {what}; saves about {span(saved)} ({why})"


def item_bytes(record: ItemRecord, use: Use) -> int:
    """Return what an item takes on disk at most."""
    pixels = record.height * record.width
    width = 1 if record.dtype == "uint8" and use.preprocess.stretch is None else 4
    planes = use.task.planes if use.task.kind == "multilabel" else 1
    masked = record.valid < pixels
    return pixels * (len(use.preprocess.bands) * width + planes + masked) + OVERHEAD + 2 * len(record.key)


def time_to_read(use: Use) -> float:
    """Return the seconds that reading an item takes, the median of a few spread over the set."""
    places = sorted({round(part * (len(use.records) - 1) / max(TIMED - 1, 1)) for part in range(TIMED)})
    spent = []
    for place in places:
        begin = time.perf_counter()
        read_item(use.source, use.records[place].key, use.task, use.max_pixels)
        spent.append(time.perf_counter() - begin)
    return sorted(spent)[len(spent) // 2]


def amount(size: float) -> str:
    """Write a number of bytes in words: 3.2 GB."""
    for unit, scale in (("GB", 1e9), ("MB", 1e6)):
        if size >= scale:
            return f"{size / scale:.3g} {unit}"
    return f"{size / 1e3:.3g} kB"


def span(seconds: float) -> str:
    """Write a time in words: 12 min."""
    if seconds < 100:
        return f"{seconds:.0f} s"
    return f"{seconds / 60:.0f} min" if seconds < 6000 else f"{seconds / 3600:.1f} h"


def _free(folder: Path) -> int:
    """Return the free bytes of the disk that a folder is or will be on."""
    while not folder.exists():
        folder = folder.parent
    return shutil.disk_usage(folder).free


def _used(folder: Path) -> int:
    """Return the bytes of the files in a folder, which are written over or go on being used."""
    return sum(path.stat().st_size for path in folder.iterdir()) if folder.is_dir() else 0
