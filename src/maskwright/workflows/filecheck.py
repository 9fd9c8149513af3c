"""Notice that data files changed between two commands, by content, and quickly where size and time are as before."""

from __future__ import annotations

import os
import time
from collections.abc import Iterable, Mapping
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

from maskwright.core.errors import InputError, from_os_error
from maskwright.core.files import read_json, write_json
from maskwright.core.recipe.load import digest
from maskwright.data.audit import digests
from maskwright.data.sources.base import Source

VERSION = 1
RACE = 2_000_000_000
"""Nanoseconds: a file touched that shortly before it was read may change again without a new time (as git knows)."""
MOST_THREADS = 16


class FileCheck:
    """Digests of data files, remembered in the run folder with the size and time they had when they were read.

    A file with the same size and time keeps its digest; any other is read. So an edit that leaves the
    size as it was is noticed, and a copy or a touch of the same bytes changes nothing.

    Args:
        memory: file in the run folder; absent or damaged: everything is read.
        root: data.root; remembered names are below it, so that run folder and data can be moved.
    """

    def __init__(self, memory: Path, root: Path) -> None:
        self.memory, self.root = memory, root
        self._known: Mapping[str, Any] = _remembered(memory)
        self._now: dict[str, list[Any]] = {}

    def of(self, source: Source) -> str:
        """Return one digest of a source: keys, what else is known of items, content of image and label files.

        Raises:
            InputError, StorageError: a file cannot be read.
        """
        images = {key: source.image_path(key) for key in source.keys}
        labels = {key: source.label_paths(key) for key in source.keys}
        self._read({*images.values(), *(path for paths in labels.values() for path in paths)})
        rows = []
        for key in source.keys:
            seen = [self._now[self._name(path)][2] for path in labels[key]]
            label = seen if len(seen) > 1 else next(iter(seen), None)
            known = sorted(source.attributes(key).items())
            rows.append([key, images[key].name, self._now[self._name(images[key])][2], label, known])
        return digest(rows)

    def of_one(self, path: Path, name: str) -> str:
        """Return the digest of a file that is no data, e.g. weights, remembered under a name of its own.

        Raises:
            InputError, StorageError: it cannot be read.
        """
        if name not in self._now:
            self._now[name] = self._entry(path, name)
        return str(self._now[name][2])

    def keep(self) -> None:
        """Write down what is known, unless it is there already."""
        plain = {"version": VERSION, "files": self._now}
        if self._now and self._known != self._now:
            write_json(self.memory, plain)
            self._known = dict(self._now)

    def _name(self, path: Path) -> str:
        return Path(os.path.relpath(path, self.root)).as_posix()

    def _read(self, paths: Iterable[Path]) -> None:
        wanted = [path for path in sorted(paths) if self._name(path) not in self._now]
        with ThreadPoolExecutor(min(MOST_THREADS, len(os.sched_getaffinity(0)))) as executor:
            names = [self._name(path) for path in wanted]
            self._now.update(zip(names, executor.map(self._entry, wanted, names), strict=True))

    def _entry(self, path: Path, name: str) -> list[Any]:
        """Return size, time and digest of a file; the time is 0 where it cannot be trusted."""
        try:
            state = path.stat()
        except OSError as error:
            raise from_os_error(error, path) from error
        before = self._known.get(name)
        if before is not None and before[:2] == [state.st_size, state.st_mtime_ns]:
            return list(before)
        settled = time.time_ns() - state.st_mtime_ns > RACE
        return [state.st_size, state.st_mtime_ns if settled else 0, digests.of_file(path)]


def _remembered(memory: Path) -> Mapping[str, Any]:
    try:
        plain = read_json(memory) if memory.exists() else {}
        files = plain.get("files", {}) if plain.get("version") == VERSION else {}
        return {name: entry for name, entry in files.items() if isinstance(entry, list) and len(entry) == 3}
    except (InputError, AttributeError):  # what is damaged is read again, nothing is lost
        return {}
