"""The verb that predicts: the items of a recipe, or rasters of any size with what was trained."""

from __future__ import annotations

import re
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from maskwright.cli.commands.run import MemberOption, Out, Overrides, Quick, RecipeArgument, open_recipe
from maskwright.cli.spelt import spell_out

if TYPE_CHECKING:
    from maskwright.core.recipe.blocks import Recipe
    from maskwright.core.recipe.scene_output import ScenesOutput
    from maskwright.workflows.scenes import ScenePlan

UNITS = {"": 1, "K": 10**3, "M": 10**6, "G": 10**9, "T": 10**12}
MEMORY = "2GB"
DRAWN = ("simplify", "min_area", "regularise")
ALONE = (
    "output",
    "members",
    "tta",
    "window",
    "overlap",
    "memory",
    "uncertainty",
    "polygons",
    *DRAWN,
    "cluster",
    "workers",
)
"""Options that say nothing without --input."""
CLUSTERS = ("ray",)
"""What may share the work out; the extra of that name brings it."""


@dataclass(frozen=True)
class Rasters:
    """The options for rasters; all but --input need it."""

    input: Annotated[Path | None, typer.Option("--input", help="A raster of any size, or a folder of them.")] = None
    output: Annotated[Path | None, typer.Option("--output", help="With --input: folder of the answers.")] = None
    members: Annotated[str | None, typer.Option("--members", help="With --input: some members, as a,b.")] = None
    tta: Annotated[str | None, typer.Option("--tta", help="With --input: d4, none, or some as hflip,vflip.")] = None
    window: Annotated[
        int | None, typer.Option("--window", min=16, max=65536, help="With --input: side of a window in pixels.")
    ] = None
    overlap: Annotated[
        int | None, typer.Option("--overlap", min=0, max=65536, help="With --input: pixels that neighbours share.")
    ] = None
    memory: Annotated[
        str | None, typer.Option("--memory", help=f"With --input: what to stay below, e.g. 500MB [default: {MEMORY}].")
    ] = None
    uncertainty: Annotated[
        bool | None,
        typer.Option(
            "--uncertainty/--no-uncertainty", help="With --input: the entropy of each answer as a raster too."
        ),
    ] = None
    polygons: Annotated[
        str | None, typer.Option("--polygons", help="With --input: polygons too, as gpkg, geojson or fgb.")
    ] = None
    simplify: Annotated[
        float | None, typer.Option("--simplify", min=0, help="With --polygons: metres an outline may be moved by.")
    ] = None
    min_area: Annotated[
        float | None, typer.Option("--min-area", min=0, help="With --polygons: square metres of the least feature.")
    ] = None
    regularise: Annotated[
        bool | None,
        typer.Option("--regularise/--no-regularise", help="With --polygons: right angles, as buildings have them."),
    ] = None
    cluster: Annotated[
        str | None, typer.Option("--cluster", help="With --input: ray shares the work out over a cluster that runs.")
    ] = None
    workers: Annotated[
        int | None, typer.Option("--workers", min=1, help="With --cluster: pieces made at once [default: what fits].")
    ] = None


def predict(
    recipe: RecipeArgument,
    overrides: Overrides = None,
    out: Out = None,
    member: MemberOption = None,
    quick: Quick = False,
    **rasters: Any,
) -> None:
    """Write out-of-fold, hold-out and test probabilities of the trained members; with --input, answers to rasters.

    A raster NAME gives NAME_classes.tif and NAME_probability.tif, cloud-optimised GeoTIFF on the same grid. Run again
    to go on after an interruption.

    Example: maskwright predict runs/banepa --input scene.tif --output answers --tta d4
    """
    from maskwright.workflows.run import run_stages

    given = Rasters(**rasters)
    if given.input is None:
        _refuse_alone(given)
        run_stages(open_recipe(recipe, overrides, out, quick), ["predict"], member=member)
        return
    plan = _plan(given, member)
    from maskwright.workflows import scene_cluster, scenes

    session = open_recipe(recipe, overrides, out, quick)
    predict_all = scenes.predict_scenes if given.cluster is None else scene_cluster.predict_on_cluster
    predict_all(session, replace(plan, extras=_extras(given, session.recipe)))


def _refuse_alone(given: Rasters) -> None:
    from maskwright.core.errors import InputError

    for name in ALONE:
        if getattr(given, name) is not None:
            what, fix = (
                f"--{name.replace('_', '-')} is for rasters",
                "name one with --input; for items set members.NAME.predict",
            )
            raise InputError(what, where="command line", fix=fix)


def _plan(given: Rasters, member: str | None) -> ScenePlan:
    """Check the options and put them together."""
    from maskwright.core.errors import InputError, unknown
    from maskwright.output.vector import FORMATS
    from maskwright.workflows.scene_members import Wishes
    from maskwright.workflows.scenes import ScenePlan

    if given.output is None:
        raise InputError("--input needs --output", where="command line", fix="name a folder for the answers")
    named = ",".join(part for part in (given.members, member) if part)
    members = tuple(dict.fromkeys(part.strip() for part in named.split(",") if part.strip())) or None
    assert given.input is not None
    wishes = Wishes(members, _symmetries(given.tta), given.window, given.overlap)
    if given.polygons not in (None, *FORMATS):
        raise unknown("format of polygons", given.polygons or "", FORMATS, "--polygons")
    if given.cluster not in (None, *CLUSTERS):
        raise unknown("cluster", given.cluster or "", CLUSTERS, "--cluster")
    if given.workers is not None and given.cluster is None:
        raise InputError("--workers is for a cluster", where="command line", fix="add --cluster ray")
    return ScenePlan(given.input, given.output, _bytes(given.memory or MEMORY), wishes, workers=given.workers)


def _extras(given: Rasters, recipe: Recipe) -> ScenesOutput:
    """Return what is made beside the rasters: what the recipe's output says of scenes, and options above that."""
    from maskwright.core.errors import InputError
    from maskwright.core.recipe.scene_output import Polygons, ScenesOutput

    block = next((one for one in recipe.output if isinstance(one, ScenesOutput)), ScenesOutput())
    wishes = {name: getattr(given, name) for name in DRAWN if getattr(given, name) is not None}
    polygons = block.polygons or (Polygons() if given.polygons else None)
    if polygons is None and wishes:
        what, fix = f"--{next(iter(wishes)).replace('_', '-')} is for polygons", "add --polygons gpkg"
        raise InputError(what, where="command line", fix=fix)
    if polygons is not None:
        wishes |= {"format": given.polygons} if given.polygons else {}
        polygons = polygons.model_copy(update=wishes)
    uncertainty = block.uncertainty if given.uncertainty is None else given.uncertainty
    return ScenesOutput(uncertainty=uncertainty, polygons=polygons)


def _symmetries(text: str | None) -> tuple[str, ...] | None:
    """Return the symmetries that --tta names; None: what the recipe says."""
    from maskwright.core.errors import unknown
    from maskwright.core.grid import SYMMETRIES

    if text is None:
        return None
    if text.strip() == "d4":
        return SYMMETRIES[1:]
    names = tuple(dict.fromkeys(part.strip() for part in text.split(",") if part.strip() not in ("", "none")))
    for name in names:
        if name not in SYMMETRIES[1:]:
            raise unknown("symmetry", name, ["d4", "none", *SYMMETRIES[1:]], "--tta")
    return names


def _bytes(text: str) -> int:
    """Return the bytes that a text such as 2GB, 1.5G or 500MiB means."""
    from maskwright.core.errors import InputError

    found = re.fullmatch(r"\s*(\d+(?:\.\d+)?)\s*([KMGT]?)(i?B?)\s*", text, re.IGNORECASE)
    if found is None or float(found[1]) <= 0:
        raise InputError(f"'{text}' is no amount of memory", where="--memory", fix="write it as 2GB or 500MB")
    unit = found[2].upper()
    if found[3].lower().startswith("i"):
        return int(float(found[1]) * 1024 ** list(UNITS).index(unit))
    return int(float(found[1]) * UNITS[unit])


spell_out(predict, Rasters)
