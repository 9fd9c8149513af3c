"""THE table of losses, where a new one gets its row: weighted sums of terms, without ignored pixels."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import torch
from pydantic import ValidationError
from torch import Tensor, nn

from maskwright.core.errors import InputError, unknown
from maskwright.core.labels import Task, TaskKind
from maskwright.training.losses import options
from maskwright.training.losses.options import Frequency, Options
from maskwright.training.losses.terms import Pixels, Sums, Term
from maskwright.training.parts import Part

Pool = Callable[[Tensor], Tensor]
"""From this process's sums to those of all processes, with this process's gradient."""


@dataclass(frozen=True)
class Kind:
    """What the table holds for a name: its settings, and the tasks it fits."""

    options: type[Options]
    """The settings a recipe may give it; they make the term."""
    tasks: tuple[TaskKind, ...]


class Loss(Part):
    """A weighted sum of terms over the valid pixels of a batch; a part, as a loss may learn and be told of scores.

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

    def alone(self) -> Loss:
        """Return the same loss, state and all, for a batch that this process has to itself."""
        return Loss(self.terms, self.task)

    def named_parameters(self) -> dict[str, nn.Parameter]:
        """Return what the optimiser moves of the loss, by name: nothing. All processes have its whole gradient."""
        return {}

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


def check(names: Mapping[str, float | Mapping[str, Any]], task: Task, where: str) -> None:
    """Refuse unknown losses, their settings, and those that contradict the task.

    Args:
        names: loss name -> weight, or weight and settings.
        task: what is predicted.
        where: recipe key for messages, e.g. `members.a.loss`.

    Raises:
        InputError: naming key and loss.
    """
    for name, given in names.items():
        if name not in LOSSES:
            raise unknown("loss", name, LOSSES, where)
        if task.kind not in LOSSES[name].tasks:
            fits = ", ".join(other for other, kind in LOSSES.items() if task.kind in kind.tasks)
            raise InputError(
                f"loss '{name}' does not fit a {task.kind} task", where=f"{where}.{name}", fix=f"use some of: {fits}"
            )
        _options(name, given, where).refuse(task, f"{where}.{name}")


def build_loss(
    names: Mapping[str, float | Mapping[str, Any]],
    task: Task,
    pool: Pool | None = None,
    where: str = "loss",
    frequency: Frequency | None = None,
) -> Loss:
    """Build the weighted sum of named losses; no names give what suits the task.

    Args:
        names: loss name -> weight above 0, or weight and settings; empty: DEFAULTS.
        task: what is predicted.
        pool: see Loss.
        where: recipe key for messages.
        frequency: how often classes occur in the training items, for class weights that follow from it.

    Raises:
        InputError: as check.
    """
    check(names, task, where)
    found = {name: _options(name, given, where) for name, given in (names or DEFAULTS[task.kind]).items()}
    return Loss(tuple((each.weight, each.term(task, frequency)) for each in found.values()), task, pool)


def _options(name: str, given: float | Mapping[str, Any], where: str) -> Options:
    plain = dict(given) if isinstance(given, Mapping) else {"weight": given}
    try:
        return LOSSES[name].options.model_validate(plain)
    except ValidationError as error:
        detail = error.errors(include_url=False)[0]
        what, _, fix = str(detail["msg"]).removeprefix("Value error, ").partition("; ")
        key = ".".join([where, name, *(str(part) for part in detail["loc"])])
        if detail["type"] not in ("unknown_key", "value_error"):
            what = f"{what[0].lower()}{what[1:]}, got {detail['input']!r}"
        raise InputError(what, where=key, fix=fix or "see docs/reference") from None


EVERY: tuple[TaskKind, ...] = ("binary", "multiclass", "multilabel")
PLANES: tuple[TaskKind, ...] = ("binary", "multilabel")

LOSSES: Mapping[str, Kind] = {
    "bce": Kind(options.BinaryCrossEntropyOptions, PLANES),
    "boundary": Kind(options.BoundaryOptions, EVERY),
    "cross_entropy": Kind(options.CrossEntropyOptions, ("multiclass",)),
    "dice": Kind(options.DiceOptions, EVERY),
    "focal": Kind(options.FocalOptions, EVERY),
    "focal_tversky": Kind(options.FocalTverskyOptions, EVERY),
    "jaccard": Kind(options.JaccardOptions, EVERY),
    "lovasz": Kind(options.LovaszOptions, EVERY),
    "lovasz_hinge": Kind(options.LovaszHingeOptions, PLANES),
    "ohem": Kind(options.HardPixelsOptions, EVERY),
    "tversky": Kind(options.TverskyOptions, EVERY),
}

DEFAULTS: Mapping[TaskKind, Mapping[str, float]] = {
    "binary": {"bce": 1.0, "dice": 1.0},
    "multiclass": {"cross_entropy": 1.0, "dice": 1.0},
    "multilabel": {"bce": 1.0, "dice": 1.0},
}
"""Pixel-wise plus overlap: the pair most podium solutions settle on (SEEDS)."""
