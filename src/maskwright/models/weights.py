"""Trained weights as files: safetensors, with the facts that are needed to build the network again."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from torch import Tensor

from maskwright.core.errors import InputError
from maskwright.core.recipe.members import Model
from maskwright.models.adapt import SegModel
from maskwright.models.build import build_model
from maskwright.models.tensors import read_tensors, write_tensors


def save_weights(path: Path, state: Mapping[str, Tensor], facts: Mapping[str, Any]) -> None:
    """Write a SegModel's state dict and what is known about it, atomically and checked.

    Args:
        path: final name, ending in .safetensors.
        state: a SegModel's state dict.
        facts: JSON-able; `model` (the block as plain data), `bands` and `planes` are needed to load
            it again; preprocess, task, step, recipe hash, fold and score go with them.

    Raises:
        StorageError: disk full or no permission.
    """
    assert {"model", "bands", "planes"} <= facts.keys(), sorted(facts)
    write_tensors(path, state, facts)


def read_weights(path: Path) -> tuple[dict[str, Tensor], dict[str, Any]]:
    """Read weights and facts that save_weights wrote.

    Raises:
        InputError: absent, pickled, truncated or damaged.
    """
    tensors, facts = read_tensors(path)
    if not {"model", "bands", "planes"} <= facts.keys():
        raise InputError("holds no model", where=path, fix="give weights that maskwright trained")
    return tensors, facts


def load_model(path: Path) -> tuple[SegModel, dict[str, Any]]:
    """Build the network that a weights file belongs to, filled, in evaluation mode, on the CPU.

    Nothing is fetched from the network: all weights are in the file.

    Raises:
        InputError: the file is absent or damaged, or the network cannot be built here.
    """
    state, facts = read_weights(path)
    block = Model.model_validate({**facts["model"], "weights": None, "stem": "repeat"})
    model = build_model(block, int(facts["bands"]), int(facts["planes"]), where=str(path))
    try:
        model.load_state_dict(state)
    except RuntimeError as error:
        raise InputError(
            f"weights do not fit their own network ({str(error).splitlines()[0][:80]})",
            where=path,
            fix="use the versions of timm and segmentation-models-pytorch it was trained with",
        ) from error
    return model.train(False), facts
