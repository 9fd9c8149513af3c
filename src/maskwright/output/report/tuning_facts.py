"""What the pages of a search and of an ablation show, as plain data; workflows fills it."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class KeyFact:
    """A key that was searched."""

    key: str
    space: str
    """Its values in words."""
    log: bool
    importance: float | None
    """Share of the score that it decides, 0..1; None: too few trials to tell."""
    was: str
    """What the recipe had."""
    now: str
    """What the winner has."""


@dataclass(frozen=True)
class TrialFact:
    """A trial."""

    number: int
    state: str
    """done, pruned, failed, running or waiting."""
    value: float | None
    values: tuple[str, ...]
    """Of each key, as text."""
    places: tuple[float | None, ...]
    """Of each key, where it is a number."""
    seconds: float | None
    reason: str
    path: tuple[tuple[float, float], ...]
    """Progress and score so far."""


@dataclass(frozen=True)
class FinalFact:
    """A finalist."""

    name: str
    mean: float | None
    spread: float | None
    scores: tuple[float, ...]
    failed: int
    wins: bool


@dataclass(frozen=True)
class SearchFacts:
    """A whole search."""

    title: str
    metric: str
    measured: str
    """How trials were judged, in words."""
    winner: str
    keys: tuple[KeyFact, ...]
    trials: tuple[TrialFact, ...]
    finals: tuple[FinalFact, ...]
    command: str
    version: str


@dataclass(frozen=True)
class ArmFact:
    """One change of an ablation."""

    name: str
    values: tuple[tuple[str, str], ...]
    gain: float | None
    low: float | None
    high: float | None
    p: float | None
    adjusted: float | None
    believed: bool
    differences: tuple[tuple[float, ...], ...]
    """By fold and seed."""
    unchanged: float | None
    """Mean score of the recipe as it is."""
    reason: str
    """Why it failed; empty: it did not."""


@dataclass(frozen=True)
class AblationFacts:
    """A whole ablation."""

    title: str
    metric: str
    measured: str
    folds: tuple[int, ...]
    seeds: tuple[int, ...]
    confidence: float
    ratio: float
    """Held-out over training items."""
    arms: tuple[ArmFact, ...]
    command: str
    version: str
