"""Networks in pieces: weights, gradients and the optimiser's averages divided over the processes (FSDP)."""

from __future__ import annotations

import warnings
from collections.abc import Mapping, Sequence
from typing import Any

import torch
from torch import Tensor, distributed, nn

from maskwright.core.errors import InputError
from maskwright.models.adapt import SegModel
from maskwright.models.recompute import called, stages
from maskwright.training.parts import OptimizerPart
from maskwright.training.pieces import cut, fill, is_piece, local, piece_like


class Shards:
    """A model whose parameters are divided over all processes along their first axis.

    torch's fully_shard gathers the weights of one stage at a time, for its forward and its backward pass, and leaves
    each process the mean gradient of its own pieces (Zhao et al. 2023, arXiv:2304.11277). The optimiser moves plain
    tensors that share memory with the pieces, so that it and loss scaling need not know of any of this.

    Args:
        model: on the device, contiguous; changed in place.
        bands: C of its input.
        optimizer: without a step taken; its parameters are exchanged for the pieces.
        device: of this process.

    Raises:
        InputError: the network cannot be divided.
    """

    def __init__(self, model: SegModel, bands: int, optimizer: torch.optim.Optimizer, device: torch.device) -> None:
        self.model = model
        before = {id(parameter): name for name, parameter in model.named_parameters()}
        try:
            divide(model, bands, device)
        except (RuntimeError, ValueError) as error:
            raise InputError(
                f"this network cannot be divided: {str(error).splitlines()[0][:200]}",
                where="train.sharding",
                fix="set train.sharding=none, or take another network",
            ) from error
        self.whole = {name: parameter for name, parameter in model.named_parameters() if is_piece(parameter)}
        self.pieces = {
            name: nn.Parameter(local(parameter.detach()), requires_grad=parameter.requires_grad)
            for name, parameter in self.whole.items()
        }
        for group in optimizer.param_groups:
            group["params"] = [self.pieces.get(before.get(id(each), ""), each) for each in group["params"]]
        self._own = {id(piece) for piece in self.pieces.values()}

    @torch.no_grad()
    def hand_over(self, *, scaled: bool) -> None:
        """Give the optimiser's pieces the gradients of a step, and let go of the model's.

        Args:
            scaled: whether losses are scaled: an overflow in one process's pieces then becomes one in all of them, so
                that all leave the step out.
        """
        for name, parameter in self.whole.items():
            self.pieces[name].grad = None if parameter.grad is None else local(parameter.grad)
            parameter.grad = None
        if scaled:
            spoilt = torch.where(self.norm(list(self.pieces.values())).isfinite(), 1.0, torch.nan)
            torch._foreach_mul_([piece.grad for piece in self.pieces.values() if piece.grad is not None], spoilt)

    @torch.no_grad()
    def norm(self, parameters: Sequence[nn.Parameter]) -> Tensor:
        """Return the norm of all gradients, pieces of all processes taken together; the loss's own count once.

        Args:
            parameters: the optimiser's; those without a gradient are passed over.
        """
        given = [(id(each) in self._own, each.grad) for each in parameters if each.grad is not None]
        mine = torch._foreach_norm([gradient for own, gradient in given if own])
        total = torch.stack(mine).square().sum()
        distributed.all_reduce(total)
        others = [gradient for own, gradient in given if not own]
        if others:
            total = total + torch.stack(torch._foreach_norm(others)).square().sum()
        return total.sqrt()

    def state_dict(self) -> Mapping[str, Tensor]:
        """Return the model's state, pieces as pieces."""
        return self.model.state_dict()

    def load_state_dict(self, state: Mapping[str, Tensor], /) -> Any:
        """Take each process's pieces from a whole state."""
        for name, tensor in self.model.state_dict().items():
            fill(tensor, state[name])


class PiecedOptimizer(OptimizerPart):
    """The running averages of an optimiser that moves pieces.

    Args:
        optimizer: that Shards was made with.
        shards: the pieces.
        others: what it moves besides, by name.
    """

    def __init__(self, optimizer: torch.optim.Optimizer, shards: Shards, others: Mapping[str, nn.Parameter]) -> None:
        super().__init__(optimizer, {**shards.pieces, **others})
        self._whole = shards.whole

    def state_dict(self) -> Mapping[str, Tensor]:
        """Return `<parameter>:<what>` -> tensor, pieces as pieces."""
        return {name: piece_like(value, self._like(name, value)) for name, value in super().state_dict().items()}

    def load_state_dict(self, state: Mapping[str, Tensor], /) -> None:
        """Take each process's pieces from whole averages."""
        super().load_state_dict({name: cut(value, self._like(name, value)) for name, value in state.items()})

    def _like(self, name: str, value: Tensor) -> Tensor:
        return self._whole.get(name.rpartition(":")[0], value)


def divide(model: SegModel, bands: int, device: torch.device) -> None:
    """Divide a network's parameters, stage by stage and then what is left, and try it once.

    Everything is given back after use, the outermost too: an average put into the pieces must be what is seen next.

    Args:
        model: changed in place.
        bands: C of its input.
        device: of this process.
    """
    from torch.distributed.device_mesh import init_device_mesh
    from torch.distributed.fsdp import fully_shard

    # it warns that logits are a view of padded ones and must not be changed in place; no loss does
    warnings.filterwarnings("ignore", message="FSDP2-wrapped module .* returned a view")
    mesh = init_device_mesh(device.type, (distributed.get_world_size(),))
    for stage in list(stages(model.network, called(model, bands, once=True))):
        fully_shard(stage, mesh=mesh, reshard_after_forward=True)
    fully_shard(model, mesh=mesh, reshard_after_forward=True)
    called(model, bands)
