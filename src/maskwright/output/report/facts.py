"""What the report shows, as plain data; workflows fills it from the run folder."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from maskwright.core.labels import Task
from maskwright.output.report.ground_facts import GroundFacts
from maskwright.output.report.insight_facts import InsightFacts, ItemFacts, SpentFacts
from maskwright.output.report.rounds_facts import SelfTrainFacts

if TYPE_CHECKING:
    from maskwright.output.report.data_facts import AuditFacts

Rgb = NDArray[np.uint8]
"""A picture, uint8 (H, W, 3)."""


@dataclass(frozen=True)
class Headline:
    """The numbers at the top. Scores are 0..1, mean over classes, pixels pooled over items."""

    metric: str
    """A name of scoring, e.g. iou."""
    honest: float
    """Nested estimate: each item decided by settings that were chosen without its fold."""
    optimistic: float
    """The final settings scored on the pixels that chose them."""
    default: float
    """Equal weights and the plain threshold (or argmax): nothing chosen."""
    items: int
    """Items behind these scores."""
    folds: int
    held_out: float | None = None
    """Score on labelled items that were in no fold, if there are any."""
    held_out_name: str = "held-out items"
    """What those items are, e.g. `hold-out` or `test set`."""
    held_out_items: int = 0
    low: float | None = None
    """The honest score in most redraws of the items lies between low and high; None: too few items to tell."""
    high: float | None = None
    level: float = 0.95
    """Which share of the redraws that is."""
    units: int = 0
    """Groups of items that were drawn from."""


@dataclass(frozen=True)
class SizeCount:
    """How many items have one size in pixels."""

    height: int
    width: int
    items: int


@dataclass(frozen=True)
class ClassShare:
    """How much of the labelled pixels one class covers."""

    name: str
    pixels: int
    items: int | None = None
    """Items in which it occurs, if known."""


@dataclass(frozen=True)
class DataFacts:
    """The training data, from fingerprint.json."""

    items: int
    bands: int
    dtype: str
    sizes: tuple[SizeCount, ...]
    """Any order; the report shows the most frequent."""
    classes: tuple[ClassShare, ...]
    """One for each of task.values (binary, multiclass) or planes (multilabel)."""
    valid_pixels: int
    """Pixels that count."""
    pixels: int
    """All pixels; the difference is ignored or nodata."""
    mean: tuple[float, ...] = ()
    """Of each band, after dividing."""
    std: tuple[float, ...] = ()
    notes: tuple[str, ...] = ()
    """What was guessed, and warnings such as duplicates, in words."""


@dataclass(frozen=True)
class FoldFacts:
    """One fold; number -1 is the hold-out."""

    fold: int
    items: int
    groups: int
    foreground: float | None = None
    """Share of valid pixels that are not background, 0..1; None where the task has no background."""
    score: float | None = None
    """Score of the final answer on this fold, if known."""


@dataclass(frozen=True)
class EpochRow:
    """One line of history.csv."""

    epoch: int
    step: int
    train_loss: float
    lr: float
    valid_loss: float | None = None
    metric: float | None = None
    """Validation score, 0..1."""


@dataclass(frozen=True)
class Curve:
    """The history of one member in one fold."""

    member: str
    fold: int
    rows: tuple[EpochRow, ...]


@dataclass(frozen=True)
class ClassScore:
    """Out-of-fold scores of one plane, 0..1; nan where the class occurs in neither truth nor answer."""

    name: str
    iou: float
    dice: float
    precision: float
    recall: float
    support: int
    """Pixels of the class in the truth."""


@dataclass(frozen=True)
class ThresholdCurve:
    """Score of one plane at each threshold, and the chosen one."""

    plane: str
    thresholds: tuple[float, ...]
    """Rising, 0..1."""
    scores: tuple[float, ...]
    chosen: float
    """The threshold that decides; equal to `fixed` where tuning was not kept."""
    fixed: float = 0.5


@dataclass(frozen=True)
class MemberFacts:
    """One member of the ensemble."""

    name: str
    architecture: str
    encoder: str
    score: float
    """Its own out-of-fold score, by the plain threshold or argmax."""
    weight: float
    """Share in the blend, 0..1."""


@dataclass(frozen=True)
class Choice:
    """Something that could be tuned, and what came of it."""

    what: str
    """E.g. `blend weights`, `thresholds`."""
    outcome: str
    """The value in force, e.g. `0.62 / 0.38`."""
    kept: bool
    """False: nested evidence did not support it, so the plain setting stayed."""
    honest_gain: float
    """Difference of the nested score against leaving it out."""
    optimistic_gain: float
    """The same difference on the pixels that chose it."""
    reason: str = ""
    low: float | None = None
    """The honest gain lies between low and high, as far as chance goes; None: unknown."""
    high: float | None = None
    folds_better: str = ""
    """E.g. `4 of 5`."""


@dataclass(frozen=True)
class DecisionFacts:
    """What decision.json says."""

    rule: str
    """fixed, global, per_class or argmax."""
    members: tuple[MemberFacts, ...]
    choices: tuple[Choice, ...] = ()
    thresholds: tuple[ThresholdCurve, ...] = ()
    """Empty for argmax."""


@dataclass(frozen=True)
class Case:
    """One item in pictures; see pictures.make_case. Without truth: an unlabelled item."""

    key: str
    score: float | None
    """Score of this item alone."""
    image: Rgb
    prediction: Rgb
    truth: Rgb | None = None
    error: Rgb | None = None
    note: str = ""


@dataclass(frozen=True)
class SuspectFacts:
    """Labels that disagree with models which never saw them, in pictures; see story/suspects.py."""

    items: tuple[Case, ...] = ()
    """Whole items, the most suspicious first; their score is the suspicion."""
    regions: tuple[Case, ...] = ()
    """What lies around single regions, which are outlined in the image."""
    ranked: int = 0
    """Items that were ranked."""
    loud: int = 0
    """Regions of which the models are quite sure."""


@dataclass(frozen=True)
class FileFact:
    """A file or folder beside the report."""

    path: str
    """Relative to the report, with `/`."""
    what: str


@dataclass(frozen=True)
class Provenance:
    """Where the run came from; every field may be empty."""

    date: str = ""
    version: str = ""
    machine: str = ""
    command: str = ""
    recipe: str = ""
    """The resolved recipe, YAML text."""
    recipe_hash: str = ""
    files: tuple[FileFact, ...] = ()


@dataclass(frozen=True)
class ReportFacts:
    """Everything on the page. Equal facts give an equal file."""

    title: str
    task: Task
    headline: Headline
    data: DataFacts
    folds: tuple[FoldFacts, ...]
    curves: tuple[Curve, ...]
    classes: tuple[ClassScore, ...]
    decision: DecisionFacts
    worst: tuple[Case, ...] = ()
    best: tuple[Case, ...] = ()
    unsure: tuple[Case, ...] = ()
    """Items of which the blend was least sure."""
    previews: tuple[Case, ...] = ()
    """Predictions of unlabelled items, if wanted."""
    item_scores: tuple[float, ...] = ()
    """Out-of-fold score of each item, for the histogram; nan is left out."""
    confusion: NDArray[np.int64] | None = None
    """Multiclass: pixels (C, C), rows are truth."""
    warnings: tuple[str, ...] = ()
    """Things a reader must know before trusting the numbers, e.g. --quick."""
    made: Provenance = field(default_factory=Provenance)
    insight: InsightFacts = field(default_factory=InsightFacts)
    items: tuple[ItemFacts, ...] = ()
    """For the table of items, any order."""
    spent: SpentFacts = field(default_factory=SpentFacts)
    ground: GroundFacts = field(default_factory=GroundFacts)
    suspects: SuspectFacts = field(default_factory=SuspectFacts)
    audit: AuditFacts | None = None
    """audit.json, if there is one."""
    selftrain: SelfTrainFacts = field(default_factory=SelfTrainFacts)
