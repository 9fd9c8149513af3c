"""Loss scaling, compiling and activation checkpointing: what they promise, and that a resume keeps it."""

import copy
import json
import re

import discs
import pytest
import torch

from maskwright.core.errors import InputError, Interrupted
from maskwright.core.recipe.members import SPEED, Model, Train
from maskwright.models.adapt import SegModel
from maskwright.models.build import build_model
from maskwright.models.recompute import recompute_encoder
from maskwright.models.weights import read_weights
from maskwright.training import precision
from maskwright.training.fit import fit_fold
from maskwright.training.precision import Scaler, half_of
from maskwright.training.probe import StepSpec, measure_step

CPU = torch.device("cpu")


def trained(job, folder):
    """Train with a stop in the middle, and go on; return what was said."""
    told = discs.Told()
    with pytest.raises(Interrupted):
        fit_fold(job, folder, told, discs.After(3))
    fit_fold(job, folder, told, discs.Never())
    return told.warnings


def test_fp16_trains_and_a_resume_is_the_undisturbed_run(make_job, tmp_path):
    job = make_job(precision="fp16")
    fit_fold(job, tmp_path / "twin", discs.Told(), discs.Never())
    trained(job, tmp_path / "stopped")
    assert discs.results(tmp_path / "stopped") == discs.results(tmp_path / "twin")


def test_a_step_whose_gradient_overflows_is_left_out_and_counted(make_job, tmp_path, monkeypatch):
    real = torch.amp.GradScaler
    monkeypatch.setattr(torch.amp, "GradScaler", lambda device: real(device, init_scale=2.0**30, growth_interval=10**6))
    told = discs.Told()
    fit_fold(make_job(precision="fp16", epochs=20), tmp_path / "a" / "fold0", told, discs.Never())
    log = [json.loads(line) for line in (tmp_path / "a" / "fold0" / "log.jsonl").read_text().splitlines()]
    skipped = [line["step"] for line in log if line["norm"] is None]
    assert skipped[0] == 1
    assert len(skipped) < 50
    assert told.warnings == [f"training a/fold0: {len(skipped)} of 60 steps overflowed float16 and were left out"]


def test_overflow_without_end_stops_the_run(make_job, tmp_path, monkeypatch):
    monkeypatch.setattr(Scaler, "PATIENCE", 2)
    real = torch.amp.GradScaler
    monkeypatch.setattr(torch.amp, "GradScaler", lambda device: real(device, init_scale=2.0**127))
    with pytest.raises(InputError) as caught:
        fit_fold(make_job(precision="fp16", epochs=20), tmp_path, discs.Told(), discs.Never())
    assert re.search("the gradient's norm is (inf|nan) at step 2, items ", str(caught.value))
    assert str(caught.value).endswith("or lower optimizer.lr, or set train.precision=bf16")


def test_scaler_state_goes_round():
    one, two = Scaler(CPU), Scaler(CPU)
    weight = torch.nn.Parameter(torch.ones(2))
    optimizer = torch.optim.SGD([weight], lr=0.1)
    for factor in (1.0, float("inf"), 1.0):
        optimizer.zero_grad()
        one.scale(weight.sum() * factor).backward()
        one.unscale(optimizer)
        one.note(overflow=factor > 1)
        one.step(optimizer)
    state = one.state_dict()
    assert (float(state["scale"]), int(state["tracker"]), state["skipped"].tolist()) == (2.0**15, 1, [1, 0])
    two.load_state_dict(state)
    assert {name: value.tolist() for name, value in two.state_dict().items()} == {
        name: value.tolist() for name, value in state.items()
    }
    assert weight.tolist() == pytest.approx([0.8, 0.8])


def test_halves_by_name():
    assert half_of(Train(precision="fp32"), CPU) is None
    assert half_of(Train(precision="fp16"), CPU) is torch.float16
    assert half_of(Train(precision="bf16"), CPU) is torch.bfloat16


ENCODERS = [
    Model(architecture="unet", encoder="resnet18", options={"decoder_channels": [16, 8, 8, 4, 4]}),
    discs.TINY,
    Model(architecture="fpn", encoder="tu-convnext_atto", options={"decoder_dropout": 0.0}),
    Model(architecture="unet", encoder="efficientnet-b0", options={"decoder_channels": [16, 8, 8, 4, 4]}),
]


def step(model, image):
    """Return gradients, buffers, and the bytes that the forward pass kept for the backward one."""
    kept = []
    torch.manual_seed(3)
    with torch.autograd.graph.saved_tensors_hooks(lambda tensor: kept.append(tensor.nbytes) or tensor, lambda t: t):
        model(image).square().mean().backward()
    return {name: p.grad for name, p in model.named_parameters()}, dict(model.named_buffers()), sum(kept)


@pytest.mark.parametrize("block", ENCODERS, ids=lambda block: block.encoder)
def test_recomputed_encoders_have_the_same_gradients_and_statistics_in_less_memory(block):
    plain = build_model(block, 3, 1).train()
    thrifty = copy.deepcopy(plain)
    assert recompute_encoder(thrifty, 3) >= 3
    assert list(thrifty.state_dict()) == list(plain.state_dict())
    image = torch.randn(2, 3, 64, 64, generator=torch.Generator().manual_seed(1))
    (wanted, buffers, much), (got, counted, little) = step(plain, image), step(thrifty, image)
    assert little < 0.8 * much
    for name, gradient in wanted.items():
        assert (gradient is None) == (got[name] is None)
        if gradient is not None:
            torch.testing.assert_close(got[name], gradient, rtol=1e-4, atol=1e-6)
    for name, buffer in buffers.items():
        torch.testing.assert_close(counted[name], buffer)


def test_an_encoder_without_stages_is_refused():
    network = torch.nn.Sequential()
    network.encoder = torch.nn.Identity()
    network.head = torch.nn.Conv2d(1, 1, 1)
    with pytest.raises(InputError) as caught:
        recompute_encoder(SegModel(network, 1, 1), 1)
    assert str(caught.value) == (
        "train.checkpointing: found no stages in the encoder Identity that could be computed again; "
        "set train.checkpointing=false, or take another encoder"
    )


def test_checkpointing_trains_the_same_and_resumes(make_job, tmp_path):
    plain, thrifty = make_job(), make_job(checkpointing=True)
    assert plain.digest == thrifty.digest
    fit_fold(plain, tmp_path / "plain", discs.Told(), discs.Never())
    trained(thrifty, tmp_path / "thrifty")
    wanted, got = (read_weights(tmp_path / name / "last.safetensors")[0] for name in ("plain", "thrifty"))
    assert list(wanted) == list(got)
    for name, tensor in wanted.items():
        torch.testing.assert_close(got[name], tensor, rtol=1e-4, atol=1e-5)


def test_compiled_training_keeps_the_names_of_weights_and_resumes(make_job, tmp_path, monkeypatch):
    monkeypatch.setattr(precision, "BACKEND", "eager")  # all of torch.compile but the compiler, which takes a minute
    torch._dynamo.reset()
    plain, compiled = make_job(augment=()), make_job(augment=(), compile=True)
    fit_fold(plain, tmp_path / "plain", discs.Told(), discs.Never())
    trained(compiled, tmp_path / "compiled")
    wanted, got = (read_weights(tmp_path / name / "last.safetensors")[0] for name in ("plain", "compiled"))
    assert list(wanted) == list(got)
    for name, tensor in wanted.items():
        torch.testing.assert_close(got[name], tensor, rtol=1e-4, atol=1e-5)


def test_compile_without_a_compiler_is_refused(make_job, tmp_path, monkeypatch):
    monkeypatch.setattr(precision.shutil, "which", lambda name: None)
    with pytest.raises(InputError) as caught:
        fit_fold(make_job(compile=True), tmp_path, discs.Told(), discs.Never())
    assert str(caught.value) == (
        "train.compile: torch.compile needs a C++ compiler, and none was found; install it, or set train.compile=false"
    )


def test_compile_and_checkpointing_are_refused_together():
    with pytest.raises(ValueError, match="compile and checkpointing do not go together; choose one"):
        Train(compile=True, checkpointing=True)
    assert {"compile", "checkpointing"} <= set(SPEED)


def test_a_step_is_measured_however_short_the_training_would_be(make_job):
    job = make_job(epochs=1, steps_per_epoch=1)
    assert measure_step(StepSpec(job.member, job.task, 3, (32, 32), 2)) > 0
