"""Validations watched: by valid_loss or a score, the best so far, and for how long there was none better."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor

from maskwright.core.errors import unknown
from maskwright.core.recipe.keeping import EarlyStop
from maskwright.scoring.scores import METRICS, score
from maskwright.training.parts import Part, Validated

VALID_LOSS = "valid_loss"


def check(by: str, where: str) -> None:
    """Refuse a criterion that no validation tells of, naming the recipe key."""
    if by != VALID_LOSS and by not in METRICS:
        raise unknown("criterion", by, [VALID_LOSS, *METRICS], where)


def value_of(told: Validated, by: str) -> float:
    """Return what a validation says by a criterion, as people know it: a loss or a score."""
    return told.loss if by == VALID_LOSS else score(told.counts, by)


def worth(value: float, by: str) -> float:
    """Return a value turned so that more is better; what is no number is worth nothing."""
    turned = -value if by == VALID_LOSS else value
    return -math.inf if math.isnan(turned) else turned


def number(value: float) -> Tensor:
    """Return a number for a state, all digits of it."""
    return torch.tensor(value, dtype=torch.float64)


class Watch:
    """The best validation so far and how many came after it.

    Args:
        by: valid_loss, or a score.
        threshold: by how much a better one must be better.
    """

    def __init__(self, by: str, threshold: float = 0.0) -> None:
        self.by, self.threshold = by, threshold
        self.best = -math.inf
        """Worth of the best, see `worth`."""
        self.since = 0

    def see(self, told: Validated) -> None:
        """Take a validation in."""
        now = worth(value_of(told, self.by), self.by)
        if now > self.best + self.threshold:
            self.best, self.since = now, 0
        else:
            self.since += 1

    def state_dict(self) -> Mapping[str, Tensor]:
        """Return what a resume needs."""
        return {"best": number(self.best), "since": number(self.since)}

    def load_state_dict(self, state: Mapping[str, Tensor], /) -> Any:
        """Go on from a state."""
        self.best, self.since = float(state["best"]), int(state["since"])


class Stopper(Part):
    """Ends a training when validations no longer gain.

    Args:
        block: patience, by, threshold.
    """

    def __init__(self, block: EarlyStop) -> None:
        self.block = block
        self.watch = Watch(block.by, block.threshold)

    @property
    def over(self) -> bool:
        """Whether the training is at its end."""
        return self.watch.since >= self.block.patience

    def after_validation(self, told: Validated) -> None:
        """Count it."""
        self.watch.see(told)

    def state_dict(self) -> Mapping[str, Tensor]:
        """Return what a resume needs."""
        return self.watch.state_dict()

    def load_state_dict(self, state: Mapping[str, Tensor], /) -> Any:
        """Go on from a state."""
        self.watch.load_state_dict(state)

    def in_words(self) -> str:
        """Say why it is over."""
        best = abs(self.watch.best) if self.block.by == VALID_LOSS else self.watch.best
        passed = f"{self.block.patience} validation{'s' if self.block.patience > 1 else ''}"
        return f"{self.block.by} was not better than {best:.4g} in {passed}"
