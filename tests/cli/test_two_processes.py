"""torchrun with two gloo processes: one run folder, one voice, the same samples as one process."""

import json
import os
import subprocess
import sys

import pytest


def run(recipe, out, *launcher):
    environment = {**os.environ, "OMP_NUM_THREADS": "1", "CUDA_VISIBLE_DEVICES": ""}
    command = [sys.executable, *launcher, "-m", "maskwright", "run", str(recipe), "--out", str(out)]
    done = subprocess.run(
        command, cwd=recipe.parent, env=environment, capture_output=True, text=True, timeout=300, check=False
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


def samples(out):
    logs = sorted(out.glob("members/*/*/log.jsonl"))
    assert len(logs) == 2
    return [[json.loads(line)["items"] for line in log.read_text().splitlines()] for log in logs]


@pytest.mark.slow
def test_two_processes_write_one_run_with_the_samples_of_one(tmp_path, folder_set, write_recipe):
    folder_set["members"]["a"]["train"]["batch_size"] = 4
    recipe = write_recipe(folder_set)
    alone = run(recipe, tmp_path / "one")
    together = run(recipe, tmp_path / "two", "-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "2")
    assert samples(tmp_path / "one") == samples(tmp_path / "two")
    assert together.count("inspect train: 8 items, no faults") == 1
    assert (tmp_path / "two" / "report.html").exists()
    assert "out-of-fold iou" in alone
    assert "out-of-fold iou" in together
