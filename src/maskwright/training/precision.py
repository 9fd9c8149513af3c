"""Which number format a device is fast in, and operations that give the same bits each time."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, Literal

import torch

from maskwright.core.recipe.members import Train


def precision_of(train: Train, device: torch.device) -> Literal["fp32", "bf16"]:
    """Resolve `precision: auto`: bf16 where the chip multiplies it natively, else fp32.

    Measured: Unet-resnet18 at 256 pixels takes 0.56 of fp32's time with bf16 and channels_last on a CPU
    with avx512_bf16 (PERFORMANCE, 2026-11-21); chips without it emulate it and are slower.
    """
    if train.precision != "auto":
        return train.precision
    return "bf16" if has_bf16(device) else "fp32"


def has_bf16(device: torch.device) -> bool:
    """Say whether a device multiplies bfloat16 natively."""
    if device.type == "cuda":
        return torch.cuda.get_device_capability(device) >= (8, 0)
    return device.type == "cpu" and bool(torch.cpu._is_avx512_bf16_supported())


@contextmanager
def repeatable(device: torch.device) -> Iterator[None]:
    """Choose operations that give the same bits each time, where that costs nothing: on the CPU."""
    filling: Any = torch.utils.deterministic
    before = torch.are_deterministic_algorithms_enabled(), torch.is_deterministic_algorithms_warn_only_enabled()
    fill = filling.fill_uninitialized_memory
    if device.type == "cpu":
        torch.use_deterministic_algorithms(True, warn_only=True)
        filling.fill_uninitialized_memory = False
    try:
        yield
    finally:
        torch.use_deterministic_algorithms(before[0], warn_only=before[1])
        filling.fill_uninitialized_memory = fill
