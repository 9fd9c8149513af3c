"""Losses, auxiliary heads and soft labels from the recipe to the files of a run."""

import copy
import json

import numpy as np
import pytest
from PIL import Image

from maskwright.models.weights import load_model


def with_soft_part(plain, root):
    """Add four train-only items whose labels are a teacher's probabilities."""
    plain = copy.deepcopy(plain)
    rng = np.random.default_rng(5)
    for part in ("others", "soft"):
        (root / part).mkdir()
    for index in range(4):
        truth = np.zeros((40, 40), np.float64)
        truth[10:25, 5 + index : 20 + index] = 1
        image = rng.integers(0, 90, (40, 40, 3)) + (truth[..., None] * 120)
        Image.fromarray(image.astype(np.uint8)).save(root / "others" / f"t{index}.png")
        doubt = np.clip(truth * 0.8 + rng.uniform(0, 0.2, (40, 40)), 0, 1)
        Image.fromarray((doubt * 65535).astype(np.uint16)).save(root / "soft" / f"t{index}.png")
    taught = {"format": "folder", "images": "others", "masks": "soft", "encoding": "soft", "role": "train_only"}
    plain["data"]["train"] = {"format": "merge", "parts": {"own": plain["data"]["train"], "taught": taught}}
    return plain


@pytest.mark.slow
def test_a_member_with_heads_learned_weights_and_a_teacher_runs_the_whole_way(cli, tmp_path, folder_set, write_recipe):
    plain = with_soft_part(folder_set, tmp_path / "set")
    member = plain["members"]["a"]
    member["model"]["aux"] = {"fcn": {"weight": 0.4, "channels": 16}, "classify": 0.2, "deep": {"maps": 2}}
    member["loss"] = {"kl": 1, "dice": {"weight": 0.5, "per_image": True}}
    member["loss_weights"] = "learned"
    code, _, err = cli("run", write_recipe(plain))
    assert code == 0, err
    run = tmp_path / "runs" / "tiny"
    assert (run / "report.html").stat().st_size > 10_000
    assert json.loads((run / "members" / "a" / "fold0" / "done.json").read_text())["step"] == 6
    model, facts = load_model(run / "members" / "a" / "fold0" / "last.safetensors")
    assert model.head_names == ("fcn", "classify", "deep.0", "deep.1")
    assert facts["model"]["aux"]["classify"]["weight"] == 0.2
    keys = {row.split(",")[0] for row in (run / "items.csv").read_text().splitlines()[1:]}
    assert all(key.startswith("own/") for key in keys)  # the teacher's are never scored
    assert len(keys) == 8


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        (
            {"model": {"aux": {"deep": {}}, "architecture": "segformer"}},
            "members.a.model.aux.deep: the decoder of",
        ),
        ({"model": {"aux": {"fnc": 0.4}}}, "unknown key 'fnc' (did you mean 'fcn'?); use one of: classify, deep, fcn"),
        ({"model": {"aux": {"fcn": {"loss": {"cross_entropy": 1}}}}}, "members.a.model.aux.fcn.loss.cross_entropy: "),
        ({"model": {"stem": "mean"}}, "members.a.model.stem: 'mean' says how pretrained weights meet other bands"),
        ({"loss": {"cdb": 1}}, "members.a.loss.cdb: loss 'cdb' does not fit a binary task"),
        ({"loss_weights": "learnt"}, "members.a.loss_weights: "),
    ],
)
def test_what_cannot_be_is_refused_before_any_work(cli, tmp_path, folder_set, write_recipe, changes, message):
    plain = copy.deepcopy(folder_set)
    for name, value in changes.items():
        plain["members"]["a"][name] = {**plain["members"]["a"][name], **value} if name == "model" else value
    if "architecture" in changes.get("model", {}):
        plain["members"]["a"]["model"].pop("options")
    code, _, err = cli("train", write_recipe(plain))
    assert code == 2
    assert message in err
    assert err.count("\n") == 1
    assert not (tmp_path / "runs").exists()


def test_a_loss_that_learns_from_validations_needs_them(cli, tmp_path, folder_set, write_recipe):
    plain = copy.deepcopy(folder_set)
    plain["task"] = {"kind": "multiclass", "classes": ["ground", "block"]}
    plain["folds"] = {"kind": "all"}
    plain["data"]["test"] = {"format": "folder", "images": "images"}
    plain["members"]["a"]["loss"] = {"cdb": 1}
    plain.pop("output", None)
    code, _, err = cli("train", write_recipe(plain))
    assert code == 2
    assert err.endswith(
        "members.a.loss.cdb: loss 'cdb' learns from validations, and folds.kind: all holds no item out; use "
        "class_weights of cross_entropy, or another kind of folds\n"
    )
    assert not (tmp_path / "runs").exists()


def test_steps_that_look_for_objects_are_refused_where_labels_are_soft(cli, tmp_path, folder_set, write_recipe):
    plain = with_soft_part(folder_set, tmp_path / "set")
    plain["members"]["a"]["augment"] = [{"copy_paste": {}}]
    code, _, err = cli("train", write_recipe(plain))
    assert code == 2
    assert "copy_paste looks for objects in labels, but labels are probabilities (encoding: soft)" in err
