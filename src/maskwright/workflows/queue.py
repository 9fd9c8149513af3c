"""The verb queue: recipes are run as they arrive in a folder, one on each device, by processes of their own."""

from __future__ import annotations

import os
import re
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from maskwright.core.errors import InputError
from maskwright.core.progress import Reporter
from maskwright.core.stop import Stop
from maskwright.workflows.queue_folder import Claim, Ended, QueueFolder

CPU = "cpu"
TICK_S = 0.3
"""Seconds between looks at processes and signals."""
SETTLE_S = 1.0
"""Seconds between the two looks that --once takes at a file at most."""
PATIENCE_S = 18.0
"""Seconds that a process has to save and leave; then it is killed, which a run survives, so that we keep our 20."""


def run_command(recipe: Path, overrides: Sequence[str]) -> list[str]:
    """Return the command line that runs a recipe."""
    return [sys.executable, "-m", "maskwright", "run", str(recipe), *overrides]


@dataclass(frozen=True)
class Settings:
    """How a queue works."""

    devices: tuple[str, ...]
    """CUDA devices as CUDA_VISIBLE_DEVICES takes them, or cpu; each runs one recipe at a time."""
    poll: float = 10.0
    """Seconds between looks at the folder."""
    once: bool = False
    """Leave when nothing is left to do."""
    overrides: tuple[str, ...] = ()
    """`dotted.key=value` for every recipe."""
    command: Callable[[Path, Sequence[str]], list[str]] = run_command
    """From a recipe and the overrides to the words of a command line."""


@dataclass
class Job:
    """A recipe that runs."""

    recipe: Path
    device: str
    process: subprocess.Popen[bytes]
    begun: float


def check_devices(text: str | None) -> tuple[str, ...]:
    """Return the devices that `--devices` names, or all there are.

    Raises:
        InputError: a word is neither a number, nor a device's UUID, nor cpu.
    """
    if text is None:
        return _all_devices()
    names = tuple(word.strip() for word in text.split(","))
    for name in names:
        if not re.fullmatch(r"\d+|cpu|(GPU|MIG)-[\w./-]+", name):
            raise InputError(f"'{name}' is no device", where="--devices", fix="write cpu, or numbers: --devices 0,1")
    return names


def check_settings(settings: Settings) -> None:
    """Refuse settings that no recipe could be run with.

    Raises:
        InputError: naming the option.
    """
    if not settings.poll > 0:
        raise InputError(f"must be above 0 seconds, got {settings.poll:g}", where="--poll", fix="give e.g. --poll 10")
    for text in settings.overrides:
        if not all(text.partition("=")[0].split(".")) or "=" not in text:
            raise InputError(f"'{text}' is no override", where="command line", fix="write key.key=value")


def _all_devices() -> tuple[str, ...]:
    import torch

    count = torch.cuda.device_count()
    named = [name.strip() for name in os.environ.get("CUDA_VISIBLE_DEVICES", "").split(",") if name.strip()]
    return tuple((named or [str(index) for index in range(count)])[:count]) or (CPU,)


def run_queue(folder: Path, settings: Settings, reporter: Reporter, stop: Stop | None = None) -> None:
    """Run what is in a queue's folder and what arrives there.

    Args:
        folder: an existing folder; see queue_folder.py.
        settings: how.
        reporter: gets a line for each recipe that starts and ends.
        stop: SIGTERM and SIGINT are handed to the processes; their recipes stay in running/ and go on next time.

    Raises:
        InputError: no such folder; with once: some recipes failed.
        LockedError: another queue works there.
        Interrupted: a signal asked to stop.
    """
    queue = _Queue(QueueFolder(folder), settings, reporter, stop or Stop())
    with queue.folder.lock(), queue.stop.listening():
        try:
            queue.work()
        finally:
            queue.halt()
    if queue.failed:
        raise InputError(
            f"{len(queue.failed)} of {queue.ended} recipes failed: {', '.join(queue.failed)}",
            where=folder / "failed",
            fix="see the .log beside each, mend it and move it back to waiting",
        )


class _Queue:
    def __init__(self, folder: QueueFolder, settings: Settings, reporter: Reporter, stop: Stop) -> None:
        self.folder, self.settings, self.reporter, self.stop = folder, settings, reporter, stop
        self.jobs: list[Job] = []
        self.left: list[Path] = []
        self.ready: list[Path] = []
        self.failed: list[str] = []
        self.ended = 0
        self.looked = -1e9
        self.idle = False

    def work(self) -> None:
        """Start, watch and end recipes until there is nothing left (once) or a signal comes."""
        self.left = self.folder.left()
        waiting = len(self.folder.arrivals())
        more = f", {len(self.left)} to go on with" if self.left else ""
        devices = ", ".join(self.settings.devices)
        self.reporter.say(f"queue {self.folder.root}: {waiting} waiting{more}; devices: {devices}")
        while not (self.settings.once and self._empty()):
            if self.stop.requested:
                self.halt()
                self.stop.check(f"{len(self.folder.left())} recipes stay in {self.folder.root / 'running'}, saved")
            self._reap()
            self._look()
            self._fill()
            time.sleep(min(TICK_S, self.settings.poll))

    def _empty(self) -> bool:
        return not (self.jobs or self.left or self.folder.arrivals())

    def _look(self) -> None:
        every = min(self.settings.poll, SETTLE_S) if self.settings.once else self.settings.poll
        if time.monotonic() - self.looked >= every:
            self.looked = time.monotonic()
            self.ready = self.folder.ready()

    def _fill(self) -> None:
        """Give each free device a recipe: first what was begun before, then what waits."""
        busy = [job.device for job in self.jobs]
        for path in list(self.left):
            claim = self.folder.claim(path)
            if claim is None:
                busy.append(self.folder.device_of(path))
            elif device := self._free(busy):
                self.left.remove(path)
                self._start(path, device, claim, "go on with")
                busy.append(device)
            else:
                claim.drop()
        while self.ready and (device := self._free(busy)):
            taken = self.folder.start(self.ready.pop(0))
            claim = None if taken is None else self.folder.claim(taken)
            if taken is not None and claim is not None:
                self._start(taken, device, claim, "start")
                busy.append(device)
        if not self.jobs and not self.left and not self.folder.arrivals():
            if not self.idle and not self.settings.once:
                self.reporter.say(f"waiting for recipes in {self.folder.root}")
            self.idle = True
        else:
            self.idle = False

    def _free(self, busy: Sequence[str]) -> str | None:
        """Return a device with fewer recipes than it is named for, or None."""
        names = self.settings.devices
        return next((name for name in names if list(busy).count(name) < names.count(name)), None)

    def _start(self, recipe: Path, device: str, claim: Claim, verb: str) -> None:
        claim.hold(device)
        words = self.settings.command(recipe, self.settings.overrides)
        seen = "" if device == CPU else device
        where = CPU if device == CPU else f"device {device}"
        with recipe.with_suffix(".log").open("ab") as log:
            log.write(f"== {verb} {recipe.name} on {where}\n".encode())
            log.flush()
            process = subprocess.Popen(  # noqa: S603 - our own command line, word by word
                words,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
                env={**os.environ, "CUDA_VISIBLE_DEVICES": seen, "PYTHONUNBUFFERED": "1"},
                pass_fds=(claim.handle,),
                start_new_session=True,  # Ctrl-C reaches us alone, and we hand it on once
            )
        claim.drop()
        self.jobs.append(Job(recipe, device, process, time.monotonic()))
        self.reporter.say(f"{verb} {recipe.name} on {where}")

    def _reap(self) -> None:
        for job in [job for job in self.jobs if job.process.poll() is not None]:
            self.jobs.remove(job)
            self._end(job, stopping=False)

    def _end(self, job: Job, *, stopping: bool) -> None:
        """Move an ended recipe to where it belongs; one that we stopped stays where it is."""
        code = job.process.returncode
        code = 128 - code if code < 0 else code
        if stopping and code > 128:
            self.reporter.say(f"stopped {job.recipe.name}, it goes on next time")
            return
        seconds = time.monotonic() - job.begun
        error = "" if code == 0 else _last_error(job.recipe.with_suffix(".log"), code)
        state: Ended = "done" if code == 0 else "failed"
        record: dict[str, Any] = {"exit_code": code, "device": job.device, "seconds": round(seconds, 1)}
        self.folder.finish(job.recipe, state, {**record, "error": error} if error else record)
        self.ended += 1
        self.failed += [] if code == 0 else [job.recipe.stem]
        self.reporter.say(
            f"{state} {job.recipe.name} in {seconds:.0f}s{f' (exit code {code}): {error}' if code else ''}"
        )

    def halt(self) -> None:
        """Ask every process to save and leave, and see them out."""
        for job in self.jobs:
            job.process.send_signal(self.stop.signal_number or 15)
        until = time.monotonic() + PATIENCE_S
        for job in self.jobs:
            try:
                job.process.wait(max(0.0, until - time.monotonic()))
            except subprocess.TimeoutExpired:
                job.process.kill()
                job.process.wait()
            self._end(job, stopping=True)
        self.jobs.clear()


def _last_error(log: Path, code: int) -> str:
    """Return the last line in which a run said why it ended."""
    lines = log.read_text(encoding="utf-8", errors="replace").splitlines()
    said = [line for line in lines if line.startswith(("error: ", "stopped: "))]
    if said and not (code > 128 and said[-1].startswith("error: ")):
        return said[-1][:1000]
    return f"killed by signal {code - 128}" if code > 128 else (lines[-1][:1000] if lines else "it said nothing")
