"""The verbs that look at data before anything is trained: inspect and init."""

from __future__ import annotations

import sys
from dataclasses import dataclass
from inspect import Parameter, Signature, signature
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from maskwright.cli.commands.run import Overrides, Quick

if TYPE_CHECKING:
    from collections.abc import Sequence

    from maskwright.core.progress import Reporter
    from maskwright.output.report.data_facts import AuditFacts, FindingFact
    from maskwright.workflows.guess import Proposal
    from maskwright.workflows.inspect import Inspected
    from maskwright.workflows.session import Session

FORMATS = ("folder", "coco", "rle-csv", "polygons")
RecipeOrNone = Annotated[
    str | None, typer.Argument(metavar="[RECIPE]", help="YAML file, run folder, or packaged recipe.")
]
AuditOut = Annotated[
    Path | None, typer.Option("--out", help="Run folder that gets audit.json and audit.html [default: runs/<name>].")
]
AsJson = Annotated[bool, typer.Option("--json", help="Print audit.json's content, and nothing else.")]
Augment = Annotated[bool, typer.Option("--augment", help="Draw what the members will see, too.")]


@dataclass(frozen=True)
class Bare:
    """The options that stand in for a recipe."""

    form: Annotated[str | None, typer.Option("--format", help=f"Without a recipe: {', '.join(FORMATS)}.")] = None
    images: Annotated[Path | None, typer.Option("--images", help="Without a recipe: the folder of images.")] = None
    labels: Annotated[Path | None, typer.Option("--labels", help="Without a recipe: folder or file of labels.")] = None
    classes: Annotated[int | None, typer.Option("--classes", min=1, help="Without a recipe: how many classes.")] = None


def inspect(
    recipe: RecipeOrNone = None,
    overrides: Overrides = None,
    out: AuditOut = None,
    quick: Quick = False,
    as_json: AsJson = False,
    augment: Augment = False,
    **bare: Any,
) -> None:
    """Audit the data set: every fault, suspicion and note in one run, as table, audit.json and audit.html.

    Exit code 0: no faults; 2: faults. Files go into the run folder even then; with --json they are only written if
    --out names a folder. Without a recipe, --format, --images and --labels say what to look at, and a recipe that
    fits is printed.

    Example: maskwright inspect examples/nuclei.yaml data.root=PATH --augment
    """
    from maskwright.cli.console import Console, complain, say
    from maskwright.core.errors import InputError
    from maskwright.core.progress import Silent
    from maskwright.workflows import inspect as look

    reporter: Reporter = Silent() if as_json else Console()
    session, proposal = _opened(recipe, overrides, Bare(**bare), (out, quick), reporter)
    keep = out is not None or not (as_json or proposal is not None)
    if augment and not keep:
        raise InputError("pictures need a folder", where="--augment", fix="give --out DIR")
    found = look.inspect(session, augment=augment) if keep else look.examined(session)
    if as_json:
        say(_json(found, proposal))
    else:
        for line in found.guessed:
            say(f"note: {line}")
        _show(found.facts)
        if proposal is not None:
            say("".join(f"guessed: {line}\n" for line in proposal.said) + f"\n{proposal.text.rstrip()}\n")
        for name, one in found.facts.sets.items():
            say(f"inspect {name}: {one.items} items, {_counts(one.findings)}")
        if found.page is not None:
            say(f"see {found.page}" + (f" and {found.sheet}" if found.sheet else ""))
    faults = found.facts.count("fault")
    if faults:
        where = found.page or ("the findings on stdout" if as_json else "the list above")
        items = f"{faults} fault{'s' if faults > 1 else ''} in {found.items} items"
        complain(f"error: {session.recipe.data.root}: {items}; see {where}")
        raise typer.Exit(2)


def _spelt_out() -> Signature:
    """Return inspect's parameters with those of Bare one by one, as the command line reads them."""
    given = signature(inspect, eval_str=True).parameters.values()
    named = [one for one in given if one.kind is not Parameter.VAR_KEYWORD]
    return Signature([*named, *signature(Bare, eval_str=True).parameters.values()])


inspect.__signature__ = _spelt_out()  # type: ignore[attr-defined]


def init(
    folder: Annotated[Path, typer.Argument(metavar="DIR", help="Folder that holds images and labels.")],
    out: Annotated[Path, typer.Option("-o", "--out", help="Recipe to write.")] = Path("recipe.yaml"),
) -> None:
    """Guess layout and task of a set from its folder, and write a commented recipe to mend.

    Example: maskwright init PATH -o roofs.yaml
    """
    from maskwright.cli.console import say
    from maskwright.workflows.guess import init as write

    proposal = write(folder, out)
    for line in proposal.said:
        say(f"guessed: {line}")
    say(f"wrote {out}: mend the lines marked 'guessed', then: maskwright inspect {out} --augment")


def _opened(
    recipe: str | None,
    overrides: list[str] | None,
    bare: Bare,
    folder: tuple[Path | None, bool],
    reporter: Reporter,
) -> tuple[Session, Proposal | None]:
    """Open a recipe, or guess one from --format, --images and --labels."""
    from maskwright.core.errors import InputError, unknown
    from maskwright.workflows.session import open_session

    out, quick = folder
    if recipe is not None and bare == Bare():
        return open_session(recipe, overrides or [], reporter, out=out, quick=quick), None
    if recipe is not None:
        fix = "give a recipe, or --format, --images and --labels"
        raise InputError("a recipe and --format, --images, --labels or --classes", where="command line", fix=fix)
    if bare.form is None or bare.images is None or bare.labels is None:
        fix = "give RECIPE, or all of --format, --images and --labels (or see maskwright init)"
        raise InputError("nothing to inspect", where="command line", fix=fix)
    if bare.form not in FORMATS:
        raise unknown("format", bare.form, FORMATS, "--format")
    from maskwright.workflows.guess import session_without_recipe

    return session_without_recipe(bare.form, bare.images, bare.labels, bare.classes, reporter, out)


def _json(found: Inspected, proposal: Proposal | None) -> str:
    """Return audit.json's content; without a recipe, the guessed one beside it."""
    import json

    plain: dict[str, Any] = dict(found.plain)
    if proposal is not None:
        plain |= {"guessed": list(proposal.said), "proposed": proposal.text}
    return json.dumps(plain, indent=1, ensure_ascii=False)


def _counts(findings: Sequence[FindingFact]) -> str:
    """Say how many findings of each severity there are."""
    said = []
    for severity in ("fault", "suspicion", "note"):
        number = sum(finding.severity == severity for finding in findings)
        if number or severity == "fault":
            said.append(f"{number or 'no'} {severity}{'' if number == 1 else 's'}")
    return ", ".join(said)


def _show(facts: AuditFacts) -> None:
    """Print all findings by severity and kind: a table on a terminal, plain lines elsewhere."""
    from maskwright.cli.console import say

    if sys.stdout.isatty():
        _tables(facts)
        return
    for severity in ("fault", "suspicion", "note"):
        for kind, found in _by_kind(facts, severity).items():
            if len(found) > 1:
                say(f"{severity}: {facts.words.get(kind, kind)}: {len(found)} times")
            for finding in found:
                where = f"{finding.where}: " if finding.where else ""
                say(f"{severity}: {where}{finding.what}" + (f"; {finding.fix}" if finding.fix else ""))


def _by_kind(facts: AuditFacts, severity: str) -> dict[str, list[FindingFact]]:
    found: dict[str, list[FindingFact]] = {}
    for finding in (one for part in facts.sets.values() for one in part.findings if one.severity == severity):
        found.setdefault(finding.kind, []).append(finding)
    return found


def _tables(facts: AuditFacts) -> None:
    """Draw one table for each severity, with a heading for each kind."""
    from rich.box import SIMPLE_HEAD
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    console = Console()
    for severity, style in (("fault", "bold red"), ("suspicion", "bold yellow"), ("note", "bold")):
        kinds = _by_kind(facts, severity)
        number = sum(len(found) for found in kinds.values())
        if not number:
            continue
        title = Text(f"{number} {severity}{'' if number == 1 else 's'}", style=style)
        table = Table(title=title, title_justify="left", box=SIMPLE_HEAD, show_edge=False, expand=True)
        table.add_column("where", overflow="fold", ratio=3)
        table.add_column("what", overflow="fold", ratio=5)
        table.add_column("what to do", overflow="fold", ratio=4)
        for kind, found in kinds.items():
            heading = facts.words.get(kind, kind.replace("_", " "))
            table.add_row(Text(f"{heading} ({len(found)})" if len(found) > 1 else heading, style=style), "", "")
            for finding in found:
                table.add_row(
                    Text(f"  {finding.where}", style="dim"), Text(finding.what), Text(finding.fix, style="green")
                )
        console.print(table)
