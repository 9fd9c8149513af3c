"""Gather what the report shows of places: ground.json, the map of the folds, scenes.json."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from maskwright.core.errors import InputError
from maskwright.core.files import read_json
from maskwright.data.audit.fingerprint import Fingerprint
from maskwright.data.folds.folds import FoldRow
from maskwright.data.ground import plots
from maskwright.output.report.ground_facts import FoldGround, GroundFacts, SceneRow, SceneTable, Spot
from maskwright.workflows.scene_scores import SceneScores, read_scene_scores
from maskwright.workflows.session import Session
from maskwright.workflows.story.decision import finite

MOST_SPOTS = 3000
"""Items on the map; more are not drawn."""


def ground_facts(session: Session, print_: Fingerprint, rows: Sequence[FoldRow]) -> GroundFacts:
    """Return what the run knows of places.

    Args:
        session: its run folder.
        print_: says where items lie.
        rows: which fold each item is in.
    """
    found = read_scene_scores(session)
    folds = _folds(read_json(session.run.ground), session) if session.run.ground.exists() else ()
    spots = _spots(print_, rows) if folds else ()
    return GroundFacts(folds=folds, spots=spots, scenes=None if found is None else _table(found))


def _folds(plain: Any, session: Session) -> tuple[FoldGround, ...]:
    try:
        return tuple(
            FoldGround(one["fold"], one["scored"], one["trained"], one["shared"], one["distance"])
            for one in plain["folds"]
        )
    except (KeyError, TypeError):
        fix = "run maskwright split"
        raise InputError("does not say where folds lie", where=session.run.ground, fix=fix) from None


def _spots(print_: Fingerprint, rows: Sequence[FoldRow]) -> tuple[Spot, ...]:
    """Return where items lie, if they lie on one plane."""
    grounds = {one.key: one.ground for one in print_.items if one.ground is not None and not one.plane}
    shown = [row for row in rows if row.key in grounds and row.fold >= -1]
    if not shown or len(shown) > MOST_SPOTS:
        return ()
    laid = plots({row.key: grounds[row.key] for row in shown})
    if len({plot.plane for plot in laid.values()}) > 1:
        return ()
    found = []
    for row in shown:
        corners = [(round(x, 2), round(y, 2)) for x, y in laid[row.key].shape.exterior.coords[:4]]
        found.append(Spot(row.key, row.fold, tuple(corners)))
    return tuple(found)


def _table(found: SceneScores) -> SceneTable:
    rows = []
    for one in found.scenes:
        told: dict[str, Any] = dict(one.objects or {})
        objects = (told.get("f1"), int(told.get("true") or 0), int(told.get("predicted") or 0))
        rows.append(SceneRow(one.name, one.items, one.area, finite(one.score), *objects))
    known = dict(found.objects or {})
    by_area = finite((found.objects_by_area or {}).get("f1"))
    return SceneTable(
        metric=found.metric,
        unit=found.unit,
        rows=tuple(rows),
        mean=finite(found.mean),
        by_area=finite(found.by_area),
        objects=found.objects is not None,
        f1=finite(known.get("f1")),
        precision=finite(known.get("precision")),
        recall=finite(known.get("recall")),
        f1_by_area=by_area,
    )
