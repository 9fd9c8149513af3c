"""What a person sees: messages, progress with ETA on a terminal and plain lines elsewhere, how errors are said."""

from __future__ import annotations

import os
import sys
import time
import traceback
from collections.abc import Iterator
from contextlib import contextmanager

from maskwright.core.errors import (
    EXIT_BUG,
    EXIT_MEMORY,
    DataError,
    MaskwrightError,
    from_os_error,
    one_line,
)
from maskwright.core.progress import Tick

FAULTS_SHOWN = 50
PLAIN_EVERY_S = 10.0
"""Seconds between progress lines where there is no terminal."""


def say(text: str) -> None:
    """Print one line on stdout."""
    sys.stdout.write(f"{text}\n")
    sys.stdout.flush()


def complain(text: str) -> None:
    """Print one line on stderr."""
    sys.stderr.write(f"{text}\n")
    sys.stderr.flush()


class Console:
    """The reporter of the command line."""

    def say(self, text: str) -> None:
        """Print one line for the user."""
        say(text)

    def warn(self, text: str) -> None:
        """Print one warning line on stderr."""
        complain(f"warning: {text}")

    @contextmanager
    def task(self, name: str, total: int, done: int = 0) -> Iterator[Tick]:
        """Show a bar with ETA on a terminal, or a line now and then elsewhere."""
        if sys.stderr.isatty() and os.environ.get("TERM") != "dumb":
            with _bar(name, total, done) as bar:
                yield bar
        else:
            plain = _PlainTick(name, total, done)
            yield plain
            plain.close()


class _PlainTick:
    """Progress as plain lines: few enough for a log file."""

    def __init__(self, name: str, total: int, done: int) -> None:
        self.name, self.total, self.first, self.done, self.note = name, total, done, done, ""
        self.started = self.said = time.monotonic()

    def advance(self, count: int = 1, note: str = "") -> None:
        """Count units; print a line when the last one is old enough."""
        self.done += count
        self.note = note or self.note
        now = time.monotonic()
        if now - self.said >= PLAIN_EVERY_S:
            self.said = now
            left = (self.total - self.done) * (now - self.started) / max(self.done - self.first, 1)
            complain(f"{self.name}: {self.done}/{self.total}, {clock(left)} left{self._tail()}")

    def close(self) -> None:
        """Print the last line."""
        took = clock(time.monotonic() - self.started)
        complain(f"{self.name}: {self.done}/{self.total} in {took}{self._tail()}")

    def _tail(self) -> str:
        return f", {self.note}" if self.note else ""


@contextmanager
def _bar(name: str, total: int, done: int) -> Iterator[Tick]:
    from rich.console import Console as RichConsole
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

    columns = (
        TextColumn("{task.description}", markup=False),
        BarColumn(bar_width=None),
        MofNCompleteColumn(),
        TimeRemainingColumn(elapsed_when_finished=True),
        TextColumn("{task.fields[note]}", markup=False),
    )
    with Progress(*columns, console=RichConsole(stderr=True)) as progress:
        task = progress.add_task(name, total=total, completed=done, note="")

        class Bar:
            def advance(self, count: int = 1, note: str = "") -> None:
                progress.advance(task, count)
                if note:
                    progress.update(task, note=note)

        yield Bar()


def clock(seconds: float) -> str:
    """Return seconds as 12s, 3m05s or 2h07m."""
    whole = max(0, round(seconds))
    if whole < 60:
        return f"{whole}s"
    return f"{whole // 60}m{whole % 60:02d}s" if whole < 3600 else f"{whole // 3600}h{whole % 3600 // 60:02d}m"


def exit_code_for(error: BaseException) -> int:
    """Say what went wrong in one line on stderr and return the promised exit code."""
    if os.environ.get("MASKWRIGHT_DEBUG"):
        traceback.print_exception(error)
    if isinstance(error, DataError):
        for fault in error.faults[:FAULTS_SHOWN]:
            complain(f"error: {fault}")
        if len(error.faults) > FAULTS_SHOWN:
            complain(
                f"error: and {len(error.faults) - FAULTS_SHOWN} more faults; maskwright inspect --json lists them all"
            )
        return error.exit_code
    if isinstance(error, MaskwrightError):
        stopped = error.exit_code > 128
        complain(f"{'stopped' if stopped else 'error'}: {error}")
        return error.exit_code
    if isinstance(error, KeyboardInterrupt):
        complain("stopped: interrupted; run the same command again to go on")
        return 130
    if isinstance(error, MemoryError) or (isinstance(error, RuntimeError) and "can't allocate memory" in str(error)):
        complain("error: out of memory; lower batch_size, crop or predict.window")
        return EXIT_MEMORY
    if isinstance(error, OSError):
        known = from_os_error(error, error.filename or "")
        complain(f"error: {known}")
        return known.exit_code
    kind = type(error).__name__
    complain(f"error: a bug in maskwright: {kind}: {one_line(str(error))}; run again with --debug and report it")
    return EXIT_BUG
