"""selftrain with merged sources whose weights change by round, and pools that hold copies of what is scored."""

import json

import numpy as np
import pytest
from cli_helpers import draw
from PIL import Image

from maskwright.core.errors import InputError
from maskwright.core.files import read_json
from maskwright.core.progress import Silent
from maskwright.core.recipe.load import digest, load_recipe
from maskwright.core.runs import RunFolder
from maskwright.ensembling.honest import Gain
from maskwright.models.tensors import read_tensors, write_tensors
from maskwright.training.keep import DONE
from maskwright.workflows import lineage, selftrain
from maskwright.workflows.jobs import fold_job
from maskwright.workflows.lessons import read_rows, table_of, write_rows
from maskwright.workflows.session import open_session
from maskwright.workflows.story.rounds import rounds_facts

SHORT = {"epochs": 1, "steps_per_epoch": 2, "batch_size": 2, "crop": 32, "precision": "fp32"}


@pytest.fixture
def merged(folder_set, tmp_path):
    """Eight scored items, four of a noisier part that only trains, and a pool of two parts."""
    rng = np.random.default_rng(11)
    for folder, count in (("web/images", 4), ("pool/near", 3), ("pool/far", 3)):
        (tmp_path / "set" / folder).mkdir(parents=True)
        if folder.startswith("web"):
            (tmp_path / "set" / "web" / "masks").mkdir()
        for index in range(count):
            image, mask = draw(rng)
            Image.fromarray(image).save(tmp_path / "set" / folder / f"w{index}.png")
            if folder.startswith("web"):
                Image.fromarray(mask).save(tmp_path / "set" / "web" / "masks" / f"w{index}.png")
    own = folder_set["data"]["train"]
    web = {**own, "images": "web/images", "masks": "web/masks", "role": "train_only", "weight": 0.5}
    folder_set["data"]["train"] = {"format": "merge", "bare": "own", "parts": {"own": own, "web": web}}
    folder_set["members"]["a"].update(train=SHORT, predict={})
    folder_set["members"]["a"]["model"]["encoder"] = "tu-test_resnet"
    folder_set["output"] = [{"format": "masks"}]
    pool = {name: {"format": "folder", "images": f"pool/{name}"} for name in ("near", "far")}
    folder_set["selftrain"] = {
        "rounds": 2,
        "unlabelled": {"format": "merge", "parts": pool},
        "mix": {"every": 1},
        "noise": {"augment": ["hflip"]},
        "weight": [0.5, 2],
        "parts": {"web": [0.25, 0], "near": 3, "far": [1, 0]},
    }
    return folder_set


def shares(lots, keys, draws=4000):
    """Part -> how many of many draws take an item of it, for each item of the part."""
    drawn = [keys[place].partition("/")[0] if "/" in keys[place] else "own" for place in lots.items(0, 0, draws)]
    items = [key.partition("/")[0] if "/" in key else "own" for key in keys]
    return {name: drawn.count(name) / draws / items.count(name) for name in sorted(set(items))}


def test_weights_by_round_change_what_is_drawn_and_stand_in_the_record(
    cli, tmp_path, merged, write_recipe, monkeypatch
):
    monkeypatch.setattr(selftrain, "judge", lambda *_: Gain(0.1, 0.05, 0.2, 5, 5, 10))
    path = write_recipe(merged)
    code, out, err = cli("selftrain", path)
    assert code == 0, err
    assert "round 1: items are drawn by the weights own 1, web 0.25, far 1, near 3\n" in out
    run = tmp_path / "runs" / "tiny"
    found = []
    for root in (run, run / "selftrain" / "round1", run / "selftrain" / "round2"):
        session = open_session(str(root), [], Silent())
        job = fold_job(session, "a", 0)
        assert read_json(session.run.fold("a", 0) / DONE)["job"] == job.digest  # what was trained is what is counted
        drawn = shares(job.lots(4000), job.train_keys)
        found.append({name: share / drawn["own"] for name, share in drawn.items()})
        if job.beside is not None:
            taught = shares(job.beside.lots(job.seed), job.beside.keys)
            found.append({name: share / taught["near"] for name, share in taught.items()})
            found.append({"weight": job.beside.weight})
    expected = [
        {"own": 1, "web": 0.5},
        {"own": 1, "web": 0.25}, {"far": 1 / 3, "near": 1}, {"weight": 0.5},
        {"own": 1}, {"near": 1}, {"weight": 2},
    ]  # fmt: skip
    assert found == [pytest.approx(one, abs=0.02) for one in expected]
    rounds = json.loads((run / "selftrain.json").read_text())["rounds"]
    assert [row["parts"] for row in rounds] == [
        {"own": 1, "web": 0.5},
        {"own": 1, "web": 0.25},
        {"own": 1, "web": 0},
    ]
    assert [row["pool_parts"] for row in rounds] == [{}, {"near": 3, "far": 1}, {"near": 3, "far": 0}]
    assert [row["weight"] for row in rounds] == [None, 0.5, 2]
    assert [row.weights for row in rounds_facts(RunFolder(run)).rounds][1] == "own 1, web 0.25, far 1, near 3"
    assert [row["taken"] for row in rounds] == [[], [6, 6], [3, 3]]


@pytest.mark.parametrize(
    ("change", "words", "message"),
    [
        ({"weight": []}, [], "selftrain.weight: 0 weights; give a number, or one for each of at most 20 rounds"),
        ({"weight": [1, -1]}, [], "selftrain.weight.1: input should be greater than 0, got -1; see maskwright schema"),
        ({"parts": {"web": -1}}, [], "selftrain.parts.web: input should be greater than or equal to 0, got -1; see"),
        ({"parts": {"web": []}}, [], "selftrain.parts.web: 0 weights; give a number, or one for each of at most"),
        (
            {"parts": {"wbe": 1}},
            [],
            "selftrain.parts: 'wbe' is no part of data.train or selftrain.unlabelled (did you mean 'web'?); use one "
            "of: own, web, far, near",
        ),
        (
            {"parts": {"web": 0, "own": [1, 0]}},
            [],
            "selftrain.parts: in round 2 no part of data.train is drawn; leave one above 0",
        ),
        (
            {},
            ["--unlabelled", "set/pool"],
            "selftrain.parts.far: 'far' is a part of selftrain.unlabelled, in the place of which --unlabelled is used",
        ),
    ],
)
def test_weights_that_make_no_sense_are_refused_before_any_work(
    cli, tmp_path, merged, write_recipe, change, words, message
):
    merged["selftrain"] |= change
    code, _, err = cli("selftrain", write_recipe(merged), *words)
    assert code == 2
    assert [line for line in err.splitlines() if message in line], err
    assert err.count("error:") == 1
    assert not (tmp_path / "runs").exists()


@pytest.fixture
def copied(folder_set, tmp_path):
    """A pool of four images, of which one is a scored item of fold 0 as a JPEG, and one the same turned."""
    rng = np.random.default_rng(5)
    (tmp_path / "pool").mkdir()
    for folder, count in (("set/images", 8), ("pool", 2)):
        for index in range(count):
            field = rng.normal(size=(12, 12)).repeat(8, 0).repeat(8, 1) * 50 + rng.normal(size=(96, 96)) * 6
            image = np.clip(field[..., None] + np.array([110, 120, 100]), 0, 255).astype(np.uint8)
            mask = ((field > 40) * 255).astype(np.uint8)
            Image.fromarray(image).save(tmp_path / folder / f"s{index}.png")
            if folder != "pool":
                Image.fromarray(mask).save(tmp_path / "set" / "masks" / f"s{index}.png")
    scored = Image.open(tmp_path / "set" / "images" / "s3.png")
    scored.save(tmp_path / "pool" / "again.jpg", quality=60)
    scored.transpose(Image.Transpose.ROTATE_90).save(tmp_path / "pool" / "turned.png")
    folder_set["members"]["a"].update(train=SHORT, predict={})
    folder_set["members"]["a"]["model"]["encoder"] = "tu-test_resnet"
    folder_set["output"] = [{"format": "masks"}]
    folder_set["selftrain"] = {"mix": {"every": 1}, "noise": {"augment": ["hflip"]}}
    return folder_set


def test_near_copies_of_what_a_fold_is_scored_on_teach_other_folds_alone(
    cli, tmp_path, copied, write_recipe, monkeypatch
):
    path = write_recipe(copied)
    code, out, err = cli("selftrain", path, "--unlabelled", "pool")
    assert code == 0, err
    said = (
        "selftrain: 2 images of the pool show what labelled items show, and are left out of the folds that are scored "
        "on those: 'again' ~ 's3' (the same picture), 'turned' ~ 's3' (mirrored or turned)\n"
    )
    assert out.count(said) == 1
    run = tmp_path / "runs" / "tiny"
    home = dict(line.split(",")[::2] for line in (run / "folds.csv").read_text().split()[1:])
    fold = int(home["s3"])
    told = json.loads((run / "selftrain.json").read_text())["unlabelled"]
    assert told["left_out_of_folds"] == {"again": [fold], "turned": [fold]}
    assert told["near_copies"][0] == {"image": "again", "of": "s3", "how": "copy"}
    student = RunFolder(run / "selftrain" / "round1")
    for each in (0, 1):
        taken = {row.key for row in read_rows(table_of(student, each)) if row.taken}
        assert taken == ({"s0", "s1"} if each == fold else {"s0", "s1", "again", "turned"})
        job = fold_job(open_session(str(student.root), [], Silent()), "a", each)
        assert set(job.beside.keys) == taken

    told = read_json(student.root / "lessons.json")
    rows = [row._replace(taken=True) for row in read_rows(table_of(student, fold))]
    told["folds"][str(fold)]["labels"] = digest([list(row) for row in rows])
    with monkeypatch.context() as forged:
        forged.setattr(lineage, "_check_models", lambda *_: None)
        write_rows(table_of(student, fold), rows)
        (student.root / "lessons.json").write_text(json.dumps(told))
        with pytest.raises(
            InputError, match=f"again.safetensors: .* shows what fold {fold} is scored on, and is learnt"
        ):
            lineage.prove(student, load_recipe(path))

    copied["folds"]["duplicates"] = "refuse"
    code, _, err = cli("selftrain", write_recipe(copied), "--unlabelled", "pool", "--out", "strict")
    assert code == 2
    assert (
        "error: folds.duplicates: 2 images of the pool show what labelled items show that are scored: 'again' ~" in err
    )
    assert not (tmp_path / "strict" / "members").exists()

    # a mined list leaves them out of that fold too
    copied["folds"].pop("duplicates")
    code, out, err = cli("mine", write_recipe(copied), "--pool", "pool", "--list-only", "mine.pixel=1.0")
    assert code == 0, err
    assert said.replace("selftrain:", "mine:") in out
    listed = json.loads((run / "mined" / "mined.json").read_text())
    assert listed["shut"] == {"again": [fold], "turned": [fold]}
    assert {one["key"]: one["folds"] for one in listed["negatives"]} == {
        "s0": [0, 1],
        "s1": [0, 1],
        "again": [1 - fold],
        "turned": [1 - fold],
    }


@pytest.mark.parametrize("verb", [("selftrain", "--unlabelled"), ("mine", "--pool")])
def test_copies_of_test_items_are_refused_where_the_rules_forbid_them(cli, tmp_path, copied, write_recipe, verb):
    (tmp_path / "set" / "test").mkdir()
    (tmp_path / "set" / "images" / "s3.png").rename(tmp_path / "set" / "test" / "t.png")
    (tmp_path / "set" / "masks" / "s3.png").unlink()
    copied["data"]["test"] = {"format": "folder", "images": "test"}
    copied["rules"] = {"test_labels": "forbidden"}
    code, _, err = cli(verb[0], write_recipe(copied), verb[1], "pool")
    assert code == 2
    assert err.splitlines()[-1].endswith(
        "pool: 2 images show what test items show, which rules.test_labels forbids: 'again' ~ 't' (the same picture), "
        "'turned' ~ 't' (mirrored or turned); take them away, or set rules.test_labels: allowed"
    )
    assert not (tmp_path / "runs" / "tiny" / "members").exists()


def test_copies_of_the_hold_out_are_learnt_from_by_nobody(cli, tmp_path, copied, write_recipe):
    (tmp_path / "set" / "folds.csv").write_text(
        "key,fold\n" + "".join(f"s{index},{-1 if index == 3 else index % 2}\n" for index in range(8))
    )
    copied["folds"] = {"kind": "given", "file": "folds.csv", "count": 2}
    code, out, err = cli("selftrain", write_recipe(copied), "--unlabelled", "pool")
    assert code == 0, err
    assert "selftrain: 2 images without labels\n" in out
    run = tmp_path / "runs" / "tiny"
    assert json.loads((run / "selftrain.json").read_text())["unlabelled"]["left_out_of_folds"] == {
        "again": [0, 1],
        "turned": [0, 1],
    }
    assert {path.stem for path in (run / "selftrain").rglob("labels/*/*.safetensors")} == {"s0", "s1"}


def test_teachers_that_do_not_say_what_they_learnt_are_refused_before_any_training(cli, tmp_path, copied, write_recipe):
    path = write_recipe(copied)
    assert cli("train", path, "--fold", "0")[0] == 0
    weights = tmp_path / "runs" / "tiny" / "members" / "a" / "fold0" / "last.safetensors"
    tensors, facts = read_tensors(weights)
    write_tensors(weights, tensors, {key: value for key, value in facts.items() if key != "items"})
    code, _, err = cli("selftrain", path, "--unlabelled", "pool")
    assert code == 2
    assert err.splitlines()[-1].endswith(
        "members/a/fold0/last.safetensors: was trained by a version that did not write down on which items; choose "
        "another --out, where it is trained anew"
    )
    assert not (tmp_path / "runs" / "tiny" / "members" / "a" / "fold1").exists()
    assert not (tmp_path / "runs" / "tiny" / "selftrain").exists()
