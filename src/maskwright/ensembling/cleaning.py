"""Choose the sizes that clean.py goes by, fold by fold from the other folds."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from maskwright.core.labels import Task
from maskwright.core.progress import Reporter
from maskwright.core.stop import Stop
from maskwright.ensembling.clean import Cleaning, best, lifted, measure
from maskwright.ensembling.honest import Plan
from maskwright.ensembling.oof import Item, OutOfFold
from maskwright.ensembling.settle import Setting, prepared, settle
from maskwright.scoring.counts import count
from maskwright.scoring.measures import Measure

Pair = tuple[NDArray[Any], NDArray[Any]]
"""What an item adds to each size, and without cleaning."""


def tidy(oof: OutOfFold, plan: Plan, score: Measure, reporter: Reporter, stop: Stop | None = None) -> Plan | None:
    """Give the settings of a plan sizes to clean by; None if none helps.

    Args:
        oof: items.
        plan: what is answered so far.
        score: what is made as large as possible.
        reporter: gets a progress bar.
        stop: looked at between items and planes.
    """
    settings = tuple(dict.fromkeys([*plan.nested.values(), plan.final]))
    wanted = {setting: {fold for fold in oof.folds if setting in _others(plan, fold)} for setting in settings}

    def work(item: Item) -> list[Pair | None]:
        here = [setting for setting in settings if item.entry.fold in wanted[setting]]
        ready = prepared(item, here, oof.task)
        return [_table(*ready[each], oof.task, score, stop) if each in ready else None for each in settings]

    sums: dict[tuple[int, Setting], list[NDArray[Any]]] = {}
    for entry, found in oof.each(work, reporter, "decide: cleaning", stop):
        for setting, pair in zip(settings, found, strict=True):
            if pair is not None:
                total = sums.setdefault((entry.fold, setting), [np.zeros(part.shape, _wide(part)) for part in pair])
                total[0] += pair[0]
                total[1] += pair[1]

    def cleaned(setting: Setting, left_out: int | None) -> Setting:
        parts = [sums[fold, setting] for fold in oof.folds if fold != left_out]
        table, base = (np.sum([part[place] for part in parts], axis=0) for place in (0, 1))
        found = best(table, base, score, oof.task)
        return setting if found.nothing else setting._replace(cleaning=found)

    nested = {fold: cleaned(setting, fold) for fold, setting in plan.nested.items()}
    made = Plan(nested, cleaned(plan.final, None))
    return None if made == plan else made


def in_words(cleaning: Cleaning, task: Task) -> str:
    """Say what is done to which class."""
    return cleaning.in_words(task.plane_names)


def _others(plan: Plan, fold: int) -> set[Setting]:
    """Return the settings whose sizes an item of a fold helps to choose: all but that of its own fold."""
    return {plan.final, *(setting for other, setting in plan.nested.items() if other != fold)}


def _wide(part: NDArray[Any]) -> type[np.float64] | type[np.int64]:
    return np.float64 if part.dtype.kind == "f" else np.int64


def _table(item: Item, setting: Setting, task: Task, score: Measure, stop: Stop | None) -> Pair:
    label, units = settle(item, setting, task)
    base = count(item.label, label, item.valid, task).stacked

    def between() -> None:
        if stop is not None:
            stop.check("nothing is decided yet")

    table = measure(label, units, item.label, item.valid, task, between)
    return lifted(table, base, score, task), score.lift(base)
