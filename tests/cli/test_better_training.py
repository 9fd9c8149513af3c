"""Snapshots, soups, two stages and the learning-rate finder, from the recipe to the files of a run."""

import copy
import csv
import json

import pytest

from maskwright.core.recipe.blocks import Recipe
from maskwright.core.recipe.lineage import stages_of
from maskwright.models.weights import read_weights
from maskwright.workflows.session import make_quick


@pytest.fixture
def plain(folder_set):
    """Two members: `a` keeps what a soup needs, `b` starts from it."""
    plain = copy.deepcopy(folder_set)
    first = plain["members"]["a"]
    first["schedule"] = {"name": "restarts", "every": 1, "warmup": 0}
    first["train"] |= {"epochs": 2, "snapshots": True, "ema": None, "keep_best": {"count": 2, "by": "valid_loss"}}
    first["predict"] = {"weights": "soup"}
    second = copy.deepcopy(folder_set["members"]["a"])
    second["model"]["weights"] = {"member": "a"}
    second["train"] |= {"epochs": 1, "steps_per_epoch": 1, "ema": None}
    plain["members"] = {"b": second, "a": first}
    return plain


def test_a_run_makes_soups_and_stages_and_does_nothing_twice(cli, tmp_path, plain, write_recipe):
    path = write_recipe(plain)
    code, out, err = cli("run", path)
    assert code == 0, err
    said = out + err
    run = tmp_path / "runs" / "tiny"
    for fold in range(2):
        folder = run / "members" / "a" / f"fold{fold}"
        told = json.loads((folder / "soup.json").read_text())
        assert f"soup a fold {fold}: {len(told['went_in'])} of {len(told['candidates'])} weights went in, iou" in said
        scores = [each["score"] for each in told["candidates"]]
        assert (told["kind"], told["metric"], len(told["tried"])) == ("greedy", "iou", len(scores) - 1)
        assert told["score"] >= max(scores)
        assert told["went_in"][0] == told["candidates"][0]["name"]
        assert read_weights(folder / "soup.safetensors")[1]["soup"] == told
    assert (
        "The weights of a are mixed of those that scored well on the held-out fold" in (run / "report.html").read_text()
    )
    code, out, err = cli("run", path)
    assert code == 0, err
    assert "soup a fold 0: nothing to do" not in err
    assert "predict a: nothing to do" in out + err
    # another kind is made anew, from what is there
    code, out, err = cli("soup", path, "--member", "a", "--kind", "uniform", "--fold", "0")
    assert code == 0, err
    told = json.loads((run / "members" / "a" / "fold0" / "soup.json").read_text())
    assert sorted(told["went_in"]) == sorted(each["name"] for each in told["candidates"])
    assert told["statistics_from_samples"] == 6
    # all snapshots together, without training
    code, out, err = cli("predict", path, "--member", "a", "members.a.predict.weights=snapshots")
    assert code == 0, err
    assert 'members.a.predict.weights was "soup", now "snapshots"' in out + err
    # the first stage changed: the second is not what the recipe says any more
    code, out, err = cli("train", path, "--member", "b", "members.a.optimizer.lr=0.004")
    assert code == 2
    assert "b starts from a, whose fold 0 is not trained; run maskwright train with --member a first" in err or (
        "but b fold 0 was trained with the old" in err
    )


def test_a_second_stage_starts_from_the_same_fold_and_needs_it(cli, tmp_path, plain, write_recipe):
    plain["members"]["b"]["optimizer"] = {"lr": 1e-9}
    plain["members"]["a"]["predict"] = {}
    path = write_recipe(plain)
    code, _, err = cli("train", path, "--member", "b", "--fold", "1")
    assert code == 2
    assert err.strip().endswith(
        "b starts from a, whose fold 1 is not trained; run maskwright train with --member a first"
    )
    code, _, err = cli("train", path, "--fold", "1")
    assert code == 0, err
    members = tmp_path / "runs" / "tiny" / "members"
    first, second = (read_weights(members / name / "fold1" / "last.safetensors")[0] for name in ("a", "b"))
    moved = max(float((first[name] - second[name]).abs().max()) for name in first if name.endswith(("weight", "bias")))
    assert 0 < moved < 1e-6


@pytest.mark.parametrize(
    ("weights", "said"),
    [
        ({"a": "c"}, "unknown member 'c'; use one of: b"),
        ({"a": "b", "b": "a"}, "a from b from a is a circle; let one of them start otherwise"),
    ],
)
def test_stages_that_lead_nowhere_are_refused(cli, plain, write_recipe, weights, said):
    for name in ("a", "b"):
        plain["members"][name]["model"].pop("weights", None)
        if name in weights:
            plain["members"][name]["model"]["weights"] = {"member": weights[name]}
    code, _, err = cli("train", write_recipe(plain))
    assert code == 2
    assert said in err


def test_a_stage_of_another_network_is_refused_and_stages_come_in_order(cli, plain, write_recipe):
    names = stages_of(Recipe.model_validate(plain).members)
    assert names == ["a", "b"]
    plain["members"]["b"]["model"]["architecture"] = "fpn"
    code, _, err = cli("train", write_recipe(plain))
    assert code == 2
    assert "architecture of a is unet, of b fpn; weights need the same network" in err


def test_quick_keeps_a_cycle_within_its_few_epochs(plain):
    plain["members"]["a"]["train"]["epochs"] = 60
    plain["members"]["a"]["schedule"]["every"] = 20
    member = make_quick(Recipe.model_validate(plain)).members["a"]
    assert (member.train.epochs, member.schedule.every, member.train.snapshots) == (2, 1, True)


def test_find_lr_draws_a_curve_proposes_a_rate_and_leaves_the_rest(cli, tmp_path, folder_set, write_recipe):
    path = write_recipe(folder_set)
    code, out, err = cli("find-lr", path, "--member", "a", "--steps", "12")
    assert code == 0, err
    run = tmp_path / "runs" / "tiny"
    rows = list(csv.DictReader((run / "find_lr" / "a-fold0.csv").read_text().splitlines()))
    assert 5 < len(rows) <= 12
    rates = [float(row["lr"]) for row in rows]
    assert rates[0] == 1e-7
    assert rates[1] / rates[0] == pytest.approx(rates[2] / rates[1])
    page = (run / "find_lr" / "a-fold0.html").read_text()
    assert "<svg" in page
    assert "http" not in page.replace("http-equiv", "")
    assert "find-lr a: try members.a.optimizer.lr=" in out + err
    assert not (run / "members").exists()
    code, _, err = cli("find-lr", path, "--steps", "3")
    assert (code, "3 steps" in err) == (2, True)


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["--kind", "greedi"], "unknown kind of soup 'greedi' (did you mean 'greedy'?); use one of: greedy, uniform"),
        (["--fold", "7"], "--fold: fold 7 of 2; give 0 to 1"),
        ([], "a is not trained yet for folds [0, 1]; run maskwright train first"),
    ],
)
def test_a_soup_of_nothing_is_refused(cli, folder_set, write_recipe, arguments, said):
    code, _, err = cli("soup", write_recipe(folder_set), *arguments)
    assert code == 2
    assert said in err
