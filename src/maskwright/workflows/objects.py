"""Objects on both sides of a comparison, as shapes in pixels, and which of them are pairs."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray

from maskwright.core.grid import Grid, Shape
from maskwright.output.vector import Feature, Ruler, Tracing, trace
from maskwright.scoring.objects import ObjectCounts, match

LEAST_IOU = 0.5
"""Of a pair, as SpaceNet has it."""
PIXELS = Ruler(lambda grid: None, lambda grid: None)
Planes = Callable[[int, int], tuple[NDArray[np.uint8], NDArray[np.bool_]]]
"""From first row and number of rows to 0/1 and to where it is known, each (rows, W)."""
Chances = Callable[[int, int], NDArray[np.float32]]
"""From first row and number of rows to the probability of each pixel's answer (rows, W)."""


def traced(read: Planes, shape: Shape, chances: Chances | None = None, *, where_known: bool = False) -> list[Feature]:
    """Return what is connected over edges of pixels, in pixels.

    Args:
        read: gives rows.
        shape: (H, W) of all rows.
        chances: gives the probabilities that become those of the features; None: all are 1.
        where_known: trace where anything is known, instead of what is 1.
    """
    pixels = Grid.nowhere(shape)

    def rows_of(top: int, rows: int) -> tuple[NDArray[np.uint8], NDArray[np.float32]]:
        values = read(top, rows)[where_known].astype(np.uint8)
        return values, values.astype(np.float32) if chances is None else chances(top, rows)

    return trace(pixels, rows_of, PIXELS, Tracing({1: "object"}))


def shapes_of(features: list[Feature]) -> NDArray[Any]:
    """Return the shapes of features in an array."""
    return np.array([one.shape for one in features], object)


def known_shape(read: Planes, shape: Shape) -> Any:
    """Return where anything is known, as one shape in pixels; None: everywhere."""
    import shapely

    found = traced(read, shape, where_known=True)
    if sum(one.area for one in found) == shape[0] * shape[1]:
        return None
    return shapely.union_all(shapes_of(found))


def cut(shapes: NDArray[Any], known: Any) -> NDArray[Any]:
    """Cut true objects at what is not known, and leave out those of which nothing is left."""
    import shapely

    if known is None or not len(shapes):
        return shapes
    left: NDArray[Any] = shapely.intersection(shapes, known)
    kept: NDArray[Any] = left[shapely.area(left) > 0]
    return kept


def pair_up(mine: NDArray[Any], confidence: NDArray[np.float64], theirs: NDArray[Any]) -> ObjectCounts:
    """Count pairs of predicted and true objects by SpaceNet's rule; see scoring.objects.match."""
    return match(_overlaps(mine, theirs), confidence, len(theirs), LEAST_IOU)


def _overlaps(mine: NDArray[Any], theirs: NDArray[Any]) -> list[tuple[int, int, float]]:
    """Return the IoU of all objects that meet."""
    import shapely

    if not len(mine) or not len(theirs):
        return []
    one, other = shapely.STRtree(theirs).query(mine, predicate="intersects")
    both = shapely.area(shapely.intersection(mine[one], theirs[other]))
    total = shapely.area(mine[one]) + shapely.area(theirs[other]) - both
    return list(zip(one.tolist(), other.tolist(), (both / total).tolist(), strict=True))
