"""Every family of the podium solutions trains in two gloo processes that share each batch."""

import json
import math
import os
import subprocess
import sys
from pathlib import Path

from families import FAMILIES, STEPS
from maskwright.models.weights import read_weights

SCRIPT = Path(__file__).with_name("families.py")


def test_each_family_trains_in_two_processes_and_no_parameter_waits_for_a_gradient(tmp_path, pictures):
    """torch's reducer is not told to look for unused parameters, so one would end the training at the second step."""
    done = subprocess.run(
        [sys.executable, str(SCRIPT), str(pictures), str(tmp_path)],
        env={**os.environ, "OMP_NUM_THREADS": "1", "CUDA_VISIBLE_DEVICES": ""},
        capture_output=True,
        text=True,
        timeout=450,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    told = json.loads(done.stdout.splitlines()[-1])
    assert told["codes"] == [0, 0], done.stderr
    assert list(told["families"]) == list(FAMILIES)
    for name, (one, other) in told["families"].items():
        assert one == other, name  # after two steps both processes have the same weights, bit for bit
        assert " " not in one, f"{name}: {one}"
        lines = (tmp_path / name / "log.jsonl").read_text().splitlines()
        steps = [json.loads(line) for line in lines]
        assert len(steps) == STEPS, name
        assert all(math.isfinite(step["loss"]) for step in steps), name
        tensors, _ = read_weights(tmp_path / name / "last.safetensors")
        assert all(tensor.isfinite().all() for tensor in tensors.values()), name
