"""Where candidate blends are counted on all items, and where a search on sampled pixels adds to them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from maskwright.core.progress import Reporter
from maskwright.core.recipe import blocks
from maskwright.core.stop import Stop
from maskwright.ensembling.honest import Chooser
from maskwright.ensembling.oof import Item, OutOfFold
from maskwright.ensembling.sample import Sample, Samples, draw, joined, stride_of
from maskwright.ensembling.select import Path, Shares, exchange, fixed_candidates, greedy, needs_search
from maskwright.ensembling.tally import Table, Tally
from maskwright.ensembling.thresholds import Edges, Rule
from maskwright.scoring.measures import Measure


@dataclass(frozen=True)
class Rules:
    """How thresholds are taken, and what the recipe fixes.

    Args:
        rule: how thresholds are tuned, if they are.
        default: the fixed thresholds.
        priority: planes, the strongest first.
    """

    rule: Rule
    default: Edges
    priority: tuple[int, ...] = ()


def measure_candidates(
    oof: OutOfFold, block: blocks.Decision, measure: Measure, rules: Rules, reporter: Reporter, stop: Stop | None
) -> tuple[Chooser, Samples]:
    """Count all candidates on all items; for many members search for them first, on sampled pixels.

    Args:
        oof: items.
        block: how to blend.
        measure: the score.
        rules: how thresholds are taken.
        reporter: gets progress.
        stop: looked at between items.

    Returns:
        what chooses among the candidates; and the sampled pixels, if there are more than three members or classes
        that exclude each other.
    """
    members = len(oof.members)
    candidates = fixed_candidates(members, block.blend)
    tally = Tally(oof.task, measure, candidates, oof.folds)
    chosen: Sequence[Shares] = candidates if block.blend == "weighted" else candidates[:1]
    searched = needs_search(members, block.blend)
    sampled = searched or oof.task.kind == "multiclass"
    stride = stride_of(oof.pixels, oof.task, members) if sampled else None
    samples = _fill(tally, oof, reporter, stop, stride)
    if not searched:
        return Chooser(tally, rules.rule, rules.default, lambda left_out: chosen, rules.priority), samples
    found = _search(oof, samples, measure, rules)
    new = [shares for shares in dict.fromkeys(found.values()) if shares not in candidates]
    if new:
        more = Tally(oof.task, measure, new, oof.folds)
        _fill(more, oof, reporter, stop)
        tally.take(more)

    def eligible(left_out: Path) -> Sequence[Shares]:
        return tuple(dict.fromkeys((*chosen, found[left_out])))

    return Chooser(tally, rules.rule, rules.default, eligible, rules.priority), samples


def _fill(tally: Tally, oof: OutOfFold, reporter: Reporter, stop: Stop | None, stride: int | None = None) -> Samples:
    """Count every item for every candidate of a tally; with a stride, keep some pixels of each too."""
    samples: dict[int, list[Sample]] = {fold: [] for fold in oof.folds}

    def work(item: Item) -> tuple[Table, Sample | None]:
        table = tally.count(item.values, item.scale, item.label, item.valid)
        return table, None if stride is None else draw(item, stride)

    for entry, (table, sample) in oof.each(work, reporter, "decide: candidates", stop):
        tally.add(entry.fold, table)
        if sample is not None:
            samples[entry.fold].append(sample)
    return samples


def _search(oof: OutOfFold, samples: Samples, measure: Measure, rules: Rules) -> dict[Path, Shares]:
    """Search on sampled pixels, once on all folds and once without each: greedily, then by exchange of shares."""
    seen = Tally(oof.task, measure, (), oof.folds)
    parts = joined(samples) if measure.pooled else samples

    def count(new: Sequence[Shares]) -> None:
        new = [shares for shares in new if shares not in seen.candidates]
        if not new:
            return
        fresh = Tally(oof.task, measure, new, oof.folds)
        for fold, drawn in parts.items():
            for part in drawn:
                everywhere = np.ones(part.values.shape[2:], bool)
                fresh.add(fold, fresh.count(part.values, part.scale, part.label, everywhere))
        seen.take(fresh)

    def value(shares: Shares, left_out: Path) -> float:
        folds = [fold for fold in oof.folds if fold != left_out]
        return seen.score(shares, folds, seen.tuned(shares, folds, rules.rule, rules.default))

    begun = greedy(len(oof.members), [None, *oof.folds], count, value)
    return exchange(begun, count, value)
