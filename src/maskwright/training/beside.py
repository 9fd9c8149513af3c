"""Batches of other items beside a training's own, such as those that teachers labelled: which, when, with what loss."""

from __future__ import annotations

from collections.abc import Generator, Iterator, Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass, replace
from typing import Any

from torch import Tensor

from maskwright.core.errors import InputError
from maskwright.core.recipe.load import digest
from maskwright.core.recipe.members import Train
from maskwright.data.dataset import Batch
from maskwright.data.sampling import Lots, sample_seed
from maskwright.data.sources.base import Source
from maskwright.training.loader import Samples, read_batches
from maskwright.training.losses.table import Loss
from maskwright.training.plan import Deal, Plan, Ticket, check_share, make_plan

STREAM = -21
"""Seed of these draws against those of a training's own."""


@dataclass(frozen=True)
class Beside:
    """Other items, and how a training learns from them."""

    source: Source
    """Labelled, with plain labels or probabilities."""
    keys: tuple[str, ...]
    augment: Sequence[Mapping[str, Mapping[str, Any]]]
    loss: Mapping[str, float | Mapping[str, Any]]
    """As a member's; for the main head alone."""
    batch: int
    """Samples of a batch over all processes."""
    every: int
    """Such batches come in every so many steps."""
    count: int = 1
    """Batches in such a step."""
    weight: float = 1.0
    """Of their mean loss in the step's."""
    main_weight: float = 1.0
    """Of the loss of the training's own batches."""
    displaced: int = 0
    """Samples by which the training's own batches are smaller."""
    weights: tuple[float, ...] | None = None
    """How often each item is drawn relative to others; None: all alike."""
    content: str = ""
    """Digest of the labels."""

    @property
    def digest(self) -> str:
        """16 hex digits over all that weights depend on."""
        plain = [self.keys, list(self.augment), dict(self.loss), self.batch, self.every, self.count, self.content]
        return digest([*plain, self.weight, self.main_weight, self.displaced, self.weights])

    def due(self, step: int) -> bool:
        """Say whether a step has such batches."""
        return step % self.every == self.every - 1

    def lots(self, seed: int) -> Lots:
        """Return which item each draw takes; draws are numbered over the whole training, as one epoch.

        Args:
            seed: of the training.
        """
        return Lots(sample_seed(seed, STREAM, 0), len(self.keys), 1, weights=self.weights)

    def tickets(self, step: int, rank: int, size: int) -> Iterator[list[Ticket]]:
        """Give the draws of process `rank` of `size` for each batch of a step, of none if it has no such batches."""
        if not self.due(step):
            return
        share = self.batch // size
        for micro in range(self.count):
            first = (step // self.every * self.count + micro) * self.batch + rank * share
            yield [(0, index) for index in range(first, first + share)]


@dataclass(frozen=True)
class BesideKit:
    """What a step works with, where there are other items."""

    beside: Beside
    loss: Loss

    def keys(self, step: int, seed: int) -> list[str]:
        """Return the keys of the other items that all processes draw in a step of a training with this seed."""
        lots, beside = self.beside.lots(seed), self.beside
        numbers = [index for tickets in beside.tickets(step, 0, 1) for _, index in tickets]
        return [beside.keys[int(lots.items(0, index, 1)[0])] for index in numbers]


@dataclass(frozen=True)
class BesideDeal:
    """The batches of other items from a step to the end, as a batch sampler for a data loader."""

    beside: Beside
    deal: Deal

    def __iter__(self) -> Iterator[list[Ticket]]:
        for step in self.deal.steps:
            yield from self.beside.tickets(step, self.deal.rank, self.deal.size)

    def __len__(self) -> int:
        return sum(self.beside.due(step) for step in self.deal.steps) * self.beside.count


def plan_of(train: Train, items: int, seed: int, beside: Beside | None) -> Plan:
    """Work out the steps; samples of others that take the place of a training's own make no more of them.

    Args:
        train: of the member.
        items: how many images there are to draw from.
        seed: of the fold.
        beside: other items, if there are some.
    """
    plan = make_plan(train, items, seed)
    return plan if beside is None else replace(plan, batch_size=plan.batch_size - beside.displaced)


def check_shares(train: Train, beside: Beside | None, size: int, where: str) -> None:
    """Refuse batches that do not divide by the number of processes, and weights in pieces beside other items."""
    check_share(train, size, where)
    if beside is None or size == 1:
        return
    for batch in {train.batch_size - beside.displaced, beside.batch}:
        if batch % size:
            raise InputError(
                f"selftrain.mix makes batches of {batch}, which do not divide by {size} processes",
                where=where,
                fix="choose another share, or another train.batch_size",
            )
    if train.sharding == "fsdp":
        raise InputError(
            "selftrain does not go with weights in pieces", where=where, fix="use train.sharding=none for students"
        )


def smallest_batch(train: Train, beside: Beside | None) -> int:
    """Return how many samples the smallest batch has over all processes."""
    return train.batch_size if beside is None else min(train.batch_size - beside.displaced, beside.batch)


def read_steps(
    samples: Samples, others: tuple[Beside, Samples] | None, deal: Deal, workers: int, *, pin: bool
) -> Generator[Batch, None, None]:
    """Give the batches of all steps in order; those of other items before a step's own.

    Args:
        samples: the training's own.
        others: other items and their samples, if there are some.
        deal: which steps, and which process.
        workers: processes that read.
        pin: put batches into page-locked memory.

    Raises:
        MaskwrightError: whatever reading a sample raised.
    """
    own = read_batches(samples, deal, workers, pin=pin)
    if others is None:
        return own
    beside, more = others
    return _woven(own, read_batches(more, BesideDeal(beside, deal), min(workers, 1), pin=pin), beside, deal)


def _woven(
    own: Generator[Batch, None, None], others: Generator[Batch, None, None], beside: Beside, deal: Deal
) -> Generator[Batch, None, None]:
    with closing(own), closing(others):
        for step in deal.steps:
            if beside.due(step):
                for _ in range(beside.count):
                    yield next(others)
            for _ in range(deal.plan.accumulate):
                yield next(own)


def mean_of(losses: Sequence[Tensor]) -> Tensor:
    """Return the mean of scalars."""
    total = losses[0]
    for loss in losses[1:]:
        total = total + loss
    return total / len(losses)
