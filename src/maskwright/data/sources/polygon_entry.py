"""One shape of a JSON file of polygons: its label, and its outline and holes as lists of numbers."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from typing import Any

from maskwright.core.recipe.sources import PolygonsSource
from maskwright.data.labels.shapes import FARTHEST, circle
from maskwright.data.sources.vector import legible

Ring = list[float]
"""x and y in turn."""


class BadShapeError(Exception):
    """A shape that cannot be drawn.

    Args:
        sort: key of polygons.FAULTS.
        detail: what the shape holds.
    """

    def __init__(self, sort: str, detail: object = None) -> None:
        super().__init__(sort)
        self.sort = sort
        self.detail = "" if detail is None else f" ({str(detail)[:40]})"


def read_shape(entry: Any, block: PolygonsSource) -> tuple[str, list[Ring]]:
    """Return the label of a shape, and its outline followed by its holes.

    A polygon has 3 vertices or more; where vertices are centres of pixels, one or two are a dot or a line
    that a contour tracer found.

    Args:
        entry: from the file's list.
        block: says which fields to look at.

    Raises:
        BadShapeError: it is no object, has no label, no points, or no area.
    """
    if not isinstance(entry, Mapping):
        raise BadShapeError("entry", entry)
    label: Any = entry.get(block.label_field)
    points: Any = entry.get(block.points_field)
    if not isinstance(label, str | int) or isinstance(label, bool):
        raise BadShapeError("no_label", f"{block.label_field}: {label}")
    draw = _how(entry)
    holes: Any = []
    least = 1 if block.vertices == "centres" else 3
    if isinstance(points, Mapping):  # Supervisely
        points, holes = points.get("exterior"), points.get("interior") or []
    if not isinstance(holes, list):
        raise BadShapeError("no_points", "interior")
    try:
        rings = [draw(_flat(points)), *(_flat(hole) for hole in holes)]
    except OverflowError:
        raise BadShapeError("not_number") from None
    for ring in rings:
        if len(ring) < 2 * least:
            raise BadShapeError("few_points", len(ring) // 2)
    return legible(str(label)), rings


def _how(entry: Mapping[str, Any]) -> Callable[[Ring], Ring]:
    """Return what makes a polygon of a shape's points: labelme says in shape_type, others perhaps in type."""
    said = entry.get("shape_type")
    if said is None:
        return SHAPES.get(str(entry.get("type")).lower(), _polygon)
    if str(said).lower() not in SHAPES:
        raise BadShapeError("kind", said)
    return SHAPES[str(said).lower()]


def _flat(points: Any) -> Ring:
    """Return [[x, y], ...] as x and y in turn."""
    if not isinstance(points, list) or not points:
        raise BadShapeError("no_points", points)
    flat: Ring = []
    for point in points:
        if not isinstance(point, list) or len(point) != 2:
            raise BadShapeError("no_points", point)
        if not all(isinstance(value, int | float) for value in point):
            raise BadShapeError("not_number", point)
        flat += (float(point[0]), float(point[1]))
    return flat


def _polygon(flat: Ring) -> Ring:
    return flat


def _rectangle(flat: Ring) -> Ring:
    if len(flat) != 4:
        return flat
    left, top, right, bottom = flat
    return [left, top, right, top, right, bottom, left, bottom]


def _circle(flat: Ring) -> Ring:
    """Make a polygon of a centre and a point on the rim."""
    if len(flat) != 4:
        raise BadShapeError("kind", f"a circle of {len(flat) // 2} points")
    radius = math.hypot(flat[2] - flat[0], flat[3] - flat[1])
    if not radius < FARTHEST:
        return flat + flat  # refused by its coordinates
    return [float(value) for value in circle((flat[0], flat[1]), radius)]


def _no_area(flat: Ring) -> Ring:
    raise BadShapeError("kind", f"{len(flat) // 2} points of a shape without area, or of a bitmap")


DRAWN = ("polygon", "rectangle", "circle")
"""Shapes that have an area, as their names are told to users."""
SHAPES: dict[str, Callable[[Ring], Ring]] = {
    "polygon": _polygon,
    "poly_seg": _polygon,
    "rectangle": _rectangle,
    "bbox": _rectangle,
    "circle": _circle,
    "line": _no_area,
    "linestrip": _no_area,
    "polyline": _no_area,
    "point": _no_area,
    "points": _no_area,
    "mask": _no_area,
}
"""Name in shape_type (or type) -> what makes a polygon of its points."""
