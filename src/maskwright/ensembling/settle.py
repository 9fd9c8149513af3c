"""One way to answer, applied to one item in whole numbers: the same answers, pixel for pixel, as blend.py writes."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from maskwright.core.labels import Task
from maskwright.core.recipe.crf import Crf
from maskwright.ensembling.choose import above, exclusive, likeliest, warm
from maskwright.ensembling.clean import Cleaning, Label, clean
from maskwright.ensembling.crf import smoothed
from maskwright.ensembling.oof import Item
from maskwright.ensembling.select import Shares
from maskwright.ensembling.thresholds import Edges
from maskwright.scoring.counts import count

UNIT = 65535
Numbers = NDArray[np.int64]


class Setting(NamedTuple):
    """One way to answer."""

    shares: Shares
    edges: Edges
    temperatures: tuple[int, ...] = ()
    """Step of each member, see choose.warm; empty: all as they are."""
    factors: tuple[int, ...] = ()
    """What each class of a multiclass blend is multiplied with; empty: alike."""
    priority: tuple[int, ...] = ()
    """Planes, first those that win; see choose.py."""
    cleaning: Cleaning = Cleaning()
    crf: Crf | None = None


def settle(item: Item, setting: Setting, task: Task) -> tuple[Label, NDArray[np.int32] | Numbers]:
    """Return the answer of a setting, smoothed but not cleaned, and the numbers it was chosen by, (K, H, W)."""
    units, scale = blended(item, setting, task)
    if task.kind == "multiclass":
        label, numbers = likeliest(units, setting.factors, setting.priority)
        return smoothed(label, setting.crf, task, item.look), numbers
    planes = exclusive(above(units, scale, setting.edges), setting.priority)
    return smoothed(planes if task.kind == "multilabel" else planes[0], setting.crf, task, item.look), units


def blended(item: Item, setting: Setting, task: Task) -> tuple[NDArray[np.int32], int]:
    """Return the weighted sum of the members, int32 (K, H, W), and what a probability of 1 is in it."""
    from maskwright.ensembling import kernels

    values, scale = heated(item.values, item.scale, setting, task)
    units = np.empty(values.shape[1:], np.int32)
    kernels.blend_members(values.reshape(len(values), -1), np.array(setting.shares, np.int64), units.reshape(-1))
    return units, scale * sum(setting.shares)


def heated(
    values: NDArray[np.uint16],
    scale: int,
    setting: Setting,
    task: Task,
    made: dict[tuple[int, int], NDArray[np.uint16]] | None = None,
) -> tuple[NDArray[np.uint16], int]:
    """Return the members' values (M, K, ...) at the setting's temperatures, and their scale.

    Args:
        values: stored probabilities of all members.
        scale: 255 or 65535.
        setting: its temperatures; a member without a share stays as it is.
        task: what is predicted.
        made: member and step -> values that were made before from the same ones; added to.
    """
    if not any(setting.temperatures):
        return values, scale
    known = {} if made is None else made
    result = np.empty_like(values)
    for place, step in enumerate(setting.temperatures):
        wanted = place, step if setting.shares[place] else 0
        if wanted not in known:
            units = values[place] if scale == UNIT else values[place] * np.uint16(UNIT // scale)
            known[wanted] = warm(units, wanted[1], task.kind)
        result[place] = known[wanted]
    return result, UNIT


def prepared(item: Item, settings: Iterable[Setting], task: Task) -> dict[Setting, tuple[Item, Setting]]:
    """Return for each setting the item at its temperatures and what else there is of it: none is computed twice."""
    warmed: dict[tuple[int, ...], Item] = {}
    members: dict[tuple[int, int], NDArray[np.uint16]] = {}
    found = {}
    for setting in settings:
        steps = setting.temperatures
        if steps not in warmed:
            everyone = setting._replace(shares=(1,) * len(steps))
            values, scale = heated(item.values, item.scale, everyone, task, members)
            warmed[steps] = replace(item, values=values, scale=scale)
        found[setting] = warmed[steps], setting._replace(temperatures=())
    return found


def answer_of(item: Item, setting: Setting, task: Task) -> Label:
    """Return the answer of a setting."""
    label, numbers = settle(item, setting, task)
    return clean(label, setting.cleaning, task, numbers)


def count_setting(item: Item, setting: Setting, task: Task) -> Numbers:
    """Return tp, fp, fn, tn of each plane of an item under a setting, int64 (4, K)."""
    return count(item.label, answer_of(item, setting, task), item.valid, task).stacked
