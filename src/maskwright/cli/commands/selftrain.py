"""The verb that trains students on what their teachers labelled."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from maskwright.cli.commands.run import Out, Overrides, Quick, RecipeArgument, Redo, open_recipe


def selftrain(
    recipe: RecipeArgument,
    overrides: Overrides = None,
    unlabelled: Annotated[
        Path | None,
        typer.Option("--unlabelled", help="Folder of images [default: selftrain.unlabelled of the recipe]."),
    ] = None,
    rounds: Annotated[
        int | None, typer.Option("--rounds", help="Rounds at most [default: selftrain.rounds of the recipe].")
    ] = None,
    out: Out = None,
    quick: Quick = False,
    redo: Redo = False,
) -> None:
    """Label what nobody has labelled, train noisy students on it, and keep a round only if it is better out of fold.

    Each fold's students learn from models that never saw what that fold is scored on. The table of rounds is in
    selftrain.json; the final answer is that of the last round that was kept. Goes on where a killed run stopped.

    Example: maskwright selftrain examples/banepa.yaml data.root=PATH --unlabelled PATH/unlabelled --rounds 2
    """
    from maskwright.workflows.selftrain import run_selftrain

    run_selftrain(open_recipe(recipe, overrides, out, quick, redo), unlabelled, rounds)
