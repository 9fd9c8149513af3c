"""The files a training tells its story in; on a resume they are cut back to where the state stands."""

from __future__ import annotations

import csv
import io
import json
import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from maskwright.core.errors import from_os_error
from maskwright.core.spent import peak_memory, reset_peak

HISTORY = "history.csv"
LOG = "log.jsonl"
TIMING = "timing.jsonl"
WAITING = 64
"""Lines that may wait in memory."""
COLUMNS = ("epoch", "step", "lr", "loss", "valid_loss", "score")
"""First columns of history.csv: epoch and step count from 1; loss is the epoch's mean, valid_loss the mean over batches
of held-out windows; it and score are empty where nothing was validated. A column `score:CLASS` follows for each
class, empty where the windows hold none of it. Neither this file nor log.jsonl holds a time, so they are the same
bytes after any interruption; times are in timing.jsonl."""
HeldOut = tuple[float, float, Sequence[float | None]]
"""Loss, score, and score of each class; None: neither truth nor prediction holds the class."""


class Journal:
    """A text file that only grows, and can be cut back to a size it once had.

    Lines wait in a list and not in a buffered stream, whose copy in a forked data worker could be
    flushed a second time.

    Args:
        path: the file.
        size: bytes to keep of what is there.
        header: first line of a new file.
    """

    def __init__(self, path: Path, size: int, header: str = "") -> None:
        self.path = path
        self._waiting: list[str] = []
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            self._stream = path.open("ab", buffering=0)
            self._stream.truncate(min(size, path.stat().st_size))
        except OSError as error:
            raise from_os_error(error, path) from error
        if size == 0 and header:
            self.write(header)

    def write(self, text: str) -> None:
        """Add text; it stays in memory for a while, at most until `sync`."""
        self._waiting.append(text)
        if len(self._waiting) >= WAITING:
            self._flush()

    def sync(self) -> int:
        """Make everything durable and return the size in bytes."""
        self._flush()
        try:
            os.fsync(self._stream.fileno())
            return os.fstat(self._stream.fileno()).st_size
        except OSError as error:
            raise from_os_error(error, self.path) from error

    def close(self) -> None:
        """Write out what is in memory and let go of the file."""
        try:
            self._flush()
        finally:
            self._stream.close()

    def _flush(self) -> None:
        data = "".join(self._waiting).encode()
        self._waiting.clear()
        try:
            while data:
                data = data[self._stream.write(data) :]
        except OSError as error:
            raise from_os_error(error, self.path) from error


def peaks() -> dict[str, int]:
    """Return the highest memory use since the last call, in MiB: of this process, and of its GPU if it has one."""
    import torch

    found = {"peak_mb": peak_memory()}
    if torch.cuda.is_available():
        found["peak_gpu_mb"] = round(torch.cuda.max_memory_allocated() / 2**20)
        torch.cuda.reset_peak_memory_stats()
    reset_peak()
    return found


class Records:
    """The three files of a fold.

    Args:
        folder: the fold's folder.
        sizes: bytes of each file that belong to the state we go on from; empty for a new training.
        classes: names of those that are scored.
    """

    def __init__(self, folder: Path, sizes: Mapping[str, int], classes: Sequence[str] = ()) -> None:
        self._empty = [""] * (2 + len(classes))
        header = _row([*COLUMNS, *(f"score:{name}" for name in classes)])
        self._history = Journal(folder / HISTORY, sizes.get(HISTORY, 0), header)
        self._log = Journal(folder / LOG, sizes.get(LOG, 0))
        self._timing = Journal(folder / TIMING, 1 << 62)

    def step(self, plain: Mapping[str, Any]) -> None:
        """Add a line to log.jsonl."""
        self._log.write(json.dumps(plain) + "\n")

    def epoch(self, epoch: int, step: int, rate: float, loss: float, held_out: HeldOut | None) -> None:
        """Add a row to history.csv; `held_out` is what the held-out windows gave, if there are any."""
        told: Sequence[float | str | None] = self._empty if held_out is None else [*held_out[:2], *held_out[2]]
        self._history.write(_row([epoch, step, rate, loss, *told]))

    def timing(self, plain: Mapping[str, Any]) -> None:
        """Add a line to timing.jsonl, with the peak memory since the last one."""
        self._timing.write(json.dumps({**plain, **peaks()}) + "\n")

    def sync(self) -> dict[str, int]:
        """Make all files durable and return the sizes that a state written now stands for."""
        self._timing.sync()
        return {HISTORY: self._history.sync(), LOG: self._log.sync()}

    def close(self) -> None:
        """Let go of the files."""
        for journal in (self._history, self._log, self._timing):
            journal.close()


def _row(values: Sequence[float | str | None]) -> str:
    """Return a line of CSV; class names may hold commas."""
    stream = io.StringIO()
    csv.writer(stream, lineterminator="\n").writerow(values)
    return stream.getvalue()
