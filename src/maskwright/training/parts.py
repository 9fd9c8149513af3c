"""What has state in a training: parts, which a crash-safe state holds by name and which are told what happens."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any, Protocol, TypeVar

import torch
from torch import Tensor, nn

from maskwright.scoring.counts import Counts
from maskwright.training.checkpoint import load_optimizer, optimizer_tensors, pack, unpack
from maskwright.training.cluster import Cluster

P = TypeVar("P")


class Stateful(Protocol):
    """What a crash-safe state can hold; every nn.Module is one."""

    def state_dict(self) -> Mapping[str, Tensor]:
        """Return tensors that a resume needs, named within the part."""

    def load_state_dict(self, state: Mapping[str, Tensor], /) -> Any:
        """Go on from such tensors."""


@dataclass(frozen=True)
class Validated:
    """What a validation told; the same in every process."""

    step: int
    """Steps done."""
    counts: Counts
    """Over all held-out windows."""
    loss: float
    score: float
    """By the metric that picks the best weights."""


class Part:
    """A part that wants to know what happens. Each hook is called by all processes, in the order of the parts.

    A hook is called once for each event of the training that a state tells of: what was called after the state
    was written is called again on a resume.
    """

    def state_dict(self) -> Mapping[str, Tensor]:
        """Return tensors that a resume needs: none."""
        return {}

    def load_state_dict(self, state: Mapping[str, Tensor], /) -> Any:
        """Go on from such tensors: nothing to do."""

    def gather(self, cluster: Cluster) -> None:
        """Make the state that of all processes; called before a state is written and at the end of an epoch."""

    def after_step(self, step: int) -> None:
        """Take note that `step` steps are done."""

    def after_validation(self, told: Validated) -> None:
        """Take note of a validation; the history's row of its epoch is not written yet."""

    def after_epoch(self, epoch: int) -> None:
        """Take note that `epoch` epochs are done, validation included; the state is written next."""


class OptimizerPart:
    """An optimiser's running averages, under the names of the parameters they belong to."""

    def __init__(self, optimizer: torch.optim.Optimizer, parameters: Mapping[str, nn.Parameter]) -> None:
        self._optimizer, self._parameters = optimizer, parameters

    def state_dict(self) -> Mapping[str, Tensor]:
        """Return `<parameter>:<what>` -> tensor."""
        return optimizer_tensors(self._optimizer, self._parameters)

    def load_state_dict(self, state: Mapping[str, Tensor], /) -> None:
        """Fill the optimiser."""
        load_optimizer(self._optimizer, self._parameters, state)


@dataclass
class Parts:
    """The parts of a training by name; the name is the prefix of their tensors in a state."""

    named: dict[str, Stateful] = field(default_factory=dict)

    def get(self, name: str, kind: type[P]) -> P | None:
        """Return a part of a kind, if there is one of that name."""
        part = self.named.get(name)
        return part if isinstance(part, kind) else None

    def pack(self) -> dict[str, Tensor]:
        """Return the tensors of all parts."""
        packed: dict[str, Tensor] = {}
        for name, part in self.named.items():
            packed |= pack(name, part.state_dict())
        return packed

    def unpack(self, tensors: Mapping[str, Tensor]) -> None:
        """Give each part its tensors back."""
        for name, part in self.named.items():
            part.load_state_dict(unpack(name, tensors))

    def gather(self, cluster: Cluster) -> None:
        """See Part."""
        for part in self._told():
            part.gather(cluster)

    def after_step(self, step: int) -> None:
        """See Part."""
        for part in self._told():
            part.after_step(step)

    def after_validation(self, told: Validated) -> None:
        """See Part."""
        for part in self._told():
            part.after_validation(told)

    def after_epoch(self, epoch: int) -> None:
        """See Part."""
        for part in self._told():
            part.after_epoch(epoch)

    def _told(self) -> Iterator[Part]:
        return (part for part in self.named.values() if isinstance(part, Part))
