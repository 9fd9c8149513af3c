"""The verbs that work on a recipe: run, one verb per stage, and the demo."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

if TYPE_CHECKING:
    from maskwright.workflows.session import Session

RecipeArgument = Annotated[str, typer.Argument(metavar="RECIPE", help="YAML file, run folder, or packaged recipe.")]
Overrides = Annotated[
    list[str] | None, typer.Argument(metavar="[KEY=VALUE]...", help="Overrides, e.g. members.a.train.epochs=3")
]
Out = Annotated[Path | None, typer.Option("--out", help="Run folder [default: runs/<name of the recipe>].")]
Quick = Annotated[bool, typer.Option("--quick", help="Few items, few steps, the whole path.")]
Redo = Annotated[bool, typer.Option("--redo", help="Throw away training whose settings changed.")]
MemberOption = Annotated[str | None, typer.Option("--member", help="Only this member.")]


def open_recipe(recipe: str, overrides: list[str] | None, out: Path | None, quick: bool, redo: bool = False) -> Session:
    """Open a recipe for the console."""
    from maskwright.cli.console import Console
    from maskwright.workflows.session import open_session

    return open_session(recipe, overrides or [], Console(), out=out, quick=quick, redo=redo)


def run(
    recipe: RecipeArgument,
    overrides: Overrides = None,
    out: Out = None,
    until: Annotated[str, typer.Option("--until", help="Last stage: inspect, split, train, ... report.")] = "report",
    quick: Quick = False,
    redo: Redo = False,
) -> None:
    """Do what is missing of the whole path: inspect, split, train, predict, decide, export, report.

    Example: maskwright run examples/camvid.yaml data.root=PATH --quick
    """
    from maskwright.workflows.run import run_until

    run_until(open_recipe(recipe, overrides, out, quick, redo), until)


def split(
    recipe: RecipeArgument, overrides: Overrides = None, out: Out = None, quick: Quick = False, redo: Redo = False
) -> None:
    """Assign items to folds and write folds.csv.

    Example: maskwright split examples/nuclei.yaml data.root=PATH folds.count=4
    """
    from maskwright.workflows.run import run_stages

    run_stages(open_recipe(recipe, overrides, out, quick, redo), ["inspect", "split"])


def train(
    recipe: RecipeArgument,
    overrides: Overrides = None,
    out: Out = None,
    member: MemberOption = None,
    fold: Annotated[int | None, typer.Option("--fold", help="Only this fold, from 0.")] = None,
    quick: Quick = False,
    redo: Redo = False,
) -> None:
    """Train what is not trained yet; goes on where a killed run stopped.

    Example: maskwright train examples/nuclei.yaml data.root=PATH --member unet --fold 0
    """
    from maskwright.workflows.run import run_stages

    session = open_recipe(recipe, overrides, out, quick, redo)
    run_stages(session, ["inspect", "split", "train"], member=member, fold=fold)


def soup(
    recipe: RecipeArgument,
    overrides: Overrides = None,
    out: Out = None,
    member: MemberOption = None,
    kind: Annotated[
        str | None, typer.Option("--kind", help="greedy or uniform [default: predict.soup of the recipe].")
    ] = None,
    fold: Annotated[int | None, typer.Option("--fold", help="Only this fold, from 0.")] = None,
    quick: Quick = False,
) -> None:
    """Mix the kept weights of trained folds: soup.safetensors, for predict.weights: soup.

    Example: maskwright soup examples/nuclei.yaml data.root=PATH --member unet --kind uniform
    """
    from maskwright.workflows.soup import run_soup

    run_soup(open_recipe(recipe, overrides, out, quick), member, fold, kind)


def find_lr(
    recipe: RecipeArgument,
    overrides: Overrides = None,
    out: Out = None,
    member: MemberOption = None,
    fold: Annotated[int, typer.Option("--fold", help="The fold whose items are trained on.")] = 0,
    steps: Annotated[int, typer.Option("--steps", help="Steps of the ramp.")] = 100,
    quick: Quick = False,
) -> None:
    """Raise the learning rate step by step, draw the loss over it and propose one; changes nothing else.

    Example: maskwright find-lr examples/nuclei.yaml data.root=PATH --member unet
    """
    from maskwright.workflows.find_lr import run_find_lr

    run_find_lr(open_recipe(recipe, overrides, out, quick), member, fold, steps)


def decide(recipe: RecipeArgument, overrides: Overrides = None, out: Out = None, quick: Quick = False) -> None:
    """Choose weights and thresholds on out-of-fold probabilities and write decision.json.

    Example: maskwright decide examples/nuclei.yaml data.root=PATH decision.metric=dice
    """
    from maskwright.workflows.run import run_stages

    run_stages(open_recipe(recipe, overrides, out, quick), ["decide"])


def export(recipe: RecipeArgument, overrides: Overrides = None, out: Out = None, quick: Quick = False) -> None:
    """Write masks and submissions.

    Example: maskwright export examples/nuclei.yaml data.root=PATH
    """
    from maskwright.workflows.run import run_stages

    run_stages(open_recipe(recipe, overrides, out, quick), ["export"])


def report(
    recipe: RecipeArgument,
    overrides: Overrides = None,
    out: Annotated[Path | None, typer.Option("--out", help="Run folder; with --compare the page to write.")] = None,
    quick: Quick = False,
    compare: Annotated[bool, typer.Option("--compare", help="Compare runs: give their folders, no recipe.")] = False,
) -> None:
    """Write the self-contained report.html, or with --compare one page for two or more finished runs.

    Example: maskwright report examples/nuclei.yaml data.root=PATH

    Example: maskwright report --compare runs/a runs/b --out compare.html
    """
    if compare:
        from maskwright.cli.console import Console
        from maskwright.core.errors import InputError
        from maskwright.workflows.story.comparison import compare_runs

        if quick:
            raise InputError("runs are compared as they are", where="--quick", fix="leave it out")
        compare_runs([Path(recipe), *map(Path, overrides or [])], out or Path("compare.html"), Console())
        return
    from maskwright.workflows.run import run_stages

    run_stages(open_recipe(recipe, overrides, out, quick), ["report"])


def demo(
    out: Annotated[Path, typer.Option("--out", help="Folder for the scenes and the run.")] = Path("runs/demo"),
    overrides: Overrides = None,
) -> None:
    """Render synthetic scenes and take them the whole way to masks, submission and report.

    Example: maskwright demo --out runs/demo
    """
    from maskwright.cli.console import Console
    from maskwright.workflows.demo import run_demo

    run_demo(out, overrides or [], Console())
