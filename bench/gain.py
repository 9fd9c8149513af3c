"""What augmentation and balanced crops bring: out-of-fold scores of whole runs, over seeds, at equal steps.

    python -m bench.gain camvid PATH [--steps 400] [--seeds 3] [--out FOLDER]
    python -m bench.gain facades PATH

Images are shrunk first (camvid to half, facades to a quarter) so that a CPU gets through enough steps to overfit,
which is what augmentation is against. Each row is a whole `maskwright` run of two folds: same network, crops, batch
and number of steps. Scores: IoU out of fold, pixels pooled, mean over classes; `rare` is the mean over the three
classes with the fewest pixels. Finished runs in FOLDER are not repeated, so the bench can be interrupted.
"""

from __future__ import annotations

import argparse
import json
import statistics
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import cv2
import numpy as np
from PIL import Image

from maskwright.core.labels import Task
from maskwright.core.recipe.sources import CocoSource, FolderSource
from maskwright.data.items import read_item
from maskwright.data.sources.open import open_source

RARE = 3
LIMIT = 10**8
IGNORE = 255
CAMVID = ("sky", "building", "pole", "road", "pavement", "tree", "sign", "fence", "car", "pedestrian", "bicyclist")
FACADES = ("balcony-fence", "car", "facade", "fence", "non-building-infrastructure", "shop", "street",
           "traffic-infrastructure", "vegetation", "window")  # fmt: skip


@dataclass(frozen=True)
class Variant:
    """What differs from row to row."""

    augment: Any
    rare: Literal["", "paste", "crops"] = ""
    """paste: copy-paste of the rare classes; crops: half of the windows around them."""


VARIANTS = {
    "none": Variant([]),
    "strong": Variant(["strong"]),
    "strong + copy_paste": Variant(["strong"], "paste"),
    "strong + balanced": Variant(["strong"], "crops"),
}


def main() -> None:
    """Shrink the set, run every variant with every seed, print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("set", choices=["camvid", "facades"])
    parser.add_argument("path", type=Path)
    parser.add_argument("--steps", type=int, default=400)
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--out", type=Path, default=Path("runs/gain"))
    options = parser.parse_args()
    folder = options.out / options.set
    classes = shrink(options.set, options.path, folder / "data")
    rare = rarest(folder / "data", classes)
    print(f"rare: {', '.join(rare)}")
    found: dict[str, list[tuple[float, float]]] = {name: [] for name in VARIANTS}
    for seed in range(options.seeds):
        for name, variant in VARIANTS.items():
            recipe = make_recipe(options.set, (classes, rare), variant, options.steps, seed)
            run = folder / f"{name.replace(' ', '')}-{seed}"
            found[name].append(measure(recipe, run, folder / "data"))
            print(f"{name:24} seed {seed}: IoU {found[name][-1][0]:.4f}, rare {found[name][-1][1]:.4f}", flush=True)
    for name, rows in found.items():
        print(f"{name:24} {spread([row[0] for row in rows])}   rare {spread([row[1] for row in rows])}")


def spread(values: Sequence[float]) -> str:
    """Return mean and standard deviation."""
    return f"{statistics.mean(values):.4f} +- {statistics.stdev(values) if len(values) > 1 else 0:.4f}"


def shrink(name: str, path: Path, folder: Path) -> tuple[str, ...]:
    """Write the set as small images and index masks, once; return the class names."""
    if name == "camvid":
        classes, factor = CAMVID, 2
        task = Task(kind="multiclass", classes=classes, ignore=11)
        source = open_source(FolderSource(images="train", masks="trainannot"), path, task)
    else:
        classes, factor = FACADES, 4
        task = Task(kind="multiclass", classes=classes)
        source = open_source(CocoSource(images="train", annotations="train.json"), path, task)
    for key in () if folder.exists() else source.keys:
        item = read_item(source, key, task, LIMIT)
        assert item.label is not None, key
        label = np.where(item.valid, item.label, IGNORE).astype(np.uint8)
        size = item.image.shape[1] // factor, item.image.shape[0] // factor
        small = cv2.resize(item.image, size, interpolation=cv2.INTER_AREA)
        for kind, pixels in (("images", small), ("masks", label[factor // 2 :: factor, factor // 2 :: factor])):
            file = folder / kind / f"{key}.png"
            file.parent.mkdir(parents=True, exist_ok=True)
            Image.fromarray(pixels[: size[1], : size[0]]).save(file)
    return classes


def rarest(folder: Path, classes: Sequence[str]) -> list[str]:
    """Return the classes with the fewest pixels among those that occur."""
    counts = np.zeros(256, np.int64)
    for path in sorted((folder / "masks").rglob("*.png")):
        counts += np.bincount(np.array(Image.open(path)).reshape(-1), minlength=256)
    there = [index for index in range(len(classes)) if counts[index]]
    return [classes[index] for index in sorted(there, key=lambda index: counts[index])[:RARE]]


def make_recipe(
    name: str, named: tuple[Sequence[str], Sequence[str]], variant: Variant, steps: int, seed: int
) -> dict[str, Any]:
    """Return one row's recipe; `named` are all classes, and the rare ones."""
    classes, rare = named
    slim = {"decoder_channels": [64, 48, 32, 24, 16]}
    member: dict[str, Any] = {
        "model": {"architecture": "unet", "encoder": "tu-resnet10t", "options": slim},
        "augment": variant.augment,
        "optimizer": {"lr": 2e-3},
        "train": {
            "epochs": 10,
            "steps_per_epoch": max(1, steps // 10),
            "batch_size": 8,
            "crop": 96,
            "ema": 0.98,
            "validate_every": 10,
        },
        "predict": {"window": "whole"},
    }
    if variant.rare == "paste":
        member["augment"] = [*variant.augment, {"copy_paste": {"p": 0.5, "classes": list(rare)}}]
    if variant.rare == "crops":
        member["sampling"] = {"windows": "balanced", "p": 0.5, "classes": list(rare)}
    grouped = {"kind": "grouped", "group": "^([^_]+)_"} if name == "camvid" else {"kind": "stratified"}
    return {
        "version": 1,
        "name": f"gain-{name}",
        "seed": seed,
        "task": {"kind": "multiclass", "classes": list(classes), "ignore": IGNORE},
        "data": {"train": {"format": "folder", "images": "images", "masks": "masks"}},
        "folds": {**grouped, "count": 2},
        "members": {"unet": member},
        "output": [{"format": "masks"}],
    }


def measure(recipe: dict[str, Any], run: Path, data: Path) -> tuple[float, float]:
    """Run a recipe as a user would and return its out-of-fold IoU, over all classes and over the rare ones."""
    run.parent.mkdir(parents=True, exist_ok=True)
    path = run.with_suffix(".yaml")
    path.write_text(json.dumps({**recipe, "data": {**recipe["data"], "root": str(data)}}))
    code = "from maskwright.cli.app import main; main()"
    with run.with_suffix(".log").open("a") as log:
        subprocess.run(
            [sys.executable, "-c", code, "run", str(path), "--out", str(run)], check=True, stdout=log, stderr=log
        )
    evidence = json.loads((run / "decision.json").read_text())["evidence"]
    rare = sorted(evidence["classes"], key=lambda row: row["support"])[:RARE]
    return evidence["honest"], statistics.mean(row["iou"] or 0.0 for row in rare)


if __name__ == "__main__":
    main()
