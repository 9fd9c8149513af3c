"""What trackers are told: whole, once, in order; and that a failing one costs a line and nothing else."""

import json
import shutil
import sqlite3
import struct
import threading
import time
from dataclasses import replace

import discs
import pytest

from maskwright.core.errors import Interrupted, RecipeError
from maskwright.core.recipe.trackers import MlflowTracker, TensorboardTracker, WandbTracker
from maskwright.training.fit import fit_fold
from maskwright.training.records import Records
from maskwright.training.trackers import follow, table
from maskwright.training.trackers.follow import Tracking
from maskwright.training.trackers.points import Reader

pytestmark = pytest.mark.filterwarnings("ignore")
"""Of trackers' own libraries: SQLAlchemy 2.1 warns of what MLflow 3.17 does."""
CONFIG = {"name": "t", "members": {"a": {"train": {"epochs": 2, "crop": [8, 8]}}}}


class Fold:
    """A fold that writes its files as a training does, epoch by epoch of two steps."""

    def __init__(self, root):
        self.folder = root / "members" / "a" / "fold0"
        self.sizes, self.epoch = {}, 0

    def train(self, epochs=1):
        records = Records(self.folder, self.sizes, ("background", "roof"))
        for _ in range(epochs):
            self.epoch += 1
            for step in (2 * self.epoch - 1, 2 * self.epoch):
                records.step(
                    {"step": step, "epoch": self.epoch, "loss": 1 / step, "lr": 0.1, "norm": 2.0, "items": "ab"}
                )
            scores = (0.25, None) if self.epoch == 1 else (0.5, 0.75)
            records.epoch(self.epoch, 2 * self.epoch, 0.1, 1.0, (0.7, 0.4, scores))
        self.sizes = records.sync()
        records.close()
        return self.sizes


class Recorder:
    """A tracker that remembers, and fails when told to."""

    def __init__(self):
        self.points, self.opened, self.again, self.closed, self.fault = [], [], [], [], None

    def open(self, kept):
        self.opened.append(dict(kept))

    def write(self, points, *, again):
        if self.fault is not None:
            fault, self.fault = self.fault, None
            raise fault
        (self.again if again else self.points).extend(points)

    @property
    def kept(self):
        return {"id": "r1"}

    def close(self, *, finished):
        self.closed.append(finished)


@pytest.fixture
def fold(tmp_path):
    return Fold(tmp_path)


@pytest.fixture
def told():
    return []


def begin(fold, told, trackers, broken=None):
    return follow.Follower(trackers, fold.folder, told.append, set() if broken is None else broken)


def tracking(tmp_path, block):
    return Tracking((block,), tmp_path, "t", CONFIG, table.make)


def steps(points):
    return [point.step for point in points]


def test_points_are_the_lines_of_both_files(fold):
    reader = Reader(fold.folder)
    assert reader.upto(fold.train()) == {
        1: {"train/loss": 1.0, "epoch": 1, "train/lr": 0.1, "train/gradient_norm": 2.0},
        2: {
            "train/loss": 0.5,
            "epoch": 1,
            "train/lr": 0.1,
            "train/gradient_norm": 2.0,
            "epoch/lr": 0.1,
            "epoch/loss": 1.0,
            "held_out/loss": 0.7,
            "held_out/score": 0.4,
            "held_out/score/background": 0.25,
        },
    }
    later = reader.upto(fold.train())
    assert list(later) == [3, 4]
    assert later[4]["held_out/score/roof"] == 0.75


def test_a_resumed_follower_tells_each_step_once_and_knows_its_run(fold, told):
    first = Recorder()
    follower = begin(fold, told, {"x": first})
    follower.tell(fold.train())
    follower.close(finished=False)
    assert (first.opened, steps(first.points), first.closed) == ([{}], [1, 2], [False])
    second = Recorder()
    follower = begin(fold, told, {"x": second})
    follower.tell(fold.train())
    follower.close(finished=True)
    assert (second.opened, steps(second.points), second.again) == ([{"id": "r1"}], [3, 4], [])
    assert second.closed == [True]
    times = [point.time for point in first.points + second.points]
    assert times == sorted(times)
    assert told == []


def test_what_a_killed_process_was_telling_is_told_as_perhaps_known(fold, told):
    tracker = Recorder()
    follower = begin(fold, told, {"x": tracker})
    follower.tell(fold.train())
    follower.close(finished=False)
    memory = json.loads((fold.folder / follow.MEMORY).read_text())
    memory["x"]["told"] = 1  # killed after `asked` was written down and before `told` was
    (fold.folder / follow.MEMORY).write_text(json.dumps(memory))
    tracker = Recorder()
    follower = begin(fold, told, {"x": tracker})
    follower.tell(fold.train())
    follower.close(finished=False)
    assert (steps(tracker.again), steps(tracker.points)) == ([2], [3, 4])


def test_a_tracker_that_raises_costs_one_line_and_spares_the_others(fold, told):
    bad, good, broken = Recorder(), Recorder(), set()
    follower = begin(fold, told, {"bad": bad, "good": good}, broken)
    bad.fault = OSError(28, "No space left on device")
    for _ in range(3):
        follower.tell(fold.train())
    follower.close(finished=True)
    assert steps(good.points) == [1, 2, 3, 4, 5, 6]
    assert (bad.points, bad.closed, broken) == ([], [], {"bad"})
    assert told == [
        "tracker bad is told no more: OSError: [Errno 28] No space left on device; "
        "training goes on, log.jsonl and history.csv hold everything"
    ]


def test_a_tracker_that_hangs_is_left_behind(fold, told, monkeypatch):
    monkeypatch.setattr(follow, "PATIENCE_S", 0.05)
    never = threading.Event()

    class Hangs(Recorder):
        def write(self, points, *, again):
            never.wait()

    follower = begin(fold, told, {"x": Hangs()})
    follower.tell(fold.train())
    follower.close(finished=True)
    never.set()
    assert told == [
        "tracker x is told no more: no answer for 0 s; training goes on, log.jsonl and history.csv hold everything"
    ]


def test_a_broken_tracker_is_not_tried_again_in_the_next_fold(fold, told, tmp_path):
    made = []
    run = Tracking((TensorboardTracker(),), tmp_path, "t", {}, lambda place, block: made.append(place) or Recorder())
    run.follow(fold.folder, "a", 0, told.append).close(finished=True)
    run.broken.add("tensorboard")
    run.follow(fold.folder, "a", 1, told.append).close(finished=True)
    assert [place.name for place in made] == ["a/fold0"]


@pytest.mark.parametrize("name", list(table.TRACKERS))
def test_a_tracker_that_is_not_installed_is_refused_with_the_line_that_installs_it(name, monkeypatch):
    monkeypatch.setattr(table, "find_spec", lambda package: None)
    block = {"tensorboard": TensorboardTracker, "wandb": WandbTracker, "mlflow": MlflowTracker}[name]()
    with pytest.raises(RecipeError) as caught:
        table.check([block], "recipe:trackers")
    assert str(caught.value) == (
        f"recipe:trackers: {name} needs the package {table.NEEDS[name][0]}, which is not installed; "
        f"pip install 'maskwright[{name}]', or leave the tracker out"
    )


def follow_two_processes(fold, told, tmp_path, block, *, doubt=True):
    """Tell four epochs in two processes' lives; the first was killed while it told of step 4."""
    follower = tracking(tmp_path, block).follow(fold.folder, "a", 0, told.append)
    follower.tell(fold.train())
    wait_until_told(fold, block.name)
    follower.tell(fold.train())
    follower.close(finished=False)
    if doubt:
        memory = json.loads((fold.folder / follow.MEMORY).read_text())
        memory[block.name]["told"] = 3
        (fold.folder / follow.MEMORY).write_text(json.dumps(memory))
    follower = tracking(tmp_path, block).follow(fold.folder, "a", 0, told.append)
    follower.tell(fold.train(2))
    follower.close(finished=True)


def test_tensorboard_reads_back_every_point_once(fold, told, tmp_path):
    pytest.importorskip("tensorboard", reason="the extra tensorboard is not installed")
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    follow_two_processes(fold, told, tmp_path, TensorboardTracker(), doubt=False)
    path = tmp_path / "tensorboard" / "a" / "fold0"
    with next(path.iterdir()).open("ab") as stream:
        stream.write(b"half a record of a killed process")
    follower = tracking(tmp_path, TensorboardTracker()).follow(fold.folder, "a", 0, told.append)
    follower.tell(fold.train())
    follower.close(finished=True)
    assert told == []
    read = EventAccumulator(str(path), size_guidance={"scalars": 0})
    read.Reload()
    losses = read.Scalars("train/loss")
    assert [(event.step, event.value) for event in losses] == [(n, pytest.approx(1 / n)) for n in range(1, 11)]
    assert [event.step for event in read.Scalars("held_out/score/roof")] == [4, 6, 8, 10]
    (recipe,) = read.Tensors("recipe")
    assert b'"epochs": 2' in recipe.tensor_proto.string_val[0]


def test_a_resumed_training_tells_each_step_once_and_trains_the_same(make_job, tmp_path):
    pytest.importorskip("tensorboard", reason="the extra tensorboard is not installed")
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    plain, followed = make_job(epochs=3), make_job(epochs=3)
    followed = replace(followed, tracking=tracking(tmp_path, TensorboardTracker()))
    fit_fold(plain, tmp_path / "members" / "twin" / "fold0", discs.Told(), discs.Never())
    folder = tmp_path / "members" / "a" / "fold0"
    for _ in range(2):
        with pytest.raises(Interrupted):
            fit_fold(followed, folder, discs.Told(), discs.After(4))
    told = discs.Told()
    fit_fold(followed, folder, told, discs.Never())
    assert told.warnings == []
    results = discs.results(folder)
    assert results.pop(follow.MEMORY)
    assert results == discs.results(tmp_path / "members" / "twin" / "fold0")
    read = EventAccumulator(str(tmp_path / "tensorboard" / "a" / "fold0"), size_guidance={"scalars": 0})
    read.Reload()
    assert [event.step for event in read.Scalars("train/loss")] == list(range(1, 10))
    assert [event.step for event in read.Scalars("held_out/score/disc")] == [3, 6, 9]


def test_tensorboard_without_its_file_costs_one_line(fold, told, tmp_path):
    pytest.importorskip("tensorboard", reason="the extra tensorboard is not installed")
    follower = tracking(tmp_path, TensorboardTracker()).follow(fold.folder, "a", 0, told.append)
    follower.tell(fold.train())
    path = tmp_path / "tensorboard" / "a" / "fold0"
    wait_until_told(fold, "tensorboard")
    next(path.iterdir()).unlink()
    follower.tell(fold.train())
    follower.close(finished=True)
    assert len(told) == 1
    assert told[0].startswith("tracker tensorboard is told no more: FileNotFoundError: ")


@pytest.mark.slow
def test_mlflow_has_every_point_once_and_the_recipe_as_parameters(fold, told, tmp_path):
    pytest.importorskip("mlflow", reason="the extra mlflow is not installed")
    follow_two_processes(fold, told, tmp_path, MlflowTracker())
    assert told == []
    from mlflow.tracking import MlflowClient

    client = MlflowClient(tracking_uri=f"sqlite:///{tmp_path / 'mlflow.db'}")
    experiment = client.get_experiment_by_name("t")
    (run,) = client.search_runs([experiment.experiment_id])
    assert (run.info.run_name, run.info.status) == ("a/fold0", "FINISHED")
    assert run.data.params["members.a.train.crop"] == "[8, 8]"
    losses = client.get_metric_history(run.info.run_id, "train/loss")
    assert sorted((metric.step, metric.value) for metric in losses) == [(n, 1 / n) for n in range(1, 9)]
    roofs = client.get_metric_history(run.info.run_id, "held_out/score/roof")
    assert sorted(metric.step for metric in roofs) == [4, 6, 8]
    with sqlite3.connect(tmp_path / "mlflow.db") as base:
        assert str(tmp_path) not in "\n".join(base.iterdump())

    follower = tracking(tmp_path, MlflowTracker()).follow(fold.folder, "a", 0, told.append)
    (tmp_path / "mlflow.db").unlink()  # the plug
    follower.tell(fold.train())
    follower.close(finished=True)
    assert told == [
        "tracker mlflow is told no more: FileNotFoundError: mlflow.db is gone from the run folder; "
        "training goes on, log.jsonl and history.csv hold everything"
    ]


def test_an_mlflow_server_that_is_not_there_costs_one_line(fold, told, tmp_path, monkeypatch):
    pytest.importorskip("mlflow", reason="the extra mlflow is not installed")
    monkeypatch.setenv("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "0")
    block = MlflowTracker(uri="http://127.0.0.1:9")
    follower = tracking(tmp_path, block).follow(fold.folder, "a", 0, told.append)
    follower.tell(fold.train())
    follower.close(finished=True)
    assert len(told) == 1
    assert told[0].startswith("tracker mlflow is told no more: MlflowException: ")
    assert not list(tmp_path.glob("mlflow*"))


@pytest.mark.slow
def test_wandb_has_every_point_once_in_offline_folders_of_one_run(fold, told, tmp_path):
    pytest.importorskip("wandb", reason="the extra wandb is not installed")
    follow_two_processes(fold, told, tmp_path, WandbTracker())
    assert told == []
    files = sorted(tmp_path.glob("wandb/offline-run-*/run-*.wandb"))
    assert len(files) == 2
    assert len({path.name for path in files}) == 1
    rows = [row for path in files for row in wandb_rows(path)]
    assert [(row["_step"], row["train/loss"]) for row in rows] == [(n, 1 / n) for n in (1, 2, 3, 4, 5, 6, 7, 8)]
    assert [row["held_out/score/roof"] for row in rows if "held_out/score/roof" in row] == [0.75] * 3


def wandb_rows(path):
    """Read W&B's file: 7 bytes of head, then LevelDB's log format (blocks of 32 KiB; crc, length, type, data)."""
    from wandb.proto import wandb_internal_pb2

    data, place, whole = path.read_bytes(), 7, b""
    assert data.startswith(b":W&B")
    while place + 7 <= len(data):
        left = 32768 - place % 32768
        if left < 7:
            place += left
            continue
        _, length, kind = struct.unpack("<IHB", data[place : place + 7])
        whole += data[place + 7 : place + 7 + length]
        place += 7 + length
        if kind in (1, 4):  # a whole record, or the last part of one
            record, whole = wandb_internal_pb2.Record.FromString(whole), b""
            if record.WhichOneof("record_type") == "history":
                items = record.history.item
                yield {item.key or "/".join(item.nested_key): json.loads(item.value_json) for item in items}


def test_wandb_whose_folder_is_gone_costs_one_line(fold, told, tmp_path):
    pytest.importorskip("wandb", reason="the extra wandb is not installed")
    follower = tracking(tmp_path, WandbTracker()).follow(fold.folder, "a", 0, told.append)
    follower.tell(fold.train())
    wait_until_told(fold, "wandb")
    shutil.rmtree(tmp_path / "wandb")
    follower.tell(fold.train())
    follower.close(finished=True)
    assert len(told) == 1
    assert told[0].startswith("tracker wandb is told no more: FileNotFoundError: the folder of W&B's run ")


def wait_until_told(fold, name):
    path = fold.folder / follow.MEMORY
    for _ in range(6000):
        if path.exists() and json.loads(path.read_text())[name]["told"]:
            return
        time.sleep(0.01)
    raise AssertionError(f"{name} was not told within a minute")
