"""The verb suspects through the real command line: a planted fault is found, shown, exported, and avoided."""

import csv
import json
from xml.etree import ElementTree

import numpy as np
import pytest
from cli_helpers import tree
from PIL import Image
from pycocotools import mask as peer
from pycocotools.coco import COCO

pytestmark = pytest.mark.filterwarnings("ignore:__array__ implementation:DeprecationWarning")  # of pycocotools


@pytest.fixture
def planted(folder_set, tmp_path):
    """The clean set with one mask emptied, and enough steps to see that."""
    member = folder_set["members"]["a"]
    train = {**member["train"], "epochs": 1, "steps_per_epoch": 24, "crop": 40, "batch_size": 4}
    folder_set["members"]["a"] = {**member, "train": train, "optimizer": {"lr": 0.01}}
    path = tmp_path / "set" / "masks" / "s3.png"
    kept = np.asarray(Image.open(path))
    Image.fromarray(np.zeros_like(kept)).save(path)
    return folder_set, kept > 0


def test_a_dropped_object_is_ranked_first_shown_exported_and_not_trained_on(cli, tmp_path, planted, write_recipe):
    recipe, truth = planted
    path = write_recipe(recipe)
    assert cli("run", path)[0] == 0
    run = tmp_path / "runs" / "tiny"
    assert 'id="suspects"' not in (run / "report.html").read_text()
    code, out, err = cli("suspects", path, "--top", "3", "--to", "coco")
    assert code == 0, err
    found = json.loads((run / "suspects.json").read_text())
    assert found["items"][0]["key"] == "s3"
    region = found["regions"][0]
    assert (region["key"], region["given"], region["likely"]) == ("s3", "background", "block")
    drawn = peer.decode({"size": region["size"], "counts": region["counts"].encode()}) > 0
    assert (drawn & truth).sum() / (drawn | truth).sum() > 0.5
    with (run / "suspects.csv").open() as stream:
        assert next(csv.DictReader(stream))["key"] == "s3"
    assert "s3\n" in out
    page = (run / "report.html").read_text()
    assert 'id="suspects"' in page
    assert "label: background; models: block" in page
    told = COCO(str(run / "view-suspects-coco" / "annotations" / "instances_suspects.json"))
    first = next(iter(told.anns.values()))
    assert told.imgs[first["image_id"]]["key"] == "s3"
    assert peer.area(first["segmentation"]) == first["area"]
    assert str(tmp_path) not in (run / "suspects.json").read_text() + page
    before = tree(run)
    code, out, err = cli("suspects", path, "--to", "cvat", "--view", "mend")
    assert code == 0, err
    assert "suspects: nothing to do\n" in out
    assert tree(run) == before
    _check_cvat(tmp_path / "mend", truth)
    _check_avoided(cli, tmp_path, recipe, write_recipe)


def _check_cvat(folder, truth):
    page = ElementTree.parse(folder / "annotations.xml").getroot()
    images = {image.get("name"): image for image in page.findall("image")}
    assert (folder / "images" / "s3.png").exists()
    box = images["s3.png"].find("box")
    assert {each.get("name"): each.text for each in box.findall("attribute")}["models"] == "block"
    rows, cols = np.nonzero(truth)
    assert abs(float(box.get("ytl")) - rows.min()) <= 4
    assert abs(float(box.get("xbr")) - 1 - cols.max()) <= 4
    mask = images["s0.png"].find("mask") if "s0.png" in images else next(page.iter("mask"))
    runs = [int(number) for number in mask.get("rle").split(",")]
    assert sum(runs) <= int(mask.get("width")) * int(mask.get("height"))
    labels = json.loads((folder / "labels.json").read_text())
    assert [label["name"] for label in labels] == ["block", "suspect"]


def _check_avoided(cli, tmp_path, recipe, write_recipe):
    """A list of suspects keeps an item out of training, and not out of the scores."""
    listed = tmp_path / "set" / "doubted.csv"
    listed.write_text("key,score\ns3,0.9\ns4,0.1\n")
    data = {**recipe["data"], "suspects": {"list": "doubted.csv"}}
    path = write_recipe({**recipe, "name": "clean", "data": data}, "clean.yaml")
    assert cli("train", path, "--fold", "1", "members.a.train.steps_per_epoch=1")[0] == 0
    facts = json.loads((tmp_path / "runs" / "clean" / "manifest.json").read_text())["train/a/fold1"]["inputs"]
    assert facts["suspects"] == {"weight": 0.0, "items": ["s3"]}
    assert "s3," in (tmp_path / "runs" / "clean" / "folds.csv").read_text()
    for text, says in (
        ("key,score\ns3,high\n", "doubted.csv:2: score 'high' of 's3' is no number from 0 to 1; mend the row\n"),
        ("key,score\nother,1\n", "none of its 1 keys is an item of data.train, such as 'other'"),
        ("name,score\ns3,1\n", "no column 'key'"),
    ):
        listed.write_text(text)
        code, _, err = cli("train", path, "members.a.train.steps_per_epoch=1")
        assert code == 2
        assert says in err


def test_wrong_words_are_refused(cli, folder_set, write_recipe):
    path = write_recipe(folder_set)
    for words, says in (
        (("--to", "coc"), "error: --to: unknown view 'coc' (did you mean 'coco'?); use one of: coco, cvat\n"),
        (("--top", "0"), "error: --top: 0 rows; give 1 or more\n"),
        (("--view", "v"), "error: --view v: nothing says what to write there; add --to coco or cvat\n"),
        (("--to", "coco", "--view", "set"), "error: set: is not empty and holds no view; choose another --view\n"),
    ):
        code, _, err = cli("suspects", path, *words)
        assert (code, err) == (2, says)
    folder_set["folds"] = {"kind": "all"}
    folder_set["data"]["suspects"] = {"list": "a.csv", "part": "x"}
    code, _, err = cli("suspects", write_recipe(folder_set))
    assert code == 2
    assert "data.suspects.part: no part 'x'; data.train is no merge; leave it out" in err
