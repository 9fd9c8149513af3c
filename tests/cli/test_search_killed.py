"""Two real processes search one study, one of them is killed in the middle of a trial: nothing finished is lost."""

import json
import os
import signal
import subprocess
import sys
import time

import pytest

optuna = pytest.importorskip("optuna", reason="search needs Optuna (extra search)")

TRIALS = 4


def trials_of(folder):
    storage = f"sqlite:///{folder / 'study.db'}"
    return optuna.load_study(study_name="tiny", storage=storage).get_trials()


def wait_for(folder, processes, wanted):
    until = time.monotonic() + 400
    while time.monotonic() < until and all(process.poll() is None for process in processes):
        if (folder / "study.db").exists():
            try:
                found = trials_of(folder)
            except Exception:  # the tables are being made
                found = []
            if wanted(found):
                return found
        time.sleep(0.1)
    raise AssertionError("the search ended, or took too long")


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore::optuna.exceptions.ExperimentalWarning")
def test_kill_nine_loses_nothing_that_is_finished(folder_set, write_recipe, tmp_path):
    folder_set["members"]["a"]["train"].update(epochs=3, steps_per_epoch=6, save_every=2)
    folder_set["search"] = {
        "space": {"members.a.optimizer.lr": {"log": [1e-4, 1e-2]}},
        "trials": TRIALS,
        "finalists": 0,
        "pruner": "none",
    }
    path, folder = write_recipe(folder_set), tmp_path / "runs" / "tiny-search"

    def start():
        words = [sys.executable, "-m", "maskwright", "search", str(path)]
        return subprocess.Popen(words, cwd=tmp_path, stderr=subprocess.DEVNULL, stdout=subprocess.DEVNULL)

    processes = [start(), start()]
    try:
        states = optuna.trial.TrialState
        before = wait_for(
            folder,
            processes,
            lambda found: (
                any(trial.state == states.COMPLETE for trial in found)
                and sum(trial.state == states.RUNNING for trial in found) == 2
            ),
        )
        finished = {trial.number: (trial.value, trial.params) for trial in before if trial.state == states.COMPLETE}
        os.kill(processes[0].pid, signal.SIGKILL)
        assert processes[1].wait(400) == 0
    finally:
        for process in processes:
            process.kill()
            process.wait()
    after = trials_of(folder)
    complete = [trial for trial in after if trial.state == states.COMPLETE]
    assert len(complete) == TRIALS
    died = [trial for trial in after if trial.state == states.FAIL]
    assert len(died) <= 1
    done = {trial.user_attrs.get("origin", trial.number) for trial in complete}  # the first has its own number
    for trial in died:
        assert trial.user_attrs.get("origin", trial.number) in done
    for number, (value, params) in finished.items():
        assert (after[number].value, after[number].params) == (value, params)
    told = json.loads((folder / "search.json").read_text())
    assert [trial["state"] for trial in told["trials"]] == ["done"] * TRIALS
    assert (folder / "winner.yaml").exists()
