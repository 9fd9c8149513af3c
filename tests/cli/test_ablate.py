"""maskwright ablate: arms beside the recipe as it is, paired by fold and seed, gone on with."""

import copy
import json

import pytest


@pytest.fixture
def small(folder_set):
    folder_set["members"]["a"]["train"].update(epochs=1, steps_per_epoch=2, ema=None)
    folder_set["data"]["normalize"] = "none"
    folder_set["output"] = [{"format": "masks"}]
    return folder_set


def test_each_augmentation_is_left_out_and_nothing_is_trained_twice(cli, small, write_recipe, tmp_path):
    path, folder = write_recipe(small), tmp_path / "runs" / "tiny-ablation"
    code, out, err = cli("ablate", path, "--vary", "augment", "--seeds", "1")
    assert code == 0, err
    told = json.loads((folder / "ablation.json").read_text())
    key = "members.a.augment"
    assert [(arm["arm"], [list(one) for one in arm["values"][key]]) for arm in told["arms"]] == [
        ("without hflip", [["brightness_contrast"]]),
        ("without brightness_contrast", [["hflip"]]),
    ]
    for arm in told["arms"]:
        pairs = zip(arm["scores"], arm["unchanged"], strict=True)
        assert arm["gain"] == pytest.approx(sum(a[0] - b[0] for a, b in pairs) / 2)
        assert arm["low"] <= arm["gain"] <= arm["high"]
        assert arm["holm"] >= arm["p"]
        assert not arm["believed"] or arm["holm"] <= 0.05
    assert "note: two folds leave one degree of freedom" in out
    page = (folder / "ablation.html").read_text()
    assert "without brightness_contrast" in page
    assert not list(folder.rglob("*.safetensors"))
    steps = [line for line in err.splitlines() if "training a/" in line]
    assert len(steps) == 6  # three arms on two folds

    other = ("mine.pixel=0.1", "rules.test_labels=forbidden")  # which have no part in a score
    code, out, err = cli("ablate", path, *other, "--vary", "augment", "--seeds", "1")
    assert code == 0
    assert "training a/" not in err
    assert "ablate: nothing to do\n" in out
    assert json.loads((folder / "ablation.json").read_text()) == told
    code, out, err = cli("ablate", path, "members.a.optimizer.lr=0.1", "--vary", "augment", "--seeds", "1")
    assert (code, err) == (
        2,
        "error: runs/tiny-ablation: holds an ablation of another recipe: recipe.members.a.optimizer.lr was 0.003, now "
        "0.1; choose another --out\n",
    )


REFUSED = {
    "unknown key": (
        ["--vary", "augmnt"],
        {},
        "error: r.yaml:members.a: unknown key 'augmnt' (did you mean 'augment'?); use one of: augment, loss, "
        "loss_weights, model, optimizer, predict, sampling, schedule, train\n",
    ),
    "no list": (
        ["--vary", "train.epochs"],
        {},
        "error: r.yaml:members.a.train.epochs: --vary needs a list or a mapping, members.a.train.epochs is 1; name "
        "another key, or write the arms into ablate.arms\n",
    ),
    "nothing": (
        [],
        {},
        "error: r.yaml:ablate: nothing to switch off or on; give --vary augment, or write ablate: {arms: {NAME: "
        "{members.NAME.train.ema: null}}}\n",
    ),
    "bad arm": (
        [],
        {"arms": {"fast": {"members.a.optimizer.lr": 100}}},
        "error: r.yaml:ablate.arms.fast: fast: members.a.optimizer.lr: input should be less than or equal to 10, got "
        "100; see maskwright schema\n",
    ),
}


@pytest.mark.parametrize("case", REFUSED)
def test_what_cannot_be_tried_is_refused_first(case, cli, small, write_recipe, tmp_path):
    words, block, message = REFUSED[case]
    small["ablate"] = block
    write_recipe(small)
    assert cli("ablate", "r.yaml", *words) == (2, "", message)
    assert not (tmp_path / "runs").exists()


def test_several_members_are_changed_together_and_judged_by_the_decided_answer(cli, small, write_recipe, tmp_path):
    small["members"]["b"] = copy.deepcopy(small["members"]["a"])
    small["ablate"] = {
        "objective": "nested",
        "arms": {"fast": {"members.a.optimizer.lr": 0.01, "members.b.optimizer.lr": 0.01}},
        "seeds": 1,
    }
    code, _, err = cli("ablate", write_recipe(small))
    assert code == 0, err
    (arm,) = json.loads((tmp_path / "runs" / "tiny-ablation" / "ablation.json").read_text())["arms"]
    assert (arm["arm"], len(arm["scores"][0])) == ("fast", 1)
    assert len({name for line in err.splitlines() for name in ("a", "b") if f"training {name}/" in line}) == 2
