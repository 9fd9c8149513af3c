"""Choosing weights and thresholds: time per item, linear in stored bytes, beside reading the bytes once."""

from __future__ import annotations

import tempfile
from pathlib import Path

import numpy as np

from bench.common import Row, contest, row
from maskwright.core.labels import Task
from maskwright.core.progress import Silent
from maskwright.core.recipe.blocks import Decision
from maskwright.data.folds.folds import FoldRow
from maskwright.ensembling.decide import decide
from maskwright.ensembling.oof import OutOfFold
from maskwright.ensembling.tally import Tally
from maskwright.ensembling.thresholds import edge_value
from maskwright.inference.store import Store, quantise

MEMBERS, FOLDS, ITEMS, SIDE = 4, 5, 240, 128
LOOPED = 4
"""Items the threshold loop is timed on; it is linear and slow."""


def scenes(folder: Path, task: Task) -> OutOfFold:
    """Write smooth probabilities of all members and return them as out-of-fold items."""
    rng = np.random.default_rng(0)
    stores = {f"m{index}": Store(folder / f"m{index}") for index in range(MEMBERS)}
    labels, rows = {}, []
    y, x = np.mgrid[:SIDE, :SIDE] / SIDE
    for index in range(ITEMS):
        key, fold = f"i{index:04d}", index % FOLDS
        centre = rng.uniform(0.2, 0.8, (task.planes, 2, 1, 1))
        depth = 0.3 - np.hypot(x - centre[:, 0], y - centre[:, 1])
        deepest = depth.argmax(0).astype(np.uint8)
        labels[key] = deepest if task.kind == "multiclass" else (depth > 0).astype(np.uint8).reshape(SIDE, SIDE)
        rows.append(FoldRow(key, key, fold))
        for place, (name, store) in enumerate(stores.items()):
            logits = 40 * depth + (1 + place) * rng.normal(size=depth.shape)
            grown = np.exp(logits - logits.max(0))
            made = grown / grown.sum(0) if task.kind == "multiclass" else 1 / (1 + np.exp(-np.clip(logits, -30, 30)))
            facts = {"member": name, "split": "oof", "folds": [fold]}
            store.write_quantised(key, quantise(made.astype(np.float32)), np.ones((SIDE, SIDE), bool), facts)
    everywhere = np.ones((SIDE, SIDE), bool)
    return OutOfFold(stores, rows, lambda key: (labels[key], everywhere), task)


def read_all(oof: OutOfFold) -> None:
    """Read every stored byte once, which any way to decide must do."""
    for entry in oof.entries:
        for store in oof._stores.values():
            store.read_item(entry.key)


def loop(oof: OutOfFold, tally: Tally) -> None:
    """Blend in float and compare at 255 thresholds, the way of most notebooks, for LOOPED items."""
    for entry in oof.entries[:LOOPED]:
        item = oof.read(entry)
        for shares in tally.candidates:
            blend = np.tensordot(np.array(shares) / sum(shares), item.values / np.float32(item.scale), 1)[0]
            for edge in range(1, 256):
                said = blend >= edge_value(edge)
                (said & (item.label == 1)).sum(), said.sum()


def rows() -> list[Row]:
    """Time decide on binary and 11-class items."""
    found = []
    tasks = {
        "binary": Task(kind="binary", classes=("roof",)),
        "11 classes": Task(kind="multiclass", classes=tuple("abcdefghijk")),
    }
    for name, task in tasks.items():
        with tempfile.TemporaryDirectory() as folder:
            oof = scenes(Path(folder), task)
            contestants = {
                "ours": lambda oof=oof, task=task: decide(oof, task, Decision(), Silent()),
                "floor": lambda oof=oof: read_all(oof),
            }
            times = {key: value / ITEMS for key, value in contest(contestants, rounds=5, least=0.0).items()}
            if task.kind == "binary":
                tally = Tally(task, "iou", ((1, 1, 1, 1), (1, 0, 0, 0), (0, 1, 0, 0), (0, 0, 1, 0), (0, 0, 0, 1)), (0,))
                spent = contest({"loop": lambda oof=oof, tally=tally: loop(oof, tally)}, rounds=3, least=0.0)
                times["threshold loop, 5 blends"] = spent["loop"] / LOOPED
            note = f"{MEMBERS} members x {FOLDS} folds x {ITEMS} items of {SIDE} x {SIDE}, per item; floor: reading"
            found.append(row(f"decide, {name}", times, note=note))
    return found
