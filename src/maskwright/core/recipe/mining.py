"""Recipe block of maskwright mine: which windows are empty, and how training uses them."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field

from maskwright.core.recipe.base import Block

Chance = Annotated[float, Field(gt=0, le=1)]


class Mining(Block):
    """What maskwright mine looks for in images without labels, and how often it is drawn."""

    presence: Chance = 0.2
    """Empty windows have less than this probability of something by image-level heads (aux: presence or classify)."""
    pixel: Chance = 0.2
    """And less than this in their likeliest pixel."""
    window: Annotated[int, Field(ge=16, le=65536)] | None = None
    """Side of windows in pixels; None: whole images."""
    share: float = Field(default=0.2, gt=0, lt=1)
    """Share of the draws of a training that are empty windows."""
    sure: Chance = 0.7
    """Probability from which on a false positive is a confident one."""
    hard: float = Field(default=1.0, ge=1, le=100)
    """How much more often labelled items with confident false positives are drawn, in windows around these; 1: no more,
    since with 3 the area of false positives grew (docs/log.md, 2026-11-28)."""
