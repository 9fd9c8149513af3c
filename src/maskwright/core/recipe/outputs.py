"""Recipe blocks of the files that a run writes."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Annotated, Literal

from pydantic import Field

from maskwright.core.labels import Task
from maskwright.core.recipe.base import Block
from maskwright.core.recipe.scene_output import ScenesOutput
from maskwright.core.recipe.sources import Below


class MasksOutput(Block):
    """A folder of single-channel PNG masks at native size, palette included."""

    format: Literal["masks"] = "masks"
    values: dict[int, Annotated[int, Field(ge=0, le=255)]] | None = None
    """Class id -> stored value, e.g. {0: 0, 1: 255}; None: class ids."""


class RleCsvOutput(Block):
    """A submission in run lengths."""

    format: Literal["rle_csv"] = "rle_csv"
    file: str = "submission.csv"
    """File name below output/."""
    key_column: str = "ImageId"
    """Header of the column with the image's name."""
    rle_column: str = "EncodedPixels"
    """Header of the column with run lengths."""
    class_column: str | None = None
    """Needed when the task has more than one foreground class: one row per image and class."""
    key_extension: str = ""
    """Appended to each key, e.g. .png."""
    order: Literal["row", "column"] = "row"
    """row: left to right, then down; column: top to bottom, then right (Kaggle)."""
    base: Literal[0, 1] = 1
    """Number of the first pixel."""
    rows: Literal["image", "instance"] = "image"
    """instance: a row for every connected piece."""
    empty: str = ""
    """Text for a mask without pixels."""
    sample: Below | None = None
    """Sample submission below data.root; header, ids and order are checked against it."""


class JoblibOutput(Block):
    """A dictionary, file name -> uint8 label at native size, that joblib.load and pickle.load read."""

    format: Literal["joblib"] = "joblib"
    file: str = "y_pred.pkl"
    """File name below output/."""
    key_extension: str = ""
    """Appended to each key, e.g. .tif."""


class TiffOutput(Block):
    """A folder of single-band uint8 GeoTIFFs at native size, on the ground of their images where those lie on any."""

    format: Literal["tiff"] = "tiff"
    folder: str = "tiff"
    """Folder below output/, e.g. submission_format."""
    values: dict[int, Annotated[int, Field(ge=0, le=255)]] | None = None
    """Class id -> stored value, e.g. {0: 0, 1: 255}; None: class ids."""


class ReportOutput(Block):
    """The self-contained report page."""

    format: Literal["report"] = "report"
    cases: int = Field(default=6, ge=1, le=50)
    """How many of the worst and of the best items are shown."""


Output = Annotated[
    MasksOutput | RleCsvOutput | JoblibOutput | TiffOutput | ScenesOutput | ReportOutput, Field(discriminator="format")
]


def output_clashes(outputs: Sequence[Output], task: Task) -> list[str]:
    """List every place where the files that are asked for disagree with the task or with each other, in words."""
    found: list[str] = []
    for index, output in enumerate(outputs):
        found += [f"output[{index}]: {text}" for text in _clashes(output, task)]
    if sum(isinstance(output, MasksOutput) for output in outputs) > 1:
        found.append("output: two masks entries write the same folder; keep one")
    names = [name for output in outputs if (name := _written(output)) is not None]
    if len(set(names)) < len(names):
        found.append("output: two entries write the same file; give each its own file")
    return found


def _written(output: Output) -> str | None:
    """Return the file or folder below output/ that the recipe names, if it names one."""
    if isinstance(output, RleCsvOutput | JoblibOutput):
        return output.file
    return output.folder if isinstance(output, TiffOutput) else None


def _clashes(output: Output, task: Task) -> list[str]:
    if isinstance(output, RleCsvOutput):
        needs_class = task.kind != "binary"
        if needs_class and output.class_column is None:
            return [f"rle_csv for a {task.kind} task needs class_column, one row per image and class"]
        if needs_class and output.rows == "instance":
            return [f"rle_csv with rows: instance is for binary tasks; the task is {task.kind}"]
        if output.key_column == output.rle_column or output.class_column in (output.key_column, output.rle_column):
            return ["the columns must have different names"]
    name = _written(output)
    if name is not None and ("/" in name or "\\" in name or name in ("", ".", "..", "masks", "scenes")):
        return [f"{'folder' if isinstance(output, TiffOutput) else 'file'}: '{name}' must be a plain file name"]
    if isinstance(output, TiffOutput) and task.kind == "multilabel":
        return ["tiff holds one class a pixel, and the task is multilabel; use format: masks"]
    if isinstance(output, MasksOutput | TiffOutput) and output.values is not None:
        if task.kind == "multilabel":
            return ["masks of a multilabel task are one PNG per class with 0 and 255; leave values out"]
        absent = [value for value in task.values if value not in output.values]
        if absent:
            return [f"{output.format}.values says nothing about class {absent[0]}"]
    return []
