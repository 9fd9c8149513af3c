"""The states of a queue, with recipes that are shell scripts: what each does, its process does."""

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from maskwright.core.errors import InputError
from maskwright.workflows.queue import Settings, check_devices, check_settings, run_queue
from maskwright.workflows.queue_folder import QueueFolder

PATIENCE_S = 60
SCRIPT = """
import sys
from pathlib import Path
from maskwright.cli.console import Console, exit_code_for
from maskwright.workflows.queue import Settings, run_queue
try:
    run_queue(Path(sys.argv[1]), Settings(("cpu",), 0.05, False, (), lambda path, _: ["sh", str(path)]), Console())
except Exception as error:
    sys.exit(exit_code_for(error))
"""


class Lines:
    """A reporter that keeps what it is told."""

    def __init__(self) -> None:
        self.said: list[str] = []

    def say(self, text: str) -> None:
        self.said.append(text)


def once(folder, *devices, overrides=(), words=lambda path, over: ["sh", str(path), *over]):
    lines = Lines()
    run_queue(folder, Settings(devices or ("cpu",), 0.05, True, overrides, words), lines)
    return lines.said


def put(folder, name, text, state=""):
    (folder / state).mkdir(exist_ok=True)
    (folder / state / name).write_text(f"{text}\n")


def wait_for(true):
    until = time.monotonic() + PATIENCE_S
    while not true():
        assert time.monotonic() < until, "it did not happen"
        time.sleep(0.02)


def lies(folder) -> list[str]:
    return sorted(str(path.relative_to(folder)) for path in folder.rglob("*") if path.is_file())


@pytest.fixture
def background(tmp_path):
    """Start a queue on tmp_path in a process of its own that watches for ever; whatever is left is killed."""
    started: list[subprocess.Popen] = []

    def start() -> subprocess.Popen:
        words = [sys.executable, "-c", SCRIPT, str(tmp_path)]
        started.append(subprocess.Popen(words, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True))
        return started[-1]

    yield start
    for process in started:
        process.kill()
        process.communicate()


def test_recipes_run_by_name_and_end_in_done_or_failed(tmp_path):
    put(tmp_path, "b.yaml", "echo hello; echo 'error: b.yaml:name: is missing; add it' >&2; exit 2")
    put(tmp_path, "a.yml", 'echo "$1"; exit 0', "waiting")
    put(tmp_path, "c.yaml", "kill -9 $$")
    put(tmp_path, "notes.txt", "no recipe")
    put(tmp_path, ".half.yaml", "exit 0")
    with pytest.raises(InputError) as caught:
        once(tmp_path, overrides=("data.root=set",))
    assert str(caught.value) == (
        f"{tmp_path}/failed: 2 of 3 recipes failed: b, c; see the .log beside each, mend it and move it back to waiting"
    )
    assert lies(tmp_path) == [
        ".half.yaml",
        *(f"done/a.{end}" for end in ("json", "log", "yml")),
        *(f"failed/{stem}.{end}" for stem in "bc" for end in ("json", "log", "yaml")),
        "notes.txt",
        "queue.lock",
    ]
    assert (tmp_path / "done" / "a.log").read_text() == "== start a.yml on cpu\ndata.root=set\n"
    record = json.loads((tmp_path / "failed" / "b.json").read_text())
    assert (record["exit_code"], record["device"]) == (2, "cpu")
    assert record["error"] == "error: b.yaml:name: is missing; add it"
    record = json.loads((tmp_path / "failed" / "c.json").read_text())
    assert (record["exit_code"], record["error"]) == (137, "killed by signal 9")


def test_the_lines_tell_what_starts_and_ends(tmp_path):
    put(tmp_path, "a.yaml", "exit 0")
    said = once(tmp_path)
    assert said[:2] == [f"queue {tmp_path}: 1 waiting; devices: cpu", "start a.yaml on cpu"]
    assert said[2].startswith("done a.yaml in ")
    assert len(said) == 3
    assert once(tmp_path) == [f"queue {tmp_path}: 0 waiting; devices: cpu"]


def test_each_device_runs_one_at_a_time_and_sees_itself_alone(tmp_path):
    meet = (
        "touch {0}.here; for i in $(seq 600); do [ -e {1}.here ] && break; sleep 0.1; done; "
        "[ -e {1}.here ] || exit 1; printf '%s' \"$CUDA_VISIBLE_DEVICES\" > {0}.saw"
    )
    put(tmp_path, "a.yaml", meet.format(tmp_path / "a", tmp_path / "b"))
    put(tmp_path, "b.yaml", meet.format(tmp_path / "b", tmp_path / "a"))
    put(tmp_path, "c.yaml", f"printf '%s' \"$CUDA_VISIBLE_DEVICES\" > {tmp_path}/c.saw")
    once(tmp_path, "3", "cpu")
    assert [(tmp_path / f"{name}.saw").read_text() for name in "ab"] == ["3", ""]
    assert (tmp_path / "c.saw").exists()


def test_a_recipe_that_is_still_being_copied_is_not_taken(tmp_path):
    folder = QueueFolder(tmp_path)
    with folder.lock():
        path = tmp_path / "waiting" / "a.yaml"
        path.touch()
        assert folder.ready() == folder.ready() == []  # empty is not begun
        path.write_text("exit")
        assert folder.ready() == []
        path.write_text("exit 0\n")
        assert folder.ready() == []
        assert folder.ready() == [path]
        path.unlink()
        assert folder.start(path) is None
        assert folder.ready() == []


def test_names_that_are_taken_get_a_number_and_what_is_put_back_keeps_its_log(tmp_path):
    put(tmp_path, "a.yaml", "exit 0")
    once(tmp_path)
    put(tmp_path, "a.yaml", "echo second; exit 1")
    with pytest.raises(InputError, match="1 of 1 recipes failed: a-2"):
        once(tmp_path)
    (tmp_path / "failed" / "a-2.yaml").rename(tmp_path / "waiting" / "a-2.yaml")
    (tmp_path / "waiting" / "a-2.yaml").write_text("echo third; exit 0\n")
    once(tmp_path)
    assert not list((tmp_path / "failed").iterdir())
    log = (tmp_path / "done" / "a-2.log").read_text()
    assert log == "== start a-2.yaml on cpu\nsecond\n== start a-2.yaml on cpu\nthird\n"


def test_a_queue_that_was_killed_goes_on_and_waits_for_what_outlived_it(tmp_path, background, capfd):
    put(tmp_path, "a.yaml", f"echo $$ > {tmp_path}/pid; while [ ! -e {tmp_path}/go ]; do sleep 0.05; done; exit 0")
    queue = background()
    wait_for((tmp_path / "pid").exists)
    wait_for(lambda: (tmp_path / "pid").read_text().strip())
    queue.send_signal(signal.SIGKILL)
    queue.wait()
    child = int((tmp_path / "pid").read_text())
    os.kill(child, 0)  # it is alive
    second = background()
    wait_for(lambda: '"pid"' in (tmp_path / "queue.lock").read_text())
    wait_for(lambda: str(second.pid) in (tmp_path / "queue.lock").read_text())
    time.sleep(0.3)
    assert (tmp_path / "running" / "a.log").read_text().count("==") == 1  # nobody began it anew
    (tmp_path / "go").touch()
    wait_for((tmp_path / "done" / "a.log").exists)
    assert (tmp_path / "done" / "a.log").read_text() == "== start a.yaml on cpu\n== go on with a.yaml on cpu\n"
    assert json.loads((tmp_path / "done" / "a.json").read_text())["exit_code"] == 0


@pytest.mark.parametrize(("number", "code"), [(signal.SIGTERM, 143), (signal.SIGINT, 130)])
def test_a_signal_stops_the_processes_and_the_recipes_stay(tmp_path, background, number, code):
    put(tmp_path, "a.yaml", f"trap 'exit {code}' TERM INT; touch {tmp_path}/on; while :; do sleep 0.05; done")
    put(tmp_path, "b.yaml", "exit 0")
    queue = background()
    wait_for((tmp_path / "on").exists)
    queue.send_signal(number)
    out, err = queue.communicate(timeout=PATIENCE_S)
    assert queue.returncode == code
    assert "stopped a.yaml, it goes on next time" in out
    assert err == f"stopped: 1 recipes stay in {tmp_path}/running, saved; run the same command again to go on\n"
    assert lies(tmp_path / "running") == ["a.lock", "a.log", "a.yaml"]
    (tmp_path / "running" / "a.yaml").write_text("exit 0\n")
    said = once(tmp_path)
    assert said[:2] == [f"queue {tmp_path}: 1 waiting, 1 to go on with; devices: cpu", "go on with a.yaml on cpu"]
    assert {path.name for path in (tmp_path / "done").glob("*.yaml")} == {"a.yaml", "b.yaml"}


def test_a_second_queue_is_refused(tmp_path, background):
    first = background()
    wait_for((tmp_path / "queue.lock").exists)
    wait_for((tmp_path / "queue.lock").read_text)
    second = background()
    _, err = second.communicate(timeout=PATIENCE_S)
    assert second.returncode == 3
    assert err.startswith(f"error: {tmp_path}: in use by process {first.pid} on ")
    assert err.endswith("; one queue works on a folder; give it more --devices\n")


def test_what_a_crash_left_between_two_renames_is_tidied(tmp_path):
    for state in ("running", "done"):
        (tmp_path / state).mkdir()
    (tmp_path / "done" / "a.yaml").write_text("exit 0\n")
    (tmp_path / "running" / "a.log").write_text("== start\n")
    (tmp_path / "running" / "a.lock").touch()
    once(tmp_path)
    assert lies(tmp_path) == ["done/a.log", "done/a.yaml", "queue.lock"]


def test_a_folder_that_is_not_there_and_odd_options_are_refused(tmp_path):
    for action, says in (
        (lambda: QueueFolder(tmp_path / "no"), f"{tmp_path}/no: no such folder; make it, and put recipes into it"),
        (lambda: check_devices("0,one"), "--devices: 'one' is no device; write cpu, or numbers: --devices 0,1"),
        (
            lambda: check_settings(Settings(("cpu",), 0)),
            "--poll: must be above 0 seconds, got 0; give e.g. --poll 10",
        ),
        (
            lambda: check_settings(Settings(("cpu",), overrides=("x",))),
            "command line: 'x' is no override; write key.key=value",
        ),
    ):
        with pytest.raises(InputError) as caught:
            action()
        assert str(caught.value) == says
    assert check_devices("0, 1") == ("0", "1")
    assert list(Path(tmp_path).iterdir()) == []
