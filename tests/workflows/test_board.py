"""Trials shared by processes: exactly as many as asked for, kills or not, on SQLite and PostgreSQL."""

import os
import re
import shutil
import signal
import subprocess
import sys
import tempfile
from pathlib import Path

import pytest

pytest.importorskip("optuna", reason="search needs Optuna (extra search)")

from board_worker import KEY, open_board

from maskwright.core.errors import InputError, StorageError
from maskwright.core.stop import Stop
from maskwright.workflows.tuning.place import Place, check_url, shown_url

WORKER = Path(__file__).with_name("board_worker.py")


def program(name, folders=("usr/lib/postgresql/*/bin", "usr/pgsql-*/bin")):
    """Return a program of a PostgreSQL server: of the PATH, or the newest of those that distributions keep apart."""
    known = shutil.which(name)
    if known is not None:
        return known
    apart = [path for folder in folders for path in Path("/").glob(f"{folder}/{name}") if os.access(path, os.X_OK)]
    return max(map(str, apart), key=lambda path: [int(part) for part in re.findall(r"\d+", path)], default=None)


@pytest.fixture(scope="session")
def server():
    """A PostgreSQL server of our own on a socket; its address, or skip."""
    found = program("initdb"), program("pg_ctl")
    if None in found:
        pytest.skip("no PostgreSQL server is installed here: no initdb in PATH or where distributions keep it")
    pytest.importorskip("psycopg", reason="needs psycopg (extra postgresql)")
    home = Path(tempfile.mkdtemp(prefix="mw"))
    user = {}
    if os.geteuid() == 0:  # it does not run as root
        try:
            shutil.chown(home, "postgres")
        except (LookupError, OSError) as error:
            home.rmdir()
            pytest.skip(f"PostgreSQL does not run as root, and it cannot be run as user postgres: {error}")
        user = {"user": "postgres"}
    data = home / "data"
    quiet = {"stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL, "cwd": home, **user}
    subprocess.run([found[0], "-D", data, "-U", "trials", "-A", "trust", "--no-sync"], check=True, **quiet)
    options = f"-c listen_addresses= -c unix_socket_directories={home} -c fsync=off"
    subprocess.run([found[1], "-D", data, "-w", "-o", options, "start"], check=True, **quiet)
    try:
        yield f"postgresql://trials@/postgres?host={home}"
    finally:
        subprocess.run([found[1], "-D", data, "-m", "immediate", "stop"], check=True, **quiet)
        shutil.rmtree(home, ignore_errors=True)


@pytest.fixture(params=["sqlite", "postgresql"])
def url(request):
    return "-" if request.param == "sqlite" else request.getfixturevalue("server")


def start(url, folder, limit, seconds=0.2):
    words = [sys.executable, str(WORKER), url, str(folder), str(limit), str(seconds)]
    return subprocess.Popen(words, stdout=subprocess.PIPE, text=True)


def test_budget_holds_exactly_through_kills(url, tmp_path):
    folders = [tmp_path / "one", tmp_path / "one" if url == "-" else tmp_path / "another machine"]
    victim = start(url, folders[1], 9, seconds=3600)
    assert victim.stdout.readline() == "claimed 0\n"
    other = start(url, folders[0], 9)
    assert other.stdout.readline().startswith("claimed")
    victim.send_signal(signal.SIGKILL)
    victim.wait()
    victim.stdout.close()
    other.communicate(timeout=300)
    assert other.returncode == 0
    _, board = open_board(None if url == "-" else url, folders[0])
    rows = board.rows()
    finished = [row for row in rows if row.state == "done"]
    died = [row for row in rows if row.state == "died"]
    assert (len(finished), len(died), len(rows)) == (9, 1, 10)
    assert sorted(row.origin for row in finished) == list(range(9))  # what people see has no gaps
    again = next(row for row in finished if row.origin == died[0].number)
    assert again.values == died[0].values  # the same trial once more
    assert again.facts["deaths"] == 1
    assert board.claim(9) is None
    assert all(row.value == row.values[KEY] for row in finished)


def test_a_trial_that_kills_its_process_is_given_up(tmp_path):
    for _ in range(3):
        place, board = open_board(None, tmp_path)
        claim = board.claim(1)
        assert claim.row.origin == 0
        board.suggest(claim)
        (tmp_path / "workers").mkdir(exist_ok=True)
        (tmp_path / "workers" / place.worker).touch()  # a file that nobody holds: its process is dead
    _, board = open_board(None, tmp_path)
    assert board.claim(1) is None
    (last,) = [row for row in board.rows() if row.state != "died"]
    assert (last.state, last.facts["reason"]) == ("failed", "its process died 3 times")


def test_giving_back_is_no_death_and_late_results_are_dropped(tmp_path):
    _, board = open_board(None, tmp_path)
    first = board.claim(1)
    values = board.suggest(first)
    board.give_back(first)
    again = board.claim(1)
    assert (again.row.origin, again.row.facts["deaths"], board.suggest(again)) == (0, 0, values)
    assert not board.finish(first, "done", 0.5, {})
    assert board.finish(again, "done", 0.7, {})
    assert [row.value for row in board.rows() if row.state == "done"] == [0.7]


def test_a_server_that_is_not_there_is_told_in_one_line_without_the_password(tmp_path):
    pytest.importorskip("psycopg", reason="needs psycopg (extra postgresql)")
    with pytest.raises(StorageError) as found:
        Place(f"postgresql://me:secret@/trials?host={tmp_path}", tmp_path, Stop())
    assert "secret" not in str(found.value)
    assert "the database of trials cannot be used" in str(found.value)


@pytest.mark.parametrize("address", ["nonsense", "sqlite://", "sqlite:///:memory:", "mysql://u@h/d"])
def test_addresses_that_cannot_hold_trials(address):
    with pytest.raises(InputError):
        check_url(address)


def test_password_is_never_shown():
    assert shown_url("postgresql://me:secret@server/db") == "postgresql://me:***@server/db"
