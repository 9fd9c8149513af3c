"""Recipe blocks of trackers: who is told how a training goes, beside log.jsonl and history.csv."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any, Literal

from pydantic import BaseModel, BeforeValidator, Field

from maskwright.core.errors import near
from maskwright.core.recipe.base import Block


class TensorboardTracker(Block):
    """Event files below tensorboard/ in the run folder."""

    name: Literal["tensorboard"] = "tensorboard"


class WandbTracker(Block):
    """A Weights & Biases run for each fold, below wandb/ in the run folder."""

    name: Literal["wandb"] = "wandb"
    project: str | None = Field(default=None, min_length=1, max_length=128)
    """None: the recipe's name."""
    entity: str | None = None
    """User or team; None: W&B's default."""
    mode: Literal["offline", "online"] = "offline"
    """offline: files that `wandb sync` uploads later; online: as W&B's own settings say, sent at once."""


class MlflowTracker(Block):
    """An MLflow run for each fold."""

    name: Literal["mlflow"] = "mlflow"
    uri: str | None = Field(default=None, min_length=1)
    """Address of a tracking server, or any other URI that MLflow takes; None: mlflow.db in the run folder."""
    experiment: str | None = Field(default=None, min_length=1)
    """None: the recipe's name."""


def _as_block(given: Any) -> Any:
    """Turn a bare name into its block; leave everything else for the blocks to check."""
    entry = {"name": given} if isinstance(given, str) else given
    if isinstance(entry, BaseModel):
        return entry
    if not isinstance(entry, Mapping) or "name" not in entry:
        raise ValueError(
            f"a tracker is a name or a block with one, got {given!r}; write tensorboard, or {{name: mlflow}}"
        )
    name = entry["name"]
    if name not in NAMES:
        raise ValueError(f"unknown tracker '{name}'{near(str(name), NAMES)}; use one of: {', '.join(NAMES)}")
    return entry


NAMES = ("tensorboard", "wandb", "mlflow")
Tracker = Annotated[
    Annotated[TensorboardTracker | WandbTracker | MlflowTracker, Field(discriminator="name")],
    BeforeValidator(_as_block),
]
