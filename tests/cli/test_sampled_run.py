"""Sampling rules and the decode cache from the recipe to the files of a run."""

import copy
import hashlib
import json

import pytest


def stories_of(run):
    return {
        path.relative_to(run).as_posix(): hashlib.sha256(path.read_bytes()).hexdigest()
        for path in sorted(run.glob("members/*/fold*/*"))
        if path.name in ("history.csv", "log.jsonl")  # weights carry the recipe's hash, in which the cache is
    }


def with_sampling(plain, **sampling):
    plain = copy.deepcopy(plain)
    plain["members"]["a"]["sampling"] = sampling
    return plain


def test_the_cache_changes_no_result_and_is_gone_in_the_end(cli, tmp_path, folder_set, write_recipe):
    path = write_recipe(with_sampling(folder_set, windows="balanced", classes=["block"], max_class_share=0.9))
    found = []
    for name, overrides in {
        "plain": [],
        "disk": ["data.cache.kind=disk"],
        "kept": ["data.cache.kind=disk", f"data.cache.folder={tmp_path / 'store'}", "members.a.train.workers=1"],
        "off": ["data.cache.kind=off"],
    }.items():
        code, out, err = cli("train", path, "--out", tmp_path / name, *overrides)
        assert code == 0, err
        found.append(stories_of(tmp_path / name))
        said = (out + err).count("decode cache: 84 kB on disk for 8 of 8 items")
        assert said == (2 if "data.cache.kind=disk" in overrides else 0)
        assert not (tmp_path / name / "cache").exists()
    assert len(found[0]) == 4
    assert found == [found[0]] * 4
    (folder,) = (tmp_path / "store").iterdir()
    assert len(list(folder.glob("*.item"))) == 8


def test_files_of_a_stopped_training_are_gone_once_all_is_trained(cli, tmp_path, folder_set, write_recipe):
    path = write_recipe(folder_set)
    code, _, err = cli("train", path, "--fold", "0", "data.cache.kind=disk")
    assert code == 0, err
    run = tmp_path / "runs" / "tiny"
    assert len(list((run / "cache").rglob("*.item"))) == 8
    code, _, err = cli("train", path)
    assert code == 0, err
    assert not (run / "cache").exists()


def test_hard_windows_train_and_the_report_has_a_curve_of_the_held_out_loss(cli, tmp_path, folder_set, write_recipe):
    code, _, err = cli("run", write_recipe(with_sampling(folder_set, windows="hard")))
    assert code == 0, err
    run = tmp_path / "runs" / "tiny"
    assert (run / "members" / "a" / "fold0" / "history.csv").read_text().startswith("epoch,step,lr,loss,valid_loss,")
    assert len(json.loads((run / "members" / "a" / "fold0" / "done.json").read_text())["job"]) == 16
    assert "loss on validation" in (run / "report.html").read_text()


@pytest.mark.parametrize(
    ("sampling", "message"),
    [
        (
            {"windows": "objects", "classes": ["blok"]},
            "members.a.sampling.classes: the task has no class 'blok' (did you mean 'block'?); use one of: background, "
            "block",
        ),
        ({"windows": "hard", "classes": ["block"]}, "classes are drawn by balanced and objects; windows is hard"),
        ({"windows": "hardest"}, "hardest"),
        ({"max_share": 0.75}, "unknown key 'max_share'"),
    ],
)
def test_what_cannot_be_is_refused_before_any_work(cli, tmp_path, folder_set, write_recipe, sampling, message):
    code, _, err = cli("train", write_recipe(with_sampling(folder_set, **sampling)))
    assert code == 2
    assert message in err
    assert err.count("\n") == 1
    assert not (tmp_path / "runs").exists()
