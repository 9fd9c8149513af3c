"""The longest gradient that a step may take."""

import json

import discs
import pytest

from maskwright.core.recipe.members import Optimizer, Schedule
from maskwright.models.weights import read_weights
from maskwright.training.fit import fit_fold


def test_a_clipped_gradient_is_as_long_as_allowed(tmp_path, make_job):
    still = {"schedule": Schedule(name="constant", warmup=0), "ema": None, "epochs": 1, "steps_per_epoch": 1}
    weights, norms = {}, {}
    for name, clip, lr in (("still", None, 1e-12), ("free", None, 1.0), ("clipped", 0.01, 1.0)):
        optimizer = Optimizer(name="sgd", momentum=0, lr=lr, weight_decay=0)
        fit_fold(make_job(optimizer=optimizer, clip=clip, **still), tmp_path / name, discs.Told(), discs.Never())
        tensors, _ = read_weights(tmp_path / name / "last.safetensors")
        weights[name] = {
            key: each for key, each in tensors.items() if "running" not in key and each.is_floating_point()
        }
        norms[name] = json.loads((tmp_path / name / "log.jsonl").read_text())["norm"]
    for name, length in (("free", norms["free"]), ("clipped", 0.01)):
        moved = sum((each - weights["still"][key]).double().square().sum() for key, each in weights[name].items())
        assert moved.sqrt().item() == pytest.approx(length, rel=1e-3)
    assert norms["clipped"] == norms["free"] > 0.01  # what is logged is the length before
