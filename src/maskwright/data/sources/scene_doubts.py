"""Say why polygons do not lie on their scenes: axes exchanged, another coordinate system, degrees for metres."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

import numpy as np

from maskwright.core.errors import InputError
from maskwright.data.findings import Finding, some
from maskwright.data.ground import WORLD, in_degrees, reproject
from maskwright.data.pixels.scenes import Scene
from maskwright.data.vectors.features import Features
from maskwright.data.vectors.place import bounds_in, hits

SLACK = 1e-6
"""Degrees beyond 180 and 90 that rounding may bring; longitudes go on to 360 in some files."""
Bounds = tuple[float, float, float, float]


def no_degrees(features: Features) -> InputError | None:
    """Refuse coordinates that cannot be the longitudes and latitudes they are said to be."""
    if not len(features.shapes) or not in_degrees(features.crs):
        return None
    low_x, low_y, high_x, high_y = features.bounds
    if max(abs(low_y), abs(high_y)) <= 90 + SLACK and max(abs(low_x), abs(high_x)) <= 360 + SLACK:
        return None
    what = f"coordinates go from ({low_x:.6g}, {low_y:.6g}) to ({high_x:.6g}, {high_y:.6g}), which are no degrees"
    fix = "set label_crs to their system"
    if max(abs(low_x), abs(high_x)) <= 90 + SLACK and max(abs(low_y), abs(high_y)) <= 360 + SLACK:
        fix = "they look like latitude, longitude: set swap_axes: true"
    return InputError(what, where=features.path, fix=f"{fix} (GeoJSON means {WORLD})", kind="labels_elsewhere")


def apart(features: Features, scenes: Mapping[str, Scene]) -> Finding:
    """Say that no polygon lies on any scene, and what would make them meet, if anything does."""
    placed = [scene for scene in scenes.values() if scene.grid.crs]
    fix = "check that labels and imagery are of one place"
    turned = features.swapped()
    if any(len(hits(turned, scene.grid, features.crs)) for scene in placed):
        fix = "with x and y exchanged they do: set swap_axes: true"
    else:
        for scene in placed:
            if len(hits(features, scene.grid, scene.grid.crs)):
                fix = f"taken for {scene.grid.crs[:60]} they do: set label_crs: {scene.grid.crs[:60]}"
                break
    mine, theirs = _in_words(_world(features.bounds, features.crs)), _in_words(_of_scenes(placed))
    what = f"no polygon lies on a scene: polygons are at {mine}, scenes at {theirs} (longitude, latitude)"
    return Finding("labels_elsewhere", str(features.path), what, fix)


def beyond(features: Features, scenes: Mapping[str, Scene]) -> Iterator[Finding]:
    """Name scenes that lie outside of all polygons, while others do not: nobody may have labelled them."""
    low_x, low_y, high_x, high_y = features.bounds
    outside = []
    for key, scene in scenes.items():
        box = bounds_in(scene.grid, features.crs)
        turns = (0.0, 360.0, -360.0) if box is not None and in_degrees(features.crs) else (0.0,)
        aside = box is None or all(box[0] + turn > high_x or box[2] + turn < low_x for turn in turns)
        if aside or box is None or box[1] > high_y or box[3] < low_y:
            outside.append(key)
    if outside:
        what = f"{len(outside)} of {len(scenes)} scenes lie outside of the polygons' bounds and count as background"
        fix = "take them out if nobody labelled them, or set area"
        yield Finding("labels_apart", str(features.path), f"{what}: {some(outside)}", fix, tuple(outside))


def _world(bounds: Bounds, crs: str) -> Bounds | None:
    low_x, low_y, high_x, high_y = bounds
    corners = np.array([[low_x, low_y], [high_x, low_y], [high_x, high_y], [low_x, high_y]])
    places = reproject(corners, crs, WORLD)
    if not np.isfinite(places).all():
        return None
    least, most = places.min(axis=0), places.max(axis=0)
    return float(least[0]), float(least[1]), float(most[0]), float(most[1])


def _of_scenes(scenes: list[Scene]) -> Bounds | None:
    boxes = [box for scene in scenes if (box := bounds_in(scene.grid, WORLD)) is not None]
    if not boxes:
        return None
    low, high = np.array(boxes)[:, :2].min(axis=0), np.array(boxes)[:, 2:].max(axis=0)
    return float(low[0]), float(low[1]), float(high[0]), float(high[1])


def _in_words(bounds: Bounds | None) -> str:
    if bounds is None:
        return "no place on Earth"
    return f"({bounds[0]:.5f}, {bounds[1]:.5f}) to ({bounds[2]:.5f}, {bounds[3]:.5f})"
