"""Recipe blocks of the whole: data, folds, decision, output, and the recipe itself."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Annotated, Any, Literal

from pydantic import BeforeValidator, Field, WithJsonSchema, field_validator, model_validator

from maskwright.core.errors import near
from maskwright.core.expressions import read_formula
from maskwright.core.labels import Task
from maskwright.core.recipe.base import Block
from maskwright.core.recipe.crf import CrfChoice
from maskwright.core.recipe.derived import BandName, check_derived
from maskwright.core.recipe.folds import Folds
from maskwright.core.recipe.lineage import stage_clashes
from maskwright.core.recipe.members import Member
from maskwright.core.recipe.mining import Mining
from maskwright.core.recipe.outputs import MasksOutput, Output, ReportOutput, output_clashes, vote_clashes
from maskwright.core.recipe.scene_output import scenes_clashes
from maskwright.core.recipe.scores import Scores
from maskwright.core.recipe.selftrain import SelfTrain, selftrain_clashes
from maskwright.core.recipe.source_clashes import source_clashes
from maskwright.core.recipe.sources import Below, MergeSource, PartName, Source
from maskwright.core.recipe.trackers import Tracker
from maskwright.core.recipe.tuning import Ablate, Search

Bands = Annotated[
    tuple[Annotated[int, Field(ge=1, le=1024)], ...],
    Field(min_length=1),
    WithJsonSchema({"type": "array", "items": {"anyOf": [{"type": "integer"}, {"type": "string"}]}}),
]
"""Numbers of bands, from 1; a recipe may name them too, and they are numbered before they are checked."""
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


class Stretch(Block):
    """Values brought to 0..1 between two levels of each band, instead of divided; what lies beyond is cut off."""

    by: Literal["percentile", "minmax"] = "percentile"
    """percentile: the levels are percentiles of valid pixels; minmax: the least and the largest value."""
    low: float = Field(default=2.0, ge=0, lt=100)
    """Percentile that becomes 0."""
    high: float = Field(default=98.0, gt=0, le=100)
    """Percentile that becomes 1."""
    over: Literal["set", "item", "scene"] = "set"
    """set: levels of all training items; item: of each item by itself, so of each chip of a scene; scene: of the whole
    file that it is a part of."""
    bands: Literal["each", "together"] = "each"
    """each: levels for each band; together: the lowest and highest of all bands for all, so that colours stay."""

    @model_validator(mode="after")
    def _in_order(self) -> Stretch:
        if self.low >= self.high:
            raise ValueError(f"low ({self.low:g}) must be below high ({self.high:g})")
        return self


class Doubted(Block):
    """What a list of suspicious labels does to training; items stay in their folds and are scored as before."""

    list: Below
    """CSV file with the columns key and score, below data.root: suspects.csv of maskwright suspects, or your own."""
    above: float = Field(default=0.5, ge=0, le=1)
    """Items with this score or more are suspicious."""
    weight: float = Field(default=0.0, ge=0, lt=1)
    """How often they are drawn in training, relative to what they would be; 0: never."""
    part: PartName | None = None
    """Part of a merge that the keys of the list belong to; None: they are keys of data.train itself."""


class Data(Block):
    """Where images and labels are and how pixels become numbers."""

    root: str = "."
    """Folder that all paths are below; relative to the current directory."""
    train: Source
    """Labelled items."""
    test: Source | None = None
    """Items to predict; with labels they are scored too, as data held out of everything."""
    bands: Bands | None = None
    """Bands in the order the model gets them, by 1-based number or by name: [red, nir, 3]; None: all colour bands of
    the first image. Names are those of band_names."""
    band_names: tuple[BandName, ...] | None = Field(default=None, min_length=1)
    """Names of all bands of a file, in its order; None: what the first file calls them, if bands goes by names."""
    derived: Annotated[tuple[Literal["means"] | dict[BandName, str], ...], BeforeValidator(check_derived)] = ()
    """Channels made of the bands of a sample after augmentation: means (for each band the mean of its pixels above 0,
    as a constant plane), and formulas of bands: [means, {ndvi: (nir - red) / (nir + red)}]."""
    divide: float | None = Field(default=None, gt=0)
    """Pixel values are divided by this; None: 255 for 8 bit, 65535 for 16 bit, 1 for float."""
    stretch: Stretch | None = None
    """Instead of divide: levels of each band become 0 and 1."""
    normalize: Literal["dataset", "imagenet", "none"] = "dataset"
    """Mean and standard deviation taken off after dividing: measured on the training items, ImageNet's, or none."""
    max_pixels: int = Field(default=200_000_000, ge=1)
    """Larger images are refused by their header, before decoding."""
    cache: Cache = Cache()
    """Where decoded items are kept."""
    suspects: Doubted | None = None
    """Which labels training is to avoid, by a list of suspicious ones."""
    limit: int | None = Field(default=None, ge=2)
    """Use only this many items, spread evenly over the sorted keys; --quick sets it."""

    @model_validator(mode="before")
    @classmethod
    def _numbered(cls, given: Any) -> Any:
        """Turn names of bands into their numbers."""
        if not isinstance(given, Mapping) or not names_bands(given):
            return given
        names = list(given.get("band_names") or ())
        for name in given["bands"]:
            if isinstance(name, str) and names.count(name) != 1:
                twice = "is the name of several bands" if name in names else f"is no band{near(name, names)}"
                raise ValueError(f"bands: '{name}' {twice}; there are {', '.join(map(str, names)) or 'no band_names'}")
        numbers = [names.index(name) + 1 if isinstance(name, str) else name for name in given["bands"]]
        return {**given, "bands": numbers}

    @model_validator(mode="after")
    def _derivable(self) -> Data:
        if self.band_names is not None and len(set(self.band_names)) < len(self.band_names):
            raise ValueError("band_names: a name occurs twice; give each band its own")
        if self.band_names is not None and self.bands is not None and max(self.bands) > len(self.band_names):
            raise ValueError(f"bands: {max(self.bands)} is beyond the {len(self.band_names)} band_names")
        if self.stretch is not None and self.divide is not None:
            raise ValueError("stretch: values are stretched instead of divided; leave divide out")
        if self.stretch is not None and self.stretch.over != "set" and self.normalize == "dataset":
            what = f"stretch: over {self.stretch.over} leaves no mean of the set"
            raise ValueError(f"{what}; set normalize: none, or imagenet")
        made = [name for entry in self.derived if isinstance(entry, dict) for name in entry]
        if len(set(made)) < len(made) or sum(entry == "means" for entry in self.derived) > 1:
            raise ValueError("derived: a channel is named twice; keep one")
        if self.bands is not None:
            for name, text in self.formulas:
                try:
                    read_formula(text, self.used_names(len(self.bands)))
                except ValueError as error:
                    raise ValueError(f"derived.{name}: {error}") from None
        return self

    @property
    def formulas(self) -> tuple[tuple[str, str], ...]:
        """Name and text of each formula, in order."""
        return tuple(pair for entry in self.derived if isinstance(entry, dict) for pair in entry.items())

    def used_names(self, count: int) -> tuple[str, ...]:
        """Return the name of each band that the model gets: its own, or b3 for the third band of the file.

        Args:
            count: bands of a file, if `bands` does not say which.
        """
        numbers = self.bands or tuple(range(1, count + 1))
        names = self.band_names or ()
        return tuple(names[number - 1] if number <= len(names) else f"b{number}" for number in numbers)


def names_bands(data: Mapping[str, Any]) -> bool:
    """Say whether plain data of this block chooses bands by name."""
    bands = data.get("bands")
    return isinstance(bands, list | tuple) and any(isinstance(name, str) for name in bands)


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
    crf: CrfChoice | None = None
    """Labels are smoothed by a dense conditional random field before they are cleaned, e.g. {gt_prob: 0.78, sxy: 3},
    where nested evidence says so; None: no."""
    postprocess: Literal["auto", "off"] = "auto"
    """auto: small pieces are taken away and small holes filled, class by class, where nested evidence says so."""


class Rules(Block):
    """What a run must keep to, or it is refused before any work."""

    weights: Literal["any", "known", "commercial-ok"] = "any"
    """known: first weights must have a licence that somebody states; commercial-ok: one that is known to allow
    commercial use. What nobody states is refused by both, never taken for fine."""
    test_labels: Literal["allowed", "forbidden"] = "allowed"
    """forbidden: self-training refuses images that are among data.test, by file or by pixels; either way it is written
    down whether there were some."""


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
    mine: Mining | None = None
    """What maskwright mine looks for; None: its defaults."""
    trackers: tuple[Tracker, ...] = ()
    """Who is told of losses and held-out scores while training, beside log.jsonl and history.csv: tensorboard, wandb,
    mlflow, or a block with settings, e.g. {name: mlflow, uri: databricks}."""
    decision: Decision = Decision()
    """How probabilities become one answer."""
    score: Scores = Scores()
    """What is scored beside the decision's metric."""
    output: tuple[Output, ...] = (MasksOutput(), ReportOutput())
    """Files to write."""
    selftrain: SelfTrain | None = None
    """How maskwright selftrain makes students; other verbs do not look at it."""
    rules: Rules = Rules()
    """What the run must keep to."""
    search: Search | None = Field(default=None, exclude=True)
    """What `maskwright search` tries; a run does not look at it."""
    ablate: Ablate | None = Field(default=None, exclude=True)
    """What `maskwright ablate` switches off and on; a run does not look at it."""
    quick: dict[str, Any] = Field(default_factory=dict, exclude=True)
    """Keys and values that --quick lays over this recipe after it has cut it down to few items, folds and steps, e.g.
    {members: {a: {model: {weights: null}}}}. Overrides on the command line go before it."""

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
    doubted, train = recipe.data.suspects, recipe.data.train
    if doubted is not None and doubted.part is not None:
        parts = list(train.parts) if isinstance(train, MergeSource) else []
        if doubted.part not in parts:
            listed = f"use one of: {', '.join(parts)}" if parts else "data.train is no merge; leave it out"
            found.append(f"data.suspects.part: no part '{doubted.part}'{near(doubted.part, parts)}; {listed}")
    if recipe.folds.kind == "all" and recipe.data.test is None and not recipe.folds.holdout:
        found.append("folds.kind: all trains on every item, so nothing is left to answer; give data.test, or holdout")
    found += stage_clashes(recipe.members)
    found += selftrain_clashes(recipe.selftrain, task, recipe.folds.kind, recipe.data.train)
    if recipe.folds.kind == "all":
        for name, member in recipe.members.items():
            watching = {"train.early_stop": member.train.early_stop, "schedule": member.schedule.name == "plateau"}
            found += [
                f"members.{name}.{key}: watches held-out items, and folds.kind: all holds none out; use other folds"
                for key, watches in watching.items()
                if watches
            ]
    if task.kind == "multiclass":
        found += [
            f"members.{name}.predict.{key}: labels of several classes do not add up; leave {key} out"
            for name, member in recipe.members.items()
            for key in ("votes", "model_votes")
            if getattr(member.predict, key) is not None
        ]
    found += output_clashes(recipe.output, task)
    kept = {name: member.predict.keep_folds for name, member in recipe.members.items()}
    found += vote_clashes(recipe.output, kept, recipe.folds.count, recipe.folds.kind != "all")
    if any(kept.values()) and recipe.data.test is None:
        found.append("members: predict.keep_folds is of answers to data.test; give it, or leave keep_folds out")
    if recipe.score.objects and task.kind != "binary":
        found.append(f"score.objects: is for binary tasks; the task is {task.kind}")
    found += scenes_clashes(recipe.output, recipe.data.test)
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
