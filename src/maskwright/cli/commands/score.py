"""The verb that scores mask files against truth files."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, cast

import typer

from maskwright.cli.spelt import spell_out

if TYPE_CHECKING:
    from maskwright.core.labels import TaskKind
    from maskwright.scoring.scores import Empty
    from maskwright.workflows.score import PerItems


@dataclass(frozen=True)
class How:
    """The options that say how scores are taken."""

    per: Annotated[
        str,
        typer.Option("--per", help="pooled: all pixels; image: mean of items' scores; area: weighed by their area."),
    ] = "pooled"
    empty: Annotated[
        str, typer.Option("--empty", help="A class in neither truth nor prediction: skip, one or zero.")
    ] = "skip"
    beta: Annotated[float | None, typer.Option("--beta", help="An F score of this beta too.")] = None
    dialect: Annotated[
        list[str] | None,
        typer.Option("--dialect", help="Count as another tool does, e.g. mmseg, or smp_macro; may be repeated."),
    ] = None
    boundary: Annotated[bool, typer.Option("--boundary", help="Boundary IoU too.")] = False
    as_csv: Annotated[Path | None, typer.Option("--csv", help="Write the scores and counts of each item here.")] = None
    objects: Annotated[
        bool, typer.Option("--objects", help="F1 of objects at IoU 0.5: GeoTIFF against polygons or masks.")
    ] = False


def score(
    predicted: Annotated[Path, typer.Argument(help="Mask file, or folder of masks.")],
    truth: Annotated[Path, typer.Argument(help="True mask file, or folder; joined by name.")],
    task: Annotated[str, typer.Option("--task", help="binary, multiclass or multilabel.")],
    classes: Annotated[
        int | None, typer.Option("--classes", min=1, help="Number of classes; may be left out where binary.")
    ] = None,
    ignore: Annotated[int | None, typer.Option("--ignore", help="Truth value that never counts.")] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
    **how: Any,
) -> None:
    """Score predicted masks: pixels pooled over all items, then a mean over classes.

    Dialects count as other tools and competitions do: mmseg, hf, torchmetrics, smp, sklearn, dacon, kaggle,
    image_class, each with all of its numbers, or one of them by its own name (docs/reference/scores.md).

    With --objects, TRUTH may be GeoJSON, GPKG or FlatGeobuf in any coordinate system. Of folders, every scene is
    scored, and their mean by area.

    Example: maskwright score runs/camvid/output/masks PATH/valannot --task multiclass --classes 11 --ignore 11
    """
    import json

    from maskwright.cli.console import say
    from maskwright.workflows.score import ScoreOptions, score_paths

    given = How(**how)
    kind, per, empty = _choices(task, given.per, given.empty)
    if given.objects or truth.suffix.lower() in (".geojson", ".gpkg", ".fgb"):
        _objects(predicted, truth, kind, as_json=as_json, asked=given.objects)
        return
    if classes is None and kind != "binary":
        from maskwright.core.errors import InputError

        raise InputError(f"is not given, and a task is {kind}", where="--classes", fix="say how many classes there are")
    wanted = ScoreOptions(per, empty, given.beta, tuple(given.dialect or ()), given.boundary, given.as_csv)
    result = score_paths(predicted, truth, kind, classes or 1, ignore, wanted)
    for line in [json.dumps(result, indent=1)] if as_json else _lines(result, given.beta):
        say(line)


def _objects(predicted: Path, truth: Path, kind: TaskKind, *, as_json: bool, asked: bool) -> None:
    """Print the scores of objects, and of pixels beside them."""
    import json

    from maskwright.cli.console import say
    from maskwright.core.errors import InputError
    from maskwright.workflows.score_objects import score_objects

    if not asked:
        raise InputError("polygons are a truth for objects alone", where=truth, fix="add --objects")
    if kind != "binary":
        raise InputError(f"objects are scored where a task is binary, not {kind}", where="--task", fix="use binary")
    result = score_objects(predicted, truth)
    for line in [json.dumps(result, indent=1)] if as_json else _object_lines(result):
        say(line)


def _object_lines(result: dict[str, Any]) -> list[str]:
    """Put scores of objects and pixels into lines; of several scenes each, and the mean by area."""
    lines = []
    for name, scene in result.get("scenes", {}).items():
        lines += [f"{name}: {scene['area']:.0f} {result['unit']}", *(f"  {line}" for line in _two_lines(scene))]
    if "scenes" in result:
        lines.append(f"{len(result['scenes'])} scenes together")
    lines += _two_lines(result)
    if "by_area" in result:
        found, pixels = result["by_area"]["objects"], result["by_area"]["pixels"]
        lines.append(f"mean of scenes, weighed by their {result['unit']}")
        lines.append(_line("objects", found["f1"], found))
        lines.append(f"{_line('pixels', pixels['dice'], pixels)}  IoU {_number(pixels['iou'])}")
    return lines


def _two_lines(scored: dict[str, Any]) -> list[str]:
    found, pixels = scored["objects"], scored["pixels"]
    sides = f"{found['predicted']} predicted, {found['true']} true, {found['pairs']} pairs at IoU {found['iou']}"
    end = f"IoU {_number(pixels['iou'])}"
    return [
        f"{_line('objects', found['f1'], found)}  {sides}",
        f"{_line('pixels', pixels['dice'], pixels)}  {end}",
    ]


def _line(name: str, f1: float | None, row: dict[str, Any]) -> str:
    return f"{name:8} F1 {_number(f1)}  precision {_number(row['precision'])}  recall {_number(row['recall'])}"


def _choices(task: str, per: str, empty: str) -> tuple[TaskKind, PerItems, Empty]:
    """Check words that must be one of a few."""
    from typing import get_args

    from maskwright.core.errors import unknown
    from maskwright.core.labels import TaskKind
    from maskwright.scoring.scores import Empty
    from maskwright.workflows.score import PerItems

    for what, given, allowed in (("task", task, TaskKind), ("per", per, PerItems), ("empty", empty, Empty)):
        if given not in get_args(allowed):
            raise unknown(what, given, get_args(allowed), f"--{what}")
    return cast("tuple[TaskKind, PerItems, Empty]", (task, per, empty))


def _lines(result: dict[str, Any], beta: float | None) -> list[str]:
    """Put scores into lines: a table of classes, then what was asked for besides."""
    from maskwright.scoring.dialects import DIALECTS
    from maskwright.scoring.scores import f_name

    how = {
        "pooled": "pixels pooled over items",
        "image": "each item scored, then a mean over items",
        "area": f"each item scored, then a mean over items weighed by their valid area in {result.get('unit')}",
    }[result["per"]]
    absent = {"skip": "skipped", "one": "count as 1", "zero": "count as 0"}[result["empty"]]
    lines = [f"{result['items']} items, {result['task']}; {how}, classes absent from both sides {absent}"]
    shown = ["iou", "dice", "precision", "recall", "accuracy"]
    shown += [f_name(beta)] if beta is not None and beta != 1 else []
    bands = result.get("boundary_iou")
    head = [*shown, *(["boundary"] if bands else [])]
    lines.append(f"{'class':24}{''.join(f'{name:>10}' for name in head)}{'pixels':>14}{'images':>8}")
    for name, row in result["classes"].items():
        edge = [bands["classes"][name]] if bands else []
        cells = "".join(f"{_number(value):>10}" for value in [*(row[metric] for metric in shown), *edge])
        lines.append(f"{name:24}{cells}{row['pixels']:14}{row['images']:8}")
    edge = [bands["mean"]] if bands else []
    cells = "".join(f"{_number(value):>10}" for value in [*(result["mean"][metric] for metric in shown), *edge])
    lines.append(f"{'mean':24}{cells}{result['pixels']:14}{result['items']:8}")
    lines.append(f"{'share of right pixels':24}{_number(result['pixel_accuracy']):>10}")
    lines += [f"{name:24}{_number(value):>10}  {DIALECTS[name].says}" for name, value in result["dialects"].items()]
    return lines


def _number(value: float | None) -> str:
    return "-" if value is None else f"{value:.4f}"


spell_out(score, How)
