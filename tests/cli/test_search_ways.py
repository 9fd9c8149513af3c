"""maskwright search: nested evidence as the objective, trials that end early, minutes, and SIGTERM amid a trial."""

import json
import signal
import subprocess
import sys
import time

import pytest

pytest.importorskip("optuna", reason="search needs Optuna (extra search)")

LR, TTA = "members.a.optimizer.lr", "members.a.predict.tta"


@pytest.fixture
def searched(folder_set):
    folder_set["members"]["a"]["train"].update(epochs=3, steps_per_epoch=3, ema=None, batch_size=2)
    folder_set["members"]["a"]["schedule"] = {"name": "constant", "warmup": 0}
    folder_set["data"]["normalize"] = "none"
    folder_set["output"] = [{"format": "masks"}]
    return folder_set


def told(tmp_path):
    return json.loads((tmp_path / "runs" / "tiny-search" / "search.json").read_text())


def test_the_honest_score_of_all_folds_chooses_what_comes_after_training(cli, searched, write_recipe, tmp_path):
    searched["search"] = {
        "space": {TTA: {"choice": [["hflip"], ["vflip"]]}},
        "objective": "nested",
        "trials": 2,
        "finalists": 0,
        "sampler": "random",
        "pruner": "hyperband",
    }
    path = write_recipe(searched)
    code, out, err = cli("search", path, "--minutes", "0.01")
    assert code == 0, err
    assert "search: 0.01 minutes are over after 1 of 2 trials" in out
    code, out, err = cli("search", path)
    assert code == 0, err
    found = told(tmp_path)["trials"]
    assert [trial["state"] for trial in found] == ["done", "done"]
    assert found[0]["values"] == {TTA: ["hflip"]}  # the recipe as it is
    code, out, err = cli("run", path, "--until", "decide")
    assert code == 0, err
    decision = json.loads((tmp_path / "runs" / "tiny" / "decision.json").read_text())
    assert decision["evidence"]["honest"] == pytest.approx(found[0]["value"], abs=1e-6)


def test_a_trial_below_the_median_of_five_ends_early(cli, searched, write_recipe, tmp_path):
    searched["members"]["a"]["optimizer"] = {"lr": 0.01}
    searched["search"] = {
        "space": {LR: {"choice": [0.01, 1e-7]}},
        "trials": 9,
        "finalists": 0,
        "sampler": "random",
    }
    code, out, err = cli("search", write_recipe(searched))
    assert code == 0, err
    found = told(tmp_path)["trials"]
    states = [trial["state"] for trial in found]
    assert states.count("done") + states.count("pruned") == 9
    assert states[:5] == ["done"] * 5
    assert "pruned" in states, found
    assert {trial["values"][LR] for trial in found if trial["state"] == "pruned"} == {1e-7}
    assert told(tmp_path)["winner"]["values"] == {LR: 0.01}
    assert "ended early" in out


@pytest.mark.slow
def test_sigterm_amid_a_trial_saves_and_the_same_command_goes_on(searched, write_recipe, tmp_path):
    searched["members"]["a"]["train"].update(epochs=2, steps_per_epoch=40)
    searched["search"] = {"space": {LR: {"log": [1e-4, 1e-2]}}, "trials": 2, "finalists": 0}
    words = [sys.executable, "-m", "maskwright", "search", str(write_recipe(searched))]
    folder = tmp_path / "runs" / "tiny-search"
    child = subprocess.Popen(words, cwd=tmp_path, stderr=subprocess.PIPE, stdout=subprocess.DEVNULL, text=True)
    until = time.monotonic() + 200
    while child.poll() is None and not list(folder.glob("trials/*/members/a/fold0/log.jsonl")):
        assert time.monotonic() < until
        time.sleep(0.05)
    child.send_signal(signal.SIGTERM)
    said = child.communicate(timeout=200)[1]
    assert child.returncode == 143, said
    assert "Traceback" not in said
    assert not (folder / "winner.yaml").exists()
    done = subprocess.run(words, cwd=tmp_path, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert [trial["state"] for trial in told(tmp_path)["trials"]] == ["done", "done"]


@pytest.mark.parametrize(
    ("words", "said"),
    [(("search",), "a trial is trained"), (("ablate", "--vary", "augment"), "an arm is trained")],
)
def test_several_processes_of_torchrun_are_refused(cli, searched, write_recipe, monkeypatch, words, said):
    monkeypatch.setenv("WORLD_SIZE", "2")
    code, _, err = cli(words[0], write_recipe(searched), *words[1:])
    assert (code, err) == (2, f"error: command line: {said} by one process; start maskwright without torchrun\n")
