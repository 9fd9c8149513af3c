"""One recipe takes labelled imagery to a tuned, explained ensemble of segmentation models.

The public names below are loaded when they are first used, so `import maskwright` costs nothing.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

from maskwright.core.version import __version__

if TYPE_CHECKING:
    from maskwright.core.errors import MaskwrightError
    from maskwright.core.labels import Task
    from maskwright.core.recipe.blocks import Recipe
    from maskwright.core.recipe.load import load_recipe
    from maskwright.core.rle import decode, encode
    from maskwright.data.synthetic.synthetic import write_scenes
    from maskwright.ensembling.blend import read_decision
    from maskwright.inference.store import Store
    from maskwright.models.weights import load_model
    from maskwright.workflows.run import run_until
    from maskwright.workflows.score import ScoreOptions, score_paths
    from maskwright.workflows.session import open_session

__all__ = [
    "MaskwrightError",
    "Recipe",
    "ScoreOptions",
    "Store",
    "Task",
    "__version__",
    "decode",
    "encode",
    "load_model",
    "load_recipe",
    "open_session",
    "read_decision",
    "run_until",
    "score_paths",
    "write_scenes",
]

_HOME = {
    "MaskwrightError": "core.errors",
    "Recipe": "core.recipe.blocks",
    "ScoreOptions": "workflows.score",
    "Store": "inference.store",
    "Task": "core.labels",
    "decode": "core.rle",
    "encode": "core.rle",
    "load_model": "models.weights",
    "load_recipe": "core.recipe.load",
    "open_session": "workflows.session",
    "read_decision": "ensembling.blend",
    "run_until": "workflows.run",
    "score_paths": "workflows.score",
    "write_scenes": "data.synthetic.synthetic",
}


def __getattr__(name: str) -> Any:
    """Import the module of a public name on first use."""
    if name not in _HOME:
        raise AttributeError(f"module 'maskwright' has no attribute '{name}'")
    return getattr(import_module(f"maskwright.{_HOME[name]}"), name)


def __dir__() -> list[str]:
    """List the public names, loaded or not."""
    return sorted(__all__)
