"""Recipe blocks of what a training watches and keeps: early stopping, the best few, averaged weights."""

from __future__ import annotations

from pydantic import Field

from maskwright.core.recipe.base import Block


class EarlyStop(Block):
    """When a training ends before its last epoch."""

    patience: int = Field(default=10, ge=1)
    """Validations in a row that may pass without a better one; the schedule stays as planned."""
    by: str = "valid_loss"
    """What is watched: valid_loss, or a score (iou, dice, precision, recall, accuracy, f0.5, f2)."""
    threshold: float = Field(default=0.0, ge=0)
    """By how much a validation must be better than the best so far to count as better."""


class KeepBest(Block):
    """How many of the best weights are kept, and which are the best."""

    count: int = Field(default=1, ge=1, le=100)
    """How many; the first is best.safetensors, the others lie in candidates/, e.g. for a soup."""
    by: str | None = None
    """valid_loss, or a score (iou, dice, precision, recall, accuracy, f0.5, f2); None: decision.metric where
    predict.weights is best, else iou."""


class Swa(Block):
    """Stochastic weight averaging (Izmailov et al. 2018): the mean of the weights after each of the last epochs."""

    start: float = Field(default=0.75, ge=0, lt=1)
    """Share of the epochs after which it begins."""
    lr: float | None = Field(default=None, gt=0, le=1)
    """Rate from there on, as a share of optimizer.lr, e.g. 0.05; None: as the schedule has it."""
