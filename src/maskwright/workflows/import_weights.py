"""The verb import-weights: a foreign checkpoint becomes first weights of a member, with a map of every tensor."""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from maskwright.core.errors import InputError
from maskwright.core.files import atomic_path
from maskwright.core.progress import Reporter
from maskwright.core.recipe.blocks import Recipe
from maskwright.core.recipe.load import build
from maskwright.core.recipe.plain import merge_overrides, read_layers
from maskwright.workflows.session import find_recipe, named_bands

if TYPE_CHECKING:
    from maskwright.models.imports.convert import Imported

MOST = 12
"""Lines of one kind that are printed; the map file holds all."""


@dataclass(frozen=True)
class Bring:
    """What is brought in, and on what terms."""

    file: Path
    origin: str
    out: Path
    member: str | None = None
    bands: int | None = None
    head: str | None = None
    key: str | None = None
    partial: bool = False
    licence: str | None = None
    source: str | None = None
    commercial: bool | None = None


def import_weights(recipe_name: str, overrides: Sequence[str], bring: Bring, reporter: Reporter) -> Path:
    """Write a checkpoint as weights of a recipe's member, and beside them the map of every tensor.

    Args:
        recipe_name: as on the command line.
        overrides: `a.b=value`.
        bring: which checkpoint, and how.
        reporter: told what was matched, reshaped, missing, unused.

    Returns:
        the map file, `w.map.json` beside `w.safetensors`.

    Raises:
        InputError: the file cannot be read safely or does not fit, and then nothing is written.
    """
    from maskwright.models.imports.convert import Wanted, convert, facts_of
    from maskwright.models.imports.heads import surgery_of
    from maskwright.models.tensors import write_tensors

    if bring.out.suffix != ".safetensors":
        raise InputError(f"must end in .safetensors, got '{bring.out.name}'", where="--out", fix="rename it")
    beside = bring.out.with_suffix(".map.json")
    for each in (bring.out, beside):
        if each.is_dir():
            raise InputError("a folder is in the way of what is to be written", where=each, fix="move it")
    path = find_recipe(recipe_name)
    recipe = build(named_bands(merge_overrides(read_layers(path), overrides), path), where=str(path))
    member = _member(recipe, bring.member, path)
    wanted = Wanted(
        recipe.members[member].model,
        recipe.task.planes,
        bring.bands,
        surgery_of(bring.head),
        bring.key,
        bring.partial,
        f"{path}:members.{member}.model",
    )
    result = convert(bring.file, bring.origin, wanted)
    told = result.checkpoint.told
    terms = {
        "licence": bring.licence or told.get("licence") or told.get("license"),
        "source": bring.source or told.get("source"),
        "commercial": bring.commercial,
    }
    write_tensors(bring.out, result.state, facts_of(result, wanted, bring.file.name, terms))
    report = report_of(result, bring.file.name, terms)
    with atomic_path(beside) as temporary:
        temporary.write_text(json.dumps(report, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")
    _say(result, reporter)
    reporter.say(f"weights: {bring.out}")
    reporter.say(f"map: {beside}")
    return beside


def _member(recipe: Recipe, name: str | None, path: Path) -> str:
    if name is None and len(recipe.members) == 1:
        return next(iter(recipe.members))
    if name in recipe.members:
        return str(name)
    what = "has several members" if name is None else f"has no member '{name}'"
    raise InputError(f"the recipe {what}", where=path, fix=f"give --member, one of: {', '.join(recipe.members)}")


def report_of(result: Imported, file: str, terms: dict[str, Any]) -> dict[str, Any]:
    """Return the map as plain data: every tensor of the file and of the model is in it once.

    Args:
        result: of convert.
        file: name of the checkpoint.
        terms: licence, source, commercial.
    """
    rows = [
        {"source": row.source, "target": row.target, "shape": list(row.shape)} for row in result.rows if not row.how
    ]
    changed = [
        {"source": row.source, "target": row.target, "shape": list(row.shape), "how": row.how}
        for row in result.rows
        if row.how
    ]
    return {
        "file": file,
        "origin": result.origin,
        "digest": f"blake2b:{result.checkpoint.digest}",
        **terms,
        "part": result.checkpoint.part,
        "parts_dropped": list(result.checkpoint.dropped),
        "no_tensors": list(result.checkpoint.odd),
        "bands": result.bands,
        "fills": result.scope,
        "complete": not (result.missing or result.unused or result.unfit),
        "matched": rows,
        "reshaped": changed,
        "left_out": dict(result.left_out),
        "missing": result.missing,
        "unused": result.unused,
        "of_other_shape": result.unfit,
    }


def _say(result: Imported, reporter: Reporter) -> None:
    plain = sum(1 for row in result.rows if not row.how)
    changed = [row for row in result.rows if row.how]
    where = f" of {result.checkpoint.part}" if result.checkpoint.part else ""
    reporter.say(f"matched: {plain} tensors{where} as they are, {len(changed)} reshaped or checked")
    for how in dict.fromkeys(row.how for row in changed):
        names = [row.source for row in changed if row.how == how]
        reporter.say(f"  {how}: {len(names)}, first {names[0]}")
    if result.checkpoint.dropped:
        reporter.say(f"dropped parts of the file: {', '.join(result.checkpoint.dropped)}")
    for why in dict.fromkeys(result.left_out.values()):
        reporter.say(f"not needed: {sum(1 for each in result.left_out.values() if each == why)} ({why})")
    _list("missing, left at random", result.missing, reporter)
    _list("of another shape, left at random", result.unfit, reporter)
    _list("unused", result.unused, reporter)


def _list(kind: str, names: Iterable[str], reporter: Reporter) -> None:
    listed = list(names)
    for name in listed[:MOST]:
        reporter.warn(f"{kind}: {name}")
    if len(listed) > MOST:
        reporter.warn(f"{kind}: and {len(listed) - MOST} more, see the map")
