"""Recipe blocks of votes: members, or groups of them, and how they vote."""

from __future__ import annotations

import re
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import Discriminator, Field, Tag, field_validator

from maskwright.core.recipe.base import Block

OUT_OF_FOLD = "out_of_fold"
_FOLDS = re.compile(r"\.(folds|fold\d+)$")
Rule = Literal["vote", "class", "best"]
_FILE_OR_GROUP = Discriminator(lambda given: "file" if isinstance(given, str) else "group")


class Group(Block):
    """Members, or groups of them, and how they vote."""

    members: dict[str, Annotated[Annotated[str, Tag("file")] | Annotated[Group, Tag("group")], _FILE_OR_GROUP]] = Field(
        min_length=1
    )
    """Name -> file beside the plan, or a group of its own; a list of files is named after them, without .csv."""
    rule: Rule | None = None
    """vote: a pixel is set where enough of the weights say so. class: each pixel gets the class with most weight, the
    lowest id where several have. best: each row is taken from the member with the best score for its class. None: vote,
    or class where the format holds classes."""
    at_least: int | Literal["all"] | None = Field(default=None)
    """For vote: how many members must say so; all: every one."""
    threshold: float | None = Field(default=None, gt=0, le=1)
    """For vote: what share of all weights must say so, that share included."""
    weights: dict[str, float] | str | None = None
    """Member -> weight as it is, or a CSV file with columns member,weight (or member,score)."""
    scores: dict[str, float] | str | None = None
    """Member -> score; its weight is ln(score - lowest + 1) + 1. For best: a CSV file of member,class,score. In a
    recipe also out_of_fold: what each member scores, in percent, on items it did not see, at the fixed threshold."""

    @field_validator("members", mode="before")
    @classmethod
    def _named(cls, members: Any) -> Any:
        return named(members)

    @field_validator("at_least")
    @classmethod
    def _some(cls, at_least: int | str | None) -> int | str | None:
        if isinstance(at_least, int) and at_least < 1:
            raise ValueError(f"at_least must be 1 or more, got {at_least}; write how many members must agree")
        return at_least


def named(members: Any) -> Any:
    """Name the files of a list after themselves, without .csv; leave anything else as it is.

    Raises:
        ValueError: two files of one name.
    """
    if not isinstance(members, list) or not all(isinstance(one, str) for one in members):
        return members
    found = {one if _FOLDS.search(one) else Path(one).stem: one for one in members}
    if len(found) < len(members):
        raise ValueError("two members have one file name; write name: file for each")
    return found


def leaves(group: Group) -> tuple[str, ...]:
    """Return the members that a group and the groups in it name, each once, in their order."""
    found: dict[str, None] = {}
    for one in group.members.values():
        found.update(dict.fromkeys(leaves(one) if isinstance(one, Group) else (one,)))
    return tuple(found)


def voter(leaf: str) -> tuple[str, int | None]:
    """Return the member that a leaf of a recipe's vote names, and which of its folds: NAME or NAME.fold0."""
    found = re.fullmatch(r"(.+)\.fold(\d+)", leaf)
    return (leaf, None) if found is None else (found[1], int(found[2]))


def groups_of(group: Group) -> list[Group]:
    """Return a group and all groups in it."""
    return [group, *(inner for one in group.members.values() if isinstance(one, Group) for inner in groups_of(one))]


def with_folds(group: Group, count: int) -> Group:
    """Return the same group with NAME.folds replaced by NAME.fold0, NAME.fold1 and so on, all of them."""
    members: dict[str, str | Group] = {}
    for name, one in group.members.items():
        if isinstance(one, Group):
            members[name] = with_folds(one, count)
        elif one.endswith(".folds"):
            members.update({leaf: leaf for leaf in leaves_of([one], count)})
        else:
            members[name] = one
    return group.model_copy(update={"members": members})


def leaves_of(members: Sequence[str], count: int) -> tuple[str, ...]:
    """Return members with NAME.folds replaced by NAME.fold0, NAME.fold1 and so on, all of them."""
    each = (
        [f"{one.removesuffix('.folds')}.fold{fold}" for fold in range(count)] if one.endswith(".folds") else [one]
        for one in members
    )
    return tuple(leaf for found in each for leaf in found)


def in_files(group: Group, suffix: str) -> Group:
    """Return the same group with a suffix behind the name of every member, for files that are called after them."""
    members = {
        name: in_files(one, suffix) if isinstance(one, Group) else f"{one}{suffix}"
        for name, one in group.members.items()
    }
    return group.model_copy(update={"members": members})
