"""Two classes, or red and blue, exchanged in a part of a set: differences that turn round from item to item.

The difference between two classes (or channels) of one item is a vector; where they are exchanged it changes its
sign. Its principal axis without centring does not care, so the two groups fall apart by the sign along that axis. A
set is suspected only if the groups stand well apart and one is the mirror of the other in every direction at once.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, NamedTuple

import numpy as np
from numpy.typing import NDArray

from maskwright.core.labels import Task
from maskwright.data.findings import Finding, some

if TYPE_CHECKING:
    from maskwright.data.plausible.plausible import Clues

LEAST = 12
"""Items with both classes below which nothing is said."""
FEWEST = 3
"""Items that must be exchanged to be named."""
APART = 2.2
"""Mean over deviation of the distance from the border between the groups; 1.3 for half a normal distribution."""
APART_SIDES, AGREE = 1.3, 0.9
"""The same if the groups are two sets and the sign along the axis tells the set of this share of the items."""
MIRROR = 0.08
"""Squared length of the groups' sum over that of their difference. Measured 2026-11-21: on correct real sets no pair
of classes that stands apart comes below 0.148, exchanged ones mostly below 0.02 (docs/explain/mutations.md)."""
PIXELS = 12
"""Tiny pixels (of 4096) of a class below which an item says nothing about it."""
PAIRS = 400
"""Pairs of classes looked at, the most frequent first."""
COLOUR = 4.0
"""Mean absolute difference of red and blue below which an image counts as grey."""

Vectors = NDArray[np.float64]


class Groups(NamedTuple):
    """Items on both sides of the border."""

    apart: float
    mirror: float
    """nan: the smaller group is too small."""
    other: NDArray[np.bool_]
    """Which items are in the smaller group."""

    @property
    def exchanged(self) -> bool:
        """Whether the smaller group is the mirror image of the larger one."""
        return int(self.other.sum()) >= FEWEST and self.apart >= APART and self.mirror <= MIRROR


def exchanged(clues: Mapping[str, Clues], task: Task, where: str, side: str = "") -> list[Finding]:
    """Return pairs of classes that are exchanged in some items, or (with `side`) between two sets.

    Args:
        clues: labelled items by key.
        task: gives class names.
        where: recipe key of the set.
        side: beginning of the keys of the second of two sets; only exchanges between the sets are returned then.
    """
    keys = list(clues)
    names = task.plane_names if task.kind == "multilabel" else task.value_names
    counts = np.stack([clues[key].counts for key in keys])
    means = np.stack([clues[key].means for key in keys]).astype(np.float64)
    scale = _scale([clues[key].spread for key in keys])
    present = counts >= PIXELS
    together = present.T.astype(np.int64) @ present
    pairs = [(int(a), int(b)) for a, b in np.argwhere(np.triu(together >= LEAST, 1))]
    pairs.sort(key=lambda pair: -int(together[pair]))
    found: list[tuple[float, Finding]] = []
    for first, second in pairs[:PAIRS]:
        chosen = np.flatnonzero(present[:, first] & present[:, second])
        share = 0.5 * np.log(counts[chosen, first] / counts[chosen, second])
        vectors = np.c_[(means[chosen, first] - means[chosen, second]) @ scale, share]
        named = [keys[index] for index in chosen]
        pair = names[first], names[second]
        if side:
            groups = _by_side(vectors, named, side)
            told = _between(pair, named, groups, where)
        else:
            groups = split(vectors)
            told = _within(pair, named, groups, where)
        if groups.exchanged:
            found.append((groups.mirror, told))
    return [finding for _, finding in sorted(found, key=lambda entry: entry[0])[:1]]


def mixed_channels(clues: Mapping[str, Clues], where: str, side: str = "") -> list[Finding]:
    """Return whether red and blue are exchanged in some images, or (with `side`) between two sets.

    Args:
        clues: items by key.
        where: recipe key of the set.
        side: beginning of the keys of the second of two sets.
    """
    keys = [key for key, clue in sorted(clues.items()) if clue.image.shape[2] == 4 and _coloured(clue)]
    if len(keys) < LEAST:
        return []
    vectors = np.stack([_red_minus_blue(clues[key].image) for key in keys])
    if side:
        groups = _by_side(vectors, keys, side)
        what = f"red and blue of the test images are those of the training images exchanged ({_numbers(groups)})"
        fix = "look which files are BGR, and store all as RGB"
        return [Finding("channels_swapped", where, what, fix, (), _facts(groups))] if groups.exchanged else []
    groups = split(vectors)
    if not groups.exchanged:
        return []
    chosen = tuple(key for key, other in zip(keys, groups.other, strict=True) if other)
    what = f"red and blue are exchanged in {some(chosen, 3)}, unlike the other images ({_numbers(groups)})"
    return [Finding("channels_swapped", where, what, "store all images as RGB", chosen, _facts(groups))]


def split(vectors: Vectors) -> Groups:
    """Split items by the sign of their difference along its main axis.

    Args:
        vectors: (N, D), one difference an item.
    """
    axis = np.linalg.eigh(vectors.T @ vectors)[1][:, -1]
    along = vectors @ axis
    for _ in range(8):
        turned = vectors * np.where(along >= 0, 1.0, -1.0)[:, None]
        axis = turned.mean(axis=0)
        along = vectors @ (axis / max(float(np.linalg.norm(axis)), 1e-12))
    other = along < 0
    if other.mean() > 0.5:
        other = ~other
    away = np.abs(along)
    apart = float(away.mean() / max(float(away.std()), 1e-9))
    return Groups(apart, _mirror(vectors, other), other)


def mirrored(
    clues: Mapping[str, Clues], keys: Sequence[str], other: NDArray[np.bool_], judged: NDArray[np.bool_]
) -> bool:
    """Say whether classes 0 and 1 of some items differ as 1 and 0 of the others do.

    Args:
        clues: labelled items by key.
        keys: items with both classes.
        other: which of them are in question.
        judged: which of them count at all.
    """
    counts = np.stack([clues[key].counts for key in keys])
    means = np.stack([clues[key].means for key in keys]).astype(np.float64)
    apart = (means[:, 0] - means[:, 1]) @ _scale([clues[key].spread for key in keys])
    vectors = np.c_[apart, 0.5 * np.log(np.maximum(counts[:, 0], 1) / np.maximum(counts[:, 1], 1))]
    return _mirror(vectors[judged], other[judged]) <= MIRROR


def _mirror(vectors: Vectors, other: NDArray[np.bool_]) -> float:
    if not 1 < other.sum() < len(other) - 1:
        return float("nan")
    mine, theirs = vectors[~other].mean(axis=0), vectors[other].mean(axis=0)
    return float(((mine + theirs) ** 2).sum() / max(float(((mine - theirs) ** 2).sum()), 1e-12))


def _by_side(vectors: Vectors, keys: Sequence[str], side: str) -> Groups:
    """Take the two sets as the groups; they count as apart if the sign along the axis nearly always tells the set."""
    other = np.array([key.startswith(side) for key in keys])
    if min(int(other.sum()), int((~other).sum())) < FEWEST:
        return Groups(0.0, float("nan"), other)
    groups = split(vectors)
    agree = float((groups.other == other).mean())
    agree = max(agree, 1 - agree)
    told = agree >= AGREE and groups.apart >= APART_SIDES
    return Groups(max(groups.apart, APART) if told else 0.0, _mirror(vectors, other), other)


def _scale(spreads: Sequence[NDArray[np.float32]]) -> NDArray[np.float64]:
    """Return the matrix that makes features of one item comparable: the inverse root of their mean covariance."""
    mean = np.mean(np.stack(spreads).astype(np.float64), axis=0)
    steady = mean + np.diag(np.diag(mean)) * 0.1 + 9 * np.eye(len(mean))
    root: NDArray[np.float64] = np.linalg.cholesky(np.linalg.inv(steady))
    return root


def _coloured(clue: Clues) -> bool:
    image = clue.image.astype(np.int16)
    return float(np.abs(image[..., 0] - image[..., 2]).mean()) >= COLOUR


def _red_minus_blue(image: NDArray[np.uint8]) -> Vectors:
    """Describe how red and blue differ, by height, brightness and greenness; its sign turns with the channels."""
    red, green, blue = (image[..., band].astype(np.float64) for band in range(3))
    apart, light = red - blue, (red + green + blue) / 3
    low, high = np.quantile(light, (1 / 3, 2 / 3))
    parts = [light <= low, (light > low) & (light <= high), light > high]
    lushness = 2 * green - red - blue
    return np.array(
        [
            *(float(rows.mean()) for rows in np.array_split(apart, 3)),
            *(float(apart[part].mean()) if part.any() else 0.0 for part in parts),
            float(red.std() - blue.std()),
            float(((apart - apart.mean()) * (lushness - lushness.mean())).mean() / (lushness.std() + 2)),
            float(((apart - apart.mean()) * (light - light.mean())).mean() / (light.std() + 2)),
        ]
    )


def _numbers(groups: Groups) -> str:
    return f"separation {groups.apart:.1f}, rest after exchanging {groups.mirror:.1%}"


def _facts(groups: Groups) -> dict[str, float | int]:
    return {
        "separation": round(groups.apart, 2),
        "rest": round(groups.mirror, 4),
        "items": len(groups.other),
        "exchanged": int(groups.other.sum()),
    }


def _within(pair: tuple[str, str], keys: Sequence[str], groups: Groups, where: str) -> Finding:
    chosen = tuple(key for key, other in zip(keys, groups.other, strict=True) if other)
    what = (
        f"'{pair[0]}' and '{pair[1]}' look exchanged in {len(chosen)} of {len(keys)} items "
        f"({some(chosen, 3)}; {_numbers(groups)})"
    )
    fix = "look at these labels, and give all files the same class ids"
    return Finding("classes_swapped", where, what, fix, chosen, {**_facts(groups), "classes": list(pair)})


def _between(pair: tuple[str, str], keys: Sequence[str], groups: Groups, where: str) -> Finding:
    what = (
        f"'{pair[0]}' and '{pair[1]}' of the test labels look like the other of the two in the training labels "
        f"({_numbers(groups)}, {len(keys)} items)"
    )
    fix = "compare the class ids of both sets, and give values to the one that differs"
    return Finding("classes_swapped", where, what, fix, (), {**_facts(groups), "classes": list(pair)})
