"""From plain data and overrides to a Recipe; from a Recipe to its resolved copy, hash and schema."""

from __future__ import annotations

import hashlib
import io
import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from pydantic import ValidationError
from ruamel.yaml import YAML

from maskwright.core.recipe.blocks import Recipe
from maskwright.core.recipe.plain import first_fault, merge_overrides, read_layers


def load_recipe(path: str | Path, overrides: Sequence[str] = ()) -> Recipe:
    """Read a recipe file, follow `extends:`, apply `a.b=value` overrides, check everything.

    Args:
        path: YAML 1.2 file.
        overrides: dotted keys with YAML values, e.g. `members.a.train.epochs=3`.

    Raises:
        RecipeError: naming file and key, with what to do.
    """
    path = Path(path)
    return build(merge_overrides(read_layers(path), overrides), where=str(path))


def build(data: Mapping[str, Any], where: str = "recipe") -> Recipe:
    """Check plain data against the recipe's blocks; `where` names it in messages."""
    try:
        return Recipe.model_validate(data)
    except ValidationError as error:
        raise first_fault(error, data, where) from None


def to_plain(recipe: Recipe) -> dict[str, Any]:
    """Return the recipe as plain data with every default written out."""
    return recipe.model_dump(mode="json")


def recipe_hash(recipe: Recipe) -> str:
    """Return 16 hex digits of SHA-256 over the resolved recipe without data.root, so a moved set keeps it."""
    plain = to_plain(recipe)
    plain["data"].pop("root")
    return digest(plain)


def digest(plain: Any) -> str:
    """Return 16 hex digits of SHA-256 over canonical JSON of plain data."""
    text = json.dumps(plain, sort_keys=True, separators=(",", ":"), ensure_ascii=False)
    return hashlib.sha256(text.encode()).hexdigest()[:16]


def dump_resolved(recipe: Recipe, program_version: str) -> str:
    """Return YAML text of the resolved recipe; an absolute data.root is left out, so the run can move."""
    plain = to_plain(recipe)
    note = ""
    if Path(plain["data"]["root"]).is_absolute():
        plain["data"].pop("root")
        note = "# data.root was absolute and is not kept; give data.root=PATH again\n"
    stream = io.StringIO()
    yaml = YAML(typ="safe", pure=True)
    yaml.default_flow_style = None
    yaml.sort_base_mapping_type_on_output = False  # type: ignore[assignment]
    yaml.width = 110
    yaml.dump(plain, stream)
    head = f"# resolved by maskwright {program_version}; recipe hash {recipe_hash(recipe)}\n{note}"
    return head + stream.getvalue()


def differing(old: Any, new: Any, prefix: str = "") -> list[str]:
    """List `key was X, now Y` for every leaf in which two plain structures differ."""
    if isinstance(old, Mapping) and isinstance(new, Mapping):
        keys = [*old, *(key for key in new if key not in old)]
        return [
            line
            for key in keys
            for line in differing(
                old.get(key, "absent"), new.get(key, "absent"), f"{prefix}.{key}" if prefix else str(key)
            )
        ]
    return [] if old == new else [f"{prefix} was {_short(old)}, now {_short(new)}"]


def _short(value: Any) -> str:
    text = json.dumps(value, ensure_ascii=False)
    return text if len(text) <= 60 else f"{text[:57]}..."


def schema() -> dict[str, Any]:
    """Return the recipe's JSON Schema (draft 2020-12)."""
    return {"$schema": "https://json-schema.org/draft/2020-12/schema", **Recipe.model_json_schema()}
