"""selftrain.json: the rounds of teachers and students, what speaks for each, and whose answer is the final one."""

from __future__ import annotations

from typing import Any

from pydantic import Field, ValidationError

from maskwright.core.errors import InputError
from maskwright.core.files import read_json
from maskwright.core.recipe.base import Block
from maskwright.core.runs import RunFolder

VERSION = 1


class RoundScore(Block):
    """One round in selftrain.json; round 0 are the first teachers."""

    round: int
    run: str
    """Its run folder, relative to the first teachers'."""
    honest: float | None
    """Nested out-of-fold score."""
    default: float | None
    """With nothing tuned."""
    gain: float | None = None
    """Against the round before it that was kept, on the same items."""
    low: float | None = None
    """Ends of the 99 % interval of the gain."""
    high: float | None = None
    folds_better: int | None = None
    folds: int | None = None
    kept: bool = True
    reason: str = "the first teachers"
    taken: tuple[int, ...] = ()
    """Images learnt from in each fold."""
    weight: float | None = None
    """Of the loss of teachers' labels; None: there were none."""
    parts: dict[str, float] = Field(default_factory=dict)
    """Part of data.train, if that is a merge -> weight that its items were drawn by."""
    pool_parts: dict[str, float] = Field(default_factory=dict)
    """The same of the images without labels."""


class Record(Block):
    """selftrain.json."""

    version: int = VERSION
    metric: str
    rounds: tuple[RoundScore, ...]
    final: int
    """Round whose answer is the final one."""
    run: str
    """Its run folder, relative to this file; masks and submissions are in its output/."""
    finished: bool
    """Whether all rounds that were asked for are done, or one was not kept."""
    test_items_used: bool
    unlabelled: dict[str, Any]
    settings: dict[str, Any]


def read_record(run: RunFolder) -> Record:
    """Read selftrain.json.

    Raises:
        InputError: absent, damaged, or of another version.
    """
    path = run.selftrain
    try:
        return Record.model_validate(read_json(path))
    except ValidationError as error:
        raise InputError("not a record of this version", where=path, fix="run maskwright selftrain again") from error
