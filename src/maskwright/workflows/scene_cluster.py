"""The verb predict on rasters, its row bands made by the workers of a Ray cluster and written here."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from maskwright.core.errors import InputError, MaskwrightError
from maskwright.core.progress import Tick
from maskwright.core.runs import RunFolder
from maskwright.data.pixels.windows import opened_windows
from maskwright.inference.spool import Spool
from maskwright.workflows.scene_members import Lineup, gather
from maskwright.workflows.scenes import Begun, Faults, ScenePlan, begin, find_rasters, finish, opened_spool
from maskwright.workflows.session import Session

if TYPE_CHECKING:
    from maskwright.inference.cluster import Crew, Order
    from maskwright.inference.pieces import Carried


def predict_on_cluster(session: Session, plan: ScenePlan) -> None:
    """Predict each raster that is not there yet, as predict_scenes does and with the same bytes, by many processes.

    Args:
        session: an opened recipe, trained. The run and the rasters are seen by all machines, where they are here.
        plan: what, where and how.

    Raises:
        InputError: there is no cluster, or as predict_scenes.
        MemoryLimitError: workers die over one piece again and again, or as predict_scenes.
        StorageError: as predict_scenes.
        Interrupted: a signal asked to stop; finished row bands are kept.
    """
    from maskwright.inference.cluster import connected, crew_of, fan_out

    rasters = find_rasters(plan.input, plan.output)
    with connected() as machines:
        crew = crew_of(machines, plan.workers)
        lineup = gather(session, plan.wishes, crew.device)
        for note in lineup.notes:
            session.reporter.say(f"note: {note}")
        words = f"{crew.workers} worker{'s' if crew.workers > 1 else ''}"
        session.reporter.say(f"predict: {words} of {crew.threads} threads on a cluster of {len(machines)} machines")
        faults = Faults(session, rasters)
        with session.stop.listening(), RunFolder(plan.output).lock(), ExitStack() as stack:
            work = _Work(session, plan, lineup, faults, stack)
            if len(rasters) > 1:
                work.tick = stack.enter_context(session.reporter.task("predict rasters", len(rasters)))
            for order, answer in fan_out(work.orders(rasters, crew), crew, session.stop, work.lost):
                work.take(order, answer)
    faults.tell()


@dataclass
class _Open:
    """A raster some pieces of which are on their way."""

    begun: Begun
    spool: Spool
    close: ExitStack


class _Work:
    """Which rasters are being made; bars and spools are closed with `stack`."""

    def __init__(self, session: Session, plan: ScenePlan, lineup: Lineup, faults: Faults, stack: ExitStack) -> None:
        self._session, self._plan, self._lineup, self._faults, self._stack = session, plan, lineup, faults, stack
        self._open: dict[str, _Open] = {}
        self.tick: Tick | None = None
        """Counts rasters if there are several, or else windows."""
        self._several = False

    def orders(self, rasters: Mapping[str, Path], crew: Crew) -> Iterator[Order]:
        """Open one raster after another and give its pieces; what needs no worker is done at once."""
        from maskwright.inference.cluster import Order, versions
        from maskwright.inference.pieces import Piece, cut

        scenery = partial(Lineup.scenery, self._lineup.portable(), check=True)
        key, limit = json.dumps(self._lineup.facts), self._session.recipe.data.max_pixels
        planes, share = sum(self._lineup.layout.layers.values()), -(-crew.workers // len(rasters))
        self._several = len(rasters) > 1
        for name, path in rasters.items():
            with self._telling():
                with opened_windows(path, limit) as raster:
                    begun, identity = begin(self._session, self._plan, self._lineup, raster, name), raster.identity()
                if begun is None:
                    self._count(1, rasters=True)
                    continue
                first, count = self._enter(begun), len(begun.lattice.rows)
                if first == count:
                    self._leave(name, done=True)
                    continue
                for start, end in cut(begun.lattice, first, share, planes):
                    if name not in self._open:
                        break  # a fault was found meanwhile
                    piece = Piece(name, start, end)
                    yield Order(piece, path.resolve(), identity, limit, scenery, key, crew.threads, versions())

    def take(self, order: Order, answer: Carried | MaskwrightError) -> None:
        """Write the bands of a piece, and the final files after the last one."""
        name = order.piece.scene
        known = self._open.get(name)
        if known is None:
            return  # another piece of it had a fault
        with self._telling():
            if isinstance(answer, MaskwrightError):
                self._leave(name, done=False)
                raise answer
            answer.pour(known.spool, known.begun.lattice, self._lineup.layout.layers)
            self._count((order.piece.end - order.piece.first) * len(known.begun.lattice.cols), rasters=False)
            if order.piece.end == len(known.begun.lattice.rows):
                self._leave(name, done=True)

    def lost(self, order: Order, reason: str) -> None:
        """Say that a worker died."""
        rows = f"row bands {order.piece.first + 1} to {order.piece.end}"
        what = f"a worker died over {rows}, which are made again ({reason})"
        self._session.reporter.warn(f"predict {order.piece.scene}: {what}")

    @contextmanager
    def _telling(self) -> Iterator[None]:
        """Leave a raster out that has a fault."""
        try:
            yield
        except InputError as error:
            self._faults.add(error)
            self._count(1, rasters=True)

    def _count(self, count: int, *, rasters: bool) -> None:
        if self.tick is not None and rasters == self._several:
            self.tick.advance(count)

    def _enter(self, begun: Begun) -> int:
        close = self._stack.enter_context(ExitStack())
        spool = close.enter_context(opened_spool(self._session, self._lineup, begun))
        self._open[begun.name] = _Open(begun, spool, close)
        if self.tick is None:
            rows, cols = len(begun.lattice.rows), len(begun.lattice.cols)
            bar = self._session.reporter.task(f"predict {begun.name}", rows * cols, spool.bands * cols)
            self.tick = self._stack.enter_context(bar)
        return spool.bands

    def _leave(self, name: str, *, done: bool) -> None:
        known = self._open.pop(name)
        with known.close:
            if done:
                finish(self._session, self._plan, self._lineup, known.begun, known.spool)
                self._count(1, rasters=True)
