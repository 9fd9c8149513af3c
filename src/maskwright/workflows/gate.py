"""Is a student better than its teacher: out-of-fold scores of both, item by item, and whether the gain is chance."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from maskwright.core.errors import InputError
from maskwright.data.folds.folds import proving_rows, read_folds
from maskwright.ensembling.blend import Decision, read_decision
from maskwright.ensembling.diagnosis import read_diagnosis
from maskwright.ensembling.honest import Gain, compare
from maskwright.ensembling.items import read_items
from maskwright.ensembling.oof import Entry
from maskwright.scoring.measures import Measure
from maskwright.workflows.session import Session

UNPAIRABLE = ("accuracy",)
"""Metrics that true negatives are needed for, which are not kept of each item; rounds are compared by IoU then."""


@dataclass(frozen=True)
class Witnesses:
    """Items of folds, in groups, as honest.compare asks for them."""

    entries: tuple[Entry, ...]

    @property
    def folds(self) -> tuple[int, ...]:
        """All folds."""
        return tuple(sorted({entry.fold for entry in self.entries}))

    @property
    def groups(self) -> tuple[str, ...]:
        """All groups."""
        return tuple(sorted({entry.group for entry in self.entries}))


def judge(teacher: Session, student: Session) -> Gain:
    """Compare the out-of-fold answers of two runs on the same items.

    Each item's counts are those under what the other folds chose, so neither run is flattered by its tuning.

    Args:
        teacher: decided.
        student: decided, with the same folds.

    Raises:
        InputError: the two have other items or folds.
    """
    rows = proving_rows(read_folds(student.run.folds), student.recipe.folds)
    entries = tuple(Entry(row.key, row.fold, row.group) for row in sorted(rows) if row.fold >= 0)
    before, after = (_counts(session, entries) for session in (teacher, student))
    return compare(before, after, Witnesses(entries), measure_of(read_decision(student.run.decision)))


def measure_of(decision: Decision) -> Measure:
    """Return what rounds are compared by."""
    return Measure() if decision.metric in UNPAIRABLE else decision.measure


def _counts(session: Session, entries: tuple[Entry, ...]) -> NDArray[np.int64]:
    """Return tp, fp, fn and no tn of each item under what the other folds chose, int64 (items, 4, K)."""
    told = read_diagnosis(session.run.diagnosis).items
    plain = {row.key: row for row in read_items(session.run.items, session.recipe.task) if row.split == "oof"}
    found = []
    for entry in entries:
        if entry.key not in plain:
            raise InputError(
                f"item '{entry.key}' has no out-of-fold answer", where=session.run.root, fix="run maskwright decide"
            )
        row: Any = told[entry.key] if entry.key in told and told[entry.key].tp else plain[entry.key]
        found.append([row.tp, row.fp, row.fn, [0] * len(row.tp)])
    return np.array(found, np.int64)
