"""Which weights of a training are kept, and when they get their final names."""

from __future__ import annotations

import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from torch import Tensor

from maskwright.core.errors import InputError
from maskwright.core.files import atomic_path, read_json, write_json
from maskwright.models.tensors import read_facts
from maskwright.models.weights import save_weights
from maskwright.training.checkpoint import Checkpoints
from maskwright.training.job import FoldJob
from maskwright.training.parts import Validated
from maskwright.training.watch import value_of, worth

BEST = "best.safetensors"
LAST = "last.safetensors"
DONE = "done.json"
CANDIDATES = "candidates"
"""Folder of kept weights beside the last and the best: others of the best, snapshots, those before averaging."""


class Keeper:
    """The weights of one fold that outlive its training; used by the main process, but for `judge`.

    Args:
        job: what is trained.
        folder: the fold's folder.
        checkpoints: its states, beside which kept weights lie until they are published.
    """

    def __init__(self, job: FoldJob, folder: Path, checkpoints: Checkpoints) -> None:
        self.job, self.folder, self.checkpoints = job, folder, checkpoints
        self.block = job.member.train.keep_best
        self.by = self.block.by or job.metric
        self.ranked: list[dict[str, Any]] = []
        """step and score of the best weights so far, the best first; a state holds it."""

    @property
    def best(self) -> dict[str, Any]:
        """Step and score of the best weights, with their value where the score does not pick them; empty: none."""
        return self.ranked[0] if self.ranked else {}

    def judge(self, told: Validated) -> bool:
        """Say whether a validation's weights are among the best so far, and remember them."""
        value = value_of(told, self.by)
        if not worth(value, self.by) > float("-inf"):
            return False
        entry: dict[str, Any] = {"step": told.step, "score": told.score}
        if self.block.by is not None:
            entry |= {"by": self.by, "value": value}
        ranked = sorted([*self.ranked, entry], key=lambda each: (-self._worth(each), each["step"]))
        self.ranked = ranked[: self.block.count]
        return entry in self.ranked

    def _worth(self, entry: Mapping[str, Any]) -> float:
        return worth(entry.get("value", entry["score"]), self.by)

    def save_best(self, weights: Mapping[str, Tensor], step: int) -> None:
        """Write the weights that `judge` just found among the best."""
        entry = next(each for each in self.ranked if each["step"] == step)
        facts = {**self.facts(step), **entry, "metric": self.job.metric}
        save_weights(self.checkpoints.best_path(step), weights, facts)

    def save_snapshot(self, weights: Mapping[str, Tensor], step: int) -> None:
        """Write the weights at a minimum of the schedule."""
        save_weights(self.checkpoints.snapshot_path(step), weights, self.facts(step))

    def publish(self) -> None:
        """Copy the best weights to their final name, after the state that calls them so is safe."""
        step = self.best.get("step")
        target = self.folder / BEST
        if step is None or (target.exists() and read_facts(target).get("step") == step):
            return
        _copy(self.checkpoints.best_path(step), target)

    def finish(self, weights: Mapping[str, Tensor], step: int, told: Mapping[str, Any]) -> None:
        """Write the final files, and let go of the states; done again from the last state after a kill.

        Args:
            weights: the last, averaged where that was asked for.
            step: steps done.
            told: what else done.json says.
        """
        save_weights(self.folder / LAST, weights, self.facts(step))
        self.publish()
        if not self.best:
            save_weights(self.folder / BEST, weights, self.facts(step))
        done = {"job": self.job.digest, "step": step, "metric": self.job.metric, "best": self.best or None, **told}
        others = [self.checkpoints.best_path(each["step"]) for each in self.ranked[1:]]
        snapshots = sorted(self.checkpoints.folder.glob("snapshot-*.safetensors"))
        for path in [*others, *snapshots]:
            _copy(path, self.folder / CANDIDATES / path.name)
        if others:
            done["others"] = [
                {"file": f"{CANDIDATES}/{path.name}", **each}
                for path, each in zip(others, self.ranked[1:], strict=True)
            ]
        if snapshots:
            done["snapshots"] = [f"{CANDIDATES}/{path.name}" for path in snapshots]
        write_json(self.folder / DONE, done)
        shutil.rmtree(self.folder / "state", ignore_errors=True)

    def save_raw(self, weights: Mapping[str, Tensor], step: int) -> None:
        """Write the weights that the last epoch left, where averages of epochs become the last."""
        save_weights(self.folder / CANDIDATES / "raw.safetensors", weights, self.facts(step))

    def facts(self, step: int) -> dict[str, Any]:
        """Return what is kept with weights: all that it takes to build the network and prepare its input."""
        job = self.job
        return {
            "model": job.member.model.model_dump(mode="json"),
            "bands": job.preprocess.channels,
            "planes": job.task.planes,
            "preprocess": job.preprocess.to_plain(),
            "task": job.task.model_dump(mode="json"),
            "step": step,
            **job.facts,
        }


def _copy(source: Path, target: Path) -> None:
    with atomic_path(target) as temporary:
        shutil.copyfile(source, temporary)


def weight_files(folder: Path, wanted: str) -> list[Path]:
    """Return the files of a finished fold that a recipe's predict.weights names.

    Args:
        folder: the fold's folder.
        wanted: last, best, snapshots or soup.

    Raises:
        InputError: the fold has none.
    """
    if wanted != "snapshots":
        return [folder / f"{wanted}.safetensors"]
    names = read_json(folder / DONE).get("snapshots", [])
    if not names:
        raise InputError("the training kept no snapshots", where=folder, fix="use predict.weights: last")
    return [folder / name for name in names]
