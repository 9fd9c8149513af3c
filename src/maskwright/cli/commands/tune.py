"""The verbs that train many times to find something out: search and ablate."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from maskwright.cli.commands.run import Overrides, Quick, RecipeArgument


def search(
    recipe: RecipeArgument,
    overrides: Overrides = None,
    trials: Annotated[
        int | None, typer.Option("--trials", min=1, help="Trials in all, of all processes [default: search.trials].")
    ] = None,
    minutes: Annotated[
        float | None, typer.Option("--minutes", min=0.01, help="Begin no trial later than this.")
    ] = None,
    storage: Annotated[
        str | None,
        typer.Option("--storage", help="postgresql://USER@HOST/NAME for many machines [default: study.db in --out]."),
    ] = None,
    out: Annotated[Path | None, typer.Option("--out", help="Folder [default: runs/<name>-search].")] = None,
    quick: Quick = False,
) -> None:
    """Try values of the keys in the recipe's search block; write winner.yaml and search.html.

    The same command again goes on; given several times at once, it shares the trials.

    Example: maskwright search examples/nuclei.yaml data.root=PATH --trials 20
    """
    from maskwright.cli.console import Console
    from maskwright.workflows.tuning.search import Wish, run_search

    run_search(recipe, overrides or [], Wish(trials, minutes, storage, out, quick), Console())


def ablate(
    recipe: RecipeArgument,
    overrides: Overrides = None,
    vary: Annotated[
        list[str] | None,
        typer.Option("--vary", help="Leave out entries of this list or mapping one at a time; may be given again."),
    ] = None,
    seeds: Annotated[
        int | None, typer.Option("--seeds", min=1, help="Seeds of every arm [default: ablate.seeds, 3].")
    ] = None,
    out: Annotated[Path | None, typer.Option("--out", help="Folder [default: runs/<name>-ablation].")] = None,
    quick: Quick = False,
) -> None:
    """Switch augmentations, losses or other settings off and on one at a time; tell gains from chance.

    Example: maskwright ablate examples/nuclei.yaml data.root=PATH --vary augment
    """
    from maskwright.cli.console import Console
    from maskwright.workflows.tuning.ablate import Wish, run_ablate

    run_ablate(recipe, overrides or [], Wish(tuple(vary or ()), seeds, out, quick), Console())
