"""The verbs that only look: recipes, doctor, schema."""

from __future__ import annotations

from typing import Annotated

import typer


def recipes(name: Annotated[str | None, typer.Argument(help="Print this recipe.")] = None) -> None:
    """List the packaged recipes, or print one to start from.

    Example: maskwright recipes starter_binary > my.yaml
    """
    from maskwright.cli.console import say
    from maskwright.core.errors import unknown
    from maskwright.workflows.session import packaged_recipes

    packaged = packaged_recipes()
    if name is not None:
        if name not in packaged:
            raise unknown("recipe", name, packaged, "command line")
        say(packaged[name].read_text(encoding="utf-8").rstrip())
        return
    for each, path in packaged.items():
        first = path.read_text(encoding="utf-8").splitlines()[0].lstrip("# ")
        say(f"{each:24} {first}")


def doctor() -> None:
    """Print versions, devices, precision and disk: what to paste into a bug report.

    Example: maskwright doctor
    """
    from maskwright.cli.console import say
    from maskwright.workflows.doctor import examine

    for name, value in examine():
        say(f"{name:28} {value}")


def schema() -> None:
    """Print the recipe's JSON Schema, for editors and checkers.

    Example: maskwright schema > recipe.schema.json
    """
    import json

    from maskwright.cli.console import say
    from maskwright.core.recipe.load import schema as recipe_schema

    say(json.dumps(recipe_schema(), indent=1))
