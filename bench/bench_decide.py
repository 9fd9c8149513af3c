"""Choosing weights and thresholds, and scoring each item by them: time per item beside reading the bytes once.

`python -m bench.bench_decide 1000` measures the whole promise instead: 5 folds x 4 members x 1,000 stored items
in under a minute, in seconds of the clock and of the processor, with the most memory that was used.
"""

from __future__ import annotations

import resource
import sys
import tempfile
import time
from pathlib import Path

import numpy as np

from bench.common import Row, contest, row
from maskwright.core.labels import Task
from maskwright.core.progress import Silent
from maskwright.core.recipe.blocks import Decision
from maskwright.data.folds.folds import FoldRow
from maskwright.ensembling.decide import decide
from maskwright.ensembling.diagnosis import diagnose
from maskwright.ensembling.items import rows_of
from maskwright.ensembling.oof import OutOfFold
from maskwright.ensembling.tally import Tally
from maskwright.ensembling.thresholds import edge_value
from maskwright.inference.store import Store, quantise
from maskwright.scoring.measures import Measure

MEMBERS, FOLDS, ITEMS, SCENES = 4, 5, 80, 20
LOOPED = 2
"""Items the threshold loop is timed on; it is linear and slow."""
MINUTE = 60 / 1000
"""Seconds for one item of a thousand."""
WORK = {
    "binary 512 x 512": (Task(kind="binary", classes=("roof",)), 512),
    "11 classes 256 x 256": (Task(kind="multiclass", classes=tuple("abcdefghijk")), 256),
}


def scene(task: Task, side: int, rng: np.random.Generator) -> tuple[np.ndarray, list[np.ndarray]]:
    """Return a label of smooth regions and every member's probabilities of it, blurred and noisy near outlines."""
    import cv2

    depth = np.stack([cv2.GaussianBlur(rng.normal(size=(side, side)), (0, 0), side / 24) for _ in range(task.planes)])
    depth *= 3 / depth.std()
    deepest = depth.argmax(0).astype(np.uint8)
    label = deepest if task.kind == "multiclass" else (depth[0] > 0).astype(np.uint8)
    made = []
    for place in range(MEMBERS):
        noise = [cv2.GaussianBlur(rng.normal(size=(side, side)), (0, 0), 3) * 10 for _ in range(task.planes)]
        logits = (3 + place) * (depth + (0.5 + 0.2 * place) * np.stack(noise))
        grown = np.exp(logits - logits.max(0))
        made.append(grown / grown.sum(0) if task.kind == "multiclass" else 1 / (1 + np.exp(-np.clip(logits, -30, 30))))
    return label, [quantise(each.astype(np.float32)) for each in made]


def scenes(folder: Path, task: Task, side: int, items: int) -> OutOfFold:
    """Write probabilities of all members and return them as out-of-fold items; SCENES of them differ."""
    rng = np.random.default_rng(0)
    stores = {f"m{index}": Store(folder / f"m{index}") for index in range(MEMBERS)}
    drawn = [scene(task, side, rng) for _ in range(SCENES)]
    rows, everywhere = [], np.ones((side, side), bool)
    for index in range(items):
        key, fold = f"i{index:04d}", index % FOLDS
        rows.append(FoldRow(key, key, fold))
        for (name, store), stored in zip(stores.items(), drawn[index % SCENES][1], strict=True):
            store.write_quantised(key, stored, everywhere, {"member": name, "split": "oof", "folds": [fold]})
    return OutOfFold(stores, rows, lambda key: (drawn[int(key[1:]) % SCENES][0], everywhere), task)


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


def whole(oof: OutOfFold, task: Task) -> None:
    """Do what the verb decide does: choose, score every item, and diagnose."""
    decided = decide(oof, task, Decision(), Silent())
    rows_of(oof, decided.decision, decided.rosy)
    diagnose(oof, decided, task, Silent())


def rows() -> list[Row]:
    """Time deciding on binary and on 11-class items."""
    found = []
    for name, (task, side) in WORK.items():
        with tempfile.TemporaryDirectory() as folder:
            oof = scenes(Path(folder), task, side, ITEMS)
            contestants = {
                "ours": lambda oof=oof, task=task: whole(oof, task),
                "floor": lambda oof=oof: read_all(oof),
            }
            times = {key: value / ITEMS for key, value in contest(contestants, rounds=3, least=0.0).items()}
            if task.kind == "binary":
                tally = Tally(
                    task, Measure(), ((1, 1, 1, 1), (1, 0, 0, 0), (0, 1, 0, 0), (0, 0, 1, 0), (0, 0, 0, 1)), (0,)
                )
                spent = contest({"loop": lambda oof=oof, tally=tally: loop(oof, tally)}, rounds=2, least=0.0)
                times["threshold loop, 5 blends"] = spent["loop"] / LOOPED
            note = f"{MEMBERS} members x {FOLDS} folds x {ITEMS} items, per item; floor: reading"
            found.append(row(f"decide, {name}", times, limit=MINUTE, note=note))
    return found


def measure(items: int) -> None:
    """Print what a whole decision on so many items costs, and on a quarter of them."""
    for name, (task, side) in WORK.items():
        with tempfile.TemporaryDirectory() as folder:
            oof = scenes(Path(folder), task, side, items)
            part = OutOfFold(oof._stores, [FoldRow(e.key, e.group, e.fold) for e in oof.entries[: items // 4]],
                             oof._truth, task)  # fmt: skip
            for count, given in ((items // 4, part), (items, oof)):
                clock, spent = time.perf_counter(), time.process_time()
                whole(given, task)
                memory = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
                print(
                    f"decide, {name}, {MEMBERS} members x {FOLDS} folds x {count} items: "
                    f"{time.perf_counter() - clock:.1f} s clock, {time.process_time() - spent:.1f} s processor, "
                    f"{memory:.0f} MB at most"
                )


if __name__ == "__main__":
    measure(int(sys.argv[1]) if len(sys.argv) > 1 else 1000)
