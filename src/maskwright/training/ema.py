"""An exponential moving average of the weights and running statistics, with a swap for validation."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager

import torch
from torch import Tensor, nn

from maskwright.training.pieces import fill, local


class Ema:
    """The average of a model's floating-point weights and buffers; integer buffers follow the model.

    Args:
        model: the unwrapped model; its tensors must not be replaced afterwards, only changed.
        decay: 0..1; the average forgets with time constant 1 / (1 - decay) steps. It starts lower
            (see `decay_at`), so that the random first weights are soon forgotten.
    """

    def __init__(self, model: nn.Module, decay: float) -> None:
        self.decay = decay
        live = model.state_dict(keep_vars=False)
        self._names = [name for name, tensor in live.items() if tensor.is_floating_point()]
        self._averages = {name: live[name].clone() for name in self._names}
        self._live = [local(live[name]) for name in self._names]
        self._average = [local(average) for average in self._averages.values()]
        self._others = {name: tensor for name, tensor in live.items() if not tensor.is_floating_point()}

    def decay_at(self, step: int) -> float:
        """Return the decay used after `step`: min(decay, (1 + step) / (10 + step)), as TensorFlow's average."""
        return min(self.decay, (1 + step) / (10 + step))

    @torch.no_grad()
    def update(self, step: int) -> None:
        """Take the model's present weights in; `step` counts from 0."""
        torch._foreach_lerp_(self._average, self._live, 1 - self.decay_at(step))

    def state_dict(self) -> dict[str, Tensor]:
        """Return a whole state dict for the model: averages, and the model's own integers."""
        return self._averages | self._others

    @torch.no_grad()
    def load_state_dict(self, state: Mapping[str, Tensor], /) -> None:
        """Take averages from a state dict."""
        for name, average in self._averages.items():
            fill(average, state[name])

    @contextmanager
    def applied(self) -> Iterator[None]:
        """Put the averages into the model while inside, and its own weights back afterwards."""
        own = [tensor.clone() for tensor in self._live]
        with torch.no_grad():
            torch._foreach_copy_(self._live, self._average)
        try:
            yield
        finally:
            with torch.no_grad():
                torch._foreach_copy_(self._live, own)
