"""Recipe blocks of the files that a run writes."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Annotated, Literal

from pydantic import Field

from maskwright.core.labels import Task
from maskwright.core.recipe.base import Block
from maskwright.core.recipe.map_votes import MapVoteOutput
from maskwright.core.recipe.scene_output import ScenesOutput
from maskwright.core.recipe.sources import Below
from maskwright.core.recipe.votes import OUT_OF_FOLD, Group, groups_of, leaves, leaves_of, voter, with_folds


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


class ClassStringOutput(Block):
    """A submission with a class id for each pixel, row by row, as text: of a multiclass task."""

    format: Literal["class_string_csv"] = "class_string_csv"
    file: str = "submission.csv"
    """File name below output/."""
    key_column: str = "image_id"
    """Header of the column with the image's name."""
    label_column: str = "PredictionString"
    """Header of the column with class ids."""
    key_extension: str = ""
    """Appended to each key, e.g. .jpg."""
    size: tuple[Annotated[int, Field(ge=1, le=65536)], Annotated[int, Field(ge=1, le=65536)]] | None = None
    """Height and width that labels are brought to, each pixel from the nearest one, e.g. [256, 256]; None: native."""
    sample: Below | None = None
    """Sample submission below data.root; header, ids and order are checked against it. One that has no rows, as the
    header alone, leaves the order of the file that lists the test images."""


class VoteOutput(Block):
    """A vote of members instead of a blend of probabilities: each one's own submission, and what they vote for."""

    format: Literal["vote"] = "vote"
    of: Annotated[RleCsvOutput | ClassStringOutput, Field(discriminator="format")]
    """How the files are written; `file` holds the vote, and FILE_members/NAME.csv beside it what each member says."""
    group: Group
    """Members by their names in the recipe, or groups of them, and how they vote."""


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
    MasksOutput
    | RleCsvOutput
    | ClassStringOutput
    | VoteOutput
    | MapVoteOutput
    | JoblibOutput
    | TiffOutput
    | ScenesOutput
    | ReportOutput,
    Field(discriminator="format"),
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
    if isinstance(output, VoteOutput):
        return output.of.file
    if isinstance(output, RleCsvOutput | ClassStringOutput | JoblibOutput | MapVoteOutput):
        return output.file
    return output.folder if isinstance(output, TiffOutput) else None


def vote_clashes(outputs: Sequence[Output], members: Mapping[str, bool], folds: int, scored: bool) -> list[str]:
    """List every voter that the recipe does not have, in words.

    Args:
        outputs: of the recipe.
        members: name -> whether answers of its folds are kept.
        folds: how many there are.
        scored: whether any items are held out.
    """
    found: list[str] = []
    for index, output in enumerate(outputs):
        if not members:
            continue
        if isinstance(output, MapVoteOutput):
            found += _voter_clashes(f"output[{index}].members", leaves_of(output.members, folds), members, folds)
        if not isinstance(output, VoteOutput):
            continue
        where = f"output[{index}].group"
        for group in groups_of(output.group):
            if group.scores == OUT_OF_FOLD and any(isinstance(one, Group) for one in group.members.values()):
                found.append(f"{where}: scores: {OUT_OF_FOLD} are of members, and a group has none; write numbers")
            elif group.scores == OUT_OF_FOLD and not scored:
                found.append(f"{where}: scores: {OUT_OF_FOLD} need items held out, and folds.kind: all holds none out")
            elif group.rule == "best" and (not isinstance(output.of, RleCsvOutput) or output.of.class_column is None):
                found.append(f"{where}: rule: best takes each class from one member; of needs a class_column")
        found += _voter_clashes(where, leaves(with_folds(output.group, folds)), members, folds)
    return found


def _voter_clashes(where: str, named: Sequence[str], members: Mapping[str, bool], folds: int) -> list[str]:
    """List members and folds of them that vote and are not there, or are not kept."""
    found = []
    for leaf in named:
        name, fold = voter(leaf)
        if name not in members:
            found.append(f"{where}: no member '{name}'; the recipe has {', '.join(members)}")
        elif fold is not None and fold >= folds:
            found.append(f"{where}: no fold {fold} of {name}; there are folds 0 to {folds - 1}")
        elif fold is not None and not members[name]:
            found.append(f"{where}: {leaf} votes, so write members.{name}.predict.keep_folds: true")
    return found


def _clashes(output: Output, task: Task) -> list[str]:
    if isinstance(output, VoteOutput):
        return [f"of: {text}" for text in _clashes(output.of, task)]
    if isinstance(output, ClassStringOutput):
        if task.kind != "multiclass":
            return [f"class_string_csv holds one class a pixel, and the task is {task.kind}; use rle_csv"]
        if output.key_column == output.label_column:
            return ["the columns must have different names"]
    if isinstance(output, RleCsvOutput):
        needs_class = task.kind != "binary"
        if needs_class and output.class_column is None:
            return [f"rle_csv for a {task.kind} task needs class_column, one row per image and class"]
        if needs_class and output.rows == "instance":
            return [f"rle_csv with rows: instance is for binary tasks; the task is {task.kind}"]
        if output.key_column == output.rle_column or output.class_column in (output.key_column, output.rle_column):
            return ["the columns must have different names"]
    if isinstance(output, MapVoteOutput) and (found := output.clashes(task)):
        return found
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
