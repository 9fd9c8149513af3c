import errno
import os
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from maskwright.core.errors import InputError, StorageError
from maskwright.core.files import (
    atomic_path,
    inside,
    read_json,
    safe_name,
    sweep_abandoned,
    sweep_partials,
    write_json,
    write_text,
)


@pytest.mark.parametrize(
    "name", ["../x.png", "a/../../x", "/etc/passwd", "C:\\x", "..\\x", "a\0b", "file:///etc/passwd", "http://h/x"]
)
def test_names_that_leave_the_folder_are_refused(tmp_path, name):
    with pytest.raises(InputError) as caught:
        inside(tmp_path, name, "t.csv:2")
    assert str(caught.value) == f"t.csv:2: name {name!r} leaves the data folder; use names below data.root"


@pytest.mark.parametrize("name", ["", " "])
def test_empty_names_are_refused(tmp_path, name):
    with pytest.raises(InputError) as caught:
        inside(tmp_path, name, "t.csv:2")
    assert str(caught.value) == "t.csv:2: a name that is empty; write the name of a file, or take the entry away"


def test_a_link_out_of_the_folder_is_refused(tmp_path):
    root = tmp_path / "root"
    root.mkdir()
    (root / "link").symlink_to(tmp_path)
    with pytest.raises(InputError, match="links out of the data folder"):
        inside(root, "link/x.png", "t.csv:2")


def test_plain_names_stay(tmp_path):
    assert inside(tmp_path, "a/b.png", "t.csv:2") == tmp_path / "a" / "b.png"


@given(st.lists(st.text(min_size=1, max_size=12), unique=True, min_size=2, max_size=6))
def test_file_names_of_keys_are_one_to_one_and_plain(keys):
    names = [safe_name(key) for key in keys]
    assert len(set(names)) == len(keys)
    assert not any("/" in name or "\0" in name or name.startswith(".") for name in names)


def test_a_failed_write_leaves_the_old_file(tmp_path):
    path = tmp_path / "x.json"
    write_json(path, {"a": 1})

    def write_half():
        with atomic_path(path) as temporary:
            temporary.write_text("half")
            raise RuntimeError("in the middle")

    with pytest.raises(RuntimeError, match="in the middle"):
        write_half()
    assert read_json(path) == {"a": 1}
    assert [entry.name for entry in tmp_path.iterdir()] == ["x.json"]


def test_a_full_disk_is_exit_4_and_names_the_path(tmp_path):
    path = tmp_path / "x.txt"
    with pytest.raises(StorageError) as caught, atomic_path(path):
        raise OSError(errno.ENOSPC, "No space left on device")
    assert caught.value.exit_code == 4
    assert str(caught.value) == f"{path}: No space left on device; free some space and run again"


def test_a_check_that_fails_keeps_the_old_file(tmp_path):
    path = tmp_path / "x.txt"
    write_text(path, "old")

    def verify(_: Path) -> None:
        raise InputError("not whole")

    with pytest.raises(InputError, match="not whole"), atomic_path(path, verify) as temporary:
        temporary.write_text("new")
    assert path.read_text() == "old"


def test_partial_files_of_a_killed_process_are_swept(tmp_path):
    (tmp_path / "a").mkdir()
    left = tmp_path / "a" / ".x.json.123.partial"
    left.write_text("half")
    sweep_partials(tmp_path)
    assert not left.exists()


def test_what_killed_processes_left_beside_a_file_is_swept_once_it_is_old(tmp_path):
    gone = 2**22 + 1  # above every process number
    left = [tmp_path / f".v[1].csv.{number}.partial" for number in (gone, os.getpid())]
    young, other = tmp_path / f".v[1].csv.{gone + 1}.partial", tmp_path / f".w.csv.{gone}.partial"
    for path in (*left, young, other):
        path.touch()
    for path in (*left, other):
        os.utime(path, (0, 0))
    sweep_abandoned(tmp_path / "v[1].csv")
    assert sorted(tmp_path.iterdir()) == sorted([left[1], young, other])
