"""Real sets cut down for `bench.families`: small images, and every fourth item (or group) in a folder of its own."""

from __future__ import annotations

import csv
import re
import shutil
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from PIL import Image

from bench.gain import IGNORE, LIMIT, NUCLEI
from maskwright.core import rle
from maskwright.core.labels import Task
from maskwright.core.recipe.sources import CocoSource, FolderSource
from maskwright.data.items import read_item
from maskwright.data.sources.open import open_source

HELD = 4
"""Every so many-th item, or group of items, is in no fold."""
PATIENT = r"^(.+?)(?:-g[0-9]+-l-a|-day-?[0-9]+|-admission)?(?:-PA|-pa)?$"
SEQUENCE = "^([^_]+)_"

COARSE: dict[int, Any] = {0: 0, 1: 1, 2: 1, 3: 2, 4: 2, 5: 3, 6: 1, 7: 1, 8: 4, 9: 4, 10: 4, 11: "ignore"}
"""Camvid's eleven classes as five, all of which a few steps can learn."""

LEFT_OUT = (
    "Airways", "Central Venous Line", "Consolidation", "Endotracheal Tube", "Ground Glass Opacities",
    "Monitoring Probes", "Nosogastric Tube", "Pleural Effusion", "Pneumothorax", "Tubings",
)  # fmt: skip
"""Classes of the X-rays that are rare, or too thin at this size."""


@dataclass(frozen=True)
class Cut:
    """How a set is read and cut down."""

    folder: str
    """Below shared/data."""
    task: dict[str, Any]
    source: Any
    longest: int | None
    """Pixels of the longer side after shrinking; None: files are copied as they are."""
    group: str | None = None
    """Items of a group are never torn apart."""
    data: dict[str, Any] = field(default_factory=dict)
    """Of the recipe, beside the sources."""
    held: Any = None
    """Source of the held-out items, where the set has a split of its own."""
    only: str = ""
    """Regular expression of the keys that are trained on."""


SETS = {
    "camvid": Cut(
        "camvid",
        {"kind": "multiclass", "classes": ["sky", "building", "ground", "tree", "traveller"]},
        FolderSource(images="train", masks="trainannot", values=COARSE),
        128,
        SEQUENCE,
        only="^0001TP|^0006R0",  # val is of the sequence 0016E5, so its neighbours in time are left out
        held=FolderSource(images="val", masks="valannot", values=COARSE),
    ),
    "chest": Cut(
        "chest_xray_multilabel",
        {"kind": "multilabel", "classes": ["Cardiomediastinum", "Left Lung", "Right Lung"]},
        CocoSource(
            images="images", annotations="annotations_coco_rle.json", categories=dict.fromkeys(LEFT_OUT, "background")
        ),
        160,
        PATIENT,
    ),
    "kampala": Cut(
        "kampala_buildings",
        {"kind": "binary", "classes": ["building"]},
        FolderSource(images="images", masks="masks", values={0: 0, 255: 1}),
        128,
        "^OAM-([0-9]+)-",
    ),
    "nuclei": Cut("nuclei_dsb2018", {"kind": "binary", "classes": ["nucleus"]}, NUCLEI, 128, data={"limit": 60}),
    "water": Cut(
        "water_ms12",
        {"kind": "binary", "classes": ["water"]},
        FolderSource(images="images", masks="labels"),
        None,
        data={"bands": [1, 2, 3, 4, 5, 6, 7], "divide": 10000, "normalize": "none", "derived": ["means"]},
    ),
}


def prepare(name: str, data: Path, folder: Path) -> dict[str, Any]:
    """Write the set, once; return the recipe's blocks task, data and folds.

    Args:
        name: of SETS.
        data: folder of all sets.
        folder: that gets train/ and test/.
    """
    cut = SETS[name]
    if not (folder / "done").exists():
        shutil.rmtree(folder, ignore_errors=True)
        _write(cut, data / cut.folder, folder)
        (folder / "done").touch()
    ignore = {} if cut.task["kind"] == "multilabel" else {"ignore": IGNORE}
    return {
        "task": {**cut.task, **ignore},
        "data": {"root": str(folder), "train": _source(cut, "train"), "test": _source(cut, "test"), **cut.data},
        "folds": {"kind": "stratified", "count": 2}
        if cut.group is None
        else {"kind": "grouped", "count": 2, "group": cut.group},
    }


def _source(cut: Cut, part: str) -> dict[str, Any]:
    """Return the recipe's source of one part."""
    if cut.task["kind"] != "multilabel":
        return {"format": "folder", "images": f"{part}/images", "masks": f"{part}/masks"}
    return {
        "format": "rle_csv",
        "images": f"{part}/images",
        "table": f"{part}/labels.csv",
        "class_column": "class",
        "order": "row",
    }


def _write(cut: Cut, path: Path, folder: Path) -> None:
    """Write both parts."""
    task = Task(**cut.task)
    source = open_source(cut.source, path, task)
    if cut.held is not None:
        keys = [key for key in source.keys if re.match(cut.only, key)]
        _write_part(cut, task, source, keys, folder / "train")
        held = open_source(cut.held, path, task)
        _write_part(cut, task, held, held.keys, folder / "test")
        return
    names = {key: re.match(cut.group, key)[1] if cut.group else key for key in source.keys}  # type: ignore[index]
    outside = set(sorted(set(names.values()))[::HELD])
    for part, wanted in (("train", False), ("test", True)):
        keys = [key for key, name in names.items() if (name in outside) is wanted]
        if cut.longest is None:
            _copy(path, keys, folder / part)
        else:
            _write_part(cut, task, source, keys, folder / part)


def _copy(path: Path, keys: Sequence[str], folder: Path) -> None:
    """Copy images and masks as they are."""
    for old, new, suffix in (("images", "images", ".tif"), ("labels", "masks", ".png")):
        (folder / new).mkdir(parents=True)
        for key in keys:
            shutil.copyfile(path / old / f"{key}{suffix}", folder / new / f"{key}{suffix}")


def _write_part(cut: Cut, task: Task, source: Any, keys: Sequence[str], folder: Path) -> None:
    """Write shrunk images, and index masks or, where planes overlap, run lengths."""
    assert cut.longest is not None
    rows: list[tuple[str, str, str]] = []
    for name in ("images", "masks"):
        (folder / name).mkdir(parents=True)
    for key in keys:
        item = read_item(source, key, task, LIMIT)
        assert item.label is not None, key
        height, width = item.shape
        factor = min(1.0, cut.longest / max(height, width))
        size = max(1, round(width * factor)), max(1, round(height * factor))
        image = item.image[..., :3] if item.image.shape[2] >= 3 else item.image[..., :1].repeat(3, 2)
        Image.fromarray(cv2.resize(image, size, interpolation=cv2.INTER_AREA)).save(folder / "images" / f"{key}.png")
        if task.kind == "multilabel":
            planes = [cv2.resize(plane, size, interpolation=cv2.INTER_NEAREST) for plane in item.label]
            rows += [(key, name, rle.encode(plane)) for name, plane in zip(task.classes, planes, strict=True)]
            continue
        label = np.where(item.valid, item.label, IGNORE).astype(np.uint8)
        Image.fromarray(cv2.resize(label, size, interpolation=cv2.INTER_NEAREST)).save(folder / "masks" / f"{key}.png")
    if rows:
        with (folder / "labels.csv").open("w", newline="") as file:
            csv.writer(file).writerows([("ImageId", "class", "EncodedPixels"), *rows])
