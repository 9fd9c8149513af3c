"""Memory and speed of the real training step, measured on noise in a process of its own."""

from __future__ import annotations

import itertools
import time
from dataclasses import dataclass
from pathlib import Path

import torch

from maskwright.core.grid import Shape
from maskwright.core.labels import Task
from maskwright.core.recipe.members import Member
from maskwright.data.dataset import Batch, Preprocess
from maskwright.training.cluster import Cluster
from maskwright.training.job import FoldJob
from maskwright.training.loop import train_step
from maskwright.training.losses.options import Frequency
from maskwright.training.plan import make_plan
from maskwright.training.setup import build_kit, build_network

WARM = 2
"""Steps before the clock runs: memory is taken, kernels are chosen."""
LEAST_S = 1.0
"""Seconds that are timed, but for slow steps, of which 2 are enough."""
MOST = 30
"""Steps that are timed at most."""


@dataclass(frozen=True)
class StepSpec:
    """What to measure: one training step of a member."""

    member: Member
    task: Task
    bands: int
    shape: Shape
    """(height, width) of the window in pixels."""
    batch: int
    """Samples in one forward and backward pass."""
    recipe_dir: Path | None = None
    threads: int | None = None


class _Nothing:
    """A source that nobody reads."""

    keys = ("noise",)
    labelled = True


def measure_step(spec: StepSpec) -> float:
    """Return the seconds of one pass of a batch, with its share of the optimiser's step.

    Args:
        spec: everything is as in training but the pixels, which are noise, and accumulation, which is off.

    Raises:
        torch.OutOfMemoryError, MemoryError, RuntimeError: as the step itself, where memory ends.
    """
    if spec.threads is not None:
        torch.set_num_threads(spec.threads)
    # a plan of more steps than are timed, or the schedule would be asked what comes after its end
    own = {"batch_size": spec.batch, "accumulate": 1, "crop": spec.shape, "steps_per_epoch": 10**6}
    train = spec.member.train.model_copy(update=own)
    # the first weights do not matter, and a hub is not asked for them
    model = spec.member.model.model_copy(update={"weights": None})
    planes = spec.task.planes
    job = FoldJob(
        member=spec.member.model_copy(update={"train": train, "model": model}),
        task=spec.task,
        source=_Nothing(),  # type: ignore[arg-type]
        train_keys=("noise",),
        valid_keys=(),
        preprocess=Preprocess(tuple(range(spec.bands)), 1.0, (0.0,) * spec.bands, (1.0,) * spec.bands),
        max_pixels=1,
        seed=0,
        metric="iou",
        frequency=Frequency((1,) * planes, (1,) * planes, planes),
        recipe_dir=spec.recipe_dir,
    )
    cluster = Cluster()
    network = build_network(job, cluster, Path("probe"))
    kit = build_kit(job, make_plan(train, 10**6, 0), cluster, network, errors=False)
    batches = itertools.repeat(noise(spec))
    for step in range(WARM):
        train_step(kit, batches, step)
    wait(cluster.device)
    began, taken = time.perf_counter(), 0
    while taken < MOST and (taken < 2 or time.perf_counter() - began < LEAST_S):
        train_step(kit, batches, WARM + taken)
        taken += 1
        wait(cluster.device)
    return (time.perf_counter() - began) / taken


def noise(spec: StepSpec) -> Batch:
    """Return a batch of noise whose labels hold every value of the task."""
    generator = torch.Generator().manual_seed(0)
    height, width = spec.shape
    planes = (spec.task.planes,) if spec.task.kind == "multilabel" else ()
    values = 2 if planes else len(spec.task.values)
    return Batch(
        image=torch.randn(spec.batch, spec.bands, height, width, generator=generator),
        label=torch.randint(0, values, (spec.batch, *planes, height, width), generator=generator),
        valid=torch.ones(spec.batch, height, width, dtype=torch.bool),
        index=torch.zeros(spec.batch, dtype=torch.int64),
        log_size=torch.zeros(spec.batch),
    )


def wait(device: torch.device) -> None:
    """Let a GPU finish what it was given, so that a clock tells the truth."""
    if device.type == "cuda":
        torch.cuda.synchronize(device)
