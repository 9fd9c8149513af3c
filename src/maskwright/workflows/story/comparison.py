"""Two or more finished runs, read from their folders alone and joined by key, for one page that compares them."""

from __future__ import annotations

import datetime
import json
import math
import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from maskwright.core.errors import InputError
from maskwright.core.files import read_json
from maskwright.core.progress import Reporter
from maskwright.core.recipe.blocks import Recipe
from maskwright.core.recipe.load import load_recipe, to_plain
from maskwright.core.runs import RunFolder
from maskwright.core.version import __version__
from maskwright.data.folds.folds import read_folds
from maskwright.ensembling.blend import Decision, read_decision
from maskwright.ensembling.chance import gap
from maskwright.ensembling.diagnosis import Diagnosis, Unsure, read_diagnosis
from maskwright.ensembling.items import ItemRow, read_items
from maskwright.output.report import compare_facts as told
from maskwright.output.report.compare_page import build_comparison
from maskwright.scoring.measures import Measure
from maskwright.workflows.story.decision import finite
from maskwright.workflows.story.spent import history, spent

UNPAIRABLE = ("accuracy",)
"""Metrics that true negatives are needed for, which are not kept; runs decided by them are compared by IoU."""
LEFT_OUT = ("name", "data.root")
"""Keys of recipes that say nothing of how a run was made."""


@dataclass(frozen=True)
class _Run:
    """One run as it lies on disk."""

    name: str
    run: RunFolder
    recipe: Recipe
    decision: Decision
    diagnosis: Diagnosis
    rows: dict[str, ItemRow]
    """Out-of-fold items by key."""
    folds: dict[str, tuple[int, str]]
    """Key -> fold, group."""
    files: str | None
    """Digest of the labelled files; None: unknown."""


def compare_runs(folders: Sequence[Path], out: Path, reporter: Reporter) -> Path:
    """Write one page for two or more finished runs; the first is what the others are held against.

    Args:
        folders: run folders; no data is needed.
        out: the file.
        reporter: gets a line when it is written.

    Raises:
        InputError: fewer than two runs, one given twice, one that is not decided yet, or runs of other classes.
    """
    if len(folders) < 2:
        raise InputError(
            f"{len(folders)} run to compare", where="--compare", fix="give the folders of two or more finished runs"
        )
    found: list[_Run] = []
    for folder in folders:
        if any(folder.resolve() == other.run.root.resolve() for other in found):
            raise InputError("given twice", where=folder, fix="name each run once")
        found.append(_open(folder, [other.name for other in found]))
    first = found[0]
    for other in found[1:]:
        ours, theirs = first.recipe.task, other.recipe.task
        if (ours.kind, ours.classes) != (theirs.kind, theirs.classes):
            raise InputError(
                f"predicts {theirs.kind} {list(theirs.classes)}, {first.name} {ours.kind} {list(ours.classes)}",
                where=other.run.root,
                fix="compare runs of one task",
            )
    measure = Measure() if first.decision.metric in UNPAIRABLE else first.decision.measure
    page = told.CompareFacts(
        metric=measure.name,
        classes=first.recipe.task.plane_names,
        runs=tuple(_facts(each, measure, out) for each in found),
        pairs=tuple(_pair(first, other, measure) for other in found[1:]),
        settings=_settings([to_plain(each.recipe) for each in found]),
        version=__version__,
        date=datetime.datetime.now(datetime.UTC).date().isoformat(),
    )
    build_comparison(page, out)
    reporter.say(f"comparison: {out}")
    return out


def _open(folder: Path, taken: Sequence[str]) -> _Run:
    run = RunFolder(folder)
    for path, verb in ((run.recipe, "run"), (run.decision, "decide"), (run.items, "decide"), (run.folds, "split")):
        if not path.is_file():
            raise InputError(
                f"no finished run, {path.name} is not there",
                where=folder,
                fix=f"run maskwright {verb}, or check the path",
            )
    recipe = load_recipe(run.recipe)
    rows = {row.key: row for row in read_items(run.items, recipe.task) if row.split == "oof"}
    folds = {row.key: (row.fold, row.group) for row in read_folds(run.folds)}
    inputs = run.inputs("inspect/train") or {}
    looked = read_diagnosis(run.diagnosis) if run.diagnosis.exists() else Diagnosis()
    name = next(name for name in _names(recipe.name, folder) if name not in taken)
    return _Run(name, run, recipe, read_decision(run.decision), looked, rows, folds, inputs.get("files"))


def _names(recipe: str, folder: Path) -> list[str]:
    """Return names for a run, the plainest first."""
    base = folder.resolve().name
    return [recipe, base, f"{recipe} ({base})", *(f"{recipe} ({number})" for number in range(2, 1000))]


def _facts(each: _Run, measure: Measure, out: Path) -> told.RunFacts:
    evidence, same = each.decision.evidence, each.decision.measure == measure
    count = each.recipe.folds.count
    members = tuple(each.recipe.members)
    cost = spent(each.run, members, count)
    found = each.diagnosis.honest if same else None
    report = os.path.relpath(each.run.report, out.resolve().parent) if each.run.report.exists() else ""
    return told.RunFacts(
        name=each.name,
        link=Path(report).as_posix() if report else "",
        honest=finite(evidence.honest) if same else _mean_of_classes(each.decision, measure),
        low=None if found is None else found.low,
        high=None if found is None else found.high,
        optimistic=finite(evidence.optimistic) if same else math.nan,
        own_metric=each.decision.measure.name,
        held_out=_held_out(each, same),
        items=evidence.items,
        folds=count,
        members=members,
        kept=tuple(choice.what for choice in evidence.choices if choice.kept),
        classes=tuple(told.ClassPair(finite(row.iou), finite(row.dice)) for row in evidence.classes),
        curves=tuple(
            history(each.run, member, fold)
            for member in members
            for fold in range(count)
            if (each.run.fold(member, fold) / "history.csv").exists()
        ),
        seconds=max(sum(row.seconds for row in cost.stages), sum(row.seconds for row in cost.folds)),
        peak_mb=max([0, *(row.peak_mb for row in cost.stages), *(row.peak_mb or 0 for row in cost.folds)]),
    )


def _mean_of_classes(decision: Decision, measure: Measure) -> float:
    """Return the honest score by another measure than the one decided by, if the classes' own scores suffice."""
    if measure != Measure(measure.metric):
        return math.nan
    values = [getattr(row, measure.metric, None) for row in decision.evidence.classes]
    known = [value for value in values if value is not None]
    return sum(known) / len(known) if known else math.nan


def _held_out(each: _Run, same: bool) -> float:
    if not same or not each.run.held_out.exists():
        return math.nan
    sets: Any = read_json(each.run.held_out)
    return finite(sets[0].get("decided")) if isinstance(sets, list) and sets else math.nan


def _pair(first: _Run, other: _Run, measure: Measure) -> told.PairedFacts:
    shared = sorted(first.rows.keys() & other.rows.keys())
    honest = _nested(first, other, shared)
    before, after = (
        np.stack([_counts(run.diagnosis.items[key] if honest else run.rows[key]) for key in shared]) if shared else None
        for run in (first, other)
    )
    moved, found, gain = [], None, math.nan
    if before is not None and after is not None:
        groups = [first.folds[key][1] if key in first.folds else key for key in shared]
        found = gap(before, after, groups, measure)
        gain = measure.score(measure.lift(after).sum(0)) - measure.score(measure.lift(before).sum(0))
        sides = (measure.mean(measure.lift(side)).tolist() for side in (before, after))
        for key, one, two in zip(shared, *sides, strict=True):
            if not (math.isnan(one) or math.isnan(two)):
                moved.append(told.Moved(key, one, two))
    return told.PairedFacts(
        name=other.name,
        shared=len(shared),
        only_first=len(first.rows) - len(shared),
        only_this=len(other.rows) - len(shared),
        gain=gain,
        low=None if found is None else found.low,
        high=None if found is None else found.high,
        better=sum(row.after > row.before for row in moved),
        worse=sum(row.after < row.before for row in moved),
        moved=tuple(moved),
        remarks=tuple(_remarks(first, other, shared, measure)),
    )


def _nested(first: _Run, other: _Run, shared: Sequence[str]) -> bool:
    """Say whether both runs know what each shared item scores under what the other folds chose."""
    return all(key in run.diagnosis.items and run.diagnosis.items[key].tp for run in (first, other) for key in shared)


def _counts(row: ItemRow | Unsure) -> np.ndarray:
    """Return tp, fp, fn of each plane and no tn, int64 (4, K): only UNPAIRABLE look at it."""
    return np.array([row.tp, row.fp, row.fn, [0] * len(row.tp)], np.int64)


def _remarks(first: _Run, other: _Run, shared: Sequence[str], measure: Measure) -> list[str]:
    """Say what makes two runs less comparable."""
    found = []
    if not first.rows or not other.rows:
        bare = first.name if not first.rows else other.name
        found.append(f"{bare} has no out-of-fold items, so there is no honest score of it")
    alone = (len(first.rows) - len(shared), len(other.rows) - len(shared))
    if any(alone):
        found.append(f"{len(shared)} items are shared, {alone[0]} are only in {first.name}, {alone[1]} only here")
    changed = sum(
        any(a + b != c + d for a, b, c, d in zip(one.tp, one.fn, two.tp, two.fn, strict=True))
        for one, two in ((first.rows[key], other.rows[key]) for key in shared)
    )
    if changed:
        found.append(f"the labels of {changed} shared items are not the same, so part of a difference may be theirs")
    elif first.files and other.files and first.files != other.files:
        found.append("the labelled files are not the same as the first run's")
    folds = sum(first.folds.get(key, (0,))[0] != other.folds.get(key, (0,))[0] for key in shared)
    if folds:
        found.append(
            f"{folds} of {len(shared)} shared items are in another fold, so models saw other neighbours of them"
        )
    if shared and not _nested(first, other, shared):
        found.append(
            "one of the two was decided by an older version, so items are scored by final settings that they had a say "
            "in, which flatters what was tuned"
        )
    own = {run.name: run.decision.measure.name for run in (first, other) if run.decision.measure != measure}
    found += [f"{name} was decided by {theirs}; it is shown by {measure.name} here" for name, theirs in own.items()]
    return found


def _settings(plains: Sequence[Mapping[str, Any]]) -> tuple[told.Setting, ...]:
    """Return the keys that are not the same in all recipes, with the value of each."""
    flat = [_flat(plain) for plain in plains]
    keys = dict.fromkeys(key for one in flat for key in one)
    return tuple(
        told.Setting(key, values)
        for key in keys
        if key not in LEFT_OUT and len(set(values := tuple(one.get(key, "") for one in flat))) > 1
    )


def _flat(plain: Any, prefix: str = "") -> dict[str, str]:
    if isinstance(plain, Mapping) and plain:
        found: dict[str, str] = {}
        for key, value in plain.items():
            found |= _flat(value, f"{prefix}.{key}" if prefix else str(key))
        return found
    return {prefix: plain if isinstance(plain, str) else json.dumps(plain, default=str)}
