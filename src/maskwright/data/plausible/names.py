"""Whether classes look like their names: sky above the road, trees greener than walls, poles smaller than buildings."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, NamedTuple

import numpy as np
from numpy.typing import NDArray

from maskwright.core.labels import Task
from maskwright.data.findings import Finding

if TYPE_CHECKING:
    from maskwright.data.plausible.plausible import Clues

LEAST = 8
"""Items with both classes below which a pair is not judged."""
SHARE, STUDENT = 0.8, 5.0
"""A pair is suspected if it is the wrong way round in this share of its items, and by this t."""
PIXELS = 12
"""Tiny pixels (of 4096) of a class below which an item says nothing about it."""


class Trait(NamedTuple):
    """Something that some names promise more of than others."""

    more: str
    """How the first class should be, compared with the second."""
    high: frozenset[str]
    low: frozenset[str]
    measure: Callable[[NDArray[np.float64], NDArray[np.float64]], NDArray[np.float64]]
    """From means (N, F) of a class and its share of each image (N,) to the trait (N,)."""
    least: float
    """A smaller difference says nothing."""
    colour: bool = False
    """It needs red, green and blue."""
    beside: frozenset[str] = frozenset()
    """It is promised only if a class of one of these names is there too."""


def unlike_names(clues: Mapping[str, Clues], task: Task, where: str) -> list[Finding]:
    """Return the pair of classes that contradicts its names most.

    Args:
        clues: labelled items by key.
        task: gives class names.
        where: recipe key of the set.
    """
    names = task.plane_names if task.kind == "multilabel" else task.value_names
    counts = np.stack([clue.counts for clue in clues.values()])
    means = np.stack([clue.means for clue in clues.values()]).astype(np.float64)
    coloured = means.shape[2] == 6 and _coloured(means)
    words = [_words(name) for name in names]
    worst: tuple[float, Finding] | None = None
    for trait in TRAITS:
        if (trait.colour and not coloured) or (trait.beside and not any(word & trait.beside for word in words)):
            continue
        for first, second in _pairs(words, trait):
            chosen = (counts[:, first] >= PIXELS) & (counts[:, second] >= PIXELS)
            if int(chosen.sum()) < LEAST:
                continue
            shares = counts[chosen] / counts[chosen].sum(axis=1, keepdims=True)
            gain = trait.measure(means[chosen, first], shares[:, first])
            gain = gain - trait.measure(means[chosen, second], shares[:, second])
            student = float(gain.mean()) / max(float(gain.std(ddof=1)) / len(gain) ** 0.5, 1e-9)
            against = int((gain < 0).sum())
            sure = student <= -STUDENT and against >= SHARE * len(gain) and float(gain.mean()) <= -trait.least
            if sure and (worst is None or student < worst[0]):
                worst = student, _say(names[first], names[second], trait, (against, len(gain), student), where)
    return [] if worst is None else [worst[1]]


def _say(first: str, second: str, trait: Trait, numbers: tuple[int, int, float], where: str) -> Finding:
    against, items, student = numbers
    what = f"'{first}' should be {trait.more} '{second}', but is not in {against} of {items} items (t = {student:.0f})"
    fix = ORDER if trait.more != BLUER else "look whether the files are BGR, and whether task.classes is in order"
    facts = {"classes": [first, second], "trait": trait.more, "t": round(student, 1), "items": items}
    return Finding("class_names", where, what, fix, (), facts)


def _words(name: str) -> frozenset[str]:
    """Split a class name into lower-case words, in the singular as well."""
    parts = re.findall(r"[a-z]+", re.sub(r"([a-z])([A-Z])", r"\1 \2", name).lower())
    return frozenset(parts) | {part[:-1] for part in parts if part.endswith("s")}


def _pairs(words: list[frozenset[str]], trait: Trait) -> list[tuple[int, int]]:
    """Pair each class that should have more with each that should have less; a name of both kinds says nothing."""
    high = [index for index, word in enumerate(words) if word & trait.high and not word & (trait.low | DOUBTFUL)]
    low = [index for index, word in enumerate(words) if word & trait.low and not word & (trait.high | DOUBTFUL)]
    return [(first, second) for first in high for second in low]


def _coloured(means: NDArray[np.float64]) -> bool:
    apart = np.abs(means[..., 0] - means[..., 2])
    return bool(np.isfinite(apart).any() and float(np.nanmean(apart)) >= 2.0)


def _height(means: NDArray[np.float64], shares: NDArray[np.float64]) -> NDArray[np.float64]:
    del shares
    above: NDArray[np.float64] = -means[:, -2]
    return above


def _green(means: NDArray[np.float64], shares: NDArray[np.float64]) -> NDArray[np.float64]:
    del shares
    lushness: NDArray[np.float64] = 2 * means[:, 1] - means[:, 0] - means[:, 2]
    return lushness


def _blue(means: NDArray[np.float64], shares: NDArray[np.float64]) -> NDArray[np.float64]:
    del shares
    blueness: NDArray[np.float64] = means[:, 2] - means[:, 0]
    return blueness


def _size(means: NDArray[np.float64], shares: NDArray[np.float64]) -> NDArray[np.float64]:
    del means
    return np.log(shares)


ORDER = "check the order of task.classes, and whether label values are shifted by one"
BLUER = "bluer than"
GROUND = frozenset({"road", "street", "pavement", "sidewalk", "floor", "lane", "crosswalk", "rail"})
PLANT = frozenset({"tree", "vegetation", "grass", "forest", "plant", "leaf", "shrub", "bush", "meadow", "lawn", "crop"})
BUILT = frozenset({"building", "house", "facade", "wall", "roof", "road", "street", "pavement", "sidewalk", "car"})
THINGS = frozenset({"car", "fence", "pedestrian", "person", "bicyclist", "cyclist", "bus", "truck", "bicycle"})
DOUBTFUL = frozenset({"not", "non", "no", "other", "shadow", "background", "marking", "mark", "sign", "light"})
"""Words that turn a name's meaning."""
TRAITS: tuple[Trait, ...] = (
    Trait("above", frozenset({"sky", "ceiling", "cloud"}), GROUND | THINGS | {"building", "house"}, _height, 16.0),
    Trait("above", frozenset({"building", "tree"}), GROUND, _height, 16.0, beside=frozenset({"sky"})),
    Trait("above", frozenset({"facade", "window", "balcony"}), GROUND, _height, 16.0),
    Trait("greener than", PLANT, BUILT, _green, 6.0, True),
    Trait(BLUER, frozenset({"sky"}), PLANT, _blue, 8.0, True),
    Trait(
        "larger than",
        frozenset({"sky", "road", "building", "facade", "ground"}),
        frozenset({"pole", "pedestrian", "person", "bicyclist", "cyclist", "window", "lamp", "bin"}),
        _size,
        0.7,
    ),
)
"""What names promise; only pairs of which both are named are compared."""
