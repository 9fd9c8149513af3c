"""Stochastic depth: blocks whose change is left out by chance in training."""

from __future__ import annotations

from torch import Tensor


def drop_path(change: Tensor, rate: float, training: bool) -> Tensor:
    """Leave the change of whole samples out, and make the others larger (Huang et al. 2016, Stochastic depth).

    Args:
        change: (B, ...).
        rate: how often.
        training: else all stay as they are.
    """
    if rate == 0 or not training:
        return change
    kept = change.new_empty((len(change),) + (1,) * (change.ndim - 1)).bernoulli_(1 - rate)
    return change * kept.div_(1 - rate)
