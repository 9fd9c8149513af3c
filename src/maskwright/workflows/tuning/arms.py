"""The arms of an ablation: what is left out, added or set, one change at a time."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from maskwright.core.errors import RecipeError, unknown
from maskwright.core.progress import Reporter
from maskwright.core.recipe.load import digest, to_plain
from maskwright.core.recipe.tuning import Ablate
from maskwright.workflows.tuning.space import Base, check_keys, try_value, value_of


@dataclass(frozen=True)
class Arm:
    """One change."""

    name: str
    """As people read it, e.g. without mosaic."""
    values: Mapping[str, Any]
    """Dotted key -> value."""
    source: str
    """Where it stands in the recipe, for messages."""

    @property
    def folder(self) -> str:
        """A name of a folder that no other change has."""
        plain = "".join(c if c.isalnum() else "-" for c in self.name).strip("-")[:40]
        return f"{plain}-{digest(dict(self.values))[:8]}"


def arms_of(base: Base, block: Ablate, vary: Sequence[str], reporter: Reporter) -> list[Arm]:
    """Return all arms, each of which makes a recipe that is not the one it starts from.

    Args:
        base: the recipe.
        block: its block ablate.
        vary: keys instead of block.vary.
        reporter: is told of what is left out.

    Raises:
        RecipeError: a key that is neither a list nor a mapping, an arm that makes no recipe, no arms.
    """
    found: list[Arm] = []
    wanted = [*_left_out(base, vary or block.vary), *_added(base, block), *_named(block)]
    plain = to_plain(base.recipe)
    for arm in wanted:
        check_keys(base, arm.values, block.objective, arm.source)
        made = to_plain(try_value(base, arm.values, arm.source, f"{arm.name}: "))
        if made == plain:
            reporter.say(f"ablate: {arm.name} changes nothing and is left out")
        else:
            found.append(arm)
    if not found:
        raise RecipeError(
            "nothing to switch off or on",
            where=f"{base.path}:ablate",
            fix="give --vary augment, or write ablate: {arms: {NAME: {members.NAME.train.ema: null}}}",
        )
    names = [arm.name for arm in found]
    twice = next((name for name in names if names.count(name) > 1), None)
    if twice is not None:
        raise RecipeError(f"two arms are called '{twice}'", where=f"{base.path}:ablate", fix="name one otherwise")
    return found


def _left_out(base: Base, keys: Sequence[str]) -> Iterator[Arm]:
    for key in keys:
        for member, dotted in _spelt(base, key):
            value = value_of(base, dotted)
            parent, _, last = dotted.rpartition(".")
            if value is None and isinstance(table := value_of(base, parent), Mapping) and last not in table:
                wrong = unknown("key", last, table, f"{base.path}:{parent}")
                raise RecipeError(wrong.what, where=wrong.where, fix=wrong.fix)
            if not isinstance(value, list | dict) or not value:
                said = "empty" if value in ([], {}) else f"{value!r:.60}"
                raise RecipeError(
                    f"--vary needs a list or a mapping, {dotted} is {said}",
                    where=f"{base.path}:{dotted}",
                    fix="name another key, or write the arms into ablate.arms",
                )
            for place, name in enumerate(_names(value)):
                rest = _without(value, place)
                yield Arm(f"{member}without {name}", {dotted: rest}, "ablate.vary")


def _added(base: Base, block: Ablate) -> Iterator[Arm]:
    for key, entries in block.add.items():
        for member, dotted in _spelt(base, key):
            old = value_of(base, dotted)
            for entry in entries:
                value: Any = [*(old or []), entry]
                if isinstance(old, dict):
                    value = {**old, **(entry if isinstance(entry, Mapping) else {entry: 1.0})}
                yield Arm(f"{member}with {_name(entry)}", {dotted: value}, f"ablate.add.{key}")


def _named(block: Ablate) -> Iterator[Arm]:
    for name, values in block.arms.items():
        yield Arm(name, values, f"ablate.arms.{name}")


def _spelt(base: Base, key: str) -> Iterator[tuple[str, str]]:
    """Yield what stands before an arm's name, and the dotted key, for each member that a short key means."""
    if key.split(".", maxsplit=1)[0] in to_plain(base.recipe):
        yield "", key
        return
    names = list(base.recipe.members)
    having = [name for name in names if value_of(base, f"members.{name}.{key}")] or names[:1]
    for name in having:
        yield ("" if len(names) == 1 else f"{name}: "), f"members.{name}.{key}"


def _names(value: Any) -> list[str]:
    """Return what the entries of a list or mapping are called, those of one name numbered."""
    names = [_name(entry) for entry in value]
    return [
        name if names.count(name) == 1 else f"{name} {names[: place + 1].count(name)}"
        for place, name in enumerate(names)
    ]


def _name(entry: Any) -> str:
    if isinstance(entry, Mapping) and len(entry) == 1:
        return str(next(iter(entry)))
    return entry if isinstance(entry, str) else json.dumps(entry)[:40]


def _without(value: Any, place: int) -> Any:
    if isinstance(value, Mapping):
        return {key: one for index, (key, one) in enumerate(value.items()) if index != place}
    return [one for index, one in enumerate(value) if index != place]
