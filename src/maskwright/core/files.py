"""Names that stay inside their folder, and writes that are whole or absent.

A final name is only ever given to a complete file: temporary file in the SAME folder, fsync,
optional check, replace, fsync of the folder. TMPDIR is never used: a move across devices is
no rename, and kill -9 in the middle of one was measured to leave 0 bytes (RULES, Files).
"""

from __future__ import annotations

import glob
import json
import os
import re
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path, PurePosixPath
from typing import Any

from maskwright.core.errors import InputError, MaskwrightError, from_os_error

TEMPORARY = ".partial"
ABANDONED = 600
"""Seconds for which nobody has written to a temporary file whose process is gone."""
_PLAIN = re.compile(r"[A-Za-z0-9_.\- ]")


def inside(root: Path, name: str, where: str | Path) -> Path:
    """Return root/name for a name from a CSV or JSON file, refusing every way out of root.

    Args:
        root: the folder names may point into.
        name: text from an untrusted file.
        where: file and row for the message.

    Raises:
        InputError: an empty name, an absolute path, `..`, URL, NUL, drive letter, or a link that leads outside.
    """
    if not name.strip():
        raise InputError("a name that is empty", where=where, fix="write the name of a file, or take the entry away")
    parts = PurePosixPath(name.replace("\\", "/"))
    bad = "\0" in name or parts.is_absolute() or ".." in parts.parts
    if bad or "://" in name or re.match(r"^[A-Za-z]:", name):
        raise InputError(f"name {name[:80]!r} leaves the data folder", where=where, fix="use names below data.root")
    path = root / parts
    if not path.resolve().is_relative_to(root.resolve()):
        raise InputError(
            f"name {name[:80]!r} links out of the data folder", where=where, fix="use names below data.root"
        )
    return path


def safe_name(key: str) -> str:
    """Return a file name for a key: one-to-one, without separators; other characters as %XX of UTF-8."""
    text = "".join(c if _PLAIN.match(c) else "".join(f"%{byte:02X}" for byte in c.encode()) for c in key)
    return f"%2E{text[1:]}" if text.startswith(".") else text


def stored_name(key: str) -> str:
    """Return the path of an item's file below a folder, without suffix: each `/` of the key a folder, one-to-one."""
    return "/".join(safe_name(part) or "%" for part in key.split("/"))  # a lone % is no safe_name


@contextmanager
def atomic_path(path: Path, verify: Callable[[Path], None] | None = None) -> Iterator[Path]:
    """Give a temporary path in the same folder; on leaving, make it durable under its final name.

    Args:
        path: final name; its folder is made.
        verify: called with the temporary path after fsync; whatever it raises keeps the old file.

    Raises:
        StorageError: disk full or no permission; the old file, if any, is untouched.
    """
    temporary = path.with_name(f".{path.name}.{os.getpid()}{TEMPORARY}")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        yield temporary
        _sync(temporary)
        if verify is not None:
            verify(temporary)
        temporary.replace(path)
        _sync(path.parent)
    except MaskwrightError:
        raise  # a StorageError is an OSError too, and says more
    except OSError as error:
        raise from_os_error(error, path) from error
    finally:
        with suppress(OSError):  # the first fault is the one to tell
            temporary.unlink(missing_ok=True)


def _sync(path: Path) -> None:
    handle = os.open(path, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def write_bytes(path: Path, data: bytes) -> None:
    """Write a whole file atomically and durably."""
    with atomic_path(path) as temporary:
        temporary.write_bytes(data)


def write_text(path: Path, text: str) -> None:
    """Write UTF-8 text atomically and durably."""
    write_bytes(path, text.encode())


def write_json(path: Path, plain: Any) -> None:
    """Write plain data as indented JSON, atomically and durably."""
    write_text(path, json.dumps(plain, indent=1, ensure_ascii=False, allow_nan=False) + "\n")


def read_json(path: Path) -> Any:
    """Read a JSON file of our own; a damaged one is refused by name."""
    try:
        return json.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise from_os_error(error, path) from error
    except ValueError as error:
        raise InputError(f"not readable as JSON ({error})", where=path, fix="delete it to have it made again") from None


def sweep_partials(folder: Path) -> None:
    """Delete temporary files that a killed process left below a folder we hold the lock of."""
    for left in folder.rglob(f".*{TEMPORARY}"):
        left.unlink(missing_ok=True)


def sweep_abandoned(path: Path) -> None:
    """Delete temporary files that killed processes left beside a file, in a folder that nobody holds a lock of.

    Kept is what a process of this machine may be writing, and what was touched in the last ABANDONED seconds, since
    the folder may be one of several machines.
    """
    for left in path.parent.glob(f".{glob.escape(path.name)}.*{TEMPORARY}"):
        with suppress(OSError):
            if time.time() - left.stat().st_mtime > ABANDONED and not writer_runs(left):
                left.unlink(missing_ok=True)


def writer_runs(temporary: Path) -> bool:
    """Say whether a process of this machine may still write to a temporary file; True where that cannot be known."""
    number = temporary.name.removesuffix(TEMPORARY).rpartition(".")[2]
    if os.name != "posix":
        return True
    try:
        os.kill(int(number), 0)
    except ProcessLookupError:
        return False
    except (OSError, ValueError, OverflowError):
        return True
    return True
