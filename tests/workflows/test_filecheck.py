"""Data that change are noticed by content, whatever their size and time; equal bytes change nothing."""

import os
import time
from dataclasses import dataclass
from pathlib import Path

import pytest

from maskwright.core.errors import InputError
from maskwright.data.audit import digests
from maskwright.data.sources.base import Defaults
from maskwright.workflows.filecheck import FileCheck

OLD = time.time_ns() - 3_600_000_000_000


@dataclass(frozen=True)
class Files(Defaults):
    """Two items with one table of labels."""

    root: Path
    keys: tuple[str, ...] = ("a", "b")
    labelled: bool = True
    notes: tuple[str, ...] = ()

    def image_path(self, key):
        return self.root / f"{key}.png"

    def label_path(self, key):
        return self.root / "labels.csv"

    def label_paths(self, key):
        return (self.label_path(key),)

    def read_label(self, key, shape, task):
        raise AssertionError


@pytest.fixture
def files(tmp_path):
    root = tmp_path / "data"
    root.mkdir()
    for name in ("a.png", "b.png", "labels.csv"):
        write(root / name, name.encode() * 100)
    return Files(root)


def write(path: Path, data: bytes, when: int = OLD) -> None:
    path.write_bytes(data)
    os.utime(path, ns=(when, when))


def seen(source: Files, memory: Path) -> str:
    check = FileCheck(memory, source.root)
    found = check.of(source)
    check.keep()
    return found


def counted(monkeypatch) -> list[str]:
    read: list[str] = []
    whole = digests.of_file
    monkeypatch.setattr(digests, "of_file", lambda path: read.append(path.name) or whole(path))
    return read


def test_nothing_is_read_twice_while_size_and_time_stay(files, tmp_path, monkeypatch):
    memory = tmp_path / "files.json"
    first, read = seen(files, memory), counted(monkeypatch)
    assert seen(files, memory) == first
    assert read == []


@pytest.mark.parametrize("name", ["a.png", "labels.csv"])
def test_an_edit_that_keeps_the_size_is_noticed(files, tmp_path, name):
    memory = tmp_path / "files.json"
    first = seen(files, memory)
    data = bytearray((files.root / name).read_bytes())
    data[7] ^= 1
    write(files.root / name, bytes(data), OLD + 1)
    assert seen(files, memory) != first


def test_touched_and_copied_files_are_the_same_data(files, tmp_path, monkeypatch):
    memory = tmp_path / "files.json"
    first, read = seen(files, memory), counted(monkeypatch)
    os.utime(files.root / "a.png", ns=(OLD + 5, OLD + 5))
    assert seen(files, memory) == first
    assert read == ["a.png"]
    moved = files.root.rename(tmp_path / "elsewhere")
    assert seen(Files(moved), memory) == first
    assert read == ["a.png"]
    assert FileCheck(tmp_path / "none.json", moved).of(Files(moved)) == first


def test_a_file_written_just_now_is_read_again_next_time(files, tmp_path):
    memory = tmp_path / "files.json"
    now = time.time_ns()
    write(files.root / "a.png", b"x" * 500, now)
    first = seen(files, memory)
    write(files.root / "a.png", b"y" * 500, now)  # within the tick of the clock: same size, same time
    assert seen(files, memory) != first


def test_a_damaged_memory_costs_only_time(files, tmp_path):
    memory = tmp_path / "files.json"
    first = seen(files, memory)
    for text in ("", "[]", '{"version": 0, "files": {"a.png": [1, 2, "3"]}}', '{"version": 1, "files": {"a.png": 3}}'):
        memory.write_text(text)
        assert seen(files, memory) == first


def test_a_lost_file_is_said(files, tmp_path):
    (files.root / "b.png").unlink()
    with pytest.raises(InputError) as caught:
        seen(files, tmp_path / "files.json")
    assert str(caught.value) == f"{files.root}/b.png: no such file or folder; check the path"


def test_one_more_file_is_remembered_under_its_own_name(files, tmp_path, monkeypatch):
    memory, weights = tmp_path / "files.json", tmp_path / "w.safetensors"
    write(weights, b"abc")
    check = FileCheck(memory, files.root)
    first = check.of_one(weights, "weights of a")
    check.keep()
    read = counted(monkeypatch)
    assert FileCheck(memory, files.root).of_one(weights, "weights of a") == first
    assert read == []
    write(weights, b"abd", OLD + 9)
    assert FileCheck(memory, files.root).of_one(weights, "weights of a") != first


def test_digests_tell_bytes_shapes_and_dtypes_apart(tmp_path):
    import numpy as np

    plain = np.arange(100, dtype=np.uint8)
    others = [plain.reshape(10, 10), plain.view(np.int8), plain[:99], np.roll(plain, 1), plain[::-1].copy()]
    assert len({digests.of_arrays(array) for array in [plain, *others]}) == 6
    assert digests.of_arrays(plain.reshape(10, 10).T) == digests.of_arrays(plain.reshape(10, 10).T.copy())
    swapped = plain.copy()
    swapped[[0, 32]] = swapped[[32, 0]]  # the same lane, another place
    assert digests.of_arrays(swapped) != digests.of_arrays(plain)
    one = tmp_path / "x"
    one.write_bytes(plain.tobytes() * 60_000)
    assert digests.of_file(one) == digests.of_file(one)
    assert (digests.tally(plain.reshape(10, 10)) == (np.arange(256) < 100)).all()


def test_what_else_is_known_of_an_item_counts(files, tmp_path):
    @dataclass(frozen=True)
    class Grouped(Files):
        patient: str = "p1"

        def attributes(self, key):
            return {"patient": self.patient}

    before = seen(Grouped(files.root), tmp_path / "files.json")
    assert seen(Grouped(files.root), tmp_path / "files.json") == before
    assert seen(Grouped(files.root, patient="p2"), tmp_path / "files.json") != before
