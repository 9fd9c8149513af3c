"""The verbs that learn from labels that are wrong, and from images without any: suspects and mine."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from maskwright.cli.commands.run import Out, Overrides, Quick, RecipeArgument, Redo, open_recipe


def suspects(
    recipe: RecipeArgument,
    overrides: Overrides = None,
    out: Out = None,
    top: Annotated[int, typer.Option("--top", help="Rows of each table, and items of a view.")] = 15,
    to: Annotated[str | None, typer.Option("--to", help="Write a view to mend labels in: coco or cvat.")] = None,
    view: Annotated[
        Path | None, typer.Option("--view", help="Folder of the view [default: view-suspects-... in the run].")
    ] = None,
    quick: Quick = False,
    redo: Redo = False,
) -> None:
    """Rank items and regions whose labels disagree with models that never saw them; trains what is missing first.

    Example: maskwright suspects examples/nuclei.yaml data.root=PATH --to cvat --view to-mend
    """
    from maskwright.workflows.suspects import suspects as rank

    rank(open_recipe(recipe, overrides, out, quick, redo), top, to, view)


def mine(
    recipe: RecipeArgument,
    pool: Annotated[Path, typer.Option("--pool", help="Folder of images without labels.")],
    overrides: Overrides = None,
    out: Out = None,
    list_only: Annotated[bool, typer.Option("--list-only", help="Write the list, and train nothing.")] = False,
    quick: Quick = False,
    redo: Redo = False,
) -> None:
    """Find images and windows without anything in them, train with them as background, and judge whether that helps.

    Example: maskwright mine examples/kampala_masks.yaml data.root=PATH mine.window=128 --pool PATH/more
    """
    from maskwright.workflows.mined import run_mine

    run_mine(open_recipe(recipe, overrides, out, quick, redo), pool, train=not list_only)
