import json
from dataclasses import replace

import discs
import pytest
import torch

from maskwright.core.errors import InputError, Interrupted
from maskwright.core.recipe.members import Model
from maskwright.core.recipe.sources import FolderSource
from maskwright.data.sources.open import open_source
from maskwright.models.tensors import read_tensors
from maskwright.models.weights import load_model
from maskwright.training.fit import fit_fold

HEADED = Model(
    architecture="unet",
    encoder="tu-mobilenetv3_small_050",
    options={"decoder_channels": [16, 8, 8, 4, 4]},
    aux={"fcn": {"channels": 8}, "classify": {}, "deep": {"maps": 1}},
)


def two_classes(pictures, make_job, **given):
    source = open_source(FolderSource(images="images", masks="masks"), pictures, discs.TWO)
    return replace(make_job(**given), task=discs.TWO, source=source)


def test_difficulties_learned_weights_and_heads_go_on_where_they_were(tmp_path, pictures, make_job):
    given = {"model": HEADED, "loss": {"cdb": 1, "dice": 1}, "loss_weights": "learned"}
    job = two_classes(pictures, make_job, epochs=3, save_every=2, **given)
    fit_fold(job, tmp_path / "twin", discs.Told(), discs.Never())
    seen = {}
    for stops in range(40):
        try:
            fit_fold(job, tmp_path / "stopped", discs.Told(), discs.After(4))
        except Interrupted:
            states = sorted((tmp_path / "stopped" / "state").glob("step-*"))
            tensors, facts = read_tensors(states[-1])
            seen[facts["step"]] = tensors["loss.cdb.difficulty"], tensors["loss.log_variances"]
            continue
        assert stops > 2
        break
    assert discs.results(tmp_path / "stopped") == discs.results(tmp_path / "twin")
    first, last = seen[min(seen)], seen[max(seen)]
    assert torch.equal(first[0], torch.ones(2, dtype=torch.float64))
    assert not torch.equal(last[0], first[0])  # a validation came between
    assert last[1].shape == (7,)  # cdb and dice of main head, fcn and deep, and classify
    assert (last[1] != 0).all()
    model, _ = load_model(tmp_path / "twin" / "last.safetensors")
    assert model(torch.rand(1, 3, 40, 40)).shape == (1, 2, 40, 40)
    assert model.outputs(torch.rand(1, 3, 40, 40)).heads["classify"].shape == (1, 2)


def test_learned_weights_begin_as_the_given_ones_and_move(tmp_path, make_job):
    told = {}
    for name in ("given", "learned"):
        fit_fold(make_job(loss_weights=name, save_every=1), tmp_path / name, discs.Told(), discs.Never())
        told[name] = [json.loads(line)["loss"] for line in (tmp_path / name / "log.jsonl").read_text().splitlines()]
    assert told["given"][0] == told["learned"][0]  # s begins at 0
    assert told["given"][1:] != told["learned"][1:]


def test_a_loss_that_learns_from_validations_needs_held_out_items(tmp_path, pictures, make_job):
    job = replace(two_classes(pictures, make_job, loss={"cdb": 1}), valid_keys=())
    with pytest.raises(InputError) as caught:
        fit_fold(job, tmp_path / "fold", discs.Told(), discs.Never())
    assert str(caught.value) == (
        "members.loss: a loss that learns from validations, and no item is held out; use another loss than cdb, or "
        "folds that hold items out"
    )
