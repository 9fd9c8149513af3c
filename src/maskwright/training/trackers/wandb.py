"""Weights & Biases: one run for each fold, offline unless the recipe says otherwise."""

from __future__ import annotations

import os
import secrets
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from maskwright.core.recipe.trackers import WandbTracker as Block
from maskwright.training.trackers.base import Place, Point

FOLDER = "wandb"


class Wandb:
    """A run whose id outlives the process, below wandb/ in the run folder.

    Each process that goes on with it leaves an offline folder of its own under the same id; `wandb sync
    --append` joins them. A killed process's W&B service writes down what it was given, so points that were
    being given then count as taken: W&B takes no step twice.
    """

    def __init__(self, place: Place, block: Block) -> None:
        self.place, self.block = place, block
        self.id = ""
        self._run: Any = None

    def open(self, kept: Mapping[str, Any]) -> None:
        """Begin the run, or go on under its id."""
        import wandb

        self.id = str(kept.get("id") or secrets.token_hex(4))
        # W&B falls back to a temporary folder where it cannot write, and says so where nobody looks
        (self.place.root / FOLDER).mkdir(parents=True, exist_ok=True)
        if not os.access(self.place.root / FOLDER, os.W_OK):
            raise PermissionError(f"{FOLDER} in the run folder cannot be written")
        quiet = wandb.Settings(
            mode=self.block.mode,
            silent=True,
            console="off",
            disable_git=True,
            save_code=False,
            symlink=False,
            init_timeout=30,
            x_disable_meta=True,  # host, user and absolute paths
            x_disable_machine_info=True,
            x_disable_stats=True,
            x_save_requirements=False,
        )
        self._run = wandb.init(
            project=self.block.project or self.place.run,
            entity=self.block.entity,
            id=self.id,
            name=self.place.name,
            group=self.place.member,
            config=dict(self.place.config),
            dir=self.place.root,
            resume="allow",
            reinit="create_new",
            settings=quiet,
        )

    def write(self, points: Sequence[Point], *, again: bool) -> None:
        """Log points, those of one step together."""
        if again:
            return
        if not Path(self._run.dir).is_dir():
            raise FileNotFoundError(f"the folder of W&B's run {self.id} is gone")
        for point in points:
            self._run.log(dict(point.values), step=point.step)

    @property
    def kept(self) -> Mapping[str, Any]:
        """The run's id."""
        return {"id": self.id}

    def close(self, *, finished: bool) -> None:
        """End this process's part of the run."""
        if self._run is not None:
            self._run.finish(exit_code=0 if finished else 1)
