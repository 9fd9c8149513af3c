"""A queue's folder: four states as sub-folders, changed by renames, so that a crash leaves every recipe in one.

DIR/queue.lock
DIR/waiting/x.yaml                       put here, or into DIR itself
DIR/running/x.yaml   x.log   x.lock      taken; the lock is held by the process that works on it
DIR/done/x.yaml      x.log   x.json      finished
DIR/failed/x.yaml    x.log   x.json      refused or broken, with exit code and the one-line error

The place of the recipe file is the truth. Everything else is written before it moves, or tidied up after it.
"""

from __future__ import annotations

import fcntl
import json
import os
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from maskwright.core.errors import InputError, from_os_error
from maskwright.core.files import sweep_partials, write_json
from maskwright.core.runs import take

Ended = Literal["done", "failed"]
STATES = ("waiting", "running", "done", "failed")
RECIPES = (".yaml", ".yml")


@dataclass(frozen=True)
class Claim:
    """The right to work on a running recipe: an open lock that its process inherits and keeps when we die."""

    handle: int

    def hold(self, device: str) -> None:
        """Write down where it runs."""
        os.ftruncate(self.handle, 0)
        os.pwrite(self.handle, json.dumps({"device": device}).encode(), 0)

    def drop(self) -> None:
        """Close our side; the lock lives as long as the process that inherited it."""
        os.close(self.handle)


class QueueFolder:
    """What waits, runs, is done and has failed below a folder.

    Args:
        root: an existing folder.

    Raises:
        InputError: there is no such folder.
    """

    def __init__(self, root: Path) -> None:
        if not root.is_dir():
            raise InputError("no such folder", where=root, fix="make it, and put recipes into it")
        self.root = root
        self._seen: dict[Path, tuple[int, int]] = {}

    @contextmanager
    def lock(self) -> Iterator[None]:
        """Own the queue while inside; what a crash left between two renames is tidied up first.

        Raises:
            LockedError: another process works on this queue.
        """
        path = self.root / "queue.lock"
        try:
            handle = os.open(path, os.O_RDWR | os.O_CREAT, 0o644)
            for state in STATES:
                (self.root / state).mkdir(exist_ok=True)
        except OSError as error:
            raise from_os_error(error, self.root) from error
        try:
            take(handle, path, "one queue works on a folder; give it more --devices")
            self._tidy()
            yield
        finally:
            os.close(handle)

    def _tidy(self) -> None:
        sweep_partials(self.root)
        for log in (self.root / "running").glob("*.log"):
            for state in ("done", "failed"):
                if self._recipe("running", log.stem) is None and self._recipe(state, log.stem) is not None:
                    log.replace(self.root / state / log.name)
        for lock in (self.root / "running").glob("*.lock"):
            if self._recipe("running", lock.stem) is None:
                lock.unlink()

    def _recipe(self, state: str, stem: str) -> Path | None:
        return next((path for end in RECIPES if (path := self.root / state / f"{stem}{end}").exists()), None)

    def left(self) -> list[Path]:
        """Return the recipes that a queue before us had begun, by name."""
        return _recipes_in(self.root / "running")

    def arrivals(self) -> list[Path]:
        """Return the recipes that wait, by name, whole or not."""
        return sorted([*_recipes_in(self.root), *_recipes_in(self.root / "waiting")], key=lambda path: path.name)

    def ready(self) -> list[Path]:
        """Return those that have the size and the time of change they had when this was asked before.

        A file that is still being copied grows from look to look. An empty one is not begun yet.
        """
        now: dict[Path, tuple[int, int]] = {}
        for path in self.arrivals():
            try:
                found = path.stat()
            except OSError:  # taken away between two looks
                continue
            now[path] = (found.st_size, found.st_mtime_ns)
        ready = [path for path, stamp in now.items() if stamp[0] and self._seen.get(path) == stamp]
        self._seen = now
        return ready

    def start(self, path: Path) -> Path | None:
        """Move a waiting recipe to running, under a name that no finished one has; None: it was taken away."""
        stem, count = path.stem, 1
        while any(self._recipe(state, stem) is not None for state in ("running", "done", "failed")):
            count += 1
            stem = f"{path.stem}-{count}"
        for state in ("done", "failed"):  # put back by hand: its old record goes, its log goes on
            (self.root / state / f"{stem}.json").unlink(missing_ok=True)
            log = self.root / state / f"{stem}.log"
            if log.exists():
                log.replace(self.root / "running" / log.name)
        taken = self.root / "running" / f"{stem}{path.suffix}"
        try:
            path.rename(taken)
        except FileNotFoundError:
            return None
        except OSError as error:
            raise from_os_error(error, path) from error
        self._seen.pop(path, None)
        return taken

    def claim(self, running: Path) -> Claim | None:
        """Take the lock of a running recipe; None: a process that outlived its queue still works on it."""
        handle = os.open(running.with_suffix(".lock"), os.O_RDWR | os.O_CREAT, 0o644)
        try:
            # flock, unlike a record lock, stays with whoever inherits the open file
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            os.close(handle)
            return None
        return Claim(handle)

    def device_of(self, running: Path) -> str:
        """Return where a process that outlived its queue works."""
        try:
            return str(json.loads(running.with_suffix(".lock").read_text())["device"])
        except (OSError, ValueError, KeyError, TypeError):
            return ""

    def finish(self, running: Path, state: Ended, record: Mapping[str, Any]) -> Path:
        """Move a recipe to where it ends, with its record and its log."""
        folder = self.root / state
        write_json(folder / f"{running.stem}.json", dict(record))
        ended = folder / running.name
        try:
            running.rename(ended)
            log = running.with_suffix(".log")
            if log.exists():
                log.replace(folder / log.name)
            running.with_suffix(".lock").unlink(missing_ok=True)
        except OSError as error:
            raise from_os_error(error, running) from error
        return ended


def _recipes_in(folder: Path) -> list[Path]:
    found = (path for path in folder.iterdir() if path.suffix in RECIPES and not path.name.startswith("."))
    return sorted(path for path in found if path.is_file())
