"""Weights and model cards from the Hugging Face hub: fetched once, then read from its cache, offline too."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from maskwright.core.errors import InputError
from maskwright.core.recipe.first import Weights

FILE = "model.safetensors"
"""What a repository calls its weights if the recipe does not say otherwise."""


def fetch(weights: Weights, where: str) -> Path:
    """Return the local copy of a repository's weights file, fetching it if it is not in the cache.

    Args:
        weights: with `hub`.
        where: recipe key for messages.

    Raises:
        InputError: the repository, the revision or the file is not there, or there is no network.
    """
    from huggingface_hub import hf_hub_download

    assert weights.hub is not None, weights
    file = weights.file or FILE
    try:
        return Path(hf_hub_download(weights.hub, file, revision=weights.revision))
    except (OSError, ValueError) as error:  # the library's own errors are one or the other
        raise InputError(
            f"{file} of {weights.hub} at {weights.revision} cannot be fetched ({type(error).__name__})",
            where=f"{where}.weights",
            fix="check the names, connect to the network once, or give a local .safetensors file",
        ) from error


def commit_of(weights: Weights) -> str | None:
    """Return the commit of the copy that is in the cache, or None if there is none; asks no network."""
    from huggingface_hub import hf_hub_download

    assert weights.hub is not None, weights
    try:
        path = hf_hub_download(weights.hub, weights.file or FILE, revision=weights.revision, local_files_only=True)
    except (OSError, ValueError):
        return None
    return Path(path).parent.name if weights.file is None or "/" not in weights.file else None


def card_of(repository: str, revision: str) -> dict[str, Any]:
    """Return what the head of a repository's model card states, e.g. its licence; empty if it cannot be had.

    Args:
        repository: OWNER/NAME.
        revision: branch, tag or commit.
    """
    from huggingface_hub import hf_hub_download
    from ruamel.yaml import YAML
    from ruamel.yaml.error import YAMLError

    try:
        text = Path(hf_hub_download(repository, "README.md", revision=revision)).read_text(encoding="utf-8")
        _, fence, rest = text.partition("---\n")
        head = YAML(typ="safe", pure=True).load(rest.partition("\n---")[0]) if fence else None
    except (OSError, ValueError, YAMLError, RecursionError):
        return {}
    return {str(key): value for key, value in head.items()} if isinstance(head, dict) else {}
