"""Noisy students from the command line: rounds, who taught whom, what is refused, a life that ends in the middle."""

import csv
import json
import shutil
import subprocess
import sys
import time

import numpy as np
import pytest
from cli_helpers import draw
from PIL import Image
from safetensors.numpy import load_file

from maskwright.core.errors import InputError
from maskwright.core.recipe.load import load_recipe
from maskwright.core.runs import RunFolder
from maskwright.ensembling.honest import Gain
from maskwright.inference.store import Store
from maskwright.workflows import selftrain
from maskwright.workflows.lineage import prove

SHORT = {"epochs": 1, "steps_per_epoch": 4, "batch_size": 2, "crop": 32, "precision": "fp32"}


@pytest.fixture
def teachable(folder_set, tmp_path):
    """Ten labelled items in five folds, six images without labels, and students that learn in each step."""
    rng = np.random.default_rng(7)
    (tmp_path / "pool").mkdir()
    for index in range(8):
        image, mask = draw(rng)
        labelled = index < 2
        folder = tmp_path / "set" / "images" if labelled else tmp_path / "pool"
        Image.fromarray(image).save(folder / f"t{index}.png")
        if labelled:
            Image.fromarray(mask).save(tmp_path / "set" / "masks" / f"t{index}.png")
    folder_set["folds"]["count"] = 5
    folder_set["members"]["a"].update(train=SHORT, predict={"tta": ["hflip"]})
    folder_set["members"]["a"]["model"]["encoder"] = "tu-test_resnet"  # is built quickly
    folder_set["output"] = [{"format": "masks"}, {"format": "report", "cases": 1}]
    folder_set["selftrain"] = {"mix": {"every": 1}, "noise": {"augment": ["hflip"], "drop_path": 0.2}}
    return folder_set


def tensors(run, fold):
    return load_file(run / "members" / "a" / f"fold{fold}" / "last.safetensors")


def test_nobody_learns_through_teachers_what_it_is_scored_on(cli, tmp_path, teachable, write_recipe, monkeypatch):
    monkeypatch.setattr(
        selftrain, "judge", lambda *_: Gain(0.1, 0.05, 0.2, 5, 5, 10)
    )  # two rounds, whatever they bring
    teachable["output"] = [{"format": "masks"}]
    path = write_recipe(teachable)
    code, out, err = cli("selftrain", path, "--unlabelled", "pool", "--rounds", "2", "--out", "one")
    assert code == 0, err
    assert "round 2: kept" in out
    last = RunFolder(tmp_path / "one" / "selftrain" / "round2")
    recipe = load_recipe(path)
    assert prove(last, recipe) == 2 * 5 * 6  # rounds, folds, images
    facts = Store(last.root / "labels" / "fold3").facts("t4")
    assert (facts["teacher"], facts["round"], facts["fold"]) == ("../round1", 2, 3)
    assert list(facts["members"]) == ["a"]
    assert 0.5 <= facts["confidence"] <= 1
    assert len(facts["recipe"]) == 16

    # another truth of what fold 0 is scored on changes no bit of fold 0's models, however many teachers lie between
    with (tmp_path / "one" / "folds.csv").open() as handle:
        held = [row["key"] for row in csv.DictReader(handle) if row["fold"] == "0"]
    for key in held:
        mask = tmp_path / "set" / "masks" / f"{key}.png"
        Image.fromarray(255 - np.array(Image.open(mask))).save(mask)
    code, _, err = cli("selftrain", path, "--unlabelled", "pool", "--rounds", "2", "--out", "two")
    assert code == 0, err
    for run in (".", "selftrain/round1", "selftrain/round2"):
        ours, theirs = tensors(tmp_path / "one" / run, 0), tensors(tmp_path / "two" / run, 0)
        assert all(np.array_equal(ours[name], theirs[name]) for name in ours), run
        other = tensors(tmp_path / "two" / run, 1)
        assert not all(np.array_equal(tensors(tmp_path / "one" / run, 1)[name], other[name]) for name in other), run

    # records that do not fit are refused
    labels = last.root / "labels"
    shutil.copy(labels / "fold1" / "t4.safetensors", labels / "fold0" / "t4.safetensors")
    with pytest.raises(InputError, match=r"t4\.safetensors: was changed since it was written"):
        prove(last, recipe)
    shutil.copytree(labels / "fold1", labels / "fold0", dirs_exist_ok=True)
    shutil.copy(labels / "fold1.csv", labels / "fold0.csv")
    told = json.loads((last.root / "lessons.json").read_text())
    told["folds"]["0"] = told["folds"]["1"]
    (last.root / "lessons.json").write_text(json.dumps(told))
    with pytest.raises(InputError, match="its training says lessons"):
        prove(last, recipe)


def test_the_gate_drops_what_is_no_better_and_a_finished_run_does_nothing(cli, tmp_path, teachable, write_recipe):
    teachable["folds"]["count"] = 2
    teachable["selftrain"] = {
        "labels": "hard",
        "portion": 0.8,
        "band": [0.98, 0.99],
        "mix": {"share": 0.5},
        "weight": 50,
        "start": "teacher",
    }  # what these teachers are unsure of is background
    teachable["members"]["a"]["train"] = {**SHORT, "batch_size": 4}
    teachable["data"]["test"] = {"format": "folder", "images": "images"}
    path = write_recipe(teachable)
    Image.open(tmp_path / "set" / "images" / "s3.png").save(tmp_path / "pool" / "again.png", compress_level=1)
    code, out, err = cli("selftrain", path, "--unlabelled", "pool")
    assert code == 0, err
    assert "left out, as they are labelled items: again" in out
    assert "round 1: not kept, " in out
    run = tmp_path / "runs" / "tiny"
    record = json.loads((run / "selftrain.json").read_text())
    assert (record["final"], record["finished"], record["test_items_used"]) == (0, True, False)
    assert [row["kept"] for row in record["rounds"]] == [True, False]
    assert record["unlabelled"]["left_out_as_labelled"] == ["again"]
    assert f"final answer: the first teachers', {'runs/tiny/output'}" in out
    page = (run / "report.html").read_text()
    assert "Self-training" in page
    assert "not kept" in page
    assert not (run / "selftrain" / "round1" / "output").exists()
    before = {
        path: path.stat().st_mtime_ns for path in run.rglob("*") if path.is_file() and path.name != "timing.jsonl"
    }
    code, out, err = cli("selftrain", path, "--unlabelled", "pool")
    assert code == 0, err
    assert "selftrain: nothing to do" in out
    assert "round 1: out-of-fold " in out
    after = {path: path.stat().st_mtime_ns for path in run.rglob("*") if path.is_file() and path.name != "timing.jsonl"}
    assert {path.name for path in after if before.get(path) != after[path]} <= {"run.lock", "files.json"}

    # another pool costs nothing that was made of the first one, and what cannot be looked at is named in one go
    Image.open(tmp_path / "pool" / "t3.png").convert("L").save(tmp_path / "pool" / "t3.png")
    code, _, err = cli("selftrain", path, "--unlabelled", "pool")
    assert code == 2
    assert "warning: images of one band, where labelled ones have 3, are taken for grey pictures: 't3'; masks " in err
    assert "error: runs/tiny/selftrain/round1: files was " in err
    assert err.endswith(", but students were trained with the old; choose another --out, or give --redo to train them "
                        "again\n")  # fmt: skip
    labels = [path for path in before if "labels" in path.parts]
    assert labels
    assert all(path.stat().st_mtime_ns == before[path] for path in labels)
    (tmp_path / "pool" / "t4.png").write_bytes((tmp_path / "pool" / "t5.png").read_bytes()[:300])
    Image.fromarray(np.zeros((40, 40), np.uint16)).save(tmp_path / "pool" / "t5.png")
    code, _, err = cli("selftrain", path, "--unlabelled", "pool")
    assert code == 2
    assert [line.partition(";")[0] for line in err.splitlines() if line.startswith("error")] == [
        "error: pool/t4.png: is damaged or truncated (image file is truncated)",
        "error: pool/t5.png: holds uint16 values, the model was made for uint8",
    ]


def test_a_life_that_ends_among_the_labels_goes_on_to_the_same_bytes(cli, tmp_path, teachable, write_recipe):
    teachable["folds"]["count"] = 2
    path = write_recipe(teachable)
    words = ["selftrain", str(path), "--unlabelled", "pool"]
    child = subprocess.Popen(
        [sys.executable, "-m", "maskwright", *words, "--out", "cut"],
        cwd=tmp_path, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
    )  # fmt: skip
    while child.poll() is None and not list((tmp_path / "cut").glob("selftrain/round1/labels/fold0/*")):
        time.sleep(0.005)
    child.kill()
    child.wait()
    for name in ("cut", "whole"):
        code, _, err = cli(*words, "--out", name)
        assert code == 0, err

    def found(name):
        run = tmp_path / name / "selftrain" / "round1"
        return {str(path.relative_to(run)): path.read_bytes() for path in run.rglob("*.safetensors")}

    assert len(found("whole")) == 2 * 6 + 2 * 2 + 10  # labels, last and best weights, out-of-fold answers
    assert found("cut") == found("whole")


@pytest.mark.parametrize(
    ("change", "words", "message"),
    [
        ({}, ["--unlabelled", "nowhere"], "--unlabelled nowhere: no such folder; give a folder of images"),
        ({}, ["--unlabelled", "empty"], "empty: no images; check the folder and image_suffix"),
        ({}, [], "selftrain.unlabelled: no images without labels are named; name them there, or give --unlabelled DIR"),
        ({}, ["--unlabelled", "pool", "--rounds", "0"], "--rounds: 0 rounds; give 1 to 20"),
        (
            {"folds": {"kind": "all", "count": 1}, "selftrain": None, "data.test": "images"},
            ["--unlabelled", "pool"],
            "folds.kind: a round is kept by its out-of-fold score, and folds.kind: all holds nothing out; use other "
            "folds, e.g. stratified",
        ),
        (
            {"rules": {"test_labels": "forbidden"}, "data.test": "../pool2"},
            ["--unlabelled", "pool"],
            "pool: 6 of 6 images are test items, such as 't2', which rules.test_labels forbids; take them away, or set "
            "rules.test_labels: allowed",
        ),
        (
            {},
            ["--unlabelled", "grey"],
            "g.png: holds uint16 values, the model was made for uint8; give images on the scale",
        ),
        ({}, ["--unlabelled", "set/images"], "--unlabelled: all 10 images are labelled items of this recipe; give"),
        (
            {"selftrain": {"noise": {"drop_path": 0.2}}, "encoder": "resnet18"},
            ["--unlabelled", "pool"],
            "members.a.model.encoder: encoder resnet18 has no stochastic depth that selftrain.noise.drop_path could "
            "set; leave drop_path out, or use a timm encoder such as tu-resnet18",
        ),
        (
            {"selftrain": {"mix": {"every": 5, "share": 0.5}}},
            ["--unlabelled", "pool"],
            "selftrain.mix: mix is {every: 5} or {share: 0.25}; give one of the two",
        ),
        ({"selftrain": {"loss": {"kll": 1}}}, ["--unlabelled", "pool"], "selftrain.loss: unknown loss 'kll'"),
    ],
)
def test_what_cannot_be_is_refused_in_one_line_before_any_training(
    cli, tmp_path, teachable, write_recipe, change, words, message
):
    (tmp_path / "empty").mkdir()
    (tmp_path / "grey").mkdir()
    Image.fromarray(np.full((40, 40), 2000, np.uint16)).save(tmp_path / "grey" / "g.png")
    shutil.copytree(tmp_path / "pool", tmp_path / "set" / "pool2")
    for key, value in change.items():
        if key == "data.test":
            teachable["data"]["test"] = {"format": "folder", "images": value.removeprefix("../")}
        elif key == "encoder":
            teachable["members"]["a"]["model"]["encoder"] = value
        elif value is None:
            teachable.pop(key)
        else:
            teachable[key] = value
    code, _, err = cli("selftrain", write_recipe(teachable), *words)
    assert code == 2
    lines = [line for line in err.splitlines() if line.startswith("error:")]
    assert len(lines) == 1, err
    assert message in lines[0]
    assert not list(tmp_path.glob("runs/*/members"))
