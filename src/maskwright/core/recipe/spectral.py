"""The recipe block of a spectral stem: what learns to mix bands before a network sees them."""

from __future__ import annotations

from typing import Any

from pydantic import Field

from maskwright.core.recipe.base import Block


class Spectral(Block):
    """A spectral stem: two 1 x 1 convolutions, each with ReLU and without a norm (SEEDS 002)."""

    channels: int = Field(default=32, ge=1, le=4096)
    """That the network gets in the place of bands; its first layer meets them as `stem` says."""
    hidden: int | None = Field(default=None, ge=1, le=4096)
    """Between the two; None: as many."""


def channels_alone(given: Any) -> Any:
    """Let a number stand for a spectral stem of that many channels: {spectral: 32}."""
    return {"channels": given} if isinstance(given, int) and not isinstance(given, bool) else given
