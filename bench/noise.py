"""How often deciding keeps what is worthless, and whether it finds what is planted, for every kind of choice.

`python -m bench.noise [RUNS]`: simulated members and items, RUNS sets of each kind (200). No images are read.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
from scipy import ndimage

from maskwright.core.labels import Task
from maskwright.core.progress import Silent
from maskwright.core.recipe.blocks import Decision
from maskwright.data.folds.folds import FoldRow
from maskwright.ensembling.decide import decide
from maskwright.ensembling.oof import OutOfFold
from maskwright.inference.store import quantise

OFF = {"temperatures": "off", "class_weights": "off", "postprocess": "off", "blend": "mean"}
TASKS = {
    "binary": Task(kind="binary", classes=("roof",)),
    "multiclass": Task(kind="multiclass", classes=("ground", "roof", "road", "tree")),
}
CELL, SPOTS = 8, 0.6
"""Each cell of so many pixels a side holds one small square with this chance; squares do not touch."""
EVEN = (0.5, 0.52)
"""True shares of pieces and of holes at which no size is worth cleaning, but as nearly as can be. IoU rises when a
piece is taken away only if less than IoU / (1 + IoU) of it is true, and when a hole is filled only if less than
1 / (1 + IoU) of it is; IoU is 0.93 here. With several classes what one loses another wins, and one half is even."""
Change = Callable[[np.ndarray, np.ndarray, int], np.ndarray]
"""Probabilities (K, H, W), label and number of the member -> other probabilities."""


@dataclass
class Memory:
    """Stored probabilities of one member, without a disk."""

    folder: str
    items: dict[str, tuple[np.ndarray, np.ndarray, dict[str, Any]]]

    def keys(self) -> tuple[str, ...]:
        """Return all keys."""
        return tuple(sorted(self.items))

    def describe(self, key: str) -> tuple[tuple[int, ...], dict[str, Any]]:
        """Return shape and facts."""
        return self.items[key][0].shape, self.items[key][2]

    def read_item(self, key: str) -> tuple[np.ndarray, np.ndarray, int]:
        """Return values, valid and scale."""
        return *self.items[key][:2], 255


@dataclass(frozen=True)
class Set:
    """What is simulated.

    Args:
        kind: binary or multiclass.
        noises: of each member.
        common: share of the noise that all members have.
        items: how many.
        folds: how many.
        groups: how many; 0: each item is its own. Noise levels of members differ from group to group.
        smooth: truths are large regions, and noise has the grain of single pixels.
        change: what is done to probabilities.
        pieces: shares of the answer's small pieces and of its small holes that are true; no other error is made.
    """

    kind: str = "binary"
    noises: tuple[float, ...] = (1.0, 1.0)
    common: float = 0.99
    items: int = 30
    folds: int = 5
    groups: int = 0
    smooth: bool = False
    change: Change | None = None
    pieces: tuple[float, float] | None = None


def simulate(made: Set, seed: int, side: int = 12) -> OutOfFold:
    """Return out-of-fold items of a simulated set."""
    rng, task = np.random.default_rng(seed), TASKS[made.kind]
    stores = {f"m{index}": Memory(f"m{index}", {}) for index in range(len(made.noises))}
    labels, rows, everywhere = {}, [], np.ones((side, side), bool)
    levels = np.exp(0.3 * rng.normal(size=(max(made.groups, 1), len(made.noises)))) if made.groups else None
    for index in range(made.items):
        key, group = f"i{index:03d}", index % made.groups if made.groups else index
        label, said = _spotted(task, side, rng, *made.pieces) if made.pieces else (None, None)
        label = _label(task, side, rng, made.smooth) if label is None else label
        labels[key] = label
        fold = group % made.folds
        rows.append(FoldRow(key, f"g{group}", fold))
        hard, same = np.exp(0.5 * rng.normal()), rng.normal(size=(task.planes, side, side))
        for place, (noise, store) in enumerate(zip(made.noises, stores.values(), strict=True)):
            own = made.common**0.5 * same + (1 - made.common) ** 0.5 * rng.normal(size=same.shape)
            level = noise * hard * (1.0 if levels is None else float(levels[group, place]))
            values = _probabilities(label, task, level * own) if said is None else said
            if made.change is not None:
                values = made.change(values, label, place)
            facts = {"member": store.folder, "split": "oof", "folds": [fold]}
            store.items[key] = (quantise(values.astype(np.float32)), everywhere, facts)
    return OutOfFold(stores, rows, lambda key: (labels[key], everywhere), task)  # type: ignore[arg-type]


def _label(task: Task, side: int, rng: np.random.Generator, smooth: bool) -> np.ndarray:
    if smooth:
        depth = np.stack([ndimage.gaussian_filter(rng.normal(size=(side, side)), 4) for _ in range(task.planes)])
        return (depth.argmax(0) if task.kind == "multiclass" else depth[0] > 0).astype(np.uint8)
    if task.kind == "multiclass":
        shares = [0.25] * 4  # else the likeliest class is not what IoU wants
        return rng.choice(4, size=(side, side), p=shares).astype(np.uint8)
    return (rng.random((side, side)) < rng.uniform(0.2, 0.6)).astype(np.uint8)


def _spotted(
    task: Task, side: int, rng: np.random.Generator, pieces: float, holes: float
) -> tuple[np.ndarray, np.ndarray]:
    """Return a label, and probabilities (K, H, W) of an answer that differs from it in small squares alone.

    Each class has a stripe of its own; true and false squares are of the same sizes, so that no size tells them apart.
    """
    stripes = max(task.planes, 2)
    whole = np.repeat(np.arange(stripes), side // stripes)[None].repeat(side, 0)
    label, said = whole.copy(), whole.copy()
    for row in range(0, side, CELL):
        for col in range(0, side, CELL):
            if rng.random() < SPOTS:
                size, here = rng.integers(1, CELL - 3), whole[row, col]
                spot = slice(row + 2, row + 2 + size), slice(col + 2, col + 2 + size)
                other = (here + rng.integers(1, stripes)) % stripes
                said[spot] = other
                if rng.random() < (holes if task.kind == "binary" and here == 1 else pieces):
                    label[spot] = other
    if task.kind == "binary":
        return label.astype(np.uint8), np.where(said, 0.9, 0.1)[None]
    kinds = np.arange(stripes).reshape(-1, 1, 1)
    return label.astype(np.uint8), np.where(kinds == said, 0.6, np.where(kinds == whole, 0.3, 0.05))


def _probabilities(label: np.ndarray, task: Task, noise: np.ndarray) -> np.ndarray:
    if task.kind == "multiclass":
        logits = 2.0 * (np.arange(4).reshape(-1, 1, 1) == label) + noise
        grown = np.exp(logits - logits.max(0))
        return grown / grown.sum(0)
    return 0.5 + 0.5 * np.tanh(2.0 * label[None] - 1 + noise - 0.03)  # one half is best: measured by this simulation


def _surer(power: float, member: int) -> Change:
    def change(values: np.ndarray, label: np.ndarray, place: int) -> np.ndarray:
        if place != member:
            return values
        chances = np.clip(values, 0.004, 0.996)
        return chances**power / (chances**power + (1 - chances) ** power)

    return change


def _unfair(values: np.ndarray, label: np.ndarray, place: int) -> np.ndarray:
    weighed = values * np.array([2.5, 1, 1, 1]).reshape(-1, 1, 1)
    return weighed / weighed.sum(0)


def _shifted(values: np.ndarray, label: np.ndarray, place: int) -> np.ndarray:
    return np.clip(values - 0.25, 0, 1)


WORTHLESS = {
    "temperatures": [
        (Set(noises=(1.0, 1.0), common=c, items=n, folds=f, kind=kind), {"temperatures": "auto"})
        for c, n, f, kind in ((0.99, 12, 3, "binary"), (0.5, 30, 5, "binary"), (0.5, 30, 5, "multiclass"))
    ],
    "factors": [(Set(kind="multiclass", items=n, folds=f), {"class_weights": "auto"}) for n, f in ((12, 3), (30, 5))],
    "weights, few groups": [
        (Set(noises=(1.0,) * m, common=0.9, items=6 * g, folds=g, groups=g), {"blend": "weighted"})
        for m, g in ((2, 3), (3, 4), (2, 5), (4, 7))
    ],
    "thresholds, few groups": [(Set(noises=(1.0,), items=24, folds=3, groups=3), {"thresholds": "auto"})],
    "weights": [
        (Set(noises=(1.0,) * m, items=n, folds=f), {"blend": "weighted"})
        for m, n, f in ((2, 12, 2), (3, 30, 5), (4, 30, 5), (6, 40, 4))
    ],
    "cleaning": [
        (Set(noises=(1.0,), items=n, folds=f, kind=kind, pieces=EVEN), {"postprocess": "auto"})
        for n, f, kind in ((12, 3, "binary"), (16, 4, "binary"), (30, 5, "binary"), (30, 5, "multiclass"))
    ],
    "thresholds": [(Set(noises=(1.0,), items=n, folds=f), {"thresholds": "auto"}) for n, f in ((12, 2), (30, 5))],
}
"""Choice -> sets on which it can gain nothing but by chance, and what is tuned."""
PLANTED = {
    "thresholds": [(Set(noises=(1.0,), change=_shifted), {"thresholds": "auto"})],
    "weights": [(Set(noises=(0.7, 1.4), common=0.0, items=20, folds=4), {"blend": "weighted"})],
    "weights, 5 members": [(Set(noises=(0.7, 1.4, 3.0, 1.4, 3.0), common=0.0), {"blend": "weighted"})],
    "temperatures": [(Set(noises=(0.8, 1.6), common=0.0, change=_surer(8.0, 1)), {"temperatures": "auto"})],
    "factors": [(Set(kind="multiclass", change=_unfair), {"class_weights": "auto"})],
    "cleaning": [(Set(noises=(1.0,), smooth=True, common=1.0), {"postprocess": "auto"})],
    "cleaning, 9 of 10 false": [
        (Set(noises=(1.0,), items=16, folds=4, kind=kind, pieces=(0.1, 0.1)), {"postprocess": "auto"}) for kind in TASKS
    ],
    "cleaning, 6 of 10 false": [
        (Set(noises=(1.0,), kind=kind, pieces=(0.4, 0.4)), {"postprocess": "auto"}) for kind in TASKS
    ],
    "weights, 3 groups": [(Set(noises=(0.7, 2.0), common=0.0, items=24, folds=3, groups=3), {"blend": "weighted"})],
}
"""Choice -> sets on which it gains much, and what is tuned."""


def kept(sets: list[tuple[Set, dict[str, Any]]], runs: int) -> Iterator[tuple[Set, float]]:
    """Give each set and the share of runs in which the one choice that is tried was kept."""
    for made, tuned in sets:
        found = 0
        for seed in range(runs):
            oof = simulate(made, 1000 + seed, 32 if made.smooth or made.pieces else 12)
            decision = decide(
                oof,
                oof.task,
                Decision(**{**OFF, "thresholds": "fixed" if made.kind == "binary" else "argmax", **tuned}),
                Silent(),
            ).decision
            found += any(choice.kept for choice in decision.evidence.choices)
        yield made, found / runs


def main(runs: int) -> None:
    """Print a table."""
    for title, table in (("worthless", WORTHLESS), ("planted", PLANTED)):
        for what, sets in table.items():
            for made, share in kept(sets, runs if title == "worthless" else max(runs // 4, 1)):
                groups = f", {made.groups} groups" if made.groups else ""
                size = f"{len(made.noises)} members, {made.items} items, {made.folds} folds{groups}, {made.kind}"
                print(f"{title:10} {what:24} {size:60} kept {100 * share:5.1f} %", flush=True)


if __name__ == "__main__":
    main(int(sys.argv[1]) if len(sys.argv) > 1 else 200)
