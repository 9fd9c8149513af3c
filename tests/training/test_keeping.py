"""What a training watches and keeps: plateau, early stop, the best few, snapshots, SWA, frozen parts."""

import csv
import json
import re

import discs
import numpy as np
import pytest
import torch

from maskwright.core.errors import InputError, Interrupted
from maskwright.core.recipe.keeping import EarlyStop, KeepBest, Swa
from maskwright.core.recipe.members import Member, Optimizer, Predict, Schedule, Train
from maskwright.models.build import build_model
from maskwright.models.weights import load_model, read_weights
from maskwright.scoring.counts import Counts
from maskwright.training.fit import fit_fold
from maskwright.training.keep import weight_files
from maskwright.training.parts import Validated
from maskwright.training.schedule import build_schedule, minima
from maskwright.training.swa import renew_norms
from maskwright.training.watch import Stopper, check

RESTARTS = Schedule(name="restarts", every=1, warmup=0)
CASES = {
    "plateau": {"schedule": Schedule(name="plateau", patience=0, gamma=0.1, by="iou", threshold=1.0)},
    "early stop": {"early_stop": EarlyStop(patience=1, threshold=10.0), "epochs": 6},
    "best few": {"keep_best": KeepBest(count=2, by="valid_loss")},
    "snapshots": {"snapshots": True, "schedule": RESTARTS, "ema": None},
    "swa": {"swa": Swa(start=0.3, lr=0.5), "accumulate": 2, "batch_size": 2},
    "frozen": {"optimizer": Optimizer(name="lookahead", freeze=("encoder.*.blocks.0", "encoder.model.conv_stem"))},
}


def train(job, folder, stop=None, reporter=None):
    fit_fold(job, folder, reporter or discs.Told(), stop or discs.Never())
    return everything(folder)


def everything(folder):
    inside = folder / "candidates"
    more = {f"candidates/{name}": found for name, found in discs.results(inside).items()} if inside.exists() else {}
    return discs.results(folder) | more


def told_by(folder):
    return json.loads((folder / "done.json").read_text())


def history_of(folder):
    return list(csv.DictReader((folder / "history.csv").read_text().splitlines()))


@pytest.mark.parametrize("case", CASES)
def test_a_training_stopped_again_and_again_ends_as_if_undisturbed(tmp_path, make_job, case):
    job = make_job(**{"epochs": 3, "steps_per_epoch": 2, "save_every": 1, **CASES[case]})
    wanted = train(job, tmp_path / "twin")
    looks = 10 if case == "swa" else 7  # more than a validation, or the end of a training with averages, takes
    stops = 0
    while not (tmp_path / "stopped" / "done.json").exists() and stops < 20:
        try:
            train(job, tmp_path / "stopped", discs.After(looks))
        except Interrupted:
            stops += 1
    assert stops >= 1
    assert everything(tmp_path / "stopped") == wanted
    assert not (tmp_path / "twin" / "state").exists()


def test_an_early_stop_is_told_and_the_rest_of_the_steps_is_not_waited_for(tmp_path, make_job):
    told, folder = discs.Told(), tmp_path / "members" / "a" / "fold0"
    job = make_job(epochs=6, steps_per_epoch=2, early_stop=EarlyStop(patience=2, by="iou", threshold=1.0))
    train(job, folder, reporter=told)
    assert len(history_of(folder)) == 3
    done = told_by(folder)
    why = f"iou was not better than {float(history_of(folder)[0]['score']):.4g} in 2 validations"
    assert done["step"] == 6
    assert done["early"] == {"steps_planned": 12, "why": why}
    assert told.warnings == [f"a/fold0: finished early after epoch 3 of 6, as {why}"]
    assert told.advanced == 12
    planned = build_schedule(job.member.schedule, 12, steps_per_epoch=2)
    rates = [json.loads(line)["lr"] for line in (folder / "log.jsonl").read_text().splitlines()]
    assert rates == [job.member.optimizer.lr * planned(step) for step in range(6)]


def test_the_best_few_are_kept_by_what_was_asked_for(tmp_path, make_job):
    job = make_job(epochs=4, steps_per_epoch=2, ema=None, keep_best=KeepBest(count=3, by="valid_loss"))
    train(job, tmp_path)
    rows = history_of(tmp_path)
    losses = {int(row["step"]): float(row["valid_loss"]) for row in rows}
    order = sorted(losses, key=losses.get)
    done = told_by(tmp_path)
    best = {"step": order[0], "score": float(rows[order[0] // 2 - 1]["score"]), "by": "valid_loss"}
    assert done["best"] == {**best, "value": losses[order[0]]}
    assert [each["step"] for each in done["others"]] == order[1:3]
    files = [tmp_path / "best.safetensors", *(tmp_path / each["file"] for each in done["others"])]
    assert [read_weights(path)[1]["step"] for path in files] == order[:3]
    assert [read_weights(path)[1]["value"] for path in files] == [losses[step] for step in order[:3]]


def test_snapshots_lie_at_the_minima_and_differ(tmp_path, make_job):
    schedule = Schedule(name="restarts", every=1, growth=2, warmup=1)
    job = make_job(epochs=4, steps_per_epoch=3, ema=None, snapshots=True, schedule=schedule)
    assert minima(schedule, 12, 3) == (4, 10)
    train(job, tmp_path)
    assert told_by(tmp_path)["snapshots"] == [f"candidates/snapshot-{step:08d}.safetensors" for step in (4, 10)]
    models = [load_model(path)[0] for path in weight_files(tmp_path, "snapshots")]
    image = torch.rand(1, 3, 32, 32)
    assert not torch.equal(models[0](image), models[1](image))
    rate = build_schedule(schedule, 12, steps_per_epoch=3)
    assert [rate(step) > rate(step - 1) for step in (4, 10)] == [True, True]


def test_swa_is_the_mean_of_the_last_epochs_with_statistics_of_its_own(tmp_path, make_job):
    settings = {"epochs": 4, "steps_per_epoch": 2, "ema": None, "schedule": Schedule(name="constant", warmup=0)}
    job = make_job(**settings, swa=Swa(start=0.5, lr=0.1))
    train(job, tmp_path / "swa")
    done, last = told_by(tmp_path / "swa"), read_weights(tmp_path / "swa" / "last.safetensors")[0]
    assert done["swa"]["taken"] == 2
    assert done["swa"]["statistics_from_samples"] == 8
    rates = [json.loads(line)["lr"] for line in (tmp_path / "swa" / "log.jsonl").read_text().splitlines()]
    assert rates == pytest.approx([1e-3] * 4 + [1e-4] * 4)
    # the same training, stopped after its third epoch: the mean of both is the average
    raw = read_weights(tmp_path / "swa" / "candidates" / "raw.safetensors")[0]
    with pytest.raises(Interrupted):
        train(make_job(**settings, swa=Swa(start=0.5, lr=0.1)), tmp_path / "third", discs.After(14 + 2 * 4 - 1))
    assert any(not torch.equal(raw[name], tensor) for name, tensor in last.items() if "running" in name)


def test_the_mean_of_weights_is_exact_and_statistics_are_those_of_a_pass(make_job):
    from maskwright.training.swa import Swa as Mean

    net = torch.nn.Sequential(torch.nn.Conv2d(1, 2, 1), torch.nn.BatchNorm2d(2), torch.nn.Dropout(0.5))
    mean, seen = Mean(net, after=1), []
    for epoch in range(1, 5):
        with torch.no_grad():
            net[0].weight.fill_(float(epoch))
        mean.after_epoch(epoch)
        seen.append(epoch)
    assert mean.taken == 3
    mean.put_in()
    torch.testing.assert_close(net[0].weight, torch.full_like(net[0].weight, 3.0))
    images = [torch.rand(4, 1, 5, 5, generator=torch.Generator().manual_seed(number)) for number in range(3)]
    label, valid = torch.zeros(4, 5, 5, dtype=torch.long), torch.ones(4, 5, 5, dtype=torch.bool)
    rest = {"label": label, "valid": valid, "index": torch.arange(4), "log_size": torch.zeros(4)}
    batches = [{"image": image, **rest} for image in images]
    context = torch.autocast("cpu", enabled=False)
    assert renew_norms(net, batches, torch.device("cpu"), lambda: context, channels_last=False) == 12
    outputs = [net[0](image).transpose(0, 1).flatten(1) for image in images]
    torch.testing.assert_close(net[1].running_mean, torch.stack([each.mean(1) for each in outputs]).mean(0))
    torch.testing.assert_close(net[1].running_var, torch.stack([each.var(1) for each in outputs]).mean(0))
    assert net[1].momentum == 0.1
    assert net.training


def validated(loss, step=1):
    counts = Counts(*(np.array([number]) for number in (1, 1, 1, 1)))
    return Validated(step, counts, loss, 0.5)


LOSSES = [5.0, 4.0, 4.1, 4.2, 3.9999, 4.3, 3.0, 3.1, 3.2, 3.3, 3.4, 3.5, 3.6, 3.7]


@pytest.mark.parametrize(("patience", "threshold"), [(0, 0.0), (1, 0.0), (2, 0.01)])
def test_plateau_is_torch_s(patience, threshold):
    block = Schedule(name="plateau", patience=patience, threshold=threshold, gamma=0.5, floor=0.05, warmup=0)
    ours = build_schedule(block, 100)
    optimizer = torch.optim.SGD([torch.zeros(1)], lr=1.0)
    theirs = torch.optim.lr_scheduler.ReduceLROnPlateau(
        optimizer, factor=0.5, patience=patience, threshold=threshold, threshold_mode="abs", min_lr=0.05, eps=0
    )
    for step, loss in enumerate(LOSSES):
        ours.after_validation(validated(loss))
        theirs.step(loss)
        assert ours(step) == pytest.approx(optimizer.param_groups[0]["lr"])
    again = build_schedule(block, 100)
    again.load_state_dict(ours.state_dict())
    assert (again(50), again.watch.since, again.watch.best) == (ours(50), ours.watch.since, ours.watch.best)


def test_plateau_warms_up():
    ours = build_schedule(Schedule(name="plateau", warmup=4, patience=0), 100)
    assert [ours(step) for step in range(5)] == [0.25, 0.5, 0.75, 1.0, 1.0]


def test_a_stopper_counts_what_is_no_number_as_no_gain():
    stopper = Stopper(EarlyStop(patience=2))
    for loss in (1.0, float("nan"), 0.5, float("nan")):
        stopper.after_validation(validated(loss))
        assert not stopper.over
    stopper.after_validation(validated(0.6))
    assert stopper.over


def test_frozen_parts_keep_weights_and_statistics(tmp_path, make_job):
    job = make_job(epochs=1, ema=None, optimizer=Optimizer(freeze=("encoder.model.blocks.0", "decoder.blocks.?.conv1")))
    train(job, tmp_path)
    torch.manual_seed(job.seed)
    first = build_model(job.member.model, 3, 1).state_dict()
    last = read_weights(tmp_path / "last.safetensors")[0]
    still = {name for name, tensor in last.items() if torch.equal(tensor, first[name])}
    inside = {name for name in last if name.startswith("network.encoder.model.blocks.0.")}
    assert len(inside) > 10
    assert inside <= still
    assert {name for name in last if name.startswith("network.decoder.blocks.0.conv1.")} <= still
    assert (
        not {name for name in last if name.startswith("network.encoder.model.blocks.1.") and "weight" in name} & still
    )


@pytest.mark.parametrize(
    ("freeze", "said"),
    [
        (
            ("encoder.layer9",),
            "members.a.optimizer.freeze: no parameter is named like 'encoder.layer9'; names begin with encoder, "
            "decoder, segmentation_head, encoder.model",
        ),
        (("*",), "members.a.optimizer.freeze: nothing is left to learn; freeze less"),
    ],
)
def test_a_freeze_that_fits_nothing_or_all_is_refused(tmp_path, make_job, freeze, said):
    with pytest.raises(InputError) as caught:
        train(make_job(optimizer=Optimizer(freeze=freeze)), tmp_path)
    assert str(caught.value) == said


@pytest.mark.parametrize(
    ("given", "said"),
    [
        (
            {"train": {"swa": {}, "early_stop": {}}},
            "early_stop would end the training before swa is complete; use one of the two",
        ),
        (
            {"train": {"snapshots": True}},
            "train.snapshots are taken at the minima of the schedule restarts, not of poly; use schedule.name: "
            "restarts",
        ),
        (
            {"train": {"snapshots": True, "epochs": 10}, "schedule": {"name": "restarts"}},
            "train.snapshots: the first cycle ends after 10.5 epochs, the training after 10; use a smaller "
            "schedule.every",
        ),
        ({"predict": {"weights": "snapshots"}}, "predict.weights: snapshots needs train.snapshots: true"),
    ],
)
def test_what_cannot_be_kept_is_refused(given, said):
    with pytest.raises(ValueError, match=re.escape(said)):
        Member.model_validate(given)


def test_an_unknown_criterion_is_refused():
    with pytest.raises(InputError) as caught:
        check("vali_loss", "members.a.train.early_stop.by")
    assert str(caught.value).startswith(
        "members.a.train.early_stop.by: unknown criterion 'vali_loss' (did you mean 'valid_loss'?); use one of: "
    )


def test_younger_keys_do_not_make_finished_folds_stale():
    plain = Member(train=Train(), predict=Predict(weights="best")).trained_by()
    assert "swa" not in plain["train"]
    assert "freeze" not in plain["optimizer"]
    assert "workers" not in plain["train"]
    asked = Member(train=Train(swa=Swa())).trained_by()
    assert asked["train"]["swa"] == {"start": 0.75, "lr": None}
    headed = Member(model={"aux": {"fcn": 0.4}}).trained_by()["model"]["aux"]
    assert headed.keys() == {"fcn", "classify", "deep"}  # as it was before there were others
    assert Member(model={"aux": {"scale": 0.4}}).trained_by()["model"]["aux"]["scale"] == {"weight": 0.4}
