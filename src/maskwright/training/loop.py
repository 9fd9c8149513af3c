"""The training step: everything that happens between two batches, on one page."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from maskwright.core.recipe.members import Train
from maskwright.data.dataset import Batch
from maskwright.training.cluster import Cluster
from maskwright.training.ema import Ema
from maskwright.training.losses.table import Loss
from maskwright.training.optim import set_rate
from maskwright.training.plan import step_seed
from maskwright.training.schedule import Multiplier


@dataclass(frozen=True)
class Kit:
    """What a step works with."""

    model: nn.Module
    """Prepared by the cluster."""
    optimizer: torch.optim.Optimizer
    loss: Loss
    multiplier: Multiplier
    ema: Ema | None
    cluster: Cluster
    train: Train
    bf16: bool
    seed: int


@dataclass(frozen=True)
class StepRecord:
    """What a step leaves behind; loss and norm stay on the device until somebody looks."""

    step: int
    rate: float
    loss: Tensor
    norm: Tensor


def train_step(kit: Kit, batches: Iterator[Batch], step: int) -> StepRecord:
    """Take one optimiser step.

    Args:
        kit: model, optimiser, loss and the rest.
        batches: gives this process's share of the next batch; `accumulate` of them are taken.
        step: number of the step, from 0; with the seed it decides everything random in here.
    """
    rate = kit.multiplier(step)
    set_rate(kit.optimizer, rate)
    losses = []
    for micro in range(kit.train.accumulate):
        batch = place(next(batches), kit.cluster.device, channels_last=kit.train.channels_last)
        torch.manual_seed(step_seed(kit.seed, step, micro, kit.cluster.rank))
        with kit.cluster.no_sync(kit.model, last=micro == kit.train.accumulate - 1):
            with torch.autocast(kit.cluster.device.type, torch.bfloat16, enabled=kit.bf16):
                logits = kit.model(batch["image"])
            loss = kit.loss(logits, batch["label"], batch["valid"])
            # each process has the loss of the whole batch and its own part of the gradient; DDP averages them
            torch.autograd.backward(loss * (kit.cluster.size / kit.train.accumulate))
        losses.append(loss.detach())
    parameters = [parameter for group in kit.optimizer.param_groups for parameter in group["params"]]
    norm = nn.utils.clip_grad_norm_(parameters, kit.train.clip or float("inf"))
    kit.optimizer.step()
    kit.optimizer.zero_grad()
    if kit.ema is not None:
        kit.ema.update(step)
    return StepRecord(step, rate, losses[0] if len(losses) == 1 else torch.stack(losses).mean(), norm)


def place(batch: Batch, device: torch.device, *, channels_last: bool) -> Batch:
    """Bring a batch to the device, its images in the layout that convolutions are fast in."""
    layout = torch.channels_last if channels_last else torch.contiguous_format
    placed = Batch(**batch)
    placed["image"] = batch["image"].to(device, non_blocking=True, memory_format=layout)
    placed["label"] = batch["label"].to(device, non_blocking=True)
    placed["valid"] = batch["valid"].to(device, non_blocking=True)
    return placed
