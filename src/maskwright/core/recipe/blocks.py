"""Recipe blocks of the whole: data, folds, decision, output, and the recipe itself."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Annotated, Any, Literal

from pydantic import AfterValidator, BeforeValidator, Field, field_validator, model_validator

from maskwright.core.labels import Task
from maskwright.core.recipe.base import Block
from maskwright.core.recipe.members import Member
from maskwright.core.recipe.source_clashes import source_clashes
from maskwright.core.recipe.sources import Below, Source
from maskwright.core.recipe.trackers import Tracker

_UNITS = {"": 1, "kb": 10**3, "mb": 10**6, "gb": 10**9, "tb": 10**12}


def _bytes(given: Any) -> Any:
    """Turn 4GB, 500 MB or a plain number into bytes; anything else is left for the block to refuse."""
    found = (
        re.fullmatch(r"\s*(\d+(?:\.\d+)?)\s*([kmgt]?b)?\s*", given, re.IGNORECASE) if isinstance(given, str) else None
    )
    if found is None:
        return given
    unit = (found[2] or "").lower()
    return int(float(found[1]) * _UNITS["" if unit == "b" else unit])


class Cache(Block):
    """Where decoded items are kept, so that they are not decoded in each epoch; it changes no result."""

    kind: Literal["auto", "memory", "disk", "off"] = "auto"
    """memory: in each process; disk: as arrays that all processes map; auto: memory for small sets, disk for larger
    ones where it saves more time than it costs."""
    size: Annotated[int, BeforeValidator(_bytes), Field(ge=0)] = 4_000_000_000
    """Bytes on disk at most (or in each process, for memory), e.g. 20GB; items beyond are decoded each time."""
    folder: str | None = None
    """Folder to keep files in for later runs too; None: in the run folder, deleted when its training is finished."""


class Data(Block):
    """Where images and labels are and how pixels become numbers."""

    root: str = "."
    """Folder that all paths are below; relative to the current directory."""
    train: Source
    """Labelled items."""
    test: Source | None = None
    """Items to predict; with labels they are scored too, as data held out of everything."""
    bands: Annotated[tuple[Annotated[int, Field(ge=1, le=1024)], ...], Field(min_length=1)] | None = None
    """1-based bands in the order the model gets them; None: all colour bands of the first image."""
    divide: float | None = Field(default=None, gt=0)
    """Pixel values are divided by this; None: 255 for 8 bit, 65535 for 16 bit, 1 for float."""
    normalize: Literal["dataset", "imagenet", "none"] = "dataset"
    """Mean and standard deviation taken off after dividing: measured on the training items, ImageNet's, or none."""
    max_pixels: int = Field(default=200_000_000, ge=1)
    """Larger images are refused by their header, before decoding."""
    cache: Cache = Cache()
    """Where decoded items are kept."""
    limit: int | None = Field(default=None, ge=2)
    """Use only this many items, spread evenly over the sorted keys; --quick sets it."""


def _with_parenthesis(expression: str) -> str:
    try:
        groups = re.compile(expression).groups
    except re.error as error:
        raise ValueError(f"'{expression}' is no regular expression ({error}); mend it") from None
    if groups < 1:
        raise ValueError(f"'{expression}' has no parenthesis; put the group's part in parentheses")
    return expression


KeyPattern = Annotated[str, AfterValidator(_with_parenthesis)]
"""A regular expression on the key; what its first parenthesis holds is the group."""


class GroupBy(Block):
    """What makes items belong together: exactly one of these."""

    key: KeyPattern | None = None
    """Regular expression on the key whose first parenthesis is the group."""
    column: str | None = None
    """Column of the source's table that names the group, e.g. patient."""
    field: str | None = None
    """The same for a field of each item's JSON."""
    folder: int | None = None
    """Which folder of the key, 0 the outermost, -1 the one that holds the file: `a/b/c` is in a (0) and b (1 or -1)."""

    @model_validator(mode="after")
    def _one_way(self) -> GroupBy:
        if sum(value is not None for value in (self.key, self.column, self.field, self.folder)) != 1:
            raise ValueError("give exactly one of key, column, field, folder")
        return self


class Folds(Block):
    """How items are split so that every score is on unseen data."""

    kind: Literal["plain", "stratified", "grouped", "stratified_grouped", "given", "holdout", "all"] = "stratified"
    """plain: even sizes; stratified: like shares of foreground too; grouped, stratified_grouped: the same with whole
    groups; given: as `file` says; holdout: one split, scored on a share; all: no part is scored, nothing is honest."""
    count: int = Field(default=5, ge=1, le=100)
    """Number of folds; each member is trained that often. holdout and all have 1."""
    seed: int = Field(default=0, ge=0)
    """Of the lots that are drawn."""
    by: Literal["auto", "coverage", "rarest", "classes"] = "auto"
    """What is shared out evenly: coverage of foreground, that of the rarest class, or which classes occur together.
    auto: classes for a multilabel task, else rarest (for a binary task that is coverage)."""
    group: KeyPattern | GroupBy | None = None
    """Items of a group are never torn apart: a regular expression on the key whose first parenthesis is the group, or
    one of {column: NAME}, {field: NAME}, {folder: N}. Needed by grouped; given and holdout take it too."""
    file: Below | None = None
    """For given: CSV with the columns key and fold. 0 .. count - 1; -1: held out of all; -2: trains only."""
    share: float = Field(default=0.2, gt=0, lt=0.9)
    """For holdout: share of items (or groups) that the members are scored on."""
    holdout: float = Field(default=0.0, ge=0, lt=0.9)
    """Share of items (or groups) kept out of all folds, predicted and scored at the end."""
    duplicates: Literal["together", "drop", "refuse", "ignore"] = "together"
    """Images that show the same thing: together in one fold; drop: those near to a fold's validation items are left out
    of its training; refuse: no such pair may part; ignore: a leak you answer for."""

    @model_validator(mode="before")
    @classmethod
    def _one_training(cls, given: Any) -> Any:
        if isinstance(given, Mapping) and given.get("kind") in ("holdout", "all"):
            return {"count": 1, **given}
        return given

    @model_validator(mode="after")
    def _kind_fits(self) -> Folds:
        grouped = self.kind in ("grouped", "stratified_grouped")
        if grouped and self.group is None:
            raise ValueError(f"kind: {self.kind} and group: REGEX go together; give both or neither")
        if self.group is not None and not grouped and self.kind not in ("given", "holdout", "all"):
            raise ValueError("kind: grouped and group: REGEX go together; give both or neither")
        if (self.kind == "given") != (self.file is not None):
            raise ValueError("kind: given and file: CSV go together; give both or neither")
        if (self.kind in ("holdout", "all")) != (self.count == 1):
            least = f"kind: {self.kind} trains once; leave count out" if self.count > 1 else "count must be 2 or more"
            raise ValueError(f"{least}, or choose kind: holdout" if self.count == 1 else least)
        if self.kind == "given" and self.holdout:
            raise ValueError("holdout is not for kind: given; write -1 into the file")
        if self.kind == "holdout" and self.share + self.holdout >= 1:
            raise ValueError("share and holdout leave nothing to train on; lower one")
        return self


class Decision(Block):
    """How probabilities become one answer. Everything here is chosen on out-of-fold pixels."""

    metric: Literal["iou", "dice", "fbeta", "precision", "recall", "accuracy"] = "iou"
    """Score that everything is chosen by, as large as possible: the mean over classes. Precision or recall alone can be
    had by answering next to nothing, or everything."""
    beta: float = Field(default=1.0, gt=0, le=100)
    """For fbeta: how many times recall weighs as much as precision."""
    per: Literal["pooled", "image"] = "pooled"
    """pooled: the pixels of all items together; image: the score of each item, and their mean, class by class."""
    empty: Literal["skip", "one", "zero"] = "skip"
    """What a class scores that neither truth nor answer holds, in all pixels or (per: image) in that item."""
    classes: tuple[str, ...] | None = None
    """Classes that count in the mean, e.g. all but the background; None: all."""
    blend: Literal["mean", "weighted"] = "weighted"
    """mean: equal weights; weighted: weights are searched, and kept only if nested evidence says so."""
    thresholds: Literal["auto", "fixed", "global", "per_class", "argmax"] = "auto"
    """auto: global for binary, per_class for multilabel, argmax for multiclass."""
    threshold: float = Field(default=0.5, gt=0, lt=1)
    """The fixed threshold, and the one that a tuned threshold must beat."""
    temperatures: Literal["auto", "off"] = "auto"
    """auto: members are calibrated by a temperature before they are blended, where nested evidence says so."""
    class_weights: Literal["auto", "off"] = "auto"
    """auto: in a multiclass task classes are weighted before the likeliest is taken, where nested evidence says so."""
    priority: tuple[str, ...] = ()
    """Multilabel: these classes exclude each other, and where several are answered the first of them stays. Multiclass:
    these win a tie, the first first."""
    postprocess: Literal["auto", "off"] = "auto"
    """auto: small pieces are taken away and small holes filled, class by class, where nested evidence says so."""


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


class ReportOutput(Block):
    """The self-contained report page."""

    format: Literal["report"] = "report"
    cases: int = Field(default=6, ge=1, le=50)
    """How many of the worst and of the best items are shown."""


Output = Annotated[MasksOutput | RleCsvOutput | ReportOutput, Field(discriminator="format")]


class Rules(Block):
    """What a run must keep to, or it is refused before any work."""

    weights: Literal["any", "known", "commercial-ok"] = "any"
    """known: first weights must have a licence that somebody states; commercial-ok: one that is known to allow
    commercial use. What nobody states is refused by both, never taken for fine."""


class Recipe(Block):
    """Everything one run is made from."""

    version: Literal[1] = 1
    """Of the recipe format."""
    name: str = Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9_.-]{0,63}$")
    """Names the run folder, runs/<name>."""
    seed: int = Field(default=0, ge=0, lt=2**32)
    """Of weights, sample order and augmentation; members and folds draw their own from it."""
    task: Task
    """What is predicted."""
    data: Data
    """Images and labels."""
    folds: Folds = Folds()
    """How items are split."""
    members: dict[str, Member] = Field(default_factory=dict)
    """Name -> member. inspect and split need none."""
    trackers: tuple[Tracker, ...] = ()
    """Who is told of losses and held-out scores while training, beside log.jsonl and history.csv: tensorboard, wandb,
    mlflow, or a block with settings, e.g. {name: mlflow, uri: databricks}."""
    decision: Decision = Decision()
    """How probabilities become one answer."""
    output: tuple[Output, ...] = (MasksOutput(), ReportOutput())
    """Files to write."""
    rules: Rules = Rules()
    """What the run must keep to."""

    @field_validator("members")
    @classmethod
    def _plain_names(cls, members: dict[str, Member]) -> dict[str, Member]:
        for name in members:
            if not name.replace("_", "").replace("-", "").isalnum() or len(name) > 40:
                raise ValueError(f"member name '{name}' must be letters, digits, - and _, at most 40")
        return members

    @field_validator("trackers")
    @classmethod
    def _once_each(cls, trackers: tuple[Tracker, ...]) -> tuple[Tracker, ...]:
        names = [tracker.name for tracker in trackers]
        if len(set(names)) < len(names):
            raise ValueError("a tracker is named twice; name each once")
        return trackers

    @model_validator(mode="after")
    def _task_agrees(self) -> Recipe:
        for clash in contradictions(self):
            raise ValueError(clash)
        return self

    @property
    def threshold_rule(self) -> Literal["fixed", "global", "per_class", "argmax"]:
        """decision.thresholds with auto replaced by what the task means."""
        if self.decision.thresholds != "auto":
            return self.decision.thresholds
        rules: dict[str, Any] = {"binary": "global", "multilabel": "per_class", "multiclass": "argmax"}
        rule: Literal["global", "per_class", "argmax"] = rules[self.task.kind]
        return rule


def contradictions(recipe: Recipe) -> list[str]:
    """List every place where task, data, folds, decision and output disagree, in words."""
    task, found = recipe.task, []
    rule = recipe.threshold_rule
    if (task.kind == "multiclass") != (rule == "argmax"):
        fits = "argmax" if task.kind == "multiclass" else "fixed, global or per_class"
        found.append(f"decision.thresholds: {rule} does not fit a {task.kind} task; use {fits}, or auto")
    found += _decision_clashes(recipe.decision, task)
    for name, source in (("train", recipe.data.train), ("test", recipe.data.test)):
        if source is not None:
            found += source_clashes(name, source, task)
    if recipe.folds.kind == "all" and recipe.data.test is None and not recipe.folds.holdout:
        found.append("folds.kind: all trains on every item, so nothing is left to answer; give data.test, or holdout")
    for index, output in enumerate(recipe.output):
        found += [f"output[{index}]: {text}" for text in _output_clashes(output, task)]
    if sum(isinstance(output, MasksOutput) for output in recipe.output) > 1:
        found.append("output: two masks entries write the same folder; keep one")
    if len({output.file for output in recipe.output if isinstance(output, RleCsvOutput)}) < sum(
        isinstance(output, RleCsvOutput) for output in recipe.output
    ):
        found.append("output: two rle_csv entries write the same file; give each its own file")
    return found


def _decision_clashes(decision: Decision, task: Task) -> list[str]:
    found = []
    for key, names in (("classes", decision.classes or ()), ("priority", decision.priority)):
        strange = [name for name in names if name not in task.plane_names]
        if strange:
            known = ", ".join(task.plane_names)
            found.append(f"decision.{key}: no class '{strange[0]}'; the classes that are scored are {known}")
        if len(set(names)) < len(names):
            found.append(f"decision.{key}: a class is named twice")
    if decision.classes == ():
        found.append("decision.classes: names no class; leave it out for all of them")
    if task.kind == "binary" and decision.priority:
        found.append("decision.priority: a binary task has one class; leave it out")
    if decision.beta != 1 and decision.metric != "fbeta":
        found.append(f"decision.beta: {decision.beta:g} is for metric: fbeta; the metric is {decision.metric}")
    return found


def _output_clashes(output: Output, task: Task) -> list[str]:
    if isinstance(output, RleCsvOutput):
        needs_class = task.kind != "binary"
        if needs_class and output.class_column is None:
            return [f"rle_csv for a {task.kind} task needs class_column, one row per image and class"]
        if needs_class and output.rows == "instance":
            return [f"rle_csv with rows: instance is for binary tasks; the task is {task.kind}"]
        if output.key_column == output.rle_column or output.class_column in (output.key_column, output.rle_column):
            return ["the columns must have different names"]
        if "/" in output.file or "\\" in output.file or output.file in ("", ".", "..", "masks"):
            return [f"file: '{output.file}' must be a plain file name"]
    if isinstance(output, MasksOutput) and output.values is not None:
        if task.kind == "multilabel":
            return ["masks of a multilabel task are one PNG per class with 0 and 255; leave values out"]
        absent = [value for value in task.values if value not in output.values]
        if absent:
            return [f"masks.values says nothing about class {absent[0]}"]
    return []
