"""Scores item by item under a decision, and scores of labelled items that were held out of everything."""

from __future__ import annotations

import csv
import io
from collections.abc import Mapping, Sequence
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
from maskwright.ensembling.cleaning import count_cleaned
from maskwright.ensembling.evidence import ClassScore, Score, plain_score
from maskwright.ensembling.honest import Setting, count_settings
from maskwright.ensembling.oof import Entry, Item, OutOfFold, StoredItems, Truth
from maskwright.ensembling.record import class_scores
from maskwright.ensembling.select import alone
from maskwright.inference.store import Store
from maskwright.scoring.counts import Counts
from maskwright.scoring.scores import score

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
        return count_cleaned(item, setting, decision.cleaning, task)

    counted = oof.each(work, reporter, "score oof", stop)
    return [_row(entry, oof.split, counts, decision.metric) for entry, counts in counted]


def score_set(
    keys: Sequence[str],
    stores: Mapping[str, Store],
    truth: Truth,
    decision: Decision,
    task: Task,
    reporter: Reporter,
    split: str = "holdout",
    stop: Stop | None = None,
) -> tuple[SetScore, list[ItemRow]]:
    """Score labelled items that were held out of all folds: the decision, and each member alone.

    Args:
        keys: the items.
        stores: member -> its store of that split, for every member of the decision.
        truth: reads a label.
        decision: what to apply.
        task: what is predicted.
        reporter: gets a progress bar.
        split: holdout or test, as the stores must say.
        stop: looked at between items.

    Returns:
        scores pooled over the items' pixels; one row for each item, sorted by key.

    Raises:
        InputError: an item is missing or damaged, or of another split.
        Interrupted: a signal asked to stop.
    """
    names = tuple(decision.shares)
    items = StoredItems(
        {name: stores[name] for name in names}, [Entry(key, -1, key) for key in keys], truth, split, task
    )
    own = {member.name: member.edges for member in decision.evidence.members}
    fixed = () if decision.rule == "argmax" else (decision.fixed_edge,) * task.planes
    settings = [final_setting(decision)]
    for index, name in enumerate(names):
        single = alone(len(names), index)
        settings += [Setting(single, fixed), Setting(single, own.get(name, fixed))]

    def work(item: Item) -> NDArray[np.int64]:
        counted = count_settings(item, settings, task)
        return np.stack([count_cleaned(item, settings[0], decision.cleaning, task), *counted[1:]])

    total = np.zeros((len(settings), 4, task.planes), np.int64)
    rows = []
    for entry, counted in items.each(work, reporter, f"score {split}", stop):
        total += counted
        rows.append(_row(entry, split, counted[0], decision.metric))
    return _set_score(total, names, items, decision.metric), rows


def _set_score(total: NDArray[np.int64], names: Sequence[str], items: StoredItems, metric: str) -> SetScore:
    """Put pooled counts into words: first the decision's, then two of each member, fixed and tuned."""
    values = [plain_score(score(Counts(*counts), metric)) for counts in total]
    decided = Counts(*total[0])
    return SetScore(
        split=items.split,
        metric=metric,
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
    return Setting(tuple(decision.shares.values()), decision.edges)


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


def _row(entry: Entry, split: str, counts: NDArray[np.int64], metric: str) -> ItemRow:
    tp, fp, fn = (tuple(int(number) for number in counts[index]) for index in range(3))
    return ItemRow(entry.key, entry.fold, split, plain_score(score(Counts(*counts), metric)), tp, fp, fn)
