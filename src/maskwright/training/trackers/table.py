"""The table of trackers, and whether what they need is installed."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from importlib.util import find_spec
from typing import Any

from maskwright.core.errors import RecipeError
from maskwright.core.recipe.trackers import Tracker as Block
from maskwright.training.trackers.base import Place, Tracker
from maskwright.training.trackers.mlflow import Mlflow
from maskwright.training.trackers.tensorboard import TensorBoard
from maskwright.training.trackers.wandb import Wandb


def check(blocks: Sequence[Block], where: str) -> None:
    """Refuse a tracker whose packages are absent, with the line that installs them."""
    for block in blocks:
        for package in NEEDS[block.name]:
            if find_spec(package) is None:
                raise RecipeError(
                    f"{block.name} needs the package {package}, which is not installed",
                    where=where,
                    fix=f"pip install 'maskwright[{block.name}]', or leave the tracker out",
                )


def make(place: Place, block: Block) -> Tracker:
    """Return a recipe's tracker for one fold; nothing is written yet."""
    return TRACKERS[block.name](place, block)


NEEDS = {
    "tensorboard": ("tensorboard",),
    "wandb": ("wandb",),
    "mlflow": ("mlflow", "sqlalchemy", "alembic"),
}
"""Tracker -> packages it imports."""
TRACKERS: dict[str, Callable[[Place, Any], Tracker]] = {
    "tensorboard": TensorBoard,
    "wandb": Wandb,
    "mlflow": Mlflow,
}
"""Tracker -> its class."""
