"""Optimisers and their parameter groups: slower encoders, no decay on norms and biases."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import torch
from torch import nn

from maskwright.core.errors import unknown
from maskwright.core.recipe.members import Optimizer
from maskwright.models.adapt import SegModel

POSITIONS = ("pos_embed", "relative_position_bias_table", "cls_token", "dist_token", "reg_token", "logit_scale")
"""Tables of transformers that weight decay would only flatten (SEEDS 000.4: 0 on norm and position tables)."""
Groups = list[dict[str, Any]]


def check(block: Optimizer, where: str) -> None:
    """Refuse an unknown optimiser, naming the recipe key."""
    if block.name not in OPTIMIZERS:
        raise unknown("optimizer", block.name, OPTIMIZERS, f"{where}.name")


def build_optimizer(model: SegModel, block: Optimizer, where: str = "optimizer") -> torch.optim.Optimizer:
    """Build the optimiser over the model's trainable parameters; `encoder_lr: 0` freezes the encoder.

    Each group carries `peak`, its learning rate where the schedule's multiplier is 1.
    """
    check(block, where)
    if block.encoder_lr == 0:
        model.freeze_encoder()
    return OPTIMIZERS[block.name](groups(model, block), block)


def groups(model: SegModel, block: Optimizer) -> Groups:
    """Deal the trainable parameters into groups of equal rate and decay, at most four."""
    encoder = {id(parameter) for parameter in model.encoder_parameters()}
    dealt: dict[tuple[float, float], list[nn.Parameter]] = {}
    for name, parameter in model.named_parameters():
        if parameter.requires_grad:
            peak = block.lr * (block.encoder_lr if id(parameter) in encoder else 1.0)
            decay = block.weight_decay if block.decay_norms or not is_plain(name, parameter) else 0.0
            dealt.setdefault((peak, decay), []).append(parameter)
    return [
        {"params": parameters, "lr": peak, "peak": peak, "weight_decay": decay}
        for (peak, decay), parameters in dealt.items()
    ]


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


OPTIMIZERS: Mapping[str, Callable[[Groups, Optimizer], torch.optim.Optimizer]] = {"adamw": _adamw}
