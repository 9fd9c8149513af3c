"""Where items lie on the ground, and how far apart: on planes in metres, made for each part of the world.

An item's ground is its four corners in longitude and latitude (WGS84), whatever its scene's own system is. For
areas and distances, items are sorted into parts of the world that lie more than two degrees apart, and each part
gets a Lambert azimuthal equal-area plane about its middle: areas are true, lengths within a part of 500 km to
one in a thousand (the scale at distance r is cos(r / 2R), Snyder 1987, Map Projections, page 182 ff.).
Items of scenes without coordinates lie on a plane of their scene alone, and their unit is its pixel.
"""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Mapping, Sequence
from functools import lru_cache
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from maskwright.core.errors import InputError
from maskwright.core.grid import Grid, Points

WORLD = "EPSG:4326"
RADIUS, ECCENTRICITY2 = 6_378_137.0, 0.00669437999014
"""Of WGS84: half its longer axis in metres, and its eccentricity squared."""
CELL = 2.0
"""Degrees; items in neighbouring cells are in one part of the world."""
CAP = 80.0
"""Degrees of latitude beyond which longitude tells nothing."""
TOUCH = 1e-3
"""Share of an item's ground that another must cover before they are said to share ground: what touches does not."""


class Ground(NamedTuple):
    """Where an item lies."""

    plane: str
    """Empty: longitude and latitude; else the name of a scene without coordinates, in its pixels."""
    corners: tuple[float, ...]
    """x and y of four corners in turn, in degrees or pixels."""


class Plot(NamedTuple):
    """The ground of one item on a plane."""

    plane: str
    """Distances are between plots of one plane."""
    shape: Any
    """shapely Polygon in metres, or in pixels of a scene without coordinates."""


def reproject(points: Points, source: str, target: str) -> Points:
    """Bring places from one coordinate system to another; x is always east or longitude, whatever the systems say.

    Args:
        points: (N, 2) x and y.
        source: name of their system.
        target: name of the other one.

    Returns:
        (N, 2); not finite where a place cannot be reached.
    """
    if source == target or not len(points):
        return points
    from rasterio.errors import CRSError
    from rasterio.warp import transform

    try:
        x, y = transform(_system(source), _system(target), points[:, 0], points[:, 1])
    except CRSError as error:
        raise InputError(f"no way from {source[:80]} to {target[:80]} ({error})", fix="check the names") from None
    return np.stack([np.asarray(x, np.float64), np.asarray(y, np.float64)], axis=1)


def check_system(name: str, where: str) -> str:
    """Return the name of a coordinate system as it is used here, e.g. EPSG:32645.

    Raises:
        InputError: nobody knows it.
    """
    from rasterio.errors import CRSError

    try:
        found = _system(name)
    except CRSError:
        fix = "name it as EPSG:32645, or by its well-known text"
        raise InputError(f"'{name[:80]}' is no coordinate system", where=where, fix=fix) from None
    return str(found.to_string() or found.to_wkt())


def same_system(one: str, other: str) -> bool:
    """Say whether two names mean one coordinate system; CRS84 and EPSG:4326 are one here, x is longitude in both."""
    if one == other:
        return True
    return bool(_system(one) == _system(other)) if one and other else False


def in_degrees(name: str) -> bool:
    """Say whether a coordinate system is of longitude and latitude."""
    return bool(_system(name).is_geographic)


@lru_cache(maxsize=256)
def _system(name: str) -> Any:
    from rasterio.crs import CRS

    if name.upper().replace("URN:OGC:DEF:CRS:", "").replace("1.3:", "").replace("::", ":") in ("OGC:CRS84", "CRS84"):
        name = WORLD
    return CRS.from_user_input(name)


def ground_of(grid: Grid, scene: str) -> Ground:
    """Return where a grid lies.

    Args:
        grid: of an item.
        scene: name of its scene, and of its plane if that has no coordinates.
    """
    if not grid.crs:
        return Ground(scene, tuple(float(value) for value in grid.corners.ravel()))
    corners = reproject(grid.corners, grid.crs, WORLD)
    if not np.isfinite(corners).all():
        raise InputError(f"lies outside of its coordinate system {grid.crs[:80]}", kind="no_place", fix="mend it")
    return Ground("", tuple(float(value) for value in corners.ravel()))


@lru_cache(maxsize=4096)
def pixel_in_metres(grid: Grid) -> tuple[tuple[float, float], tuple[float, float]] | None:
    """Return what a step of one column and one row is on the ground at the middle of a grid.

    Args:
        grid: any turn, shear and mirror.

    Returns:
        ((east of a column, east of a row), (north of a column, north of a row)) in metres on an equal-area plane about
        the middle; None without coordinates.
    """
    if not grid.crs:
        return None
    height, width = grid.shape
    middle = np.array([[width / 2, height / 2]]) + np.array([[0, 0], [0.5, 0], [-0.5, 0], [0, 0.5], [0, -0.5]])
    places = reproject(grid.to_ground(middle), grid.crs, WORLD)
    flat = reproject(places, WORLD, _plane_about(*places[0]))
    (east, north), (east_down, north_down) = (flat[1] - flat[2]).tolist(), (flat[3] - flat[4]).tolist()
    return (east, east_down), (north, north_down)


def metres_a_pixel(grid: Grid) -> tuple[float, float] | None:
    """Return (height, width) of a pixel on the ground in metres at the middle of a grid; None without coordinates."""
    found = pixel_in_metres(grid)
    if found is None:
        return None
    (east, east_down), (north, north_down) = found
    return math.hypot(east_down, north_down), math.hypot(east, north)


def pixel_areas(grid: Grid) -> NDArray[np.float64] | None:
    """Return the ground that a pixel of each row covers at the middle of the row, in square metres.

    The area of a small piece of the WGS84 ellipsoid is M N cos(lat) dlat dlon, with its two radii of curvature
    (Snyder 1987, Map Projections, equations 4-18 to 4-20).

    Returns:
        (H,), 0 where a row lies beyond what its coordinate system can say; None without coordinates.
    """
    if not grid.crs:
        return None
    height, width = grid.shape
    rows = np.arange(height) + 0.5
    shifts = ((0.5, 0.0), (-0.5, 0.0), (0.0, 0.5), (0.0, -0.5))
    places = np.concatenate([np.stack([np.full(height, width / 2 + x), rows + y], axis=1) for x, y in shifts])
    right, left, below, above = reproject(grid.to_ground(places), grid.crs, WORLD).reshape(4, height, 2)
    across, down = _turned(right - left), _turned(below - above)
    square = np.abs(across[:, 0] * down[:, 1] - across[:, 1] * down[:, 0]) * math.radians(1) ** 2
    lat = np.radians((above[:, 1] + below[:, 1]) / 2)
    flat = 1 - ECCENTRICITY2 * np.sin(lat) ** 2
    areas: NDArray[np.float64] = square * RADIUS**2 * (1 - ECCENTRICITY2) / flat**2 * np.cos(lat)
    return np.where(np.isfinite(areas), areas, 0.0)


def _turned(steps: Points) -> Points:
    """Return steps in degrees the short way around, (N, 2)."""
    return np.stack([(steps[:, 0] + 180) % 360 - 180, steps[:, 1]], axis=1)


def _plane_about(lon: float, lat: float) -> str:
    return f"+proj=laea +lat_0={lat:.6f} +lon_0={lon:.6f} +datum=WGS84 +units=m"


def plots(grounds: Mapping[str, Ground]) -> dict[str, Plot]:
    """Lay items on planes on which distances can be measured.

    Args:
        grounds: key -> where the item lies.

    Returns:
        key -> plot, in the order given; the same planes for the same items.
    """
    import shapely

    keys = list(grounds)
    corners = np.array([grounds[key].corners for key in keys], np.float64).reshape(-1, 4, 2)
    planes = np.array([f"pixels of {grounds[key].plane}" if grounds[key].plane else "" for key in keys], object)
    world = np.flatnonzero(planes == "")
    for part in _parts(_middles(corners[world])):
        mine = world[part]
        ((lon, lat),) = _middles(corners[mine].reshape(1, -1, 2))
        name = _plane_about(lon, lat)
        flat = reproject(corners[mine].reshape(-1, 2), WORLD, name)
        corners[mine] = flat.reshape(-1, 4, 2)
        planes[mine] = name
    shapes = shapely.polygons(corners) if keys else []
    return {key: Plot(str(plane), shape) for key, plane, shape in zip(keys, planes, shapes, strict=True)}


def _middles(places: NDArray[np.float64]) -> Points:
    """Return longitude and latitude of the middles of groups of places, also across the antimeridian.

    Args:
        places: (N, M, 2) longitude and latitude.
    """
    lon, lat = np.radians(places[..., 0]), np.radians(places[..., 1])
    x, y, z = (
        (np.cos(lat) * np.cos(lon)).mean(axis=1),
        (np.cos(lat) * np.sin(lon)).mean(axis=1),
        np.sin(lat).mean(axis=1),
    )
    middles: Points = np.degrees(np.stack([np.arctan2(y, x), np.arctan2(z, np.hypot(x, y))], axis=1))
    return middles


def _parts(middles: Points) -> list[NDArray[np.intp]]:
    """Sort places into parts of the world: cells of two degrees that touch are one part."""
    cells: dict[tuple[int, int], list[int]] = defaultdict(list)
    for place, (lon, lat) in enumerate(middles):
        beyond = abs(lat) > CAP
        cells[int(lat // CELL), -1 if beyond else int((lon % 360) // CELL)].append(place)
    around = int(360 // CELL)
    left, parts = set(cells), []
    for first in sorted(cells):
        if first not in left:
            continue
        left.remove(first)
        waiting, found = [first], list(cells[first])
        while waiting:
            row, col = waiting.pop()
            for other in sorted(left):
                beside = col < 0 or other[1] < 0 or min((col - other[1]) % around, (other[1] - col) % around) <= 1
                if abs(row - other[0]) <= 1 and beside:
                    left.remove(other)
                    waiting.append(other)
                    found += cells[other]
        parts.append(np.array(sorted(found), np.intp))
    return parts


class Near:
    """Finds plots that lie near others.

    Args:
        known: key -> plot.
    """

    def __init__(self, known: Mapping[str, Plot]) -> None:
        import shapely

        by_plane: dict[str, list[str]] = defaultdict(list)
        for key, plot in known.items():
            by_plane[plot.plane].append(key)
        self.known = dict(known)
        self._trees = {
            plane: (keys, shapely.STRtree([known[key].shape for key in keys])) for plane, keys in by_plane.items()
        }

    def within(self, keys: Sequence[str], distance: float) -> set[str]:
        """Return the keys whose plots lie nearer than `distance` metres to one of some others, or share ground with it.

        Args:
            keys: of known plots; others are passed over.
            distance: metres, >= 0.
        """
        found: set[str] = set()
        for plane, (names, tree) in self._trees.items():
            asked = [self.known[key].shape for key in keys if key in self.known and self.known[key].plane == plane]
            if not asked:
                continue
            if distance > 0:
                found.update(names[place] for place in tree.query(asked, "dwithin", distance * (1 - 1e-9))[1])
            found.update(names[hit] for _, hit in self._shared(asked, names, tree))
        return found

    def pairs(self) -> list[tuple[str, str]]:
        """Return all pairs of plots that share ground, each once."""
        found = []
        for names, tree in self._trees.values():
            shapes = [self.known[name].shape for name in names]
            found += [(names[a], names[b]) for a, b in self._shared(shapes, names, tree) if a < b]
        return found

    def _shared(self, asked: Sequence[Any], names: Sequence[str], tree: Any) -> list[tuple[int, int]]:
        import shapely

        first, second = tree.query(asked, "intersects")
        if not len(first):
            return []
        mine = np.array(asked, object)[first]
        others = np.array([self.known[name].shape for name in names], object)[second]
        common = shapely.area(shapely.intersection(mine, others))
        enough = common > TOUCH * np.minimum(shapely.area(mine), shapely.area(others))
        return [(int(a), int(b)) for a, b in zip(first[enough], second[enough], strict=True)]


def shared_area(one: Sequence[Plot], other: Sequence[Plot]) -> float:
    """Return the ground that two sets of plots share, in square metres (of scenes without coordinates: nothing)."""
    import shapely

    total = 0.0
    for plane in {plot.plane for plot in one} & {plot.plane for plot in other}:
        if plane.startswith("pixels of "):
            continue
        both = [shapely.union_all([plot.shape for plot in plots_ if plot.plane == plane]) for plots_ in (one, other)]
        total += float(shapely.intersection(*both).area)
    return total


def area(one: Sequence[Plot]) -> float:
    """Return the ground that plots cover together, in square metres."""
    return shared_area(one, one)
