"""Honest estimates: each fold decided by what the other folds chose; and whether a gain is more than chance.

A tuned part is kept only if, on folds that had no part in choosing it, it
  1. scores higher than leaving it out, pooled over all folds,
  2. is better on more than half of the folds, and
  3. has a gain whose 99 % interval lies above 0, by a paired bootstrap over groups of items; with fewer
     than 8 groups that is never believed, as 8 coin tosses come out alike by chance in 0.4 % of cases.
99 and not 95 %, because the choices of the folds lean on shared items, which a bootstrap of fixed choices
does not see: of members that differ by chance alone, 95 % kept worthless weights in 1 to 7 % of cases and
99 % in 0.9 to 2.3 % (800 simulated sets of each kind, 12 to 60 items, 2 to 5 folds, docs/log.md 2026-11-21).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from maskwright.core.labels import Task
from maskwright.core.progress import Reporter
from maskwright.core.stop import Stop
from maskwright.ensembling.oof import Item, OutOfFold
from maskwright.ensembling.select import Path, Shares
from maskwright.ensembling.tally import Tally
from maskwright.ensembling.thresholds import Edges, Rule, elementwise, mean_over_classes
from maskwright.scoring.counts import Counts
from maskwright.scoring.scores import score

DRAWS = 2000
"""Bootstrap samples; an end of the interval rests on 10 of them."""
CHUNK = 100
LEAST_UNITS = 8
ItemCounts = NDArray[np.int64]
"""tp, fp, fn, tn of each item and plane, int64 (items, 4, K)."""


class Setting(NamedTuple):
    """One way to answer."""

    shares: Shares
    edges: Edges


class Procedure(NamedTuple):
    """What is tuned; the rest is left as it is: equal shares, the fixed threshold."""

    weights: bool
    thresholds: bool


@dataclass(frozen=True)
class Chooser:
    """How settings are chosen, on all folds or on all but one.

    Args:
        tally: counts of all candidates.
        rule: how thresholds are tuned, if they are.
        default: the fixed thresholds.
        eligible: fold to leave out (None: none) -> candidates in order of preference, equal shares first.
    """

    tally: Tally
    rule: Rule
    default: Edges
    eligible: Callable[[Path], Sequence[Shares]]

    def choose(self, procedure: Procedure, left_out: Path = None) -> Setting:
        """Return the setting with the highest score on all folds but one; among equals the first candidate."""
        folds = [fold for fold in self.tally.folds if fold != left_out]
        candidates = self.eligible(left_out) if procedure.weights else self.eligible(left_out)[:1]
        best, highest = None, -1.0
        for shares in candidates:
            edges = self.tally.tuned(shares, folds, self.rule, self.default) if procedure.thresholds else self.default
            value = self.tally.score(shares, folds, edges)
            if best is None or value > highest:
                best, highest = Setting(shares, edges), -1.0 if np.isnan(value) else value
        assert best is not None
        return best

    def nested(self, procedure: Procedure) -> dict[int, Setting]:
        """Return for each fold what the other folds choose."""
        return {fold: self.choose(procedure, fold) for fold in self.tally.folds}

    def honest(self, procedure: Procedure) -> Counts:
        """Return the counts over all folds, each under what the others chose."""
        chosen = self.nested(procedure)
        total = Counts.zero(self.tally.task.planes)
        for fold, (shares, edges) in chosen.items():
            total += self.tally.counts(shares, [fold], edges)
        return total

    def optimistic(self, procedure: Procedure) -> Counts:
        """Return the counts over all folds under what all folds chose."""
        shares, edges = self.choose(procedure)
        return self.tally.counts(shares, self.tally.folds, edges)


@dataclass(frozen=True)
class Gain:
    """How much better one procedure is than another on unseen folds."""

    gain: float
    low: float
    high: float
    folds_better: int
    folds: int
    units: int

    @property
    def believed(self) -> bool:
        """Whether it is more than chance; see the head of this file."""
        return self.gain > 0 and self.units >= LEAST_UNITS and self.low > 0 and 2 * self.folds_better > self.folds

    @property
    def reason(self) -> str:
        """Say in words why it is believed or not."""
        interval = f"99 % interval {self.low:+.4f} to {self.high:+.4f}"
        if not self.gain > 0:
            return "no gain on folds that had no part in choosing"
        if self.units < LEAST_UNITS:
            return f"{self.units} groups of items are too few to tell a gain from chance; {LEAST_UNITS} are needed"
        if not self.low > 0:
            return f"the gain may be chance: {interval}"
        if not 2 * self.folds_better > self.folds:
            return f"better on only {self.folds_better} of {self.folds} folds"
        return f"better on {self.folds_better} of {self.folds} folds, {interval}"


def count_settings(item: Item, settings: Sequence[Setting], task: Task) -> list[NDArray[np.int64]]:
    """Return tp, fp, fn, tn of each plane of an item under some settings, int64 (4, K) each.

    They are the counts of blend.answer of blend.blend, pixel for pixel.
    """
    counter = Tally(task, "", tuple(dict.fromkeys(setting.shares for setting in settings)), (0,))
    counter.add(0, counter.measure(item.values, item.scale, item.label, item.valid))
    found = [counter.counts(setting.shares, [0], setting.edges) for setting in settings]
    return [np.stack([counts.tp, counts.fp, counts.fn, counts.tn]) for counts in found]


def count_items(
    oof: OutOfFold,
    settings: Mapping[Procedure, Mapping[int, Setting]],
    reporter: Reporter,
    stop: Stop | None = None,
) -> dict[Procedure, ItemCounts]:
    """Count every item under what each procedure chose without its fold.

    Args:
        oof: items.
        settings: procedure -> fold -> setting.
        reporter: gets a progress bar.
        stop: looked at between items.
    """

    def work(item: Item) -> dict[Setting, NDArray[np.int64]]:
        wanted = list(dict.fromkeys(chosen[item.entry.fold] for chosen in settings.values()))
        return dict(zip(wanted, count_settings(item, wanted, oof.task), strict=True))

    found: dict[Procedure, list[NDArray[np.int64]]] = {procedure: [] for procedure in settings}
    for entry, counted in oof.each(work, reporter, "decide: items", stop):
        for procedure, chosen in settings.items():
            found[procedure].append(counted[chosen[entry.fold]])
    return {procedure: np.stack(rows) for procedure, rows in found.items()}


def compare(before: ItemCounts, after: ItemCounts, oof: OutOfFold, metric: str, seed: int = 0) -> Gain:
    """Compare two procedures on the same items.

    Args:
        before: counts of each item under the plainer procedure.
        after: counts under the other.
        oof: gives the fold and the group of each item.
        metric: a name of scoring.
        seed: of the bootstrap.
    """
    folds = np.array([entry.fold for entry in oof.entries])
    better = sum(_pooled(after[folds == fold], metric) > _pooled(before[folds == fold], metric) for fold in oof.folds)
    names = {name: index for index, name in enumerate(oof.groups)}
    group = np.array([names[entry.group] for entry in oof.entries])
    units = len(names)
    pair = np.zeros((units, 2, *before.shape[1:]), np.int64)
    np.add.at(pair, group, np.stack([before, after], 1))
    flat = pair.reshape(units, -1).astype(np.float64)
    rng = np.random.default_rng(seed)
    gains = []
    for _ in range(DRAWS // CHUNK):
        drawn = rng.multinomial(units, np.full(units, 1 / units), size=CHUNK).astype(np.float64)
        counts = np.rint(drawn @ flat).astype(np.int64).reshape(CHUNK, 2, *before.shape[1:])
        tp, fp, fn, tn = np.moveaxis(counts, 2, 0)
        scores = mean_over_classes(elementwise(tp, fp, fn, tn, metric))
        gains.append(np.nan_to_num(scores[:, 1]) - np.nan_to_num(scores[:, 0]))
    low, high = np.quantile(np.concatenate(gains), [0.005, 0.995])
    gain = _pooled(after, metric) - _pooled(before, metric)
    return Gain(gain, float(low), float(high), int(better), len(oof.folds), units)


def _pooled(items: ItemCounts, metric: str) -> float:
    """Return the score of some items' pixels together; 0 where there is none."""
    return float(np.nan_to_num(score(Counts(*items.sum(0)), metric)))
