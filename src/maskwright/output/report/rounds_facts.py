"""What the report tells of self-training; the page knows no more."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class RoundFacts:
    """One round; round 0 are the first teachers."""

    round: int
    run: str
    """Its run folder, relative to the page."""
    honest: float
    """Nested out-of-fold score; nan: none."""
    gain: float
    """Against the last round before it that was kept; nan for the first."""
    low: float
    """Ends of the 99 % interval of the gain; nan for the first."""
    high: float
    images: str
    """How many images were learnt from, in words."""
    kept: bool
    reason: str
    weights: str = ""
    """By which weights items of several parts were drawn, in words."""


@dataclass(frozen=True)
class SelfTrainFacts:
    """Rounds of teachers and students; no rounds: there were none."""

    rounds: tuple[RoundFacts, ...] = ()
    final: int = 0
    """Round whose answer is the final one."""
    output: str = ""
    """Where that answer is, relative to the page."""
    metric: str = ""
    test_items_used: bool = False
    images: int = 0
    """Without labels."""
