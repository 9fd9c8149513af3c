"""Votes on submission files: a plan from the command line or from a file, and what it comes to."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, TypeAlias

from pydantic import ValidationError

from maskwright.core.errors import InputError, unknown
from maskwright.core.progress import Reporter
from maskwright.core.recipe.plain import first_fault, merge_overrides, read_yaml
from maskwright.core.stop import Stop
from maskwright.ensembling.votes import Shape, vote
from maskwright.ensembling.votes_rules import VotePlan, compile_group
from maskwright.ensembling.votes_table import DIALECTS, MAP_FORMATS

if TYPE_CHECKING:
    from maskwright.workflows.vote_maps import MapPlan


@dataclass(frozen=True)
class Ask:
    """A vote as the command line says it."""

    files: tuple[Path, ...]
    """Submission files, or folders of them."""
    format: str
    output: Path
    rule: str | None = None
    at_least: int | Literal["all"] | None = None
    threshold: float | None = None
    weights: str | None = None
    """A CSV file of member,score or member,weight, or m1=0.7,m2=0.6."""
    scores: Path | None = None
    """For rule best: a CSV file of member,class,score."""
    sample: Path | None = None
    empty: str | None = None
    size: tuple[int, int] | None = None


Plan: TypeAlias = "VotePlan | MapPlan"


def plan_of(ask: Ask) -> Plan:
    """Turn a command line into a plan whose paths are relative to where we are.

    Raises:
        InputError: two members of one name, a folder without CSV files, weights that cannot be read.
    """
    members = _members(ask)
    weights: Any = None
    scores: Any = None if ask.scores is None else str(ask.scores)
    if ask.weights is not None and "=" in ask.weights:
        weights = _given(ask.weights)
    elif ask.weights is not None:
        weights = ask.weights
    plain = {
        "members": members,
        "rule": ask.rule,
        "at_least": ask.at_least,
        "threshold": ask.threshold,
        "weights": weights,
        "scores": scores,
        "format": ask.format,
        "output": str(ask.output),
        "sample": None if ask.sample is None else str(ask.sample),
        "empty": ask.empty,
        "size": ask.size,
    }
    if ask.format in MAP_FORMATS:  # of the others each has its own block
        plain = {key: value for key, value in plain.items() if value is not None}
    return _checked(plain, "command line")


def read_plan(path: Path, overrides: Sequence[str] = ()) -> Plan:
    """Read a plan; `a.b=value` texts are laid over it.

    Raises:
        RecipeError: naming file and key.
    """
    return _checked(merge_overrides(read_yaml(path), overrides), str(path))


def run_vote(plan: Plan, folder: Path, reporter: Reporter, stop: Stop | None = None) -> None:
    """Vote and say what came of it.

    Args:
        plan: what to vote on.
        folder: what its paths are relative to.
        reporter: gets one line.
        stop: looked at between blocks of rows.

    Raises:
        InputError, StorageError: see ensembling.votes.vote.
    """
    if not isinstance(plan, VotePlan):
        from maskwright.workflows.vote_maps import run_maps

        run_maps(plan, folder, reporter, stop)
        return
    if plan.format not in DIALECTS:
        raise unknown("format", plan.format, [*DIALECTS, *MAP_FORMATS], "--format")
    dialect = DIALECTS[plan.format]
    if dialect.classes and plan.empty is not None:
        raise InputError("files of classes have no empty masks", where="--empty", fix="leave it out")
    program = compile_group(plan, folder, dialect.classes)
    sample = None if plan.sample is None else folder / plan.sample
    shape = Shape(dialect.empty if plan.empty is None else plan.empty, plan.size)
    done = vote(program, dialect, folder / plan.output, sample, shape, stop)
    groups = f" in {len(program.steps)} votes" if len(program.steps) > 1 else ""
    without = "" if dialect.classes else f", {done.empty} without pixels"
    reporter.say(f"{done.path}: {done.rows} rows from {done.files} files{groups}{without}")


def _checked(plain: dict[str, Any], where: str) -> Plan:
    kind: type[Plan] = VotePlan
    if plain.get("format") in MAP_FORMATS:  # late: it reads pictures, which costs time to import
        from maskwright.workflows.vote_maps import MapPlan

        kind = MapPlan
    try:
        return kind.model_validate(plain)
    except ValidationError as error:
        raise first_fault(error, plain, where) from None


def _members(ask: Ask) -> dict[str, str]:
    """Return name -> file; a folder stands for the CSV files in it, but for those that are no members."""
    found: dict[str, Path] = {}
    others = {path.resolve() for path in (ask.output, ask.sample, ask.scores) if path is not None}
    if ask.weights is not None and "=" not in ask.weights:
        others.add(Path(ask.weights).resolve())
    for given in ask.files:
        files = [given]
        if given.is_dir() and ask.format not in MAP_FORMATS:
            files = sorted(path for path in given.glob("*.csv") if path.resolve() not in others)
            if not files:
                raise InputError("no CSV files in this folder", where=given, fix="name a folder of submissions")
        for path in files:
            if path.stem in found:
                what = f"two members are called '{path.stem}': {found[path.stem]} and {path}"
                raise InputError(what, where="command line", fix="rename one, or write a plan with names of its own")
            found[path.stem] = path
    return {name: str(path) for name, path in found.items()}


def _given(text: str) -> dict[str, float]:
    """Return the weights that m1=0.7,m2=0.6 means."""
    found: dict[str, float] = {}
    for part in text.split(","):
        name, _, value = (piece.strip() for piece in part.partition("="))
        try:
            number = float(value)
        except ValueError:
            raise InputError(
                f"'{part}' is no weight", where="--weights", fix="write member=number,member=number"
            ) from None
        if name in found:
            raise InputError(f"'{name}' has two weights", where="--weights", fix="keep one")
        found[name] = number
    return found
