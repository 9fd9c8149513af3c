"""Optimisers and their parameter groups: slower encoders, no decay on norms and biases."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Any

import torch
from torch import nn

from maskwright.core.errors import InputError, unknown
from maskwright.core.recipe.members import Optimizer
from maskwright.models.adapt import SegModel
from maskwright.training.pieces import is_piece, local

POSITIONS = ("pos_embed", "relative_position_bias_table", "cls_token", "dist_token", "reg_token", "logit_scale")
"""Tables of transformers that weight decay would only flatten (SEEDS 000.4: 0 on norm and position tables)."""
Groups = list[dict[str, Any]]


def check(block: Optimizer, where: str) -> None:
    """Refuse an unknown optimiser, naming the recipe key."""
    if block.name not in OPTIMIZERS:
        raise unknown("optimizer", block.name, OPTIMIZERS, f"{where}.name")


def build_optimizer(
    model: SegModel, block: Optimizer, own: Iterable[nn.Parameter] = (), where: str = "optimizer"
) -> torch.optim.Optimizer:
    """Build the optimiser over the model's trainable parameters; `encoder_lr: 0` freezes the encoder.

    Each group carries `peak`, its learning rate where the schedule's multiplier is 1.

    Args:
        model: the network.
        block: the recipe's optimizer block.
        own: parameters of the loss; they learn at `lr`, without decay.
        where: recipe key for messages.
    """
    check(block, where)
    if block.encoder_lr == 0:
        model.freeze_encoder()
    for pattern in block.freeze:
        _freeze(model, pattern, f"{where}.freeze")
    if not any(parameter.requires_grad for parameter in model.parameters()):
        raise InputError("nothing is left to learn", where=f"{where}.freeze", fix="freeze less")
    dealt = groups(model, block)
    learned = list(own)
    if learned:
        dealt.append({"params": learned, "lr": block.lr, "peak": block.lr, "weight_decay": 0.0})
    return OPTIMIZERS[block.name](dealt, block)


def _freeze(model: SegModel, pattern: str, where: str) -> None:
    if not model.freeze(pattern):
        names = [name for name, _ in model.network.named_children()]
        names += [f"encoder.{name}" for name, _ in model.encoder.named_children()]
        raise InputError(
            f"no parameter is named like '{pattern}'", where=where, fix=f"names begin with {', '.join(names[:12])}"
        )


def groups(model: SegModel, block: Optimizer) -> Groups:
    """Deal the trainable parameters into groups of equal rate and decay: four, or two for each encoder block."""
    depth = (
        depths(model.encoder)
        if block.layer_decay is not None
        else dict.fromkeys((id(parameter) for parameter in model.encoder_parameters()), 0)
    )
    last = max(depth.values(), default=0) + 1
    dealt: dict[tuple[float, float], list[nn.Parameter]] = {}
    for name, parameter in model.named_parameters():
        if parameter.requires_grad:
            inside = id(parameter) in depth
            slower = block.layer_decay ** (last - depth[id(parameter)]) if inside and block.layer_decay else 1.0
            peak = block.lr * (block.encoder_lr * slower if inside else 1.0)
            decay = block.weight_decay if block.decay_norms or not is_plain(name, parameter) else 0.0
            dealt.setdefault((peak, decay), []).append(parameter)
    return [
        {"params": parameters, "lr": peak, "peak": peak, "weight_decay": decay}
        for (peak, decay), parameters in dealt.items()
    ]


def depths(encoder: nn.Module) -> dict[int, int]:
    """Number an encoder's parameters by the block they lie in: 0 for the stem, then block by block.

    Blocks are the children of a list whose members are of one class (BasicBlock, SwinTransformerBlock, ...), or of a
    stage that calls them b1, b2, ... (RegNet); where those have such lists inside (levels of blocks), the children of
    those; what lies between two lists counts with the block before it.

    Returns:
        id of a parameter -> number.
    """
    found: dict[int, int] = {}
    number = 0

    def walk(module: nn.Module) -> None:
        nonlocal number
        for parameter in module.parameters(recurse=False):
            found.setdefault(id(parameter), number)
        blocks = _holds_blocks(module) and not any(map(_holds_blocks, _inside(module)))
        for child in module.children():
            if blocks:
                number += 1
                for parameter in child.parameters():
                    found.setdefault(id(parameter), number)
            else:
                walk(child)

    walk(encoder)
    return found


def _holds_blocks(module: nn.Module) -> bool:
    """Say whether a module is a list (or a stage) of modules of one class that have modules of their own."""
    children = list(module.children())
    counted = [f"b{number}" for number in range(1, len(children) + 1)] == [name for name, _ in module.named_children()]
    if not children or not (isinstance(module, nn.Sequential | nn.ModuleList) or counted):
        return False
    alike = len({type(child) for child in children}) == 1 and not isinstance(children[0], nn.Sequential | nn.ModuleList)
    return alike and any(children[0].children())


def _inside(module: nn.Module) -> Iterator[nn.Module]:
    """Give what lies in the members of a list under a name of their own, e.g. the blocks of its levels."""
    for child in module.children():
        yield from child.children()


def is_plain(name: str, parameter: nn.Parameter) -> bool:
    """Say whether a parameter is a bias, a norm's scale or a position table."""
    return parameter.ndim <= 1 or name.endswith(".bias") or any(part in name for part in POSITIONS)


def set_rate(optimizer: torch.optim.Optimizer, multiplier: float) -> None:
    """Set each group's learning rate to its peak times the schedule's multiplier."""
    for group in optimizer.param_groups:
        group["lr"] = group["peak"] * multiplier


def _adamw(dealt: Groups, block: Optimizer) -> torch.optim.Optimizer:
    # fused: elementwise, so bit-identical from run to run on the CPU too, and the fastest there
    return torch.optim.AdamW(dealt, lr=block.lr, betas=block.betas, weight_decay=block.weight_decay, fused=True)


def _sgd(dealt: Groups, block: Optimizer) -> torch.optim.Optimizer:
    return torch.optim.SGD(dealt, lr=block.lr, momentum=block.momentum, nesterov=block.momentum > 0, fused=True)


def _radam(dealt: Groups, block: Optimizer) -> torch.optim.Optimizer:
    return torch.optim.RAdam(dealt, lr=block.lr, betas=block.betas, decoupled_weight_decay=True)


def _ralamb(dealt: Groups, block: Optimizer) -> torch.optim.Optimizer:
    return Ralamb(dealt, lr=block.lr, betas=block.betas, decoupled_weight_decay=True)


def _lookahead(dealt: Groups, block: Optimizer) -> torch.optim.Optimizer:
    return Lookahead(dealt, block)


def _over9000(dealt: Groups, block: Optimizer) -> torch.optim.Optimizer:
    return Over9000(dealt, block)


HEAVIEST = 10.0
"""Length beyond which a tensor's steps grow no more with it (You et al. 2020, LAMB, section 3)."""


class Ralamb(torch.optim.RAdam):
    """RAdam that goes, in each tensor, as far as the learning rate times the length of the tensor's weights.

    Source: layer-wise rates of LARS (You et al. 2017) on RAdam, as SEEDS 004.4 tried it; weight decay is a part of the
    step that is measured, as in LAMB. A tensor of zeros, or a step of none, is left to RAdam.
    """

    @torch.no_grad()
    def step(self, closure: Any = None) -> Any:
        """Take a step."""
        given = [(group["lr"], each) for group in self.param_groups for each in group["params"]]
        moving = [(rate, each, each.clone()) for rate, each in given if each.grad is not None]
        result = super().step(closure)
        for rate, parameter, before in moving:
            change = parameter - before
            weights, far = length(before).clamp_max(HEAVIEST), length(change)
            trust = torch.where((weights > 0) & (far > 0), rate * weights / far, 1.0)
            local(parameter).copy_(local(before) + local(change) * trust)
        return result


def length(tensor: torch.Tensor) -> torch.Tensor:
    """Return the Euclidean length of a tensor, which other processes may hold parts of."""
    total = local(tensor).square().sum()
    if is_piece(tensor):
        torch.distributed.all_reduce(total)
    return total.sqrt()


class Lookahead(torch.optim.RAdam):
    """RAdam whose weights are pulled back to slow ones every few steps, which follow them part of the way.

    Source: Zhang et al. 2019, Lookahead optimizer, algorithm 1. The slow weights lie in the optimiser's state, so a
    resume finds them.

    Args:
        dealt: parameter groups.
        block: lr, betas, lookahead.
    """

    def __init__(self, dealt: Groups, block: Optimizer) -> None:
        super().__init__(dealt, lr=block.lr, betas=block.betas, decoupled_weight_decay=True)
        self.every, self.share = block.lookahead

    @torch.no_grad()
    def step(self, closure: Any = None) -> Any:
        """Take a step; each `every`-th moves the slow weights and goes back to them."""
        moved = [
            parameter for group in self.param_groups for parameter in group["params"] if parameter.grad is not None
        ]
        before = {parameter: parameter.clone() for parameter in moved if "slow" not in self.state[parameter]}
        # RAdam fills a state only where it is empty, so the slow weights come after its first step
        result = super().step(closure)
        for parameter in moved:
            state = self.state[parameter]
            slow = state.setdefault("slow", before.get(parameter))
            if int(state["step"]) % self.every == 0:
                slow.lerp_(parameter, self.share)
                parameter.copy_(slow)
        return result


class Over9000(Lookahead, Ralamb):
    """Lookahead with Ralamb inside (SEEDS 004.4)."""


OPTIMIZERS: Mapping[str, Callable[[Groups, Optimizer], torch.optim.Optimizer]] = {
    "adamw": _adamw,
    "lookahead": _lookahead,
    "over9000": _over9000,
    "radam": _radam,
    "ralamb": _ralamb,
    "sgd": _sgd,
}
