"""What self-training brings where few items are labelled: student, teacher, supervised alone, and the gate's verdict.

    python -m bench.fractions DATA [--steps 80] [--seeds 3] [--out runs/fractions] [--only nuclei kampala shuffled]

DATA holds nuclei_dsb2018 and kampala_buildings. Images are halved. A quarter of the items is a test set that nothing
sees; of the others 10 or 30 % keep their labels, and the rest is what teachers label. Three trainings of two folds and
equal steps, batches and network: the teacher (labels alone), the student (a further batch with the teacher's labels in
every second step, strongly augmented), and supervised alone with just that augmentation, so that a gain of the student
is not the augmentation's. `shuffled` gives each labelled image another one's mask: there a round must not be kept.
Each cell is a line of FOLDER/cells.jsonl and is not repeated, so the bench can be interrupted.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import shutil
import statistics
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from bench.gain import NUCLEI, write_small
from maskwright.core.labels import Task
from maskwright.core.progress import Silent
from maskwright.core.recipe.sources import RleCsvSource
from maskwright.data.sources.open import open_source
from maskwright.ensembling.blend import read_decision
from maskwright.workflows.deliver import read_held_out
from maskwright.workflows.record import RoundScore
from maskwright.workflows.run import run_until
from maskwright.workflows.selftrain import run_selftrain
from maskwright.workflows.session import Session, open_session
from maskwright.workflows.students import open_student

KAMPALA = RleCsvSource(images="images", table="labels_rle.csv", key_column="img_id", rle_column="mask_rle", order="row")
SETS = {"nuclei": ("nuclei_dsb2018", NUCLEI), "kampala": ("kampala_buildings", KAMPALA)}
TASK = Task(kind="binary", classes=("thing",), ignore=255)
FRACTIONS = (0.1, 0.3)
TEST = 0.25
LIGHT = ["d4", {"scale_crop": {"scale": [0.8, 1.25]}}]
STRONG = [
    "d4",
    {"scale_crop": {"scale": [0.7, 1.5]}},
    {"brightness_contrast": {"p": 0.7}},
    {"noise": {"p": 0.2}},
]


class Cell(NamedTuple):
    """One experiment."""

    name: str
    fraction: float
    seed: int
    shuffled: bool


def main() -> None:
    """Run the cells that are missing, and print all."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("data", type=Path)
    parser.add_argument("--steps", type=int, default=80)
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--out", type=Path, default=Path("runs/fractions"))
    parser.add_argument("--only", nargs="*", default=["nuclei", "kampala", "shuffled"])
    options = parser.parse_args()
    options.out.mkdir(parents=True, exist_ok=True)
    journal = options.out / "cells.jsonl"
    done = [json.loads(line) for line in journal.read_text().splitlines()] if journal.exists() else []
    for cell in cells(options.seeds, options.only):
        if not any(all(row[key] == value for key, value in cell._asdict().items()) for row in done):
            row = measure(cell, options)
            with journal.open("a") as stream:
                stream.write(json.dumps(row) + "\n")
            done.append(row)
            print(line(row), flush=True)
    table(done)


def cells(seeds: int, only: Sequence[str]) -> Iterator[Cell]:
    """Give all cells, seed by seed, so that an early end leaves whole sets."""
    for seed in range(seeds):
        for name in SETS:
            for fraction in FRACTIONS if name in only else ():
                yield Cell(name, fraction, seed, shuffled=False)
        if "shuffled" in only:
            yield Cell("nuclei", 0.3, seed, shuffled=True)


def measure(cell: Cell, options: argparse.Namespace) -> dict[str, Any]:
    """Prepare a cell's folders, train teacher, student and supervised alone, and return their scores."""
    began = time.process_time()
    small = options.out / cell.name
    if not (small / "done").exists():
        folder, block = SETS[cell.name]
        write_small(open_source(block, options.data / folder, TASK), TASK, 2, small)
        (small / "done").touch()
    run = options.out / f"{cell.name}-{cell.fraction:g}-{cell.seed}{'-shuffled' if cell.shuffled else ''}"
    items = deal(small, run / "data", cell)
    session = opened(run, "teacher", LIGHT, cell, options.steps)
    record = run_selftrain(session, run / "data" / "unlabelled")
    alone = opened(run, "alone", STRONG, cell, options.steps)
    run_until(alone, "decide")
    assert session.recipe.selftrain is not None
    student = open_student(session, session.recipe.selftrain, 1)
    found = {"teacher": scores(session), "student": scores(student), "alone": scores(alone)}
    verdict: RoundScore = record.rounds[1]
    gate = {name: getattr(verdict, name) for name in ("gain", "low", "high", "kept", "reason")}
    seconds = round(time.process_time() - began)
    shutil.rmtree(run)
    return {**cell._asdict(), **items, "steps": options.steps, **found, **gate, "seconds": seconds}


def deal(small: Path, folder: Path, cell: Cell) -> dict[str, int]:
    """Copy a set's items into labelled, unlabelled and test folders; return how many there are of each."""
    keys = sorted(path.stem for path in (small / "images").iterdir())
    order = sorted(keys, key=lambda key: lot("test", key))
    tests = order[: round(TEST * len(keys))]
    others = sorted(order[len(tests) :], key=lambda key: lot(cell.seed, key))
    labelled = sorted(others[: max(6, round(cell.fraction * len(others)))])
    mask_of = dict(zip(labelled, labelled[1:] + labelled[:1] if cell.shuffled else labelled, strict=True))
    parts = {"labelled": labelled, "unlabelled": [key for key in others if key not in mask_of], "test": tests}
    for part, chosen in parts.items():
        for key in chosen:
            for kind in ("images", "masks") if part != "unlabelled" else ("images",):
                target = folder / part / (kind if part != "unlabelled" else "") / f"{key}.png"
                target.parent.mkdir(parents=True, exist_ok=True)
                source = mask_of.get(key, key) if kind == "masks" else key
                copy(small, kind, source, key, target)
    return {part: len(chosen) for part, chosen in parts.items()}


def copy(small: Path, kind: str, source: str, key: str, target: Path) -> None:
    """Copy a file; another item's mask is brought to the size of the image."""
    if source == key:
        shutil.copyfile(small / kind / f"{key}.png", target)
        return
    from PIL import Image

    with Image.open(small / "images" / f"{key}.png") as image, Image.open(small / kind / f"{source}.png") as mask:
        mask.resize(image.size, Image.Resampling.NEAREST).save(target)


def lot(*parts: object) -> bytes:
    """Return a number by which items are drawn."""
    return hashlib.blake2b(repr(parts).encode(), digest_size=8).digest()


def opened(run: Path, name: str, augment: list[Any], cell: Cell, steps: int) -> Session:
    """Write a recipe and open it."""
    member = {
        "model": {
            "architecture": "unet",
            "encoder": "tu-test_resnet",
            "options": {"decoder_channels": [48, 32, 24, 16, 12]},
        },
        "augment": augment,
        "optimizer": {"lr": 3e-3},
        "train": {"epochs": 2, "steps_per_epoch": steps // 2, "batch_size": 6, "crop": 48, "ema": 0.9,
                  "validate_every": 2},
    }  # fmt: skip
    recipe = {
        "name": name,
        "seed": cell.seed,
        "task": TASK.model_dump(mode="json"),
        "data": {
            "root": str(run / "data"),
            "train": {"format": "folder", "images": "labelled/images", "masks": "labelled/masks"},
            "test": {"format": "folder", "images": "test/images", "masks": "test/masks"},
        },
        "folds": {"kind": "stratified", "count": 2, "duplicates": "ignore"},
        "members": {"unet": member},
        "selftrain": {"mix": {"every": 2}, "noise": {"augment": STRONG}},
        "rules": {"test_labels": "forbidden"},
        "output": [{"format": "masks"}],
    }
    path = run / f"{name}.yaml"
    path.write_text(json.dumps(recipe))
    return open_session(str(path), [], Silent(), out=run / name)


def scores(session: Session) -> dict[str, float]:
    """Return the honest score out of fold, and that on the test set."""
    honest, held = read_decision(session.run.decision).evidence.honest, read_held_out(session)[0].decided
    return {"out_of_fold": round(honest or 0.0, 4), "test": round(held or 0.0, 4)}


def line(row: dict[str, Any]) -> str:
    """Return a cell in words."""
    name = f"{row['name']}{' shuffled' if row['shuffled'] else ''} {row['fraction']:.0%} seed {row['seed']}"
    sides = ", ".join(f"{side} {row[side]['test']:.4f}" for side in ("alone", "teacher", "student"))
    counts = f"{row['labelled']} labelled, {row['unlabelled']} not"
    return (
        f"{name} ({counts}): on {row['test']} test items {sides}; out of fold {row['gain']:+.4f} "
        f"({row['low']:+.4f} to {row['high']:+.4f}), {'kept' if row['kept'] else 'dropped'}; {row['seconds']} s"
    )


def table(rows: list[dict[str, Any]]) -> None:
    """Print mean and spread over seeds of each setting."""
    settings = dict.fromkeys((row["name"], row["fraction"], row["shuffled"]) for row in rows)
    for setting in settings:
        mine = [row for row in rows if (row["name"], row["fraction"], row["shuffled"]) == setting]
        print(f"{setting[0]}{' shuffled' if setting[2] else ''} {setting[1]:.0%}, {len(mine)} seeds")
        for side in ("alone", "teacher", "student"):
            print(f"  {side:8} test IoU {spread([row[side]['test'] for row in mine])}")
        print(f"  student - teacher {spread([row['student']['test'] - row['teacher']['test'] for row in mine])}")
        print(f"  student - alone   {spread([row['student']['test'] - row['alone']['test'] for row in mine])}")
        print(f"  rounds kept: {sum(row['kept'] for row in mine)} of {len(mine)}")


def spread(values: Sequence[float]) -> str:
    """Return mean and standard deviation."""
    return f"{statistics.mean(values):.4f} +- {statistics.stdev(values) if len(values) > 1 else 0:.4f}"


if __name__ == "__main__":
    main()
