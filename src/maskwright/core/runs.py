"""The run folder: its names, its lock, and its manifest of what is finished and made from what.

    recipe.yaml  audit.json  fingerprint.json  files.json  folds.csv  weights.json  members/<member>/fold<k>/
    probabilities/<member>/<split>/  decision.json  items.csv  scenes.json  held_out.json  diagnosis.json  output/
    suspects.json  report.html  ground.json  manifest.json  timing.jsonl  run.lock  cache/
    selftrain.json  selftrain/round<k>/

No absolute path is stored inside, so a run folder can be moved.
"""

from __future__ import annotations

import fcntl
import json
import os
import shutil
import socket
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from maskwright.core.errors import InputError, LockedError, StorageError, from_os_error
from maskwright.core.files import read_json, safe_name, sweep_partials, write_json
from maskwright.core.recipe.load import differing

Split = Literal["oof", "holdout", "test"]
"""oof: each item by the model of the fold that held it out; holdout, test: all folds averaged."""


def is_main_process() -> bool:
    """Say whether this is the one process that writes (torchrun and accelerate set RANK)."""
    return os.environ.get("RANK", "0").strip() in ("", "0")


def refuse_together(what: str) -> None:
    """Refuse work that one process does, where torchrun or accelerate launch started several.

    Args:
        what: is done by one process, for the message.

    Raises:
        InputError: there are several.
    """
    if int(os.environ.get("WORLD_SIZE") or "1") > 1:
        raise InputError(f"{what} by one process", where="command line", fix="start maskwright without torchrun")


@dataclass(frozen=True)
class UnitState:
    """What the manifest knows of one unit of work."""

    known: bool
    """The unit was begun once."""
    done: bool
    """It was finished, and from the very same inputs."""
    changes: tuple[str, ...]
    """`key was X, now Y` for inputs that differ from those it was begun with."""


class RunFolder:
    """A run's folder on disk.

    Args:
        root: the folder; it is made when the first file is written.
    """

    def __init__(self, root: str | Path) -> None:
        self.root = Path(root)
        self.recipe = self.root / "recipe.yaml"
        self.fingerprint = self.root / "fingerprint.json"
        self.fingerprint_test = self.root / "fingerprint_test.json"
        self.audit = self.root / "audit.json"
        self.files = self.root / "files.json"
        self.folds = self.root / "folds.csv"
        self.weights = self.root / "weights.json"
        self.decision = self.root / "decision.json"
        self.items = self.root / "items.csv"
        self.scenes = self.root / "scenes.json"
        self.ground = self.root / "ground.json"
        self.held_out = self.root / "held_out.json"
        self.diagnosis = self.root / "diagnosis.json"
        self.suspects = self.root / "suspects.json"
        self.selftrain = self.root / "selftrain.json"
        self.timing = self.root / "timing.jsonl"
        self.cache = self.root / "cache"
        self.output = self.root / "output"
        self.report = self.root / "report.html"
        self.manifest = self.root / "manifest.json"

    def fold(self, member: str, fold: int) -> Path:
        """Return the folder of one trained fold."""
        return self.root / "members" / safe_name(member) / f"fold{fold}"

    def probabilities(self, member: str, split: Split, fold: int | None = None) -> Path:
        """Return the folder of a member's stored probabilities, or of one of its folds alone."""
        name = split if fold is None else f"{split}_fold{fold}"
        return self.root / "probabilities" / safe_name(member) / name

    def check(self, unit: str, inputs: Mapping[str, Any]) -> UnitState:
        """Compare a unit's inputs with what the manifest recorded.

        Args:
            unit: e.g. `split` or `train/pan_swin/fold0`.
            inputs: plain data that the unit's result depends on.
        """
        entry = self._entries().get(unit)
        if entry is None:
            return UnitState(False, False, ())
        changes = tuple(differing(entry["inputs"], plain_json(inputs)))
        return UnitState(True, bool(entry["done"]) and not changes, changes)

    def finished(self, unit: str) -> bool:
        """Say whether a unit was finished once, from whatever inputs: for those who have no data to compare."""
        return bool(self._entries().get(unit, {}).get("done"))

    def inputs(self, unit: str) -> Mapping[str, Any] | None:
        """Return what a unit was made from, as the manifest recorded it; None: it knows nothing of the unit."""
        entry = self._entries().get(unit)
        return None if entry is None else dict(entry["inputs"])

    def begin(self, unit: str, inputs: Mapping[str, Any]) -> None:
        """Record that a unit is being made from these inputs."""
        self._set(unit, {"done": False, "inputs": plain_json(inputs)})

    def finish(self, unit: str, inputs: Mapping[str, Any]) -> None:
        """Record that a unit is whole."""
        self._set(unit, {"done": True, "inputs": plain_json(inputs)})

    def forget(self, unit: str) -> None:
        """Drop a unit from the manifest."""
        entries = self._entries()
        if entries.pop(unit, None) is not None:
            write_json(self.manifest, entries)

    def clear(self, folder: Path) -> None:
        """Delete a folder of this run with all that is in it."""
        assert folder.is_relative_to(self.root), folder
        try:
            shutil.rmtree(folder)
        except FileNotFoundError:
            return
        except OSError as error:
            raise from_os_error(error, folder) from error

    def _entries(self) -> dict[str, Any]:
        return dict(read_json(self.manifest)) if self.manifest.exists() else {}

    def _set(self, unit: str, entry: dict[str, Any]) -> None:
        entries = self._entries()
        if entries.get(unit) != entry:
            entries[unit] = entry
            write_json(self.manifest, entries)

    @contextmanager
    def lock(self) -> Iterator[None]:
        """Own the folder while inside; partial files that a killed owner left are swept first.

        The lock is a POSIX record lock: the kernel drops it when its owner dies, however it dies,
        and data-loader processes do not inherit it (flock would stay with them).

        Raises:
            LockedError: another live process owns it; names pid and host.
        """
        path = self.root / "run.lock"
        made = [folder for folder in (self.root, *self.root.parents) if not folder.exists()]
        try:
            self.root.mkdir(parents=True, exist_ok=True)
            handle = os.open(path, os.O_RDWR | os.O_CREAT, 0o644)
        except OSError as error:
            raise from_os_error(error, self.root) from error
        try:
            take(handle, path)
            sweep_partials(self.root)
            yield
        finally:
            _unmake(path, made)
            os.close(handle)


def _unmake(lock: Path, made: list[Path]) -> None:
    """Take back folders that we made and in which nothing was written, e.g. when the data was refused."""
    if made and [entry.name for entry in lock.parent.iterdir()] == [lock.name]:
        lock.unlink()
        for folder in made:
            if any(folder.iterdir()):
                return
            folder.rmdir()


def take(handle: int, path: Path, fix: str = "wait for it, or choose another --out") -> None:
    """Take the lock of an open lock file and write into it who we are.

    Args:
        handle: the open file.
        path: its name; messages name its folder.
        fix: what the user can do if another process has it.

    Raises:
        LockedError: another live process has it; names pid and host.
        StorageError: the disk knows no locks.
    """
    try:
        fcntl.lockf(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except (BlockingIOError, PermissionError):
        raise LockedError(f"in use by {_owner(path)}", where=path.parent, fix=fix) from None
    except OSError as error:
        raise StorageError(f"cannot lock ({error.strerror})", where=path, fix="use a local disk") from error
    os.ftruncate(handle, 0)
    os.pwrite(handle, json.dumps({"pid": os.getpid(), "host": socket.gethostname()}).encode(), 0)


def _owner(path: Path) -> str:
    try:
        owner = json.loads(path.read_text())
        return f"process {owner['pid']} on {owner['host']}"
    except (OSError, ValueError, KeyError, TypeError):
        return "another process"


def plain_json(inputs: Mapping[str, Any]) -> dict[str, Any]:
    """Return data as it is after a trip through JSON, for comparing it with what was written."""
    plain: dict[str, Any] = json.loads(json.dumps(inputs))
    return plain
