"""Recipe blocks of how items are split: groups, places on the ground, folds."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Annotated, Any, Literal

from pydantic import AfterValidator, Field, model_validator

from maskwright.core.recipe.base import Block
from maskwright.core.recipe.sources import Below


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


class Spatial(Block):
    """How items that lie on the ground are held out in whole places."""

    unit: Literal["block", "scene", "cluster"] = "block"
    """block: squares on the ground; scene: whole scenes; cluster: places that lie together, by k-means."""
    size: float | None = Field(default=None, gt=0)
    """Side of a block in metres; None: such that there are about four blocks for each fold, and printed."""
    clusters: int | None = Field(default=None, ge=2, le=10_000)
    """Number of clusters; None: four for each fold."""
    buffer: float = Field(default=0.0, ge=0, le=10_000)
    """Items that lie nearer than this many metres to an item that a fold is scored on are left out of its training."""

    @model_validator(mode="after")
    def _fits_unit(self) -> Spatial:
        if self.size is not None and self.unit != "block":
            raise ValueError(f"size is of blocks; unit is {self.unit}")
        if self.clusters is not None and self.unit != "cluster":
            raise ValueError(f"clusters is for unit: cluster; unit is {self.unit}")
        return self


class Folds(Block):
    """How items are split so that every score is on unseen data."""

    kind: Literal["plain", "stratified", "grouped", "stratified_grouped", "spatial", "given", "holdout", "all"] = (
        "stratified"
    )
    """plain: even sizes; stratified: like shares of foreground too; grouped, stratified_grouped: the same with whole
    groups; spatial: with whole places on the ground; given: as `file` says; holdout: one split, scored on a share;
    all: no part is scored, nothing is honest."""
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
    spatial: Spatial | None = None
    """For spatial, given and holdout: which places are held out as a whole, and how far training keeps away."""
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
        if self.spatial is not None and self.kind not in ("spatial", "given", "holdout"):
            raise ValueError(f"spatial is for kind: spatial, given or holdout; kind is {self.kind}")
        if self.spatial is not None and self.kind == "holdout" and self.group is not None:
            raise ValueError("group and spatial exclude each other; keep one")
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
