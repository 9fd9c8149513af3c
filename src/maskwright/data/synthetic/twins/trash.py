"""The twin of the recycling-trash competition (SEEDS 001.1): JPEG in batch folders, four COCO JSON files."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from maskwright.core.files import write_text
from maskwright.data.synthetic.twins.files import Rng, relief, test_items

SIDE = 512
CATEGORIES = (
    "General trash",
    "Paper",
    "Paper pack",
    "Metal",
    "Glass",
    "Plastic",
    "Styrofoam",
    "Plastic bag",
    "Battery",
    "Clothing",
)
"""Ids 1 to 10; 0 is the background."""
COLOURS = np.array(
    [
        [110, 90, 70],
        [205, 190, 150],
        [230, 120, 60],
        [150, 155, 165],
        [90, 150, 110],
        [80, 140, 220],
        [240, 240, 235],
        [170, 210, 230],
        [50, 50, 55],
        [150, 50, 90],
    ],
    np.float32,
)
"""About what each is like, RGB."""
VERTICES = 14
Entry = tuple[str, list[dict[str, Any]]]
"""File name and annotations of an image."""


def write(folder: Path, items: int, seed: int) -> None:
    """Write train_all.json, its parts train.json and val.json, test.json and the images; see table.Write.

    One item in five is of val.json. Ids of images count from 0 in each file, since the team's loader leaned on that.
    """
    batches = ("batch_01_vt", "batch_02_vt", "batch_03")
    count = items + test_items(items)
    names = [f"{batches[number * 3 // count]}/{number:04}.jpg" for number in range(count)]
    rng = np.random.default_rng([seed, 1])
    tests = set(rng.choice(count, test_items(items), replace=False).tolist())
    entries: list[Entry] = []
    for number, name in enumerate(names):
        objects = _photograph(folder / name, np.random.default_rng([seed, 1, number]))
        entries.append((name, objects))
    labelled = [entry for number, entry in enumerate(entries) if number not in tests]
    held = {labelled[number][0] for number in range(2, len(labelled), 5)}
    parts: dict[str, list[Entry]] = {
        "train_all": labelled,
        "train": [entry for entry in labelled if entry[0] not in held],
        "val": [entry for entry in labelled if entry[0] in held],
        "test": [(name, []) for number, (name, _) in enumerate(entries) if number in tests],
    }
    for part, listed in parts.items():
        write_text(folder / f"{part}.json", json.dumps(_coco(listed, labelled=part != "test"), indent=1) + "\n")
    write_text(folder / "sample_submission.csv", "image_id,PredictionString\n")


def _coco(entries: list[Entry], *, labelled: bool) -> dict[str, Any]:
    images = [
        {
            "license": 0,
            "url": None,
            "file_name": name,
            "height": SIDE,
            "width": SIDE,
            "date_captured": None,
            "id": number,
        }
        for number, (name, _) in enumerate(entries)
    ]
    found: dict[str, Any] = {
        "info": {"description": "synthetic", "year": 2022},
        "licenses": [{"id": 0, "name": "CC0"}],
        "images": images,
        "categories": [
            {"id": number, "name": name, "supercategory": name} for number, name in enumerate(CATEGORIES, 1)
        ],
    }
    if labelled:
        rows = [(number, one) for number, (_, objects) in enumerate(entries) for one in objects]
        found["annotations"] = [{"id": place, "image_id": number, **one} for place, (number, one) in enumerate(rows)]
    return found


def _photograph(path: Path, rng: Rng) -> list[dict[str, Any]]:
    """Draw a heap of things and write the picture; return its annotations, in a random order."""
    import cv2
    from PIL import Image

    floor = rng.uniform(70, 190, 3).astype(np.float32)
    picture = floor + 14 * relief(rng, SIDE, 6)[:, :, None]
    things = []
    for _ in range(int(rng.integers(2, 8))):
        kind = int(rng.integers(len(CATEGORIES)))
        outline = _outline(rng)
        area = float(cv2.contourArea(outline.astype(np.float32)))
        things.append((area, kind, outline))
    for _, kind, outline in sorted(things, key=lambda thing: -thing[0]):  # the small ones lie on top
        mask = np.zeros((SIDE, SIDE), np.uint8)
        cv2.fillPoly(mask, [np.rint(outline).astype(np.int32)], 1)
        stripes = np.sin(np.arange(SIDE) * (0.08 + 0.09 * kind))[:, None, None] * (5 + 3 * kind)
        colour = COLOURS[kind] * rng.uniform(0.85, 1.15) + stripes + 8 * relief(rng, SIDE, 20, octaves=2)[:, :, None]
        picture = np.where(mask[:, :, None] > 0, colour, picture)
    picture = picture + 4 * rng.standard_normal(picture.shape)
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(np.clip(picture, 0, 255).astype(np.uint8)).save(path, format="JPEG", quality=92)
    annotations = []
    for area, kind, outline in things:
        low, high = outline.min(0), outline.max(0)
        annotations.append(
            {
                "category_id": kind + 1,
                "segmentation": [[round(float(value), 1) for value in outline.reshape(-1)]],
                "area": round(area, 1),
                "bbox": [round(float(value), 1) for value in (*low, *(high - low))],
                "iscrowd": 0,
            }
        )
    return annotations


def _outline(rng: Rng) -> NDArray[np.float64]:
    """Return the vertices (N, 2) of something roundish that lies in the picture."""
    angles = np.sort(rng.uniform(0, 2 * np.pi, VERTICES))
    radius = rng.uniform(25, 130) * rng.uniform(0.75, 1.2, VERTICES)
    centre, squeeze = rng.uniform(60, SIDE - 60, 2), rng.uniform(0.5, 1)
    points = centre + np.stack([radius * np.cos(angles), squeeze * radius * np.sin(angles)], 1)
    return np.clip(points, 0, SIDE - 1)
