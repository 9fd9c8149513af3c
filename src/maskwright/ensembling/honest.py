"""Honest estimates: each fold decided by what the other folds chose; and whether a gain is more than chance.

A tuned part is kept only if, on folds that had no part in choosing it, it
  1. scores higher than leaving it out, over all folds together,
  2. is better on more than half of the folds, and
  3. has a gain whose 99 % interval lies above 0: by a paired bootstrap over groups of items, or, with 3 to 7
     groups, by Student's t of the gains of the groups; with 2 it is never believed.
99 and not 95 %, because the choices of the folds lean on shared items, which a bootstrap of fixed choices
does not see: of members that differ by chance alone, 95 % kept worthless weights in 1 to 7 % of cases and
99 % in 0.9 to 2.3 % (800 simulated sets of each kind, 12 to 60 items, 2 to 5 folds, docs/log.md 2026-11-21).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import NamedTuple, Protocol

import numpy as np
from numpy.typing import NDArray

from maskwright.core.progress import Reporter
from maskwright.core.stop import Stop
from maskwright.ensembling.evidence import Choice
from maskwright.ensembling.oof import Entry, Item, OutOfFold
from maskwright.ensembling.select import Path, Shares
from maskwright.ensembling.settle import Setting, count_setting, prepared
from maskwright.ensembling.tally import Tally
from maskwright.ensembling.thresholds import Edges, Rule
from maskwright.scoring.measures import Measure, Sums

DRAWS = 2000
"""Bootstrap samples; an end of the interval rests on 10 of them."""
CHUNK = 100
LEAST_UNITS = 3
BOOTSTRAPPED = 8
"""Groups from which on the bootstrap is used: 8 coin tosses come out alike by chance in 0.4 % of cases."""
STUDENT = {3: 9.925, 4: 5.841, 5: 4.604, 6: 4.032, 7: 3.707}
"""Groups -> 99.5 % quantile of Student's t with one degree of freedom less (Student 1908; any table)."""
ItemCounts = NDArray[np.int64]
"""tp, fp, fn, tn of each item and plane, int64 (items, 4, K)."""


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
        priority: planes, as the recipe wants them.
        eligible: fold to leave out (None: none) -> candidates in order of preference, equal shares first.
    """

    tally: Tally
    rule: Rule
    default: Edges
    eligible: Callable[[Path], Sequence[Shares]]
    priority: tuple[int, ...] = ()

    def choose(self, procedure: Procedure, left_out: Path = None) -> Setting:
        """Return the setting with the highest score on all folds but one; among equals the first candidate."""
        folds = [fold for fold in self.tally.folds if fold != left_out]
        candidates = self.eligible(left_out) if procedure.weights else self.eligible(left_out)[:1]
        best, highest = None, -1.0
        for shares in candidates:
            edges = self.tally.tuned(shares, folds, self.rule, self.default) if procedure.thresholds else self.default
            value = self.tally.score(shares, folds, edges)
            if best is None or value > highest:
                best = Setting(shares, edges, priority=self.priority)
                highest = -1.0 if np.isnan(value) else value
        assert best is not None
        return best

    def nested(self, procedure: Procedure) -> dict[int, Setting]:
        """Return for each fold what the other folds choose."""
        return {fold: self.choose(procedure, fold) for fold in self.tally.folds}

    def honest(self, procedure: Procedure) -> Sums:
        """Return what the measure adds up to over all folds, each under what the others chose, (S, K)."""
        parts = [
            self.tally.sums(setting.shares, [fold], setting.edges) for fold, setting in self.nested(procedure).items()
        ]
        return np.asarray(np.sum(parts, axis=0))

    def optimistic(self, procedure: Procedure) -> Sums:
        """Return what the measure adds up to over all folds under what all folds chose, (S, K)."""
        setting = self.choose(procedure)
        return self.tally.sums(setting.shares, self.tally.folds, setting.edges)


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
        few = f" of {self.units} groups' gains" if self.units < BOOTSTRAPPED else ""
        interval = f"99 % interval {self.low:+.4f} to {self.high:+.4f}{few}"
        if not self.gain > 0:
            return "no gain on folds that had no part in choosing"
        if self.units < LEAST_UNITS:
            return f"{self.units} groups of items cannot tell a gain from chance; {LEAST_UNITS} are needed"
        if not self.low > 0:
            return f"the gain may be chance: {interval}"
        if not 2 * self.folds_better > self.folds:
            return f"better on only {self.folds_better} of {self.folds} folds"
        return f"better on {self.folds_better} of {self.folds} folds, {interval}"


class Grouped(Protocol):
    """Items of folds, in groups."""

    @property
    def entries(self) -> tuple[Entry, ...]:
        """Items, in the order of their counts."""

    @property
    def folds(self) -> tuple[int, ...]:
        """All folds."""

    @property
    def groups(self) -> tuple[str, ...]:
        """All groups."""


class Plan(NamedTuple):
    """Settings to answer with."""

    nested: Mapping[int, Setting]
    """Fold -> what the other folds chose."""
    final: Setting
    """What all folds chose."""


@dataclass(frozen=True)
class State:
    """A plan, and how every item fares under it."""

    plan: Plan
    honest: ItemCounts
    """Each item under what the other folds chose."""
    rosy: ItemCounts
    """Each item under the final setting, which was chosen on it too."""


def count_plans(oof: OutOfFold, plans: Sequence[Plan], reporter: Reporter, stop: Stop | None = None) -> list[State]:
    """Count every item under some plans, in one pass.

    Args:
        oof: items.
        plans: what to answer with.
        reporter: gets a progress bar.
        stop: looked at between items.
    """

    def work(item: Item) -> list[tuple[NDArray[np.int64], NDArray[np.int64]]]:
        pairs = [(plan.nested[item.entry.fold], plan.final) for plan in plans]
        ready = prepared(item, (setting for pair in pairs for setting in pair), oof.task)
        seen = {setting: count_setting(*each, oof.task) for setting, each in ready.items()}
        return [(seen[one], seen[other]) for one, other in pairs]

    rows = [found for _, found in oof.each(work, reporter, "decide: items", stop)]
    return [
        State(plan, np.stack([row[place][0] for row in rows]), np.stack([row[place][1] for row in rows]))
        for place, plan in enumerate(plans)
    ]


def verdict(what: str, before: State, after: State, outcome: str, oof: OutOfFold, measure: Measure) -> Choice:
    """Say whether a plan is more than chance better than a plainer one.

    Args:
        what: name of the choice.
        before: the plainer plan.
        after: the other.
        outcome: what was chosen on all items, in words.
        oof: gives the fold and the group of each item.
        measure: the score.
    """
    found = compare(before.honest, after.honest, oof, measure)
    rosy = [np.nan_to_num(measure.score(measure.lift(state.rosy).sum(0))) for state in (before, after)]
    return Choice.model_validate(
        {
            "what": what,
            "kept": found.believed,
            "outcome": outcome,
            "honest_gain": found.gain,
            "optimistic_gain": float(rosy[1] - rosy[0]),
            "low": found.low,
            "high": found.high,
            "folds_better": found.folds_better,
            "folds": found.folds,
            "units": found.units,
            "reason": found.reason,
        }
    )


def compare(before: ItemCounts, after: ItemCounts, oof: Grouped, measure: Measure, seed: int = 0) -> Gain:
    """Compare two procedures on the same items.

    Args:
        before: counts of each item under the plainer procedure.
        after: counts under the other.
        oof: gives the fold and the group of each item.
        measure: the score.
        seed: of the bootstrap.
    """
    pair = np.stack([measure.lift(before), measure.lift(after)], 1).astype(np.float64)  # (items, 2, S, K)
    folds = np.array([entry.fold for entry in oof.entries])
    names = {name: index for index, name in enumerate(oof.groups)}
    group = np.array([names[entry.group] for entry in oof.entries])
    units = np.zeros((len(names), *pair.shape[1:]))
    np.add.at(units, group, pair)

    def gains(sums: NDArray[np.float64]) -> NDArray[np.float64]:
        scores = np.nan_to_num(measure.mean(sums))
        return np.asarray(scores[..., 1] - scores[..., 0], np.float64)

    better = sum(float(gains(pair[folds == fold].sum(0))) > 0 for fold in oof.folds)
    low, high = _student(gains(units)) if len(units) < BOOTSTRAPPED else _bootstrap(units, gains, seed)
    return Gain(float(gains(pair.sum(0))), low, high, int(better), len(oof.folds), len(units))


def _student(gains: NDArray[np.float64]) -> tuple[float, float]:
    """Return the 99 % interval of the mean gain of a few groups; without bounds for two."""
    number, mean = len(gains), float(gains.mean())
    if number not in STUDENT:
        return -1.0, 1.0
    half = STUDENT[number] * float(gains.std(ddof=1)) / number**0.5
    return mean - half, mean + half


def _bootstrap(
    units: NDArray[np.float64], gains: Callable[[NDArray[np.float64]], NDArray[np.float64]], seed: int
) -> tuple[float, float]:
    """Return the 99 % interval of the gain over draws of groups: units (G, 2, S, K)."""
    number, flat = len(units), units.reshape(len(units), -1)
    rng = np.random.default_rng(seed)
    found = []
    for _ in range(DRAWS // CHUNK):
        drawn = rng.multinomial(number, np.full(number, 1 / number), size=CHUNK).astype(np.float64)
        found.append(gains((drawn @ flat).reshape(CHUNK, *units.shape[1:])))
    low, high = np.quantile(np.concatenate(found), [0.005, 0.995])
    return float(low), float(high)
