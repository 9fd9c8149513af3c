"""kill -9 and SIGTERM at any moment of a whole run; the finished run equals an undisturbed one, byte for byte."""

import hashlib
import os
import random
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

REPRODUCIBLE = (".safetensors", ".png", ".csv")
"""Endings of files that must be equal; JSON and HTML carry times."""

ENVIRONMENT = {**os.environ, "OMP_NUM_THREADS": "1", "PYTHONHASHSEED": "0"}

SLOW_SYNC = """
import os, sys, time
real = os.fsync
def slow(handle):
    time.sleep(0.15)
    real(handle)
os.fsync = slow
sys.argv[0] = "maskwright"
from maskwright.cli.app import main
main()
"""
"""Half of a slowed run is spent inside atomic writes, so that a random kill often falls into one."""


def start(recipe: Path, out: Path, *, slow: bool = False, **environment: str) -> subprocess.Popen:
    command = [sys.executable, *(["-c", SLOW_SYNC] if slow else ["-m", "maskwright"]), "run", str(recipe)]
    return subprocess.Popen(
        [*command, "--out", str(out)],
        cwd=recipe.parent,
        env={**ENVIRONMENT, **environment},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )


def finish(child: subprocess.Popen) -> str:
    said, _ = child.communicate(timeout=300)
    assert child.returncode == 0, said
    return said


def results(folder: Path) -> dict[str, str]:
    return {
        str(path.relative_to(folder)): hashlib.sha256(path.read_bytes()).hexdigest()
        for path in sorted(folder.rglob("*"))
        if path.suffix in REPRODUCIBLE and "state" not in path.parts
    }


def await_first_state(out: Path, child: subprocess.Popen) -> None:
    while not list(out.glob("members/*/*/state/*")):
        if child.poll() is not None:
            return
        time.sleep(0.02)


@pytest.fixture
def long_recipe(folder_set, write_recipe):
    folder_set["members"]["a"]["train"].update(epochs=4, save_every=2)
    return write_recipe(folder_set)


@pytest.mark.slow
def test_killed_runs_end_as_if_undisturbed(tmp_path, long_recipe):
    finish(start(long_recipe, tmp_path / "twin"))
    wanted = results(tmp_path / "twin")
    assert any("weights" in name or "last" in name for name in wanted)
    other = tmp_path / "elsewhere"
    other.mkdir()
    out, rng = tmp_path / "killed", random.Random(4)
    for turn in range(4):
        child = start(long_recipe, out, slow=turn % 2 == 0, TMPDIR=str(other))
        await_first_state(out, child)
        time.sleep(rng.uniform(0.0, 1.5))
        child.kill()
        child.communicate(timeout=60)
    finish(start(long_recipe, out))
    assert results(out) == wanted
    assert not list(out.rglob("*.partial"))


@pytest.mark.slow
def test_sigterm_ends_with_143_in_time_and_resumes(tmp_path, long_recipe):
    out = tmp_path / "stopped"
    child = start(long_recipe, out)
    await_first_state(out, child)
    child.send_signal(signal.SIGTERM)
    asked = time.monotonic()
    said, _ = child.communicate(timeout=60)
    assert time.monotonic() - asked < 20
    assert child.returncode == 143, said
    assert said.splitlines()[-1].startswith("stopped: ")
    assert "run the same command again" in said
    finish(start(long_recipe, out))
    finish(start(long_recipe, tmp_path / "twin"))
    assert results(out) == results(tmp_path / "twin")


@pytest.mark.slow
def test_a_second_run_says_that_nothing_is_left_to_do(tmp_path, long_recipe):
    out = tmp_path / "again"
    finish(start(long_recipe, out))
    before = {path: path.stat().st_mtime_ns for path in out.rglob("*.safetensors")}
    said = finish(start(long_recipe, out))
    assert "train a fold 0: nothing to do" in said
    assert "predict a: nothing to do" in said
    assert before == {path: path.stat().st_mtime_ns for path in out.rglob("*.safetensors")}
