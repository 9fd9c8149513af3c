"""Which items training is to avoid: a list of suspicious labels that the recipe names, and how often they are drawn."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from maskwright.core.errors import InputError
from maskwright.core.files import inside
from maskwright.core.recipe.blocks import Doubted
from maskwright.data.findings import refuse
from maskwright.data.sources.csv_file import CsvFile
from maskwright.workflows.session import Session


def avoided(session: Session) -> Mapping[str, float]:
    """Return key -> factor of how often it is drawn, for the items that the recipe's list calls suspicious.

    Raises:
        InputError: the list cannot be read, or names no item of the training set.
    """
    block = session.recipe.data.suspects
    if block is None:
        return {}
    scores = _read(_path(session, block))
    start = "" if block.part is None else f"{block.part}/"
    items = set(session.train_source.keys)
    known = {start + key: score for key, score in scores.items() if start + key in items}
    if scores and not known and session.recipe.data.limit is None:
        raise InputError(
            f"none of its {len(scores)} keys is an item of data.train, such as '{start}{next(iter(scores))}'",
            where=_path(session, block),
            fix="give the list of this data set, and set data.suspects.part if the items are part of a merge",
        )
    return {key: block.weight for key, score in known.items() if score >= block.above}


def avoiding_inputs(session: Session) -> dict[str, Any]:
    """Return what a training depends on here: settings, and which items the list is about."""
    block = session.recipe.data.suspects
    if block is None:
        return {}
    return {"suspects": {"weight": block.weight, "items": sorted(avoided(session))}}


def _path(session: Session, block: Doubted) -> Path:
    return inside(Path(session.recipe.data.root), block.list, "data.suspects.list")


def _read(path: Path) -> dict[str, float]:
    """Return key -> the highest score that a list gives it."""
    file = CsvFile(path, {"key": "key", "score": "score"})
    scores: dict[str, float] = {}
    for line, cells in file.rows():
        key, text = (cells[file.columns[name]].strip() for name in ("key", "score"))
        try:
            score = float(text)
        except ValueError:
            score = float("nan")
        if not 0 <= score <= 1:
            raise InputError(
                f"score '{text[:40]}' of '{key[:80]}' is no number from 0 to 1",
                where=f"{path}:{line}",
                fix="mend the row",
            )
        scores[key] = max(score, scores.get(key, 0.0))
    refuse(file.findings)
    return scores
