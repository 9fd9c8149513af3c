"""Recipes and plans as plain data: YAML texts read and laid over each other, and what a block says of a fault.

Without the blocks themselves, so that verbs which need no recipe start fast.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from pydantic import ValidationError
from ruamel.yaml import YAML
from ruamel.yaml.error import YAMLError

from maskwright.core.errors import RecipeError, from_os_error, unknown

MAX_EXTENDS = 8


def read_layers(path: Path, depth: int = 0) -> dict[str, Any]:
    """Read a YAML file below which its `extends:` file is laid; deeper mappings are merged key by key."""
    if depth > MAX_EXTENDS:
        raise RecipeError(f"more than {MAX_EXTENDS} levels of extends", where=path, fix="look for a circle")
    data = read_yaml(path)
    base = data.pop("extends", None)
    if base is None:
        return data
    if not isinstance(base, str):
        raise RecipeError(f"must be one path, got {base!r}", where=f"{path}:extends", fix="write extends: base.yaml")
    return merge(read_layers(path.parent / base, depth + 1), data)


def read_yaml(path: Path) -> dict[str, Any]:
    """Read one YAML 1.2 mapping; equal keys and syntax faults are refused with their line."""
    try:
        text = path.read_text(encoding="utf-8")
    except OSError as error:
        raise from_os_error(error, path) from error
    except ValueError as error:
        raise RecipeError(f"not readable as UTF-8 text ({error})", where=path, fix="give a YAML recipe") from None
    try:
        data = YAML(typ="safe", pure=True).load(text)
    except (YAMLError, ValueError, RecursionError) as error:
        mark = getattr(error, "problem_mark", None)
        where = f"{path}:{mark.line + 1}" if mark else str(path)
        problem = str(getattr(error, "problem", None) or error)[:200]
        raise RecipeError(f"not valid YAML: {problem}", where=where, fix="mend the line") from None
    if not isinstance(data, dict):
        raise RecipeError(f"a recipe is a mapping, got {type(data).__name__}", where=path, fix="write key: value lines")
    return data


def merge(base: Mapping[str, Any], over: Mapping[str, Any]) -> dict[str, Any]:
    """Lay `over` on `base`: mappings are merged, all else is replaced. A null in `over` is a value."""
    result = dict(base)
    for key, value in over.items():
        old = result.get(key)
        result[key] = merge(old, value) if isinstance(old, Mapping) and isinstance(value, Mapping) else value
    return result


def merge_overrides(data: Mapping[str, Any], overrides: Sequence[str]) -> dict[str, Any]:
    """Apply `dotted.key=value` texts in order; list entries are named by number, as in output.0.file."""
    result = dict(data)
    for text in overrides:
        dotted, equals, raw = text.partition("=")
        if not equals or not all(dotted.split(".")):
            raise RecipeError(f"'{text}' is no override", where="command line", fix="write key.key=value")
        try:
            value = YAML(typ="safe", pure=True).load(raw) if raw.strip() else None
        except (YAMLError, ValueError, RecursionError):
            value = raw
        result = _set(result, dotted.split("."), value, text)
    return result


def laid(data: Mapping[str, Any], values: Mapping[str, Any]) -> dict[str, Any]:
    """Return plain data with some dotted keys set; list entries are named by number.

    Raises:
        RecipeError: a key leads nowhere.
    """
    result = dict(data)
    for dotted, value in values.items():
        result = _set(result, dotted.split("."), value, dotted)
    return result


def _set(node: Any, keys: Sequence[str], value: Any, text: str) -> Any:
    head, rest = keys[0], keys[1:]
    if isinstance(node, Mapping) or (node is None and not head.isdigit()):
        changed = dict(node or {})
        changed[head] = _set(changed.get(head), rest, value, text) if rest else value
        return changed
    if isinstance(node, list | tuple) and head.isdigit() and int(head) < len(node):
        items = list(node)
        items[int(head)] = _set(items[int(head)], rest, value, text) if rest else value
        return items
    raise RecipeError(f"'{text}': nothing below '{head}' can be set", where="command line", fix="check the dotted key")


def first_fault(error: ValidationError, data: Any, where: str) -> RecipeError:
    """Turn pydantic's first complaint into one line that names the key as the user wrote it."""
    detail = error.errors(include_url=False)[0]
    key = ".".join(_user_path(detail["loc"], data))
    message = str(detail["msg"])
    for prefix in ("Value error, ", "Assertion failed, "):
        message = message.removeprefix(prefix)
    if detail["type"] == "missing":
        return RecipeError("is missing", where=f"{where}:{key}", fix="add it (see maskwright schema)")
    if detail["type"] == "union_tag_invalid":
        said, options = (
            str(detail["ctx"]["tag"]),
            [part.strip(" '") for part in detail["ctx"]["expected_tags"].split(",")],
        )
        raise_at = f"{key}.{str(detail['ctx']['discriminator']).strip(chr(39))}"
        wrong = unknown("value", said, options, f"{where}:{raise_at}")
        return RecipeError(wrong.what, where=wrong.where, fix=wrong.fix)
    what, _, fix = message.partition("; ")
    if detail["type"] not in ("unknown_key", "value_error") and not isinstance(detail["input"], Mapping):
        what = f"{what[0].lower()}{what[1:]}, got {detail['input']!r}"
    return RecipeError(what, where=f"{where}:{key}" if key else where, fix=fix or "see maskwright schema")


def _user_path(loc: Sequence[int | str], data: Any) -> list[str]:
    """Drop what pydantic adds to a location (union tags, validator names) but the user never wrote."""
    path: list[str] = []
    node = data
    for position, step in enumerate(loc):
        if isinstance(node, Mapping) and step in node:
            node = node[step]
        elif isinstance(node, list | tuple) and isinstance(step, int) and step < len(node):
            node = node[step]
        elif (
            position < len(loc) - 1
            or not isinstance(node, Mapping)
            or (path and str(step) in (node.get("format"), node.get("name")))
        ):
            continue
        path.append(str(step))
    return path
