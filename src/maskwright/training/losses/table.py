"""THE table of losses (a new loss: a term in terms.py, a row here) and weighted sums without ignored pixels."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass

import torch
from torch import Tensor

from maskwright.core.errors import InputError, unknown
from maskwright.core.labels import Task, TaskKind
from maskwright.training.losses.terms import BinaryCrossEntropy, CrossEntropy, Dice, Pixels, Sums, Term

Pool = Callable[[Tensor], Tensor]
"""From this process's sums to those of all processes, with this process's gradient."""


@dataclass(frozen=True)
class Kind:
    """What the table holds for a name: how to make the term, and for which tasks."""

    make: Callable[[Task], Term]
    tasks: tuple[TaskKind, ...]


class Loss:
    """A weighted sum of terms over the valid pixels of a batch.

    Args:
        terms: (weight, term) pairs.
        task: gives the form of labels.
        pool: adds sums up over processes; the identity for one process.
    """

    def __init__(self, terms: tuple[tuple[float, Term], ...], task: Task, pool: Pool | None = None) -> None:
        self.terms = terms
        self.task = task
        self.pool = pool

    def __call__(self, logits: Tensor, label: Tensor, valid: Tensor) -> Tensor:
        """Return the loss of a batch, a float32 scalar; 0 with a gradient if no pixel is valid.

        Args:
            logits: (B, K, H, W), any float type.
            label: int64 (B, H, W), for multilabel (B, K, H, W).
            valid: bool (B, H, W).
        """
        pixels = self._pixels(logits, label, valid)
        sums = [term.sums(pixels) for _, term in self.terms]
        if self.pool is not None:
            sums = _pooled(sums, self.pool, logits.device)
        values = [
            term.value(part) if weight == 1 else weight * term.value(part)
            for (weight, term), part in zip(self.terms, sums, strict=True)
        ]
        return values[0] if len(values) == 1 else torch.stack(values).sum()

    def _pixels(self, logits: Tensor, label: Tensor, valid: Tensor) -> Pixels:
        whole = bool(valid.all()) if valid.device.type == "cpu" else False  # elsewhere looking would wait for it
        logits = logits.float()
        if not whole:
            logits = logits.masked_fill(~valid.unsqueeze(1), 0.0)
        if self.task.kind == "multiclass":
            label = label if whole else label.masked_fill(~valid, 0)
        else:
            planes = label.unsqueeze(1) if label.ndim == 3 else label
            label = planes.float()
        return Pixels(logits, label, None if whole else valid.float())


def _pooled(sums: list[Sums], pool: Pool, device: torch.device) -> list[Sums]:
    """Add the sums of all terms up over processes in one go."""
    tensors = [torch.as_tensor(part, device=device) for parts in sums for part in parts]
    pooled = torch.split(pool(torch.cat([part.reshape(-1) for part in tensors])), [part.numel() for part in tensors])
    shaped = iter([part.view_as(like) for part, like in zip(pooled, tensors, strict=True)])
    return [tuple(next(shaped) for _ in parts) for parts in sums]


def check(names: Mapping[str, float], task: Task, where: str) -> None:
    """Refuse unknown losses and those that contradict the task.

    Args:
        names: loss name -> weight.
        task: what is predicted.
        where: recipe key for messages, e.g. `members.a.loss`.

    Raises:
        InputError: naming key and loss.
    """
    for name in names:
        if name not in LOSSES:
            raise unknown("loss", name, LOSSES, where)
        if task.kind not in LOSSES[name].tasks:
            fits = ", ".join(other for other, kind in LOSSES.items() if task.kind in kind.tasks)
            raise InputError(
                f"loss '{name}' does not fit a {task.kind} task", where=f"{where}.{name}", fix=f"use some of: {fits}"
            )


def build_loss(names: Mapping[str, float], task: Task, pool: Pool | None = None, where: str = "loss") -> Loss:
    """Build the weighted sum of named losses; no names give what suits the task.

    Args:
        names: loss name -> weight above 0; empty: DEFAULTS.
        task: what is predicted.
        pool: see Loss.
        where: recipe key for messages.

    Raises:
        InputError: as check.
    """
    check(names, task, where)
    chosen = names or DEFAULTS[task.kind]
    return Loss(tuple((weight, LOSSES[name].make(task)) for name, weight in chosen.items()), task, pool)


LOSSES: Mapping[str, Kind] = {
    "bce": Kind(lambda task: BinaryCrossEntropy(task.planes), ("binary", "multilabel")),
    "cross_entropy": Kind(lambda task: CrossEntropy(task.planes), ("multiclass",)),
    "dice": Kind(
        lambda task: Dice(task.planes, softmax=task.kind == "multiclass"), ("binary", "multiclass", "multilabel")
    ),
}

DEFAULTS: Mapping[TaskKind, Mapping[str, float]] = {
    "binary": {"bce": 1.0, "dice": 1.0},
    "multiclass": {"cross_entropy": 1.0, "dice": 1.0},
    "multilabel": {"bce": 1.0, "dice": 1.0},
}
"""Pixel-wise plus overlap: the pair most podium solutions settle on (SEEDS)."""
