"""Errors of items: what is measured, exact sums, and draws that follow from them, whatever happened on the way."""

import json

import discs
import numpy as np
import pytest
import torch
from torch.nn import functional

from maskwright.core.errors import InputError, Interrupted
from maskwright.core.labels import Task
from maskwright.core.recipe.members import Sampling
from maskwright.data.sampling import Lots, order
from maskwright.training.fit import fit_fold
from maskwright.training.mining import UNIT, Ledger, item_errors
from maskwright.training.plan import Deal, digest_of_keys, make_plan

HARD = Sampling(windows="hard", p=0.8)


class Two:
    """Stands for a cluster whose other process saw the same."""

    def total(self, counts):
        return counts * 2


class Alone:
    def total(self, counts):
        return counts


@pytest.mark.parametrize("kind", ["binary", "multiclass", "multilabel"])
def test_errors_are_mean_cross_entropies_of_valid_pixels(kind):
    task = Task(kind=kind, classes=("a",) if kind == "binary" else ("a", "b", "c"))
    generator = torch.Generator().manual_seed(0)
    logits = torch.randn(3, task.planes, 5, 4, generator=generator)
    shape = (3, 3, 5, 4) if kind == "multilabel" else (3, 5, 4)
    label = torch.randint(0, 3 if kind == "multiclass" else 2, shape, generator=generator)
    valid = torch.rand(3, 5, 4, generator=generator) < 0.7
    valid[2] = False
    found = item_errors(logits.bfloat16(), label, valid, task)
    assert found.dtype == torch.float32
    for sample in range(2):
        there = valid[sample]
        rows = logits.bfloat16().float()[sample][:, there].T
        if kind == "multiclass":
            wanted = functional.cross_entropy(rows, label[sample][there])
        else:
            planes = label[sample][None] if kind == "binary" else label[sample]
            wanted = functional.binary_cross_entropy_with_logits(rows, planes[:, there].T.float())
        assert float(found[sample]) == pytest.approx(float(wanted), rel=1e-5)
    assert found[2].isnan()


def test_sums_are_the_same_in_any_order_and_over_any_number_of_states():
    rng = np.random.default_rng(0)
    seen = [(rng.integers(0, 5, 8), rng.exponential(1, 8).astype(np.float32)) for _ in range(30)]
    one, two = Ledger(5), Ledger(5)
    for items, errors in seen:
        one.add(items, errors)
    for place, (items, errors) in enumerate(reversed(seen)):
        two.add(items[::-1], errors[::-1])
        if place % 4 == 0:
            two.gather(Alone())
            again = Ledger(5)
            again.load_state_dict({name: tensor.clone() for name, tensor in two.state_dict().items()})
            two = again
    for ledger in (one, two):
        ledger.gather(Alone())
        ledger.after_epoch(1)
    assert one.last.tobytes() == two.last.tobytes()
    means = [np.mean(np.concatenate([errors[items == item] for items, errors in seen])) for item in range(5)]
    assert one.last == pytest.approx(means, abs=1 / UNIT)


def test_items_that_were_not_drawn_keep_their_last_error():
    ledger = Ledger(3)
    ledger.add(np.array([0, 1]), np.array([1.0, np.nan], np.float32))
    ledger.gather(Two())
    ledger.after_epoch(1)
    assert ledger.last[0] == 1.0
    assert np.isnan(ledger.last[1:]).all()
    ledger.add(np.array([1, 1]), np.array([0.5, 1e30], np.float32))
    ledger.gather(Alone())
    ledger.after_epoch(1)
    assert ledger.last[:2].tolist() == [1.0, 500.25]


def train(job, folder, stop=None):
    fit_fold(job, folder, discs.Told(), stop or discs.Never())
    return discs.results(folder)


def drawn_items(folder):
    return [json.loads(line)["items"] for line in (folder / "log.jsonl").read_text().splitlines()]


def test_hard_items_are_drawn_alike_with_workers_and_after_stops(tmp_path, make_job):
    settings = {"sampling": HARD, "epochs": 4, "steps_per_epoch": 3, "batch_size": 2, "save_every": 2}
    job = make_job(**settings)
    wanted = train(job, tmp_path / "twin")
    assert train(make_job(**{**settings, "workers": 1, "save_every": 1}), tmp_path / "helped") == wanted
    for looks in (1, 6, 9):  # in an epoch, in a validation, at an epoch's end
        with pytest.raises(Interrupted):
            train(job, tmp_path / "stopped", discs.After(looks))
    assert train(job, tmp_path / "stopped") == wanted

    plan, found = make_plan(job.member.train, 8, job.seed), drawn_items(tmp_path / "twin")
    uniform = Lots(job.seed, 8, plan.draws)
    digests = [
        digest_of_keys([job.train_keys[item] for item in plan.items_of(step, uniform)]) for step in range(plan.total)
    ]
    assert found[:3] == digests[:3]  # nothing is known yet
    assert found[3:] != digests[3:]


def test_weights_and_classes_reach_the_draws_and_the_digest(tmp_path, make_job):
    weights = (1.0, 0.0, 2.0, 0.0, 1.0, 0.0, 1.0, 1.0)
    job = make_job(weights=weights, sampling=Sampling(windows="balanced", classes=("disc",)), steps_per_epoch=20)
    lots = job.lots(80)
    items = np.concatenate([lots.items(epoch, 0, 80) for epoch in range(30)])
    shares = np.bincount(items, minlength=8) / len(items)
    assert (shares[[1, 3, 5]] == 0).all()
    # half by weight in laps, half by lot among items with a disc, by weight too
    assert shares[[0, 2, 4, 6, 7]] == pytest.approx(np.array([1, 2, 1, 1, 1]) / 6, abs=0.03)
    assert make_job(weights=weights).digest != make_job().digest
    assert make_job(sampling=HARD).digest != make_job().digest
    train(make_job(weights=weights, sampling=Sampling(windows="balanced"), epochs=1), tmp_path / "fold0")
    train(make_job(sampling=Sampling(windows="objects", max_class_share=0.7), epochs=1), tmp_path / "fold1")
    assert order(0, 0, 8, 8).tolist() != items[:8].tolist()


def test_a_loader_may_end_before_the_training(make_job):
    plan = make_plan(make_job().member.train, 8, 0)
    whole = list(Deal(plan, 0, 0, 1))
    parts = [list(Deal(plan, first, 0, 1, plan.epoch_end(first))) for first in (0, 3)]
    assert parts[0] + parts[1] == whole
    assert len(Deal(plan, 1, 0, 1, 3)) == 2


def test_results_of_another_training_are_not_taken_for_this_one(tmp_path, make_job):
    fold = tmp_path / "members" / "a" / "fold0"
    before = train(make_job(epochs=1), fold)
    message = (
        f"{fold}: holds the results of a training with another recipe, fold or data; move it away, or train again: "
        "maskwright train --redo"
    )
    with pytest.raises(InputError) as caught:
        train(make_job(epochs=2), fold)
    assert str(caught.value) == message
    done = json.loads((fold / "done.json").read_text())
    (fold / "done.json").write_text(json.dumps({name: value for name, value in done.items() if name != "job"}))
    with pytest.raises(InputError) as caught:
        train(make_job(epochs=1), fold)
    assert str(caught.value) == message
    (fold / "done.json").write_text(json.dumps(done, indent=1) + "\n")
    assert train(make_job(epochs=1), fold) == before


def test_the_history_tells_the_loss_on_held_out_windows(tmp_path, make_job):
    train(make_job(epochs=4, steps_per_epoch=2, validate_every=2), tmp_path / "fold0")
    rows = [line.split(",") for line in (tmp_path / "fold0" / "history.csv").read_text().splitlines()]
    place = rows[0].index("valid_loss")
    assert [bool(row[place]) for row in rows[1:]] == [False, True, False, True]
    assert all(0 < float(row[place]) < 10 for row in rows[1:] if row[place])
