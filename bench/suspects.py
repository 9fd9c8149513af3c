"""How well `maskwright suspects` ranks labels that were spoilt on purpose: nuclei and camvid, area under the ROC.

    nice -n 10 python -m bench.suspects ../shared/data [nuclei|camvid|camvid5] [mixed|flip|drop|shift] [--steps 80]

Of every set a copy is written (images shrunk, so that a CPU gets through enough steps) in which 5 % of the objects are
spoilt, and besides 5 % of the items wholly: in one way, or mixed, a third each; then a recipe of two folds is trained
on the spoilt labels, and `suspects` ranks them. Camvid's folds are not grouped by sequence: models of so few steps that
never saw a sequence know nothing of it, and the spoilt labels of neighbouring frames are not alike. Objects are
8-connected components of a class of 40 pixels or more (nuclei: instances of 20).

    object  flip   camvid: another class, drawn from those in the picture; nuclei: a copy of it where there is none
            drop   camvid: the class that most of its rim has; nuclei: background
            shift  by 0.6 of its smaller side, in a direction that is drawn; what it leaves becomes its rim's class
    item    flip   camvid: two of its classes swapped, the largest but one and a smaller one; nuclei: inside out
            drop   camvid: its three largest objects but one; nuclei: half of them
            shift  the whole mask by 6 % of the side, edges repeated

An object's score is that of the most suspicious region which covers a quarter of it (flip and shift: of its place in
the spoilt label or of where it was), 0 without any. Spoilt objects are to be ranked above all others of 40 pixels;
those of wholly spoilt items are left out there. An item's score is its own. `top` is the share of spoilt ones among
the first N regions (or items), N being how many were spoilt: the false alarms in the open count there too.
Finished runs in DIR are not repeated.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from PIL import Image
from ruamel.yaml import YAML

from maskwright.data.labels.shapes import draw_counts, read_counts

SHARE = 0.05
IGNORE = 255
CAMVID = ("sky", "building", "pole", "road", "pavement", "tree", "sign", "fence", "car", "pedestrian", "bicyclist")
COARSE = ("sky", "construction", "ground", "tree", "mover")
GROUP = (0, 1, 1, 2, 2, 3, 1, 1, 4, 4, 4)
"""Class of camvid -> that of camvid5, which models of few steps can know."""
KINDS = ("flip", "drop", "shift")
ROWS = ("mixed", *KINDS)
LEAST = {"nuclei": 20, "camvid": 40, "camvid5": 40}
Label = np.ndarray[Any, np.dtype[np.uint8]]
Mask = np.ndarray[Any, np.dtype[np.bool_]]


@dataclass
class Picture:
    """One item while it is spoilt."""

    key: str
    image: np.ndarray[Any, Any]
    label: Label
    objects: list[Mask]
    """Of the true label."""
    spoilt: dict[int, Mask] = field(default_factory=dict)
    """Number of an object -> where it is wrong now: where it was, and where it came to."""
    kinds: dict[int, str] = field(default_factory=dict)
    """Number of an object -> how it was spoilt."""
    whole: str = ""
    """How all of it was."""


def components(label: Label, least: int) -> list[Mask]:
    """Return the objects of a label; background of a binary one and what is ignored are none."""
    found = []
    for value in np.unique(label):
        if value != IGNORE and (label.max() > 1 or value):
            count, numbers, stats, _ = cv2.connectedComponentsWithStats(
                (label == value).astype(np.uint8), connectivity=8
            )
            found += [numbers == one for one in range(1, count) if stats[one][4] >= least]
    return found


def nuclei(root: Path) -> list[Picture]:
    """Read the nuclei, those of more than 256 pixels a side at half size."""
    found = []
    for path in sorted((root / "nuclei_dsb2018" / "images").glob("*.png")):
        image = np.asarray(Image.open(path).convert("RGB"))
        instances = np.asarray(Image.open(root / "nuclei_dsb2018" / "instance_masks" / path.name)).astype(np.int32)
        if max(image.shape) > 256:
            image, instances = (
                cv2.resize(image, None, fx=0.5, fy=0.5, interpolation=cv2.INTER_AREA),
                instances[::2, ::2],
            )
            instances = instances[: image.shape[0], : image.shape[1]]
        objects = [instances == one for one in np.unique(instances) if one]
        objects = [one for one in objects if one.sum() >= LEAST["nuclei"]]
        found.append(Picture(path.stem, image, (instances > 0).astype(np.uint8), objects))
    return found


def camvid(root: Path) -> list[Picture]:
    """Read the street scenes at half size."""
    found = []
    for path in sorted((root / "camvid" / "train").glob("*.png")):
        image = cv2.resize(np.asarray(Image.open(path)), (240, 180), interpolation=cv2.INTER_AREA)
        label = np.asarray(Image.open(root / "camvid" / "trainannot" / path.name))[::2, ::2].copy()
        label[label == 11] = IGNORE
        found.append(Picture(path.stem, image, label, components(label, LEAST["camvid"])))
    return found


def camvid5(root: Path) -> list[Picture]:
    """Read the street scenes with five coarse classes."""
    found = camvid(root)
    for one in found:
        known = one.label != IGNORE
        one.label[known] = np.array(GROUP, np.uint8)[one.label[known]]
        one.objects = components(one.label, LEAST["camvid5"])
    return found


def around(label: Label, mask: Mask) -> int:
    """Return the class that most of an object's rim has."""
    rim = (cv2.dilate(mask.astype(np.uint8), np.ones((5, 5), np.uint8)) > 0) & ~mask & (label != IGNORE)
    other = label[rim]
    other = other[other != label[mask][0]]
    return int(np.bincount(other).argmax()) if other.size else 0


def moved(mask: Mask, rows: int, cols: int) -> Mask:
    """Return a mask moved, what leaves the picture is gone."""
    matrix = np.array([[1, 0, cols], [0, 1, rows]], np.float32)
    return cv2.warpAffine(mask.astype(np.uint8), matrix, mask.shape[::-1], flags=cv2.INTER_NEAREST) > 0


def spoil_object(one: Picture, number: int, kind: str, rng: np.random.Generator) -> None:
    """Spoil one object of a picture, if it can be."""
    mask = one.objects[number]
    one.kinds[number] = kind
    value, binary = int(one.label[mask][0]), int(one.label[one.label != IGNORE].max()) <= 1
    if kind == "drop":
        one.label[mask] = 0 if binary else around(one.label, mask)
        one.spoilt[number] = mask
    elif kind == "flip" and not binary:
        others = [each for each in np.unique(one.label) if each not in (value, IGNORE)]
        one.label[mask] = rng.choice(others)
        one.spoilt[number] = mask
    elif kind == "flip":
        for _ in range(50):
            height, width = mask.shape
            rows, cols = (int(rng.integers(-side // 2, side // 2)) for side in (height, width))
            there = moved(mask, rows, cols)
            if there.sum() >= 0.9 * mask.sum() and not (there & (one.label > 0)).any():
                one.label[there] = 1
                one.spoilt[number] = there
                return
    else:
        side = 0.6 * min(np.ptp(places) + 1 for places in np.nonzero(mask))
        angle = rng.uniform(0, 2 * np.pi)
        there = moved(mask, round(side * np.sin(angle)), round(side * np.cos(angle))) & (one.label != IGNORE)
        one.label[mask] = 0 if binary else around(one.label, mask)
        one.label[there] = value
        one.spoilt[number] = mask ^ there


def spoil_item(one: Picture, kind: str, rng: np.random.Generator) -> None:
    """Spoil a whole picture."""
    one.whole = kind
    known, binary = one.label != IGNORE, int(one.label[one.label != IGNORE].max()) <= 1
    if kind == "shift":
        height, width = one.label.shape
        angle = rng.uniform(0, 2 * np.pi)
        rows, cols = round(0.06 * height * np.sin(angle)), round(0.06 * width * np.cos(angle))
        matrix = np.array([[1, 0, cols], [0, 1, rows]], np.float32)
        one.label = cv2.warpAffine(
            one.label, matrix, (width, height), flags=cv2.INTER_NEAREST, borderMode=cv2.BORDER_REPLICATE
        )
    elif kind == "flip" and binary:
        one.label = np.where(known, 1 - one.label, one.label).astype(np.uint8)
    elif kind == "flip":
        values, areas = np.unique(one.label[known], return_counts=True)
        large = values[np.argsort(-areas)]
        first, second = large[1], rng.choice(large[2:6])
        swapped = one.label.copy()
        swapped[one.label == first], swapped[one.label == second] = second, first
        one.label = swapped
    else:
        order = np.argsort([-mask.sum() for mask in one.objects])
        gone = rng.permutation(order)[: max(1, len(order) // 2)] if binary else order[1:4]
        for number in gone:
            one.label[one.objects[number]] = 0 if binary else around(one.label, one.objects[number])


def spoil(pictures: list[Picture], kind: str, seed: int = 5) -> None:
    """Spoil 5 % of the items wholly, and 5 % of the objects of the others."""
    rng = np.random.default_rng(seed)
    wholly = set(rng.permutation(len(pictures))[: round(SHARE * len(pictures))].tolist())
    for place in sorted(wholly):
        spoil_item(pictures[place], kind if kind != "mixed" else KINDS[rng.integers(3)], rng)
    names = [
        (place, number)
        for place, one in enumerate(pictures)
        if place not in wholly
        for number in range(len(one.objects))
    ]
    for chosen in rng.permutation(len(names))[: round(SHARE * len(names))]:
        place, number = names[chosen]
        spoil_object(pictures[place], number, kind if kind != "mixed" else KINDS[rng.integers(3)], rng)


def recipe(name: str, steps: int) -> dict[str, Any]:
    """Return a small recipe of two folds for a spoilt copy."""
    binary = name == "nuclei"
    crop = 96 if binary else [96, 128]
    return {
        "version": 1,
        "name": name,
        "task": {
            "kind": "binary" if binary else "multiclass",
            "classes": ["nucleus"] if binary else list(COARSE if name == "camvid5" else CAMVID),
            "ignore": IGNORE,
        },
        "data": {"root": "set", "train": {"format": "folder", "images": "images", "masks": "masks"}},
        "folds": {"kind": "stratified", "count": 2, "seed": 7},
        "members": {
            "unet": {
                "model": {
                    "architecture": "unet",
                    "encoder": "resnet18",
                    "options": {"decoder_channels": [96, 64, 48, 32, 16]},
                },
                "augment": ["d4" if binary else "hflip", {"brightness_contrast": {"p": 0.7}}],
                "optimizer": {"lr": 2e-3},
                "train": {
                    "epochs": 4,
                    "steps_per_epoch": steps // 4,
                    "batch_size": 8,
                    "crop": crop,
                    "ema": 0.95,
                    "validate_every": 4,
                },
                "predict": {"window": "whole"},
            }
        },
        "decision": {"postprocess": "off"},
        "output": [{"format": "report", "cases": 6}],
    }


def write(pictures: list[Picture], folder: Path, plain: dict[str, Any]) -> None:
    """Write images, spoilt masks and the recipe."""
    for part in ("images", "masks"):
        (folder / "set" / part).mkdir(parents=True, exist_ok=True)
    for one in pictures:
        Image.fromarray(one.image).save(folder / "set" / "images" / f"{one.key}.png")
        Image.fromarray(one.label).save(folder / "set" / "masks" / f"{one.key}.png")
    with (folder / "r.yaml").open("w") as stream:
        YAML(typ="safe", pure=True).dump(plain, stream)


def roc(scores: list[float], spoilt: list[str]) -> float:
    """Return the area under the ROC: how often a spoilt one is ranked above another, ties counting half."""
    values, wrong = np.array(scores), np.array([bool(way) for way in spoilt])
    ranks = np.searchsorted(np.sort(values), values, "left") + np.searchsorted(np.sort(values), values, "right") + 1
    positive, negative = int(wrong.sum()), int((~wrong).sum())
    return float((ranks[wrong].sum() / 2 - positive * (positive + 1) / 2) / (positive * negative))


def object_scores(
    pictures: list[Picture], regions: dict[str, list[tuple[float, Mask]]]
) -> tuple[list[float], list[str]]:
    """Return the score of each object of the pictures that are not wholly spoilt, and how it was spoilt, or nothing."""
    scores, wrong = [], []
    for one in pictures:
        for number, mask in enumerate(one.objects if not one.whole else []):
            there = one.spoilt.get(number, mask)
            least = 0.25 * there.sum()
            mine = regions.get(one.key, [])
            scores.append(max((score for score, region in mine if (region & there).sum() >= least), default=0.0))
            wrong.append(one.kinds.get(number, "") if number in one.spoilt else "")
    return scores, wrong


def measure(pictures: list[Picture], run: Path) -> dict[str, float]:
    """Compare a list of suspects with what was spoilt."""
    found = json.loads((run / "suspects.json").read_text())
    known = {one.key: one for one in pictures}
    regions: dict[str, list[tuple[float, Mask]]] = {}
    hits: list[bool] = []
    for region in found["regions"]:
        patch = draw_counts(read_counts(region["counts"]), tuple(region["size"]))
        mask = np.zeros(region["size"], bool)
        mask[patch.window] = patch.mask > 0
        regions.setdefault(region["key"], []).append((region["score"], mask))
        one = known[region["key"]]
        if not one.whole:
            hits.append(any((mask & wrong).sum() >= 0.25 * mask.sum() for wrong in one.spoilt.values()))
    scores, wrong = object_scores(pictures, regions)
    items = [one["score"] for one in found["items"]]
    whole = [known[one["key"]].whole for one in found["items"]]
    figures: dict[str, float] = {}
    for name, values, ways in (("objects", scores, wrong), ("items", items, whole)):
        figures |= {f"{name}_all": len(ways), f"{name}_spoilt": sum(map(bool, ways)), name: roc(values, ways)}
        for kind in sorted(set(ways) - {""}):
            chosen = [(value, way) for value, way in zip(values, ways, strict=True) if way in ("", kind)]
            figures[f"{name}_{kind}"] = roc([value for value, _ in chosen], [way for _, way in chosen])
    figures["objects_top"] = float(np.mean(hits[: sum(map(bool, wrong))]))
    figures["items_top"] = float(np.mean([bool(way) for way in whole[: sum(map(bool, whole))]]))
    return figures


SETS = (("nuclei", nuclei), ("camvid", camvid), ("camvid5", camvid5))


def main() -> None:
    """Run the table, row by row."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("data", type=Path)
    parser.add_argument("what", nargs="*", help="nuclei, camvid, camvid5, mixed, flip, drop, shift; none: all")
    parser.add_argument("--out", type=Path, default=Path("runs/suspects"))
    parser.add_argument("--steps", type=int, default=80)
    given = parser.parse_args()
    for name, read in SETS:
        for kind in ROWS:
            wanted = [word for word in given.what if word in (name, kind)]
            if given.what and len(wanted) < sum(
                any(word in group for word in given.what) for group in ([each for each, _ in SETS], ROWS)
            ):
                continue
            pictures = read(given.data)
            spoil(pictures, kind)
            folder = given.out / f"{name}-{kind}"
            run = folder / "runs" / name
            if not (run / "suspects.json").exists():
                write(pictures, folder, recipe(name, given.steps))
                for verb in ("run", "suspects"):
                    command = [sys.executable, "-m", "maskwright", verb, "r.yaml"]
                    subprocess.run(command, cwd=folder, check=True, stdout=subprocess.DEVNULL)
            figures = measure(pictures, run)
            row = ", ".join(
                f"{key} {value:.3f}" if value < 1.001 else f"{key} {value:.0f}" for key, value in figures.items()
            )
            sys.stdout.write(f"{name} {kind}: {row}\n")
            sys.stdout.flush()


if __name__ == "__main__":
    main()
