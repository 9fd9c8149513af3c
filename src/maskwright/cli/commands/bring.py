"""The verb that brings foreign checkpoints in."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any

import typer

from maskwright.cli.commands.run import MemberOption, Overrides
from maskwright.cli.spelt import spell_out


@dataclass(frozen=True)
class Terms:
    """The options that say how a checkpoint is met, and on what terms it is used."""

    bands: Annotated[
        int | None,
        typer.Option("--bands", min=1, help="Bands of the image, met as model.stem says [default: its own]."),
    ] = None
    head: Annotated[
        str | None,
        typer.Option("--head", help="Its classes: drop, difference (2 softmax to 1 sigmoid), or numbers: 0,2,1."),
    ] = None
    key: Annotated[
        str | None, typer.Option("--key", help="Where in the file the weights lie, e.g. ema_state_dict.")
    ] = None
    partial: Annotated[bool, typer.Option("--partial", help="Take what fits, leave the rest at random.")] = False
    licence: Annotated[str | None, typer.Option("--licence", help="What you found out, e.g. apache-2.0.")] = None
    source: Annotated[str | None, typer.Option("--source", help="Who made it, or where you got it.")] = None
    commercial: Annotated[
        bool | None, typer.Option("--commercial/--no-commercial", help="Whether the terms allow commercial use.")
    ] = None


def import_weights(
    file: Annotated[Path, typer.Argument(metavar="FILE", help=".pth, .pt or .safetensors.")],
    recipe: Annotated[str, typer.Option("--recipe", help="YAML file, run folder, or packaged recipe.")],
    out: Annotated[Path, typer.Option("--out", help="File to write, ending in .safetensors.")],
    origin: Annotated[
        str, typer.Option("--from", help="mmseg, internimage, smp, timm, hf, open-cities, hand-bone or wildfire.")
    ],
    overrides: Overrides = None,
    member: MemberOption = None,
    **terms: Any,
) -> None:
    """Turn a checkpoint of another project into first weights of a recipe's member.

    Nothing in the file runs. Every tensor is mapped by name, and the map is printed and written beside the weights as
    OUT.map.json; what is missing or unused is refused, unless --partial is given.

    Example: maskwright import-weights upernet.pth --from mmseg --recipe mine.yaml --out w.safetensors
    """
    from maskwright.cli.console import Console
    from maskwright.workflows.import_weights import Bring
    from maskwright.workflows.import_weights import import_weights as bring

    more = vars(Terms(**terms))
    bring(recipe, overrides or [], Bring(file, origin, out, member, **more), Console())


spell_out(import_weights, Terms)
