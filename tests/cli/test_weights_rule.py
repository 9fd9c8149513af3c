"""rules.weights through the real command line: refused before any work; the ledger of a run that is allowed."""

import json

import torch
from cli_helpers import tree

from maskwright.core.files import write_json
from maskwright.core.progress import Silent
from maskwright.core.recipe.members import Model
from maskwright.core.recipe.outputs import ReportOutput
from maskwright.models.build import build_model
from maskwright.models.weights import save_weights
from maskwright.workflows.deliver import report_inputs
from maskwright.workflows.session import open_session


def test_forbidden_weights_are_refused_before_any_work(cli, tmp_path, folder_set, write_recipe):
    folder_set["rules"] = {"weights": "commercial-ok"}
    folder_set["members"]["a"]["model"] = {"architecture": "segformer", "encoder": "mit_b0", "weights": "imagenet"}
    path = write_recipe(folder_set)
    before = tree(tmp_path)
    for verb in ("run", "train", "inspect"):
        code, out, err = cli(verb, path)
        assert (code, out) == (2, "")
        assert err == (
            f"error: {path}:members.a.model.weights: imagenet of mit_b0: not for commercial use "
            "(nvidia-source-code-license, says maskwright's table); rules.weights is commercial-ok; "
            "choose other weights, or drop rules.weights\n"
        )
    assert tree(tmp_path) == before


def test_the_ledger_lies_in_the_run_and_a_licence_may_be_told_later(cli, tmp_path, folder_set, write_recipe):
    block = Model.model_validate(folder_set["members"]["a"]["model"])
    torch.manual_seed(0)
    model = build_model(block, 3, 1)
    facts = {"model": block.model_dump(mode="json"), "bands": 3, "planes": 1}
    save_weights(tmp_path / "w.safetensors", model.state_dict(), facts)
    folder_set["members"]["a"]["model"] = {**folder_set["members"]["a"]["model"], "weights": "w.safetensors"}
    folder_set["members"]["a"]["train"] = {**folder_set["members"]["a"]["train"], "epochs": 1}
    path = write_recipe(folder_set)
    code, out, err = cli("train", path, "--fold", "0")
    assert code == 0, err
    assert "note: weights of a: w.safetensors: commercial use unknown (no licence stated)" in out
    ledger = tmp_path / "runs" / "tiny" / "weights.json"
    (found,) = json.loads(ledger.read_text())
    assert (found["member"], found["weights"], found["commercial"]) == ("a", "w.safetensors", "unknown")
    code, _, err = cli("train", path, "--fold", "0", "rules.weights=commercial-ok")
    assert code == 2
    assert "nobody says under what licence" in err
    told = "members.a.model.weights={file: w.safetensors, licence: mit, source: our own}"
    code, out, err = cli("train", path, "--fold", "0", told, "rules.weights=commercial-ok")
    assert code == 0, err
    assert "train a fold 0: nothing to do" in out
    (found,) = json.loads(ledger.read_text())
    assert (found["licence"], found["source"], found["says"]) == ("mit", "our own", "the recipe")


def test_a_report_is_written_anew_when_the_ledger_says_something_else(tmp_path, monkeypatch, folder_set, write_recipe):
    monkeypatch.chdir(tmp_path)
    session = open_session(str(write_recipe(folder_set)), [], Silent())
    before = report_inputs(session, ReportOutput())
    write_json(session.run.weights, [{"member": "a", "licence": "mit"}])
    after = report_inputs(session, ReportOutput())
    assert {key for key in before if before[key] != after[key]} == {"weights"}
