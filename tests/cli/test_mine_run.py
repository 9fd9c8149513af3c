"""The verb mine through the real command line: windows are listed fold by fold, trained on, and judged."""

import json

import numpy as np
import pytest
from cli_helpers import draw, tree
from PIL import Image

from maskwright.core.progress import Silent
from maskwright.data.audit.digests import of_file
from maskwright.data.places import Spots
from maskwright.training.setup import build_samples
from maskwright.workflows.jobs import fold_job
from maskwright.workflows.session import open_session


@pytest.fixture
def pooled(folder_set, tmp_path):
    """The clean set, a pool of two empty images and one with a block, and models that learn something."""
    (tmp_path / "set" / "more").mkdir()
    rng = np.random.default_rng(9)
    for name in ("e0", "e1"):
        Image.fromarray(rng.integers(0, 90, (40, 40, 3), dtype=np.uint8)).save(
            tmp_path / "set" / "more" / f"{name}.png"
        )
    Image.fromarray(draw(rng)[0]).save(tmp_path / "set" / "more" / "full.png")
    member = folder_set["members"]["a"]
    train = {**member["train"], "epochs": 1, "steps_per_epoch": 8, "crop": 40, "batch_size": 4}
    model = {**member["model"], "aux": {"presence": 1.0}}
    folder_set["members"]["a"] = {**member, "train": train, "model": model, "optimizer": {"lr": 0.01}}
    folder_set["folds"] = {"kind": "grouped", "count": 2, "group": "^(s[0-5]|s)"}
    folder_set["mine"] = {"window": 20, "pixel": 0.6, "presence": 0.9, "sure": 0.3, "hard": 3}
    return folder_set


def test_negatives_are_mined_by_each_folds_own_models_trained_on_and_judged(cli, tmp_path, pooled, write_recipe):
    path, run = write_recipe(pooled), tmp_path / "runs" / "tiny"
    code, out, err = cli("mine", path, "--pool", "set/more", "--list-only")
    assert code == 0, err
    found = json.loads((run / "mined" / "mined.json").read_text())
    folds = {row.split(",")[0]: int(row.split(",")[2]) for row in (run / "folds.csv").read_text().split()[1:]}
    for teacher in found["teachers"]:
        assert teacher["unseen"] == sorted(key for key, fold in folds.items() if fold == teacher["fold"])
        for name, digest in teacher["weights"].items():
            assert f"fold{teacher['fold']}/" in name
            assert of_file(run / name) == digest
    assert found["negatives"]
    assert found["looked"] == 3
    for one in found["negatives"]:
        assert all(value < 0.6 for value in one["highest"])
        assert all(0 <= value < 0.9 for value in one["presence"])
    assert all(folds[one["key"]] != one["fold"] for one in found["hard"])
    assert len(found["hard"]) <= 2  # a quarter of each fold's four
    assert all(one["boxes"] for one in found["hard"])
    before = tree(run)
    _cut(run / "mined" / "pool-fold0.jsonl")
    (run / "mined" / "mined.json").unlink()
    assert cli("mine", path, "--pool", "set/more", "--list-only")[0] == 0
    assert json.loads((run / "mined" / "mined.json").read_text()) == found
    assert tree(run) == before
    code, out, err = cli("mine", path, "--pool", "set/more")
    assert code == 0, err
    assert "mine: nothing to do\n" in out
    assert "mine: dropped, since held-out evidence does not show that they help\n" in out  # 7 groups
    assert ("drawn 3 times as often; mine.hard=1 judges the empty windows alone\n" in out) == bool(found["hard"])
    verdict = json.loads((run / "mined" / "verdict.json").read_text())
    assert verdict["before"] >= 0
    student = json.loads((run / "mined" / "run" / "manifest.json").read_text())["train/a/fold0"]["inputs"]
    assert len(student["mined"]) == 1
    rows = (run / "mined" / "run" / "folds.csv").read_text().split()
    assert [row for row in rows if not row.startswith("mined/")] == (run / "folds.csv").read_text().split()
    assert {row.split(",")[2] for row in rows if row.startswith("mined/")} == {"-2"}
    _each_fold_trains_on_its_own(run / "mined" / "run", found)
    code, out, err = cli("mine", path, "--pool", "set/more")
    assert code == 0, err
    assert "mine: verdict: nothing to do\n" in out
    before = tree(run)
    for words in (["mine.pixel=0.5"], ["mine.share=0.4"]):  # another list, or another training with it
        code, _, err = cli("mine", path, *words, "--pool", "set/more")
        assert code == 2
        assert "trained with the old" in err
        assert "choose another --out, or give --redo" in err
        assert tree(run) == before
    _refuses_other_folds(cli, tmp_path, pooled, write_recipe)


def _each_fold_trains_on_its_own(student, found):
    """No window trains a fold but by that fold's own models, and hard items are drawn more often there alone."""
    session = open_session(str(student), [], Silent())
    rows = {row.key: row.fold for row in session.fold_rows()}
    for fold in (0, 1):
        job = fold_job(session, "a", fold)
        mined = {key for key in job.train_keys if key.startswith("mined/")}
        assert mined == {f"mined/{one['key']}" for one in found["negatives"] if fold in one["folds"]}
        assert all(rows[key] != fold for key in job.train_keys)
        hard = {one["key"] for one in found["hard"] if one["fold"] == fold}
        weights = dict(zip(job.train_keys, job.weights or [1.0] * len(job.train_keys), strict=True))
        assert {key for key, weight in weights.items() if weight == 3.0} == hard
        boxes = {one["key"]: one["boxes"] for one in found["hard"] if one["fold"] == fold}
        assert job.spots == {key: Spots(1 - 1 / 3, _middles(each)) for key, each in boxes.items()}
        spec = build_samples(job, job.plan, job.lots(job.plan.draws)).spec
        assert spec.spots == job.spots


def _middles(boxes):
    return tuple(((row + height / 2) / 40, (col + width / 2) / 40) for row, col, height, width in boxes)


def _cut(path):
    """Leave a journal as kill -9 would: one line whole, the next torn."""
    first, second, third, *_ = path.read_text().split("\n")
    path.write_text(f"{first}\n{second}\n{third[:9]}")


def _refuses_other_folds(cli, tmp_path, recipe, write_recipe):
    """A list is of no use to folds that its models had seen."""
    mined = {"format": "mined", "list": "runs/tiny/mined/mined.json", "images": "more"}
    train = {"format": "merge", "bare": "own", "parts": {"own": recipe["data"]["train"], "mined": mined}}
    data = {**recipe["data"], "train": train}
    path = write_recipe({**recipe, "name": "other", "data": data, "folds": {"kind": "plain", "count": 2, "seed": 5}})
    code, _, err = cli("train", path, "--fold", "0")
    assert code == 2
    assert "which the models that mined for it may have seen; run maskwright mine again" in err


def test_a_task_without_background_a_pool_without_images_and_folds_that_hold_nothing_out_are_refused(
    cli, tmp_path, folder_set, write_recipe
):
    path = write_recipe(folder_set)
    (tmp_path / "set" / "none").mkdir()
    for pool, says in (
        ("set/nowhere", "error: --pool set/nowhere: no such folder; give a folder of images\n"),
        ("set/none", "set/none: no images; check the folder and image_suffix\n"),
    ):
        code, _, err = cli("mine", path, "--pool", pool)
        assert code == 2
        assert err.endswith(says)
    folder_set["data"]["test"] = {"format": "folder", "images": "images"}
    folder_set["rules"] = {"test_labels": "forbidden"}
    code, _, err = cli("mine", write_recipe(folder_set), "--pool", "set/images")
    assert code == 2
    assert "--pool set/images: 8 of 8 images are test items, such as 's0', which rules.test_labels forbids" in err
    folder_set |= {"task": {"kind": "multiclass", "classes": ["ground", "block"]}, "output": [{"format": "masks"}]}
    code, _, err = cli("mine", write_recipe(folder_set), "--pool", "set/none")
    assert code == 2
    assert err.endswith("first class is 'ground', so no pixel is nothing; mining is for tasks with a background\n")
    assert not (tmp_path / "runs").exists()
