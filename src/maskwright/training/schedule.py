"""How the learning rate changes: a pure function from the step to a multiplier, so that a resume needs no state."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping

from maskwright.core.errors import unknown
from maskwright.core.recipe.members import Schedule

Multiplier = Callable[[int], float]
Shape = Callable[[float, Schedule], float]


def check(block: Schedule, where: str) -> None:
    """Refuse an unknown schedule, naming the recipe key."""
    if block.name not in SCHEDULES:
        raise unknown("schedule", block.name, SCHEDULES, f"{where}.name")


def build_schedule(block: Schedule, steps: int, where: str = "schedule") -> Multiplier:
    """Return the function step -> multiplier of the learning rate.

    Warm-up rises linearly and reaches 1 with its last step; then the named shape runs from 1 to
    `floor` over the remaining steps.

    Args:
        block: the recipe's schedule block.
        steps: optimiser steps of the whole training, >= 1.
        where: recipe key for messages.

    Returns:
        a function of the step, 0 <= step < steps, with values in (0, 1].
    """
    check(block, where)
    shape = SCHEDULES[block.name]
    warmup = warmup_steps(block, steps)

    def multiplier(step: int) -> float:
        if step < warmup:
            return (step + 1) / warmup
        done = (step - warmup) / max(steps - warmup, 1)
        return block.floor + (1 - block.floor) * shape(done, block)

    return multiplier


def warmup_steps(block: Schedule, steps: int) -> int:
    """Return the length of the warm-up in steps, at most all of them."""
    wanted = block.warmup * steps if block.warmup < 1 else block.warmup
    return min(round(wanted), steps)


def _poly(done: float, block: Schedule) -> float:
    return float((1 - done) ** block.power)


def _cosine(done: float, _block: Schedule) -> float:
    return (1 + math.cos(math.pi * done)) / 2


def _constant(_done: float, _block: Schedule) -> float:
    return 1.0


SCHEDULES: Mapping[str, Shape] = {"constant": _constant, "cosine": _cosine, "poly": _poly}
"""Name -> share of the rate that is left when the share `done` of the steps after warm-up is done."""
