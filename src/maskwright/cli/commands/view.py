"""The verb that writes a run as a data set for other tools to look at."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from maskwright.cli.commands.run import Overrides, Quick, RecipeArgument


def export_view(
    recipe: RecipeArgument,
    overrides: Overrides = None,
    to: Annotated[str, typer.Option("--to", help="fiftyone, or coco (which CVAT imports).")] = "fiftyone",
    out: Annotated[Path | None, typer.Option("--out", help="Folder to write [default: view-... in the run].")] = None,
    run: Annotated[Path | None, typer.Option("--run", help="Run folder [default: runs/<name of the recipe>].")] = None,
    images: Annotated[str, typer.Option("--images", help="copy, or link where they are.")] = "copy",
    quick: Quick = False,
) -> None:
    """Write images, truth, answers and scores of a run as a data set that FiftyOne or CVAT opens.

    Example: maskwright export-view examples/nuclei.yaml data.root=PATH --to coco --out nuclei-view
    """
    from maskwright.cli.console import Console
    from maskwright.workflows.session import open_session
    from maskwright.workflows.view import export_view as write

    console = Console()
    folder = write(open_session(recipe, overrides or [], console, out=run, quick=quick), to, out, images)
    console.say(f"view: {folder}")
