"""Lay polygons on the pixels of a raster: reprojected, bent where straight lines would bend, cut at its edges."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from functools import partial
from typing import Any

import numpy as np
from numpy.typing import NDArray

from maskwright.core.grid import Grid, Points
from maskwright.data.ground import in_degrees, reproject
from maskwright.data.sources.outlines import Outlines, Writer
from maskwright.data.vectors.features import Features

EDGE = 32
"""Pieces that each side of a raster is cut into to find its bounds in another system."""
BEND = 0.25
"""Pixels by which the middle of a reprojected edge may miss the edge between its reprojected ends."""
MOST_CUTS = 6
"""Times that edges are halved to bend."""
WHOLE = 360 - 1e-6
"""Degrees from which an edge goes all around the Earth."""
MARGIN = 4.0
"""Pixels beyond the raster that polygons are kept for."""


def outline_of(grid: Grid) -> Points:
    """Return places all around a raster, (4 EDGE, 2) x and y in its own system."""
    height, width = grid.shape
    along = np.linspace(0, 1, EDGE, endpoint=False)
    zero, one = np.zeros(EDGE), np.ones(EDGE)
    cols = np.concatenate([along, one, 1 - along, zero]) * width
    rows = np.concatenate([zero, along, one, 1 - along]) * height
    return grid.to_ground(np.stack([cols, rows], axis=1))


def bounds_in(grid: Grid, crs: str) -> tuple[float, float, float, float] | None:
    """Return the bounds of a raster in another system: least x, least y, most x, most y; None if it is beyond that."""
    places = reproject(outline_of(grid), grid.crs, crs)
    if not np.isfinite(places).all():
        return None
    if in_degrees(crs) and not (grid.crs and in_degrees(grid.crs)):
        places = _around(places, middle_of(grid, crs))
    (low_x, low_y), (high_x, high_y) = places.min(axis=0), places.max(axis=0)
    return float(low_x), float(low_y), float(high_x), float(high_y)


def hits(features: Features, grid: Grid, crs: str) -> NDArray[np.intp]:
    """Return which features may lie on a raster, by their bounds, in the order of the file.

    Args:
        features: polygons.
        grid: of the raster.
        crs: system of the features.
    """
    import shapely

    box = bounds_in(grid, crs)
    if box is None or not len(features.shapes):
        return np.array([], np.intp)
    bounds = shapely.bounds(_facing(features.shapes, crs, grid))
    low, high = bounds[:, :2] <= box[2:], bounds[:, 2:] >= box[:2]
    return np.flatnonzero(low.all(axis=1) & high.all(axis=1))


def on_pixels(shapes: NDArray[Any], crs: str, grid: Grid) -> NDArray[Any]:
    """Bring polygons to pixels of a raster (column and row from its outer corner), and cut them at its edges.

    Args:
        shapes: (N,) valid polygons.
        crs: their system.
        grid: of the raster.

    Returns:
        (N,) polygons in pixels; empty where nothing lies on the raster.
    """
    import shapely

    middle = middle_of(grid, grid.crs) if crs != grid.crs and in_degrees(grid.crs) else None

    def there(places: Points) -> Points:
        ground = reproject(places, crs, grid.crs)
        return grid.to_pixels(ground if middle is None else _around(ground, middle))

    shapes = _facing(shapes, crs, grid)
    laid: NDArray[Any] = shapely.transform(_bent(shapes, there, crs == grid.crs), there)
    lost = ~np.isfinite(shapely.bounds(laid)).all(axis=1)
    laid[lost] = shapely.Polygon()
    height, width = grid.shape
    box = shapely.box(-MARGIN, -MARGIN, width + MARGIN, height + MARGIN)
    out = ~shapely.contains(box, laid) & ~shapely.is_empty(laid)
    if out.any():
        whole = shapely.make_valid(laid[out], method="structure", keep_collapsed=False)
        laid[out] = shapely.intersection(whole, box)
    return laid


def middle_of(grid: Grid, crs: str) -> float:
    """Return the longitude of the middle of a raster in a system of degrees."""
    height, width = grid.shape
    return float(reproject(grid.to_ground(np.array([[width / 2, height / 2]])), grid.crs, crs)[0, 0])


def _around(places: Points, middle: float) -> Points:
    """Return places in degrees with longitudes within half a turn of a middle."""
    return np.stack([middle + (places[:, 0] - middle + 180) % 360 - 180, places[:, 1]], axis=1)


def _facing(shapes: NDArray[Any], crs: str, grid: Grid) -> NDArray[Any]:
    """Return shapes in degrees on the turn of longitude that a raster is on: 180 and -180 are one meridian.

    An edge that goes from one side of it to the other, by more than half a turn, is taken to cross it. Shapes wider
    than that are left as they are.

    Args:
        shapes: polygons.
        crs: their system; others than of degrees are left alone.
        grid: of the raster.
    """
    import shapely

    if not in_degrees(crs) or not len(shapes):
        return shapes
    middle = middle_of(grid, crs)
    bounds = shapely.bounds(shapes)
    wide = np.flatnonzero((bounds[:, 2] - bounds[:, 0] > 180) & (bounds[:, 2] - bounds[:, 0] < WHOLE))
    crossing = [place for place in wide if _crosses(shapes[place])]
    turned = shapes.copy()
    for place in crossing:
        turned[place] = shapely.transform(shapes[place], lambda at: _around(at, 180.0))
    bounds = shapely.bounds(turned)
    shifts = 360 * np.round((middle - (bounds[:, 0] + bounds[:, 2]) / 2) / 360)
    shifts[bounds[:, 2] - bounds[:, 0] > 180] = 0
    for shift in np.unique(shifts[np.nan_to_num(shifts) != 0]):
        aside = shifts == shift
        turned[aside] = shapely.transform(turned[aside], partial(np.add, [shift, 0.0]))
    return turned


def _crosses(shape: Any) -> bool:
    """Say whether an edge of a shape goes by more than half a turn, and less than a whole one."""
    import shapely

    rings = shapely.get_rings(shape)
    steps = [np.abs(np.diff(shapely.get_coordinates(ring)[:, 0])) for ring in rings]
    return any(bool(((step > 180) & (step < WHOLE)).any()) for step in steps)


def _bent(shapes: NDArray[Any], there: Any, same: bool) -> NDArray[Any]:
    """Halve edges whose middle would lie beside the reprojected edge: they are straight in the file's own system."""
    import shapely

    if same:
        return shapes
    bent, todo = shapes.copy(), np.arange(len(shapes))
    for _ in range(MOST_CUTS):
        off, longest = _bending(bent[todo], there)
        if not len(off):
            break
        todo = todo[off]
        bent[todo] = shapely.segmentize(bent[todo], longest / 2)
    return bent


def _bending(shapes: NDArray[Any], there: Any) -> tuple[NDArray[np.intp], NDArray[np.float64]]:
    """Return which shapes have an edge whose middle misses the edge, and the longest edge of each of these."""
    import shapely

    rings, shape_of = shapely.get_rings(shapes, return_index=True)
    places, ring_of = shapely.get_coordinates(rings, return_index=True)
    inside = np.flatnonzero(ring_of[:-1] == ring_of[1:])
    middle, ends = there((places[inside] + places[inside + 1]) / 2), there(places)
    miss = np.abs(middle - (ends[inside] + ends[inside + 1]) / 2).max(axis=1, initial=0.0)
    owners = shape_of[ring_of[inside]]
    longest = np.zeros(len(shapes))
    np.maximum.at(longest, owners, np.hypot(*(places[inside + 1] - places[inside]).T))
    off = np.unique(owners[np.nan_to_num(miss, posinf=0.0) > BEND])
    return off, longest[off]


def write_outlines(shapes: Iterable[Any], codes: Sequence[int]) -> Outlines:
    """Write polygons in pixels as annotations, in their order; empty ones are left out.

    Args:
        shapes: shapely geometries in pixels.
        codes: class id of each, or IGNORED.
    """
    import shapely

    writer = Writer()
    for shape, code in zip(shapes, codes, strict=True):
        parts = [part for part in shapely.get_parts(shape) if part.geom_type == "Polygon" and not part.is_empty]
        if not parts:
            continue
        for part in parts:
            writer.ring(shapely.get_coordinates(part.exterior).ravel().tolist())
            for hole in part.interiors:
                writer.ring(shapely.get_coordinates(hole).ravel().tolist(), hole=True)
        writer.close(code, 0)
    return writer.done()


def read_outlines(outlines: Outlines, chosen: Sequence[int], scale: tuple[float, float]) -> NDArray[Any]:
    """Return annotations that are polygons as shapes, the inverse of write_outlines.

    Args:
        outlines: annotations.
        chosen: which of them; each has rings.
        scale: (x, y) that their coordinates are multiplied by.

    Returns:
        (N,) valid shapely Polygons and MultiPolygons.
    """
    import shapely

    found = []
    for index in chosen:
        parts: list[list[Points]] = []
        for ring in range(outlines.firsts[index], outlines.firsts[index + 1]):
            points = outlines.points[outlines.rings[ring] : outlines.rings[ring + 1]].reshape(-1, 2) * np.array(scale)
            if outlines.holes[ring]:
                parts[-1].append(points)
            else:
                parts.append([points])
        shapes = [shapely.Polygon(part[0], part[1:]) for part in parts if len(part[0]) > 2]
        whole = shapely.make_valid(shapes, method="structure", keep_collapsed=False)
        found.append(shapely.union_all(whole))
    return np.array(found, object)
