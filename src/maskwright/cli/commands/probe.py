"""The verb that measures a member on this machine before it is trained: probe."""

from __future__ import annotations

from typing import Annotated

import typer

from maskwright.cli.commands.run import MemberOption, Overrides, RecipeArgument


def probe(
    recipe: RecipeArgument,
    overrides: Overrides = None,
    member: MemberOption = None,
    minutes: Annotated[float, typer.Option("--minutes", min=0.1, help="Most minutes of measuring per member.")] = 3.0,
    crop: Annotated[
        list[int] | None, typer.Option("--crop", min=8, help="Side of a window to try; may be given again.")
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print everything as JSON.")] = False,
) -> None:
    """Measure memory and speed of training step and prediction here; propose batch, crop, accumulation and workers.

    Example: maskwright probe examples/nuclei.yaml data.root=PATH --member unet
    """
    import json

    from maskwright.cli.console import Console, say
    from maskwright.workflows.probe import probe as measure
    from maskwright.workflows.probe import table
    from maskwright.workflows.session import open_session

    session = open_session(recipe, overrides or [], Console())
    with session.stop.listening():
        found = measure(session, member, minutes=minutes, crops=crop or ())
    if as_json:
        say(json.dumps([told.to_plain() for told in found], indent=1))
        return
    for told in found:
        for line in table(told):
            say(line)
