"""How the learning rate changes: a function from the step to a multiplier; only plateau has a state to resume."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, NamedTuple

from torch import Tensor

from maskwright.core.errors import unknown
from maskwright.core.recipe.members import Schedule
from maskwright.training import watch
from maskwright.training.parts import Part, Validated
from maskwright.training.watch import Watch

Multiplier = Callable[[int], float]
ONE_CYCLE = 25.0
"""One cycle starts at this part of its peak (torch's div_factor) and ends 10,000 times lower."""


class Place(NamedTuple):
    """Where in a training a step is."""

    step: int
    """Steps since the warm-up ended."""
    steps: int
    """Steps there are after it."""
    epoch: float
    """Epochs since it ended."""

    @property
    def done(self) -> float:
        """Share that is done, 0..1."""
        return self.step / max(self.steps, 1)


Shape = Callable[[Place, Schedule], float]


def check(block: Schedule, where: str) -> None:
    """Refuse an unknown schedule, or one that watches what is unknown, naming the recipe key."""
    if block.name not in SCHEDULES:
        raise unknown("schedule", block.name, SCHEDULES, f"{where}.name")
    watch.check(block.by, f"{where}.by")


def build_schedule(
    block: Schedule, steps: int, where: str = "schedule", steps_per_epoch: int | None = None
) -> Multiplier:
    """Return the function step -> multiplier of the learning rate.

    Warm-up rises linearly and reaches 1 with its last step; then the named shape runs from 1 to
    `floor` over the remaining steps.

    Args:
        block: the recipe's schedule block.
        steps: optimiser steps of the whole training, >= 1.
        where: recipe key for messages.
        steps_per_epoch: length of an epoch, for what counts in epochs; None: the training is one epoch.

    Returns:
        a function of the step, 0 <= step < steps, with values in 0..1; 0 only where a cycle of restarts begins to rise.
    """
    check(block, where)
    shape = SCHEDULES[block.name]
    warmup = warmup_steps(block, steps)
    epoch = steps_per_epoch or steps

    def multiplier(step: int) -> float:
        if step < warmup:
            return _rise(step, warmup) if block.name == "one_cycle" else (step + 1) / warmup
        seen = max(step // epoch * epoch, warmup) if block.per == "epoch" else step
        place = Place(seen - warmup, steps - warmup, (seen - warmup) / epoch)
        return block.floor + (1 - block.floor) * shape(place, block)

    return Plateau(multiplier, block, warmup) if block.name == "plateau" else multiplier


class Plateau(Part):
    """Steps the rate down where validations no longer gain, as torch's ReduceLROnPlateau does.

    After more than `patience` validations in a row that were not better by `threshold` than the best so far,
    the rate is multiplied by `gamma`, down to `floor`, and the count begins anew.

    Args:
        warmup: the multiplier of the warm-up, 1 after it.
        block: patience, by, threshold, gamma, floor.
        steps: of the warm-up; its validations count as all others.
    """

    def __init__(self, warmup: Multiplier, block: Schedule, steps: int) -> None:
        self.warmup, self.block, self.steps = warmup, block, steps
        self.watch = Watch(block.by, block.threshold)
        self.downs = 0
        """How often the rate was multiplied so far."""

    def __call__(self, step: int) -> float:
        """Return the multiplier of a step, by what was seen so far."""
        now = float(max(self.block.gamma**self.downs, self.block.floor))
        return self.warmup(step) * now if step < self.steps else now

    def after_validation(self, told: Validated) -> None:
        """Count it; step down where it was one too many."""
        self.watch.see(told)
        if self.watch.since > self.block.patience:
            self.downs += 1
            self.watch.since = 0

    def state_dict(self) -> Mapping[str, Tensor]:
        """Return the best value, validations since, and steps down."""
        return {**self.watch.state_dict(), "downs": watch.number(self.downs)}

    def load_state_dict(self, state: Mapping[str, Tensor], /) -> Any:
        """Go on from a state."""
        self.watch.load_state_dict(state)
        self.downs = int(state["downs"])


@dataclass(frozen=True)
class Tail:
    """A schedule whose rate is held from some step on."""

    planned: Multiplier
    first: int
    """The first step that is held."""
    rate: float

    def __call__(self, step: int) -> float:
        """Return the multiplier of a step."""
        return self.planned(step) if step < self.first else self.rate


def minima(block: Schedule, steps: int, steps_per_epoch: int) -> tuple[int, ...]:
    """Return after how many steps each whole cycle of restarts ends, where the rate is lowest.

    Args:
        block: the recipe's schedule block.
        steps: of the whole training.
        steps_per_epoch: length of an epoch.
    """
    found, end, length = [], warmup_steps(block, steps) / steps_per_epoch, block.every
    while (done := math.ceil((end + length) * steps_per_epoch - 1e-6)) <= steps:
        found.append(done)
        end, length = end + length, length * block.growth
    return tuple(found)


def warmup_steps(block: Schedule, steps: int) -> int:
    """Return the length of the warm-up in steps, at most all of them."""
    wanted = block.warmup * steps if block.warmup < 1 else block.warmup
    return min(round(wanted), steps)


def _poly(place: Place, block: Schedule) -> float:
    return float((1 - place.done) ** block.power)


def _cosine(place: Place, _block: Schedule) -> float:
    return _fall(place.done)


def _fall(done: float) -> float:
    return (1 + math.cos(math.pi * done)) / 2


def _constant(_place: Place, _block: Schedule) -> float:
    return 1.0


def _step(place: Place, block: Schedule) -> float:
    return float(block.gamma ** int(place.epoch / block.every + 1e-9))


def _rise(step: int, warmup: int) -> float:
    start = 1 / ONE_CYCLE
    return 1 + (start - 1) * _fall(step / (warmup - 1) if warmup > 1 else 1.0)


def _one_cycle(place: Place, _block: Schedule) -> float:
    end = 1 / ONE_CYCLE / 1e4
    return end + (1 - end) * _fall((place.step + 1) / max(place.steps, 1))


def _restarts(place: Place, block: Schedule) -> float:
    """Fall by cosine in each cycle, then rise again; SEEDS 002.4 (period 10 epochs), 003.4 (growth, fade, rise)."""
    left, length, number = place.epoch, block.every, 0
    while left >= length - 1e-9:
        left, length, number = left - length, length * block.growth, number + 1
    rise = min(block.rise, length) if number else 0.0
    if left < rise:
        return float(block.fade**number * left / rise)
    return float(block.fade**number * _fall((left - rise) / max(length - rise, 1e-9)))


SCHEDULES: Mapping[str, Shape] = {
    "constant": _constant,
    "cosine": _cosine,
    "one_cycle": _one_cycle,
    "plateau": _constant,
    "poly": _poly,
    "restarts": _restarts,
    "step": _step,
}
"""Name -> share of the rate that is left at a place after the warm-up."""
