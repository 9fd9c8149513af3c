"""Teachers label images for students, fold by fold: no fold's student hears of a teacher that saw what it is scored on.

The teachers of fold k are the models that were trained without it. Their shares are those that the other folds chose
(decision.json, evidence.folds), not the final ones, in whose choice fold k had a say; temperatures, which all folds
choose together, are left out.
"""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from maskwright.core.errors import InputError
from maskwright.core.files import safe_name
from maskwright.core.labels import Task
from maskwright.core.recipe.load import differing, digest, recipe_hash
from maskwright.core.recipe.members import Member
from maskwright.core.recipe.selftrain import SelfTrain, in_round
from maskwright.core.runs import RunFolder
from maskwright.data.audit.digests import of_file
from maskwright.data.sources.merge import drawn_weight
from maskwright.ensembling.blend import Decision, blend, read_decision
from maskwright.inference.store import Store, quantise
from maskwright.workflows.inputs import train_inputs
from maskwright.workflows.lessons import (
    FoldLabels,
    Lessons,
    Row,
    confidence,
    labels_of,
    lessons_of,
    likeliest,
    read_rows,
    table_of,
    write_lessons,
    write_rows,
)
from maskwright.workflows.pool import Pool
from maskwright.workflows.session import Session

LEVELS = 256


def shares_for(decision: Decision, fold: int, count: int) -> dict[str, int]:
    """Return the members' shares that a fold had no part in choosing: member -> whole share, some above 0.

    Args:
        decision: of the teachers' run.
        fold: whose students are to learn.
        count: of folds; with a single one nobody else chose, so members count alike.
    """
    chosen = {row.fold: row.shares for row in decision.evidence.folds}
    if count == 1 or not decision.kept_weights or not any(chosen.get(fold, ())):
        return dict.fromkeys(decision.shares, 1)
    return dict(zip(decision.shares, chosen[fold], strict=True))


def teach(teacher: Session, student: RunFolder, pool: Pool, number: int, settings: SelfTrain) -> Lessons:
    """Label the pool for all folds of a round's students, or make what is missing; write lessons.json.

    Args:
        teacher: the run whose members teach; decided.
        student: the students' run folder.
        pool: images.
        number: of the round, from 1.
        settings: of the recipe.

    Raises:
        Interrupted: a stop was asked for; label files that are whole stay.
        InputError: too few images are sure enough.
    """
    decision = read_decision(teacher.run.decision)
    told: dict[int, FoldLabels] = {}
    for fold in range(teacher.recipe.folds.count):
        shares = shares_for(decision, fold, teacher.recipe.folds.count)
        rows = _label_fold(_Class(teacher, student, pool, number, fold, shares))
        rows = _take(rows, pool, settings.of_round(number), fold)
        keys = [row.key for row in rows if row.taken]
        write_rows(table_of(student, fold), rows)
        task, files = teacher.recipe.task, labels_of(student, fold)
        edges = () if settings.portion is None else edges_of(task, files, keys, settings.portion)
        told[fold] = FoldLabels(labels=digest([list(row) for row in rows]), taken=len(keys), edges=edges)
        _say(teacher, rows, fold, number)
    lessons = Lessons(
        round=number,
        teacher=Path(os.path.relpath(teacher.run.root, student.root)).as_posix(),
        root=pool.root,
        source=pool.block,
        settings=_settings_of(settings, number),
        folds=told,
        shut=dict(pool.shut),
    )
    write_lessons(student, lessons)
    return lessons


def refuse_other(teacher: Session, student: Session, pool: Pool, number: int, settings: SelfTrain) -> None:
    """Refuse, before a label file is touched, what the round's students were not trained on, unless redo was asked for.

    Args:
        teacher: as in `teach`.
        student: the round's students.
        pool: images.
        number: of the round, from 1.
        settings: of the recipe.

    Raises:
        InputError: the pool, the teachers or the settings are others than those of trained students.
    """
    known = lessons_of(student.run)
    if student.redo or known is None or not (student.run.root / "members").exists():
        return
    decision, count = read_decision(teacher.run.decision), teacher.recipe.folds.count
    asked = _settings_of(settings, number).model_dump(mode="json")
    changes = differing(known.settings.model_dump(mode="json"), asked, "selftrain")
    for fold in range(count):
        one = _Class(teacher, student.run, pool, number, fold, shares_for(decision, fold, count))
        changes += student.run.check(one.unit, one.inputs()).changes
    if changes:
        raise InputError(
            f"{'; '.join(dict.fromkeys(changes[:4]))}, but students were trained with the old",
            where=student.run.root,
            fix="choose another --out, or give --redo to train them again",
        )


def _settings_of(settings: SelfTrain, number: int) -> SelfTrain:
    """Return what lessons.json says of the settings."""
    return settings.of_round(number).model_copy(update={"rounds": 1, "unlabelled": None})


def _take(rows: Sequence[Row], pool: Pool, settings: SelfTrain, fold: int) -> list[Row]:
    """Mark the images that a fold's students learn from.

    Args:
        rows: all images.
        pool: knows which show what the fold is scored on.
        settings: of this round.
        fold: from 0.

    Raises:
        InputError: none are left.
    """
    given = {name: in_round(weight, 1) for name, weight in settings.parts.items()}
    open_to = {
        row.key
        for row in rows
        if fold not in pool.shut.get(row.key, ()) and drawn_weight(pool.source, row.key, given) > 0
    }
    if not open_to:
        raise InputError(
            f"no image is left for fold {fold}: all show what it is scored on, or are of parts with the weight 0",
            where="selftrain.unlabelled",
            fix="give more images",
        )
    taken = [row._replace(taken=row.key in open_to and row.confidence >= settings.least) for row in rows]
    if not any(row.taken for row in taken):
        most = max(row.confidence for row in rows if row.key in open_to)
        raise InputError(
            f"no image reaches a mean confidence of {settings.least:g} in fold {fold}; the surest has {most:.3f}",
            where="selftrain.least",
            fix="lower it",
        )
    return taken


def _say(teacher: Session, rows: Sequence[Row], fold: int, number: int) -> None:
    mean = sum(row.confidence for row in rows) / len(rows)
    taken = sum(row.taken for row in rows)
    teacher.reporter.say(
        f"round {number} fold {fold}: {taken} of {len(rows)} images are learnt from, mean confidence {mean:.3f}"
    )


def weight_digests(run: RunFolder, members: Mapping[str, Member], fold: int) -> dict[str, list[str]]:
    """Return member -> digests of the weights files that a fold's answers are made with."""
    from maskwright.training.keep import weight_files

    return {
        name: [of_file(path) for path in weight_files(run.fold(name, fold), member.predict.weights)]
        for name, member in members.items()
    }


@dataclass(frozen=True)
class _Class:
    """One fold's teachers and the students' run folder."""

    teacher: Session
    student: RunFolder
    pool: Pool
    number: int
    fold: int
    shares: Mapping[str, int]

    @property
    def members(self) -> dict[str, Member]:
        """Those that teach."""
        return {name: member for name, member in self.teacher.recipe.members.items() if self.shares[name]}

    @property
    def name(self) -> str:
        """For messages."""
        return f"label round {self.number} fold {self.fold}"

    @property
    def unit(self) -> str:
        """Its name in the manifest."""
        return f"labels/fold{self.fold}"

    @property
    def drafts(self) -> Path:
        """Folder of each teacher's own answers, which is there until they are blended."""
        return self.student.root / "labels" / f"drafts{self.fold}"

    def record(self) -> dict[str, Any]:
        """Return what every label file of the fold says of where it comes from."""
        weights = weight_digests(self.teacher.run, self.members, self.fold)
        return {
            "teacher": Path(os.path.relpath(self.teacher.run.root, self.student.root)).as_posix(),
            "round": self.number,
            "fold": self.fold,
            "members": {name: {"share": self.shares[name], "weights": weights[name]} for name in self.members},
            "recipe": recipe_hash(self.teacher.recipe),
        }

    def inputs(self) -> dict[str, Any]:
        """Return what the label files depend on; not the recipe, of which most has no part in them."""
        return {
            **{key: value for key, value in self.record().items() if key != "recipe"},
            "predict": {name: member.predict.model_dump(mode="json") for name, member in self.members.items()},
            "trained": {name: digest(train_inputs(self.teacher, name)) for name in self.members},
            "files": self.pool.files,
            "keys": digest(list(self.pool.keys)),
        }


def _label_fold(one: _Class) -> list[Row]:
    """Write the label files of one fold that are missing, and return the record of each."""
    unit, store, run = one.unit, labels_of(one.student, one.fold), one.student
    record, inputs = one.record(), one.inputs()
    state = run.check(unit, inputs)
    if state.done and table_of(run, one.fold).exists() and all(store.has(key) for key in one.pool.keys):
        one.teacher.reporter.say(f"{one.name}: nothing to do")
        return read_rows(table_of(run, one.fold))
    if state.changes:
        one.teacher.reporter.say(f"{one.name}: again, since {'; '.join(state.changes[:4])}")
    if state.changes or not state.known:
        run.forget(unit)
        run.clear(store.folder)
        run.clear(one.drafts)
    run.begin(unit, inputs)
    _blend(one, _predict(one), store, record)
    rows = [_row(store, key) for key in one.pool.keys]
    write_rows(table_of(run, one.fold), rows)
    run.finish(unit, inputs)
    run.clear(one.drafts)
    return rows


def _predict(one: _Class) -> dict[str, Store]:
    """Let each teacher answer all images, with the symmetries that its predictions are made with."""
    from maskwright.data.dataset import Preprocess
    from maskwright.inference.forward import Machine
    from maskwright.inference.predict import PredictJob, predict_items
    from maskwright.models.weights import load_model
    from maskwright.training.keep import weight_files

    stores, session = {}, one.teacher
    for name, member in one.members.items():
        files = weight_files(session.run.fold(name, one.fold), member.predict.weights)
        loaded = [load_model(path) for path in files]
        job = PredictJob(
            predict=member.predict,
            task=session.recipe.task,
            source=one.pool.source,
            keys=one.pool.keys,
            preprocess=Preprocess.from_plain(loaded[0][1]["preprocess"]),
            max_pixels=session.recipe.data.max_pixels,
            facts={"member": name, "split": f"unlabelled, fold {one.fold}"},
            machine=Machine(channels_last=member.train.channels_last),
        )
        stores[name] = Store(one.drafts / safe_name(name))
        predict_items([model for model, _ in loaded], job, stores[name], session.reporter, session.stop)
    return stores


def _blend(one: _Class, stores: Mapping[str, Store], store: Store, record: Mapping[str, Any]) -> None:
    """Write the mean of the teachers' answers, image by image, with its record."""
    decision = read_decision(one.teacher.run.decision)
    fair = decision.model_copy(update={"shares": dict(one.shares), "temperature_steps": {}})
    for key in one.pool.keys:
        if store.has(key):
            continue
        answers = {name: each.read(key) for name, each in stores.items()}
        planes = quantise(blend(answers, fair))
        valid = next(iter(stores.values())).valid(key)
        sure = confidence(planes.astype(np.uint8), valid, one.teacher.recipe.task)
        store.write_quantised(key, planes, valid, {**record, "image": one.pool.images[key], "confidence": sure})
        one.teacher.stop.check("label files that are whole stay")


def _row(store: Store, key: str) -> Row:
    facts = store.facts(key)
    return Row(key, facts["image"], facts["confidence"], True, of_file(store.path(key)))


def edges_of(task: Task, store: Store, keys: Sequence[str], portion: float) -> tuple[int, ...]:
    """Return for each class the least probability, of 255, that its surest `portion` of pixels has.

    Args:
        task: binary (where background counts as a class) or multiclass.
        store: label files.
        keys: those that are learnt from.
        portion: of the pixels given to a class, above 0.

    Source: class-balanced self-training, Zou et al. 2018, Unsupervised domain adaptation via class-balanced
    self-training, algorithm 2; here from all images together, by histogram.
    """
    counts = np.zeros((2 if task.kind == "binary" else task.planes, LEVELS), np.int64)
    for key in keys:
        stored, valid, _ = store.read_item(key)
        kind, probability = likeliest(stored.astype(np.uint8), task)
        places = kind[valid].astype(np.int64) * LEVELS + probability[valid]
        counts += np.bincount(places, minlength=counts.size).reshape(counts.shape)
    edges = []
    for row in counts:
        above = row[::-1].cumsum()[::-1]  # pixels at this level and over
        enough = np.flatnonzero(above >= portion * row.sum()) if row.sum() else np.array([0])
        edges.append(int(enough[-1]))
    return tuple(edges)
