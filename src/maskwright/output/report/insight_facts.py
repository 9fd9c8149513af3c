"""What the report shows beyond scores, as plain data: calibration, members' errors, items, time, memory, weights."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class ReliabilityFacts:
    """How often something was true when it was said with some probability."""

    name: str
    """A class; empty: the class that wins, whichever it is."""
    pixels: tuple[int, ...]
    """In equal steps of probability 0..1."""
    true: tuple[int, ...]
    mean: tuple[float, ...]
    """Mean probability in each step."""
    error: float
    """Expected calibration error, 0..1; nan without pixels."""
    bias: float
    """Mean probability minus share that is true; above 0, too much is promised."""


@dataclass(frozen=True)
class PairFacts:
    """Two members on all pixels that were looked at."""

    first: str
    second: str
    together: float
    """Share of pixels on which both are wrong, 0..1."""
    differ: float
    """Share of pixels on which their answers differ, 0..1."""
    correlation: float
    """Of their errors, -1..1; nan where one of them has none."""


@dataclass(frozen=True)
class InsightFacts:
    """What diagnosis.json says."""

    reliability: tuple[ReliabilityFacts, ...] = ()
    wrong: tuple[tuple[str, float], ...] = ()
    """Member, share of pixels on which it is wrong by itself, 0..1."""
    pairs: tuple[PairFacts, ...] = ()


@dataclass(frozen=True)
class ItemFacts:
    """One item in the table of all items."""

    key: str
    fold: int
    """-1: in none."""
    split: str
    """oof, holdout or test."""
    score: float
    """0..1, nan if it has none."""
    entropy: float = float("nan")
    """How unsure the blend was, 0..1; nan: unknown."""
    disagreement: float = float("nan")
    """Share of its pixels on which not all members agree, 0..1."""


@dataclass(frozen=True)
class StageSpent:
    """All the times one stage worked."""

    stage: str
    seconds: float
    peak_mb: int
    times: int


@dataclass(frozen=True)
class FoldSpent:
    """The training of one member in one fold."""

    member: str
    fold: int
    epochs: int
    steps: int
    seconds: float
    peak_mb: int | None = None
    peak_gpu_mb: int | None = None


@dataclass(frozen=True)
class WeightFacts:
    """What a member's first weights are and what may be done with them."""

    member: str
    weights: str
    source: str
    licence: str
    commercial: str
    """In words: yes, no, unknown."""


@dataclass(frozen=True)
class SpentFacts:
    """What the run cost, and what it stands on."""

    stages: tuple[StageSpent, ...] = ()
    folds: tuple[FoldSpent, ...] = ()
    weights: tuple[WeightFacts, ...] = ()
