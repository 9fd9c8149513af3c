"""One measurement in a process of its own: its memory is its own, and its end harms nobody."""

from __future__ import annotations

import multiprocessing
import resource
import signal
from collections.abc import Callable
from dataclasses import dataclass
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any

from maskwright.core.errors import InputError, Interrupted, MemoryLimitError, one_line

PRELOADED = ["maskwright.training.probe", "maskwright.inference.probe", "segmentation_models_pytorch"]
"""What a server process imports once; measurements are forked from it, as it never touched a GPU or a thread pool."""


SERVER_GONE = 255
"""What multiprocessing calls the exit code of a process whose server ended before it; the server has no reason to but
a signal."""


@dataclass(frozen=True)
class Trial:
    """What one measurement came to."""

    seconds: float = 0.0
    """Of one pass; 0 where it did not come to an end."""
    peak: int = 0
    """Bytes: what torch's allocator held on a GPU, the largest resident set of the process on a CPU."""
    room: int = 0
    """Bytes that there are: of the GPU; on a CPU what was free when it began, and its own."""
    device: str = ""
    why: str = ""
    """Why there is no figure: out of memory, or what the model says against it."""
    full: bool = False
    """Whether memory was what ended it."""


def run_trial(function: Callable[[Any], float], spec: Any) -> Trial:
    """Call a function in a new process and return what it took.

    Args:
        function: of a module; returns seconds.
        spec: its argument, picklable.

    Raises:
        Interrupted: a signal ended the measurement, as one to the whole process group does.
        RuntimeError: it ended without a word.
    """
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(PRELOADED)
    ours, theirs = context.Pipe(duplex=False)
    process = context.Process(target=_child, args=(theirs, function, spec), daemon=True)
    try:
        process.start()
    except (EOFError, ConnectionError) as error:  # the server is gone, and only a signal ends it
        ours.close()
        theirs.close()
        raise _stopped(signal.SIGTERM) from error
    theirs.close()
    try:
        told = ours.recv()
    except (EOFError, ConnectionError):
        process.join()
        told = _without_words(process.exitcode)
    finally:
        ours.close()
        if process.is_alive():
            process.join(20)
            process.kill()
        process.join()
    assert isinstance(told, Trial), told
    return told


def _without_words(code: int | None) -> Trial:
    """Say what an exit code means where a measurement sent nothing."""
    if code == -signal.SIGKILL:
        return Trial(why="ended by the system, most likely for its memory", full=True)
    if code == SERVER_GONE:
        raise _stopped(signal.SIGTERM)
    if code in (-signal.SIGTERM, -signal.SIGINT, -signal.SIGHUP):
        raise _stopped(-code)
    raise RuntimeError(f"a measurement ended with exit code {code}")


def _stopped(number: int) -> Interrupted:
    return Interrupted(number, "a measurement was ended by a signal; nothing was written")


def _child(pipe: Connection, function: Callable[[Any], float], spec: Any) -> None:
    """Measure, and send what came of it."""
    import torch

    signal.signal(signal.SIGINT, signal.SIG_DFL)  # Ctrl-C goes to the parent too, which has the words for it
    free = memory_free()
    try:
        seconds = function(spec)
    except (MemoryError, torch.OutOfMemoryError, MemoryLimitError) as error:
        pipe.send(Trial(why=f"out of memory: {one_line(str(error))[:120]}", full=True))
    except InputError as error:  # such as batch norm with one sample of one pixel
        pipe.send(Trial(why=error.what))
    except RuntimeError as error:
        if "can't allocate memory" not in str(error):
            raise
        pipe.send(Trial(why="out of memory", full=True))
    else:
        pipe.send(_told(seconds, free))


def _told(seconds: float, free: int) -> Trial:
    import torch

    resident = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024
    if torch.cuda.is_initialized():  # type: ignore[no-untyped-call]
        device = torch.cuda.current_device()
        room = torch.cuda.mem_get_info(device)[1]
        return Trial(seconds, torch.cuda.max_memory_reserved(device), room, torch.cuda.get_device_name(device))
    return Trial(seconds, resident, free, "cpu")


def memory_free() -> int:
    """Return the bytes of memory that are free, as the kernel and this process's control group see it."""
    free = 1 << 62
    for line in _read("/proc/meminfo").splitlines():
        if line.startswith("MemAvailable:"):
            free = int(line.split()[1]) * 1024
    limit, used = _read("/sys/fs/cgroup/memory.max").strip(), _read("/sys/fs/cgroup/memory.current").strip()
    if limit.isdigit() and used.isdigit():
        free = min(free, int(limit) - int(used))
    return free


def _read(name: str) -> str:
    try:
        return Path(name).read_text(encoding="ascii")
    except OSError:
        return ""
