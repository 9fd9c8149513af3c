"""The mean of the weights after each of the last epochs, and running statistics that fit averaged weights."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from contextlib import AbstractContextManager
from typing import Any

import torch
from torch import Tensor, nn

from maskwright.data.dataset import Batch
from maskwright.training.loop import place
from maskwright.training.parts import Part
from maskwright.training.pieces import fill, local
from maskwright.training.watch import number

MOST = 64
"""Batches that running statistics are made of at most, for their mean does not get better with many more."""


class Swa(Part):
    """The running mean of a model's floating-point weights and buffers, taken at the ends of epochs.

    Args:
        model: the unwrapped model; its tensors must not be replaced afterwards, only changed.
        after: epochs that are passed over.
    """

    def __init__(self, model: nn.Module, after: int) -> None:
        live = model.state_dict()
        self.after = after
        self.taken = 0
        """How many weights are in the mean."""
        self._live = {name: tensor for name, tensor in live.items() if tensor.is_floating_point()}
        self._mean = {name: torch.zeros_like(tensor) for name, tensor in self._live.items()}

    @torch.no_grad()
    def after_epoch(self, epoch: int) -> None:
        """Take the present weights in, if it is time."""
        if epoch <= self.after:
            return
        self.taken += 1
        for name, mean in self._mean.items():
            local(mean).lerp_(local(self._live[name]), 1 / self.taken)

    @torch.no_grad()
    def put_in(self) -> None:
        """Overwrite the model with the mean."""
        for name, tensor in self._live.items():
            local(tensor).copy_(local(self._mean[name]))

    def state_dict(self) -> Mapping[str, Tensor]:
        """Return the mean and how many are in it."""
        return {f"mean.{name}": mean for name, mean in self._mean.items()} | {"taken": number(self.taken)}

    @torch.no_grad()
    def load_state_dict(self, state: Mapping[str, Tensor], /) -> Any:
        """Go on from a state."""
        self.taken = int(state["taken"])
        for name, mean in self._mean.items():
            fill(mean, state[f"mean.{name}"])


def norms_of(model: nn.Module) -> list[nn.Module]:
    """Return the layers whose running statistics training changes; frozen ones are none of them."""
    training = model.training
    model.train()
    found = [
        module
        for module in model.modules()
        if isinstance(module, nn.modules.batchnorm._BatchNorm) and module.track_running_stats and module.training
    ]
    model.train(training)
    return list[nn.Module](found)


@torch.no_grad()
def renew_norms(
    model: nn.Module,
    batches: Iterable[Batch],
    device: torch.device,
    autocast: Callable[[], AbstractContextManager[object]],
    *,
    channels_last: bool,
) -> int:
    """Make running means and variances anew from batches, each counting alike; all else of the model stays.

    Source: Izmailov et al. 2018, Averaging weights leads to wider optima, section 3.2. Dropout is off.

    Args:
        model: the unwrapped model; it is left in the mode it was in.
        batches: of training samples; at most MOST are read.
        device: where the model is.
        autocast: as in training.
        channels_last: layout of images.

    Returns:
        samples that were read; 0 where the model has no such layer.
    """
    norms: list[Any] = norms_of(model)
    if not norms:
        return 0
    training, before, read = model.training, [norm.momentum for norm in norms], 0
    model.train(False)
    for norm in norms:
        norm.reset_running_stats()
        norm.momentum = None  # the plain mean over batches
        norm.train()
    try:
        for batch in batches:
            with autocast():
                model(place(batch, device, channels_last=channels_last)["image"])
            read += len(batch["index"])
    finally:
        for norm, momentum in zip(norms, before, strict=True):
            norm.momentum = momentum
        model.train(training)
    return read
