"""What work costs: seconds and peak memory, kept as lines of JSON beside what was made."""

from __future__ import annotations

import json
import resource
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

from maskwright.core.errors import InputError, from_os_error

LEAST = 0.05
"""Seconds; a stage that had nothing to do is not worth a line."""
_STATUS, _CLEAR = Path("/proc/self/status"), Path("/proc/self/clear_refs")


def reset_peak() -> None:
    """Forget the highest memory use so far, where the kernel can (Linux: 5 into clear_refs, man 5 proc)."""
    with suppress(OSError):
        _CLEAR.write_text("5")


def peak_memory() -> int:
    """Return the most memory that this process held since `reset_peak`, in MiB; data workers count for themselves."""
    with suppress(OSError, ValueError, IndexError):
        line = next(line for line in _STATUS.read_text().splitlines() if line.startswith("VmHWM:"))
        return round(int(line.split()[1]) / 1024)
    return round(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024)


@contextmanager
def spending(path: Path, stage: str) -> Iterator[None]:
    """Measure what is done inside and add a line to timing.jsonl, also when it is stopped.

    Args:
        path: the file; nothing is written where no run was begun (no manifest beside it), nor for a stage that ended
            well and had nothing to do (it left the manifest alone).
        stage: its name.
    """
    manifest = path.parent / "manifest.json"
    reset_peak()
    began, before = time.perf_counter(), _mark(manifest)
    ended = False
    try:
        yield
        ended = True
    finally:
        seconds, after = time.perf_counter() - began, _mark(manifest)
        if seconds >= LEAST and after is not None and not (ended and after == before):
            add_line(path, {"stage": stage, "seconds": round(seconds, 3), "peak_mb": peak_memory()})


def _mark(path: Path) -> tuple[int, int] | None:
    """Return what is another after each replacement of a file; None if there is none."""
    try:
        found = path.stat()
    except OSError:
        return None
    return found.st_ino, found.st_mtime_ns


def add_line(path: Path, plain: dict[str, Any]) -> None:
    """Add one line of JSON to a file; a line that was cut short by a kill is closed first.

    Raises:
        StorageError: disk full or no permission.
    """
    try:
        with path.open("ab+") as stream:
            if stream.tell():
                stream.seek(-1, 2)
                if stream.read(1) != b"\n":
                    stream.write(b"\n")
            stream.write(json.dumps(plain).encode() + b"\n")
    except OSError as error:
        raise from_os_error(error, path) from error


def read_lines(path: Path) -> list[dict[str, Any]]:
    """Read what was measured; nothing if there is no file. Lines that a kill cut short are passed over.

    Raises:
        InputError: a line is whole but no object.
    """
    try:
        lines = path.read_text(encoding="utf-8", errors="replace").splitlines()
    except FileNotFoundError:
        return []
    except OSError as error:
        raise from_os_error(error, path) from error
    found = []
    for number, line in enumerate(lines, 1):
        try:
            plain = json.loads(line)
        except ValueError:
            continue
        if not isinstance(plain, dict):
            raise InputError("not a line of timings", where=f"{path}:{number}", fix="delete the line")
        found.append(plain)
    return found
