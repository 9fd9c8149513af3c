"""Batches whose gradients are summed into one step, against the same samples in one batch."""

import pytest
import torch
from torch import nn

from maskwright.core.labels import Task
from maskwright.core.recipe.members import Train
from maskwright.training.cluster import Cluster
from maskwright.training.loop import Kit, train_step
from maskwright.training.losses.table import build_loss

TASKS = {
    "binary": Task(kind="binary", classes=("a",)),
    "multiclass": Task(kind="multiclass", classes=("a", "b", "c")),
    "multilabel": Task(kind="multilabel", classes=("a", "b")),
}


def net_of(task):
    """A network without batch norm, which would see other statistics in each batch."""
    torch.manual_seed(0)
    net = nn.Sequential(
        nn.Conv2d(3, 6, 3, padding=1), nn.GroupNorm(2, 6), nn.GELU(), nn.Conv2d(6, task.planes, 3, padding=1)
    )
    return net.double()  # float32 sums in another order differ by as much as is allowed here


def batch_of(task, size=6, side=12):
    generator = torch.Generator().manual_seed(1)
    shape = (size, task.planes, side, side) if task.kind == "multilabel" else (size, side, side)
    top = task.planes if task.kind == "multiclass" else 2
    valid = torch.rand(size, side, side, generator=generator) < torch.linspace(0.05, 1, size)[:, None, None]
    valid[0] = False  # an image in which nothing counts
    return {
        "image": torch.randn(size, 3, side, side, generator=generator, dtype=torch.float64),
        "label": torch.randint(0, top, shape, generator=generator),
        "valid": valid,
        "index": torch.arange(size),
        "log_size": torch.zeros(size),
    }


def step_of(task, loss, parts):
    batch, model = batch_of(task), net_of(task)
    size = 6 // parts
    batches = [{name: each[start : start + size] for name, each in batch.items()} for start in range(0, 6, size)]
    optimizer = torch.optim.SGD([{"params": list(model.parameters()), "peak": 1.0}], lr=1.0)
    kit = Kit(
        model=model,
        optimizer=optimizer,
        parameters=tuple(model.parameters()),
        loss=build_loss(loss, task),
        multiplier=lambda step: 0.0,
        ema=None,
        cluster=Cluster(),
        train=Train(accumulate=parts, clip=None, channels_last=False, precision="fp32"),
        half=None,
        seed=0,
    )
    record = train_step(kit, iter(batches), 0)
    return float(record.loss), [parameter.grad for parameter in model.parameters()]


EXACT = {
    "binary": [{"bce": 1.0}, {"focal": {"gamma": 2.0, "alpha": 0.3}}, {"boundary": 1.0}],
    "multiclass": [
        {"cross_entropy": {"smoothing": 0.1, "class_weights": [1.0, 2.0, 5.0]}},
        {"focal": 1.0, "dice": {"per_image": True}},
        {"lovasz": {"per_image": True}, "cdb": 1.0},
    ],
    "multilabel": [{"bce": 1.0, "jaccard": {"per_image": True}}, {"lovasz_hinge": 1.0}],
}


@pytest.mark.parametrize(("kind", "loss"), [(kind, loss) for kind, losses in EXACT.items() for loss in losses])
def test_accumulated_batches_equal_the_large_batch_to_a_millionth(kind, loss):
    task = TASKS[kind]
    loss_of_one, whole = step_of(task, loss, 1)
    for parts in (2, 3):
        loss_of_many, several = step_of(task, loss, parts)
        assert loss_of_many == pytest.approx(loss_of_one, rel=1e-6)
        largest = max(float(gradient.abs().max()) for gradient in whole)
        for one, many in zip(whole, several, strict=True):
            assert float((one - many).abs().max()) <= 1e-6 * largest


def test_ratios_over_the_batch_are_each_batch_s_own():
    task = TASKS["binary"]
    loss = build_loss({"bce": 1.0, "dice": 1.0, "ohem": 1.0}, task)
    batch = batch_of(task)
    truths = [(batch["label"][rows], batch["valid"][rows]) for rows in (slice(0, 3), slice(3, 6))]
    numbers = loss.numbers(truths)
    assert [number is None for number in numbers] == [False, True, True]
    assert float(numbers[0]) == float(batch["valid"].sum()) / 2
