"""What a student run learns from: label files of its teachers with their records, and how they enter a training.

    lessons.json            round, teacher, where the images are, how labels are read, digest of each fold's labels
    labels/fold<k>/         one file for each image: probabilities, 8 bits, the mean of the teachers of fold k
    labels/fold<k>.csv      key, digest of the image, mean confidence, whether it is taken, digest of the label file

The header of each label file names teacher, round, fold, members with their shares and the digests of their weights,
recipe, image and confidence (inference/store.py).
"""

from __future__ import annotations

import csv
import io
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
from numpy.typing import NDArray
from pydantic import Field, ValidationError

from maskwright.core.errors import InputError, from_os_error
from maskwright.core.files import read_json, write_json, write_text
from maskwright.core.grid import Shape
from maskwright.core.labels import Task
from maskwright.core.recipe.base import Block
from maskwright.core.recipe.load import digest
from maskwright.core.recipe.members import Member, Train
from maskwright.core.recipe.selftrain import SelfTrain, in_round
from maskwright.core.recipe.sources import Source as SourceUnion
from maskwright.core.runs import RunFolder
from maskwright.data.sources.base import Label, Limited, Valid
from maskwright.data.sources.merge import drawn_weight
from maskwright.data.sources.open import open_source
from maskwright.inference.store import Store

if TYPE_CHECKING:
    from maskwright.training.beside import Beside

LESSONS = "lessons.json"
ONE = 255
"""Probability 1 in a label file."""
COLUMNS = ("key", "image", "confidence", "taken", "label")
AGAIN = "run maskwright selftrain again"


class FoldLabels(Block):
    """The labels of one fold's students."""

    labels: str
    """Digest of the records of all label files."""
    taken: int
    """Images that are learnt from."""
    edges: tuple[int, ...] = ()
    """For each class the least confidence, of 255, that counts; empty: all counts."""


class Lessons(Block):
    """What a student run is told."""

    round: int
    teacher: str
    """The teachers' run folder, relative to this one."""
    root: str
    """Folder of the images, relative to data.root."""
    source: SourceUnion
    """Images, below it."""
    settings: SelfTrain
    """How labels enter a training in this round; without rounds and source."""
    folds: dict[int, FoldLabels]
    shut: dict[str, tuple[int, ...]] = Field(default_factory=dict)
    """Image that shows what a labelled item shows -> folds that are scored on that, and do not learn from it."""

    @property
    def digest(self) -> str:
        """16 hex digits over all that students depend on; not where images lie, which their digests stand for."""
        return digest(self.model_dump(mode="json", exclude={"root", "source", "teacher"}))


class Row(NamedTuple):
    """The record of one label file beside what its header says."""

    key: str
    image: str
    """Digest of the decoded pixels."""
    confidence: float
    """Mean probability of the likeliest answer."""
    taken: bool
    label: str
    """Digest of the file."""


@dataclass(frozen=True)
class Taught(Limited):
    """Images with the labels that teachers gave them; a Source.

    Args:
        whole: images; their own labels are not looked at.
        keys: those that are learnt from.
        store: the teachers' probabilities.
        settings: how they are read.
        edges: see FoldLabels.
    """

    store: Store
    settings: SelfTrain
    edges: tuple[int, ...] = ()

    @property
    def labelled(self) -> bool:
        """Whether items have labels: all have."""
        return True

    @property
    def soft(self) -> bool:
        """Whether labels are probabilities."""
        return self.settings.labels == "soft"

    def label_path(self, key: str) -> Path | None:
        """Return the label file of an item."""
        return self.store.path(key)

    def label_paths(self, key: str) -> tuple[Path, ...]:
        """Return the label file of an item."""
        return (self.store.path(key),)

    def scored(self, key: str) -> bool:
        """Whether an item may be held out and scored: none may."""
        del key
        return False

    def palette(self, key: str) -> bytes | None:
        """Return no palette."""
        del key
        return None

    def read_soft(self, key: str, shape: Shape, task: Task) -> tuple[Label, Valid]:
        """Read the teachers' probabilities of an item; see Source."""
        planes, valid = self._read(key, shape)
        if self.edges:
            valid = valid & sure(planes, task, self.edges)
        return np.where(valid, planes, np.uint8(0)), valid

    def read_label(self, key: str, shape: Shape, task: Task) -> tuple[Label, Valid]:
        """Read what the teachers were sure of as a plain label; see Source."""
        planes, valid = self._read(key, shape)
        label, known = harden(planes, task, self.settings.band)
        valid = valid & known
        if self.edges:
            valid = valid & sure(planes, task, self.edges)
        return np.where(valid, label, np.uint8(0)), valid

    def _read(self, key: str, shape: Shape) -> tuple[NDArray[np.uint8], Valid]:
        stored, valid, scale = self.store.read_item(key)
        if scale != ONE or stored.shape[1:] != tuple(shape):
            raise InputError(
                f"a label of {stored.shape[1]} x {stored.shape[2]} pixels, the image has {shape[0]} x {shape[1]}",
                where=self.store.path(key),
                fix=AGAIN,
            )
        return stored.astype(np.uint8), valid


def harden(
    planes: NDArray[np.uint8], task: Task, band: tuple[float, float]
) -> tuple[NDArray[np.uint8], NDArray[np.bool_]]:
    """Return plain labels, and where they are sure enough.

    Args:
        planes: uint8 (K, H, W), 255 being probability 1.
        task: what is predicted.
        band: see SelfTrain.

    Returns:
        uint8 (H, W), or (K, H, W) for multilabel; bool (H, W).
    """
    low, high = (edge * ONE for edge in band)
    if task.kind == "multiclass":
        return planes.argmax(0).astype(np.uint8), planes.max(0) > high
    there = planes > high
    known = np.logical_and.reduce(there | (planes < low), axis=0)
    label = there.view(np.uint8)
    return (label if task.kind == "multilabel" else label[0]), known


def likeliest(planes: NDArray[np.uint8], task: Task) -> tuple[NDArray[np.uint8], NDArray[np.uint8]]:
    """Return the likeliest class of each pixel and its probability of 255, each uint8 (H, W); not for multilabel."""
    if task.kind == "multiclass":
        return planes.argmax(0).astype(np.uint8), planes.max(0)
    inside = planes[0] > ONE // 2
    return inside.view(np.uint8), np.where(inside, planes[0], ONE - planes[0]).astype(np.uint8)


def sure(planes: NDArray[np.uint8], task: Task, edges: Sequence[int]) -> NDArray[np.bool_]:
    """Return where the likeliest class is as probable as its edge says, bool (H, W)."""
    kind, probability = likeliest(planes, task)
    enough: NDArray[np.bool_] = probability >= np.array(edges, np.uint8)[kind]
    return enough


def confidence(planes: NDArray[np.uint8], valid: NDArray[np.bool_], task: Task) -> float:
    """Return the mean probability of the likeliest answer over valid pixels, of a multilabel task over planes too."""
    if not valid.any():
        return 0.0
    found = planes.max(0)[None] if task.kind == "multiclass" else np.maximum(planes, ONE - planes)
    return round(float(found[:, valid].mean()) / ONE, 6)


def lessons_of(run: RunFolder) -> Lessons | None:
    """Read what a run is told by teachers; None: it is no student.

    Raises:
        InputError: damaged, or of another version.
    """
    path = run.root / LESSONS
    if not path.exists():
        return None
    try:
        return Lessons.model_validate(read_json(path))
    except ValidationError as error:
        raise InputError("not lessons of this version", where=path, fix=AGAIN) from error


def write_lessons(run: RunFolder, lessons: Lessons) -> None:
    """Write what a run is told, unless it is there already."""
    if lessons_of(run) != lessons:
        write_json(run.root / LESSONS, lessons.model_dump(mode="json"))


def labels_of(run: RunFolder, fold: int) -> Store:
    """Return the label files of a fold's students."""
    return Store(run.root / "labels" / f"fold{fold}")


def table_of(run: RunFolder, fold: int) -> Path:
    """Return the table of a fold's label files."""
    return run.root / "labels" / f"fold{fold}.csv"


def write_rows(path: Path, rows: Sequence[Row]) -> None:
    """Write the table of label files."""
    stream = io.StringIO()
    writer = csv.writer(stream, lineterminator="\n")
    writer.writerow(COLUMNS)
    writer.writerows((row.key, row.image, f"{row.confidence:.6f}", int(row.taken), row.label) for row in rows)
    write_text(path, stream.getvalue())


def read_rows(path: Path) -> list[Row]:
    """Read what write_rows wrote.

    Raises:
        InputError: absent, or of another form.
    """
    try:
        with path.open(encoding="utf-8", newline="") as handle:
            cells = list(csv.reader(handle))
        if not cells or tuple(cells[0]) != COLUMNS:
            raise InputError(f"the header is not {','.join(COLUMNS)}", where=path, fix=AGAIN)
        return [Row(key, image, float(sure), taken == "1", label) for key, image, sure, taken, label in cells[1:]]
    except OSError as error:
        raise from_os_error(error, path) from error
    except (ValueError, csv.Error) as error:
        raise InputError(f"not readable ({error})", where=path, fix=AGAIN) from None


def lesson_inputs(run: RunFolder) -> dict[str, Any]:
    """Return what a student's folds depend on beside the recipe; nothing for a run that is no student."""
    lessons = lessons_of(run)
    return {} if lessons is None else {"lessons": lessons.digest}


def parts_of(run: RunFolder) -> dict[str, float]:
    """Return name of a part of a merge -> weight that its items are drawn by in a student run; nothing for others."""
    lessons = lessons_of(run)
    if lessons is None:
        return {}
    return {name: in_round(given, lessons.round) for name, given in lessons.settings.parts.items()}


def beside_of(run: RunFolder, fold: int, member: Member, task: Task, data_root: Path) -> Beside | None:
    """Return what a fold's student learns from beside the labelled items; None for a run that is no student.

    Args:
        run: the run folder.
        fold: from 0.
        member: who learns.
        task: names the classes.
        data_root: data.root.

    Raises:
        InputError: labels are absent or damaged, or images cannot be found.
    """
    from maskwright.training.beside import Beside

    lessons = lessons_of(run)
    if lessons is None:
        return None
    told, settings = lessons.folds[fold], lessons.settings
    keys = tuple(row.key for row in read_rows(table_of(run, fold)) if row.taken)
    images = open_source(lessons.source, data_root / lessons.root, task)
    weights = tuple(drawn_weight(images, key, parts_of(run)) for key in keys)
    batch, count, displaced = batch_of(settings, member.train)
    share = 0.0 if not displaced else displaced / member.train.batch_size
    return Beside(
        source=Taught(images, keys, labels_of(run, fold), settings, told.edges),
        keys=keys,
        augment=settings.noise.augment,
        loss=settings.loss_of(member.loss),
        batch=batch,
        every=settings.mix.every or 1,
        count=count,
        weight=in_round(settings.weight, lessons.round) * (share or 1.0),
        main_weight=1.0 - share,
        displaced=displaced,
        weights=weights if len(set(weights)) > 1 else None,
        content=lessons.digest,
    )


def batch_of(settings: SelfTrain, train: Train) -> tuple[int, int, int]:
    """Return samples of a batch with teachers' labels, such batches in a step, samples they take from each batch.

    Raises:
        InputError: a share that leaves nothing of one of the two.
    """
    if settings.mix.share is None:
        return train.batch_size, 1, 0
    taken = max(1, round(settings.mix.share * train.batch_size))
    if taken >= train.batch_size:
        raise InputError(
            f"a share of {settings.mix.share:g} leaves no labelled sample in a batch of {train.batch_size}",
            where="selftrain.mix.share",
            fix="use mix: {every: 1}, or a larger train.batch_size",
        )
    return taken, train.accumulate, taken
