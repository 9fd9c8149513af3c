"""Recipe blocks of what is tried over many trainings: a search over keys, and an ablation of on/off choices."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import Field, field_validator, model_validator

from maskwright.core.recipe.base import Block

DottedKey = Annotated[str, Field(pattern=r"^[^.\s]+(\.[^.\s]+)*$")]
"""A key of the recipe as overrides write it, e.g. members.a.optimizer.lr."""
ArmName = Annotated[str, Field(pattern=r"^[^\s/\\][^/\\\n]{0,59}$")]
Objective = Literal["validation", "nested"]
Ends = tuple[float, float]


class Span(Block):
    """What values a key may take: one of log, uniform, whole and choice."""

    log: Ends | None = None
    """[low, high] above 0, every factor equally likely, e.g. [1e-5, 1e-2]."""
    uniform: Ends | None = None
    """[low, high], every value equally likely."""
    whole: tuple[int, int] | None = None
    """[low, high] of whole numbers, both ends included."""
    choice: tuple[Any, ...] | None = Field(default=None, min_length=2)
    """Values, of any kind that the key takes: numbers, texts, lists, null."""
    step: float | None = Field(default=None, gt=0)
    """Distance between values of uniform and whole, counted from the low end; None: any value, 1 for whole."""

    @model_validator(mode="after")
    def _one_way(self) -> Span:
        given = [name for name in ("log", "uniform", "whole", "choice") if getattr(self, name) is not None]
        if len(given) != 1:
            said = " and ".join(given) or "nothing"
            raise ValueError(f"a key's values are one of log, uniform, whole and choice, got {said}; write one")
        ends = self.ends
        if ends is not None and not ends[0] < ends[1]:
            raise ValueError(f"{given[0]} is [low, high], got {list(ends)}; write the smaller first")
        if self.log is not None and self.log[0] <= 0:
            raise ValueError(f"log begins above 0, got {self.log[0]:g}; use uniform, or a higher low end")
        if self.step is not None and given[0] not in ("uniform", "whole"):
            raise ValueError(f"step is for uniform and whole, got {given[0]}; leave step out")
        if self.whole is not None and self.step is not None and self.step != round(self.step):
            raise ValueError(f"step of whole is a whole number, got {self.step:g}; round it")
        steps = 0.0 if ends is None or self.step is None else (ends[1] - ends[0]) / self.step
        if ends is not None and self.step is not None and abs(steps - round(steps)) > 1e-9:
            raise ValueError(f"step {self.step:g} does not lead from {ends[0]:g} to {ends[1]:g}; change an end")
        if self.choice is not None and len({repr(one) for one in self.choice}) < len(self.choice):
            raise ValueError("choice holds a value twice; name each once")
        return self

    @property
    def ends(self) -> tuple[float, float] | None:
        """Low and high end; None for choices."""
        return self.log or self.uniform or self.whole


class Search(Block):
    """Which keys `maskwright search` tries values of, how many times, and how it judges them."""

    space: dict[DottedKey, Span] = Field(min_length=1)
    """Dotted key -> its values, e.g. {members.a.optimizer.lr: {log: [1e-5, 1e-2]}}."""
    trials: int = Field(default=20, ge=1, le=100_000)
    """Trials in all, whatever the number of processes; --trials on the command line goes before it."""
    minutes: float | None = Field(default=None, gt=0)
    """No trial begins later than so many minutes after its process did; None: no limit."""
    objective: Objective = "validation"
    """validation: the mean score on held-out windows at the end of training; nested: the honest out-of-fold score of
    the decision, after prediction of all folds."""
    folds: int | None = Field(default=None, ge=1)
    """Folds that a trial trains, from 0; None: 1 for validation, all for nested."""
    epochs: int | None = Field(default=None, ge=1)
    """Epochs of a trial instead of train.epochs, for a cheaper look; the winning recipe keeps its own."""
    sampler: Literal["tpe", "random"] = "tpe"
    """tpe: tree-structured Parzen estimator (Bergstra et al. 2011); random: without looking at what came before."""
    pruner: Literal["median", "hyperband", "none"] = "median"
    """Ends a trial early by its validation scores. median: below the median of others at that point; hyperband:
    brackets of successive halving (Li et al. 2018); none: every trial goes to its end."""
    finalists: int = Field(default=3, ge=0, le=100)
    """Best trials that are repeated with other seeds, the recipe as it is beside them; 0: the best trial wins."""
    seeds: int = Field(default=3, ge=1, le=100)
    """Seeds that each finalist is repeated with, none of them that of its trial."""

    @model_validator(mode="after")
    def _whole_evidence(self) -> Search:
        if self.objective == "nested" and self.folds is not None:
            raise ValueError("folds: a nested score needs all folds; leave folds out, or use objective: validation")
        return self


class Ablate(Block):
    """What `maskwright ablate` switches off and on, and over how many seeds it repeats that."""

    vary: tuple[str, ...] = ()
    """Keys whose entries are left out one at a time: a dotted key that is a list or a mapping, or its end for all
    members, e.g. augment or loss; --vary on the command line goes before it."""
    add: dict[str, tuple[Any, ...]] = Field(default_factory=dict)
    """Key -> entries that are added one at a time, e.g. {augment: [mosaic, {noise: {p: 0.5}}]}."""
    arms: dict[ArmName, dict[DottedKey, Any]] = Field(default_factory=dict)
    """Name -> keys and the values they get together, e.g. {no average: {members.a.train.ema: null}}."""
    seeds: int = Field(default=3, ge=1, le=100)
    """Seeds that every arm is trained with on every fold; --seeds goes before it."""
    folds: int | None = Field(default=None, ge=2)
    """Folds that are trained, from 0; None: all."""
    epochs: int | None = Field(default=None, ge=1)
    """Epochs instead of train.epochs, for a cheaper look."""
    objective: Objective = "validation"
    """validation: the score on held-out windows at the end of training; nested: each fold under what the others
    decide."""
    confidence: float = Field(default=0.95, gt=0.5, lt=1)
    """Of the intervals, and one minus the chance that any arm of a table is believed by chance."""

    @field_validator("vary", mode="before")
    @classmethod
    def _listed(cls, given: Any) -> Any:
        return (given,) if isinstance(given, str) else given


def quick_tuning(search: Search | None, ablate: Ablate | None) -> dict[str, Any]:
    """Return both blocks as plain data, cut down to a look at the whole path."""
    plain: dict[str, Any] = {}
    if search is not None:
        least = {"trials": min(search.trials, 3), "finalists": min(search.finalists, 1), "seeds": 1, "epochs": None}
        plain["search"] = {**search.model_dump(mode="json"), **least}
    if ablate is not None:
        folds = None if ablate.folds is None else 2
        plain["ablate"] = {**ablate.model_dump(mode="json"), "seeds": 1, "folds": folds, "epochs": None}
    return plain
