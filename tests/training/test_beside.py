"""Batches of other items beside a training's own: which steps have them, what they add, and a resume sees the same."""

from dataclasses import replace

import pytest
import torch
from discs import TASK, After, Never, Told, draw, job_on, results

from maskwright.core.errors import InputError, Interrupted
from maskwright.core.recipe.members import Train
from maskwright.core.recipe.sources import FolderSource
from maskwright.data.sources.open import open_source
from maskwright.training.beside import Beside, check_shares, plan_of
from maskwright.training.cluster import Solo
from maskwright.training.fit import fit_fold
from maskwright.training.loop import train_step
from maskwright.training.plan import Deal
from maskwright.training.setup import build_kit, build_network, build_others, build_samples


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    folder = tmp_path_factory.mktemp("discs")
    draw(folder)
    return folder


def beside_on(folder, **given):
    source = open_source(FolderSource(images="images", masks="masks", encoding="soft"), folder, TASK)
    settings = {"augment": ({"hflip": {}},), "loss": {"kl": 1.0}, "batch": 4, "every": 2}
    return Beside(source=source, keys=source.keys[8:], **{**settings, **given})


def test_a_stopped_training_and_one_with_a_worker_end_as_if_nothing_had_been(folder, tmp_path):
    job = replace(job_on(folder), beside=beside_on(folder))
    fit_fold(job, tmp_path / "whole", Told(), Never())
    with pytest.raises(Interrupted):
        fit_fold(job, tmp_path / "cut", Told(), After(2))
    fit_fold(job, tmp_path / "cut", Told(), Never())
    worker = job.member.train.model_copy(update={"workers": 1})
    fit_fold(replace(job, member=job.member.model_copy(update={"train": worker})), tmp_path / "read", Told(), Never())
    assert results(tmp_path / "whole") == results(tmp_path / "cut") == results(tmp_path / "read")
    log = (tmp_path / "whole" / "log.jsonl").read_text().splitlines()
    assert ['"beside"' in line for line in log] == [False, True] * 3
    fit_fold(job_on(folder), tmp_path / "without", Told(), Never())
    assert results(tmp_path / "whole")["last.safetensors"] != results(tmp_path / "without")["last.safetensors"]


def gradients(job, folder):
    """Return the network's gradient of the first step, before it is taken (learning rate of almost nothing)."""
    cluster, plan = Solo(), job.plan
    model = build_network(job, cluster, folder)
    kit = build_kit(job, plan, cluster, model, errors=False)
    from maskwright.training.beside import read_steps

    samples = build_samples(job, plan, job.lots(plan.draws))
    record = train_step(kit, read_steps(samples, build_others(job), Deal(plan, 0, 0, 1), 0, pin=False), 0)
    return {name: each.grad.clone() for name, each in model.named_parameters() if each.grad is not None}, record


def test_a_step_is_moved_by_its_own_loss_and_the_weighed_loss_of_the_others(folder):
    plain = job_on(folder, clip=None, ema=None)
    own, record = gradients(plain, folder)
    assert record.beside is None
    sums = []
    for weight in (0.5, 1.0):
        both, record = gradients(replace(plain, beside=beside_on(folder, every=1, weight=weight)), folder)
        assert record.beside is not None
        sums.append({name: both[name] - own[name] for name in own})
    assert any(part.abs().max() > 1e-4 for part in sums[1].values())
    for name, part in sums[1].items():
        torch.testing.assert_close(part, 2 * sums[0][name], rtol=1e-3, atol=1e-5)


def test_a_share_of_each_batch_makes_no_more_steps():
    beside = Beside(source=None, keys=("a",), augment=(), loss={}, batch=2, every=1, displaced=2)
    plan, usual = plan_of(Train(batch_size=8), 20, 0, beside), plan_of(Train(batch_size=8), 20, 0, None)
    assert (plan.steps_per_epoch, plan.batch_size) == (usual.steps_per_epoch, usual.batch_size - 2)
    tickets = [index for step in range(5) for batch in beside.tickets(step, 0, 1) for _, index in batch]
    assert tickets == list(range(10))
    halves = [[index for batch in beside.tickets(3, rank, 2) for _, index in batch] for rank in range(2)]
    assert halves == [[6], [7]]


def test_shares_that_processes_cannot_have_are_refused():
    beside = Beside(source=None, keys=("a",), augment=(), loss={}, batch=3, every=1, displaced=3)
    with pytest.raises(InputError, match=r"selftrain.mix makes batches of \d, which do not divide by 2 processes"):
        check_shares(Train(batch_size=8), beside, 2, "here")
    check_shares(Train(batch_size=8), beside, 1, "here")


def test_a_loss_of_others_that_is_no_number_names_them(folder, tmp_path):
    beside = beside_on(folder, every=1)
    job = replace(job_on(folder), beside=replace(beside, loss={"kl": 1e6}, weight=1e300))
    with pytest.raises(InputError, match=r"is inf at step 1|norm is"):
        fit_fold(job, tmp_path / "far", Told(), Never())
