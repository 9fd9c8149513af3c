"""THE table of losses, where a new one gets its row: weighted sums of terms, without ignored pixels."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

import torch
from pydantic import ValidationError

from maskwright.core.errors import InputError, unknown
from maskwright.core.labels import Task, TaskKind
from maskwright.core.recipe.members import Member
from maskwright.training.losses import options
from maskwright.training.losses.heads import head_addends
from maskwright.training.losses.options import Frequency, Options
from maskwright.training.losses.total import Addend, Loss, Pool

__all__ = ["DEFAULTS", "LOSSES", "Loss", "build_loss", "check", "check_member", "member_loss"]


@dataclass(frozen=True)
class Kind:
    """What the table holds for a name: its settings, and the tasks it fits."""

    options: type[Options]
    """The settings a recipe may give it; they make the term."""
    tasks: tuple[TaskKind, ...]
    learns: bool = False
    """Whether it learns from validations, so that items must be held out."""


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


def check_member(member: Member, task: Task, where: str, *, held_out: bool = True) -> None:
    """Refuse what `check` refuses in the losses of a member and of its auxiliary heads.

    Args:
        member: the recipe's block.
        task: what is predicted.
        where: recipe key for messages, e.g. `members.a`.
        held_out: whether items are held out, for losses that learn from validations.

    Raises:
        InputError: naming key and loss.
    """
    heads = {f"model.aux.{name}.loss": getattr(head, "loss", {}) for name, head in member.model.aux.given.items()}
    for key, names in {"loss": member.loss, **heads}.items():
        check(names, FOREGROUND if key == "model.aux.twin.loss" else task, f"{where}.{key}")
        for name in names if not held_out else ():
            if LOSSES[name].learns:
                raise InputError(
                    f"loss '{name}' learns from validations, and folds.kind: all holds no item out",
                    where=f"{where}.{key}.{name}",
                    fix="use class_weights of cross_entropy, or another kind of folds",
                )
    _check_queries(member, task, where)


def _check_queries(member: Member, task: Task, where: str) -> None:
    """Refuse queries that answer otherwise than the task asks, and their loss where there are none."""
    answer = member.model.queries
    if answer in ("classes", "planes") and (answer == "planes") != (task.kind == "multilabel"):
        raise InputError(
            f"answer '{answer}' does not fit a {task.kind} task",
            where=f"{where}.model.options.answer",
            fix="use planes for multilabel, classes for other tasks, or maps",
        )
    if "mask_set" in member.loss and answer not in ("classes", "planes"):
        raise InputError(
            "loss 'mask_set' is for queries that are matched, and this network has none",
            where=f"{where}.loss.mask_set",
            fix="use architecture: mask2former with answer: classes or planes, or another loss",
        )


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
    return Loss(_addends(names, task, where, frequency), task, pool)


def member_loss(
    member: Member,
    task: Task,
    frequency: Frequency | None = None,
    outputs: Iterable[str] = (),
    pool: Pool | None = None,
    device: torch.device | str = "cpu",
) -> Loss:
    """Build the loss of a member, its auxiliary heads' included.

    Args:
        member: the recipe's block.
        task: what is predicted.
        frequency: as in build_loss.
        outputs: names of what the network's auxiliary heads give, see SegModel.head_names.
        pool: see Loss.
        device: where learned weights are.

    Raises:
        InputError: as check.
    """
    check_member(member, task, "member")
    names = member.loss or ({"mask_set": 1.0} if member.model.queries in ("classes", "planes") else {})
    main = _addends(names, task, "loss", frequency)

    def terms(names: Mapping[str, float | Mapping[str, Any]], where: str, *, foreground: bool = False) -> list[Addend]:
        if foreground:
            return _addends(names, FOREGROUND, where, None if frequency is None else frequency.of_anything(task))
        return _addends(names, task, where, frequency) if names else main

    addends = [*main, *head_addends(member.model.aux, outputs, terms)]
    return Loss(addends, task, pool, learned=member.loss_weights == "learned", device=device)


def _addends(
    names: Mapping[str, float | Mapping[str, Any]], task: Task, where: str, frequency: Frequency | None
) -> list[Addend]:
    found = {name: _options(name, given, where) for name, given in (names or DEFAULTS[task.kind]).items()}
    return [Addend(name, each.weight, each.term(task, frequency)) for name, each in found.items()]


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


FOREGROUND = Task(kind="binary", classes=("anything",))
"""What the head `twin` is asked."""
EVERY: tuple[TaskKind, ...] = ("binary", "multiclass", "multilabel")
PLANES: tuple[TaskKind, ...] = ("binary", "multilabel")

LOSSES: Mapping[str, Kind] = {
    "bce": Kind(options.BinaryCrossEntropyOptions, PLANES),
    "boundary": Kind(options.BoundaryOptions, EVERY),
    "cdb": Kind(options.DifficultyOptions, ("multiclass", "multilabel"), learns=True),
    "cross_entropy": Kind(options.CrossEntropyOptions, ("multiclass",)),
    "dice": Kind(options.DiceOptions, EVERY),
    "focal": Kind(options.FocalOptions, EVERY),
    "focal_tversky": Kind(options.FocalTverskyOptions, EVERY),
    "jaccard": Kind(options.JaccardOptions, EVERY),
    "kl": Kind(options.DivergenceOptions, EVERY),
    "lovasz": Kind(options.LovaszOptions, EVERY),
    "lovasz_hinge": Kind(options.LovaszHingeOptions, PLANES),
    "mask_set": Kind(options.MaskSetOptions, EVERY),
    "ohem": Kind(options.HardPixelsOptions, EVERY),
    "tversky": Kind(options.TverskyOptions, EVERY),
}

DEFAULTS: Mapping[TaskKind, Mapping[str, float]] = {
    "binary": {"bce": 1.0, "dice": 1.0},
    "multiclass": {"cross_entropy": 1.0, "dice": 1.0},
    "multilabel": {"bce": 1.0, "dice": 1.0},
}
"""Pixel-wise plus overlap: the pair most podium solutions settle on (SEEDS)."""
