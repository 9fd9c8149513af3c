"""Which items a fold's training avoids, and which it seeks: suspicious labels, mined windows, hard negatives."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from maskwright.core.errors import InputError
from maskwright.core.files import inside
from maskwright.core.recipe.blocks import Doubted
from maskwright.core.recipe.load import digest
from maskwright.data.findings import refuse
from maskwright.data.folds.folds import HOLDOUT
from maskwright.data.places import Spots
from maskwright.data.sources.csv_file import CsvFile
from maskwright.data.sources.mined import mined_parts, names_of
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
    found: dict[str, Any] = {}
    if block is not None:
        found["suspects"] = {"weight": block.weight, "items": sorted(avoided(session))}
    mined = [digest(part.listed.to_plain()) for _, part in mined_parts(session.train_source)]
    return {**found, "mined": mined} if mined else found


def not_for(session: Session, fold: int) -> frozenset[str]:
    """Return mined windows that a fold may not train on, since its own models saw something there.

    Raises:
        InputError: a list was made by models that saw what this fold is scored on.
    """
    source, found = session.train_source, set()
    for start, part in mined_parts(source):
        held = [row.key for row in session.fold_rows() if row.fold in (fold, HOLDOUT)]
        part.refuse_seen(fold, (names_of(source, key) for key in held))
        found |= {start + key for key, one in part.negatives.items() if fold not in one.folds}
    return frozenset(found)


def sought(session: Session, fold: int) -> Mapping[str, float]:
    """Return key -> how much more often a fold draws it, for labelled items on which its own models were wrong."""
    source = session.train_source
    factors: dict[str, float] = {}
    for _, part in mined_parts(source):
        names = {one.key for one in part.listed.hard if one.fold == fold}
        if names and part.block.hard > 1:
            factors |= {key: part.block.hard for key in source.keys if not names.isdisjoint(names_of(source, key))}
    return factors


def spots_of(session: Session, keys: Sequence[str], fold: int) -> dict[str, Spots]:
    """Return key -> where a fold's own models were wrong with confidence: what it is drawn more often is drawn there.

    Args:
        session: whose training source has a mined part.
        keys: that the fold draws.
        fold: its number.
    """
    source, found = session.train_source, dict[str, Spots]()
    shapes = {one.key: (one.height, one.width) for one in session.fingerprint().items}
    for _, part in mined_parts(source):
        boxes = {one.key: one.boxes for one in part.listed.hard if one.fold == fold and one.boxes}
        if not boxes or part.block.hard <= 1:
            continue
        for key in keys:
            mine = next((boxes[name] for name in names_of(source, key) if name in boxes), ())
            height, width = shapes[key]
            middles = tuple(
                (round((row + tall / 2) / height, 6), round((col + wide / 2) / width, 6))
                for row, col, tall, wide in mine
            )
            if middles:
                found[key] = Spots(1 - 1 / part.block.hard, middles)
    return found


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
