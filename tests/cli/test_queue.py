"""The queue with real recipes, through the real command line."""

import json
import os
import signal
import subprocess
import sys
import time

import pytest


@pytest.mark.slow
def test_a_stopped_queue_goes_on_and_a_bad_recipe_does_not_stop_it(cli, tmp_path, folder_set, write_recipe):
    member = folder_set["members"]["a"]
    folder_set["members"]["a"] = {**member, "train": {**member["train"], "epochs": 3, "save_every": 1}}
    (tmp_path / "q").mkdir()
    write_recipe(folder_set, "q/good.yaml")
    write_recipe({**folder_set, "members": {"a": {"modle": {}}}}, "q/bad.yaml")
    words = [sys.executable, "-m", "maskwright", "queue", "q", "--devices", "cpu", "--poll", "0.1"]
    queue = subprocess.Popen(words, cwd=tmp_path, env=os.environ, stdout=subprocess.PIPE, text=True)
    state = tmp_path / "runs" / "tiny" / "members" / "a" / "fold0" / "log.jsonl"
    until = time.monotonic() + 300
    while not state.exists() and time.monotonic() < until:
        time.sleep(0.05)
    queue.send_signal(signal.SIGTERM)
    out, _ = queue.communicate(timeout=120)
    assert queue.returncode == 143
    assert "failed bad.yaml" in out
    assert "stopped good.yaml, it goes on next time" in out
    record = json.loads((tmp_path / "q" / "failed" / "bad.json").read_text())
    assert record["exit_code"] == 2
    assert "unknown key 'modle' (did you mean 'model'?)" in record["error"]
    assert (tmp_path / "q" / "running" / "good.yaml").exists()
    code, out, err = cli("queue", "q", "--devices", "cpu", "--once", "--poll", "0.1")
    assert code == 0, err
    assert "go on with good.yaml on cpu" in out
    assert (tmp_path / "runs" / "tiny" / "report.html").exists()
    log = (tmp_path / "q" / "done" / "good.log").read_text()
    assert "run the same command again to go on" in log
    assert str(tmp_path) not in (tmp_path / "q" / "done" / "good.json").read_text()
