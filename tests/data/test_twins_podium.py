"""Twins of dacon_buildings, trash and hand_bone, read by readers that were written from SEEDS and know nothing else."""

import csv
import json

import cv2
import numpy as np
import pytest

from maskwright.data.synthetic.twins.table import write_twin


@pytest.fixture(scope="module")
def twin(tmp_path_factory):
    made = {}

    def of(name, items):
        if name not in made:
            made[name] = tmp_path_factory.mktemp("twin") / name
            write_twin(name, made[name], items, seed=3)
        return made[name]

    return of


def table(path):
    with path.open(newline="") as stream:
        rows = list(csv.reader(stream))
    return rows[0], rows[1:]


def test_dacon_buildings(twin):
    """SEEDS 000.1: names, sizes, tables, run lengths row by row from 1, -1 for none."""
    root = twin("dacon_buildings", 4)
    header, rows = table(root / "train.csv")
    assert header == ["img_id", "img_path", "mask_rle"]
    assert [row[0] for row in rows] == [f"TRAIN_{n:04}" for n in range(4)]
    for name, path, text in rows:
        assert path == f"./train_img/{name}.png"
        image = cv2.imread(str(root / path), cv2.IMREAD_UNCHANGED)
        assert (image.dtype, image.shape) == (np.uint8, (1024, 1024, 3))
        numbers = [int(part) for part in text.split(" ")]
        mask = np.zeros(1024 * 1024, np.uint8)
        for start, length in zip(numbers[::2], numbers[1::2], strict=True):
            mask[start - 1 : start - 1 + length] = 1
        assert 0 < mask.mean() < 0.9, "every training image holds a building"
        edges = np.abs(np.diff(cv2.cvtColor(image, cv2.COLOR_BGR2GRAY).astype(float), axis=1))
        outline = np.diff(mask.reshape(1024, 1024), axis=1) != 0
        assert edges[outline].mean() > 1.5 * edges.mean(), "the mask lies on its building"
    assert table(root / "test.csv") == (
        ["img_id", "img_path"],
        [[f"TEST_{n:05}", f"./test_img/TEST_{n:05}.png"] for n in range(2)],
    )
    assert table(root / "sample_submission.csv") == (["img_id", "mask_rle"], [[f"TEST_{n:05}", "-1"] for n in range(2)])
    for n in range(2):
        image = cv2.imread(str(root / "test_img" / f"TEST_{n:05}.png"), cv2.IMREAD_UNCHANGED)
        assert (image.dtype, image.shape) == (np.uint8, (224, 224, 3))


def test_trash(twin):
    """SEEDS 001.1: COCO by category names, file names with their batch folder, ids of images from 0."""
    root = twin("trash", 10)
    told = {part: json.loads((root / f"{part}.json").read_text()) for part in ("train", "val", "train_all", "test")}
    names = {part: [image["file_name"] for image in one["images"]] for part, one in told.items()}
    assert sorted(names["train"] + names["val"]) == sorted(names["train_all"])
    assert not set(names["test"]) & set(names["train_all"])
    assert [len(names[part]) for part in ("train_all", "test")] == [10, 5]
    classes = ["General trash", "Paper", "Paper pack", "Metal", "Glass", "Plastic", "Styrofoam"]
    classes += ["Plastic bag", "Battery", "Clothing"]
    seen = set()
    for part, one in told.items():
        assert [image["id"] for image in one["images"]] == list(range(len(one["images"])))
        assert {entry["id"]: entry["name"] for entry in one["categories"]} == dict(enumerate(classes, 1))
        for image in one["images"]:
            assert image["file_name"].startswith("batch_0")
            picture = cv2.imread(str(root / image["file_name"]))
            assert picture.shape == (512, 512, 3) == (image["height"], image["width"], 3)
        for entry in one.get("annotations", ()):
            assert 0 <= entry["image_id"] < len(one["images"])
            (ring,) = entry["segmentation"]
            points = np.array(ring, np.float32).reshape(-1, 2)
            assert len(points) >= 3
            assert abs(cv2.contourArea(points) - entry["area"]) < 0.01 * entry["area"] + 20
            left, top, width, height = entry["bbox"]
            assert np.allclose([points.min(0), points.max(0)], [[left, top], [left + width, top + height]], atol=0.11)
            seen.add(entry["category_id"])
        assert ("annotations" in one) == (part != "test")
    assert len(seen) > 5
    assert (root / "sample_submission.csv").read_text() == "image_id,PredictionString\n"


def test_hand_bone(twin):
    """SEEDS 003.1: two images a person, one polygon for each of 29 classes, which overlap."""
    root = twin("hand_bone", 4) / "data"
    fingers = [f"finger-{n}" for n in range(1, 20)]
    wrist = ["Trapezium", "Trapezoid", "Capitate", "Hamate", "Scaphoid", "Lunate", "Triquetrum", "Pisiform"]
    wrist += ["Radius", "Ulna"]
    images = sorted((root / "train" / "DCM").rglob("*.png"))
    assert len(images) == 4
    assert len({path.parent.name for path in images}) == 2
    overlaps = 0
    for path in images:
        assert path.parent.name.startswith("ID")
        assert path.stem.startswith("image")
        assert path.stem[5:].isdigit()
        pixels = cv2.imread(str(path))
        assert (pixels.dtype, pixels.shape) == (np.uint8, (2048, 2048, 3))
        told = json.loads((root / "train" / "outputs_json" / path.parent.name / f"{path.stem}.json").read_text())
        assert sorted(told) == ["annotations"]
        planes = {}
        for entry in told["annotations"]:
            assert sorted(entry) == ["attributes", "id", "label", "points", "type"]
            assert entry["type"] == "poly_seg"
            mask = np.zeros((2048, 2048), np.uint8)
            cv2.fillPoly(mask, [np.array(entry["points"])], 1)
            planes[entry["label"]] = mask
            assert pixels[..., 0][mask > 0].mean() > 2 * pixels[..., 0].mean(), "bones are bright"
        assert list(planes) == [*fingers, *wrist]
        overlaps += int((np.sum([plane[::4, ::4] for plane in planes.values()], axis=0) > 1).sum())
    assert overlaps > 100
    tests = sorted(path.name for path in (root / "test" / "DCM").rglob("*.png"))
    header, rows = table(root / "sample_submission.csv")
    assert header == ["image_name", "class", "rle"]
    assert sorted({row[0] for row in rows}) == tests
    assert [row[1:] for row in rows[:29]] == [[name, ""] for name in [*fingers, *wrist]]
