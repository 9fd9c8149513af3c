"""Keep decoded items: in the memory of each process, or on disk as mapped arrays that all processes share.

A file on disk is named by what it was made from (key, sizes and times of the image's and the label's file, task,
source, preprocessing), so a changed file is decoded again and never served stale. Which items are kept is settled
before training from the sizes in the fingerprint, so the bound in bytes needs no counting between processes. Files
get their name when they are whole, and each process checks a file's checksum when it first opens it; a damaged one
is decoded again.
"""

from __future__ import annotations

import hashlib
import json
import mmap
import os
import struct
import zlib
from collections import OrderedDict
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from maskwright.core.files import TEMPORARY, writer_runs
from maskwright.data.items import CACHE_BYTES, Item, ItemCache
from maskwright.data.sources.base import Source

MAGIC = b"mwitem1\n"
"""First bytes of a file; a CRC-32 of all that follows it and the length of the JSON header come next."""
START = struct.Struct("<8sII")
ALIGN = 64
"""Arrays begin at multiples of this."""
MAPS = 256
"""Files each process keeps mapped; each takes a file handle."""
ENDING = ".item"
_DTYPES = ("|u1", "|b1", "<f4")


@dataclass(frozen=True)
class CacheSpec:
    """Where decoded items are kept."""

    memory: int = CACHE_BYTES
    """Bytes in each process, for items that are not kept on disk."""
    folder: Path | None = None
    """Folder of this set's files; None: nothing is kept on disk."""
    salt: str = ""
    """Digest of all that decoding depends on besides the files themselves."""
    keys: frozenset[str] = frozenset()
    """Items kept on disk."""

    def file(self, source: Source, key: str) -> Path:
        """Return where an item lies, named by what it is made from.

        Raises:
            OSError: its image or label is not there.
        """
        assert self.folder is not None, "nothing is kept on disk"
        state = hashlib.blake2b(f"{self.salt}\n{key}\n".encode(), digest_size=16)
        for path in (source.image_path(key), *source.label_paths(key)):
            seen = path.stat()
            state.update(f"{path.name}\n{seen.st_size} {seen.st_mtime_ns}\n".encode())
        return self.folder / f"{state.hexdigest()}{ENDING}"


class DiskCache:
    """Items as arrays mapped from files, which processes make as they need them; see the module's docstring.

    Args:
        read: decodes an item by key.
        source: where items come from.
        spec: with a folder.
    """

    def __init__(self, read: Callable[[str], Item], source: Source, spec: CacheSpec) -> None:
        self._read, self.source, self.spec = read, source, spec
        self._others = ItemCache(read, spec.memory)
        self._maps: OrderedDict[str, Item] = OrderedDict()
        self._whole: dict[str, Path] = {}
        """Files that were checked; an image that changes later is noticed by the next process."""
        self._writes = True

    def read(self, key: str) -> Item:
        """Return an item, from its file if there is a whole one; else decode it and write the file."""
        if key in self._maps:
            self._maps.move_to_end(key)
            return self._maps[key]
        if key not in self.spec.keys:
            return self._others.read(key)
        try:
            path = self._whole.get(key) or self.spec.file(self.source, key)
        except OSError:  # decoding says which file is missing
            return self._read(key)
        item = load(path, key, check=key not in self._whole)
        if item is None:
            item = self._read(key)
            if self._writes:
                self._writes = store(path, item)
            return item
        self._whole[key] = path
        self._maps[key] = item
        if len(self._maps) > MAPS:
            self._maps.popitem(last=False)
        return item

    def __getstate__(self) -> dict[str, object]:
        """Travel to a worker process without the mapped items."""
        return {**self.__dict__, "_maps": OrderedDict()}


def open_cache(read: Callable[[str], Item], source: Source, spec: CacheSpec) -> ItemCache | DiskCache:
    """Return the cache that a spec describes, around a function that decodes."""
    return ItemCache(read, spec.memory) if spec.folder is None else DiskCache(read, source, spec)


def store(path: Path, item: Item) -> bool:
    """Write an item under its final name, whole or not at all; not made durable, since reading checks it.

    Args:
        path: ending in .item.
        item: decoded and made numbers: its image is uint8 or float32.

    Returns:
        False if the disk is full or not writable: caching is no reason to stop.
    """
    assert item.label is not None, item.key
    arrays: dict[str, NDArray[Any]] = {"image": item.image, "label": item.label}
    if not item.valid.all():
        arrays["valid"] = item.valid
    header, places = _header(item.key, arrays)
    temporary = path.with_name(f".{path.name}.{os.getpid()}{TEMPORARY}")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with temporary.open("wb") as stream:
            stream.seek(START.size)
            crc = _put(stream, header, 0)
            for name, array in arrays.items():
                crc = _put(stream, bytes(places[name] - stream.tell()), crc)
                crc = _put(stream, np.ascontiguousarray(array).reshape(-1).view(np.uint8).data, crc)
            stream.seek(0)
            stream.write(START.pack(MAGIC, crc, len(header)))
        temporary.replace(path)
    except OSError:
        with suppress(OSError):
            temporary.unlink(missing_ok=True)
        return False
    return True


def _put(stream: Any, data: Any, crc: int) -> int:
    stream.write(data)
    return zlib.crc32(data, crc)


def _header(key: str, arrays: dict[str, NDArray[Any]]) -> tuple[bytes, dict[str, int]]:
    """Return the JSON header, and where each array begins in the file."""
    length = START.size + 1024 + len(json.dumps(key))
    places, entries = {}, {}
    for name, array in arrays.items():
        begin = -(-length // ALIGN) * ALIGN
        places[name], length = begin, begin + array.nbytes
        entries[name] = [array.dtype.str, array.shape, begin]
    text = json.dumps({"key": key, "arrays": entries, "bytes": length}).encode()
    return text, places


def load(path: Path, key: str, *, check: bool = True) -> Item | None:
    """Map a file of an item.

    Args:
        path: as store wrote it.
        key: of the item.
        check: read all of it and compare the checksum.

    Returns:
        the item, whose arrays must not be written to; None if there is no such file or it is damaged.
    """
    try:
        with path.open("rb") as stream:
            mapped = mmap.mmap(stream.fileno(), 0, access=mmap.ACCESS_READ)
        magic, crc, length = START.unpack_from(mapped)
        if magic != MAGIC or (check and zlib.crc32(memoryview(mapped)[START.size :]) != crc):
            return None
        header = json.loads(mapped[START.size : START.size + length])
        if header["bytes"] != len(mapped) or header["key"] != key:
            return None
        arrays = {name: _array(mapped, *entry) for name, entry in header["arrays"].items()}
        image, label = arrays["image"], arrays["label"]
    except (OSError, ValueError, KeyError, TypeError, struct.error):
        return None
    valid = arrays.get("valid", np.broadcast_to(np.True_, image.shape[:2]))
    return Item(key, image, label, valid, valid)


def _array(mapped: mmap.mmap, dtype: str, shape: list[int], begin: int) -> NDArray[Any]:
    if dtype not in _DTYPES:
        raise ValueError(f"dtype {dtype}")
    return np.ndarray(tuple(shape), dtype, mapped, begin)


def tidy(spec: CacheSpec, source: Source) -> None:
    """Delete what lies in a cache's folder and does not belong to the set as it is now.

    Called by one process before a training; what others have mapped stays readable to them.
    """
    if spec.folder is None or not spec.folder.is_dir():
        return
    wanted = set()
    for key in spec.keys:
        with suppress(OSError):
            wanted.add(spec.file(source, key).name)
    for path in spec.folder.iterdir():
        if path.name.endswith(ENDING) and path.name not in wanted:
            path.unlink(missing_ok=True)
        elif path.name.endswith(TEMPORARY) and not writer_runs(path):
            path.unlink(missing_ok=True)


def fitting(sizes: Sequence[tuple[str, int]], limit: int) -> frozenset[str]:
    """Choose items that fit into a number of bytes together, evenly spread over the set by lot.

    Args:
        sizes: (key, bytes) of each item.
        limit: bytes.
    """
    chosen = []
    for key, size in sorted(sizes, key=lambda pair: hashlib.blake2b(pair[0].encode(), digest_size=8).digest()):
        if size <= limit:
            chosen.append(key)
            limit -= size
    return frozenset(chosen)


def on_disk(spec: CacheSpec, folder: Path, salt: str, keys: frozenset[str]) -> CacheSpec:
    """Return a spec that keeps some items on disk, in a sub-folder of `folder` that belongs to their set alone."""
    return replace(spec, folder=folder / salt, salt=salt, keys=keys)
