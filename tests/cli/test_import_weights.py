"""import-weights from the command line, from a checkpoint to a run that starts from it, and what it refuses."""

import json
import sys
from pathlib import Path

import pytest
import torch

from maskwright.core.recipe.members import Model
from maskwright.models.build import build_model

sys.path.insert(0, str(Path(__file__).parents[1] / "models"))
from mmseg_names import as_mmseg

BLOCK = {
    "architecture": "upernet_mmseg",
    "encoder": "swin_tiny",
    "options": {"encoder": {"embed": 8, "depths": [1, 1, 1, 1], "heads": [1, 1, 2, 2], "window": 4}, "channels": 8},
    "aux": {"fcn": {"channels": 8}},
}


class Evil:
    """Pickles as a call that leaves a trace."""

    def __init__(self, trace):
        self.trace = trace

    def __reduce__(self):
        return Path.touch, (self.trace,)


@pytest.fixture
def recipe(folder_set, write_recipe):
    """A run of one member."""
    folder_set["members"] = {"a": {**folder_set["members"]["a"], "model": BLOCK}}
    return write_recipe(folder_set)


def test_from_a_checkpoint_to_a_run(cli, tmp_path, recipe, folder_set, write_recipe):
    torch.manual_seed(0)
    model = build_model(Model(**BLOCK), 3, 1)
    torch.save({"meta": {}, "state_dict": as_mmseg(model), "optimizer": {}}, tmp_path / "upernet.pth")
    out = tmp_path / "w.safetensors"
    given = ["import-weights", tmp_path / "upernet.pth", "--from", "mmseg", "--recipe", recipe, "--out", out]
    code, said, err = cli(*given, "--licence", "mit")
    assert code == 0, err
    assert "dropped parts of the file: meta, optimizer" in said
    told = json.loads((tmp_path / "w.map.json").read_text())
    assert told["complete"]
    assert told["licence"] == "mit"
    assert len(told["matched"]) + len(told["reshaped"]) == len(as_mmseg(model))

    folder_set["members"]["a"]["model"] = {**BLOCK, "weights": "w.safetensors"}
    folder_set["rules"] = {"weights": "commercial-ok"}
    code, _, err = cli("train", write_recipe(folder_set), "--out", tmp_path / "run", "--fold", "0", "--quick")
    assert code == 0, err
    ledger = json.loads(next((tmp_path / "run").rglob("weights.json")).read_text())
    assert "import-weights" in json.dumps(ledger)


def test_a_payload_is_refused_in_one_line(cli, tmp_path, recipe):
    trace = tmp_path / "trace"
    torch.save({"state_dict": {"w": torch.zeros(1)}, "meta": Evil(trace)}, tmp_path / "evil.pth")
    before = sorted(tmp_path.iterdir())
    out = tmp_path / "w.safetensors"
    code, _, err = cli("import-weights", tmp_path / "evil.pth", "--from", "mmseg", "--recipe", recipe, "--out", out)
    assert code == 2
    assert err.startswith(f"error: {tmp_path / 'evil.pth'}: refused: opening it would call ")
    assert len(err.strip().splitlines()) == 1
    assert sorted(tmp_path.iterdir()) == before
