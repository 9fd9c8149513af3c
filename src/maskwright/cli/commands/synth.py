"""The verb that writes a competition's files in small."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer


def synth(
    name: Annotated[
        str | None, typer.Argument(help="Name of a packaged recipe; without it the twins are listed.")
    ] = None,
    output: Annotated[Path | None, typer.Option("--output", help="Folder to write into, new or empty.")] = None,
    items: Annotated[int, typer.Option("--items", help="Labelled items; half as many to predict come besides.")] = 24,
    seed: Annotated[int, typer.Option("--seed", min=0, help="Other seeds give other pictures.")] = 0,
) -> None:
    """Write a miniature of a competition's files: its names, types, tables and sample submission, synthetic content.

    Example: maskwright synth wildfire --output mini --items 24
    """
    from maskwright.cli.console import say
    from maskwright.core.errors import InputError
    from maskwright.data.synthetic.twins.table import TWINS, write_twin

    if name is None:
        for each, twin in TWINS.items():
            say(f"{each:24} {twin.about}")
        return
    if output is None:
        raise InputError("is missing", where="--output", fix="name a new folder, e.g. --output mini")
    write_twin(name, output, items, seed)
    files = sum(path.is_file() for path in output.rglob("*"))
    say(f"synth {name}: {files} files below {output}; next: maskwright run {name} data.root={output} --quick")
