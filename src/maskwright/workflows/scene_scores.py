"""Out-of-fold scores of whole scenes, weighed by the ground they cover, and of the objects in them: scenes.json."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
from pydantic import ValidationError

from maskwright.core.errors import InputError
from maskwright.core.files import read_json
from maskwright.core.recipe.base import Block
from maskwright.data.audit.fingerprint import ItemRecord
from maskwright.data.ground import plots
from maskwright.ensembling.blend import Decision
from maskwright.ensembling.items import ItemRow
from maskwright.scoring.counts import Counts
from maskwright.scoring.measures import Measure
from maskwright.scoring.objects import ObjectCounts
from maskwright.workflows.score_objects import OBJECT_SCORES, by_area, told_objects
from maskwright.workflows.session import Session
from maskwright.workflows.sheets import Piece, score_sheet, sheets_of


class SceneScore(Block):
    """One scene under the final decision, out of fold."""

    name: str
    items: int
    pixels: int
    """Valid ones."""
    area: float
    """Of valid pixels, in the unit of the file."""
    score: float | None
    """The decision's metric: the scene's pixels pooled, mean over classes; None if it has none."""
    objects: dict[str, float | int | None] | None = None
    """f1, precision, recall, pairs, predicted, true, iou; None: not asked for."""


class SceneScores(Block):
    """scenes.json."""

    metric: str
    unit: str
    """m2, or pixels where not every scene has coordinates."""
    scenes: tuple[SceneScore, ...]
    mean: float | None
    """Of the scenes' scores."""
    by_area: float | None
    """The same, weighed by area."""
    objects: dict[str, float | int | None] | None = None
    """Objects of all scenes together."""
    objects_by_area: dict[str, float | None] | None = None
    """Mean of the scenes' object scores, weighed by area."""


def scene_scores(
    session: Session, decision: Decision, rows: Sequence[ItemRow], read: Callable[[str], Piece]
) -> SceneScores | None:
    """Score the scenes that items are chips of; None: items are no chips, and nobody asked for objects.

    Args:
        session: recipe and labelled items.
        decision: as it was made; its metric is scored.
        rows: scores of all items.
        read: gives the answer and the truth of an out-of-fold item; called where objects are scored.
    """
    source, objects = session.train_source, session.recipe.score.objects
    mine = {row.key: row for row in rows if row.split == "oof"}
    scene_of = {key: source.attributes(key).get("scene", "" if not objects else key) for key in mine}
    if not mine or not all(scene_of.values()):
        return None
    records = {one.key: one for one in session.fingerprint().items if one.key in mine}
    unit, areas = _areas(records)
    counted = _objects(session, tuple(mine), read) if objects else {}
    measure = Measure(decision.measure.metric, "pooled", decision.measure.empty, decision.measure.planes)
    scenes = []
    for name in sorted(set(scene_of.values())):
        keys = [key for key in mine if scene_of[key] == name]
        pixels = sum(records[key].valid for key in keys)
        total = sum((_counts(mine[key], records[key].valid) for key in keys), Counts.zero(len(mine[keys[0]].tp)))
        value = measure.item(total.stacked)
        told = told_objects(counted[name]) if objects else None
        area = round(sum(areas[key] for key in keys), 3)
        score = None if np.isnan(value) else round(value, 6)
        scenes.append(SceneScore(name=name, items=len(keys), pixels=pixels, area=area, score=score, objects=told))
    return _together(scenes, decision.measure.metric, unit, sum(counted.values(), ObjectCounts()))


def _together(scenes: Sequence[SceneScore], metric: str, unit: str, objects: ObjectCounts) -> SceneScores:
    scores: list[dict[str, Any]] = [{"score": one.score} for one in scenes]
    areas = [one.area for one in scenes]
    known = [one.objects for one in scenes if one.objects is not None]
    return SceneScores(
        metric=metric,
        unit=unit,
        scenes=tuple(scenes),
        mean=by_area(scores, [1.0] * len(scores), ["score"])["score"],
        by_area=by_area(scores, areas, ["score"])["score"],
        objects=told_objects(objects) if known else None,
        objects_by_area=by_area(known, areas, OBJECT_SCORES) if known else None,
    )


def _counts(row: ItemRow, valid: int) -> Counts:
    """Return an item's counts; each valid pixel is in one of the four."""
    tp, fp, fn = (np.array(numbers, np.int64) for numbers in (row.tp, row.fp, row.fn))
    return Counts(tp, fp, fn, valid - tp - fp - fn)


def _areas(records: dict[str, ItemRecord]) -> tuple[str, dict[str, float]]:
    """Return the unit, and the ground of each item's valid pixels in it."""
    grounds = {key: one.ground for key, one in records.items() if one.ground is not None and not one.plane}
    if len(grounds) < len(records):
        return "pixels", {key: float(one.valid) for key, one in records.items()}
    laid = plots(grounds)
    shares = {key: one.valid / (one.height * one.width) for key, one in records.items()}
    return "m2", {key: float(laid[key].shape.area) * share for key, share in shares.items()}


def _objects(session: Session, keys: tuple[str, ...], read: Callable[[str], Piece]) -> dict[str, ObjectCounts]:
    """Return the objects of each scene."""
    sheets = sheets_of(session.train_source, keys)
    found = {}
    with session.reporter.task("score objects", len(sheets)) as tick:
        for sheet in sheets:
            session.stop.check("nothing is decided yet")
            found[sheet.name] = score_sheet(sheet, read)
            tick.advance()
    return found


def read_scene_scores(session: Session) -> SceneScores | None:
    """Read scenes.json; None: there is none.

    Raises:
        InputError: damaged.
    """
    path = session.run.scenes
    if not path.exists():
        return None
    try:
        return SceneScores.model_validate(read_json(path))
    except ValidationError as error:
        raise InputError("not scores of scenes of this version", where=path, fix="run maskwright decide") from error
