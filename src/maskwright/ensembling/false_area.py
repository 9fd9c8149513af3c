"""The area of false positives at equal recall: whether models that learnt from negatives call less of it something.

At its own threshold a model may have fewer false positives just because it finds less. So both are held at the
recall that the first has at its threshold, and what they then call something wrongly is compared.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from functools import partial
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from maskwright.core.errors import InputError
from maskwright.core.labels import Task
from maskwright.core.progress import Reporter
from maskwright.core.stop import Stop
from maskwright.ensembling.blend import Decision, blend
from maskwright.ensembling.chance import DRAWS, LEAST_UNITS, LEVEL
from maskwright.ensembling.oof import Item, StoredItems
from maskwright.inference.store import dequantise

BINS = 1024
Table = NDArray[np.float64]


class Histograms(NamedTuple):
    """Pixels of each item by how likely something is in them; planes of a multilabel task by themselves."""

    groups: tuple[str, ...]
    """Of each item."""
    true: Table
    """(items, planes, BINS): pixels that are something."""
    false: Table
    """(items, planes, BINS): background."""


@dataclass(frozen=True)
class Areas:
    """False positives of two sets of models at one recall."""

    recall: float
    """Share of true pixels that both find: what the first finds at its threshold."""
    before: float
    """Pixels of background that the first calls something."""
    after: float
    """The same of the second."""
    background: int
    """All pixels of background."""
    ratio: float
    """after / before."""
    low: float | None
    """Where the ratio lies in 95 % of the redraws of groups of items; None: fewer than 8 groups."""
    high: float | None
    groups: int

    @property
    def kept(self) -> bool:
        """Whether the second is better, as far as chance goes; without an interval nothing is kept."""
        return self.high is not None and self.high < 1

    def to_plain(self) -> dict[str, Any]:
        """Return plain data for JSON."""
        return {**asdict(self), "kept": self.kept}


def histograms(
    items: StoredItems, decision: Decision, task: Task, reporter: Reporter, name: str, stop: Stop
) -> Histograms:
    """Count the pixels of items by their blended probability of something.

    Args:
        items: labelled, predicted by models that did not see them.
        decision: gives the blend.
        task: what is predicted.
        reporter: gets a progress bar.
        name: of the bar.
        stop: looked at between items.
    """
    groups, true, false = [], [], []
    for entry, (hit, miss) in items.each(partial(_count, decision, task, items.members), reporter, name, stop):
        groups.append(entry.group)
        true.append(hit)
        false.append(miss)
    return Histograms(tuple(groups), np.stack(true), np.stack(false))


def _count(decision: Decision, task: Task, members: Sequence[str], item: Item) -> tuple[Table, Table]:
    planes = {name: dequantise(values, item.scale) for name, values in zip(members, item.values, strict=True)}
    probability = blend(planes, decision)
    if task.kind == "multiclass":
        probability, label = 1 - probability[:1], (item.label > 0)[None]
    else:
        label = item.label.reshape(probability.shape) > 0
    found = np.zeros((2, len(probability), BINS))
    for plane, (chances, truth) in enumerate(zip(probability, label, strict=True)):
        places = np.minimum((chances[item.valid] * BINS).astype(np.intp), BINS - 1)
        for side in (0, 1):
            chosen = places[truth[item.valid] == (side == 0)]
            found[side, plane] = np.bincount(chosen, minlength=BINS)
    return found[0], found[1]


def compare(before: Histograms, after: Histograms, thresholds: Sequence[float], seed: int = 0) -> Areas:
    """Compare false positives at the recall that the first has at its thresholds.

    Args:
        before: of the first models.
        after: of the second, the same items.
        thresholds: of the first, one for each plane.
        seed: of the redraws (percentile bootstrap over groups, as in chance.py).

    Raises:
        InputError: nothing is true, or the items differ.
    """
    if before.groups != after.groups:
        raise InputError("the two runs have other items, so their false positives cannot be compared")
    totals = before.true.sum((0, 2))
    if not totals.sum():
        raise InputError(
            "no labelled pixel is something, so there is no recall", fix="give labelled items with objects"
        )
    edges = np.clip((np.asarray(thresholds) * BINS).round().astype(int), 0, BINS)
    hits = np.array([before.true[:, plane, edge:].sum() for plane, edge in enumerate(edges)])
    recalls = np.divide(hits, totals, out=np.zeros_like(hits), where=totals > 0)
    names = sorted(set(before.groups))
    sums = [_by_group(side, before.groups, names) for side in (before.true, before.false, after.true, after.false)]
    ones = np.ones((1, len(names)))
    first, second = (_false(ones, *pair, recalls)[0] for pair in ((sums[0], sums[1]), (sums[2], sums[3])))
    low = high = None
    if len(names) >= LEAST_UNITS:
        rng = np.random.default_rng(seed)
        drawn = rng.multinomial(len(names), np.full(len(names), 1 / len(names)), size=DRAWS).astype(np.float64)
        one, other = _false(drawn, sums[0], sums[1], recalls), _false(drawn, sums[2], sums[3], recalls)
        ratios = (other + 0.5) / (one + 0.5)
        low, high = (float(value) for value in np.quantile(ratios, [(1 - LEVEL) / 2, (1 + LEVEL) / 2]))
    return Areas(
        recall=float(hits.sum() / totals.sum()),
        before=float(first),
        after=float(second),
        background=int(before.false.sum()),
        ratio=float((second + 0.5) / (first + 0.5)),
        low=low,
        high=high,
        groups=len(names),
    )


def _by_group(table: Table, groups: Sequence[str], names: Sequence[str]) -> Table:
    """Add up items of a group, and then bins from the top, so that an entry counts what is at least so likely."""
    place = {name: index for index, name in enumerate(names)}
    total = np.zeros((len(names), *table.shape[1:]))
    np.add.at(total, [place[group] for group in groups], table)
    result: Table = total[..., ::-1].cumsum(-1)
    return result


def _false(weights: Table, true: Table, false: Table, recalls: Table) -> NDArray[np.float64]:
    """Return the false area of each draw where each plane has its recall, between two bins in proportion.

    Args:
        weights: (draws, groups) how often each group was drawn.
        true: (groups, planes, BINS), from the top.
        false: likewise.
        recalls: (planes,).
    """
    area = np.zeros(len(weights))
    for plane, recall in enumerate(recalls):
        found, wrong = weights @ true[:, plane], weights @ false[:, plane]
        for draw, (hits, misses) in enumerate(zip(found, wrong, strict=True)):
            wanted = recall * hits[-1]
            if wanted > 0:
                last = int(np.searchsorted(hits, wanted * (1 - 1e-12)))
                hit, miss = (0.0, 0.0) if last == 0 else (hits[last - 1], misses[last - 1])
                area[draw] += miss + (misses[last] - miss) * (wanted - hit) / (hits[last] - hit)
    return area
