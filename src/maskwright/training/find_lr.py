"""The learning-rate finder: a short training whose rate rises without end, and where its loss fell fastest."""

from __future__ import annotations

import math
from collections.abc import Sequence
from contextlib import closing
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from maskwright.core.errors import InputError
from maskwright.core.progress import Reporter
from maskwright.core.stop import Stop
from maskwright.training.cluster import Solo
from maskwright.training.job import FoldJob, memory_explained
from maskwright.training.loader import read_batches
from maskwright.training.loop import train_step
from maskwright.training.plan import Deal, make_plan
from maskwright.training.precision import repeatable
from maskwright.training.setup import build_kit, build_network, build_samples

LOWEST, HIGHEST = 1e-7, 1.0
"""Ends of the ramp; all that is trained in practice lies between."""
SMOOTH = 0.9
"""Decay of the running mean of the loss, with the bias of its beginning taken off."""
DIVERGED = 4.0
"""The ramp ends where the smoothed loss is this many times its least (fastai)."""


@dataclass(frozen=True)
class Ramp:
    """What the finder saw; one entry for each step."""

    rates: tuple[float, ...]
    """Of the decoder and the head; the encoder's keep their ratio to it."""
    losses: tuple[float, ...]
    smoothed: tuple[float, ...]

    @property
    def lowest(self) -> int:
        """Step with the least smoothed loss."""
        return int(np.argmin(self.smoothed))

    @property
    def steepest(self) -> int:
        """Step before the least at which the smoothed loss fell fastest with the logarithm of the rate."""
        return steepest(self.rates[: self.lowest + 1], self.smoothed[: self.lowest + 1])

    @property
    def proposed(self) -> float:
        """The smaller of the rate where the loss fell fastest and a tenth of that where it was least.

        Source: Smith 2017, Cyclical learning rates, section 3.3, read as fastai does.
        """
        return min(self.rates[self.steepest], self.rates[self.lowest] / 10)


def steepest(rates: Sequence[float], losses: Sequence[float]) -> int:
    """Return where the losses fall fastest with the logarithm of the rates; of few, the first."""
    if len(rates) < 3:
        return 0
    return int(np.argmin(np.gradient(np.asarray(losses), np.log(np.asarray(rates)))))


def rate_at(step: int, steps: int) -> float:
    """Return the rate of a step: from LOWEST to HIGHEST, by the same factor each time."""
    return float(LOWEST * (HIGHEST / LOWEST) ** (step / max(steps - 1, 1)))


def smooth(losses: Sequence[float]) -> list[float]:
    """Return running means with decay SMOOTH, each divided by the weight it has so far (Adam's correction)."""
    found, mean = [], 0.0
    for number, loss in enumerate(losses, 1):
        mean = SMOOTH * mean + (1 - SMOOTH) * loss
        found.append(mean / (1 - SMOOTH**number))
    return found


def find_rate(job: FoldJob, folder: Path, steps: int, reporter: Reporter, stop: Stop) -> Ramp:
    """Train with a rising rate, from first weights, and keep nothing of it but the losses.

    Args:
        job: what a training would be made from.
        folder: where that training would lie, for messages.
        steps: of the ramp; it ends earlier where the loss runs away.
        reporter: where progress goes.
        stop: asked after each step.

    Raises:
        InputError: the loss is no number from the start.
        Interrupted: a stop was asked for.
    """
    cluster = Solo()
    steps_each = {"steps_per_epoch": steps, "epochs": 1, "ema": None, "swa": None, "early_stop": None}
    train = job.member.train.model_copy(update={**steps_each, "snapshots": False})
    job = replace(job, member=job.member.model_copy(update={"train": train}), beside=None)
    plan = make_plan(train, len(job.train_keys), job.seed)
    losses: list[float] = []
    peak = job.member.optimizer.lr
    with memory_explained(job, folder), repeatable(cluster.device):
        model = build_network(job, cluster, folder)
        kit = build_kit(job, plan, cluster, model, errors=False)
        kit = replace(kit, multiplier=lambda step: rate_at(step, steps) / peak)
        samples = build_samples(job, plan, job.lots(plan.draws))
        deal = Deal(plan, 0, 0, 1)
        reading = read_batches(samples, deal, train.workers, pin=cluster.device.type == "cuda")
        with closing(reading) as batches, reporter.task("learning rates", steps) as tick:
            for step in range(steps):
                loss = float(train_step(kit, batches, step).loss)
                if not math.isfinite(loss):
                    break
                losses.append(loss)
                tick.advance(1, f"loss {loss:.4f}")
                stop.check(f"nothing of the search for a learning rate is kept; {step + 1} of {steps} steps")
                smoothed = smooth(losses)
                if smoothed[-1] > DIVERGED * min(smoothed) > 0:
                    break
    if not losses:
        raise InputError("the loss is no number at the first step", where=folder, fix="look at the data and the loss")
    return Ramp(tuple(rate_at(step, steps) for step in range(len(losses))), tuple(losses), tuple(smooth(losses)))
