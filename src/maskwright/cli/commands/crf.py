"""The verb that smooths the masks of a submission file by a dense random field."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from maskwright.cli.commands.vote import read_size
from maskwright.cli.spelt import spell_out

if TYPE_CHECKING:
    from maskwright.workflows.crf import Refining

File = Annotated[Path, typer.Argument(metavar="FILE", help="Submission file.")]


@dataclass(frozen=True)
class Field:
    """The options that say how a file is written, and what the field is."""

    form: Annotated[str, typer.Option("--format", help="dacon, hand-bone, kaggle, rle or class-string.")]
    size: Annotated[str, typer.Option("--size", help="Height x width of masks, e.g. 224x224.")]
    output: Annotated[Path, typer.Option("--output", help="File to write.")]
    classes: Annotated[
        int | None, typer.Option("--classes", min=2, max=255, help="For class-string: how many classes there are.")
    ] = None
    gt_prob: Annotated[float, typer.Option("--gt-prob", min=0.5, max=0.999999, help="How sure labels are.")] = 0.78
    sxy: Annotated[float, typer.Option("--sxy", min=0.1, max=50, help="Pixels that neighbours count by.")] = 3.0
    compat: Annotated[float, typer.Option("--compat", min=0.001, max=1000, help="What other neighbours cost.")] = 3.0
    steps: Annotated[int, typer.Option("--steps", min=1, max=1000, help="Of inference.")] = 10
    images: Annotated[
        Path | None, typer.Option("--images", help="Folder of images, called after ids: adds a kernel of colours.")
    ] = None
    srgb: Annotated[float, typer.Option("--srgb", min=0.1, max=500, help="With --images: spread of a colour.")] = 13.0
    colour_sxy: Annotated[
        float, typer.Option("--colour-sxy", min=0.1, max=50, help="With --images: spread in pixels; costs its square.")
    ] = 8.0
    colour_compat: Annotated[
        float, typer.Option("--colour-compat", min=0.001, max=1000, help="With --images: cost of its neighbours.")
    ] = 10.0


def crf(file: File, **field: Any) -> None:
    """Smooth the masks of a submission file by a dense conditional random field, each by itself.

    The rule of SEEDS 000.6: labels that are sure by --gt-prob, a Gaussian of --sxy pixels, Potts costs --compat, mean
    field in --steps. With --images also the usual kernel of colours.

    Example: maskwright crf voted.csv --format dacon --size 224x224 --output refined.csv
    """
    from maskwright.cli.console import Console
    from maskwright.core.stop import Stop
    from maskwright.workflows.crf import refine_file

    with Stop().listening() as stop:
        refine_file(_plan(file, Field(**field)), Console(), stop)


def _plan(file: Path, given: Field) -> Refining:
    from maskwright.core.recipe.crf import Colours, Crf
    from maskwright.workflows.crf import Refining

    size = read_size(given.size)
    assert size is not None, given
    colours = None
    if given.images is not None:
        colours = Colours(sxy=given.colour_sxy, srgb=given.srgb, compat=given.colour_compat)
    field = Crf(gt_prob=given.gt_prob, sxy=given.sxy, compat=given.compat, steps=given.steps, colours=colours)
    return Refining(file, given.output, given.form, size, field, given.classes, given.images)


spell_out(crf, Field)
