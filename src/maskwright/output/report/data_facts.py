"""What the data pages show: audit.json checked and typed, and the pictures that go with it."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from maskwright.core.errors import InputError
from maskwright.core.labels import Task, TaskKind
from maskwright.output.report.facts import Provenance, Rgb

Severity = Literal["fault", "suspicion", "note"]
SEVERITIES: tuple[Severity, ...] = ("fault", "suspicion", "note")
Number = Annotated[int, Field(ge=0)]


class _Facts(BaseModel):
    """A part of audit.json; keys that a later version adds are passed over."""

    model_config = ConfigDict(frozen=True, extra="ignore")


class FindingFact(_Facts):
    """One fault, suspicion or note."""

    kind: str
    severity: Severity
    where: str = ""
    what: str
    fix: str = ""
    keys: tuple[str, ...] = ()
    facts: Mapping[str, Any] = Field(default_factory=dict)


class ClassFact(_Facts):
    """What a set holds of one class (binary: background first)."""

    name: str
    pixels: Number = 0
    images: Number = 0
    objects: Number = 0
    areas: tuple[Number, ...] = ()
    """Objects by size: bin b holds areas from 2**b pixels up to twice that."""


class SetFact(_Facts):
    """All that was learnt of one set."""

    items: Number = 0
    readable: Number | None = None
    labelled: Number = 0
    findings: tuple[FindingFact, ...] = ()
    bands: Number = 0
    dtype: str = ""
    divide: float = 1.0
    mean: tuple[float, ...] = ()
    std: tuple[float, ...] = ()
    sizes: tuple[tuple[Number, Number, Number], ...] = ()
    """Height, width, items."""
    classes: tuple[ClassFact, ...] = ()
    objects_per_image: tuple[Number, ...] = ()
    """Items with 0, 1, 2, ... objects; the last bin holds more too."""
    classes_per_image: tuple[Number, ...] = ()
    coverage: tuple[Number, ...] = ()
    """Items by share of foreground, in equal steps of 0..1."""
    cooccurrence: tuple[tuple[Number, ...], ...] = ()
    """Items that hold both classes; on the diagonal, items that hold the class."""
    positions: Mapping[str, tuple[tuple[float, ...], ...]] = Field(default_factory=dict)
    """Class -> share of valid pixels in each cell of a grid over the image."""
    overlap: tuple[tuple[float, ...], ...] = ()
    """Share of valid pixels that two classes or more hold, in each cell of a grid over the image; multilabel only."""
    overlap_pixels: tuple[tuple[Number, ...], ...] = ()
    """Pixels that both classes hold, of a sample of 64 x 64 of each item; on the diagonal, those of one."""
    mean_image: tuple[tuple[tuple[int, ...], ...], ...] = ()
    """Small RGB image, row by row."""
    similar: tuple[tuple[str, str, str, float], ...] = ()
    """Two keys, how they are alike, how much (0..1)."""


class DriverFact(_Facts):
    """One feature in which test images differ from training images."""

    name: str
    words: str = ""
    score: float = 0.5
    """Share of pairs that it alone orders, 0.5..1."""
    train: float = 0.0
    """Median over the training images."""
    test: float = 0.0


class ShiftFact(_Facts):
    """How well training and test images can be told apart."""

    score: float
    """Area under the ROC curve out of fold: 0.5 alike, 1 always told apart."""
    error: float = 0.0
    items: tuple[int, ...] = ()
    drivers: tuple[DriverFact, ...] = ()


class TaskFact(_Facts):
    """What is predicted."""

    kind: TaskKind
    classes: tuple[str, ...]
    colours: tuple[tuple[int, int, int], ...] | None = None

    @property
    def task(self) -> Task:
        """The same as the other pages know it."""
        return Task(kind=self.kind, classes=self.classes)

    @property
    def fills(self) -> tuple[str, ...]:
        """#rrggbb of each row of the statistics: background first for binary."""
        rows = [tuple(colour) for colour in self.colours or self.task.palette.tolist()]
        if self.kind == "binary":
            rows = [(0, 0, 0), rows[-1]]
        return tuple("#" + bytes(row).hex() for row in rows)


class AuditFacts(_Facts):
    """audit.json."""

    version: Literal[1]
    task: TaskFact
    sets: Mapping[str, SetFact]
    """train, and test if there is one."""
    shift: ShiftFact | None = None
    """How test images differ from training images."""
    words: Mapping[str, str] = Field(default_factory=dict)
    """Kind of finding -> what it is, in a few words."""

    @property
    def train(self) -> SetFact:
        """The labelled set."""
        return self.sets.get("train") or next(iter(self.sets.values()))

    @property
    def test(self) -> SetFact | None:
        """The set to predict."""
        return self.sets.get("test")

    def of(self, severity: Severity) -> Iterator[FindingFact]:
        """Give the findings of one severity, of all sets, in their order."""
        for one in self.sets.values():
            yield from (finding for finding in one.findings if finding.severity == severity)

    def count(self, severity: Severity) -> int:
        """Count the findings of one severity."""
        return sum(1 for _ in self.of(severity))


@dataclass(frozen=True)
class Look:
    """One item in two pictures."""

    key: str
    group: str
    """Why it is shown, a key of data_sections.GROUPS."""
    image: Rgb
    overlay: Rgb | None = None
    """None: unlabelled."""
    note: str = ""


@dataclass(frozen=True)
class Twins:
    """Two items that show the same."""

    keys: tuple[str, str]
    how: str
    likeness: float
    pictures: tuple[Rgb, Rgb]


@dataclass(frozen=True)
class Strip:
    """One item as it is and as a member will see it."""

    key: str
    original: Rgb
    versions: tuple[Rgb, ...]


@dataclass(frozen=True)
class Album:
    """What one member will see."""

    member: str
    augment: tuple[str, ...]
    """Its augmentations in a few words each."""
    crop: str
    strips: tuple[Strip, ...]


@dataclass(frozen=True)
class AuditPage:
    """Everything on audit.html. Equal facts give an equal file."""

    title: str
    audit: AuditFacts
    looks: tuple[Look, ...] = ()
    twins: tuple[Twins, ...] = ()
    albums: tuple[Album, ...] = ()
    made: Provenance = field(default_factory=Provenance)


def read_audit(plain: Any, words: Mapping[str, str] | None = None, where: str = "audit.json") -> AuditFacts:
    """Check the content of audit.json.

    Args:
        plain: what the file holds.
        words: kind of finding -> what it is, in a few words.
        where: the file, for messages.

    Raises:
        InputError: it is of another version, or was changed by hand.
    """
    try:
        return AuditFacts.model_validate(plain).model_copy(update={"words": dict(words or {})})
    except ValidationError as error:
        detail = error.errors(include_url=False)[0]
        key = ".".join(str(step) for step in detail["loc"])
        raise InputError(f"{key}: {detail['msg']}", where=where, fix="run maskwright inspect again") from None
