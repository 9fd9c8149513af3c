"""The verb probe: memory and speed of a member's training step and prediction here, and what follows from them."""

from __future__ import annotations

import math
import os
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, dataclass, field
from typing import Any

from maskwright.core.errors import Interrupted
from maskwright.core.grid import Shape
from maskwright.core.recipe.members import Member
from maskwright.workflows.session import Session
from maskwright.workflows.trial import Trial, run_trial

MARGIN = 0.9
"""Share of the memory that a proposal may use: the allocator fragments, and other work comes and goes."""
ALIKE = 0.97
"""Batches whose speed reaches this share of the fastest count as as fast; the largest of them is proposed."""
SLOWER = 0.8
"""Two batches in a row below this share of the fastest end a series: larger ones are slower still."""
PATIENCE_S = 1.0
"""For how long our own signal is waited for when one ended a measurement."""
Run = Callable[[Callable[[Any], float], Any], Trial]


@dataclass(frozen=True)
class Cell:
    """One row of the table."""

    shape: Shape
    """(height, width) in pixels."""
    batch: int
    trial: Trial

    @property
    def rate(self) -> float:
        """Images per second; 0 where there is no figure."""
        return self.batch / self.trial.seconds if self.trial.seconds else 0.0

    @property
    def fits(self) -> bool:
        """Whether it ran, and left a margin of the memory."""
        return self.trial.seconds > 0 and self.trial.peak <= MARGIN * self.trial.room


@dataclass
class Probe:
    """What was measured of one member, and what is proposed."""

    member: str
    device: str = ""
    room: int = 0
    train: list[Cell] = field(default_factory=list)
    predict: list[Cell] = field(default_factory=list)
    reads: float = 0.0
    """Samples per second that one process reads and augments, from the second time on."""
    proposal: dict[str, Any] = field(default_factory=dict)
    """Dotted key -> value."""
    notes: list[str] = field(default_factory=list)

    def to_plain(self) -> dict[str, Any]:
        """Return plain data for --json."""
        plain = asdict(self)
        for name in ("train", "predict"):
            plain[name] = [
                {"shape": cell.shape, "batch": cell.batch, "images_per_s": cell.rate, "fits": cell.fits}
                | asdict(cell.trial)
                for cell in getattr(self, name)
            ]
        return plain


def probe(
    session: Session,
    member: str | None = None,
    *,
    minutes: float = 3.0,
    crops: Sequence[int] = (),
    run: Run = run_trial,
) -> list[Probe]:
    """Measure the chosen members; nothing is written.

    Args:
        session: an opened recipe.
        member: one member; None: all.
        minutes: of measuring for each member; what does not fit in is left out, and said.
        crops: sides of windows to try; empty: the recipe's, its half and its double.
        run: how one measurement is done.
    """
    found = []
    for name in session.chosen_members(member):
        found.append(_probe_member(session, name, time.monotonic() + 60 * minutes, crops, run))
    return found


def _probe_member(session: Session, name: str, until: float, crops: Sequence[int], run: Run) -> Probe:
    from maskwright.data.items import read_item
    from maskwright.inference.probe import ForwardSpec, measure_forward
    from maskwright.training.probe import StepSpec, measure_step

    recipe, member = session.recipe, session.recipe.members[name]
    source = session.train_source
    item = read_item(source, source.keys[0], recipe.task, recipe.data.max_pixels)
    bands = len(recipe.data.bands or range(item.image.shape[2]))
    told = Probe(name)

    def measured(function: Callable[[Any], float], spec: Any) -> Trial:
        session.stop.check("nothing was written")
        try:
            return run(function, spec)
        except (Interrupted, RuntimeError) as error:  # a signal to the whole group may end the measurement first
            until = time.monotonic() + (PATIENCE_S if isinstance(error, Interrupted) else 0)
            while not session.stop.requested and time.monotonic() < until:
                time.sleep(0.01)
            session.stop.check("nothing was written")
            raise

    def step(shape: Shape, batch: int) -> Cell:
        spec = StepSpec(member, recipe.task, bands, shape, batch, session.recipe_dir)
        return Cell(shape, batch, measured(measure_step, spec))

    def forward(shape: Shape, batch: int) -> Cell:
        return Cell(shape, batch, measured(measure_forward, ForwardSpec(member, recipe.task, bands, shape, batch)))

    shapes = _shapes(member, item.shape, crops)
    for shape in shapes:
        told.train += _series(shape, member.train.batch_size, step, until, told)
    window = member.predict.window_shape or item.shape
    told.predict += _series(window, member.predict.batch_size, forward, until + 30, told)
    told.reads = _reads(session, member, bands)
    _propose(told, name, member, shapes[0])
    return told


def _shapes(member: Member, image: Shape, crops: Sequence[int]) -> list[Shape]:
    """Return the windows to try, the recipe's own first."""
    own = member.train.crop_shape
    if own is None:
        return [image]
    if crops:
        return [(side, side) for side in crops]
    others = [tuple(max(32, round(side * factor / 32) * 32) for side in own) for factor in (0.5, 2)]
    inside = [(h, w) for h, w in others if h <= max(image) and w <= max(image)]
    return [own, *(shape for shape in inside if shape != own)]


def _series(shape: Shape, own: int, measure: Callable[[Shape, int], Cell], until: float, told: Probe) -> Iterator[Cell]:
    """Give cells of growing batches, until memory, speed or time ends them."""
    cells: list[Cell] = []
    slow = 0
    for batch in sorted({1, 2, 4, 8, 16, 32, 64, 128, own}):
        text = f"{shape[0]} x {shape[1]}, batch {batch} and more"
        if time.monotonic() > until:
            told.notes.append(f"{text}: not measured, the time was over; give more --minutes")
            return
        if len(cells) >= 2 and cells[-1].trial.room and _expected(cells, batch) > cells[-1].trial.room:
            told.notes.append(f"{text}: not tried, about {_expected(cells, batch) / 2**30:.1f} GiB")
            return
        cell = measure(shape, batch)
        told.device, told.room = cell.trial.device or told.device, max(cell.trial.room, told.room)
        yield cell
        if cell.trial.full:
            return
        if cell.rate:
            cells.append(cell)
            best = max(one.rate for one in cells)
            slow = slow + 1 if cell.rate < SLOWER * best else 0
        if slow >= 2 and batch >= own:
            return


def _expected(cells: Sequence[Cell], batch: int) -> float:
    """Return the bytes that a larger batch will take: a line through the last two."""
    before, last = cells[-2], cells[-1]
    slope = max(0.0, (last.trial.peak - before.trial.peak) / (last.batch - before.batch))
    return last.trial.peak + slope * (batch - last.batch)


def _reads(session: Session, member: Member, bands: int) -> float:
    """Time what a training reads: decoded once, then cut and augmented again and again."""
    from maskwright.data.dataset import Preprocess, TrainSet, TrainSpec

    recipe, source = session.recipe, session.train_source
    keys = source.keys[:16]
    chosen = tuple(band - 1 for band in recipe.data.bands or range(1, bands + 1))
    spec = TrainSpec(
        source=source,
        keys=keys,
        task=recipe.task,
        preprocess=Preprocess(chosen, recipe.data.divide or 255.0, (0.0,) * bands, (1.0,) * bands),
        crop_shape=member.train.crop_shape,
        augment=member.augment,
        max_pixels=recipe.data.max_pixels,
        seed=0,
        draws=10**6,
        resize=member.train.resize_shape,
    )
    samples = TrainSet(spec)
    for index in range(len(keys)):
        samples[0, index]
    began, read = time.perf_counter(), 0
    while read < 256 and time.perf_counter() - began < 2:
        samples[1, read]
        read += 1
    return read / (time.perf_counter() - began)


def _propose(told: Probe, name: str, member: Member, own: Shape) -> None:
    """Choose batch, accumulation, crop, workers and the batch of prediction; the effective batch stays."""
    train, wanted = member.train, member.train.batch_size * member.train.accumulate
    by_shape = {
        shape: [cell for cell in told.train if cell.shape == shape and cell.fits]
        for shape in dict.fromkeys(cell.shape for cell in told.train)
    }
    shape = own if by_shape.get(own) else max((one for one in by_shape if by_shape[one]), default=None, key=math.prod)
    if shape is None:
        told.notes.append("no training step fits; take a smaller model, or crop")
        return
    fitting = [cell for cell in by_shape[shape] if wanted % cell.batch == 0] or by_shape[shape]
    best = max(cell.rate for cell in fitting)
    chosen = max((cell for cell in fitting if cell.rate >= ALIKE * best), key=lambda cell: cell.batch)
    prefix = f"members.{name}"
    told.proposal[f"{prefix}.train.batch_size"] = chosen.batch
    told.proposal[f"{prefix}.train.accumulate"] = max(1, round(wanted / chosen.batch))
    if train.crop_shape is not None:
        told.proposal[f"{prefix}.train.crop"] = shape[0] if shape[0] == shape[1] else list(shape)
    told.proposal[f"{prefix}.train.workers"] = _workers(told, chosen)
    passes = [cell for cell in told.predict if cell.fits]
    if passes:
        told.proposal[f"{prefix}.predict.batch_size"] = max(passes, key=lambda cell: cell.rate).batch
    largest = max(by_shape[shape], key=lambda cell: cell.batch)
    told.notes.insert(
        0,
        f"largest batch that fits at {shape[0]} x {shape[1]} with a margin of 10 %: {largest.batch}"
        f"{' or more' if not _ended(told, shape) else ''}",
    )
    if chosen.batch * told.proposal[f"{prefix}.train.accumulate"] != wanted:
        told.notes.append(f"the effective batch of {wanted} does not divide into batches that fit")


def _ended(told: Probe, shape: Shape) -> bool:
    """Say whether memory ended a series."""
    return any(cell.trial.full for cell in told.train if cell.shape == shape) or any(
        note.startswith(f"{shape[0]} x {shape[1]}, ") and "not tried" in note for note in told.notes
    )


def _workers(told: Probe, chosen: Cell) -> int:
    """Return how many processes keep up with the step: none where reading costs less than a tenth of it."""
    if not told.reads or chosen.rate < 0.1 * told.reads:
        return 0
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    spare = cores - 1 if told.device != "cpu" else max(1, cores // 2)
    return max(1, min(math.ceil(1.25 * chosen.rate / told.reads), spare))


def table(told: Probe) -> list[str]:
    """Return lines for the terminal."""
    lines = [f"{told.member} on {told.device}, {told.room / 2**30:.1f} GiB"]
    for title, cells in (("training step", told.train), ("prediction", told.predict)):
        lines.append(f"{title:<16}{'batch':>7}{'images/s':>12}{'ms':>10}{'peak GiB':>11}")
        for cell in cells:
            size = f"{cell.shape[0]} x {cell.shape[1]}"
            if not cell.rate:
                lines.append(f"  {size:<14}{cell.batch:>7}  {cell.trial.why}")
                continue
            over = "" if cell.fits else "  over 90 % of the memory"
            lines.append(
                f"  {size:<14}{cell.batch:>7}{cell.rate:>12.2f}{1000 * cell.trial.seconds:>10.0f}"
                f"{cell.trial.peak / 2**30:>11.2f}{over}"
            )
    lines.append(f"reading and augmenting: {told.reads:.0f} samples/s in one process")
    lines += [f"note: {note}" for note in told.notes]
    if told.proposal:
        lines.append("proposed: " + " ".join(f"{key}={_text(value)}" for key, value in told.proposal.items()))
    return lines


def _text(value: Any) -> str:
    return str(value).replace(" ", "")
