"""The recipe block of first weights: where they come from, and on what terms."""

from __future__ import annotations

from typing import Any

from pydantic import Field, model_validator

from maskwright.core.recipe.base import Block


class Weights(Block):
    """First weights, where they come from and on what terms: exactly one of tag, file (alone), hub and member."""

    tag: str | None = None
    """A pretrained tag that the model library knows, such as imagenet."""
    file: str | None = None
    """A .safetensors file relative to the recipe; with hub, its name in the repository."""
    hub: str | None = Field(default=None, pattern=r"^[A-Za-z0-9][\w.-]*/[\w.-]+$")
    """A repository OWNER/NAME on the Hugging Face hub; fetched once, then read from its cache."""
    member: str | None = None
    """Another member of this recipe: each fold starts from the last weights of that member's same fold."""
    revision: str = "main"
    """Of hub: a branch, tag or commit; only a commit stays what it is."""
    licence: str | None = None
    """What you found out, as an SPDX name in small letters, e.g. apache-2.0; null: what tables and files say."""
    source: str | None = None
    """Who made them, or where you got them."""
    commercial: bool | None = None
    """Whether they may be used commercially, if you read the terms; null: as the licence is known for."""

    @model_validator(mode="after")
    def _one_origin(self) -> Weights:
        origins = (self.tag, self.hub, self.member, self.file if self.hub is None else None)
        if sum(origin is not None for origin in origins) != 1:
            raise ValueError(
                "give exactly one of tag, file, hub and member (with hub, file is a name in the repository)"
            )
        if self.file is not None and not self.file.endswith(".safetensors"):
            raise ValueError(f"file '{self.file}' must end in .safetensors; convert it where you trust it")
        return self


def way(given: Any) -> str:
    """Tell the ways apart that a recipe may give first weights in."""
    return "text" if isinstance(given, str) else "none" if given is None else "block"
