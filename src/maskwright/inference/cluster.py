"""Pieces of rasters made by a Ray cluster that runs already: sent out, taken back in order, made again after a death.

Rasters and weights are read by the workers, under the paths they have here; answers come back through Ray and are
written by this process alone, so that only what is read must be seen by all machines.
"""

from __future__ import annotations

import os
import socket
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path
from typing import Any, NamedTuple

from maskwright.core.errors import InputError, MaskwrightError, MemoryLimitError
from maskwright.core.progress import Silent
from maskwright.core.stop import Stop
from maskwright.core.version import __version__
from maskwright.data.pixels.windows import opened_windows
from maskwright.inference.pieces import Carried, Piece
from maskwright.inference.scene import Scenery, predict_scene

WHERE = "--cluster ray"
LIVES = 5
"""Workers that may die over one piece before the command gives up."""
AHEAD = 3
"""Pieces for each worker that are sent out, or done and not written yet, since one above them is not done."""
THREADS = 4
"""Processors of one worker where there is no GPU and nobody says how many workers there should be."""
PATIENCE = 0.5
"""Seconds after which a signal is looked for."""


@dataclass(frozen=True)
class Crew:
    """How many workers there are, and what each takes of its machine."""

    workers: int
    threads: int
    """Processors, and threads of the models."""
    gpus: int
    """0 or 1."""

    @property
    def device(self) -> str:
        """Return the kind of torch device that the models run on."""
        return "cuda" if self.gpus else "cpu"


@dataclass(frozen=True)
class Order:
    """A piece, and all that a worker needs to make it."""

    piece: Piece
    path: Path
    """Of the raster, absolute."""
    identity: Mapping[str, Any]
    """Of the raster, see Windows.identity."""
    max_pixels: int
    scenery: Callable[[], Scenery]
    """Loads the models; done once by each worker for each `key`."""
    key: str
    threads: int
    versions: Mapping[str, str]
    """What the bytes depend on, see versions."""


class _Sent(NamedTuple):
    place: int
    order: Order
    deaths: int
    status: Any
    """Ray's reference to None, or to a fault of ours."""
    answer: Any
    """Ray's reference to a Carried."""


@contextmanager
def connected() -> Iterator[list[Mapping[str, float]]]:
    """Join the cluster that RAY_ADDRESS names, or that runs on this machine; give the resources of its machines.

    Raises:
        InputError: Ray is not installed, or no cluster answers.
    """
    try:
        import ray
    except ImportError as error:
        what = "needs the package ray, which is not installed"
        raise InputError(what, where=WHERE, fix="pip install 'maskwright[ray]'") from error
    address = os.environ.get("RAY_ADDRESS") or "auto"
    try:
        ray.init(address=address, log_to_driver=False, logging_level="ERROR")
    except (ConnectionError, RuntimeError, ValueError) as error:
        what = f"no cluster answers at {address}" if address != "auto" else "no cluster runs on this machine"
        raise InputError(what, where=WHERE, fix="start one with ray start --head, or set RAY_ADDRESS") from error
    try:
        yield [node["Resources"] for node in ray.nodes() if node["Alive"]]
    finally:
        ray.shutdown()


def versions() -> dict[str, str]:
    """Return the versions that all machines must share, since answers depend on them."""
    return {"maskwright": __version__, "torch": version("torch")}


def crew_of(machines: Sequence[Mapping[str, float]], wanted: int | None) -> Crew:
    """Say how many workers a cluster has.

    Args:
        machines: the resources of each, `CPU` and `GPU` among them.
        wanted: how many; None: one a GPU, or, without any, one for every four processors of a machine.

    Raises:
        InputError: no machine has a processor to give.
    """
    gpus = [(int(machine.get("GPU", 0)), int(machine.get("CPU", 0))) for machine in machines]
    with_gpu = [(count, cpus) for count, cpus in gpus if count and cpus]
    if with_gpu:
        count = min(sum(count for count, _ in with_gpu), wanted or len(machines) * 1024)
        return Crew(count, max(1, min(cpus // count for count, cpus in with_gpu)), 1)
    cpus = [cpus for _, cpus in gpus if cpus]
    if not cpus:
        raise InputError("no machine of the cluster has a processor", where=WHERE, fix="start workers with ray start")
    if wanted is not None:
        return Crew(wanted, max(1, min(*cpus, sum(cpus) // wanted)), 0)
    each = [max(1, count // THREADS) for count in cpus]
    return Crew(sum(each), min(count // share for count, share in zip(cpus, each, strict=True)), 0)


def fan_out(
    orders: Iterable[Order], crew: Crew, stop: Stop, lost: Callable[[Order, str], None]
) -> Iterator[tuple[Order, Carried | MaskwrightError]]:
    """Have pieces made, as many at once as there are workers, and give them back in the order they were given.

    Args:
        orders: taken when there is somebody to do them.
        crew: of the cluster.
        stop: looked at while waiting.
        lost: is told of a piece whose worker died, and why, as Ray says it. It is made again.

    Returns:
        each order, and its bands, or what is wrong with its raster.

    Raises:
        MemoryLimitError: one piece has cost too many workers.
        Interrupted: a signal asked to stop; the pieces that are being made are given up.
    """
    work = _Dispatch(crew, lost)
    waiting, place = enumerate(orders), 0
    try:
        while True:
            while work.room:
                following = next(waiting, None)
                if following is None:
                    break
                work.send(*following)
            if work.idle:
                return
            if place in work.done:
                sent = work.done.pop(place)
                there, answer = work.fetch(sent, sent.status)
                if there and answer is None:
                    there, answer = work.fetch(sent, sent.answer)
                if there:
                    place += 1
                    yield sent.order, answer
                continue
            work.wait()
            stop.check("finished row bands are kept")
    finally:
        work.cancel()


class _Dispatch:
    """Pieces that are out, and pieces that are done and not fetched."""

    def __init__(self, crew: Crew, lost: Callable[[Order, str], None]) -> None:
        import ray

        self._crew, self._lost = crew, lost
        self._task = ray.remote(
            num_returns=2, num_cpus=crew.threads, num_gpus=crew.gpus, max_retries=0, scheduling_strategy="SPREAD"
        )(_make)
        self._running: dict[Any, _Sent] = {}
        self.done: dict[int, _Sent] = {}
        """By place."""

    @property
    def room(self) -> bool:
        """Whether a worker has nothing to do, and not too much waits for a piece above it."""
        workers = self._crew.workers
        return len(self._running) < workers and len(self._running) + len(self.done) < AHEAD * workers

    @property
    def idle(self) -> bool:
        """Whether nothing is out and nothing waits."""
        return not self._running and not self.done

    def send(self, place: int, order: Order, deaths: int = 0) -> None:
        """Have a piece made."""
        status, answer = self._task.remote(order)
        self._running[status] = _Sent(place, order, deaths, status, answer)

    def wait(self) -> None:
        """Wait a little for a piece to be done."""
        import ray

        ready, _ = ray.wait(list(self._running), timeout=PATIENCE)
        for status in ready:
            sent = self._running.pop(status)
            if self.fetch(sent, status)[0]:
                self.done[sent.place] = sent

    def fetch(self, sent: _Sent, reference: Any) -> tuple[bool, Any]:
        """Return whether it is there, and what; a piece whose worker or answer is gone is sent out again."""
        import ray
        from ray.exceptions import RayError, RayTaskError

        try:
            return True, ray.get(reference)
        except RayTaskError as error:
            raise _strange(error) from error
        except RayError as error:
            reason = str(error).strip().splitlines()[0]
            if sent.deaths + 1 >= LIVES:
                raise _hopeless(sent.order, reason) from error
            self._lost(sent.order, reason)
            self.send(sent.place, sent.order, sent.deaths + 1)
            return False, None

    def cancel(self) -> None:
        """Give up what is out."""
        import ray

        for status in self._running:
            ray.cancel(status, force=True)


def _make(order: Order) -> tuple[MaskwrightError | None, Carried | None]:
    """Make one piece in a worker."""
    import torch

    torch.set_num_threads(order.threads)
    try:
        if versions() != dict(order.versions):
            what = f"{socket.gethostname()} has {_words(versions())}, this machine {_words(order.versions)}"
            raise InputError(what, where=WHERE, fix="install the same on all machines of the cluster")
        scenery = _READY.get(order.key)
        if scenery is None:
            _READY.clear()
            scenery = _READY[order.key] = order.scenery()
        carried = Carried(order.piece.first)
        with opened_windows(order.path, order.max_pixels) as raster, Silent().task("", 1) as tick:
            if {**raster.identity(), "time": 0} != {**order.identity, "time": 0}:
                what = f"is another file on {socket.gethostname()} than here"
                raise InputError(what, where=order.path, fix="keep it where all machines of the cluster see it")
            predict_scene(scenery, raster, carried, tick, Stop(), order.piece.end)
    except MaskwrightError as error:
        return error, None
    return None, carried


def _words(found: Mapping[str, str]) -> str:
    return " and ".join(f"{name} {number}" for name, number in found.items())


def _strange(error: Any) -> Exception:
    """Return what a worker raised that is no fault of ours: that it lacks maskwright, or a bug."""
    if isinstance(error.cause, ModuleNotFoundError):
        what = f"a worker has no module {error.cause.name}"
        return InputError(what, where=WHERE, fix="install the same on all machines of the cluster")
    cause: Exception = error.cause if isinstance(error.cause, Exception) else error
    return cause


def _hopeless(order: Order, reason: str) -> MemoryLimitError:
    rows = f"row bands {order.piece.first} to {order.piece.end - 1}"
    what = f"{LIVES} workers died over {rows}, the last one since: {reason}"
    return MemoryLimitError(what, where=order.path, fix="take fewer --workers or a smaller --window, if memory ran out")


_READY: dict[str, Scenery] = {}
"""In a worker: the models of the last order."""
