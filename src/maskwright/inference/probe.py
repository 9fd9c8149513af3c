"""Memory and speed of the forward pass of prediction, measured on noise in a process of its own."""

from __future__ import annotations

import time
from dataclasses import dataclass

import numpy as np
import torch

from maskwright.core.grid import Shape
from maskwright.core.labels import Task
from maskwright.core.recipe.members import Member
from maskwright.inference.forward import Forward, Machine
from maskwright.inference.views import Views
from maskwright.models.build import build_model

LEAST_S = 1.0
"""Seconds that are timed, but for slow passes, of which 2 are enough."""
MOST = 30
"""Passes that are timed at most."""


@dataclass(frozen=True)
class ForwardSpec:
    """What to measure: one pass through one model with the member's symmetries."""

    member: Member
    task: Task
    bands: int
    shape: Shape
    """(height, width) of the window in pixels."""
    batch: int
    threads: int | None = None


def measure_forward(spec: ForwardSpec) -> float:
    """Return the seconds of one forward pass of a batch, symmetries included; weights are random.

    Raises:
        MemoryLimitError, MemoryError, RuntimeError: where memory ends.
    """
    if spec.threads is not None:
        torch.set_num_threads(spec.threads)
    block = spec.member.model.model_copy(update={"weights": None})
    model = build_model(block, spec.bands, spec.task.planes)
    machine = Machine(channels_last=spec.member.train.channels_last)
    predict = spec.member.predict
    forward = Forward([model], spec.task, predict.tta, machine, Views.of(predict))
    images = np.random.default_rng(0).standard_normal((spec.batch, spec.bands, *spec.shape)).astype(np.float32)
    forward(images)
    began, taken = time.perf_counter(), 0
    while taken < MOST and (taken < 2 or time.perf_counter() - began < LEAST_S):
        forward(images)  # ends with a copy to the host, which waits for the GPU
        taken += 1
    return (time.perf_counter() - began) / taken
