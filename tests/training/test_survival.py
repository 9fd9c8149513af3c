import csv
import json
import os
import subprocess
import sys
from pathlib import Path

import discs
import pytest
import torch

from maskwright.models.weights import read_weights

NURSERY = Path(__file__).with_name("nursery.py")


def run_nursery(action, pictures, out):
    done = subprocess.run(
        [sys.executable, str(NURSERY), action, str(pictures), str(out)],
        env={**os.environ, "OMP_NUM_THREADS": "1"},
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout.splitlines()[-1]), done.stderr


@pytest.mark.slow
def test_killed_at_random_moments_the_files_end_bit_for_bit_as_if_undisturbed(tmp_path, pictures):
    told, _ = run_nursery("kill", pictures, tmp_path)
    assert (told["twin"], told["end"]) == (0, 0)
    assert told["killed"] >= 5
    assert told["in a write"] >= 3
    assert all(code == 143 and seconds < 20 for code, seconds in told["terminated"])
    assert told["equal"]
    assert told["left"] == []


@pytest.mark.slow
def test_what_is_drawn_by_errors_survives_kills_and_is_the_same_for_two_processes(tmp_path, pictures):
    told, _ = run_nursery("hard", pictures, tmp_path)
    assert (told["twin"], told["end"], told["one"], told["two"]) == (0, 0, 0, [0, 0])
    assert told["killed"] >= 3
    assert told["equal"]

    def items_of(name):
        return [json.loads(line)["items"] for line in (tmp_path / name / "log.jsonl").read_text().splitlines()]

    assert items_of("one") == items_of("two")
    assert told["stopped"] in ([143, 143], [0, 0])
    assert told["resumed"] == [0, 0]
    assert discs.results(tmp_path / "stopped") == discs.results(tmp_path / "two")


@pytest.mark.slow
def test_two_processes_train_as_one(tmp_path, pictures):
    told, said = run_nursery("together", pictures, tmp_path)
    assert told["layer norm"] == told["batch norm"] == told["still"] == [0, 0, 0]

    def log_of(name, kind):
        return [json.loads(line) for line in (tmp_path / kind / name / "log.jsonl").read_text().splitlines()]

    def scores(name, kind):
        rows = csv.DictReader((tmp_path / kind / name / "history.csv").read_text().splitlines())
        return [float(row["score"]) for row in rows]

    for kind in ("layer norm", "batch norm"):
        one, two = log_of("one", kind), log_of("two", kind)
        assert [line["items"] for line in one] == [line["items"] for line in two]
        assert [line["lr"] for line in one] == [line["lr"] for line in two]
    one, two = log_of("one", "layer norm"), log_of("two", "layer norm")
    assert one[0]["loss"] == pytest.approx(two[0]["loss"], rel=1e-6)
    assert one[0]["norm"] == pytest.approx(two[0]["norm"], rel=1e-5)
    assert [line["loss"] for line in one] == pytest.approx([line["loss"] for line in two], rel=1e-3)
    assert scores("one", "layer norm") == pytest.approx(scores("two", "layer norm"), abs=0.02)
    assert scores("one", "still") == pytest.approx(scores("two", "still"), abs=1e-6)  # the same weights
    assert scores("one", "still")[0] > 0

    # whoever is asked to stop, all stop; and all go on from the same state
    assert told["stopped"] in ([143, 143], [0, 0])
    assert told["resumed"] == [0, 0]
    assert discs.results(tmp_path / "batch norm" / "stopped") == discs.results(tmp_path / "batch norm" / "two")

    assert told["uneven"] == [2, 2]
    assert "train.batch_size 5 does not divide by 2 processes; use train.batch_size=4, or another number" in said


@pytest.mark.slow
def test_two_processes_with_everything_that_has_a_state_survive_a_stop_and_a_kill(tmp_path, pictures):
    told, said = run_nursery("keeping", pictures, tmp_path)
    assert told["twin"] == told["resumed"] == told["early"] == [0, 0], said
    assert told["stopped"] in ([143, 143], [0, 0])
    assert told["killed"] == [-9, -9]
    for inside in (".", "candidates"):
        assert discs.results(tmp_path / "stopped" / inside) == discs.results(tmp_path / "twin" / inside)
    done = json.loads((tmp_path / "twin" / "done.json").read_text())
    assert done["swa"]["taken"] == 3
    assert len(done["others"]) == 1
    rates = [json.loads(line)["lr"] for line in (tmp_path / "twin" / "log.jsonl").read_text().splitlines()]
    assert rates == pytest.approx([1e-3] * 4 + [5e-4] * 2)
    early = json.loads((tmp_path / "early" / "done.json").read_text())
    assert (early["step"], early["early"]["steps_planned"]) == (2, 5)


@pytest.mark.slow
def test_two_processes_that_divide_the_weights_train_as_with_copies_and_survive_a_stop_and_a_kill(tmp_path, pictures):
    told, said = run_nursery("divided", pictures, tmp_path)
    assert told["pieces"] == told["copies"] == told["twin"] == told["resumed"] == [0, 0], said
    assert told["alone"] == 0
    assert told["stopped"] in ([143, 143], [0, 0])
    assert told["killed"] == [-9, -9]
    for inside in (".", "candidates"):
        assert discs.results(tmp_path / "stopped" / inside) == discs.results(tmp_path / "twin" / inside)

    def log_of(kind, what):
        return [json.loads(line)[what] for line in (tmp_path / kind / "log.jsonl").read_text().splitlines()]

    assert log_of("pieces", "norm") == pytest.approx(log_of("copies", "norm"), rel=1e-4)
    for name in ("last", "best"):
        pieces, copies = (read_weights(tmp_path / kind / f"{name}.safetensors")[0] for kind in ("pieces", "copies"))
        assert pieces.keys() == copies.keys()
        for key, tensor in pieces.items():
            torch.testing.assert_close(tensor, copies[key], rtol=1e-4, atol=1e-6)
