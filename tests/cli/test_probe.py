"""probe: what is tried, what is proposed, and one real measurement in a process of its own."""

import copy
import json
import os
import signal
import time

import pytest

from maskwright.core.errors import InputError, Interrupted, MemoryLimitError
from maskwright.core.progress import Silent
from maskwright.workflows import probe as verb
from maskwright.workflows.probe import probe, table
from maskwright.workflows.session import open_session
from maskwright.workflows.trial import Trial, run_trial

GIB = 1 << 30


def machine(gib=4.0, rate=lambda batch: batch / (1 + 0.1 * batch)):
    """A machine on which a pixel of 32 x 32 windows costs a fixed amount of memory."""

    def run(function, spec):
        peak = int(GIB * (1 + 0.2 * spec.batch * spec.shape[0] * spec.shape[1] / 1024))
        if peak > gib * GIB:
            return Trial(why="out of memory", full=True)
        return Trial(spec.batch / rate(spec.batch), peak, int(gib * GIB), "a test")

    return run


@pytest.fixture
def opened(folder_set, write_recipe, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(verb, "_reads", lambda session, member, bands: 1000.0)

    def call(**train):
        plain = copy.deepcopy(folder_set)
        plain["members"]["a"]["train"] |= train
        return open_session(str(write_recipe(plain)), [], Silent())

    return call


def test_the_fastest_batch_that_fits_is_proposed_and_the_effective_batch_stays(opened):
    (told,) = probe(opened(batch_size=16, accumulate=2), run=machine())
    assert [(cell.shape, cell.batch) for cell in told.train] == [((32, 32), batch) for batch in (1, 2, 4, 8)]
    assert "32 x 32, batch 16 and more: not tried, about 4.2 GiB" in told.notes
    assert told.proposal == {
        "members.a.train.batch_size": 8,
        "members.a.train.accumulate": 4,
        "members.a.train.crop": 32,
        "members.a.train.workers": 0,
        "members.a.predict.batch_size": 8,
    }
    assert told.notes[0] == "largest batch that fits at 32 x 32 with a margin of 10 %: 8"
    lines = table(told)
    assert lines[0] == "a on a test, 4.0 GiB"
    assert lines[-1].startswith("proposed: members.a.train.batch_size=8 members.a.train.accumulate=4 ")


def test_where_the_recipes_crop_does_not_fit_the_largest_that_does_is_proposed(opened):
    (told,) = probe(opened(batch_size=4, crop=128), run=machine(gib=2.5), crops=[128, 64, 32])
    assert told.proposal["members.a.train.crop"] == 64
    assert told.proposal["members.a.train.batch_size"] * told.proposal["members.a.train.accumulate"] == 4


def test_a_series_ends_when_larger_batches_are_slower(opened):
    (told,) = probe(opened(batch_size=2), run=machine(gib=1000, rate=lambda batch: 10 / batch))
    assert [cell.batch for cell in told.train] == [1, 2, 4]
    assert told.proposal["members.a.train.batch_size"] == 1
    assert told.proposal["members.a.train.accumulate"] == 2


def test_time_that_is_over_is_said(opened):
    (told,) = probe(opened(), run=machine(), minutes=-1)
    assert told.train == []
    assert "32 x 32, batch 1 and more: not measured, the time was over; give more --minutes" in told.notes
    assert told.notes[-1] == "no training step fits; take a smaller model, or crop"


def test_a_signal_that_ends_the_measurement_too_is_a_stop_and_no_bug(opened):
    session = opened()

    def ended(function, spec):
        session.stop.signal_number = 2
        raise RuntimeError("a measurement ended with exit code 255")

    with pytest.raises(Interrupted) as caught:
        probe(session, run=ended)
    assert caught.value.exit_code == 130


def fast(_spec):
    return 0.25


def full(_spec):
    raise MemoryLimitError("no room")


def killed(_spec):
    os.kill(os.getpid(), signal.SIGKILL)


def terminated(_spec):
    os.kill(os.getpid(), signal.SIGTERM)


def interrupted(_spec):
    os.kill(os.getpid(), signal.SIGINT)


def without_server(_spec):
    os.kill(os.getppid(), signal.SIGTERM)
    os._exit(0)


def after_the_end(patience):
    """Measure again as soon as the server that was sent a signal is gone, which takes it a moment."""
    until = time.monotonic() + patience
    while True:
        try:
            return run_trial(fast, None)
        except Interrupted:
            if time.monotonic() > until:
                raise
            time.sleep(0.05)


def odd(_spec):
    raise InputError("needs two samples")


def test_a_measurement_that_a_signal_ended_is_a_stop_although_ours_has_not_come_yet(opened, monkeypatch):
    monkeypatch.setattr(verb, "PATIENCE_S", 0.0)

    def ended(function, spec):
        raise Interrupted(15, "a measurement was ended by a signal; nothing was written")

    with pytest.raises(Interrupted) as caught:
        probe(opened(), run=ended)
    assert caught.value.exit_code == 143


@pytest.mark.slow
def test_a_measurement_that_is_ended_from_outside_is_told_as_what_it_is():
    assert run_trial(killed, None) == Trial(why="ended by the system, most likely for its memory", full=True)
    for function, code in {interrupted: 130, terminated: 143, without_server: 143}.items():
        with pytest.raises(Interrupted) as caught:
            run_trial(function, None)
        assert caught.value.exit_code == code
        assert str(caught.value).startswith("a measurement was ended by a signal; nothing was written")
    assert after_the_end(30.0).seconds == 0.25  # a new server is there


@pytest.mark.slow
def test_a_measurement_has_a_process_of_its_own_and_the_command_prints_what_came_of_it(cli, folder_set, write_recipe):
    done = run_trial(fast, None)
    assert (done.seconds, done.device, done.full) == (0.25, "cpu", False)
    assert 0 < done.peak < done.room
    assert (run_trial(full, None).full, run_trial(odd, None).why) == (True, "needs two samples")
    code, out, err = cli(
        "probe", write_recipe(folder_set), "--member", "a", "--minutes", "0.1", "--crop", "32", "--json"
    )
    assert code == 0, err
    (told,) = json.loads(out)
    assert told["train"][0]["shape"] == [32, 32]
    assert max(cell["peak"] for cell in told["train"]) > 10**8
    assert set(told["proposal"]) >= {"members.a.train.batch_size", "members.a.train.accumulate"}
