"""Recipe blocks of votes on probability maps: how they vote, and members of a run that do."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field, field_validator, model_validator

from maskwright.core.labels import Task
from maskwright.core.recipe.base import Block

MapFormat = Literal["maps", "npz", "joblib"]
MapRule = Literal["vote", "mean", "low_variance", "soft"]


class MapVote(Block):
    """How maps of one item vote."""

    rule: MapRule | None = None
    """vote: members whose map is not 0; mean: of probabilities; low_variance: their mean, the member that varies least
    left out where it alone is sure; soft: their sum against the sum of their own thresholds. None: mean, or vote where
    the files hold masks."""
    at_least: int | Literal["all"] | None = None
    """For vote: how many members."""
    threshold: float | None = Field(default=None, gt=0, le=1)
    """For mean and low_variance: the least mean; for vote: the least share of weights."""
    resize: tuple[int, int] | None = None
    """For low_variance: height and width that maps are brought to before the mean."""

    def rule_in(self, form: MapFormat) -> MapRule:
        """Return the rule that files of a format vote by."""
        return self.rule or ("vote" if form == "joblib" else "mean")

    def fault(self, form: MapFormat, *, weights: bool, thresholds: bool) -> str | None:
        """Say what does not go together, with what to do; None: all does.

        Args:
            form: of the files.
            weights: whether there are any.
            thresholds: whether members have their own.
        """
        rule = self.rule_in(form)
        if form == "joblib" and rule != "vote":
            return f"rule {rule} is of probabilities, and joblib holds masks; use vote"
        if form == "npz" and rule not in ("soft", "mean"):
            return f"rule {rule} is for format: maps; use soft or mean"
        if (rule == "soft") != thresholds:
            return "thresholds and rule: soft belong together; give both or neither"
        if rule in ("mean", "low_variance") and (self.threshold is None or self.at_least is not None):
            return f"rule {rule} asks for threshold, and not for at_least"
        if rule in ("low_variance", "soft") and weights:
            return f"rule {rule} has no weights; leave them out"
        if self.resize is not None and rule != "low_variance":
            return "resize is for rule: low_variance; leave it out"
        return None


class MapVoteOutput(MapVote):
    """A vote of members on what each is sure of: their own maps are written, and vote as files of strangers do."""

    format: Literal["map_vote"] = "map_vote"
    of: MapFormat = "maps"
    """maps: a TIFF for each item, probability times 255, or 65535 where predict.bits is 16; binary tasks. npz: uint16
    `logits` of (class, H, W), probability times 10,000; multilabel and binary tasks. joblib: a dictionary of masks by
    each member's own threshold; binary tasks."""
    file: str
    """Folder (maps), CSV file (npz: image_name,class,rle) or dictionary (joblib) below output/ with the vote; what
    each member says is beside it, in FILE_members/."""
    key_extension: str = ""
    """For joblib: appended to each key, e.g. .tif."""
    members: tuple[str, ...] = Field(min_length=1)
    """By their names in the recipe; NAME.folds are all folds of one that keeps them, NAME.fold0 its first."""
    weights: dict[str, Annotated[float, Field(gt=0)]] | None = None
    """For vote and mean: member -> weight; None: alike."""
    thresholds: Literal["own"] | dict[str, float | tuple[float, ...]] | None = None
    """For soft. own: those that were chosen out of fold for each member alone; else member -> its threshold, or one for
    each class."""

    @field_validator("members")
    @classmethod
    def _differ(cls, members: tuple[str, ...]) -> tuple[str, ...]:
        if len(set(members)) < len(members):
            raise ValueError("a member is named twice; give it a weight instead")
        return members

    @model_validator(mode="after")
    def _fits(self) -> MapVoteOutput:
        fault = self.fault(self.of, weights=self.weights is not None, thresholds=self.thresholds is not None)
        if fault is not None:
            raise ValueError(fault)
        return self

    def clashes(self, task: Task) -> list[str]:
        """List where it disagrees with the task, in words."""
        if task.kind == "multiclass":
            return ["map_vote is of planes that are there or not, and the task is multiclass; use vote"]
        if task.kind == "multilabel" and self.of != "npz":
            return [f"map_vote of {self.of} holds one plane, and the task is multilabel; use of: npz"]
        return []
