"""SIGINT and SIGTERM as a request: work ends at the next safe place, saved, with exit code 130 or 143."""

from __future__ import annotations

import signal
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType

from maskwright.core.errors import Interrupted


class Stop:
    """A flag that a signal raises and loops read. A second signal ends the process at once."""

    def __init__(self) -> None:
        self.signal_number: int | None = None

    @property
    def requested(self) -> bool:
        """Whether somebody asked us to stop."""
        return self.signal_number is not None

    def check(self, saved: str) -> None:
        """Raise Interrupted if a stop was asked for; `saved` says what is safe on disk."""
        if self.signal_number is not None:
            raise Interrupted(self.signal_number, saved)

    def _handle(self, number: int, _frame: FrameType | None) -> None:
        if self.signal_number is not None:
            signal.signal(number, signal.SIG_DFL)
            signal.raise_signal(number)
        self.signal_number = number

    @contextmanager
    def listening(self) -> Iterator[Stop]:
        """Catch SIGINT and SIGTERM while inside; put back what was there."""
        previous = {number: signal.signal(number, self._handle) for number in (signal.SIGINT, signal.SIGTERM)}
        try:
            yield self
        finally:
            for number, handler in previous.items():
                signal.signal(number, handler)
