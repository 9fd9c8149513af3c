"""Choose the sizes that clean.py goes by: fold by fold from the other folds, kept only if that is a gain."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from maskwright.core.labels import Task
from maskwright.core.progress import Reporter
from maskwright.core.stop import Stop
from maskwright.ensembling.blend import above
from maskwright.ensembling.clean import Cleaning, Label, Table, best, clean, counts_of, measure
from maskwright.ensembling.evidence import Choice
from maskwright.ensembling.honest import Chooser, Gain, Procedure, Setting, compare, count_settings
from maskwright.ensembling.oof import Item, OutOfFold
from maskwright.scoring.counts import Counts, count
from maskwright.scoring.scores import score

Numbers = NDArray[np.int64]


@dataclass(frozen=True)
class Cleaned:
    """What cleaning was worth."""

    cleaning: Cleaning
    """Chosen on all items."""
    choice: Choice
    honest: Numbers
    """tp, fp, fn, tn of each item, fold by fold cleaned as the other folds chose, int64 (items, 4, K)."""
    optimistic: Counts
    """Of all items, cleaned as they chose themselves."""


def settle(item: Item, setting: Setting, task: Task) -> tuple[Label, NDArray[np.int64]]:
    """Return the answer of a setting and the blended probabilities in whole numbers, int64 (K, H, W)."""
    shares = np.array(setting.shares, np.int64).reshape(-1, 1, 1, 1)
    units = (item.values * shares).sum(0)
    if task.kind == "multiclass":
        return units.argmax(0).astype(np.uint8), units
    planes = above(units, item.scale * int(shares.sum()), setting.edges)
    return planes if task.kind == "multilabel" else planes[0], units


def count_cleaned(item: Item, setting: Setting, cleaning: Cleaning, task: Task) -> Numbers:
    """Return tp, fp, fn, tn of each plane of an item under a setting, cleaned, int64 (4, K)."""
    if cleaning.nothing:
        return count_settings(item, [setting], task)[0]
    label, units = settle(item, setting, task)
    counts = count(item.label, clean(label, cleaning, task, units), item.valid, task)
    return np.stack([counts.tp, counts.fp, counts.fn, counts.tn])


def prove(oof: OutOfFold, chooser: Chooser, kept: Procedure, reporter: Reporter, stop: Stop | None = None) -> Cleaned:
    """Try cleaning on top of what is kept.

    Args:
        oof: items.
        chooser: counts of all candidates.
        kept: what is tuned besides.
        reporter: gets a progress bar.
        stop: looked at between items.
    """
    task, metric = oof.task, chooser.tally.metric
    nested, final = chooser.nested(kept), chooser.choose(kept)
    settings = tuple(dict.fromkeys([*nested.values(), final]))

    def work(item: Item) -> list[tuple[Table, Numbers]]:
        return [_table(item, setting, task, stop) for setting in settings]

    sums: dict[tuple[int, Setting], list[Numbers]] = {}
    own: list[tuple[int, Table, Numbers]] = []
    for entry, found in oof.each(work, reporter, "decide: cleaning", stop):
        for setting, (table, base) in zip(settings, found, strict=True):
            total = sums.setdefault((entry.fold, setting), [np.zeros(table.shape, np.int64), np.zeros_like(base)])
            total[0] += table
            total[1] += base
        own.append((entry.fold, *found[settings.index(nested[entry.fold])]))

    def pooled(setting: Setting, left_out: int | None) -> tuple[Numbers, Numbers]:
        parts = [sums[fold, setting] for fold in oof.folds if fold != left_out]
        return np.sum([part[0] for part in parts], axis=0), np.sum([part[1] for part in parts], axis=0)

    chosen = {fold: best(*pooled(nested[fold], fold), metric, task) for fold in oof.folds}
    before = np.stack([base for _, _, base in own])
    after = np.stack([counts_of(table, base, chosen[fold], task) for fold, table, base in own])
    gain = compare(before, after, oof, metric)
    everything, plain = pooled(final, None)
    cleaning = best(everything, plain, metric, task)
    optimistic = Counts(*counts_of(everything, plain, cleaning, task))
    rosy = float(np.nan_to_num(score(optimistic, metric)) - np.nan_to_num(score(Counts(*plain), metric)))
    return Cleaned(cleaning, _choice(gain, cleaning.in_words(task.plane_names), rosy), after, optimistic)


def _table(item: Item, setting: Setting, task: Task, stop: Stop | None) -> tuple[Table, Numbers]:
    label, units = settle(item, setting, task)
    counts = count(item.label, label, item.valid, task)
    base = np.stack([counts.tp, counts.fp, counts.fn, counts.tn])

    def between() -> None:
        if stop is not None:
            stop.check("nothing is decided yet")

    return measure(label, units, item.label, item.valid, task, between), base


def _choice(gain: Gain, outcome: str, rosy: float) -> Choice:
    return Choice(
        what="cleaning",
        kept=gain.believed,
        outcome=outcome,
        honest_gain=gain.gain,
        optimistic_gain=rosy,
        low=gain.low,
        high=gain.high,
        folds_better=gain.folds_better,
        folds=gain.folds,
        units=gain.units,
        reason=gain.reason,
    )
