"""Do mined negatives lower the area of false positives at equal recall on kampala, and are they what they claim?

    nice -n 10 python -m bench.negatives ../shared/data [--first 0] [--seeds 3] [--hard 1 3] [--steps 120] [--out F]

Tiles of three of the eleven columns are the pool: their labels are hidden, and only used in the end to see which of the
windows that were mined hold no building pixel. The other eight columns are labelled, in two folds of whole ones. Each
seed is a whole `maskwright mine` (windows of 128 with no pixel of .5), which trains without and with the mined
windows and hard negatives for as many steps, once for each value of mine.hard; the models without are trained once.
Finished runs in F are not repeated.
"""

from __future__ import annotations

import argparse
import json
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image
from ruamel.yaml import YAML

POOL = ("1238448", "1238451", "1238454")


def recipe(seed: int, steps: int) -> dict[str, Any]:
    """Return examples/kampala_masks.yaml in small."""
    train = {"epochs": 4, "steps_per_epoch": steps // 4, "batch_size": 8, "crop": 128, "ema": 0.95, "validate_every": 4}
    return {
        "version": 1,
        "name": f"kampala{seed}",
        "seed": seed,
        "task": {"kind": "binary", "classes": ["building"]},
        "data": {
            "root": "set",
            "train": {"format": "folder", "images": "images", "masks": "masks", "values": {0: 0, 255: 1}},
        },
        "folds": {"kind": "grouped", "count": 2, "group": "^OAM-([0-9]+)-"},
        "members": {
            "unet": {
                "model": {
                    "architecture": "unet",
                    "encoder": "resnet18",
                    "options": {"decoder_channels": [96, 64, 48, 32, 16]},
                },
                "augment": ["d4", {"brightness_contrast": {"p": 0.7}}],
                "optimizer": {"lr": 2e-3},
                "train": train,
                "predict": {"window": "whole"},
            }
        },
        "mine": {"window": 128, "pixel": 0.5},
        "decision": {"postprocess": "off"},
        "output": [{"format": "report", "cases": 2}],
    }


def write(data: Path, folder: Path) -> None:
    """Write labelled tiles and the pool."""
    for path in sorted((data / "kampala_buildings" / "images").glob("*.png")):
        pooled = path.name.split("-")[1] in POOL
        for part, source in (
            (("pool", path),)
            if pooled
            else (
                ("images", path),
                ("masks", data / "kampala_buildings" / "masks" / path.name),
            )
        ):
            (folder / "set" / part).mkdir(parents=True, exist_ok=True)
            shutil.copyfile(source, folder / "set" / part / path.name)


def truly_empty(data: Path, listed: dict[str, Any]) -> tuple[int, int]:
    """Return how many negatives hold no building pixel, and how many there are."""
    empty = 0
    for one in listed["negatives"]:
        mask = np.asarray(Image.open(data / "kampala_buildings" / "masks" / Path(one["image"]).name))
        row, col, height, width = one["window"] or (0, 0, *mask.shape)
        empty += not mask[row : row + height, col : col + width].any()
    return empty, len(listed["negatives"])


def main() -> None:
    """Run the table, seed by seed."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("data", type=Path)
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--first", type=int, default=0, help="the first seed")
    parser.add_argument("--hard", type=float, nargs="+", default=[3.0])
    parser.add_argument("--steps", type=int, default=120)
    parser.add_argument("--out", type=Path, default=Path("runs/negatives"))
    given = parser.parse_args()
    write(given.data, given.out)
    for seed, factor in ((seed, one) for seed in range(given.first, given.first + given.seeds) for one in given.hard):
        first = given.out / "runs" / f"kampala{seed}-hard{given.hard[0]:g}"
        run = given.out / "runs" / f"kampala{seed}-hard{factor:g}"
        mined = run / "mined"
        if not (mined / "verdict.json").exists():
            if run != first and not run.exists():
                shutil.copytree(first, run, ignore=shutil.ignore_patterns("run", "verdict.json"))
            with (given.out / "r.yaml").open("w") as stream:
                YAML(typ="safe", pure=True).dump(recipe(seed, given.steps), stream)
            words = ["mine", "r.yaml", f"mine.hard={factor:g}", "--pool", "set/pool", "--out", f"runs/{run.name}"]
            command = [sys.executable, "-m", "maskwright", *words]
            subprocess.run(command, cwd=given.out, check=True, stdout=subprocess.DEVNULL)
        verdict, listed = (json.loads((mined / name).read_text()) for name in ("verdict.json", "mined.json"))
        empty, windows = truly_empty(given.data, listed)
        hard = len({(one["key"], one["fold"]) for one in listed["hard"]})
        sys.stdout.write(
            f"seed {seed}, hard {factor:g}: {windows} windows mined, {empty} truly empty; {hard} hard items; at recall "
            f"{verdict['recall']:.3f} {verdict['before']:.0f} -> {verdict['after']:.0f} px false of "
            f"{verdict['background']}, ratio {verdict['ratio']:.2f} ({verdict['low']:.2f} to {verdict['high']:.2f}), "
            f"kept {verdict['kept']}\n"
        )
        sys.stdout.flush()


if __name__ == "__main__":
    main()
