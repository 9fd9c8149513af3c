"""Which weights of a training are kept, and when they get their final names."""

from __future__ import annotations

import math
import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from torch import Tensor

from maskwright.core.files import atomic_path, write_json
from maskwright.models.tensors import read_facts
from maskwright.models.weights import save_weights
from maskwright.training.checkpoint import Checkpoints
from maskwright.training.job import FoldJob

BEST = "best.safetensors"
LAST = "last.safetensors"
DONE = "done.json"


class Keeper:
    """The weights of one fold that outlive its training; used by the main process, but for `judge`.

    Args:
        job: what is trained.
        folder: the fold's folder.
        checkpoints: its states, beside which the best weights lie until they are published.
    """

    def __init__(self, job: FoldJob, folder: Path, checkpoints: Checkpoints) -> None:
        self.job, self.folder, self.checkpoints = job, folder, checkpoints
        self.best: dict[str, Any] = {}
        """step and score of the best weights so far; a state holds it."""

    def judge(self, step: int, score: float) -> bool:
        """Say whether a validation after `step` steps was the best so far, and remember it."""
        if not score > self.best.get("score", -math.inf):
            return False
        self.best = {"step": step, "score": score}
        return True

    def save_best(self, weights: Mapping[str, Tensor], step: int) -> None:
        """Write the weights that `judge` just called the best."""
        facts = {**self.facts(step), "score": self.best["score"], "metric": self.job.metric}
        save_weights(self.checkpoints.best_path(step), weights, facts)

    def publish(self) -> None:
        """Copy the best weights to their final name, after the state that calls them so is safe."""
        step = self.best.get("step")
        target = self.folder / BEST
        if step is None or (target.exists() and read_facts(target).get("step") == step):
            return
        with atomic_path(target) as temporary:
            shutil.copyfile(self.checkpoints.best_path(step), temporary)

    def finish(self, weights: Mapping[str, Tensor], step: int) -> None:
        """Write the final files, and let go of the states."""
        save_weights(self.folder / LAST, weights, self.facts(step))
        self.publish()
        if not self.best:
            save_weights(self.folder / BEST, weights, self.facts(step))
        told = {"job": self.job.digest, "step": step, "metric": self.job.metric, "best": self.best or None}
        write_json(self.folder / DONE, told)
        shutil.rmtree(self.folder / "state", ignore_errors=True)

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
