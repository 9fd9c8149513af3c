"""Which samples each step takes, and which of them each process takes: a pure function of the seed."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from dataclasses import dataclass

from maskwright.core.errors import InputError
from maskwright.core.recipe.members import Train
from maskwright.data.sampling import Lots

Ticket = tuple[int, int]
"""(epoch, index): one draw; data/dataset.py turns it into a sample."""


@dataclass(frozen=True)
class Plan:
    """The steps of a training.

    Args:
        items: how many images there are to draw from.
        epochs: see recipe.
        steps_per_epoch: optimiser steps.
        batch_size: samples of one batch over all processes.
        accumulate: batches of one step.
        seed: of the fold.
    """

    items: int
    epochs: int
    steps_per_epoch: int
    batch_size: int
    accumulate: int
    seed: int

    @property
    def total(self) -> int:
        """Optimiser steps of the whole training."""
        return self.epochs * self.steps_per_epoch

    @property
    def draws(self) -> int:
        """Samples drawn in one epoch."""
        return self.steps_per_epoch * self.batch_size * self.accumulate

    def tickets(self, step: int, micro: int, rank: int, size: int) -> list[Ticket]:
        """Return the draws of process `rank` of `size` in batch `micro` of a step."""
        epoch, place = divmod(step, self.steps_per_epoch)
        share = self.batch_size // size
        first = (place * self.accumulate + micro) * self.batch_size + rank * share
        return [(epoch, index) for index in range(first, first + share)]

    def items_of(self, step: int, lots: Lots) -> list[int]:
        """Return the numbers of the items that all processes draw in a step, in order."""
        epoch, place = divmod(step, self.steps_per_epoch)
        count = self.batch_size * self.accumulate
        drawn: list[int] = lots.items(epoch, place * count, count).tolist()
        return drawn

    def epoch_end(self, step: int) -> int:
        """Return the number of steps done when the epoch that a step lies in is over."""
        return (step // self.steps_per_epoch + 1) * self.steps_per_epoch


@dataclass(frozen=True)
class Deal:
    """The batches of one process from a step to the end, as a batch sampler for a data loader."""

    plan: Plan
    first: int
    rank: int
    size: int
    last: int | None = None
    """Steps done at the end; None: all."""

    @property
    def steps(self) -> range:
        """The steps whose batches are given."""
        return range(self.first, self.plan.total if self.last is None else self.last)

    def __iter__(self) -> Iterator[list[Ticket]]:
        for step in self.steps:
            for micro in range(self.plan.accumulate):
                yield self.plan.tickets(step, micro, self.rank, self.size)

    def __len__(self) -> int:
        return len(self.steps) * self.plan.accumulate


def make_plan(train: Train, items: int, seed: int) -> Plan:
    """Work out the steps from the recipe; without `steps_per_epoch` each item is drawn once or a little more."""
    assert items >= 1, "a fold without items"
    steps = train.steps_per_epoch or -(-items // (train.batch_size * train.accumulate))
    return Plan(items, train.epochs, steps, train.batch_size, train.accumulate, seed)


def check_share(train: Train, size: int, where: str) -> None:
    """Refuse a global batch that does not divide by the number of processes."""
    if train.batch_size % size:
        raise InputError(
            f"train.batch_size {train.batch_size} does not divide by {size} processes",
            where=where,
            fix=f"use train.batch_size={max(train.batch_size // size, 1) * size}, or another number of processes",
        )


def digest_of_keys(keys: list[str]) -> str:
    """Return 16 hex digits that stand for a sequence of keys."""
    return hashlib.blake2b("\n".join(keys).encode(), digest_size=8).hexdigest()


def step_seed(seed: int, step: int, micro: int, rank: int) -> int:
    """Return the 63-bit seed of everything random inside one forward pass (dropout, stochastic depth)."""
    text = f"forward {seed} {step} {micro} {rank}".encode()
    return int.from_bytes(hashlib.blake2b(text, digest_size=8).digest(), "little") >> 1
