import os
import pickle
import signal
import subprocess
import sys
import time

import pytest

from maskwright.core.errors import DataError, InputError, Interrupted, LockedError, unknown
from maskwright.core.runs import RunFolder
from maskwright.core.stop import Stop

HOLD = """
import sys, time
from maskwright.core.runs import RunFolder
with RunFolder(sys.argv[1]).lock():
    (RunFolder(sys.argv[1]).root / "held").touch()
    time.sleep(60)
"""


def hold_lock(root):
    child = subprocess.Popen([sys.executable, "-c", HOLD, str(root)])
    while not (root / "held").exists():
        assert child.poll() is None
        time.sleep(0.01)
    return child


def test_a_second_process_is_refused_with_pid_and_a_dead_owner_is_taken_over(tmp_path):
    root = tmp_path / "run"
    child = hold_lock(root)
    try:
        with pytest.raises(LockedError, match=rf"run: in use by process {child.pid} on \S+; wait for it") as caught:
            RunFolder(root).lock().__enter__()
        assert caught.value.exit_code == 3
    finally:
        child.kill()
        child.wait()
    with RunFolder(root).lock():
        pass


def test_a_refused_run_leaves_no_folder(tmp_path):
    run = RunFolder(tmp_path / "runs" / "x")
    with pytest.raises(DataError), run.lock():
        raise DataError(["bad data"])
    assert list(tmp_path.iterdir()) == []


def test_the_manifest_tells_fresh_stale_and_unknown(tmp_path):
    run = RunFolder(tmp_path)
    assert not run.check("split", {"a": 1}).known
    run.begin("split", {"a": 1})
    assert run.check("split", {"a": 1}).known
    assert not run.check("split", {"a": 1}).done
    run.finish("split", {"a": 1})
    assert run.check("split", {"a": 1}).done
    assert run.check("split", {"a": 2}).changes == ("a was 1, now 2",)
    run.forget("split")
    assert not run.check("split", {"a": 1}).known


def test_signals_become_a_request_with_the_promised_exit_code():
    stop = Stop()
    before = signal.getsignal(signal.SIGTERM)
    with stop.listening():
        os.kill(os.getpid(), signal.SIGTERM)
        with pytest.raises(Interrupted) as caught:
            stop.check("step 3 is saved")
    assert caught.value.exit_code == 143
    assert signal.getsignal(signal.SIGTERM) is before


def test_unknown_names_come_with_the_nearest():
    error = unknown("loss", "dicee", ["dice", "bce"], "r.yaml:members.a.loss")
    assert str(error) == "r.yaml:members.a.loss: unknown loss 'dicee' (did you mean 'dice'?); use one of: bce, dice"


def test_errors_survive_the_trip_from_a_worker():
    for error in (InputError("what", where="here", fix="do"), DataError(["a", "b"]), Interrupted(15, "saved")):
        back = pickle.loads(pickle.dumps(error))
        assert str(back) == str(error)
        assert back.exit_code == error.exit_code
