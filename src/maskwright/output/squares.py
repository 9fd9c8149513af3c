"""Right angles for buildings: an outline that follows pixels becomes a few straight sides, square to each other.

1. Douglas and Peucker's corners (1973) cut each ring into sides; a side's direction is that of least squares through
   the outline between its corners, steps of pixels and all.
2. The building's direction is the mean of its sides' directions modulo a right angle, weighed by their squared length.
   Where sides do not agree with it, as around a circle or a hexagon, there is no such direction, and the shape stays.
3. Sides within 30 degrees of it are turned onto it, at the mean place of their outline; oblique ones stay as they are,
   unless they are so short that they only cut a corner. Sides on one line become one.
4. Corners are where neighbouring sides meet. What is not valid then, or lies further than twice the tolerance from the
   outline that it came from, is thrown away, and the shape stays.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

AGREE = 0.5
"""Length of the mean of the sides' directions (as vectors at four times their angle) below which there is none. A
rectangle has 1, an L with a slanting side about 0.6, a circle, a hexagon and an octagon 0."""
SQUARE = math.radians(30)
"""Sides turn by no more than this."""
CORNER = 1.8
"""Oblique sides only cut a corner if that lies fewer tolerances than this beyond them; below FAR."""
PARALLEL = math.sin(math.radians(20))
FAR = 2.0
"""Tolerances that the new outline may lie from the old one."""
Floats = NDArray[np.float64]


@dataclass(frozen=True)
class _Side:
    """A straight part of a ring."""

    start: Floats
    """(2,) its first corner."""
    end: Floats
    middle: Floats
    """(2,) the mean of the outline along it."""
    direction: Floats
    """(2,) of length 1."""
    length: float
    axis: Literal["x", "y", ""] = ""
    """Along which axis it lies; empty: oblique."""

    def turned(self, turn: Floats) -> _Side:
        """Return it in a frame that is turned by a matrix (2, 2)."""
        start, end, middle, direction = (turn @ place for place in (self.start, self.end, self.middle, self.direction))
        return _Side(start, end, middle, direction, self.length)


def squared(shape: Any, tolerance: float) -> Any | None:
    """Return a shape with right angles.

    Args:
        shape: shapely Polygon or MultiPolygon in metres, its outline as it was traced.
        tolerance: how far corners may lie from the outline, in metres, above 0; one and a half pixels at least make
            sides of steps.

    Returns:
        A valid shape whose outline lies within twice the tolerance of the old one; None: it has no right angles.
    """
    import shapely

    found = [_polygon(part, tolerance) for part in shapely.get_parts(shape)]
    kept = [part for part in found if part is not None]
    if not kept or len(kept) < len(found):
        return None
    whole = kept[0] if len(kept) == 1 else shapely.MultiPolygon(kept)
    return whole if whole.is_valid else None


def _polygon(polygon: Any, tolerance: float) -> Any | None:
    """Return one polygon with right angles, its holes in the direction of its outer ring."""
    import shapely

    polygon = shapely.Polygon(_from_a_corner(polygon.exterior), [_from_a_corner(hole) for hole in polygon.interiors])
    drawn = polygon.simplify(tolerance)
    if drawn.geom_type != "Polygon" or len(drawn.interiors) != len(polygon.interiors):
        return None
    outer = _sides(polygon.exterior, drawn.exterior)
    angle = _direction(outer)
    if angle is None:
        return None
    ring = _ring(outer, angle, tolerance)
    if ring is None:
        return None
    holes = []
    for hole, corners in zip(polygon.interiors, drawn.interiors, strict=True):
        new = _ring(_sides(hole, corners), angle, tolerance)
        fits = new is not None and _near(shapely.LinearRing(new), hole, tolerance)
        holes.append(new if fits else np.asarray(corners.coords))
    result = shapely.Polygon(ring, holes)
    return result if result.is_valid and _near(result.exterior, polygon.exterior, tolerance) else None


def _from_a_corner(ring: Any) -> Floats:
    """Return a closed ring (N, 2) that begins where it is farthest from its middle.

    Douglas and Peucker keep the place a ring begins at, whatever it is: one that lies beside a corner would become a
    corner of its own.
    """
    places: Floats = np.asarray(ring.coords)[:-1]
    away = places - (places.min(0) + places.max(0)) / 2
    first = int(np.argmax((away**2).sum(1)))
    return np.concatenate([places[first:], places[: first + 1]])


def _near(one: Any, other: Any, tolerance: float) -> bool:
    import shapely

    return bool(shapely.hausdorff_distance(one, other) <= FAR * tolerance)


def _sides(ring: Any, drawn: Any) -> list[_Side]:
    """Return the sides between the corners that were kept of a ring; none if they are others than those it has."""
    places, corners = np.asarray(ring.coords)[:-1], np.asarray(drawn.coords)[:-1]
    where = {place: index for index, place in enumerate(map(tuple, places.tolist()))}
    kept = [where.get(corner, -1) for corner in map(tuple, corners.tolist())]
    if -1 in kept:
        return []
    if len(kept) > 1 and (kept[1] - kept[0]) % len(places) > (kept[-1] - kept[0]) % len(places):
        kept.reverse()  # rings of one shape may run either way
    return [_side(places, first, last) for first, last in zip(kept, [*kept[1:], kept[0]], strict=True)]


def _side(places: Floats, first: int, last: int) -> _Side:
    """Return the side between two corners of a ring (N, 2), by the moments of the outline between them."""
    count = len(places)
    line = places[(first + np.arange((last - first) % count + 1)) % count]
    steps = np.diff(line, axis=0)
    lengths = np.hypot(steps[:, 0], steps[:, 1])
    total = float(lengths.sum())
    middles = line[:-1] + steps / 2
    middle = (middles * lengths[:, None]).sum(0) / total
    away = middles - middle
    spread = (away * lengths[:, None]).T @ away + (steps * lengths[:, None]).T @ steps / 12
    direction = np.linalg.eigh(spread)[1][:, 1]
    chord = line[-1] - line[0]
    return _Side(line[0], line[-1], middle, direction, float(np.hypot(*chord)))


def _direction(sides: Sequence[_Side]) -> float | None:
    """Return the angle of a building, modulo a right angle; None: its sides have none in common."""
    angles = np.array([math.atan2(side.direction[1], side.direction[0]) for side in sides])
    lengths = np.array([side.length for side in sides])
    around = np.exp(4j * angles)
    if abs((lengths * around).sum()) < AGREE * lengths.sum():
        return None
    return float(np.angle((lengths**2 * around).sum())) / 4


def _ring(sides: Sequence[_Side], angle: float, tolerance: float) -> Floats | None:
    """Return the corners of a ring with its sides turned onto a direction; None: too few are left."""
    cos, sin = math.cos(angle), math.sin(angle)
    turn = np.array([[cos, sin], [-sin, cos]])
    lines = [line for side in sides if (line := _snapped(side.turned(turn), tolerance)) is not None]
    lines = _merged(lines, tolerance)
    if len(lines) < 4:
        return None
    corners = [corner for one, other in zip(lines, [*lines[1:], lines[0]], strict=True) for corner in _meet(one, other)]
    ring: Floats = np.asarray(corners) @ turn
    return ring


def _snapped(side: _Side, tolerance: float) -> _Side | None:
    """Turn a side onto the nearer axis, or leave it oblique; None: it only cuts a corner."""
    x, y = np.abs(side.direction)
    off = math.atan2(min(x, y), max(x, y))
    if side.length < tolerance or (off > SQUARE and side.length * x * y < CORNER * tolerance):
        return None
    if off > SQUARE:
        return side
    if x > y:
        return replace(side, direction=np.array([1.0, 0.0]), axis="x")
    return replace(side, direction=np.array([0.0, 1.0]), axis="y")


def _merged(lines: list[_Side], tolerance: float) -> list[_Side]:
    """Put neighbours together that lie on one line, all around the ring."""
    place, left = 0, len(lines)
    while left and len(lines) > 1:
        one, other = lines[place % len(lines)], lines[(place + 1) % len(lines)]
        across = 1 if one.axis == "x" else 0
        if one.axis and one.axis == other.axis and abs(one.middle[across] - other.middle[across]) <= tolerance:
            total = one.length + other.length
            middle = (one.middle * one.length + other.middle * other.length) / total
            both = replace(one, end=other.end, middle=middle, length=total)
            lines = _with(lines, place % len(lines), both)
            place, left = max(0, place % len(lines) - 1), len(lines)
        else:
            place, left = place + 1, left - 1
    return lines


def _with(lines: list[_Side], place: int, both: _Side) -> list[_Side]:
    """Return lines in which one and the next, all around, are replaced by both."""
    if place == len(lines) - 1:
        return [*lines[1:-1], both]
    return [*lines[:place], both, *lines[place + 2 :]]


def _meet(one: _Side, other: _Side) -> list[Floats]:
    """Return the corner of two neighbours; two corners of a step where they are all but parallel."""
    cross = one.direction[0] * other.direction[1] - one.direction[1] * other.direction[0]
    if abs(cross) > PARALLEL:
        away = other.middle - one.middle
        along = (away[0] * other.direction[1] - away[1] * other.direction[0]) / cross
        return [one.middle + along * one.direction]
    joint = (one.end + other.start) / 2
    return [line.middle + ((joint - line.middle) @ line.direction) * line.direction for line in (one, other)]
