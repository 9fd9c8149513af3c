"""Tells trackers what a fold's files hold, after each saved state; a tracker that fails costs one line."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from maskwright.core.errors import MaskwrightError, one_line
from maskwright.core.files import read_json, write_json
from maskwright.core.recipe.trackers import Tracker as Block
from maskwright.training.records import HISTORY, LOG
from maskwright.training.trackers.base import Place, Point, Tracker
from maskwright.training.trackers.points import Numbers, Reader

MEMORY = "trackers.json"
"""In the fold's folder: what each tracker was told, and what it needs to go on."""
PATIENCE_S = 60.0
"""How long the end of a training waits for its trackers; measured: MLflow makes its tables in 5 to 15 s."""
HASTE_S = 5.0
"""How long a stopped or failed training waits: SIGTERM promises an end within 20 s."""


@dataclass
class Tracking:
    """The trackers of a run; one object for all its folds, so that a broken one is named once."""

    blocks: tuple[Block, ...]
    root: Path
    """The run folder."""
    run: str
    """Name of the recipe."""
    config: Mapping[str, Any]
    """The resolved recipe as plain data."""
    make: Callable[[Place, Block], Tracker]
    """From training/trackers/table.py."""
    broken: set[str] = field(default_factory=set)

    def follow(self, folder: Path, member: str, fold: int, warn: Callable[[str], None]) -> Follower:
        """Begin to tell of a fold; see Follower."""
        place = Place(self.root, self.run, member, fold, self.config)
        able: dict[str, Tracker] = {
            block.name: self.make(place, block) for block in self.blocks if block.name not in self.broken
        }
        return Follower(able, folder, warn, self.broken)


class Follower:
    """Hands what is safe on disk to all trackers, in a thread that training never waits for.

    The files are what trackers are told from, and only as far as a saved state reaches: they are cut back
    with the state, so a training that goes on tells each point once.

    Args:
        trackers: by name.
        folder: the fold's folder.
        warn: takes one line, in the thread that calls `tell` or `close`.
        broken: names of trackers that failed are added here.
    """

    def __init__(
        self, trackers: Mapping[str, Tracker], folder: Path, warn: Callable[[str], None], broken: set[str]
    ) -> None:
        self.warn, self.broken = warn, broken
        self._told = folder / MEMORY
        self._reader = Reader(folder)
        self._listeners = _remembered(trackers, self._told)
        self._complaints: list[str] = []
        self._due: dict[str, int] | None = None
        self._end: bool | None = None
        self._news = threading.Condition()
        self._thread = threading.Thread(target=self._work, name="trackers", daemon=True)
        self._thread.start()

    def tell(self, sizes: Mapping[str, int]) -> None:
        """Say how many bytes of history.csv and log.jsonl are safe; returns at once."""
        with self._news:
            self._due = dict(sizes)
            self._news.notify()
        self._complain()

    def close(self, *, finished: bool) -> None:
        """Let trackers end their runs, and wait for them for a while."""
        with self._news:
            self._end = finished
            self._news.notify()
        patience = PATIENCE_S if finished else HASTE_S
        self._thread.join(patience)
        if self._thread.is_alive():
            for name in self._listeners:
                if not self._listeners[name].closed:
                    self._give_up(name, f"no answer for {patience:.0f} s")
        self._complain()

    def _work(self) -> None:
        """Live as the thread: tell what is due, end when asked to."""
        while True:
            with self._news:
                self._news.wait_for(lambda: self._due is not None or self._end is not None)
                due, self._due, end = self._due, None, self._end
            if due is not None:
                try:
                    numbers = self._reader.upto(due)
                except (OSError, ValueError, KeyError) as error:
                    for name in self._listeners:
                        self._give_up(name, f"{type(error).__name__}: {one_line(str(error))[:200]}")
                    return
                self._tell(numbers)
            elif end is not None:
                self._close(finished=end)
                return

    def _tell(self, numbers: Numbers) -> None:
        for name, listener in self._listeners.items():
            if name in self.broken:
                continue
            try:
                listener.tell(numbers, self._remember)
            except Exception as error:  # whatever a tracker raises, training goes on
                self._give_up(name, f"{type(error).__name__}: {one_line(str(error))[:200]}")

    def _close(self, *, finished: bool) -> None:
        for name, listener in self._listeners.items():
            if name in self.broken:
                continue
            try:
                listener.close(finished=finished)
            except Exception as error:
                self._give_up(name, f"{type(error).__name__}: {one_line(str(error))[:200]}")

    def _remember(self) -> None:
        write_json(self._told, {name: listener.memory for name, listener in self._listeners.items()})

    def _give_up(self, name: str, why: str) -> None:
        with self._news:
            if name not in self.broken:
                self.broken.add(name)
                self._complaints.append(
                    f"tracker {name} is told no more: {why}; training goes on, {LOG} and {HISTORY} hold everything"
                )

    def _complain(self) -> None:
        with self._news:
            said, self._complaints = self._complaints, []
        for line in said:
            self.warn(line)


class _Listener:
    """One tracker with what it was told.

    Args:
        tracker: not opened yet.
        memory: told: the last step that it has for sure; asked: the last step that it may have.
    """

    def __init__(self, tracker: Tracker, memory: Mapping[str, Any]) -> None:
        self._tracker = tracker
        self.memory = {"told": 0, "asked": 0, "since": None, "kept": {}, **memory}
        self._doubtful: int = self.memory["asked"]
        self._began = time.time()
        self._open = self.closed = False

    def tell(self, numbers: Numbers, remember: Callable[[], None]) -> None:
        """Hand on the numbers of steps that were not told; `remember` is called when memory has changed."""
        if not self._open:
            self._tracker.open(self.memory["kept"])
            self._open = True
            self.memory["kept"] = dict(self._tracker.kept)
            remember()
        points = self._points(numbers)
        if not points:
            return
        self.memory["asked"] = max(self.memory["asked"], points[-1].step)
        remember()
        for again in (True, False):
            chosen = [point for point in points if (point.step <= self._doubtful) is again]
            if chosen:
                self._tracker.write(chosen, again=again)
        self.memory.update(told=points[-1].step, since=points[-1].time, kept=dict(self._tracker.kept))
        remember()

    def close(self, *, finished: bool) -> None:
        """End the tracker's run, if it was begun."""
        if self._open:
            self._tracker.close(finished=finished)
        self.closed = True

    def _points(self, numbers: Numbers) -> list[Point]:
        steps = sorted(step for step in numbers if step > self.memory["told"])
        start, now = max(self.memory["since"] or 0.0, self._began), time.time()
        apart = (now - start) / max(len(steps), 1)
        return [Point(step, start + apart * (place + 1), numbers[step]) for place, step in enumerate(steps)]


def _remembered(trackers: Mapping[str, Tracker], path: Path) -> dict[str, _Listener]:
    """Join trackers with what an earlier process wrote down of them."""
    memory: dict[str, Any] = {}
    if path.exists():
        try:
            memory = read_json(path)
        except MaskwrightError:  # written whole or not at all, so somebody else touched it: tell anew
            memory = {}
    return {name: _Listener(tracker, memory.get(name) or {}) for name, tracker in trackers.items()}
