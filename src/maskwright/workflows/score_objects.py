"""Scores of a predicted scene against polygons or a mask on its ground: objects, and pixels beside them."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from maskwright.core.errors import InputError
from maskwright.core.grid import Grid, Shape, Window
from maskwright.core.labels import Task
from maskwright.data.findings import refuse
from maskwright.data.pixels.rasters import is_tiff
from maskwright.data.pixels.scenes import open_scene, read_mask_part
from maskwright.data.sources.outlines import Drawing
from maskwright.data.sources.scene_labels import PolygonLabel
from maskwright.data.vectors.place import hits, on_pixels, write_outlines
from maskwright.data.vectors.read import SUFFIXES, read_features
from maskwright.output.vector import STRIP, Feature, Tracing, trace
from maskwright.scoring.counts import Counts, count
from maskwright.scoring.objects import match
from maskwright.scoring.scores import score

TASK = Task(kind="binary", classes=("object",))
LEAST_IOU = 0.5
Planes = Callable[[int, int], tuple[NDArray[np.uint8], NDArray[np.bool_]]]
"""From first row and number of rows to 0/1 and to where it is known, each (rows, W)."""


class _Side(NamedTuple):
    """One side of the comparison, in pixels of the prediction."""

    shapes: NDArray[Any]
    confidence: NDArray[np.float64]
    read: Planes


def is_vector(path: Path) -> bool:
    """Say whether a truth is a file of polygons."""
    return path.is_file() and path.suffix.lower() in SUFFIXES


def score_objects(predicted: Path, truth: Path) -> dict[str, Any]:
    """Score the objects of one binary raster.

    An object is what is connected over edges of pixels. True polygons are brought to the raster by their coordinates,
    cut at its edges and at what has no data, and left out if nothing of them is left.

    Args:
        predicted: GeoTIFF of one band: 0 is background, its nodata value nothing, anything else an object.
        truth: polygons in any coordinate system, or such a raster on the same pixels.

    Returns:
        Plain data: objects (f1, precision, recall, pairs, predicted, true, iou), pixels (iou, dice, precision, recall).

    Raises:
        InputError: a file cannot be read, or one does not lie on the other.
    """
    for path in (predicted, *(() if is_vector(truth) else (truth,))):
        if path.is_dir() or not is_tiff(path):
            raise InputError("is no GeoTIFF", where=path, fix="--objects is for one raster and its truth")
    grid = open_scene(predicted).grid
    mine = _raster(predicted, grid.shape)
    theirs = _polygons(truth, grid) if is_vector(truth) else _raster(truth, grid.shape)
    known = _known(mine.read, grid.shape)
    shapes = _cut(theirs.shapes, known)
    counted = match(_overlaps(mine.shapes, shapes), mine.confidence, len(shapes), LEAST_IOU)
    pixels = Counts.zero(1)
    for top in range(0, grid.shape[0], STRIP):
        rows = min(STRIP, grid.shape[0] - top)
        (answer, here), (label, there) = mine.read(top, rows), theirs.read(top, rows)
        pixels += count(label, answer, here & there, TASK)
    numbers = {"f1": counted.f1, "precision": counted.precision, "recall": counted.recall}
    told = {name: _plain(value) for name, value in numbers.items()}
    told |= {"pairs": counted.pairs, "predicted": counted.predicted, "true": counted.true, "iou": LEAST_IOU}
    names = ("iou", "dice", "precision", "recall")
    return {"objects": told, "pixels": {name: _plain(float(score(pixels, name, "skip"))) for name in names}}


def _plain(value: float) -> float | None:
    return None if np.isnan(value) else value


def _raster(path: Path, shape: Shape) -> _Side:
    have = open_scene(path).grid.shape
    if have != shape:
        what = f"{have[0]}x{have[1]} pixels, but the prediction has {shape[0]}x{shape[1]}"
        raise InputError(what, where=path, fix="give polygons, or a mask on the same pixels")

    def read(top: int, rows: int) -> tuple[NDArray[np.uint8], NDArray[np.bool_]]:
        part = (float(top), 0.0, float(rows), float(shape[1]))
        values, nodata = read_mask_part(path, part, (rows, shape[1]))
        known = np.ones(values.shape, bool) if nodata is None else values != nodata
        return ((values != 0) & known).astype(np.uint8), known

    found = _traced(read, shape)
    return _Side(np.array([one.shape for one in found], object), np.array([one.area for one in found], float), read)


def _traced(read: Planes, shape: Shape, *, where_known: bool = False) -> list[Feature]:
    """Return what is connected, in pixels."""
    pixels = Grid("", (1.0, 0.0, 0.0, 0.0, 1.0, 0.0), shape)

    def rows_of(top: int, rows: int) -> tuple[NDArray[np.uint8], NDArray[np.float32]]:
        values = read(top, rows)[where_known].astype(np.uint8)
        return values, values.astype(np.float32)

    return trace(pixels, rows_of, lambda grid: None, Tracing({1: "object"}))


def _known(read: Planes, shape: Shape) -> Any:
    """Return where the prediction says anything, as one shape in pixels; None: everywhere."""
    import shapely

    found = _traced(read, shape, where_known=True)
    if sum(one.area for one in found) == shape[0] * shape[1]:
        return None
    return shapely.union_all([one.shape for one in found])


def _polygons(path: Path, grid: Grid) -> _Side:
    features = read_features(path)
    refuse([one for one in features.findings if one.severity == "fault"])
    if not grid.crs or not features.crs:
        raise InputError("the prediction or the polygons name no coordinate system", where=path, fix="give both one")
    shapes = on_pixels(features.shapes[hits(features, grid, features.crs)], features.crs, grid)
    if not len(shapes):
        raise InputError("no polygon lies on the prediction", where=path, fix="check both coordinate systems")
    label = PolygonLabel(path, write_outlines(shapes, [1] * len(shapes)), Drawing("corners", "order", 0))

    def read(top: int, rows: int) -> tuple[NDArray[np.uint8], NDArray[np.bool_]]:
        window = Window(top, 0, rows, grid.shape[1])
        covered = label.covered(window, grid.window(window))
        return covered.astype(np.uint8), np.ones(covered.shape, bool)

    import shapely

    height, width = grid.shape
    inside = shapely.intersection(shapes, shapely.box(0, 0, width, height))
    return _Side(inside[shapely.area(inside) > 0], np.ones(0), read)


def _cut(shapes: NDArray[Any], known: Any) -> NDArray[Any]:
    """Cut true objects at what has no data."""
    import shapely

    if known is None or not len(shapes):
        return shapes
    left: NDArray[Any] = shapely.intersection(shapes, known)
    kept: NDArray[Any] = left[shapely.area(left) > 0]
    return kept


def _overlaps(mine: NDArray[Any], theirs: NDArray[Any]) -> list[tuple[int, int, float]]:
    """Return the IoU of all objects that meet."""
    import shapely

    if not len(mine) or not len(theirs):
        return []
    one, other = shapely.STRtree(theirs).query(mine, predicate="intersects")
    both = shapely.area(shapely.intersection(mine[one], theirs[other]))
    total = shapely.area(mine[one]) + shapely.area(theirs[other]) - both
    return list(zip(one.tolist(), other.tolist(), (both / total).tolist(), strict=True))
