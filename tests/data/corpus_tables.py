"""Clean sets and planted faults of run-length tables, COCO files, polygon files, tables of paths and colour masks."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from corpus import BINARY, COLOURS, PLANES, THREE, Planted, Planter, save, scenes

from maskwright.core.recipe.sources import CocoSource, FolderSource, PolygonsSource, RleCsvSource, TableSource

RLE = RleCsvSource(images="images", table="t.csv", order="row")
COCO = CocoSource(images="images", annotations="a.json")
POLYGONS = PolygonsSource(images="images", annotations="json")
PATHS = TableSource(table="t.csv", mask_column="mask")
Lines = list[list[str]]


def runs(mask: np.ndarray) -> str:
    """Write a mask as `start length ...`, rows first, from 1; by hand, not with the code under test."""
    flat = np.concatenate([[0], mask.reshape(-1) != 0, [0]]).astype(int)
    starts, ends = np.flatnonzero(np.diff(flat) == 1) + 1, np.flatnonzero(np.diff(flat) == -1) + 1
    return " ".join(f"{start} {end - start}" for start, end in zip(starts, ends, strict=True))


def table(root: Path, change: Callable[[Lines], None] = lambda rows: None) -> Planted:
    """Write a binary run-length table; `change` edits its rows, the header among them."""
    rows = [["ImageId", "EncodedPixels"]]
    for key, picture, label in scenes():
        save(root / "images" / f"{key}.png", picture)
        rows.append([key, runs(label)])
    change(rows)
    (root / "t.csv").write_text("".join(",".join(row) + "\n" for row in rows))
    return Planted(root, BINARY, RLE)


def class_table(root: Path, change: Callable[[Lines], None] = lambda rows: None) -> Planted:
    """Write a table with a row for each image and class."""
    rows = [["ImageId", "class", "EncodedPixels"]]
    for key, picture, label in scenes(classes=3):
        save(root / "images" / f"{key}.png", picture)
        rows += [[key, name, runs(label == kind)] for kind, name in enumerate(THREE.classes) if kind]
    change(rows)
    (root / "t.csv").write_text("".join(",".join(row) + "\n" for row in rows))
    return Planted(root, THREE, RLE.model_copy(update={"class_column": "class"}))


def coco(root: Path, change: Callable[[dict[str, Any]], None] = lambda plain: None) -> Planted:
    """Write a COCO file with polygons of two overlapping classes; `change` edits it."""
    plain: dict[str, Any] = {
        "images": [], "annotations": [], "categories": [{"id": 1, "name": "blob"}, {"id": 2, "name": "bar"}],
    }  # fmt: skip
    for number, (key, picture, label) in enumerate(scenes(classes=3), 1):
        save(root / "images" / f"{key}.png", picture)
        plain["images"].append({"id": number, "file_name": f"{key}.png", "height": 48, "width": 64})
        for kind in (1, 2):
            for outline in cv2.findContours((label == kind).astype(np.uint8), cv2.RETR_EXTERNAL, cv2.CHAIN_APPROX_NONE)[
                0
            ]:
                points = outline[:, 0, :].astype(float)
                if len(points) < 4:
                    continue
                low, high = points.min(0), points.max(0)
                plain["annotations"].append(
                    {
                        "id": len(plain["annotations"]) + 1,
                        "image_id": number,
                        "category_id": kind,
                        "iscrowd": 0,
                        "segmentation": [points.reshape(-1).tolist()],
                        "area": float(cv2.contourArea(outline)),
                        "bbox": [*low.tolist(), *(high - low).tolist()],
                    }
                )
    change(plain)
    (root / "a.json").write_text(json.dumps(plain))
    return Planted(root, PLANES, COCO)


def polygons(root: Path, change: Callable[[dict[str, Any]], None] = lambda plain: None) -> Planted:
    """Write a JSON file of polygons for each image; `change` edits that of item03."""
    (root / "json").mkdir()
    for key, picture, label in scenes():
        save(root / "images" / f"{key}.png", picture)
        found = cv2.findContours(label, cv2.RETR_EXTERNAL, cv2.CHAIN_APPROX_NONE)[0]
        shapes = [{"label": "blob", "points": one[:, 0, :].tolist()} for one in found if len(one) > 3]
        plain = {"filename": f"{key}.png", "width": 64, "height": 48, "shapes": shapes}
        if key == "item03":
            change(plain)
        (root / "json" / f"{key}.json").write_text(json.dumps(plain))
    return Planted(root, BINARY, POLYGONS.model_copy(update={"vertices": "centres"}))


def paths(root: Path, change: Callable[[Lines], None] = lambda rows: None) -> Planted:
    """Write a table of paths."""
    rows = [["image", "mask", "site"]]
    for key, picture, label in scenes():
        save(root / "data" / f"{key}.png", picture)
        save(root / "data" / f"{key}_m.png", label)
        rows.append([f"data/{key}.png", f"data/{key}_m.png", f"site{int(key[-2:]) % 3}"])
    change(rows)
    (root / "t.csv").write_text("".join(",".join(row) + "\n" for row in rows))
    return Planted(root, BINARY, PATHS)


def colours(root: Path, odd: bool = False) -> Planted:
    """Write masks in the colours of a palette."""
    palette = COLOURS[:3].astype(np.uint8)
    for key, picture, label in scenes(classes=3):
        save(root / "images" / f"{key}.png", picture)
        drawn = palette[label]
        if odd and key == "item03":
            drawn[5:9, 5:9] = (1, 2, 3)
        save(root / "masks" / f"{key}.png", drawn)
    named = {name: tuple(int(v) for v in palette[kind]) for kind, name in enumerate(THREE.classes)}
    return Planted(root, THREE, FolderSource(images="images", masks="masks", encoding="rgb", palette=named))


def broken_json(root: Path) -> Planted:
    found = coco(root)
    (root / "a.json").write_text((root / "a.json").read_text()[:-30])
    return found


def no_json(root: Path) -> Planted:
    found = polygons(root)
    (root / "json/item03.json").unlink()
    return found


def lone_json(root: Path) -> Planted:
    found = polygons(root)
    (root / "images/item03.png").unlink()
    return found


def cut_json(root: Path) -> Planted:
    found = polygons(root)
    (root / "json/item03.json").write_text('{"shapes": [')
    return found


def lone_image_of_coco(root: Path) -> Planted:
    found = coco(root)
    (root / "images/item03.png").unlink()
    return found


def no_table(root: Path) -> Planted:
    return replace(table(root), train=RLE.model_copy(update={"table": "other.csv"}))


def set_cell(row: int, column: int, text: str) -> Callable[[Lines], None]:
    """Return a change of one cell."""

    def change(rows: Lines) -> None:
        rows[row][column] = text

    return change


def update(place: int, **values: Any) -> Callable[[dict[str, Any]], None]:
    """Return a change of one annotation."""

    def change(plain: dict[str, Any]) -> None:
        plain["annotations"][place].update(values)

    return change


def shape(**values: Any) -> Callable[[dict[str, Any]], None]:
    """Return a change of the first shape of a polygon file."""

    def change(plain: dict[str, Any]) -> None:
        plain["shapes"][0].update(values)

    return change


TABLES_CLEAN: dict[str, Planter] = {
    "run lengths": table,
    "run lengths of classes": class_table,
    "COCO": coco,
    "polygons": polygons,
    "paths": paths,
    "colours": colours,
}
TABLES: dict[str, tuple[Planter, str]] = {
    "RLE: no row": (lambda root: table(root, lambda rows: rows.pop(4)), "missing_label"),
    "RLE: no image": (lambda root: table(root, lambda rows: rows.append(["nobody", "1 2"])), "orphan_label"),
    "RLE: second row": (lambda root: table(root, lambda rows: rows.append(rows[4])), "row_twice"),
    "RLE: no column": (lambda root: table(root, set_cell(0, 1, "rle")), "no_column"),
    "RLE: past the end": (lambda root: table(root, set_cell(4, 1, "3070 20")), "bad_runs"),
    "RLE: odd numbers": (lambda root: table(root, set_cell(4, 1, "30 20 7")), "bad_runs"),
    "RLE: words": (lambda root: table(root, set_cell(4, 1, "thirty 20")), "bad_runs"),
    "RLE: start 0 of 1": (lambda root: table(root, set_cell(4, 1, "0 5")), "bad_runs"),
    "RLE: a cell more": (lambda root: table(root, lambda rows: rows[4].append("x")), "bad_row"),
    "RLE: unknown class": (lambda root: class_table(root, set_cell(4, 1, "tree")), "unknown_class"),
    "RLE: two classes on a pixel": (lambda root: class_table(root, set_cell(1, 2, "1 3072")), "class_overlap"),
    "RLE: name leaves the folder": (lambda root: table(root, set_cell(4, 0, "../x")), "odd_name"),
    "RLE: no table": (no_table, "no_folder"),
    "COCO: cut": (broken_json, "bad_label_file"),
    "COCO: no file of an image": (lone_image_of_coco, "orphan_label"),
    "COCO: not in the file": (lambda root: coco(root, lambda plain: plain["images"].pop(3)), "orphan_label"),
    "COCO: unknown category": (lambda root: coco(root, update(3, category_id=9)), "bad_annotation"),
    "COCO: id of an image twice": (lambda root: coco(root, lambda p: p["images"][3].update(id=1)), "id_twice"),
    "COCO: two points": (lambda root: coco(root, update(3, segmentation=[[1, 2, 3, 4]])), "bad_annotation"),
    "COCO: far outside": (
        lambda root: coco(root, update(3, segmentation=[[500, 2, 600, 4, 600, 80]])),
        "bad_annotation",
    ),
    "COCO: partly outside": (
        lambda root: coco(root, update(3, segmentation=[[50, 2, 90, 4, 90, 40]])),
        "outside_image",
    ),
    "COCO: other size": (lambda root: coco(root, lambda p: p["images"][3].update(height=99)), "size_mismatch"),
    "COCO: class by another name": (
        lambda root: coco(root, lambda plain: plain["categories"][0].update(name="blobs")),
        "unknown_class",
    ),
    "polygons: no file": (no_json, "missing_label"),
    "polygons: no image": (lone_json, "orphan_label"),
    "polygons: cut": (cut_json, "bad_label_file"),
    "polygons: unknown class": (lambda root: polygons(root, shape(label="tree")), "unknown_class"),
    "polygons: no points": (lambda root: polygons(root, shape(points="abc")), "bad_annotation"),
    "polygons: of another image": (
        lambda root: polygons(root, lambda plain: plain.update(filename="item05.png")),
        "other_image_named",
    ),
    "paths: no image": (lambda root: paths(root, set_cell(4, 0, "data/nobody.png")), "orphan_label"),
    "paths: empty cell": (lambda root: paths(root, set_cell(4, 1, "")), "missing_label"),
    "paths: one mask for two": (lambda root: paths(root, set_cell(4, 1, "data/item05_m.png")), "label_shared"),
    "paths: leaves the folder": (lambda root: paths(root, set_cell(4, 0, "/etc/x.png")), "odd_name"),
    "colours: one that no class has": (lambda root: colours(root, odd=True), "undeclared_colour"),
}
"""What is planted -> the function that does it, and the kind that must be found."""
