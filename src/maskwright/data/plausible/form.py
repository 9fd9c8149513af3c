"""Whether labels have the form that their task promises: planes, ignore, foreground and borders, from counts alone."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

import numpy as np

from maskwright.core.labels import Task, looks_background
from maskwright.core.recipe.blocks import Data
from maskwright.core.recipe.sources import RleCsvSource
from maskwright.core.recipe.sources import Source as SourceBlock
from maskwright.data.findings import Finding, some
from maskwright.data.plausible.swap import mirrored

if TYPE_CHECKING:
    from maskwright.data.plausible.plausible import Clues

LEAST = 8
"""Items below which a set is not judged."""
BORDERS = ("left", "right", "top", "bottom")


def form(clues: Mapping[str, Clues], task: Task, block: SourceBlock | None, where: str) -> list[Finding]:
    """Return what the counts of a set's labels say against its task.

    Args:
        clues: labelled items by key.
        task: gives kind and class names.
        block: the source's block, for advice in its own words.
        where: recipe key of the set.
    """
    found: list[Finding] = []
    if len(clues) < LEAST:
        return found
    if task.kind == "multilabel":
        found += _disjoint(clues, task, where)
    if task.kind == "multiclass":
        found += _ignore_shifted(clues, task, where)
    return found + _wrapped(clues, block, where)


def check_recipe(task: Task, data: Data, bands: int | None = None) -> list[Finding]:
    """Return what looks wrong in a recipe before any pixel is read.

    Args:
        task: gives kind and class names.
        data: gives bands, normalisation and value maps.
        bands: of the images, if known.
    """
    found = []
    if task.kind == "multiclass" and len(task.classes) == 2 and looks_background(task.classes[0]):
        what = f"two classes, of which '{task.classes[0]}' is the background: a binary task with one plane too many"
        fix = "use kind: binary, unless the second plane is wanted"
        found.append(Finding("kind_doubtful", "task.kind", what, fix))
    if task.kind == "multilabel" and len(task.classes) == 1:
        what = f"multilabel with '{task.classes[0]}' alone is a binary task"
        found.append(Finding("kind_doubtful", "task.kind", what, "use kind: binary"))
    if data.normalize == "imagenet" and data.bands == (3, 2, 1) and bands in (None, 3):
        what = "[3, 2, 1] gives blue first, but ImageNet's means and weights expect red first"
        fix = "leave data.bands out if the files are RGB; keep it if they are stored as BGR"
        found.append(Finding("channel_order", "data.bands", what, fix))
    values = getattr(data.train, "values", None) or {}
    if task.kind == "multiclass" and 255 not in task.values and isinstance(values.get(255), int):
        name = task.classes[values[255]] if values[255] < len(task.classes) else str(values[255])
        what = f"255 is mapped to '{name}'; it mostly marks pixels that do not count"
        found.append(Finding("ignore_doubtful", "data.train.values", what, "map 255 to ignore, unless it is a class"))
    return found


def _disjoint(clues: Mapping[str, Clues], task: Task, where: str) -> list[Finding]:
    """Say that planes which never overlap and cover everything are one class a pixel."""
    nowhere, twice = (float(np.mean([clue.overlap[side] for clue in clues.values()])) for side in (0, 1))
    several = float(np.mean([(clue.counts > 0).sum() > 1 for clue in clues.values()]))
    if len(task.classes) < 2 or twice > 0 or nowhere > 0.01 or several < 0.5:
        return []
    what = f"every pixel of {len(clues)} items is in exactly one of the {len(task.classes)} planes ({1 - nowhere:.1%})"
    fix = "use kind: multiclass, unless planes may overlap elsewhere"
    return [Finding("planes_disjoint", where, what, fix, (), {"nowhere": round(nowhere, 4), "twice": twice})]


def _ignore_shifted(clues: Mapping[str, Clues], task: Task, where: str) -> list[Finding]:
    """Suspect label values that are one too low: the last class is absent and much does not count."""
    counts = np.sum([clue.counts for clue in clues.values()], axis=0)
    hidden = np.array([clue.hidden for clue in clues.values()])
    often = float((hidden > 0.02).mean())
    ends = [index for index in (0, len(counts) - 1) if counts[index] == 0]
    if len(ends) != 1 or often < 0.8 or float(hidden.mean()) < 0.05:
        return []
    name = task.classes[ends[0]]
    what = (
        f"class '{name}' ({ends[0]}) never occurs, while {hidden.mean():.0%} of the pixels do not count: "
        "label values may be shifted by one against task.classes"
    )
    fix = "compare the values of a mask with task.classes, task.ignore and values"
    return [Finding("classes_shifted", where, what, fix, (), {"class": name, "hidden": round(float(hidden.mean()), 4)})]


def inverted(clues: Mapping[str, Clues], task: Task, where: str) -> list[Finding]:
    """Suspect those masks whose background comes in many pieces on one large foreground, unlike the others.

    Args:
        clues: labelled items by key.
        task: only binary tasks are judged.
        where: recipe key of the set.
    """
    if task.kind != "binary":
        return []
    keys = [key for key, clue in clues.items() if clue.counts.sum() and clue.counts[1] and clue.counts[0]]
    if len(keys) < LEAST:
        return []
    share = np.array([clues[key].counts[1] / clues[key].counts.sum() for key in keys])
    inside, outside = (np.array([clues[key].pieces[side] for key in keys]) for side in (0, 1))
    wrong = (share > 0.5) & (outside >= 3 * np.maximum(inside, 1))
    right = (share < 0.5) & (inside >= 3 * np.maximum(outside, 1))
    judged = int(wrong.sum() + right.sum())
    name, facts = task.plane_names[0], {"inverted": int(wrong.sum()), "usual": int(right.sum()), "items": len(keys)}
    if judged < max(LEAST // 2, len(keys) // 5) or wrong.sum() < 3:
        return []
    if right.sum() < 0.5 * judged or not mirrored(clues, keys, wrong, wrong | right):
        return []
    chosen = tuple(key for key, flag in zip(keys, wrong, strict=True) if flag)
    what = f"masks of {some(chosen, 3)} look inverted: '{name}' is the ground, and the rest in many pieces"
    return [Finding("inverted_items", where, what, "look at them, and invert those", chosen, facts)]


def _wrapped(clues: Mapping[str, Clues], block: SourceBlock | None, where: str) -> list[Finding]:
    """Suspect masks that are one pixel off in their flat order: a border line holds the opposite border's pixels."""
    lines = np.array([clue.lines for clue in clues.values() if clue.lines], np.int64).reshape(-1, 4, 3)
    for side, border in enumerate(BORDERS):
        gained, lost, inner = lines[:, side].T
        edge = gained + lost
        more, less = int((edge > inner).sum()), int((edge < inner).sum())
        if (
            more < max(6, 0.3 * len(lines))
            or more < 4 * less
            or min(gained.sum(), lost.sum()) < max(10, 2 * inner.sum())
        ):
            continue
        what = (
            f"the {border} line of pixels does not continue the masks in {more} of {more + less} items that tell "
            f"({edge.sum()} pixels differ from the next line, {inner.sum()} one line further)"
        )
        fix = "look for an offset of one pixel in how the masks were flattened"
        late = border in ("left", "top")  # one pixel too far on, as base: 0 puts runs counted from 1
        if isinstance(block, RleCsvSource) and block.base == (0 if late else 1):
            fix = f"set base: {1 - block.base}"
        facts = {"border": border, "edge": int(edge.sum()), "inner": int(inner.sum()), "items": more}
        return [Finding("run_base", where, what, fix, (), facts)]
    return []
