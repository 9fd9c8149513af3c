"""What the report tells of the out-of-fold probabilities beyond scores: are they honest, who errs with whom, where.

One pass over the items that were decided on. Memory does not grow with pixels: reliability bins, pairs of
members, and two numbers of each item.
"""

from __future__ import annotations

import math
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from pydantic import Field, ValidationError

from maskwright.core.errors import InputError
from maskwright.core.files import read_json, write_json
from maskwright.core.labels import Task
from maskwright.core.progress import Reporter
from maskwright.core.recipe.base import Block
from maskwright.core.stop import Stop
from maskwright.ensembling.chance import LEVEL, spread
from maskwright.ensembling.decide import Decided
from maskwright.ensembling.items import final_setting
from maskwright.ensembling.oof import Item, OutOfFold
from maskwright.ensembling.settle import heated

BINS = 20
"""Equal steps of probability. Guo et al. (On Calibration of Modern Neural Networks, ICML 2017) take 15; 20 have
round edges."""
MOST_PIXELS = 1 << 16
"""Of a larger item a grid of about so many pixels is looked at: rates do not change, and time stays bounded."""
_STEPS = 1024


class Reliability(Block):
    """How often something was true when it was said with some probability."""

    name: str
    """A class; of multiclass also `` (empty): the class that wins, whichever it is."""
    pixels: tuple[int, ...]
    """In each of BINS equal steps of probability 0..1."""
    true: tuple[int, ...]
    """Of those, how many were of the class (or rightly answered)."""
    mean: tuple[float, ...]
    """Mean probability in each step; 0 in an empty one."""
    error: float | None
    """Expected calibration error: mean of |mean probability - share that is true|, steps weighed by their pixels."""
    bias: float | None
    """Mean probability minus share that is true, over all pixels: above 0, too much is promised."""


class Pair(Block):
    """Two members, on all pixels (and planes) that were looked at."""

    first: str
    second: str
    together: int
    """Pixels on which both are wrong."""
    differ: int
    """Pixels on which their answers differ."""
    correlation: float | None
    """Of their errors, -1..1 (phi); None where one of them has none."""


class MemberErrors(Block):
    """One member alone, at the fixed threshold or by argmax."""

    name: str
    wrong: int


class Unsure(Block):
    """How sure the blend was of one item, and its honest counts."""

    entropy: float
    """Mean over pixels, 0 (sure) to 1 (knows nothing)."""
    disagreement: float
    """Share of pixels on which not all members answer alike."""
    tp: tuple[int, ...] = ()
    """Of each plane, under what the other folds chose, as fp and fn; empty where no fold chose anything."""
    fp: tuple[int, ...] = ()
    fn: tuple[int, ...] = ()


class HonestRange(Block):
    """Where the honest score lies in most redraws of the items."""

    low: float
    high: float
    level: float = LEVEL
    units: int
    """Groups of items drawn from."""


class Diagnosis(Block):
    """diagnosis.json."""

    pixels: int = 0
    """Pixels (and planes) looked at."""
    honest: HonestRange | None = None
    """None: too few groups of items."""
    reliability: tuple[Reliability, ...] = ()
    """Multiclass: the winning class first, then each class; else each class."""
    members: tuple[MemberErrors, ...] = ()
    pairs: tuple[Pair, ...] = ()
    items: dict[str, Unsure] = Field(default_factory=dict)
    """Key -> how sure the blend was of the item."""


class _Looked:
    """What one item adds."""

    def __init__(self, members: int, rows: int) -> None:
        self.bins = np.zeros((rows, BINS, 3))
        self.pairs = np.zeros((2, members, members), np.int64)
        self.sums = np.zeros(3)

    def add(self, other: _Looked) -> None:
        """Take over another item's counts."""
        self.bins += other.bins
        self.pairs += other.pairs
        self.sums += other.sums


def diagnose(oof: OutOfFold, decided: Decided, task: Task, reporter: Reporter, stop: Stop | None = None) -> Diagnosis:
    """Look once at all out-of-fold probabilities under a decision.

    Args:
        oof: items; members as in the decision.
        decided: gives blend, thresholds, and how items fare by what the other folds chose.
        task: what is predicted.
        reporter: gets a progress bar.
        stop: looked at between items.

    Raises:
        InputError: a stored file is damaged or does not fit its label.
        Interrupted: a signal asked to stop.
    """
    decision, setting = decided.decision, final_setting(decided.decision)
    shares = setting.shares

    def work(item: Item) -> _Looked:
        values, scale = heated(item.values, item.scale, setting, task)
        return look(replace(item, values=values, scale=scale), shares, decision.fixed_edge, task)

    total = _Looked(len(shares), task.planes + (task.kind == "multiclass"))
    items = {}
    for counts, (entry, found) in zip(decided.honest, oof.each(work, reporter, "diagnose", stop), strict=True):
        total.add(found)
        seen = max(found.sums[0], 1.0)
        own = dict(zip(("tp", "fp", "fn"), counts.tolist(), strict=False))
        unsure = {"entropy": round(found.sums[1] / seen, 6), "disagreement": round(found.sums[2] / seen, 6)}
        items[entry.key] = Unsure.model_validate({**unsure, **own})
    range_ = spread(decided.honest, [entry.group for entry in oof.entries], decision.measure)
    return Diagnosis(
        pixels=int(total.sums[0]),
        honest=None if range_ is None else HonestRange(low=range_.low, high=range_.high, units=range_.units),
        reliability=_reliability(total.bins, task),
        members=tuple(
            MemberErrors(name=name, wrong=int(total.pairs[0, index, index])) for index, name in enumerate(oof.members)
        ),
        pairs=_pairs(total, oof.members),
        items=items,
    )


def look(item: Item, shares: tuple[int, ...], fixed_edge: int, task: Task) -> _Looked:
    """Return what one item adds: bins, pairs and sums; see diagnosis_kernels.py."""
    from maskwright.ensembling import diagnosis_kernels as kernels

    step = max(1, math.ceil(math.sqrt(item.valid.size / MOST_PIXELS)))
    values = np.ascontiguousarray(item.values[..., ::step, ::step])
    values = values.reshape(*values.shape[:2], -1)
    label = np.ascontiguousarray(item.label[..., ::step, ::step])
    valid = np.ascontiguousarray(item.valid[::step, ::step]).reshape(-1).view(np.uint8)
    found = _Looked(len(shares), task.planes + (task.kind == "multiclass"))
    p = np.arange(_STEPS + 1) / _STEPS
    rest = found.bins, found.pairs, found.sums
    if task.kind == "multiclass":
        entropy = _plogp(p) / math.log(task.planes)
        rule = np.array([*shares, item.scale], np.int64)
        kernels.look_at_classes(values, label.reshape(-1), valid, rule, entropy, *rest)
    else:
        entropy = (_plogp(p) + _plogp(1 - p)) / math.log(2)
        limits = [(2 * fixed_edge - 1) * (item.scale // 255)] * task.planes
        rule = np.array([*shares, *limits, item.scale], np.int64)
        kernels.look_at_planes(values, label.reshape(task.planes, -1), valid, rule, entropy, *rest)
    return found


def write_diagnosis(path: Path, found: Diagnosis) -> None:
    """Write diagnosis.json."""
    write_json(path, found.model_dump(mode="json"))


def read_diagnosis(path: Path) -> Diagnosis:
    """Read diagnosis.json.

    Raises:
        InputError: absent or damaged.
    """
    try:
        return Diagnosis.model_validate(read_json(path))
    except ValidationError as error:
        raise InputError("not a diagnosis of this version", where=path, fix="run maskwright decide") from error


def _plogp(p: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return -p ln p, 0 at 0."""
    return np.asarray(-p * np.log(np.where(p > 0, p, 1.0)), np.float64)


def _reliability(bins: NDArray[np.float64], task: Task) -> tuple[Reliability, ...]:
    names = [*task.plane_names, ""] if task.kind == "multiclass" else list(task.plane_names)
    rows = [_line(name, row) for name, row in zip(names, bins, strict=True)]
    return tuple(rows[-1:] + rows[:-1] if task.kind == "multiclass" else rows)


def _line(name: str, row: NDArray[np.float64]) -> Reliability:
    pixels, true, sums = row.T
    total = pixels.sum()
    facts: dict[str, Any] = {"error": None, "bias": None}
    if total:
        facts = {"error": float(np.abs(sums - true).sum() / total), "bias": float((sums.sum() - true.sum()) / total)}
    mean = np.divide(sums, pixels, out=np.zeros_like(sums), where=pixels > 0)
    return Reliability(
        name=name,
        pixels=tuple(int(value) for value in pixels),
        true=tuple(int(value) for value in true),
        mean=tuple(round(float(value), 6) for value in mean),
        **facts,
    )


def _pairs(total: _Looked, members: tuple[str, ...]) -> tuple[Pair, ...]:
    found = []
    for one, first in enumerate(members):
        for other in range(one + 1, len(members)):
            found.append(
                Pair(
                    first=first,
                    second=members[other],
                    together=int(total.pairs[0, one, other]),
                    differ=int(total.pairs[1, one, other]),
                    correlation=_phi(total.pairs[0], one, other, total.sums[0]),
                )
            )
    return tuple(found)


def _phi(together: NDArray[np.int64], one: int, other: int, pixels: float) -> float | None:
    """Return the correlation of two 0/1 variables, as Kuncheva and Whitaker (2003) compare classifiers."""
    both, first, second = (float(together[place]) for place in ((one, other), (one, one), (other, other)))
    room = first * (pixels - first) * second * (pixels - second)
    return None if room <= 0 else float((both * pixels - first * second) / math.sqrt(room))
