"""The section on the ground: a map of the folds, how far training and scoring lie apart, scores of whole scenes."""

from __future__ import annotations

import math

import numpy as np

from maskwright.output.report.charts import SERIES, svg, ticks
from maskwright.output.report.facts import ReportFacts
from maskwright.output.report.ground_facts import FoldGround, SceneRow, SceneTable, Spot
from maskwright.output.report.markup import MISSING, Column, Markup, bar, count, name, plural, score, table, text
from maskwright.output.report.sections import metric_title

WIDTH, HEIGHT = 520, 360
"""Of the drawing, and of the map on it at most."""
ROOM = 14
MOST_SCENES = 200
"""Rows; of more scenes those with the lowest scores are shown."""
TITLES = {-1: "hold-out", -2: "training alone"}


def ground(facts: ReportFacts) -> Markup:
    """Return the section, or nothing where items have no place."""
    found = facts.ground
    body = ""
    if found.folds:
        drawn = f"<div>{_map(found.spots)}</div>" if found.spots else ""
        body += f'<h3>Folds on the ground</h3><div class="pair">{drawn}<div>{_folds(found.folds)}</div></div>'
    return body + (_scenes(found.scenes) if found.scenes is not None else "")


def _folds(rows: tuple[FoldGround, ...]) -> Markup:
    """Say how far each fold's training lies from what it is scored on."""
    columns = [Column("fold"), Column("scored on", True), Column("trained on", True)]
    columns += [Column("in both", True, "ground that the fold is trained and scored on")]
    columns += [Column("apart", True, "from the nearest item trained on to one that is scored")]
    cells = [
        [
            f"{_swatch(row.fold)}{row.fold}",
            area(row.scored),
            area(row.trained),
            area(row.shared),
            "other parts of the world" if row.distance is None else length(row.distance),
        ]
        for row in rows
    ]
    nearest = min((row.distance for row in rows if row.distance is not None), default=math.inf)
    if any(row.shared >= 1 for row in rows):
        said = "Some ground is trained on and scored: scores are too good for new places."
    elif nearest < 1:
        said = "What is trained on touches what is scored, and neighbours look alike: scores may be too good elsewhere."
    else:
        said = "No ground is both trained on and scored."
    return f"{table('Ground of each fold', columns, cells)}<p>{said}</p>"


def _map(spots: tuple[Spot, ...]) -> Markup:
    """Draw the items where they lie, north up, in the colours of their folds."""
    places = np.array([corner for spot in spots for corner in spot.corners], np.float64)
    (left, low), (right, high) = places.min(0), places.max(0)
    scale = min((WIDTH - 2 * ROOM) / max(right - left, 1e-9), (HEIGHT - 2 * ROOM - 24) / max(high - low, 1e-9))
    tall = (high - low) * scale + 2 * ROOM
    shapes = []
    for spot in spots:
        points = " ".join(f"{ROOM + (x - left) * scale:.1f},{ROOM + (high - y) * scale:.1f}" for x, y in spot.corners)
        where = TITLES.get(spot.fold, f"fold {spot.fold}")
        words = f"<title>{text(spot.key)}: {where}</title>"
        shapes.append(f'<polygon class="plot {_series(spot.fold)}" points="{points}">{words}</polygon>')
    steps = ticks(0, (WIDTH - 2 * ROOM) / 4 / scale)
    bar_length = steps[-1] if len(steps) > 1 else (WIDTH - 2 * ROOM) / 4 / scale
    y, end = tall + 4, ROOM + bar_length * scale
    ruler = f'<path class="ruler" d="M{ROOM} {y - 4:.1f}v4H{end:.1f}v-4"/>'
    ruler += f'<text class="tick" x="{end + 6:.1f}" y="{y + 3:.1f}">{length(bar_length)}</text>'
    drawing = svg(WIDTH, round(tall + 24), f"Map of {len(spots)} items by fold, north up", "".join(shapes) + ruler)
    return f"<figure>{drawing}<figcaption>{plural(len(spots), 'item')} where they lie, north up.</figcaption></figure>"


def _scenes(found: SceneTable) -> Markup:
    """Return the scores of whole scenes, the worst first, and their mean by area."""
    metric = metric_title(found.metric)
    rows = sorted(
        found.rows, key=lambda row: (math.isnan(row.score), row.score if row.score == row.score else 0, row.name)
    )
    metres = found.unit == "m2"
    columns = [Column("scene"), Column("items", True), Column("valid ground" if metres else "valid pixels", True)]
    columns += [Column(metric, True, "of the scene's pixels together"), Column("")]
    columns += [Column("objects F1", True, "at IoU 0.5"), Column("predicted / true", True)] if found.objects else []
    cells = [_scene(row, metres=metres, objects=found.objects) for row in rows[:MOST_SCENES]]
    weighed = "the ground they cover" if metres else "their valid pixels"
    said = f"Mean over scenes, weighed by {weighed}: {metric} <strong>{score(found.by_area)}</strong>"
    said += f" ({score(found.mean)} if all count alike)."
    if found.objects:
        said += (
            f" Objects of all scenes together: F1 <strong>{score(found.f1)}</strong>, precision "
            f"{score(found.precision)}, recall {score(found.recall)}; scene by scene and weighed, F1 "
            f"{score(found.f1_by_area)}."
        )
    left = len(rows) - len(cells)
    rest = f" Shown are the {count(MOST_SCENES)} lowest; all are in scenes.json." if left > 0 else ""
    listed = f'<div class="tall sortable">{table("Scores of scenes", columns, cells)}</div>'
    return (
        f"<h3>Scene by scene</h3><p>{plural(len(rows), 'scene')} out of fold, under the final weights and thresholds, "
        f"the worst first. {said}{rest}</p>{listed}"
    )


def _scene(row: SceneRow, *, metres: bool, objects: bool) -> list[Markup]:
    cells = [name(row.name), count(row.items), area(row.area) if metres else count(round(row.area))]
    cells += [score(row.score), bar(row.score)]
    return cells + ([score(row.f1), f"{count(row.predicted)} / {count(row.true)}"] if objects else [])


def _series(fold: int) -> str:
    return f"s{fold % SERIES}" if fold >= 0 else "apart"


def _swatch(fold: int) -> Markup:
    return (
        f'<svg class="swatch" viewBox="0 0 12 12" aria-hidden="true"><rect class="plot {_series(fold)}" '
        'width="12" height="12"/></svg> '
    )


def area(square: float) -> Markup:
    """Write square metres: 950 m², 1.25 km²."""
    if not math.isfinite(square):
        return MISSING
    return f"{square / 1e6:.3g} km²" if square >= 1e5 else f"{count(round(square))} m²"


def length(metres: float) -> Markup:
    """Write metres: 67 m, 12.5 km."""
    return f"{metres / 1000:.3g} km" if metres >= 1000 else f"{metres:.3g} m"
