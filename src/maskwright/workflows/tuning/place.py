"""The database of trials as one process has it open: its address, its guard, its faults, signs of life."""

from __future__ import annotations

import os
import threading
import uuid
import warnings
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from maskwright.core.errors import InputError, StorageError, from_os_error
from maskwright.core.stop import Stop
from maskwright.workflows.tuning.guard import database_guard, file_guard, try_lock

HEARTBEAT_S, GRACE_S = 15, 90
"""Seconds between signs of life, and after which a process without one counts as dead."""


@dataclass
class Place:
    """A database of trials, opened by this process.

    Args:
        url: None: study.db in the folder; else sqlite:/// or postgresql://.
        folder: of the search.
        stop: asked while waiting for others.
    """

    url: str | None
    folder: Path
    stop: Stop
    heartbeat: int = HEARTBEAT_S
    grace: int = GRACE_S
    worker: str = field(default_factory=lambda: uuid.uuid4().hex[:12])
    handle: int = -1

    def __post_init__(self) -> None:
        self.storage = self._open()

    def _open(self) -> Any:
        need_optuna()
        import optuna
        from sqlalchemy.pool import NullPool

        optuna.logging.set_verbosity(optuna.logging.ERROR)
        url = self.url or f"sqlite:///{self.folder / 'study.db'}"
        self.file = check_url(url)
        if self.file is not None:
            try:
                self.file.parent.mkdir(parents=True, exist_ok=True)
            except OSError as error:
                raise from_os_error(error, self.file.parent) from error
        options: dict[str, Any] = {"poolclass": NullPool}  # no connection is open while data workers are forked
        if self.file is not None:
            options["connect_args"] = {"timeout": 60}
        else:
            from sqlalchemy.engine import make_url

            read = make_url(url)
            if read.drivername == "postgresql":  # the driver that the extra brings, whatever SQLAlchemy would take
                read = read.set(drivername="postgresql+psycopg")
            url = read.render_as_string(hide_password=False)
        with warnings.catch_warnings(), self.told(), self._first():
            warnings.simplefilter("ignore", optuna.exceptions.ExperimentalWarning)
            return optuna.storages.RDBStorage(
                url, engine_kwargs=options, heartbeat_interval=self.heartbeat, grace_period=self.grace
            )

    def _first(self) -> AbstractContextManager[None]:
        """Let one process make the tables of a new file; of a server, Optuna minds it."""
        return nullcontext() if self.file is None else file_guard(self.lock_file, self.stop)

    @property
    def lock_file(self) -> Path:
        """The lock beside a file of SQLite."""
        assert self.file is not None
        return self.file.with_name(f"{self.file.name}.lock")

    def guard(self) -> AbstractContextManager[None]:
        """Be the only process that looks at trials and changes them."""
        if self.file is not None:
            return file_guard(self.lock_file, self.stop)
        return database_guard(self.storage.engine, self.stop)

    @contextmanager
    def told(self) -> Iterator[None]:
        """Turn what a database says into one line."""
        import optuna
        from sqlalchemy.exc import SQLAlchemyError

        try:
            yield
        except (SQLAlchemyError, optuna.exceptions.StorageInternalError, ImportError) as error:
            cause = error.__cause__ or error
            first = str(getattr(cause, "orig", cause)).strip().splitlines()
            fix = "check the database and its address"
            if isinstance(error, ImportError):
                fix = "pip install 'maskwright[postgresql]'"
            raise StorageError(
                f"the database of trials cannot be used ({first[0] if first else type(cause).__name__})",
                where=shown_url(self.url) if self.url else self.folder / "study.db",
                fix=fix,
            ) from error

    @contextmanager
    def at_work(self) -> Iterator[None]:
        """Hold the lock that says this process lives."""
        path = self.folder / "workers" / self.worker
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            self.handle = os.open(path, os.O_RDWR | os.O_CREAT, 0o644)
        except OSError as error:
            raise from_os_error(error, path) from error
        assert try_lock(self.handle)
        try:
            yield
        finally:
            path.unlink(missing_ok=True)
            os.close(self.handle)

    def alive(self, worker: str) -> bool | None:
        """Say whether a process on this folder lives; None: it is not of this folder, or ended and took its file."""
        path = self.folder / "workers" / worker
        if worker == self.worker:
            return True
        try:
            handle = os.open(path, os.O_RDWR)
        except OSError:
            return None
        try:
            dead = try_lock(handle)
            if dead:
                path.unlink(missing_ok=True)
            return not dead
        finally:
            os.close(handle)


def need_optuna() -> None:
    """Refuse to go on without Optuna.

    Raises:
        InputError: it cannot be imported.
    """
    try:
        import optuna  # noqa: F401 - whether it is there
    except ImportError as error:
        what = f"search needs Optuna, which cannot be imported ({error})"
        raise InputError(what, where="maskwright search", fix="pip install 'maskwright[search]'") from error


def check_url(url: str) -> Path | None:
    """Return the file of a SQLite address, None for a PostgreSQL one.

    Raises:
        InputError: another database, or no address at all.
    """
    from sqlalchemy.engine import make_url
    from sqlalchemy.exc import ArgumentError

    try:
        read = make_url(url)
    except ArgumentError:
        what, fix = f"'{url:.80}' is no address of a database", "write sqlite:///FILE or postgresql://USER@HOST/NAME"
        raise InputError(what, where="--storage", fix=fix) from None
    kind = read.get_backend_name()
    if kind == "postgresql":
        return None
    if kind != "sqlite" or not read.database or read.database == ":memory:":
        what = "a database in memory" if kind == "sqlite" else f"a database of the kind {kind}"
        raise InputError(
            f"{what} cannot hold trials", where="--storage", fix="write sqlite:///FILE or postgresql://USER@HOST/NAME"
        )
    return Path(read.database)


def shown_url(url: str) -> str:
    """Return an address without its password."""
    from sqlalchemy.engine import make_url

    return str(make_url(url).render_as_string(hide_password=True))


@contextmanager
def beating(beat: Callable[[], None], every: float) -> Iterator[None]:
    """Call a function every so many seconds, in a thread of its own, while inside."""
    over = threading.Event()

    def work() -> None:
        while not over.wait(every):
            with suppress(Exception):  # a database that is away for a moment is no reason to end a training
                beat()

    thread = threading.Thread(target=work, daemon=True)
    thread.start()
    try:
        yield
    finally:
        over.set()
        thread.join()
