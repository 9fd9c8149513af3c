import csv
import json

import discs
import pytest
import torch

import maskwright.training.fit as fit_module
import maskwright.training.setup as making
from maskwright.core.errors import InputError, Interrupted, MemoryLimitError
from maskwright.core.recipe.members import Model, Optimizer
from maskwright.models.build import build_model
from maskwright.models.weights import load_model, read_weights
from maskwright.training.fit import fit_fold
from maskwright.training.losses.table import Loss

FPN = Model(architecture="fpn", encoder="tu-mobilenetv3_small_050")
"""Has dropout."""


def log_of(folder):
    return [json.loads(line) for line in (folder / "log.jsonl").read_text().splitlines()]


def history_of(folder):
    return list(csv.DictReader((folder / "history.csv").read_text().splitlines()))


def train(job, folder, stop=None, reporter=None):
    fit_fold(job, folder, reporter or discs.Told(), stop or discs.Never())
    return discs.results(folder)


def finish(job, folder, looks):
    """Train with a stop after every `looks` looks at it, until it is done; return the number of stops."""
    for stops in range(40):
        try:
            train(job, folder, discs.After(looks))
        except Interrupted:
            continue
        return stops
    raise AssertionError("never done")


@pytest.fixture
def fold(tmp_path):
    return tmp_path / "members" / "a" / "fold0"


def test_a_fold_learns_and_leaves_its_files(fold, make_job):
    told = discs.Told()
    job = make_job(epochs=8, steps_per_epoch=None, save_every=3, optimizer=Optimizer(lr=0.01))
    train(job, fold, reporter=told)
    assert told.started == [("training a/fold0", 16, 0)]
    assert (told.advanced, told.warnings) == (16, [])
    assert not torch.are_deterministic_algorithms_enabled()
    assert sorted(path.name for path in fold.iterdir()) == [
        "best.safetensors",
        "done.json",
        "history.csv",
        "last.safetensors",
        "log.jsonl",
        "timing.jsonl",
    ]
    rows = history_of(fold)
    assert [(row["epoch"], row["step"]) for row in rows] == [(str(e), str(2 * e)) for e in range(1, 9)]
    scores = [float(row["score"]) for row in rows]
    assert max(scores) > 0.5
    done = json.loads((fold / "done.json").read_text())
    assert done == {
        "job": job.digest,
        "step": 16,
        "metric": "iou",
        "best": {"step": 2 * (scores.index(max(scores)) + 1), "score": max(scores)},
    }
    log = log_of(fold)
    assert [line["step"] for line in log] == list(range(1, 17))
    mean = (log[0]["loss"] + log[1]["loss"]) / 2
    assert float(rows[0]["loss"]) == pytest.approx(mean)

    model, facts = load_model(fold / "best.safetensors")
    assert (facts["step"], facts["score"]) == (done["best"]["step"], done["best"]["score"])
    assert (facts["member"], facts["fold"], facts["planes"], facts["bands"]) == ("a", 0, 1, 3)
    assert type(job.preprocess).from_plain(facts["preprocess"]) == job.preprocess
    assert facts["task"] == job.task.model_dump(mode="json")
    assert load_model(fold / "last.safetensors")[1]["step"] == 16
    assert model(torch.zeros(1, 3, 20, 20)).shape == (1, 1, 20, 20)


def test_a_finished_fold_returns_at_once(fold, make_job, monkeypatch):
    job = make_job(epochs=1)
    before = train(job, fold)
    monkeypatch.setattr(making, "build_model", pytest.fail)
    told = discs.Told()
    assert train(job, fold, reporter=told) == before
    assert told.started == []


@pytest.mark.parametrize(
    ("looks", "settings"),
    [  # stops fall between steps, and into validations, which look four times
        (5, {"save_every": 2}),
        (9, {"save_every": 2}),
        (6, {"ema": None, "accumulate": 2, "batch_size": 2, "channels_last": False, "clip": None}),
        (6, {"precision": "bf16", "model": FPN}),
    ],
    ids=["often", "seldom", "accumulate", "bf16 and dropout"],
)
def test_a_training_stopped_again_and_again_ends_as_if_undisturbed(tmp_path, make_job, looks, settings):
    job = make_job(epochs=3, **settings)
    wanted = train(job, tmp_path / "twin")
    assert finish(job, tmp_path / "stopped", looks) > 1
    assert discs.results(tmp_path / "stopped") == wanted


def test_workers_change_nothing(tmp_path, make_job):
    wanted = train(make_job(), tmp_path / "alone")
    assert train(make_job(workers=2), tmp_path / "helped") == wanted


def test_speed_settings_may_change_between_stop_and_resume(tmp_path, make_job):
    wanted = train(make_job(), tmp_path / "twin")
    with pytest.raises(Interrupted):
        train(make_job(save_every=1), tmp_path / "stopped", discs.After(1))
    assert train(make_job(workers=1), tmp_path / "stopped") == wanted


def test_stop_says_what_is_saved(fold, make_job):
    with pytest.raises(Interrupted) as caught:
        train(make_job(), fold, discs.After(1))
    assert str(caught.value) == "training stopped after step 2 of 6, saved; run the same command again to go on"
    assert caught.value.exit_code == 143
    assert [path.name for path in (fold / "state").iterdir()] == ["step-00000002.safetensors"]


def test_a_changed_job_does_not_go_on_from_the_old_state(fold, make_job):
    with pytest.raises(Interrupted):
        train(make_job(), fold, discs.After(1))
    with pytest.raises(InputError, match="this state belongs to a training with another recipe, fold or data"):
        train(make_job(optimizer=Optimizer(lr=0.5)), fold)


def test_another_number_of_threads_is_warned_of(fold, make_job, monkeypatch):
    with pytest.raises(Interrupted):
        train(make_job(), fold, discs.After(1))
    monkeypatch.setattr(torch, "get_num_threads", lambda: 2)
    told = discs.Told()
    train(make_job(), fold, reporter=told)
    assert told.warnings == [
        f"{fold}: begun with 1 threads, gone on with 2; weights may differ in the last digits from an undisturbed run"
    ]


def test_a_loss_that_is_no_number_stops_naming_step_and_items_and_keeps_the_state(fold, make_job, monkeypatch):
    real, calls = Loss.__call__, []

    def spoilt(loss, *batch):
        calls.append(1)
        return real(loss, *batch) * (float("nan") if len(calls) == 3 else 1)

    monkeypatch.setattr(Loss, "__call__", spoilt)
    job = make_job(save_every=1)
    with pytest.raises(InputError) as caught:
        train(job, fold)
    said = str(caught.value)
    assert said.startswith(f"{fold}: the loss is nan at step 3, items ")
    assert said.endswith("; the state after step 2 is kept; look at these items, or lower optimizer.lr")
    named = said.split("items ")[1].split(";")[0].split(", ")
    assert len(named) == 4
    assert set(named) <= set(job.train_keys)
    assert sorted(path.name for path in (fold / "state").iterdir()) == [
        "step-00000001.safetensors",
        "step-00000002.safetensors",
    ]
    assert len(log_of(fold)) == 2


@pytest.mark.parametrize(
    "error",
    [
        MemoryError("no"),
        torch.OutOfMemoryError("CUDA out of memory"),
        RuntimeError("[enforce fail] can't allocate memory"),
    ],
)
def test_too_little_memory_proposes_smaller_steps(fold, make_job, monkeypatch, error):
    def fail(*_given):
        raise error

    monkeypatch.setattr(fit_module, "train_step", fail)
    with pytest.raises(MemoryLimitError) as caught:
        train(make_job(), fold)
    assert str(caught.value) == (
        f"{fold}: a step with train.batch_size 4 and train.crop 32 does not fit into memory; lower train.batch_size "
        "(train.accumulate keeps the step as large), train.crop or train.workers"
    )


def test_other_runtime_errors_stay_what_they_are(fold, make_job, monkeypatch):
    def fail(*_given):
        raise RuntimeError("sizes do not match")

    monkeypatch.setattr(fit_module, "train_step", fail)
    with pytest.raises(RuntimeError, match="sizes do not match"):
        train(make_job(), fold)


@pytest.mark.parametrize("workers", [0, 1])
def test_a_damaged_picture_is_named_also_by_a_worker(tmp_path, workers):
    discs.draw(tmp_path / "data")
    broken = tmp_path / "data" / "images" / "k03.png"
    job = discs.job_on(tmp_path / "data", workers=workers)
    broken.write_bytes(broken.read_bytes()[:300])
    with pytest.raises(InputError) as caught:
        train(job, tmp_path / "fold0")
    assert caught.value.where == str(broken)
    assert "\n" not in str(caught.value)
    assert "Traceback" not in str(caught.value)


def test_one_sample_a_step_is_refused_where_batch_norm_cannot_take_it(fold, make_job):
    with pytest.raises(InputError) as caught:
        train(make_job(batch_size=1), fold)
    assert str(caught.value) == (
        f"{fold}: with one sample in each process the batch norm of this model has nothing to average over; use "
        "train.batch_size=2 or more, or another architecture"
    )


def test_one_sample_a_step_trains_where_the_map_is_larger(fold, make_job):
    train(make_job(batch_size=1, crop="whole", epochs=1), fold)
    assert (fold / "done.json").exists()


def test_without_held_out_items_the_last_weights_are_the_best(fold, make_job):
    job = make_job(epochs=1)
    job = type(job)(**{**job.__dict__, "valid_keys": ()})
    train(job, fold)
    best, last = (read_weights(fold / name)[0] for name in ("best.safetensors", "last.safetensors"))
    assert all(torch.equal(tensor, last[name]) for name, tensor in best.items())
    assert json.loads((fold / "done.json").read_text())["best"] is None


def test_validations_are_as_far_apart_as_asked_and_the_last_epoch_has_one(fold, make_job):
    train(make_job(epochs=5, steps_per_epoch=1, validate_every=2), fold)
    rows = history_of(fold)
    assert [bool(row["score"]) for row in rows] == [False, True, False, True, True]


def test_a_frozen_encoder_does_not_move(fold, make_job):
    job = make_job(epochs=1, optimizer=Optimizer(encoder_lr=0), ema=None)
    train(job, fold)
    torch.manual_seed(job.seed)
    first = build_model(job.member.model, 3, 1).state_dict()
    last = read_weights(fold / "last.safetensors")[0]
    moved = {name for name, tensor in last.items() if not torch.equal(tensor, first[name])}
    assert moved
    assert not any(name.startswith("network.encoder.") for name in moved)


def test_accumulated_batches_are_one_large_batch_where_every_pixel_counts(tmp_path, make_job):
    # group norm instead of batch norm, cross entropy instead of Dice: sums over batches are then means of means
    model = Model(architecture="fpn", encoder="tu-convnext_atto", options={"decoder_dropout": 0.0})
    settings = {"model": model, "augment": (), "crop": "whole", "ema": None, "epochs": 1, "loss": {"bce": 1.0}}
    train(make_job(batch_size=4, **settings), tmp_path / "large")
    train(make_job(batch_size=2, accumulate=2, **settings), tmp_path / "small")
    large, small = log_of(tmp_path / "large"), log_of(tmp_path / "small")
    assert [line["items"] for line in large] == [line["items"] for line in small]
    assert [line["loss"] for line in large] == pytest.approx([line["loss"] for line in small], rel=1e-3)
    assert [line["norm"] for line in large] == pytest.approx([line["norm"] for line in small], rel=1e-2)


def test_steps_before_a_stop_are_not_counted_again(fold, make_job):
    with pytest.raises(Interrupted):
        train(make_job(), fold, discs.After(1))
    told = discs.Told()
    train(make_job(), fold, reporter=told)
    assert told.started == [("training a/fold0", 6, 2)]
    assert told.advanced == 4
