"""Which number format a device is fast in, loss scaling, compiling, and operations that give equal bits each time."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from importlib.util import find_spec
from typing import Any, Literal

import torch
from torch import Tensor, nn

from maskwright.core.errors import InputError
from maskwright.core.recipe.members import Train


def precision_of(train: Train, device: torch.device) -> Literal["fp32", "bf16", "fp16"]:
    """Resolve `precision: auto`: bf16 where the chip multiplies it natively, else fp32.

    Measured: Unet-resnet18 at 256 pixels takes 0.56 of fp32's time with bf16 and channels_last on a CPU
    with avx512_bf16 (PERFORMANCE, 2026-11-21); chips without it emulate it and are slower.
    """
    if train.precision != "auto":
        return train.precision
    return "bf16" if has_bf16(device) else "fp32"


def half_of(train: Train, device: torch.device) -> torch.dtype | None:
    """Return the 16-bit format that the model computes in; None: float32 throughout."""
    halves = {"bf16": torch.bfloat16, "fp16": torch.float16}
    return halves.get(precision_of(train, device))


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


class Scaler:
    """Loss scaling for float16: gradients are computed of a multiple of the loss, so that small ones do not vanish.

    The multiple is halved, and the step left out, when a gradient overflows, and doubled after 2000 steps without
    (Micikevicius et al. 2018, arXiv:1710.03740; torch.amp.GradScaler). It is part of the crash-safe state.

    Args:
        device: where gradients live.
    """

    PATIENCE = 40
    """Steps in a row that may overflow: 2**16 halved that often is far below 1, so scaling is not what is wrong."""

    def __init__(self, device: torch.device) -> None:
        self._scaler = torch.amp.GradScaler(device.type)
        self.skipped = self.in_a_row = 0
        """Steps left out so far, and since the last one that was taken."""

    def scale(self, loss: Tensor) -> Tensor:
        """Return the loss to take gradients of."""
        scaled: Tensor = self._scaler.scale(loss)
        return scaled

    def unscale(self, optimizer: torch.optim.Optimizer) -> None:
        """Bring gradients back to their size, all batches of the step being in."""
        self._scaler.unscale_(optimizer)

    def step(self, optimizer: torch.optim.Optimizer) -> None:
        """Move the weights unless a gradient overflowed, and choose the next multiple."""
        self._scaler.step(optimizer)
        self._scaler.update()

    def note(self, *, overflow: bool) -> bool:
        """Count a step that was looked at; say whether too many overflowed in a row."""
        self.skipped += overflow
        self.in_a_row = self.in_a_row + 1 if overflow else 0
        return self.in_a_row >= self.PATIENCE

    def state_dict(self) -> Mapping[str, Tensor]:
        """Return the multiple, the steps since it last changed, and the counts."""
        plain = self._scaler.state_dict()
        return {
            "scale": torch.tensor(plain["scale"], dtype=torch.float64),
            "tracker": torch.tensor(plain["_growth_tracker"]),
            "skipped": torch.tensor([self.skipped, self.in_a_row]),
        }

    def load_state_dict(self, state: Mapping[str, Tensor], /) -> None:
        """Go on from such a state."""
        plain = self._scaler.state_dict()
        plain |= {"scale": float(state["scale"]), "_growth_tracker": int(state["tracker"])}
        self._scaler.load_state_dict(plain)
        self.skipped, self.in_a_row = (int(value) for value in state["skipped"])


BACKEND = "inductor"
"""Of torch.compile."""


def compile_model(model: nn.Module, device: torch.device) -> None:
    """Have torch.compile make code of a model's forward pass when it is first called; names of weights stay.

    Raises:
        InputError: there is no compiler on this machine.
    """
    names = [os.environ.get("CXX", ""), "g++", "clang++"]
    lacking = "" if any(shutil.which(name) for name in names if name) else "a C++ compiler, and none was found"
    if device.type == "cuda" and not lacking and find_spec("triton") is None:
        lacking = "triton on a GPU, and it is not installed"
    if lacking:
        raise InputError(
            f"torch.compile needs {lacking}", where="train.compile", fix="install it, or set train.compile=false"
        )
    model.compile(backend=BACKEND)
