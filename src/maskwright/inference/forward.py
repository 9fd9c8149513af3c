"""From a batch of prepared images to averaged probabilities: several models, several symmetries, one pass."""

from __future__ import annotations

import math
from collections.abc import Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from functools import partial
from typing import Literal

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from maskwright.core.allocator import keep_freed_memory
from maskwright.core.errors import InputError, MemoryLimitError
from maskwright.core.grid import Shape
from maskwright.core.labels import Task
from maskwright.inference.tta import apply, symmetries, undo
from maskwright.inference.views import AS_THEY_ARE, SLACK, Views
from maskwright.models.adapt import SegModel

CPU_PIXELS = 1 << 17
"""Pixels in one forward pass on a CPU. Unet-resnet18, channels last, 2 cores: 8 windows of 128 or 2 of 256
were fastest, 16 of 256 four times slower (measured, docs/log.md 2026-11-21)."""


@dataclass(frozen=True)
class Machine:
    """On what, and how exactly, the models run."""

    device: str = "auto"
    """A torch device; auto: the first GPU, else the CPU."""
    precision: Literal["fp32", "bf16"] = "fp32"
    """Of the network alone: probabilities and their averages are always float32."""
    channels_last: bool = True
    """Layout of the network's tensors; faster for convolutions."""

    def resolve(self) -> torch.device:
        """Return the device that is meant."""
        return torch.device(("cuda" if torch.cuda.is_available() else "cpu") if self.device == "auto" else self.device)


def windows_at_once(device: str, shape: Shape, wanted: int) -> int:
    """Return how many images of a shape go through at once on a kind of device; see Forward.batch_size."""
    return wanted if device != "cpu" else max(1, min(wanted, CPU_PIXELS // (shape[0] * shape[1])))


class Forward:
    """Models that answer with one averaged probability; they are moved to the device and set to evaluation.

    Args:
        models: at least one; of any kind, e.g. the folds of a member.
        task: decides between softmax and sigmoid.
        tta: names of symmetries besides the image itself.
        machine: where and how.
        views: sizes at which images are answered.
    """

    def __init__(
        self, models: Sequence[SegModel], task: Task, tta: Sequence[str], machine: Machine, views: Views = AS_THEY_ARE
    ) -> None:
        assert models, "no model to predict with"
        self.device = machine.resolve()
        if self.device.type == "cpu":
            keep_freed_memory()
        self._layout = torch.channels_last if machine.channels_last else torch.contiguous_format
        self._models = [model.to(self.device).to(memory_format=self._layout).train(False) for model in models]
        self._symmetries = symmetries(tta)
        self._task, self._half, self._views = task, machine.precision == "bf16", views

    def batch_size(self, shape: Shape, wanted: int) -> int:
        """Return how many images of a shape go through at once: a pure function, so that a rerun groups alike.

        Args:
            shape: (height, width) in pixels.
            wanted: the most, predict.batch_size.
        """
        largest = max(self._views.shapes(shape), key=lambda view: view[0] * view[1])
        return windows_at_once(self.device.type, largest, wanted)

    @torch.inference_mode()
    def __call__(self, images: NDArray[np.float32], names: Sequence[str] = ()) -> NDArray[np.float32]:
        """Return the mean over models, symmetries and sizes of the probabilities, never of the logits.

        Args:
            images: float32 (B, C, H, W), prepared as in training.
            names: what the images are, for messages.

        Returns:
            float32 (B, K, H, W) in [0, 1].

        Raises:
            InputError: a model answered with nan or infinity.
            MemoryLimitError: the device is full.
        """
        try:
            with self._settings():
                batch = torch.from_numpy(images).to(self.device)
                total = self._answer(batch)
            result: NDArray[np.float32] = total.clamp_(0, 1).cpu().numpy()
        except torch.OutOfMemoryError as error:
            raise MemoryLimitError(
                f"{images.shape[0]} x {images.shape[-2]} x {images.shape[-1]} pixels do not fit on {self.device}",
                where="predict",
                fix="lower predict.batch_size, or set predict.window",
            ) from error
        bad = ~np.isfinite(result).all(axis=(1, 2, 3))
        if bad.any():
            name = names[int(bad.argmax())] if names else "the image"
            raise InputError(
                "the model answered with values that are not numbers",
                where=name,
                fix="look for nan in the image, or train again with a lower optimizer.lr",
            )
        return result

    def _answer(self, batch: Tensor) -> Tensor:
        """Return one answer: the mean over models, or 1 where enough of them are above one half."""
        views, models = self._views, self._models
        if views.models is None:
            return views.answer(batch, partial(self._mean, models=models))
        each = (views.answer(batch, partial(self._mean, models=[model])) for model in models)
        votes = sum((found > 0.5).float() for found in each)
        need = math.ceil(views.models * len(models) - SLACK)
        return (torch.as_tensor(votes) >= need).float()

    def _mean(self, batch: Tensor, models: Sequence[SegModel]) -> Tensor:
        """Return the mean over models and symmetries of images of any size."""
        total: Tensor | None = None
        for symmetry in self._symmetries:
            turned = apply(batch, symmetry).contiguous(memory_format=self._layout)
            for model in models:
                with torch.autocast(self.device.type, torch.bfloat16, enabled=self._half):
                    found = model.answer(turned, self._activate)
                part = undo(found, symmetry)
                total = part.contiguous() if total is None else total.add_(part)
        assert total is not None
        return total / (len(models) * len(self._symmetries))

    def _activate(self, logits: Tensor) -> Tensor:
        return logits.softmax(1) if self._task.activation == "softmax" else logits.sigmoid()

    def _settings(self) -> AbstractContextManager[object]:
        """Make a GPU repeatable and exact; a CPU is so already."""
        if self.device.type != "cuda":
            return nullcontext()
        context: AbstractContextManager[object] = torch.backends.cudnn.flags(
            enabled=True, benchmark=False, deterministic=True, allow_tf32=False
        )
        return context
