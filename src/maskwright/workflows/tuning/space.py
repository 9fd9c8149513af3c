"""The keys that a search may try values of: checked one by one before any trial, and laid into a recipe."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from maskwright.core.errors import InputError, RecipeError, unknown
from maskwright.core.recipe.blocks import Recipe
from maskwright.core.recipe.lineage import stages_of
from maskwright.core.recipe.load import build, to_plain
from maskwright.core.recipe.plain import laid
from maskwright.core.recipe.tuning import Objective, Span
from maskwright.workflows.session import check_recipe


@dataclass(frozen=True)
class Base:
    """The recipe that values are laid into."""

    recipe: Recipe
    path: Path
    """The file it came from, for messages and for files beside it."""

    def with_values(self, values: Mapping[str, Any]) -> Recipe:
        """Return the whole recipe with some keys set, checked.

        Raises:
            RecipeError, InputError: it is no recipe then.
        """
        made = build(laid(to_plain(self.recipe), values), where=str(self.path))
        check_recipe(made, self.path)
        return made

    def touched(self, keys: Mapping[str, Any] | tuple[str, ...]) -> tuple[str, ...]:
        """Return the members that some keys can change, and those that these start from, in order of training."""
        named = [key.split(".")[1] for key in keys if key.startswith("members.")]
        if len(named) < len(keys):
            return tuple(stages_of(self.recipe.members))
        wanted: list[str] = []
        for name in named:
            one = name
            while one not in wanted:
                wanted.append(one)
                one = self.recipe.members[one].model.other or one
        return tuple(name for name in stages_of(self.recipe.members) if name in wanted)


def check_keys(base: Base, keys: Mapping[str, Any], objective: Objective, block: str) -> None:
    """Refuse keys that do not exist, or that trials could not be compared by.

    Args:
        base: the recipe.
        keys: dotted keys.
        objective: how trials are judged.
        block: where the keys stand in the recipe, for messages.

    Raises:
        RecipeError: naming the key and why.
    """
    for key in keys:
        where = f"{base.path}:{block}.{key}"
        for prefix, why in REFUSED.items():
            if key == prefix or key.startswith(f"{prefix}."):
                raise RecipeError(f"{key} {why}", where=where, fix="leave it out")
        parts = key.split(".")
        if parts[0] == "members":
            if len(parts) < 3:
                raise RecipeError("names no key of a member", where=where, fix="write members.NAME.block.key")
            if parts[1] not in base.recipe.members:
                wrong = unknown("member", parts[1], base.recipe.members, where)
                raise RecipeError(wrong.what, where=wrong.where, fix=wrong.fix)
        if objective == "validation" and (parts[0] == "decision" or parts[2:3] == ["predict"]):
            what = f"{key} comes after the validation that trials are judged by"
            raise RecipeError(what, where=where, fix="use objective: nested, or leave it out")


def check_space(base: Base, space: Mapping[str, Span], objective: Objective) -> None:
    """Refuse a space with a key or a value that makes no recipe, before any trial.

    Both ends of a range and every choice are laid into the recipe one at a time; what two keys do only together shows
    in a trial, which then fails and says so.

    Raises:
        RecipeError: naming key and value.
    """
    check_keys(base, space, objective, "search.space")
    for key, span in space.items():
        for value in _tried(span):
            try_value(base, {key: value}, f"search.space.{key}", f"with {value!r:.80}: ")


def try_value(base: Base, values: Mapping[str, Any], block: str, said: str) -> Recipe:
    """Return the recipe with values laid in; what it complains about is told at the key that gave them.

    Raises:
        RecipeError: naming the block.
    """
    try:
        return base.with_values(values)
    except InputError as error:
        where = str(error.where).removeprefix(f"{base.path}:")
        place = "" if where in ("", str(base.path), block) else f"{where}: "
        raise RecipeError(f"{said}{place}{error.what}", where=f"{base.path}:{block}", fix=error.fix) from None


def _tried(span: Span) -> Iterator[Any]:
    if span.choice is not None:
        yield from span.choice
    elif span.ends is not None:
        yield from span.ends


def as_it_is(base: Base, space: Mapping[str, Span]) -> dict[str, Any] | None:
    """Return the values of a space with which the recipe is as it is; None: the space does not hold them."""
    values = {}
    for key, span in space.items():
        found = [value for value in _candidates(base, key, span) if _same(base, {key: value})]
        if not found:
            return None
        values[key] = found[0]
    return values


def _candidates(base: Base, key: str, span: Span) -> tuple[Any, ...]:
    if span.choice is not None:
        return span.choice
    value = value_of(base, key)
    return (value,) if _between(span, value) else ()


def _same(base: Base, values: Mapping[str, Any]) -> bool:
    return to_plain(base.with_values(values)) == to_plain(base.recipe)


def _between(span: Span, value: Any) -> bool:
    if span.ends is None or isinstance(value, bool) or not isinstance(value, int | float):
        return False
    low, high = span.ends
    steps = 0.0 if span.step is None else (value - low) / span.step
    whole = span.whole is None or value == round(value)
    return low <= value <= high and whole and abs(steps - round(steps)) < 1e-9


def measured_part(recipe: Recipe) -> dict[str, Any]:
    """Return as plain data what decides scores, without this machine's paths."""
    plain = to_plain(recipe)
    for key in ("name", "output", "trackers", "rules", "score", "mine", "selftrain"):
        plain.pop(key)
    for key in ("root", "cache", "test"):
        plain["data"].pop(key)
    return plain


def value_of(base: Base, key: str) -> Any:
    """Return what the recipe has for a key, every default written out; None where there is nothing."""
    node: Any = to_plain(base.recipe)
    for part in key.split("."):
        if isinstance(node, list) and part.isdigit() and int(part) < len(node):
            node = node[int(part)]
        else:
            node = node.get(part) if isinstance(node, Mapping) else None
    return node


REFUSED = {
    "seed": "is luck and no setting (finalists are repeated with other seeds)",
    "folds": "would score trials on other items, which cannot be compared",
    "task": "is the question itself",
    "data.root": "would score trials on other items, which cannot be compared",
    "data.train": "would score trials on other items, which cannot be compared",
    "data.test": "has no part in the score",
    "data.limit": "would score trials on other items, which cannot be compared",
    "data.cache": "changes no result",
    "decision.metric": "is the score that trials are judged by",
    "decision.beta": "is the score that trials are judged by",
    "decision.per": "is the score that trials are judged by",
    "decision.empty": "is the score that trials are judged by",
    "decision.classes": "is the score that trials are judged by",
    "name": "changes no result",
    "version": "changes no result",
    "score": "has no part in the score that trials are judged by",
    "output": "has no part in the score",
    "trackers": "changes no result",
    "rules": "changes no result",
    "search": "is what tries values",
    "ablate": "is another verb",
    "quick": "is laid over before",
}
"""Keys, and all keys below them, that nothing is tried of: why."""
