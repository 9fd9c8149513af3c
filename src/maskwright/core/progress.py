"""How long work tells what it does, without any room knowing the terminal."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager
from typing import Protocol


class Tick(Protocol):
    """A running piece of work."""

    def advance(self, count: int = 1, note: str = "") -> None:
        """Say that `count` more units are done; `note` is shown beside the bar, e.g. the loss."""


class Reporter(Protocol):
    """Where messages and progress go; cli/console.py draws them."""

    def say(self, text: str) -> None:
        """Print one line for the user."""

    def warn(self, text: str) -> None:
        """Print one warning line on stderr."""

    def task(self, name: str, total: int, done: int = 0) -> AbstractContextManager[Tick]:
        """Open a piece of work of `total` units of which `done` are there already."""


class Silent:
    """A reporter that says nothing; for libraries and tests."""

    def say(self, text: str) -> None:
        """Drop the line."""

    def warn(self, text: str) -> None:
        """Drop the line."""

    @contextmanager
    def task(self, name: str, total: int, done: int = 0) -> Iterator[Tick]:
        """Give a tick that does nothing."""
        yield _NoTick()


class _NoTick:
    def advance(self, count: int = 1, note: str = "") -> None:
        """Do nothing."""
