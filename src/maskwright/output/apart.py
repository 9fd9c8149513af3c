"""Features that overlap after their outlines were drawn anew are cut apart."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

SAME = 1e-9
"""Share of the smaller shape that counts as nothing, for rounding."""


def apart(shapes: Sequence[Any]) -> list[Any]:
    """Return shapes that share no ground: where two overlap the smaller one stays, and the larger one is cut.

    So nothing vanishes in a neighbour, and small ones keep their corners.

    Args:
        shapes: valid shapely Polygons and MultiPolygons.

    Returns:
        as many shapes in the same order; one may be empty if others cover all of it.
    """
    import shapely

    known = np.array(shapes, object)
    if len(known) < 2:
        return list(shapes)
    one, other = shapely.STRtree(known).query(known, predicate="intersects")
    sizes = shapely.area(known)
    smaller = (sizes[other] < sizes[one]) | ((sizes[other] == sizes[one]) & (other < one))
    one, other = one[smaller], other[smaller]
    shared = shapely.area(shapely.intersection(known[one], known[other])) > SAME * sizes[other]
    cut: dict[int, list[int]] = {}
    for large, small in zip(one[shared].tolist(), other[shared].tolist(), strict=True):
        cut.setdefault(large, []).append(small)
    result = list(shapes)
    for large, small in cut.items():
        left = shapely.difference(known[large], shapely.union_all(known[small]))
        result[large] = only_areas(left)
    return result


def only_areas(shape: Any) -> Any:
    """Return the parts of a shape that have an area, as a Polygon or MultiPolygon."""
    import shapely

    if shape.geom_type in ("Polygon", "MultiPolygon"):
        return shape
    parts = [part for part in shapely.get_parts(shape) if part.geom_type in ("Polygon", "MultiPolygon")]
    return shapely.union_all(parts)
