"""Score and loss on held-out windows: integer counts that add up over windows and processes, losses by batch."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import closing
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor, nn

from maskwright.core.labels import Task
from maskwright.data.dataset import Batch, ValidSet
from maskwright.scoring.counts import Counts, count
from maskwright.training.cluster import Cluster
from maskwright.training.loader import read_batches
from maskwright.training.loop import place


@dataclass(frozen=True)
class Exam:
    """What a model is examined on, and how."""

    windows: ValidSet
    task: Task
    batch_size: int
    """Windows in one forward pass; whole images go one by one, as their sizes differ."""
    workers: int
    half: torch.dtype | None
    channels_last: bool
    loss: Callable[[Tensor, Tensor, Tensor], Tensor]
    """Of one process: it must not wait for others."""
    idle: Tensor | None = None
    """What a process that has no batch left passes through the model while others have one, where a forward pass needs
    all processes; None: it needs none."""


@dataclass(frozen=True)
class Verdict:
    """What an exam tells of a model."""

    counts: Counts
    loss: float
    """Mean over batches, each weighted by its windows."""


def evaluate(model: nn.Module, exam: Exam, cluster: Cluster, stopped: Callable[[], bool]) -> Verdict | None:
    """Count hits and misses of a model over all windows of an exam, and take its loss.

    Processes take whole batches in turn, so each batch is the same whatever their number and so
    are its logits, bit for bit.

    Args:
        model: the unwrapped model; it is left in the mode it was in.
        exam: windows, task and batch size.
        cluster: the processes that share the work.
        stopped: asked in every process before each batch; must give the same answer in all.

    Returns:
        counts and loss over all processes, or None when stopped.
    """
    windows = [
        list(range(start, min(start + exam.batch_size, len(exam.windows))))
        for start in range(0, len(exam.windows), exam.batch_size)
    ]
    mine = windows[cluster.rank :: cluster.size]
    rounds = -(-len(windows) // cluster.size)
    total = Counts.zero(exam.task.planes)
    losses = torch.zeros(len(windows), dtype=torch.float64)  # in places of their own, so that no order matters
    training = model.training
    model.train(False)
    workers = exam.workers if len(mine) > 1 else 0
    try:
        with closing(read_batches(exam.windows, mine, workers, pin=cluster.device.type == "cuda")) as batches:
            for turn in range(rounds):
                if stopped():
                    return None
                if turn < len(mine):
                    batch = place(next(batches), cluster.device, channels_last=exam.channels_last)
                    counts, loss = _examine(model, exam, batch)
                    total = total + counts
                    losses[cluster.rank + turn * cluster.size] = loss * len(batch["index"])
                elif exam.idle is not None:
                    with torch.no_grad():
                        model(exam.idle)
    finally:
        model.train(training)
    stacked = torch.from_numpy(np.stack([total.tp, total.fp, total.fn, total.tn]))
    return Verdict(Counts(*cluster.total(stacked).numpy()), float(cluster.total(losses).sum()) / len(exam.windows))


@torch.no_grad()
def _examine(model: nn.Module, exam: Exam, batch: Batch) -> tuple[Counts, float]:
    with torch.autocast(batch["image"].device.type, exam.half, enabled=exam.half is not None):
        logits = model(batch["image"])
    loss = float(exam.loss(logits, batch["label"], batch["valid"]))
    predicted = decide(logits, exam.task).cpu().numpy()
    truth = batch["label"].cpu().numpy().astype(np.uint8)
    valid = batch["valid"].cpu().numpy()
    total = Counts.zero(exam.task.planes)
    for index in range(len(predicted)):
        total = total + count(truth[index], predicted[index], valid[index], exam.task)
    return total, loss


def decide(logits: Tensor, task: Task) -> Tensor:
    """Return plain labels: the likeliest class, or every plane at probability 0.5 and above.

    Args:
        logits: (B, K, H, W).
        task: what is predicted.

    Returns:
        uint8 (B, H, W); for multilabel (B, K, H, W).
    """
    if task.kind == "multiclass":
        return logits.max(1).indices.to(torch.uint8)
    present = (logits >= 0).to(torch.uint8)
    return present.squeeze(1) if task.kind == "binary" else present
