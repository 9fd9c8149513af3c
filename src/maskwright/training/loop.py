"""The training step: everything that happens between two batches, on one page."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from maskwright.core.recipe.members import Train
from maskwright.data.dataset import Batch
from maskwright.models.heads import main_logits
from maskwright.training.beside import BesideKit, mean_of
from maskwright.training.cluster import ALONE, Cluster
from maskwright.training.ema import Ema
from maskwright.training.losses.table import Loss
from maskwright.training.optim import set_rate
from maskwright.training.plan import step_seed
from maskwright.training.precision import Scaler
from maskwright.training.schedule import Multiplier
from maskwright.training.sharding import Shards


@dataclass(frozen=True)
class Kit:
    """What a step works with."""

    model: nn.Module
    """Prepared by the cluster."""
    optimizer: torch.optim.Optimizer
    parameters: tuple[nn.Parameter, ...]
    """All that the optimiser moves."""
    loss: Loss
    multiplier: Multiplier
    ema: Ema | None
    cluster: Cluster
    train: Train
    half: torch.dtype | None
    """What the model computes in besides float32."""
    seed: int
    shared: tuple[nn.Parameter, ...] = ()
    """Parameters of the loss, which DDP does not know: each process has their whole gradient."""
    scaler: Scaler | None = None
    """Keeps small gradients above what float16 can hold; None: nothing is scaled."""
    shards: Shards | None = None
    """The model in pieces, where it is divided over the processes."""
    errors: Callable[[Tensor, Tensor, Tensor], Tensor] | None = None
    """From logits, label and valid to the error of each sample, where items are drawn by their errors."""
    beside: BesideKit | None = None
    """Other items that some steps learn from too."""

    def autocast(self) -> AbstractContextManager[object]:
        """Compute in 16 bits while inside, where that is asked for."""
        return ALONE if self.half is None else torch.autocast(self.cluster.device.type, self.half)


@dataclass(frozen=True)
class StepRecord:
    """What a step leaves behind; loss and norm stay on the device until somebody looks."""

    step: int
    rate: float
    loss: Tensor
    norm: Tensor
    watched: tuple[tuple[Tensor, Tensor], ...] = ()
    """(items, errors) of each batch of this process, where errors are asked for."""
    beside: Tensor | None = None
    """Loss of the other items, in a step that has some."""


def train_step(kit: Kit, batches: Iterator[Batch], step: int) -> StepRecord:
    """Take one optimiser step.

    Args:
        kit: model, optimiser, loss and the rest.
        batches: gives this process's share of the next batch; `accumulate` of them are taken, and those of other items
            before them in a step that has some.
        step: number of the step, from 0; with the seed it decides everything random in here.
    """
    rate = kit.multiplier(step)
    set_rate(kit.optimizer, rate)
    # each process has the loss of the whole batch and its own part of the gradient; DDP averages them
    factor = kit.cluster.size / kit.train.accumulate
    losses, watched = [], []
    others = None
    if kit.beside is not None and kit.beside.beside.due(step):
        others = learn_beside(kit, kit.beside, batches, step)
        factor *= kit.beside.beside.main_weight
    # all batches of the step before the first forward pass: how many pixels count in them is known then
    ready = [next(batches) for _ in range(kit.train.accumulate)]
    truths = [(batch["label"], batch["valid"], batch["log_size"]) for batch in ready]
    numbers = kit.loss.numbers(truths, kit.cluster.device) if len(ready) > 1 else None
    for micro, read in enumerate(ready):
        batch = place(read, kit.cluster.device, channels_last=kit.train.channels_last)
        seed_forward(step_seed(kit.seed, step, micro, kit.cluster.rank), kit.cluster.device)
        with kit.cluster.no_sync(kit.model, last=micro == kit.train.accumulate - 1):
            with kit.autocast():
                output = kit.model(batch["image"])
            loss = kit.loss(output, batch["label"], batch["valid"], numbers, batch["log_size"])
            if (
                micro == 0 and others is None
            ):  # not earlier: memory given back before the forward pass comes back cold (5 % of a step)
                kit.optimizer.zero_grad()
            share = loss if factor == 1 else loss * factor
            torch.autograd.backward(share if kit.scaler is None else kit.scaler.scale(share))
        losses.append(loss.detach())
        if kit.errors is not None:
            watched.append((batch["index"], kit.errors(main_logits(output), batch["label"], batch["valid"])))
    kit.cluster.level(kit.shared)
    if kit.shards is not None:
        kit.shards.hand_over(scaled=kit.scaler is not None)
    if kit.scaler is None:
        norm = clip(kit.parameters, kit.train.clip, kit.shards)
        kit.optimizer.step()
    else:
        kit.scaler.unscale(kit.optimizer)
        norm = clip(kit.parameters, kit.train.clip, kit.shards)
        kit.scaler.step(kit.optimizer)
    if kit.ema is not None:
        kit.ema.update(step)
    mean = losses[0] if len(losses) == 1 else torch.stack(losses).mean()
    return StepRecord(step, rate, mean, norm, tuple(watched), others)


def learn_beside(kit: Kit, told: BesideKit, batches: Iterator[Batch], step: int) -> Tensor:
    """Begin a step's gradient with that of other items, and return their mean loss.

    They come first so that the last backward pass, with which processes share gradients, is one of the whole network.

    Args:
        kit: model, optimiser and the rest.
        told: whose loss.
        batches: gives this process's share of the next batch.
        step: number of the step, from 0.
    """
    factor = kit.cluster.size * told.beside.weight / told.beside.count
    losses = []
    for micro, read in enumerate([next(batches) for _ in range(told.beside.count)]):
        batch = place(read, kit.cluster.device, channels_last=kit.train.channels_last)
        seed_forward(step_seed(kit.seed, step, kit.train.accumulate + micro, kit.cluster.rank), kit.cluster.device)
        with kit.cluster.no_sync(kit.model, last=False):
            with kit.autocast():
                output = kit.model(batch["image"])
            loss = told.loss(output, batch["label"], batch["valid"])
            if micro == 0:
                kit.optimizer.zero_grad()
            share = loss * factor
            torch.autograd.backward(share if kit.scaler is None else kit.scaler.scale(share))
        losses.append(loss.detach())
    return mean_of(losses)


@torch.no_grad()
def clip(parameters: Sequence[nn.Parameter], limit: float | None, shards: Shards | None = None) -> Tensor:
    """Return the norm of all gradients together; scale them down to `limit` if it is larger.

    Args:
        parameters: those without a gradient are passed over.
        limit: largest norm; None: only measure.
        shards: where the gradients are pieces of larger ones.
    """
    gradients = [parameter.grad for parameter in parameters if parameter.grad is not None]
    norm: Tensor = (
        torch.linalg.vector_norm(torch.stack(torch._foreach_norm(gradients)))
        if shards is None
        else shards.norm(parameters)
    )
    # on the CPU looking costs nothing and saves a pass over all gradients; on a GPU it would wait for the step
    if limit is not None and (norm.device.type != "cpu" or not norm <= limit):
        torch._foreach_mul_(gradients, (limit / (norm + 1e-6)).clamp_max(1.0))
    return norm


def seed_forward(seed: int, device: torch.device) -> None:
    """Seed what dropout and stochastic depth draw from.

    Not torch.manual_seed: where no GPU is in use it stores a traceback at each call (0.6 ms, torch 2.15).
    """
    torch.default_generator.manual_seed(seed)
    if device.type == "cuda":
        torch.cuda.manual_seed(seed)


def place(batch: Batch, device: torch.device, *, channels_last: bool) -> Batch:
    """Bring a batch to the device, its images in the layout that convolutions are fast in."""
    layout = torch.channels_last if channels_last else torch.contiguous_format
    placed = Batch(**batch)
    placed["image"] = batch["image"].to(device, non_blocking=True, memory_format=layout)
    placed["label"] = batch["label"].to(device, non_blocking=True)
    placed["valid"] = batch["valid"].to(device, non_blocking=True)
    placed["log_size"] = batch["log_size"].to(device, non_blocking=True)
    return placed
