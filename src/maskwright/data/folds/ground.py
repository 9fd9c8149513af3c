"""Items that lie on the ground of others, or near to it, and places that are held out as a whole."""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Collection, Mapping
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from maskwright.core.errors import InputError
from maskwright.core.recipe.folds import Spatial
from maskwright.data.audit.fingerprint import Fingerprint
from maskwright.data.folds.groups import Alike
from maskwright.data.ground import Near, Plot, area, plots, shared_area
from maskwright.data.sources.base import Source

UNITS_A_FOLD = 4
"""Blocks or clusters for each fold, where the recipe does not say: enough to share foreground out evenly."""
ROUNDS = 100
"""Of k-means at most; it stops when nothing moves any more."""


def plots_of(fingerprint: Fingerprint) -> dict[str, Plot]:
    """Return the plots of all items whose place is known."""
    return plots({record.key: record.ground for record in fingerprint.items if record.ground is not None})


def near_ground(held: Collection[str], fingerprint: Fingerprint, buffer: float = 0.0) -> set[str]:
    """Return the items that share ground with some others, or lie nearer to one of them than a buffer.

    Args:
        held: keys of the others.
        fingerprint: says where items lie.
        buffer: metres, >= 0.
    """
    known = plots_of(fingerprint)
    return Near(known).within(sorted(held), buffer) if known else set()


def on_one_ground(fingerprint: Fingerprint) -> tuple[Alike, ...]:
    """Return all pairs of items that share ground."""
    return tuple(Alike(a, b, "same ground") for a, b in Near(plots_of(fingerprint)).pairs())


def placed_groups(fingerprint: Fingerprint, spatial: Spatial, folds: int, source: Source | None) -> dict[str, str]:
    """Return key -> the place that an item is held out with.

    Args:
        fingerprint: says where items lie.
        spatial: what a place is.
        folds: number of folds, for the size of places where the recipe does not say.
        source: names scenes.

    Raises:
        InputError: nobody knows where an item lies.
    """
    keys = [record.key for record in fingerprint.items]
    if spatial.unit == "scene":
        return {key: _scene(key, source) for key in keys}
    known = plots_of(fingerprint)
    lost = [key for key in keys if key not in known or known[key].plane.startswith("pixels of ")]
    nowhere = [key for key in lost if key in known or source is None or source.scored(key)]
    if nowhere:
        more = f" (and {len(nowhere) - 1} more)" if nowhere[1:] else ""
        raise InputError(
            f"nobody knows where item '{nowhere[0]}'{more} lies on the ground",
            where="folds.spatial",
            fix="give format: scenes with coordinates, or choose unit: scene",
        )
    alone = {key: f"alone {key}" for key in lost}
    if spatial.unit == "cluster":
        return alone | _clusters(fingerprint, spatial.clusters or UNITS_A_FOLD * folds)
    placed = {key: plot for key, plot in known.items() if key not in alone}
    return alone | _blocks(placed, block_size(fingerprint, spatial, folds))


def _scene(key: str, source: Source | None) -> str:
    scene = {} if source is None else source.attributes(key)
    if "scene" not in scene:
        raise InputError(f"item '{key}' is of no scene", where="folds.spatial.unit", fix="give format: scenes")
    return f"{scene['part']}/{scene['scene']}" if "part" in scene else scene["scene"]


def block_size(fingerprint: Fingerprint, spatial: Spatial, folds: int) -> float:
    """Return the side of blocks in metres: what the recipe says, or what gives about four blocks for each fold.

    Args:
        fingerprint: says where items lie.
        spatial: size.
        folds: their number.
    """
    if spatial.size is not None:
        return spatial.size
    ground = area(list(plots_of(fingerprint).values()))
    size = math.sqrt(ground / (UNITS_A_FOLD * max(folds, 2)))
    return float(f"{size:.2g}")


def _blocks(known: Mapping[str, Plot], size: float) -> dict[str, str]:
    """Name the square that each item's middle lies in; squares begin at the least x and y of their plane."""
    places = {key: plot.shape.centroid.coords[0] for key, plot in known.items()}
    corner: dict[str, tuple[float, float]] = {}
    for plot in known.values():
        left, bottom, _, _ = plot.shape.bounds
        least = corner.get(plot.plane, (left, bottom))
        corner[plot.plane] = min(least[0], left), min(least[1], bottom)
    number = {plane: place for place, plane in enumerate(sorted(corner))}
    named = {}
    for key, (x, y) in places.items():
        plane = known[key].plane
        col, row = (int((at - start) // size) for at, start in zip((x, y), corner[plane], strict=True))
        named[key] = f"block {number[plane]}_{row}_{col}"
    return named


def _clusters(fingerprint: Fingerprint, count: int) -> dict[str, str]:
    """Sort items by k-means of their middles; first middles are as far apart as can be, so that no lot is drawn.

    Source: Lloyd 1982, Least squares quantization in PCM; Gonzalez 1985, Clustering to minimize the maximum
    intercluster distance, for the first middles.
    """
    records = [record for record in fingerprint.items if record.ground is not None]
    corners = np.radians(np.array([record.corners for record in records]).reshape(-1, 4, 2))
    lon, lat = corners[..., 0], corners[..., 1]
    globe = np.stack([np.cos(lat) * np.cos(lon), np.cos(lat) * np.sin(lon), np.sin(lat)], axis=-1).mean(axis=1)
    middles = globe[[0]]
    while len(middles) < min(count, len(globe)):
        far = _apart(globe, middles).min(axis=1)
        if far.max() == 0:
            break
        middles = np.concatenate([middles, globe[[int(far.argmax())]]])
    home = _apart(globe, middles).argmin(axis=1)
    for _ in range(ROUNDS):
        middles = np.array(
            [globe[home == place].mean(axis=0) for place in range(len(middles)) if (home == place).any()]
        )
        again = _apart(globe, middles).argmin(axis=1)
        if (again == home).all():
            break
        home = again
    return {record.key: f"cluster {place}" for record, place in zip(records, home, strict=True)}


def _apart(places: NDArray[np.float64], middles: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return squared distances, (N, M)."""
    found: NDArray[np.float64] = ((places[:, None] - middles[None]) ** 2).sum(axis=2)
    return found


@dataclass(frozen=True)
class FoldGround:
    """Where a fold is scored and trained, in square metres and metres."""

    fold: int
    scored: float
    """Ground that the fold is scored on."""
    trained: float
    """Ground that it is trained on."""
    shared: float
    """Ground in both."""
    distance: float | None
    """From the nearest item that is trained on to one that is scored; None: in different parts of the world."""

    def to_plain(self) -> dict[str, Any]:
        """Return plain data for JSON."""
        return asdict(self)


def fold_ground(
    fingerprint: Fingerprint, scored: Mapping[int, Collection[str]], trained: Mapping[int, Collection[str]]
) -> tuple[FoldGround, ...]:
    """Measure on the ground how far what each fold is scored on lies from what it is trained on.

    Args:
        fingerprint: says where items lie.
        scored: fold -> keys.
        trained: fold -> keys.

    Returns:
        one entry for each fold; nothing if not all items have a place in the world.
    """
    known = plots_of(fingerprint)
    if len(known) < len(fingerprint.items) or any(plot.plane.startswith("pixels of ") for plot in known.values()):
        return ()
    found = []
    for fold in sorted(scored):
        mine, others = [known[key] for key in scored[fold]], [known[key] for key in trained[fold]]
        found.append(FoldGround(fold, area(mine), area(others), shared_area(mine, others), _distance(mine, others)))
    return tuple(found)


def _distance(mine: list[Plot], others: list[Plot]) -> float | None:
    import shapely

    by_plane: dict[str, list[Any]] = defaultdict(list)
    for plot in others:
        by_plane[plot.plane].append(plot.shape)
    least = []
    for plane, shapes in by_plane.items():
        asked = [plot.shape for plot in mine if plot.plane == plane]
        if asked:
            least.append(float(shapely.STRtree(shapes).query_nearest(asked, return_distance=True)[1].min()))
    return min(least) if least else None
