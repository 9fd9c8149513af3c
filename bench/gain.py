"""What augmentation and balanced crops bring: out-of-fold scores of whole runs, over seeds, at equal steps.

    python -m bench.gain camvid PATH [--steps 400] [--seeds 3] [--jobs 1] [--out FOLDER]
    python -m bench.gain facades PATH

Images are shrunk first (camvid to half, facades to a quarter) so that a CPU gets through enough steps to overfit,
which is what augmentation is against. Each row is a whole `maskwright` run of two folds: same network, crops, batch
and number of steps; `--jobs` of them at once, which a GPU has room for. Scores: IoU out of fold, pixels pooled, mean
over classes; `rare` is the mean over the three classes with the fewest pixels. Finished runs in FOLDER are not
repeated, so the bench can be interrupted.
"""

from __future__ import annotations

import argparse
import json
import re
import statistics
import subprocess
import sys
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import cv2
import numpy as np
from PIL import Image

from maskwright.core.labels import Task
from maskwright.core.recipe.sources import CocoSource, FolderSource, RleCsvSource
from maskwright.data.items import read_item
from maskwright.data.sources.base import Source
from maskwright.data.sources.open import open_source

RARE = 3
LIMIT = 10**8
IGNORE = 255
CAMVID = ("sky", "building", "pole", "road", "pavement", "tree", "sign", "fence", "car", "pedestrian", "bicyclist")
FACADES = ("balcony-fence", "car", "facade", "fence", "non-building-infrastructure", "shop", "street",
           "traffic-infrastructure", "vegetation", "window")  # fmt: skip
NUCLEI = RleCsvSource(images="images", table="labels_rle.csv", order="column", rows="instance")
SETS: dict[str, tuple[tuple[str, ...], int, int | None, Any]] = {
    "camvid": (CAMVID, 2, 11, FolderSource(images="train", masks="trainannot")),
    "facades": (FACADES, 4, None, CocoSource(images="train", annotations="train.json")),
    "nuclei": (("nucleus",), 1, None, NUCLEI),
}
"""Name -> classes, how many times smaller, ignored value, where labels are."""


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


@dataclass(frozen=True)
class Setting:
    """A shrunk set and how long members train on it."""

    name: str
    classes: Sequence[str]
    rare: Sequence[str]
    steps: int
    encoder: str
    crop: int
    workers: int


def main() -> None:
    """Shrink the set, run every variant with every seed, print the table."""
    options = arguments(__doc__).parse_args()
    folder = options.out / options.set
    setting = open_setting(options, folder)
    print(f"rare: {', '.join(setting.rare)}")
    recipes = {
        name: (lambda seed, variant=variant: make_recipe(setting, variant, seed)) for name, variant in VARIANTS.items()
    }
    table(recipes, options, folder)


def arguments(told: str | None) -> argparse.ArgumentParser:
    """Return what both benches of whole runs are asked for."""
    parser = argparse.ArgumentParser(description=told, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("set", choices=list(SETS))
    parser.add_argument("path", type=Path)
    parser.add_argument("--steps", type=int, default=400)
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--jobs", type=int, default=1, help="runs at the same time")
    parser.add_argument("--encoder", default="tu-resnet10t")
    parser.add_argument("--crop", type=int, default=96)
    parser.add_argument("--only", nargs="*", help="rows to measure; the first is compared with")
    parser.add_argument("--workers", type=int, default=0, help="processes of each run that read and augment")
    parser.add_argument("--out", type=Path, default=Path("runs/gain"))
    return parser


def open_setting(options: argparse.Namespace, folder: Path) -> Setting:
    """Shrink the set, once, and find its rarest classes."""
    classes = shrink(options.set, options.path, folder / "data")
    rare = rarest(folder / "data", classes)
    return Setting(options.set, classes, rare, options.steps, options.encoder, options.crop, options.workers)


def table(
    recipes: Mapping[str, Callable[[int], dict[str, Any]]],
    options: argparse.Namespace,
    folder: Path,
    beside: Literal["rare", "held out"] = "rare",
) -> None:
    """Run every recipe with every seed, `jobs` at a time, and print a line for each run and for each recipe."""

    def one(place: tuple[int, str]) -> tuple[float, float]:
        seed, name = place
        run = folder / f"{re.sub('[^a-z0-9_]+', '-', name)}-{seed}"
        scores = measure(recipes[name](seed), run, folder / "data")
        found = scores["out of fold"], scores[beside]
        print(f"{name:24} seed {seed}: IoU {found[0]:.4f}, {beside} {found[1]:.4f}", flush=True)
        return found

    recipes = {name: recipes[name] for name in options.only or recipes}
    places = [(seed, name) for seed in range(options.seeds) for name in recipes]
    with ThreadPoolExecutor(options.jobs) as executor:
        found = dict(zip(places, executor.map(one, places), strict=True))
    first = next(iter(recipes))
    for name in recipes:
        rows = [found[seed, name] for seed in range(options.seeds)]
        gains = [spread([row[side] - found[seed, first][side] for seed, row in enumerate(rows)]) for side in range(2)]
        print(
            f"{name:24} {spread([row[0] for row in rows])} gain {gains[0]}   "
            f"{beside} {spread([row[1] for row in rows])} gain {gains[1]}"
        )


def spread(values: Sequence[float]) -> str:
    """Return mean and standard deviation."""
    return f"{statistics.mean(values):.4f} +- {statistics.stdev(values) if len(values) > 1 else 0:.4f}"


def shrink(name: str, path: Path, folder: Path) -> tuple[str, ...]:
    """Write the set as small images and index masks, once; return the class names."""
    classes, factor, ignore, block = SETS[name]
    if folder.exists():
        return classes
    task = Task(kind="binary" if len(classes) == 1 else "multiclass", classes=classes, ignore=ignore)
    source = open_source(block, path, task)
    write_small(source, task, factor, folder)
    if name == "camvid":
        write_small(
            open_source(FolderSource(images="val", masks="valannot"), path, task), task, factor, folder / "test"
        )
    return classes


def write_small(source: Source, task: Task, factor: int, folder: Path) -> None:
    """Write images and index masks, `factor` times smaller."""
    for key in source.keys:
        item = read_item(source, key, task, LIMIT)
        assert item.label is not None, key
        label = np.where(item.valid, item.label, IGNORE).astype(np.uint8)
        size = item.image.shape[1] // factor, item.image.shape[0] // factor
        small = cv2.resize(item.image, size, interpolation=cv2.INTER_AREA)
        for kind, pixels in (("images", small), ("masks", label[factor // 2 :: factor, factor // 2 :: factor])):
            file = folder / kind / f"{key}.png"
            file.parent.mkdir(parents=True, exist_ok=True)
            Image.fromarray(pixels[: size[1], : size[0]]).save(file)


def rarest(folder: Path, classes: Sequence[str]) -> list[str]:
    """Return the classes with the fewest pixels among those that occur."""
    counts = np.zeros(256, np.int64)
    for path in sorted((folder / "masks").rglob("*.png")):
        counts += np.bincount(np.array(Image.open(path)).reshape(-1), minlength=256)
    there = [index for index in range(len(classes)) if counts[index]]
    return [classes[index] for index in sorted(there, key=lambda index: counts[index])[:RARE]]


def make_recipe(setting: Setting, variant: Variant, seed: int) -> dict[str, Any]:
    """Return one row's recipe."""
    slim = {"decoder_channels": [64, 48, 32, 24, 16]}
    member: dict[str, Any] = {
        "model": {"architecture": "unet", "encoder": setting.encoder, "options": slim},
        "augment": variant.augment,
        "optimizer": {"lr": 2e-3},
        "train": {
            "epochs": 10,
            "steps_per_epoch": max(1, setting.steps // 10),
            "batch_size": 8,
            "crop": setting.crop,
            "workers": setting.workers,
            "ema": 0.98,
            "validate_every": 10,
        },
        "predict": {"window": "whole"},
    }
    if variant.rare == "paste":
        member["augment"] = [*variant.augment, {"copy_paste": {"p": 0.5, "classes": list(setting.rare)}}]
    if variant.rare == "crops":
        member["sampling"] = {"windows": "balanced", "p": 0.5, "classes": list(setting.rare)}
    grouped = {"kind": "grouped", "group": "^([^_]+)_"} if setting.name == "camvid" else {"kind": "stratified"}
    return {
        "version": 1,
        "name": f"gain-{setting.name}",
        "seed": seed,
        "task": task_of(setting),
        "data": {"train": {"format": "folder", "images": "images", "masks": "masks"}},
        "folds": {**grouped, "count": 2},
        "members": {"unet": member},
        "output": [{"format": "masks"}],
    }


def task_of(setting: Setting) -> dict[str, Any]:
    """Return the recipe's task."""
    if len(setting.classes) == 1:
        return {"kind": "binary", "classes": list(setting.classes), "ignore": IGNORE}
    return {"kind": "multiclass", "classes": list(setting.classes), "ignore": IGNORE}


def measure(recipe: dict[str, Any], run: Path, data: Path) -> dict[str, float]:
    """Run a recipe as a user would and return its IoU: out of fold, over the rare classes, on items held out of all."""
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
    held = run / "held_out.json"
    return {
        "out of fold": evidence["honest"],
        "rare": statistics.mean(row["iou"] or 0.0 for row in rare),
        "held out": json.loads(held.read_text())[0]["decided"] if held.exists() else float("nan"),
    }


if __name__ == "__main__":
    main()
