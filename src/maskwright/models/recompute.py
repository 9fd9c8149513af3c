"""Activation checkpointing: an encoder's stages keep their input only and are computed again for the gradient."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from typing import Any

import torch
from torch import nn
from torch.nn.modules.batchnorm import _BatchNorm
from torch.utils.checkpoint import checkpoint

from maskwright.core.errors import InputError
from maskwright.models.adapt import SegModel


def recompute_encoder(model: SegModel, bands: int) -> int:
    """Make a network's encoder give memory for time; weights, their names and results stay.

    What is kept of a stage in training is its input; the rest is computed a second time in the backward pass
    (Chen et al. 2016, arXiv:1604.06174). Dropout draws the same again, and batch norms do not count the batch twice.

    Args:
        model: the stages of its encoder are the outermost sequences of layers that are called whole, or their blocks.
        bands: C of its input.

    Returns:
        how many stages were changed.

    Raises:
        InputError: no stage was found.
    """
    encoder = model.encoder
    found = list(stages(encoder, called(model, bands)))
    if not found:
        raise InputError(
            f"found no stages in the encoder {type(encoder).__name__} that could be computed again",
            where="train.checkpointing",
            fix="set train.checkpointing=false, or take another encoder",
        )
    for stage in found:
        _recompute(stage)
    return len(found)


def stages(module: nn.Module, used: set[nn.Module]) -> Iterator[nn.Module]:
    """Give the modules to compute again: none lies in another, each has weights and is called whole."""
    for child in module.children():
        if next(child.parameters(), None) is None:
            continue
        if isinstance(child, nn.Sequential) and len(child) > 1 and child in used:
            yield child
        elif isinstance(child, nn.ModuleList | nn.Sequential):
            for block in child:
                inner = list(stages(block, used))
                yield from inner or ([block] if block in used and next(block.parameters(), None) is not None else [])
        else:
            yield from stages(child, used)


def called(model: SegModel, bands: int, *, once: bool = False) -> set[nn.Module]:
    """Return the modules that a forward pass calls: some networks walk through a sequence layer by layer.

    Args:
        model: on any device.
        bands: C of its input.
        once: leave out those that are called more than once.
    """
    used: Counter[nn.Module] = Counter()
    hooks = [part.register_forward_pre_hook(lambda part, _: used.update([part])) for part in model.network.modules()]
    training, device = model.training, next(model.parameters()).device
    try:
        with torch.no_grad():
            model.train(False)(torch.zeros(1, bands, model.minimum, model.minimum, device=device))
    finally:
        model.train(training)
        for hook in hooks:
            hook.remove()
    return {part for part, times in used.items() if times == 1 or not once}


def _recompute(stage: nn.Module) -> None:
    forward = stage.forward
    norms = [module for module in stage.modules() if isinstance(module, _BatchNorm)]

    def contexts() -> tuple[AbstractContextManager[None], AbstractContextManager[None]]:
        return nullcontext(), _uncounted(norms)

    def again(*inputs: Any) -> Any:
        if not (stage.training and torch.is_grad_enabled()):
            return forward(*inputs)
        return checkpoint(forward, *inputs, use_reentrant=False, context_fn=contexts)

    stage.forward = again  # on the object, so that names in the state dict stay as they are


@contextmanager
def _uncounted(norms: list[_BatchNorm]) -> Iterator[None]:
    """Keep running statistics as they are while a stage is computed again."""
    before = [(norm.momentum, norm.num_batches_tracked) for norm in norms]
    for norm in norms:
        norm.momentum = 0.0
        norm.num_batches_tracked = None if norm.num_batches_tracked is None else norm.num_batches_tracked.clone()
    try:
        yield
    finally:
        for norm, (momentum, tracked) in zip(norms, before, strict=True):
            norm.momentum, norm.num_batches_tracked = momentum, tracked
