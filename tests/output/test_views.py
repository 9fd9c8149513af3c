"""Views for other tools: what COCO's own tools and plain readers find in them is what was put in."""

import importlib.util
import json
import os
import subprocess
import sys

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from PIL import Image
from pycocotools import mask as peer
from pycocotools.coco import COCO
from pycocotools.cocoeval import COCOeval

from maskwright.core.labels import Task
from maskwright.data.labels.shapes import write_counts
from maskwright.output.views import cvat
from maskwright.output.views.coco import CocoView, pieces, run_lengths
from maskwright.output.views.fiftyone import FiftyOneView
from maskwright.output.views.item import ViewItem, bring, place, shown_classes, word

pytestmark = pytest.mark.filterwarnings("ignore:__array__ implementation:DeprecationWarning")  # of pycocotools
OPEN = """
import json, sys
import fiftyone as fo
found = fo.Dataset.from_dir(dataset_dir=sys.argv[1], dataset_type=fo.types.FiftyOneDataset)
first = found.match_tags("oof").first()
told = {"split": found.count_values("split"), "worst": found.exists("iou").sort_by("iou").values("key"),
        "truth": first.ground_truth.get_mask().tolist(), "answer": first.prediction.get_mask().tolist(),
        "fold": first.fold, "classes": found.mask_targets["prediction"][1]}
print(json.dumps(told))
"""

BINARY = Task(kind="binary", classes=("roof",))
MANY = Task(kind="multiclass", classes=("background", "road", "tree"))
LABELS = Task(kind="multilabel", classes=("left lung", "left-lung"))


def item(tmp_path, task, key="a/x", size=(6, 9), **other):
    rng = np.random.default_rng(len(key))
    path = tmp_path / "set" / f"{key}.png"
    path.parent.mkdir(parents=True, exist_ok=True)
    image = rng.integers(0, 255, (*size, 3), dtype=np.uint8)
    Image.fromarray(image).save(path)
    shape = (task.planes, *size) if task.kind == "multilabel" else size
    top = len(task.values) if task.kind == "multiclass" else 2
    facts = {
        "key": key,
        "path": path,
        "image": image,
        "seen": np.ones(size, bool),
        "truth": rng.integers(0, top, shape, dtype=np.uint8),
        "valid": np.ones(size, bool),
        "predicted": rng.integers(0, top, shape, dtype=np.uint8),
        "probability": rng.random((task.planes, *size), dtype=np.float32),
        "split": "oof",
        "fold": 1,
        "scores": {"iou": 0.5},
    }
    return ViewItem(**(facts | other))


def planes(label, task):
    return {name: label[value] if task.kind == "multilabel" else label == value for value, name in shown_classes(task)}


@given(hnp.arrays(np.uint8, st.tuples(st.integers(1, 9), st.integers(1, 9)), elements=st.integers(0, 1)))
def test_pieces_are_to_the_pixel_what_the_mask_is_and_as_cocos_tools_write_them(mask):
    chances = np.linspace(0, 1, mask.size, dtype=np.float32).reshape(mask.shape)
    total = np.zeros(mask.shape, np.int64)
    for piece in pieces(mask, chances, write_counts):
        drawn = peer.decode(piece["segmentation"])
        assert peer.encode(np.asfortranarray(drawn))["counts"] == piece["segmentation"]["counts"].encode()
        assert piece["area"] == drawn.sum()
        assert piece["bbox"] == peer.toBbox(piece["segmentation"]).tolist()
        assert piece["score"] == pytest.approx(chances[drawn > 0].mean(), abs=1e-4)
        total += drawn
    assert np.array_equal(total, mask)


def test_run_lengths_begin_with_what_is_off_and_end_with_what_is_on():
    assert run_lengths(np.array([0, 1, 4]), 6).tolist() == [0, 2, 2, 1, 1]
    assert run_lengths(np.array([2, 5]), 6).tolist() == [2, 1, 2, 1]


@pytest.mark.parametrize("task", [BINARY, MANY, LABELS], ids=lambda task: task.kind)
def test_cocos_tools_load_both_files_and_find_the_masks(tmp_path, task, capsys):
    view = CocoView(tmp_path / "view", task, "copy", write_counts, "tiny")
    items = [item(tmp_path, task, "a/x"), item(tmp_path, task, "y"), item(tmp_path, task, "z", truth=None)]
    valid = items[0].valid.copy()
    valid[:2] = False
    items[0] = item(tmp_path, task, "a/x", valid=valid)
    for each in items:
        view.add(each)
    view.close()
    truth = COCO(str(tmp_path / "view" / "annotations" / "instances_truth.json"))
    answers = COCO(str(tmp_path / "view" / "annotations" / "instances_prediction.json"))
    assert [image["file_name"] for image in truth.dataset["images"]] == ["a/x.png", "y.png"]
    assert [image["key"] for image in answers.dataset["images"]] == ["a/x", "y", "z"]
    names = {row["name"]: row["id"] for row in truth.dataset["categories"]}
    assert list(names) == [name for _, name in shown_classes(task)]
    for loaded, field in ((truth, "truth"), (answers, "predicted")):
        for image in loaded.dataset["images"]:
            each = next(one for one in items if one.key == image["key"])
            with Image.open(tmp_path / "view" / "images" / image["file_name"]) as picture:
                assert picture.size == (image["width"], image["height"])
            for name, wanted in planes(getattr(each, field), task).items():
                counted = each.valid if field == "truth" else each.seen
                drawn = np.zeros(each.shape, np.uint8)
                for one in loaded.loadAnns(loaded.getAnnIds(imgIds=[image["id"]], catIds=[names[name]])):
                    drawn |= loaded.annToMask(one)
                assert np.array_equal(drawn, wanted & counted), (image["key"], name)
    for answer in (answers, truth.loadRes([a for a in answers.dataset["annotations"] if a["image_id"] < 3])):
        judged = COCOeval(truth, answer, "segm")
        judged.evaluate()
        judged.accumulate()
        judged.summarize()
        assert 0 <= judged.stats[0] <= 1
    capsys.readouterr()


def test_perfect_answers_are_perfect_for_cocos_tools(tmp_path, capsys):
    view = CocoView(tmp_path / "view", MANY, "copy", write_counts, "tiny")
    one = item(tmp_path, MANY)
    view.add(item(tmp_path, MANY, predicted=one.truth))
    view.close()
    files = [str(tmp_path / "view" / "annotations" / f"instances_{name}.json") for name in ("truth", "prediction")]
    judged = COCOeval(COCO(files[0]), COCO(files[1]), "segm")
    judged.evaluate()
    judged.accumulate()
    judged.summarize()
    assert judged.stats[0] == pytest.approx(1)
    capsys.readouterr()


def test_fiftyone_gets_masks_fields_and_no_absolute_path(tmp_path):
    view = FiftyOneView(tmp_path / "view", MANY, "copy", "tiny")
    valid = np.ones((6, 9), bool)
    valid[0] = False
    labelled, blank = item(tmp_path, MANY, valid=valid), item(tmp_path, MANY, "test/z", truth=None, fold=None)
    for each in (labelled, blank):
        view.add(each)
    view.close()
    samples = json.loads((tmp_path / "view" / "samples.json").read_text())["samples"]
    assert [sample["filepath"] for sample in samples] == ["data/a/x.png", "data/test/z.png"]
    assert (samples[0]["fold"], samples[0]["iou"], samples[0]["tags"]) == (1, 0.5, ["oof"])
    assert "ground_truth" not in samples[1]
    with Image.open(tmp_path / "view" / samples[0]["ground_truth"]["mask_path"]) as stored:
        assert np.array_equal(np.asarray(stored), np.where(valid, labelled.truth, 255))
    with Image.open(tmp_path / "view" / samples[1]["prediction"]["mask_path"]) as stored:
        assert np.array_equal(np.asarray(stored), blank.predicted)
    told = json.loads((tmp_path / "view" / "metadata.json").read_text())
    assert told["mask_targets"]["prediction"] == {"0": "background", "1": "road", "2": "tree", "255": "ignored"}
    assert {"key", "split", "fold", "iou", "ground_truth", "prediction"} <= {f["name"] for f in told["sample_fields"]}
    written = "".join(path.read_text() for path in (tmp_path / "view").glob("*.json"))
    assert str(tmp_path) not in written


@pytest.mark.skipif(
    importlib.util.find_spec("fiftyone") is None,
    reason="fiftyone is not installed; it opened such a view when it was tried by hand (docs/log.md, 2026-11-27)",
)
def test_fiftyone_opens_it(tmp_path):
    view = FiftyOneView(tmp_path / "view", BINARY, "copy", "tiny")
    one = item(tmp_path, BINARY)
    for each in (one, item(tmp_path, BINARY, "y", scores={"iou": 0.25}), item(tmp_path, BINARY, "z", split="test")):
        view.add(each)
    view.close()
    home = {"HOME": str(tmp_path), "FIFTYONE_DATABASE_VALIDATION": "false", "FIFTYONE_DO_NOT_TRACK": "true"}
    words = [sys.executable, "-c", OPEN, str(tmp_path / "view")]
    done = subprocess.run(words, env=os.environ | home, capture_output=True, text=True, check=True, timeout=300)
    told = json.loads(done.stdout.splitlines()[-1])
    assert told["split"] == {"oof": 2, "test": 1}
    assert told["worst"][0] == "y"
    assert (told["fold"], told["classes"]) == (1, "roof")
    assert told["truth"] == one.truth.tolist()
    assert told["answer"] == one.predicted.tolist()


def test_labels_that_overlap_get_a_field_each(tmp_path):
    view = FiftyOneView(tmp_path / "view", LABELS, "copy", "tiny")
    one = item(tmp_path, LABELS)
    view.add(one)
    view.close()
    (sample,) = json.loads((tmp_path / "view" / "samples.json").read_text())["samples"]
    for index, field in enumerate(("ground_truth_left_lung", "ground_truth_left_lung_2")):
        with Image.open(tmp_path / "view" / sample[field]["mask_path"]) as stored:
            assert np.array_equal(np.asarray(stored), one.truth[index])


def test_the_same_item_has_the_same_bytes_and_ids_in_every_export(tmp_path):
    for name in ("one", "two"):
        view = FiftyOneView(tmp_path / name, BINARY, "copy", "tiny")
        view.add(item(tmp_path, BINARY))
        view.close()
    assert (tmp_path / "one" / "samples.json").read_bytes() == (tmp_path / "two" / "samples.json").read_bytes()


def test_pictures_are_copied_linked_or_drawn(tmp_path):
    one = item(tmp_path, BINARY)
    assert (tmp_path / "c" / bring(one, tmp_path / "c", "copy")).read_bytes() == one.path.read_bytes()
    linked = tmp_path / "l" / bring(one, tmp_path / "l", "link")
    assert linked.is_symlink()
    assert not linked.readlink().is_absolute()
    assert linked.read_bytes() == one.path.read_bytes()
    deep = item(tmp_path, BINARY, image=np.arange(6 * 9 * 5, dtype=np.uint16).reshape(6, 9, 5))
    drawn = bring(deep, tmp_path / "d", "link")
    assert drawn.name == "x.png"
    with Image.open(tmp_path / "d" / drawn) as picture:
        assert picture.size == (9, 6)
        assert picture.mode == "RGB"


def test_names_stay_in_their_folder_and_apart():
    assert place("a/../x", ".png").as_posix() == "a/%2E./x.png"
    taken = set()
    assert [word(name, taken) for name in ("a b", "a-b", "c")] == ["a_b", "a_b_2", "c"]


@given(hnp.arrays(np.uint8, st.tuples(st.integers(1, 9), st.integers(1, 9)), elements=st.integers(0, 1)))
def test_cvats_run_lengths_go_along_rows_and_begin_with_what_is_off(mask):
    drawn = np.zeros(mask.shape, np.uint8)
    for top, left, piece in cvat.pieces(mask):
        runs = cvat.run_lengths(piece)
        flat = np.repeat(np.arange(len(runs)) % 2, runs)
        flat = np.pad(flat, (0, piece.size - flat.size))
        assert (flat.reshape(piece.shape) == piece).all()
        assert runs[-1] > 0
        drawn[top : top + piece.shape[0], left : left + piece.shape[1]] |= piece
    assert (drawn == mask).all()
