"""The verb that writes a recipe as notebooks."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from maskwright.cli.commands.run import Out, Overrides, Quick, RecipeArgument


def notebook(
    recipe: RecipeArgument,
    overrides: Overrides = None,
    output: Annotated[Path, typer.Option("--output", help="Folder to write into.")] = Path("notebooks"),
    out: Out = None,
    quick: Quick = False,
) -> None:
    """Write train.ipynb and predict.ipynb: the resolved recipe and one cell a stage, for whoever wants to check a run.

    Example: maskwright notebook examples/nuclei.yaml data.root=PATH --output notebooks
    """
    from maskwright.cli.console import Console
    from maskwright.core.errors import InputError
    from maskwright.core.files import write_text
    from maskwright.core.version import __version__
    from maskwright.output.notebook import write_notebooks
    from maskwright.workflows.session import open_session

    console = Console()
    session = open_session(recipe, overrides or [], console, out=out, quick=quick)
    texts = write_notebooks(session.recipe, session.run.root, __version__)
    for name in texts:
        if (output / name).exists():
            raise InputError("is there already", where=output / name, fix="move it away, or choose another --output")
    output.mkdir(parents=True, exist_ok=True)
    for name, text in texts.items():
        write_text(output / name, text)
        console.say(f"notebook: {output / name}")
