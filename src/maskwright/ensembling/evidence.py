"""What a decision rests on, as it stands in decision.json."""

from __future__ import annotations

from typing import Literal

import numpy as np

from maskwright.core.recipe.base import Block

Score = float | None
"""0..1; None where it is not defined, because no class occurs in truth or answer."""


def plain_score(score: float) -> Score:
    """Return a score as JSON can hold it: nan becomes None."""
    return None if np.isnan(score) else float(score)


class Choice(Block):
    """One thing that could be tuned, against leaving it as it was."""

    what: Literal["thresholds", "weights", "temperatures", "factors", "crf", "cleaning", "priority"]
    kept: bool
    outcome: str
    """What tuning chose on all items, in words."""
    honest_gain: float
    """Nested score with it minus without it, on items that had no part in the choice."""
    optimistic_gain: float
    """The same difference on the items that chose it."""
    low: float
    """Lower end of the 99 % interval of the honest gain: paired bootstrap over groups of items, Student's t if few."""
    high: float
    """Upper end of it."""
    folds_better: int
    """Folds on which it was better."""
    folds: int
    units: int
    """Groups of items, the independent witnesses."""
    reason: str


class MemberScore(Block):
    """One member alone."""

    name: str
    fixed: Score
    """At the fixed threshold, or by argmax: nothing chosen, so honest."""
    tuned_honest: Score
    """With its own thresholds, each fold's chosen on the others; equal to fixed where none are tuned."""
    tuned_optimistic: Score
    """With its own thresholds, chosen and scored on all items."""
    edges: tuple[int, ...]
    """Its own thresholds chosen on all items; empty for argmax."""
    classes: tuple[Score, ...] = ()
    """Of each plane, at the fixed threshold or by argmax."""


class CandidateScore(Block):
    """One blend that was looked at, scored on all items."""

    shares: tuple[int, ...]
    """Whole shares of the members; weights are shares over their sum."""
    fixed: Score
    tuned: Score
    """With its own best thresholds: optimistic."""
    edges: tuple[int, ...]


class FoldScore(Block):
    """One fold under what the other folds chose."""

    fold: int
    items: int
    default: Score
    honest: Score
    shares: tuple[int, ...]
    edges: tuple[int, ...]


class ClassScore(Block):
    """One plane, pixels pooled."""

    name: str
    iou: Score
    dice: Score
    precision: Score
    recall: Score
    support: int
    """Pixels of the class in the truth."""


class ClassEvidence(ClassScore):
    """One plane, honestly: pooled over folds, each decided by what the others chose."""

    curve: tuple[Score, ...] = ()
    """Score at thresholds 1..255 of the chosen blend on all items (optimistic); empty for argmax."""


class Evidence(Block):
    """Scores, and every choice with what speaks for it. Scores: the decision's measure, mean over its classes."""

    honest: Score
    """Nested estimate of what was kept: each fold decided by what the other folds chose."""
    optimistic: Score
    """The final settings on the items that chose them."""
    default: Score
    """Equal weights and the fixed threshold: nothing chosen, so honest."""
    items: int
    pixels: int
    """Valid pixels."""
    choices: tuple[Choice, ...] = ()
    members: tuple[MemberScore, ...] = ()
    candidates: tuple[CandidateScore, ...] = ()
    folds: tuple[FoldScore, ...] = ()
    classes: tuple[ClassEvidence, ...] = ()
    confusion: tuple[tuple[int, ...], ...] = ()
    """Multiclass: pixels by truth (rows) and answer of the final settings."""
