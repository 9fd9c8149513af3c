"""Where one item's label and probabilities of models that never saw it disagree more than the models' doubts explain.

Five things make a doubt comparable between easy and hard items, and between classes:

- `trust`: how sure the models are, out of fold, where a label says the class. Probabilities are divided by it, so that
  a class they are never sure of is not suspected everywhere (the class thresholds of confident learning: Northcutt,
  Jiang, Chuang 2021, Journal of Artificial Intelligence Research 70).
- `telling`: how much more often they say a class where labels say it than where labels say the class in question (the
  off-diagonal of the same work's confident joint). Models that take every pole for a building accuse no pole.
- `rarity`: how seldom the models contradict a label of the class so surely. Where they take most poles for something
  else, one more says little; where they know nearly every road, it says much.
- how far a label drawn from these probabilities would be from them: where the models are unsure themselves, a
  disagreement says little.
- `radius`: how thick an object of the class is. A region as thin as two opinions of one edge is no wrong label.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from maskwright.core.labels import Task, looks_background

Floats = NDArray[np.float32]
Label = NDArray[np.uint8]
Mask = NDArray[np.bool_]
TRUST_FLOOR = 0.2
"""No class is made more than five times as likely as the models say."""
FEWEST_PIXELS = 9
"""Smaller components are no objects, and no regions to look at."""
BINS = 256
"""Of margins from 0 to 1."""
MOST_REGIONS = 100
"""Of one item."""
LEAST_SCORE = 0.05
"""Regions below are not kept."""
SHIFT_SIDE = 512
"""Larger items are averaged down to about this side to look for a shift."""
FURTHEST = 1 / 8
"""Shifts are looked for up to this share of an item's side."""
SHIFT_GAIN = 0.1
"""How much better a shifted label must correlate with the models for the shift to be told."""
SHIFT_MATCH = 0.4
"""And how well at least: an inverted label fits nowhere, though less badly somewhere else."""


class Layer(NamedTuple):
    """A label whose values exclude each other, and the probability of each: an item has one, or one a plane."""

    probability: Floats
    """(C, H, W), adding up to 1."""
    label: Label
    """(H, W), values below C."""
    valid: Mask


def layers(probability: Floats, label: Label, valid: Mask, task: Task) -> Iterator[Layer]:
    """Give the layers of an item: one, or for multilabel one of each plane with the values absent and present.

    Args:
        probability: float32 (K, H, W) in [0, 1].
        label: uint8 (H, W), multilabel (K, H, W).
        valid: bool (H, W).
        task: what labels mean.
    """
    if task.kind == "multiclass":
        yield Layer(probability, label, valid)
        return
    for plane, values in zip(probability, label.reshape(probability.shape), strict=True):
        yield Layer(np.stack([1 - plane, plane]), values, valid)


def layer_names(task: Task) -> tuple[tuple[str, ...], ...]:
    """Return the names of the values of each layer."""
    if task.kind == "multilabel":
        return tuple((f"no {name}", name) for name in task.classes)
    return (task.value_names,)


def nothing(task: Task) -> int | None:
    """Return the value of a layer that stands for nothing; None: every value is something."""
    return 0 if task.kind != "multiclass" or looks_background(task.classes[0]) else None


@dataclass
class Gathered:
    """What the items of a set say of the classes of one layer; it adds up.

    Args:
        classes: C.
    """

    classes: int
    said: NDArray[np.float64] = field(init=False)
    """(C, C): sums of the probability of each class (columns) over the pixels that labels give each (rows)."""
    pixels: NDArray[np.float64] = field(init=False)
    radii: list[list[float]] = field(init=False)
    areas: list[list[int]] = field(init=False)

    def __post_init__(self) -> None:
        self.said, self.pixels = np.zeros((self.classes, self.classes)), np.zeros(self.classes)
        self.radii, self.areas = [[] for _ in range(self.classes)], [[] for _ in range(self.classes)]

    def add(self, other: Gathered) -> None:
        """Take in another's items."""
        self.said += other.said
        self.pixels += other.pixels
        for value in range(self.classes):
            self.radii[value] += other.radii[value]
            self.areas[value] += other.areas[value]

    def norm(self) -> Norm:
        """Return what doubts are measured with; a class that no label has gets that of all together."""
        mean = self.said / np.maximum(self.pixels, 1)[:, None]
        sure = np.where(self.pixels > 0, np.diag(mean), np.trace(self.said) / max(self.pixels.sum(), 1))
        telling = 2 * (sure[None] - mean) / np.maximum(sure[None] + mean, 1e-9)
        radii = [float(np.median(found)) if found else np.inf for found in self.radii]
        areas = [float(np.median(found)) if found else 0.0 for found in self.areas]
        return Norm(np.clip(sure, TRUST_FLOOR, 1), np.clip(telling, 0, 1), np.array(radii), np.array(areas))


class Norm(NamedTuple):
    """What doubts of one layer are measured with."""

    trust: NDArray[np.float64]
    """(C,) mean probability of the labelled class, TRUST_FLOOR..1."""
    telling: NDArray[np.float64]
    """(C, C) 0..1: what it says that models say a class (columns) where labels say another (rows). 1: they say it at
    least three times as surely where labels do; 0: not more surely there."""
    radius: NDArray[np.float64]
    """(C,) median radius of the largest circle in an object, in pixels; infinite where there are none."""
    area: NDArray[np.float64]
    """(C,) median area of objects in pixels."""


def gather(layer: Layer) -> Gathered:
    """Return what one item says of the classes."""
    found = Gathered(len(layer.probability))
    for value in range(found.classes):
        here = (layer.label == value) & layer.valid
        found.pixels[value] = here.sum()
        found.said[value] = layer.probability[:, here].sum(1, dtype=np.float64)
        for component in _components(here):
            found.radii[value].append(component.radius)
            found.areas[value].append(component.area)
    return found


@dataclass(frozen=True)
class Region:
    """Connected pixels where a label says one thing and the models another."""

    given: int
    """What the label says."""
    likely: int
    """What the models say."""
    score: float
    """0..1: how sure they are of it, less for what is thinner than objects are; rarity is not in it yet."""
    margin: float
    """By how much likely leads given, as far as that is telling; the middle counts more than the rim."""
    area: int
    """In pixels."""
    radius: float
    """Of the largest circle in it, in pixels."""
    box: tuple[int, int, int, int]
    """Row, column, height, width."""
    mask: NDArray[np.uint8]
    """(height, width) of 0 and 1."""


@dataclass(frozen=True)
class Doubt:
    """What is odd with one layer of an item."""

    score: float
    """0: nothing that the models are sure is wrong; 1: all of it is."""
    shift: tuple[int, int] | None
    """Rows and columns by which the label should be moved, if that makes it fit much better."""
    gain: float
    """What the correlation gains by that shift."""
    regions: tuple[Region, ...]
    """The most suspicious first."""
    margins: NDArray[np.int64]
    """(C, BINS) pixels that labels give each class, by how far another leads there; it adds up over items."""


def rarity(margins: NDArray[np.int64]) -> NDArray[np.float64]:
    """Return how telling it is that another class leads by as much where labels say a class, (C, BINS) 0..1.

    It is 1 less the root of the share of the class's pixels that are contradicted as surely: 0 where all are, .9 where
    one in a hundred is.

    Args:
        margins: int64 (C, BINS), see Doubt, of all items.
    """
    surer = np.cumsum(margins[:, ::-1], 1)[:, ::-1]
    result: NDArray[np.float64] = 1 - np.sqrt(surer / np.maximum(margins.sum(1, keepdims=True), 1))
    return result


def margin_bin(margin: float) -> int:
    """Return the bin of a margin of 0 to 1; what is less counts as 0."""
    return min(max(int(margin * BINS), 0), BINS - 1)


def doubt(layer: Layer, norm: Norm, background: int | None) -> Doubt:
    """Compare a label with probabilities of models that never saw the item.

    Args:
        layer: of the item.
        norm: from all items.
        background: the value that stands for nothing, if one does.
    """
    fair = balanced(layer.probability, norm.trust)
    likely, margin = _margins(fair, layer, norm)
    shift, gain = best_shift(fair, layer, background)
    regions = sorted(_regions(likely, margin, layer, norm, background), key=lambda one: (-one.score, one.box))
    bins = np.clip((margin[layer.valid] * BINS).astype(np.int64), 0, BINS - 1)
    margins = np.bincount(layer.label[layer.valid] * np.int64(BINS) + bins, minlength=len(norm.trust) * BINS)
    score = _score(likely, margin, layer, norm, background)
    return Doubt(score, shift, gain, tuple(regions[:MOST_REGIONS]), margins.reshape(-1, BINS))


def balanced(probability: Floats, trust: NDArray[np.float64]) -> Floats:
    """Return probabilities divided by how sure the models are of each class where it is, adding up to 1."""
    fair = probability / trust.astype(np.float32)[:, None, None]
    fair /= np.maximum(fair.sum(0, keepdims=True), np.float32(1e-9))
    return fair


def _margins(fair: Floats, layer: Layer, norm: Norm) -> tuple[Label, Floats]:
    """Return the likeliest value of each pixel, and by how much it leads the label's, as far as that is telling."""
    likely = fair.argmax(0).astype(np.uint8)
    sure, said = (np.take_along_axis(fair, values[None].astype(np.intp), 0)[0] for values in (likely, layer.label))
    telling = norm.telling.astype(np.float32)[layer.label, likely]
    return likely, np.where(layer.valid, (sure - said) * telling, np.float32(0))


def _score(likely: Label, margin: Floats, layer: Layer, norm: Norm, background: int | None) -> float:
    """Return which share of what label or models call something the models are sure is labelled wrongly.

    A pixel that is likelier another class by m counts m (1 + m) / 2. Of two classes with p for the other one that is
    p (2 p - 1): what |label - p| is more than 2 p (1 - p), which is to be expected of a label drawn from p. So models
    that waver accuse nobody. Each class counts by the root of its pixels, so that a small one is heard beside a large
    one; half an object of its class is added to them, so that a few pixels are no evidence.
    """
    weights = margin * (1 + margin) / 2
    short, total = 0.0, 0.0
    for value in range(len(norm.trust)):
        if value == background and len(norm.trust) == 2:
            continue
        either = ((layer.label == value) | (likely == value)) & layer.valid
        area = float(either.sum())
        root = area**0.5
        short += root * float(weights[either].sum(dtype=np.float64)) / (area + max(0.5 * norm.area[value], 1.0))
        total += root
    return float(short / total) if total else 0.0


def _regions(likely: Label, margin: Floats, layer: Layer, norm: Norm, background: int | None) -> Iterator[Region]:
    differ = margin > 0
    classes = len(norm.trust)
    pairs = layer.label.astype(np.int32) * classes + likely
    for pair in np.unique(pairs[differ]):
        given, other = divmod(int(pair), classes)
        usual = min(norm.radius[value] for value in (given, other) if value != background)
        for found in _components(differ & (pairs == pair)):
            rows, cols = found.window
            weight = found.depth * found.mask
            strength = float((margin[rows, cols] * weight).sum() / weight.sum())
            score = strength * min(1.0, found.radius / usual)
            if score >= LEAST_SCORE:
                yield Region(given, other, score, strength, found.area, found.radius, found.box, found.mask)


class _Component(NamedTuple):
    box: tuple[int, int, int, int]
    mask: NDArray[np.uint8]
    depth: Floats
    """(h, w) distance of each pixel to the rim."""
    area: int

    @property
    def radius(self) -> float:
        return float((self.depth * self.mask).max())

    @property
    def window(self) -> tuple[slice, slice]:
        row, col, height, width = self.box
        return slice(row, row + height), slice(col, col + width)


def _components(mask: Mask) -> Iterator[_Component]:
    """Yield the 8-connected components of a mask that are no specks."""
    import cv2

    plain = np.ascontiguousarray(mask).view(np.uint8)
    if not plain.any():
        return
    count, numbers, stats, _ = cv2.connectedComponentsWithStats(plain, connectivity=8)
    depth = cv2.distanceTransform(plain, cv2.DIST_L2, cv2.DIST_MASK_5)
    for number in range(1, count):
        left, top, width, height, area = (int(value) for value in stats[number])
        if area >= FEWEST_PIXELS:
            where = slice(top, top + height), slice(left, left + width)
            yield _Component((top, left, height, width), (numbers[where] == number).view(np.uint8), depth[where], area)


def best_shift(fair: Floats, layer: Layer, background: int | None) -> tuple[tuple[int, int] | None, float]:
    """Return the shift of a label that correlates best with the models, and what the correlation gains by it.

    Args:
        fair: (C, H, W).
        layer: gives label and valid.
        background: the value that stands for nothing.

    Returns:
        rows and columns to move the label by, None where no shift is much better than none; and the gain.
    """
    height, width = layer.label.shape
    step = max(1, round(max(height, width) / SHIFT_SIDE))
    values = [value for value in range(len(fair)) if value != background]
    total: NDArray[np.float64] | None = None
    weights = 0.0
    for value in values:
        seen = _shrunk(np.where(layer.valid, fair[value], 0), step)
        said = _shrunk(((layer.label == value) & layer.valid).astype(np.float32), step)
        if said.std() < 1e-6 or seen.std() < 1e-6:
            continue
        weight = float(np.sqrt(said.sum()))
        found = weight * _correlations(seen, said)
        total = found if total is None else total + found
        weights += weight
    if total is None:
        return None, 0.0
    curve = total / weights
    far = tuple(max(1, int(side * FURTHEST)) for side in curve.shape)
    rows, cols = (np.arange(-reach, reach + 1) for reach in far)
    near = curve[np.ix_(rows, cols)]
    best = np.unravel_index(int(near.argmax()), near.shape)
    gain = float(near[best] - curve[0, 0])
    if gain < SHIFT_GAIN or near[best] < SHIFT_MATCH:
        return None, max(gain, 0.0)
    return (int(rows[best[0]]) * step, int(cols[best[1]]) * step), gain


def _correlations(seen: Floats, said: Floats) -> NDArray[np.float64]:
    """Return Pearson's correlation of `seen` with `said` moved by each (row, column), around the edges."""
    one, other = (each.astype(np.float64) - each.mean(dtype=np.float64) for each in (seen, said))
    product = np.fft.irfft2(np.fft.rfft2(one) * np.conj(np.fft.rfft2(other)), s=one.shape)
    result: NDArray[np.float64] = product / np.sqrt((one**2).sum() * (other**2).sum())
    return result


def _shrunk(plane: NDArray[np.float32], step: int) -> Floats:
    """Average squares of step x step pixels; what is left at the edge is cut off."""
    if step == 1:
        return plane
    height, width = (side // step * step for side in plane.shape)
    shape = (height // step, step, width // step, step)
    result: Floats = plane[:height, :width].reshape(shape).mean((1, 3))
    return result


def joined(doubts: Sequence[Doubt]) -> tuple[float, tuple[int, int] | None]:
    """Return score and shift of an item from those of its layers: the most suspicious layer speaks for it."""
    moved = max(doubts, key=lambda one: one.gain)
    return max(one.score for one in doubts), moved.shift
