"""One process at a time: a lock beside a SQLite file, or an advisory lock of PostgreSQL, both gone with their owner."""

from __future__ import annotations

import fcntl
import os
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from maskwright.core.errors import from_os_error
from maskwright.core.stop import Stop

POLL_S = 0.02
_KEY = 0x6D61736B  # "mask": which of PostgreSQL's advisory locks is ours


@contextmanager
def file_guard(path: Path, stop: Stop) -> Iterator[None]:
    """Hold a file's record lock; processes that die let go of it.

    Raises:
        StorageError: the file cannot be opened.
        Interrupted: a stop was asked for while waiting.
    """
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        handle = os.open(path, os.O_RDWR | os.O_CREAT, 0o644)
    except OSError as error:
        raise from_os_error(error, path) from error
    try:
        while not try_lock(handle):
            stop.check("finished trials are kept")
            time.sleep(POLL_S)
        yield
    finally:
        os.close(handle)


def try_lock(handle: int) -> bool:
    """Take the record lock of an open file; say whether we have it."""
    try:
        fcntl.lockf(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except (BlockingIOError, PermissionError):
        return False
    return True


@contextmanager
def database_guard(engine: Any, stop: Stop) -> Iterator[None]:
    """Hold an advisory lock of a PostgreSQL database; a connection that breaks lets go of it.

    Args:
        engine: of SQLAlchemy.
        stop: asked while waiting.
    """
    from sqlalchemy import text

    with engine.connect() as connection:
        while not connection.execute(text("SELECT pg_try_advisory_lock(:key)"), {"key": _KEY}).scalar():
            stop.check("finished trials are kept")
            time.sleep(POLL_S)
        try:
            yield
        finally:
            connection.execute(text("SELECT pg_advisory_unlock(:key)"), {"key": _KEY})
