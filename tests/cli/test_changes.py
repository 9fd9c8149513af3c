"""What changes between two commands is noticed: no old result is ever taken for a new one."""

import json
import os

import numpy as np
import pytest
from PIL import Image

from maskwright.core.runs import RunFolder


class Killed(BaseException):
    """Stands for SIGKILL: nothing of ours may catch it."""


@pytest.fixture
def finished(cli, tmp_path, folder_set, write_recipe):
    path = write_recipe(folder_set)
    code, _, err = cli("run", path)
    assert code == 0, err
    return path, tmp_path / "runs" / "tiny"


def killed_at(monkeypatch, cli, method, *arguments):
    """Run a command that dies when it first enters a method of RunFolder."""

    def die(*_, **__):
        raise Killed

    with monkeypatch.context() as patch:
        patch.setattr(RunFolder, method, die)
        with pytest.raises(Killed):
            cli(*arguments)


def test_a_decision_killed_before_it_was_recorded_is_made_again(cli, monkeypatch, finished):
    path, run = finished
    before = json.loads((run / "decision.json").read_text())
    killed_at(monkeypatch, cli, "finish", "decide", path, "decision.metric=dice")
    code, out, err = cli("run", path)
    assert code == 0, err
    assert "decide: nothing to do" not in out
    assert json.loads((run / "decision.json").read_text()) == before


def test_redo_killed_halfway_never_passes_old_weights_for_new(cli, monkeypatch, finished):
    path, run = finished
    more = ("members.a.train.epochs=3", "--redo")
    killed_at(monkeypatch, cli, "clear", "run", path, *more)
    code, _, err = cli("run", path, more[0])
    assert code == 2
    assert "holds a training that the manifest does not know" in err
    assert cli("run", path, *more)[0] == 0
    for fold in (0, 1):
        assert len((run / "members" / "a" / f"fold{fold}" / "history.csv").read_text().splitlines()) == 4


def test_folds_changed_under_finished_training_are_refused(cli, monkeypatch, finished):
    path, run = finished
    folds = (run / "folds.csv").read_bytes()
    code, _, err = cli("run", path, "folds.seed=3")
    assert code == 2
    assert "folds.seed was 0, now 3" in err
    assert (run / "folds.csv").read_bytes() == folds


def test_a_refused_command_leaves_the_resolved_recipe_alone(cli, finished):
    path, run = finished
    before = (run / "recipe.yaml").read_bytes()
    assert cli("run", path, "members.a.train.epochs=5")[0] == 2
    assert cli("inspect", path, "members.a.train.epochs=5")[0] == 0
    assert (run / "recipe.yaml").read_bytes() == before
    code, out, _ = cli("run", run)
    assert code == 0
    assert "nothing to do" in out


@pytest.mark.parametrize(
    "name", ["report.html", "decision.json", "items.csv", "folds.csv", "fingerprint.json", "output/masks/s3.png"]
)
def test_deleted_files_are_made_again(cli, finished, name):
    path, run = finished
    before = (run / name).read_bytes()
    (run / name).unlink()
    code, _, err = cli("run", path)
    assert code == 0, err
    assert (run / name).read_bytes() == before


def test_an_export_that_changes_leaves_nothing_of_the_old_one(cli, monkeypatch, finished):
    path, run = finished
    grey = "output=[{format: masks, values: {0: 0, 1: 200}}, {format: report}]"
    killed_at(monkeypatch, cli, "finish", "export", path, grey)
    assert cli("export", path, grey)[0] == 0
    assert not (run / "output" / "submission.csv").exists()
    assert np.asarray(Image.open(run / "output" / "masks" / "s0.png")).max() in (0, 200)


def test_a_report_that_is_not_asked_for_any_more_goes(cli, finished):
    path, run = finished
    code, out, _ = cli("run", path, "output=[{format: masks}]")
    assert code == 0
    assert not (run / "report.html").exists()
    assert "report: runs" not in out


def test_another_metric_needs_no_training(cli, finished):
    path, _ = finished
    code, out, err = cli("run", path, "decision.metric=dice")
    assert code == 0, err
    assert "train a fold 0: nothing to do" in out
    assert "decide: again, since decision.metric was" in out


def test_somebodys_recipe_yaml_is_not_overwritten(cli, tmp_path, folder_set, write_recipe):
    path = write_recipe(folder_set, "recipe.yaml")
    before = path.read_bytes()
    code, _, err = cli("run", path, "--out", ".")
    assert code == 2
    assert "a recipe.yaml that no run wrote lies here and would be overwritten" in err
    assert path.read_bytes() == before


def test_no_absolute_path_is_kept(cli, tmp_path, folder_set, write_recipe):
    (tmp_path / "set" / "images" / "notes.txt").write_text("not an image")
    code, _, err = cli("run", write_recipe(folder_set), f"data.root={tmp_path / 'set'}")
    assert code == 0, err
    for file in (tmp_path / "runs").rglob("*"):
        if file.is_file():
            assert os.fsencode(tmp_path) not in file.read_bytes(), file
    code, _, err = cli("run", tmp_path / "r.yaml", f"data.train.images={tmp_path}")
    assert code == 2
    assert "must lie below data.root" in err


def test_faults_as_json(cli, tmp_path, folder_set, write_recipe):
    (tmp_path / "set" / "images" / "s5.png").write_bytes(b"")
    code, out, _ = cli("inspect", write_recipe(folder_set), "--json")
    assert code == 2
    found = json.loads(out)["sets"]["train"]["findings"]
    assert [one["kind"] for one in found if one["severity"] == "fault"] == ["empty_file"]
    assert not (tmp_path / "runs").exists()


def test_an_ignored_value_is_no_answer(cli, tmp_path):
    for name, value in (("p", 11), ("t", 0)):
        (tmp_path / name).mkdir()
        Image.fromarray(np.array([[0, 1], [value, 1]], np.uint8)).save(tmp_path / name / "a.png")
    code, _, err = cli("score", "p", "t", "--task", "multiclass", "--classes", "2", "--ignore", "11")
    assert code == 2
    assert "p/a.png: label value 11 covers 25.00% of the mask" in err


@pytest.mark.parametrize("options", [["--ignore", "-1"], ["--classes", "300"], ["--classes", "1"], ["--ignore", "1"]])
def test_score_options_that_make_no_task_are_one_line(cli, tmp_path, options):
    Image.fromarray(np.zeros((2, 2), np.uint8)).save(tmp_path / "a.png")
    code, _, err = cli("score", "a.png", "a.png", "--task", "multiclass", "--classes", "3", *options)
    assert code == 2
    assert err.startswith("error: ")
    assert err.count("\n") == 1


@pytest.mark.parametrize(
    "text", ["name: 2001-13-45", "name: !!int abc", f"a: {'[' * 3000}", 'extends: "a\\0b"', "[]", ""]
)
def test_odd_recipe_text_is_one_line(cli, tmp_path, text):
    (tmp_path / "odd.yaml").write_text(text + "\n")
    code, _, err = cli("run", "odd.yaml")
    assert code == 2
    assert err.startswith("error: ")
    assert err.count("\n") == 1
