"""What a page that compares runs shows, as plain data; workflows fills it from the run folders."""

from __future__ import annotations

from dataclasses import dataclass

from maskwright.output.report.facts import Curve


@dataclass(frozen=True)
class ClassPair:
    """Honest scores of one class, 0..1 or nan."""

    iou: float
    dice: float


@dataclass(frozen=True)
class RunFacts:
    """One run; scores are honest and by the page's metric unless they say otherwise."""

    name: str
    """Unlike the other runs'."""
    link: str
    """Relative path of its report, or empty."""
    honest: float
    low: float | None
    """The honest score in most redraws of the items lies between low and high; None: unknown."""
    high: float | None
    optimistic: float
    own_metric: str
    """What it was decided by."""
    held_out: float
    """nan: no labelled items were held out."""
    items: int
    folds: int
    members: tuple[str, ...]
    kept: tuple[str, ...]
    """What tuning was kept."""
    classes: tuple[ClassPair, ...]
    curves: tuple[Curve, ...]
    seconds: float
    """0: not measured."""
    peak_mb: int


@dataclass(frozen=True)
class Moved:
    """One item in two runs: its own score, 0..1."""

    key: str
    before: float
    after: float


@dataclass(frozen=True)
class PairedFacts:
    """A run against the first one, on the items that both predicted out of fold."""

    name: str
    shared: int
    only_first: int
    only_this: int
    gain: float
    """Pooled score of this run minus the first's on the shared items; nan where there is none."""
    low: float | None
    high: float | None
    better: int
    """Items that score higher in this run."""
    worse: int
    moved: tuple[Moved, ...]
    """Every shared item with a score in both, any order."""
    remarks: tuple[str, ...]
    """What makes the two less comparable, in words."""


@dataclass(frozen=True)
class Setting:
    """One key of the recipes that is not the same in all."""

    key: str
    values: tuple[str, ...]
    """One for each run; empty: not set."""


@dataclass(frozen=True)
class CompareFacts:
    """Everything on the page. Equal facts give an equal file."""

    metric: str
    classes: tuple[str, ...]
    runs: tuple[RunFacts, ...]
    """The first is what the others are held against."""
    pairs: tuple[PairedFacts, ...]
    settings: tuple[Setting, ...]
    version: str = ""
    date: str = ""
