"""What the report shows of places: where folds lie, and scores of whole scenes."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class FoldGround:
    """One fold on the ground, from ground.json."""

    fold: int
    scored: float
    """Square metres that the fold is scored on."""
    trained: float
    """Square metres that it is trained on."""
    shared: float
    """Square metres in both."""
    distance: float | None
    """Metres from the nearest training item to a scored one; None: in different parts of the world."""


@dataclass(frozen=True)
class Spot:
    """One item on the map."""

    key: str
    fold: int
    """-1: hold-out; -2: it only trains."""
    corners: tuple[tuple[float, float], ...]
    """(east, north) in metres, on one plane for all spots."""


@dataclass(frozen=True)
class SceneRow:
    """One scene out of fold."""

    name: str
    items: int
    area: float
    """Of its valid pixels."""
    score: float
    """nan: none."""
    f1: float | None = None
    """Of objects; None: not asked for, or there are none."""
    true: int = 0
    """Objects of the truth."""
    predicted: int = 0


@dataclass(frozen=True)
class SceneTable:
    """Scores of all scenes, from scenes.json."""

    metric: str
    unit: str
    """m2 or pixels."""
    rows: tuple[SceneRow, ...]
    mean: float
    by_area: float
    objects: bool = False
    f1: float = float("nan")
    """Of the objects of all scenes together."""
    precision: float = float("nan")
    recall: float = float("nan")
    f1_by_area: float = float("nan")
    """Mean of the scenes' F1, weighed by area."""


@dataclass(frozen=True)
class GroundFacts:
    """Both, as far as the run has them."""

    folds: tuple[FoldGround, ...] = ()
    spots: tuple[Spot, ...] = ()
    """Empty where items lie in several parts of the world, or are too many to be drawn."""
    scenes: SceneTable | None = None

    @property
    def empty(self) -> bool:
        """Whether there is nothing to show."""
        return not self.folds and self.scenes is None
