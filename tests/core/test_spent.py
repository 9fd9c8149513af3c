import json
import subprocess
import sys

import pytest

from maskwright.core.errors import InputError
from maskwright.core.files import write_json
from maskwright.core.spent import LEAST, add_line, read_lines, spending

ALONE = """
from maskwright.core.spent import peak_memory, reset_peak
reset_peak()
before = peak_memory()
held = bytearray(b"\\1") * (96 << 20)
assert peak_memory() >= before + 90, (before, peak_memory())
del held
reset_peak()
assert peak_memory() < before + 90, (before, peak_memory())
"""


def test_the_peak_is_at_least_what_was_held_and_is_forgotten():
    # In a process of its own: what other tests left behind may be given back at any moment.
    subprocess.run([sys.executable, "-c", ALONE], check=True)


def test_a_stage_adds_a_line_only_to_a_run_that_was_begun(tmp_path, monkeypatch):
    monkeypatch.setattr("maskwright.core.spent.LEAST", 0.0)
    path = tmp_path / "timing.jsonl"
    with spending(path, "split"):
        pass
    assert not path.exists()
    manifest = tmp_path / "manifest.json"
    with spending(path, "inspect"):
        manifest.write_text("{}")
    with spending(path, "split"):
        write_json(manifest, {"split": 1})
    with spending(path, "nothing to do"):
        pass
    with pytest.raises(ZeroDivisionError), spending(path, "train"):
        raise ZeroDivisionError
    assert [(line["stage"], line["seconds"] >= 0, line["peak_mb"] > 1) for line in read_lines(path)] == [
        ("inspect", True, True),
        ("split", True, True),
        ("train", True, True),
    ]


def test_a_stage_without_work_leaves_no_line(tmp_path):
    assert LEAST > 0
    with spending(tmp_path / "timing.jsonl", "split"):
        (tmp_path / "manifest.json").write_text("{}")
    assert read_lines(tmp_path / "timing.jsonl") == []


def test_a_line_cut_short_by_a_kill_is_passed_over_and_spoils_no_other(tmp_path):
    path = tmp_path / "timing.jsonl"
    add_line(path, {"a": 1})
    with path.open("ab") as stream:
        stream.write(b'{"b": ')
    add_line(path, {"c": 3})
    assert path.read_text() == '{"a": 1}\n{"b": \n{"c": 3}\n'
    assert read_lines(path) == [{"a": 1}, {"c": 3}]


def test_faults_are_told_in_one_line(tmp_path):
    path = tmp_path / "timing.jsonl"
    path.write_text(json.dumps([1]) + "\n")
    with pytest.raises(InputError) as caught:
        read_lines(path)
    assert str(caught.value) == f"{path}:1: not a line of timings; delete the line"
    with pytest.raises(InputError, match="no such file or folder; check the path"):
        add_line(tmp_path / "absent" / "timing.jsonl", {})
