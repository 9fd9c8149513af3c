"""The verb that scores mask files against truth files."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer


def score(
    predicted: Annotated[Path, typer.Argument(help="Mask file, or folder of masks.")],
    truth: Annotated[Path, typer.Argument(help="True mask file, or folder; joined by name.")],
    task: Annotated[str, typer.Option("--task", help="binary, multiclass or multilabel.")],
    classes: Annotated[int, typer.Option("--classes", min=1, help="Number of classes.")],
    ignore: Annotated[int | None, typer.Option("--ignore", help="Truth value that never counts.")] = None,
    dialect: Annotated[
        list[str] | None, typer.Option("--dialect", help="Count as another tool does, e.g. mmseg; may be repeated.")
    ] = None,
    boundary: Annotated[bool, typer.Option("--boundary", help="Boundary IoU too.")] = False,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
) -> None:
    """Score predicted masks: pixels pooled over all items, then a mean over classes.

    Dialects count as other tools and competitions do: mmseg, torchmetrics, smp_micro, smp_macro, sklearn, hf,
    dacon_dice, kaggle_dice, image_class_dice and more (docs/reference/scores.md).

    Example: maskwright score runs/camvid/output/masks PATH/valannot --task multiclass --classes 11 --ignore 11
    """
    import json
    from typing import get_args

    from maskwright.cli.console import say
    from maskwright.core.errors import unknown
    from maskwright.core.labels import TaskKind
    from maskwright.scoring.dialects import DIALECTS
    from maskwright.workflows.score import score_paths

    kinds = {str(kind): kind for kind in get_args(TaskKind)}
    if task not in kinds:
        raise unknown("task", task, kinds, "--task")
    result = score_paths(predicted, truth, kinds[task], classes, ignore, dialect or (), boundary=boundary)
    if as_json:
        say(json.dumps(result, indent=1))
        return
    say(f"{result['items']} items, {task}; pixels pooled over items, classes absent from both sides skipped")
    for name, row in result["classes"].items():
        say(f"{name:24} iou {_number(row['iou'])}  dice {_number(row['dice'])}")
    say(f"{'mean':24} iou {_number(result['mean']['iou'])}  dice {_number(result['mean']['dice'])}")
    if boundary:
        found = result["boundary_iou"]
        for name, value in [*found["classes"].items(), ("mean", found["mean"])]:
            say(f"{name:24} boundary iou {_number(value)}")
    for name, value in result["dialects"].items():
        say(f"{name:24} {_number(value)}  ({DIALECTS[name].says})")


def _number(value: float | None) -> str:
    return "   -  " if value is None else f"{value:.4f}"
