"""Calibrate members before they are blended: one temperature each, fitted by log loss fold by fold."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from maskwright.core.progress import Reporter
from maskwright.core.stop import Stop
from maskwright.ensembling.choose import STEPS, temperature_of
from maskwright.ensembling.honest import Chooser, Plan
from maskwright.ensembling.oof import Item, OutOfFold
from maskwright.ensembling.sample import Samples
from maskwright.ensembling.select import Path, alone
from maskwright.ensembling.settle import Setting, heated
from maskwright.ensembling.tally import Table, Tally
from maskwright.ensembling.thresholds import BINS

FEWEST = 0.25 / 255
"""What a stored 0 is taken for: a quarter of the step between 8-bit probabilities."""
FITTED = 20_000
"""Sampled pixels of a fold that temperatures of classes are fitted on, at most."""
Losses = NDArray[np.float64]
"""Log loss of each member at each step, summed over pixels, float64 (M, steps)."""


def heat(
    oof: OutOfFold,
    chooser: Chooser,
    samples: Samples,
    plan: Plan,
    tuned: bool,
    reporter: Reporter,
    stop: Stop | None,
) -> Plan | None:
    """Give the members of a plan temperatures, each fold's fitted on the other folds; None if none is wanted.

    A member alone, or members at one temperature under a fixed threshold, gain nothing: order is kept.

    Args:
        oof: items.
        chooser: counts of all candidates.
        samples: some pixels of each fold, for classes that exclude each other.
        plan: shares and thresholds so far.
        tuned: thresholds are chosen anew for the blend of calibrated members.
        reporter: gets a progress bar.
        stop: looked at between items.
    """
    losses = _losses(oof, chooser, samples)
    paths: dict[Path, Setting] = {None: plan.final, **dict(plan.nested.items())}
    warmed = {path: _warmed(path, setting, losses) for path, setting in paths.items()}
    if all(warmed[path] == setting for path, setting in paths.items()):
        return None
    if tuned:
        warmed = _with_edges(oof, chooser, warmed, reporter, stop)
    return Plan({fold: warmed[fold] for fold in plan.nested}, warmed[None])


def in_words(setting: Setting, members: Sequence[str]) -> str:
    """Say which member has which temperature."""
    steps = setting.temperatures or (0,) * len(members)
    return ", ".join(f"{name} {temperature_of(step):.2f}" for name, step in zip(members, steps, strict=True))


def _warmed(path: Path, setting: Setting, losses: dict[int, Losses]) -> Setting:
    total = np.sum([found for fold, found in losses.items() if fold != path], axis=0)
    if sum(share > 0 for share in setting.shares) < 2 or not np.isfinite(total).all():
        return setting
    best = [STEPS[int(place)] for place in total.argmin(1)]
    steps = tuple(step if share else 0 for step, share in zip(best, setting.shares, strict=True))
    return setting._replace(temperatures=steps) if any(steps) else setting


def _with_edges(
    oof: OutOfFold, chooser: Chooser, warmed: dict[Path, Setting], reporter: Reporter, stop: Stop | None
) -> dict[Path, Setting]:
    """Choose thresholds for blends of calibrated members: one pass, a tally for each set of temperatures."""
    kinds: dict[tuple[int, ...], list[Setting]] = {}
    for setting in warmed.values():
        kinds.setdefault(setting.temperatures, []).append(setting)
    measure = chooser.tally.measure
    tallies = {
        steps: Tally(oof.task, measure, tuple(dict.fromkeys(setting.shares for setting in settings)), oof.folds)
        for steps, settings in kinds.items()
    }

    def work(item: Item) -> list[Table]:
        found = []
        members: dict[tuple[int, int], NDArray[np.uint16]] = {}
        for steps, tally in tallies.items():
            any_ = kinds[steps][0]._replace(shares=_any(kinds[steps]))
            values, scale = heated(item.values, item.scale, any_, oof.task, members)
            found.append(tally.count(values, scale, item.label, item.valid))
        return found

    for entry, tables in oof.each(work, reporter, "decide: temperatures", stop):
        for tally, table in zip(tallies.values(), tables, strict=True):
            tally.add(entry.fold, table)
    made: dict[Path, Setting] = {}
    for path, setting in warmed.items():
        folds = [fold for fold in oof.folds if fold != path]
        tally = tallies[setting.temperatures]
        made[path] = setting._replace(edges=tally.tuned(setting.shares, folds, chooser.rule, chooser.default))
    return made


def _any(settings: Sequence[Setting]) -> tuple[int, ...]:
    """Return shares that are above 0 where any of some settings has one."""
    return tuple(int(any(column)) for column in zip(*(setting.shares for setting in settings), strict=True))


def _losses(oof: OutOfFold, chooser: Chooser, samples: Samples) -> dict[int, Losses]:
    """Return the log loss of each member at each temperature, fold by fold."""
    if oof.task.kind == "multiclass":
        return {fold: _class_losses(samples, fold, len(oof.members)) for fold in oof.folds}
    chances = np.clip(np.arange(BINS) / 255, FEWEST, 1 - FEWEST)
    logits = np.log(chances) - np.log1p(-chances)
    costs = np.stack([np.logaddexp(0, [logits / temperature_of(s), -logits / temperature_of(s)]) for s in STEPS])
    return {
        fold: np.stack(
            [
                np.einsum("ktb,stb->s", chooser.tally.pooled(alone(len(oof.members), index), [fold]), costs)
                for index in range(len(oof.members))
            ]
        )
        for fold in oof.folds
    }  # costs: step, truth (0: log 1 / (1 - p), 1: log 1 / p), bin


def _class_losses(samples: Samples, fold: int, members: int) -> Losses:
    """Return the log loss of each member on sampled pixels of classes that exclude each other."""
    total = np.zeros((members, len(STEPS)))
    for sample in samples[fold]:
        skip = max(1, -(-sum(part.label.size for part in samples[fold]) // FITTED))
        values, label = sample.values[:, :, ::skip], sample.label[::skip]
        logs = np.log(np.clip(values / sample.scale, FEWEST, 1))
        true = np.take_along_axis(logs, label[None, None].astype(np.int64), 1)[:, 0]
        for place, step in enumerate(STEPS):
            scaled = logs / temperature_of(step)
            total[:, place] += (np.log(np.exp(scaled).sum(1)) - true / temperature_of(step)).sum(1)
    return total
