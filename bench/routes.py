"""Different routes to the same labels, compared pixel by pixel on real sets.

    python -m bench.routes xray PATH       COCO run lengths, cut-out masks with their places, polygons
    python -m bench.routes facades PATH    our polygons and their order against pycocotools' annToMask
    python -m bench.routes kampala PATH    run lengths, masks of 0 and 255, and the masks as Pillow reads them
    python -m bench.routes nuclei PATH     run lengths of each nucleus, instance maps, and the maps as Pillow reads them

xray: PATH is the chest X-ray set, whose polygons are outer contours, so that they fill holes; nothing else may differ.
"""

from __future__ import annotations

import argparse
import csv
import json
import sys
from collections import defaultdict
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image
from pycocotools import mask as cocotools
from scipy import ndimage

from maskwright.core.labels import Task
from maskwright.core.recipe.sources import CocoSource, FolderSource, PolygonsSource, RleCsvSource, Source
from maskwright.data.pixels.rasters import read_header
from maskwright.data.sources.base import Source as Opened
from maskwright.data.sources.open import join_source, open_source

Mask = NDArray[np.uint8]


def names_of(file: Path) -> tuple[str, ...]:
    """Return the names of a COCO file's categories, each once, in the order of their ids."""
    known = {entry["id"]: entry["name"] for entry in json.loads(file.read_text())["categories"]}
    return tuple(dict.fromkeys(known[number] for number in sorted(known)))


def pixels_of(source: Opened, key: str, task: Task) -> tuple[Mask, NDArray[np.bool_]]:
    """Return the label of an item at the size of its image."""
    return source.read_label(key, read_header(source.image_path(key), 1 << 30).shape, task)


def cut_outs(root: Path, task: Task) -> dict[str, list[tuple[int, int, int, Mask]]]:
    """Return plane, top, left and mask of each cut-out, by the name of its image."""
    found = defaultdict(list)
    with (root / "mask_placement.csv").open() as handle:
        for row in csv.DictReader(handle):
            picture = Image.open(next((root / "masks_cropped").rglob(row["mask"]))).convert("RGB")
            size = slice(0, int(row["height"])), slice(0, int(row["width"]))
            mask = np.asarray(picture).any(axis=2)[size].astype(np.uint8)
            found[row["file_name"]].append((task.classes.index(row["class"]), int(row["top"]), int(row["left"]), mask))
    return found


def xray(root: Path) -> int:
    """Compare the three routes of the X-ray set; return the pixels that nothing explains."""
    task = Task(kind="multilabel", classes=names_of(root / "annotations_coco_rle.json"))
    blocks: list[Source] = [
        CocoSource(images="images", annotations="annotations_coco_rle.json"),
        PolygonsSource(images="images", annotations="polygons_json", vertices="centres"),
        PolygonsSource(images="images", annotations="polygons_json", vertices="corners"),
    ]
    coco, centres, corners = (join_source(block, root, task)[0] for block in blocks)  # corners refuses traced dots
    assert coco is not None
    assert centres is not None
    assert corners is not None
    pieces = cut_outs(root, task)
    total = dict.fromkeys(
        ("masks", "pixels", "cut-outs differ", "polygons differ", "of them holes", "corners differ"), 0
    )
    for key in coco.keys:
        label, _ = pixels_of(coco, key, task)
        placed = np.zeros_like(label)
        for plane, top, left, mask in pieces[coco.image_path(key).name]:
            there = placed[plane, top : top + mask.shape[0], left : left + mask.shape[1]]
            there |= mask[: there.shape[0], : there.shape[1]]
        traced, _ = pixels_of(centres, key, task)
        filled = np.stack([ndimage.binary_fill_holes(plane) for plane in label])
        total["masks"] += int(label.any(axis=(1, 2)).sum())
        total["pixels"] += int(label.sum())
        total["cut-outs differ"] += int((placed != label).sum())
        total["polygons differ"] += int((traced != label).sum())
        total["of them holes"] += int(((traced != label) & (traced == filled)).sum())
        total["corners differ"] += int((pixels_of(corners, key, task)[0] != label).sum())
    print(", ".join(f"{name} {count}" for name, count in total.items()))
    return total["cut-outs differ"] + total["polygons differ"] - total["of them holes"]


def facades(root: Path) -> int:
    """Compare our index masks of the facades with pycocotools', large ones painted first; return what differs."""
    differ = pixels = 0
    for part in ("train", "val"):
        file = json.loads((root / f"{part}.json").read_text())
        task = Task(kind="multiclass", classes=names_of(root / f"{part}.json"))
        source = open_source(CocoSource(images=part, annotations=f"{part}.json"), root, task)
        names = {entry["id"]: entry["name"] for entry in file["categories"]}
        for image in file["images"]:
            size = image["height"], image["width"]
            masks = [
                (task.classes.index(names[entry["category_id"]]), cocotools.decode(cocotools.merge(packed)))
                for entry in file["annotations"]
                if entry["image_id"] == image["id"]
                and (packed := cocotools.frPyObjects(entry["segmentation"], *size)) is not None
            ]
            expected = np.full(size, 255, np.uint8)
            for plane, mask in sorted(masks, key=lambda pair: -int(pair[1].sum())):
                expected[mask > 0] = plane
            label, valid = pixels_of(source, Path(image["file_name"]).stem, task)
            differ += int((np.where(valid, label, 255) != expected).sum())
            pixels += label.size
    print(f"pixels {pixels}, differ {differ}")
    return differ


def kampala(root: Path) -> int:
    """Compare the run lengths of the Kampala tiles with their PNG masks; return what differs."""
    runs = RleCsvSource(
        images="images", table="labels_rle.csv", key_column="img_id", rle_column="mask_rle", order="row"
    )
    return _two_routes(root, runs, FolderSource(images="images", masks="masks", values={0: 0, 255: 1}))


def nuclei(root: Path) -> int:
    """Compare the run lengths of all nuclei with the instance maps; return what differs.

    One pixel of the whole selection is in the run lengths of two nuclei, but only in one of the map: both are 1 here.
    """
    runs = RleCsvSource(images="images", table="labels_rle.csv", order="column", rows="instance")
    return _two_routes(root, runs, FolderSource(images="images", masks="instance_masks", encoding="instances"))


def _two_routes(root: Path, runs: RleCsvSource, masks: FolderSource) -> int:
    task = Task(kind="binary", classes=("object",))
    one, two = open_source(runs, root, task), open_source(masks, root, task)
    assert one.keys == two.keys
    pixels = inside = differ = 0
    for key in one.keys:
        path = two.label_path(key)
        assert path is not None, key
        label, _ = pixels_of(one, key, task)
        with Image.open(path) as plain:
            trusted = np.asarray(plain) > 0
        differ += int(((label != pixels_of(two, key, task)[0]) | (label != trusted)).sum())
        pixels += label.size
        inside += int(label.sum())
    print(f"items {len(one.keys)}, pixels {pixels}, of objects {inside}, differ {differ}")
    return differ


SETS = {"xray": xray, "facades": facades, "kampala": kampala, "nuclei": nuclei}


def main() -> int:
    """Compare the routes of one set; the exit code is 1 if a pixel is not explained."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("set", choices=SETS)
    parser.add_argument("root", type=Path)
    given = parser.parse_args()
    unexplained = SETS[given.set](given.root)
    print("identical" if not unexplained else f"{unexplained} pixels are not explained")
    return int(unexplained > 0)


if __name__ == "__main__":
    sys.exit(main())
