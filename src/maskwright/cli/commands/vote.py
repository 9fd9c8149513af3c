"""The verb that lets submission files vote."""

from __future__ import annotations

from dataclasses import dataclass, fields
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

import typer

from maskwright.cli.spelt import spell_out

if TYPE_CHECKING:
    from maskwright.workflows.vote import Ask

Files = Annotated[
    list[Path], typer.Argument(metavar="FILES", help="Submission files or folders of them; or one plan.yaml.")
]


RULES = ("vote", "class", "best", "mean", "low_variance")
"""Rules that need no plan; soft needs thresholds of each member."""


@dataclass(frozen=True)
class Rules:
    """The options that say how files vote; a plan says all of it itself."""

    form: Annotated[
        str | None,
        typer.Option("--format", help="dacon, hand-bone, kaggle, rle, class-string, joblib, or maps (folders)."),
    ] = None
    output: Annotated[Path | None, typer.Option("--output", help="File to write; of maps: folder.")] = None
    at_least: Annotated[str | None, typer.Option("--at-least", help="How many members must say so, or all.")] = None
    threshold: Annotated[
        float | None, typer.Option("--threshold", help="What share of weights must say so, 0..1; that share is enough.")
    ] = None
    weights: Annotated[
        str | None,
        typer.Option("--weights", help="a=0.7,b=0.6, or a CSV file of member,weight, or of member,score."),
    ] = None
    rule: Annotated[
        str | None,
        typer.Option(
            "--rule", help="vote; class: heaviest of a pixel; best: member of a class; maps: mean, low_variance."
        ),
    ] = None
    scores: Annotated[
        Path | None, typer.Option("--scores", help="For --rule best: a CSV file of member,class,score.")
    ] = None
    sample: Annotated[
        Path | None, typer.Option("--sample", help="Sample submission: its ids and their order count.")
    ] = None
    empty: Annotated[
        str | None, typer.Option("--empty", help="Text of a mask without pixels [default: the format's].")
    ] = None
    size: Annotated[
        str | None, typer.Option("--size", help="Height x width of masks, e.g. 224x224, to check runs.")
    ] = None


def vote(files: Files, **rules: Any) -> None:
    """Vote on submission files of several models, joined by id; masks in run lengths are never decoded.

    With scores the weight of a member is ln(score - lowest + 1) + 1. Members are called by their file names without
    .csv. A plan holds groups of groups (docs/howto/vote.md).

    Example: maskwright vote --at-least 2 a.csv b.csv c.csv --format dacon --output voted.csv
    """
    from maskwright.cli.console import Console
    from maskwright.core.stop import Stop
    from maskwright.workflows.vote import plan_of, read_plan, run_vote

    given = Rules(**rules)
    console, plain = Console(), [str(path) for path in files]
    with Stop().listening() as stop:
        if files[0].suffix in (".yaml", ".yml"):
            _refuse_options(given)
            run_vote(read_plan(files[0], plain[1:]), files[0].parent, console, stop)
        else:
            run_vote(plan_of(_ask(files, given)), Path(), console, stop)


def _refuse_options(given: Rules) -> None:
    from maskwright.core.errors import InputError

    for field in fields(given):
        if getattr(given, field.name) is not None:
            name = {"form": "format"}.get(field.name, field.name)
            what, fix = f"--{name.replace('_', '-')} beside a plan", f"write it in the plan, or add {name}=VALUE"
            raise InputError(what, where="command line", fix=fix)


def _ask(files: list[Path], given: Rules) -> Ask:
    """Check the options and put them together."""
    from maskwright.core.errors import InputError, unknown
    from maskwright.ensembling.votes_table import DIALECTS, MAP_FORMATS
    from maskwright.workflows.vote import Ask

    if given.form is None or given.output is None:
        what = "--format and --output are not both given"
        raise InputError(what, where="command line", fix="say how the files are written, and where the answer goes")
    if given.form not in (*DIALECTS, *MAP_FORMATS):
        raise unknown("format", given.form, [*DIALECTS, *MAP_FORMATS], "--format")
    if given.rule is not None and given.rule not in RULES:
        raise unknown("rule", given.rule, RULES, "--rule")
    return Ask(
        files=tuple(files),
        format=given.form,
        output=given.output,
        rule=given.rule,
        at_least=_at_least(given.at_least),
        threshold=given.threshold,
        weights=given.weights,
        scores=given.scores,
        sample=given.sample,
        empty=given.empty,
        size=read_size(given.size),
    )


def _at_least(text: str | None) -> int | Literal["all"] | None:
    from maskwright.core.errors import InputError

    if text is None or text == "all":
        return "all" if text else None
    if not text.isdecimal() or int(text) < 1:
        raise InputError(f"'{text}' is no number of members", where="--at-least", fix="write 1 or more, or all")
    return int(text)


def read_size(text: str | None) -> tuple[int, int] | None:
    """Return what 224x224 means, (height, width).

    Raises:
        InputError: anything else.
    """
    from maskwright.core.errors import InputError

    if text is None:
        return None
    parts = text.lower().split("x")
    if len(parts) != 2 or not all(part.isdecimal() and int(part) > 0 for part in parts):
        raise InputError(f"'{text}' is no size", where="--size", fix="write height x width, e.g. 224x224")
    return int(parts[0]), int(parts[1])


spell_out(vote, Rules)
