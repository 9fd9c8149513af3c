"""The verb that writes tiles of scenes as files."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, Literal

import typer

from maskwright.cli.commands.run import Overrides, RecipeArgument
from maskwright.cli.spelt import spell_out

Output = Annotated[Path, typer.Option("--output", help="Folder to write into: new, or made with the same settings.")]
Size = Annotated[int, typer.Option("--size", min=16, max=65536, help="Side of a tile in pixels.")]
Scales = Annotated[
    list[float] | None,
    typer.Option("--scale", min=0.1, max=16, help="Length of a pixel on the ground: 2 twice, 0.5 half; repeatable."),
]


@dataclass(frozen=True)
class Tiles:
    """The options that say more of the tiles."""

    around: Annotated[bool, typer.Option("--around", help="A tile around each polygon instead of a grid.")] = False
    pad: Annotated[int, typer.Option("--pad", min=0, max=65536, help="With --around: pixels on each side.")] = 1536
    form: Annotated[Literal["tif", "png", "jpg"], typer.Option("--format", help="Of tiles; masks are PNG.")] = "tif"
    which: Annotated[Literal["train", "test"], typer.Option("--set", help="Which set of the recipe.")] = "train"
    most: Annotated[int, typer.Option("--most", min=1, help="Tiles of each scene and scale at most.")] = 20_000
    foreground: Annotated[int, typer.Option(min=1, max=255, help="Value of foreground in a binary mask.")] = 255


def chip(
    recipe: RecipeArgument,
    output: Output,
    overrides: Overrides = None,
    size: Size = 1024,
    scale: Scales = None,
    **tiles: Any,
) -> None:
    """Write tiles of scenes and their masks: SCENE/SCALE_NUMBER.tif and SCENE/SCALE_NUMBER_mask.png.

    chips.csv names every tile with its mask, scene, scale, metres a pixel and place; the line to read them with is
    printed. Run again to go on after an interruption.

    Example: maskwright chip examples/banepa.yaml data.root=PATH --output chips --size 256 --scale 1 --scale 0.5
    """
    from maskwright.cli.console import Console
    from maskwright.workflows.chip import ChipPlan, write_chips
    from maskwright.workflows.session import open_session

    more = Tiles(**tiles)
    session = open_session(recipe, overrides or [], Console())
    scales = tuple(dict.fromkeys(scale or [1.0]))
    cut = ChipPlan(output, size, scales, more.around, more.pad)
    with session.stop.listening():
        write_chips(session, cut.with_files(more.form, more.which, more.most, more.foreground))


spell_out(chip, Tiles)
