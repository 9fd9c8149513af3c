"""Scores item by item under a decision, and scores of labelled items that were held out of everything."""

from __future__ import annotations

import csv
import io
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from maskwright.core.errors import InputError, from_os_error
from maskwright.core.files import write_text
from maskwright.core.labels import Task
from maskwright.core.progress import Reporter
from maskwright.core.recipe.base import Block
from maskwright.core.stop import Stop
from maskwright.ensembling.blend import Decision
from maskwright.ensembling.evidence import ClassScore, Score, plain_score
from maskwright.ensembling.oof import Entry, Item, OutOfFold, StoredItems
from maskwright.ensembling.record import class_scores
from maskwright.ensembling.select import alone
from maskwright.ensembling.settle import Setting, count_setting
from maskwright.scoring.counts import Counts
from maskwright.scoring.measures import Measure, Sums

COUNTED = ("tp", "fp", "fn")


@dataclass(frozen=True)
class ItemRow:
    """One item under the final decision."""

    key: str
    fold: int
    """-1 for items that were in no fold."""
    split: str
    """oof, holdout or test."""
    score: Score
    """The decision's metric of this item alone, mean over its classes; None if it has none."""
    tp: tuple[int, ...]
    """One for each plane, as fp and fn."""
    fp: tuple[int, ...]
    fn: tuple[int, ...]


class AloneScore(Block):
    """One member alone on held-out items."""

    name: str
    fixed: Score
    """At the recipe's fixed threshold, or by argmax."""
    tuned: Score
    """With its own thresholds, chosen on out-of-fold items."""


class SetScore(Block):
    """A decision on labelled items that no choice and no training saw."""

    split: str
    metric: str
    items: int
    pixels: int
    """Valid pixels."""
    decided: Score
    """Of the final answer: mean over classes, pixels pooled."""
    members: tuple[AloneScore, ...]
    classes: tuple[ClassScore, ...]
    """Each plane under the final answer."""


def score_items(
    oof: OutOfFold, decision: Decision, task: Task, reporter: Reporter, stop: Stop | None = None
) -> list[ItemRow]:
    """Score every out-of-fold item under the final decision.

    The probabilities are honest; weights and thresholds are the final ones, so that rows agree with
    the pictures of the report. The honest total is decision.evidence.honest.

    Args:
        oof: items; members as in the decision.
        decision: what to apply.
        task: what is predicted.
        reporter: gets a progress bar.
        stop: looked at between items.

    Returns:
        one row for each item, sorted by key.

    Raises:
        InputError: the items are of other members, or a file is damaged.
        Interrupted: a signal asked to stop.
    """
    if oof.members != tuple(decision.shares):
        raise InputError(
            f"the decision is for members {list(decision.shares)}, the stores are of {list(oof.members)}",
            where="decision.json",
            fix="run maskwright decide",
        )
    setting = final_setting(decision)

    def work(item: Item) -> NDArray[np.int64]:
        return count_setting(item, setting, task)

    counted = [found for _, found in oof.each(work, reporter, "score oof", stop)]
    return rows_of(oof, decision, np.stack(counted))


def rows_of(oof: OutOfFold, decision: Decision, counts: NDArray[np.int64]) -> list[ItemRow]:
    """Return a row for each out-of-fold item from its counts under the final decision, int64 (items, 4, K)."""
    return [_row(entry, oof.split, own, decision.measure) for entry, own in zip(oof.entries, counts, strict=True)]


def score_set(
    items: StoredItems, decision: Decision, reporter: Reporter, stop: Stop | None = None
) -> tuple[SetScore, list[ItemRow]]:
    """Score labelled items that were held out of all folds: the decision, and each member alone.

    Args:
        items: those, with every member of the decision in its order.
        decision: what to apply.
        reporter: gets a progress bar.
        stop: looked at between items.

    Returns:
        scores pooled over the items' pixels; one row for each item, sorted by key.

    Raises:
        InputError: an item is damaged.
        Interrupted: a signal asked to stop.
    """
    names, task, split = tuple(decision.shares), items.task, items.split
    assert items.members == names, (items.members, names)
    own = {member.name: member.edges for member in decision.evidence.members}
    fixed = () if decision.rule == "argmax" else (decision.fixed_edge,) * task.planes
    settings = [final_setting(decision)]
    for index, name in enumerate(names):
        single = alone(len(names), index)
        settings += [Setting(single, fixed), Setting(single, own.get(name, fixed))]

    def work(item: Item) -> NDArray[np.int64]:
        return np.stack([count_setting(item, setting, task) for setting in settings])

    measure = decision.measure
    total = np.zeros((len(settings), 4, task.planes), np.int64)
    sums: Sums = np.zeros_like(measure.lift(total))
    rows = []
    for entry, counted in items.each(work, reporter, f"score {split}", stop):
        total += counted
        sums += measure.lift(counted)
        rows.append(_row(entry, split, counted[0], measure))
    values = [plain_score(measure.score(each)) for each in sums]
    return _set_score(values, Counts(*total[0]), names, items, measure), rows


def _set_score(
    values: Sequence[Score], decided: Counts, names: Sequence[str], items: StoredItems, measure: Measure
) -> SetScore:
    """Put scores into words: first the decision's, then two of each member, fixed and tuned."""
    return SetScore(
        split=items.split,
        metric=measure.name,
        items=len(items.entries),
        pixels=int(decided.pixels[0]),
        decided=values[0],
        members=tuple(
            AloneScore(name=name, fixed=values[1 + 2 * index], tuned=values[2 + 2 * index])
            for index, name in enumerate(names)
        ),
        classes=class_scores(decided, items.task),
    )


def final_setting(decision: Decision) -> Setting:
    """Return the decision as a setting, members in its own order."""
    steps = tuple(decision.temperature_steps.get(name, 0) for name in decision.shares)
    return Setting(
        shares=tuple(decision.shares.values()),
        edges=decision.edges,
        temperatures=steps if any(steps) else (),
        factors=decision.factors,
        priority=decision.priority,
        cleaning=decision.cleaning,
        crf=decision.crf,
    )


def write_items(path: Path, rows: Sequence[ItemRow], task: Task) -> None:
    """Write items.csv: key, fold, split, score (empty if there is none), and tp, fp, fn of each plane.

    Raises:
        StorageError: disk full or no permission.
    """
    stream = io.StringIO()
    writer = csv.writer(stream, lineterminator="\n")
    writer.writerow(_header(task))
    for row in rows:
        numbers = [value for triple in zip(row.tp, row.fp, row.fn, strict=True) for value in triple]
        writer.writerow([row.key, row.fold, row.split, "" if row.score is None else f"{row.score:.6f}", *numbers])
    write_text(path, stream.getvalue())


def read_items(path: Path, task: Task) -> list[ItemRow]:
    """Read items.csv.

    Raises:
        InputError: absent, or not what write_items wrote.
    """
    try:
        with path.open(encoding="utf-8", newline="") as stream:
            lines = list(csv.reader(stream))
    except OSError as error:
        raise from_os_error(error, path) from error
    if not lines or lines[0] != _header(task):
        raise InputError("its columns do not fit the task", where=path, fix="run maskwright decide")
    rows = []
    for number, line in enumerate(lines[1:], 2):
        try:
            key, fold, split, value, *rest = line
            if len(rest) != len(COUNTED) * task.planes:
                raise ValueError("columns are missing")
            tp, fp, fn = (tuple(int(text) for text in rest[start :: len(COUNTED)]) for start in range(len(COUNTED)))
            rows.append(ItemRow(key, int(fold), split, float(value) if value else None, tp, fp, fn))
        except ValueError:
            raise InputError("damaged row", where=f"{path}:{number}", fix="run maskwright decide") from None
    return rows


def _header(task: Task) -> list[str]:
    return ["key", "fold", "split", "score", *(f"{field}:{name}" for name in task.plane_names for field in COUNTED)]


def _row(entry: Entry, split: str, counts: NDArray[np.int64], measure: Measure) -> ItemRow:
    tp, fp, fn = (tuple(int(number) for number in counts[index]) for index in range(3))
    return ItemRow(entry.key, entry.fold, split, plain_score(measure.item(counts)), tp, fp, fn)
