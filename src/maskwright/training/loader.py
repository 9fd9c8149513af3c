"""Batches read by this process or by workers: the same samples, the same errors, no signals."""

from __future__ import annotations

import atexit
import ctypes
import multiprocessing
import os
import signal
import sys
import warnings
import weakref
from collections.abc import Callable, Generator, Iterable, Sequence
from functools import partial
from typing import Any, Protocol

import torch
from torch.utils.data import DataLoader, Dataset

from maskwright.core.errors import MaskwrightError
from maskwright.data.dataset import Batch, Sample, collate, worker_init

PR_SET_PDEATHSIG = 1
"""From linux/prctl.h: a signal for this process when its parent ends."""


_WORKERS: weakref.WeakSet[Any] = weakref.WeakSet()
"""Processes of all loaders that were begun, for the case that an error kept one from being closed."""


class Samples(Protocol):
    """What TrainSet and ValidSet have in common: a ticket in, a sample out."""

    def __getitem__(self, ticket: Any, /) -> Sample: ...


def read_batches(
    samples: Samples, tickets: Iterable[list[Any]], workers: int, *, pin: bool
) -> Generator[Batch, None, None]:
    """Give a batch for each list of tickets, in order.

    Close the generator when it is not read to its end: workers ignore SIGTERM, with which Python
    would end them at exit, and would be waited for.

    Args:
        samples: a data set.
        tickets: one list for each batch; may be read ahead.
        workers: processes; 0: this one.
        pin: put batches into page-locked memory, for a faster way to a GPU.

    Raises:
        MaskwrightError: whatever reading a sample raised, unchanged, also from a worker.
    """
    loader: DataLoader[Any] = DataLoader(
        _Guarded(samples),
        batch_sampler=tickets,
        collate_fn=_collate,
        num_workers=workers,
        worker_init_fn=partial(_start_worker, os.getpid()) if workers else None,
        multiprocessing_context=_context() if workers else None,
        generator=torch.Generator(),  # torch would draw the workers' base seed from the global one
        pin_memory=pin,
    )
    with warnings.catch_warnings():
        # Python >= 3.12 warns of forking with threads; workers take no lock that a thread of ours may hold
        warnings.filterwarnings("ignore", "This process .* is multi-threaded", DeprecationWarning)
        loaded = iter(loader)
    _WORKERS.update(getattr(loaded, "_workers", ()))
    for batch in loaded:
        if isinstance(batch, MaskwrightError):
            raise batch
        yield batch


@atexit.register
def _end_workers() -> None:
    """Kill what is left of our workers before multiprocessing waits for them at exit: they ignore its SIGTERM."""
    for worker in list(_WORKERS):
        if worker.is_alive():
            worker.kill()


class _Guarded(Dataset[Any]):
    """Hands errors on as values: torch would rebuild them from a traceback text and lose their fields."""

    def __init__(self, samples: Samples) -> None:
        self._samples = samples

    def __getitem__(self, ticket: Any) -> Sample | MaskwrightError:
        try:
            return self._samples[ticket]
        except MaskwrightError as error:
            return error


def _collate(samples: Sequence[Sample | MaskwrightError]) -> Batch | MaskwrightError:
    good = []
    for sample in samples:
        if isinstance(sample, MaskwrightError):
            return sample
        good.append(sample)
    return collate(good)


def _context() -> Any:
    """Fork where the system has it: workers start in milliseconds and share what is loaded, and need no GPU."""
    methods: Callable[[], list[str]] = multiprocessing.get_all_start_methods
    return multiprocessing.get_context("fork" if "fork" in methods() else "spawn")


def _start_worker(parent: int, number: int) -> None:
    """Leave signals to the main process, which finishes its step and then lets workers go; die with it.

    torch's own watchdog starts after this function and takes whoever is the parent then for the main
    process: workers of one that was killed before stayed for ever (seen, torch 2.15).
    """
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, signal.SIGKILL)
    if os.getppid() != parent:
        os._exit(1)
    worker_init(number)
