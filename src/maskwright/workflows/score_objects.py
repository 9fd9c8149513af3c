"""Scores of predicted scenes against polygons or masks on their ground: objects, and pixels beside them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from maskwright.core.errors import DataError, InputError
from maskwright.core.grid import Grid, Shape, Window
from maskwright.core.labels import Task
from maskwright.data.findings import refuse
from maskwright.data.ground import pixel_areas
from maskwright.data.pixels.rasters import is_tiff
from maskwright.data.pixels.scenes import open_scene, read_mask_part
from maskwright.data.sources.outlines import Drawing
from maskwright.data.sources.scene_labels import PolygonLabel
from maskwright.data.vectors.features import Features
from maskwright.data.vectors.place import hits, on_pixels, write_outlines
from maskwright.data.vectors.read import EMPTY, SUFFIXES, read_features
from maskwright.output.vector import STRIP
from maskwright.scoring.counts import Counts, count
from maskwright.scoring.objects import ObjectCounts
from maskwright.scoring.scores import score
from maskwright.workflows.objects import LEAST_IOU, Planes, cut, known_shape, pair_up, shapes_of, traced

TASK = Task(kind="binary", classes=("object",))
RASTERS = (".tif", ".tiff")
ENDINGS = ("_classes", "_polygons")
"""Taken off names, so that what predict wrote is joined with a truth of the scene's name."""
PIXEL_SCORES = ("iou", "dice", "precision", "recall")
OBJECT_SCORES = ("f1", "precision", "recall")


class _Side(NamedTuple):
    """One side of the comparison, in pixels of the prediction."""

    shapes: NDArray[Any]
    confidence: NDArray[np.float64]
    read: Planes


class _Scored(NamedTuple):
    """One scene."""

    objects: ObjectCounts
    pixels: Counts
    area: float
    """Of valid pixels, in square metres; without coordinates in pixels."""
    placed: bool


def is_vector(path: Path) -> bool:
    """Say whether a truth is a file of polygons."""
    return path.is_file() and path.suffix.lower() in SUFFIXES


def score_objects(predicted: Path, truth: Path) -> dict[str, Any]:
    """Score the objects of binary rasters.

    An object is what is connected over edges of pixels. True polygons are brought to a raster by their coordinates,
    cut at its edges and at what has no data, and left out if nothing of them is left.

    Args:
        predicted: GeoTIFF of one band, 0 is background, its nodata value nothing, anything else an object; or a folder
            of them, of which NAME_classes.tif are taken where there are any.
        truth: polygons in any coordinate system, or such a raster on the same pixels; for a folder also a folder with a
            file for each scene, of the scene's name.

    Returns:
        Plain data: objects (f1, precision, recall, pairs, predicted, true, iou) and pixels (iou, dice, precision,
        recall), pooled over scenes. For a folder also scenes: name -> the same of each and its valid area; and
        by_area: the mean of the scenes' scores, weighed by valid area in `unit` (m2 or pixels).

    Raises:
        InputError: a file cannot be read, or one does not lie on the other.
        DataError: with all scenes that have no truth, or truths without a scene.
    """
    if not predicted.is_dir():
        return _told(_score_one(predicted, truth, _features(truth)))
    pairs, common = _pairs(predicted, truth), _features(truth)
    found = {
        name: _score_one(*pair, common or _features(pair[1], alone=False), alone=False) for name, pair in pairs.items()
    }
    if not sum(one.objects.true for one in found.values()):
        raise InputError("no true object lies on any scene", where=truth, fix="check the coordinate systems")
    objects = sum((one.objects for one in found.values()), ObjectCounts())
    pixels = sum((one.pixels for one in found.values()), Counts.zero(1))
    placed = all(one.placed for one in found.values())
    areas = {name: one.area if placed else float(one.pixels.pixels[0]) for name, one in found.items()}
    scenes = {name: {"area": areas[name], **_told(one)} for name, one in found.items()}
    return {
        **_told(_Scored(objects, pixels, sum(areas.values()), placed)),
        "unit": "m2" if placed else "pixels",
        "scenes": scenes,
        "by_area": {
            "objects": by_area([scene["objects"] for scene in scenes.values()], list(areas.values()), OBJECT_SCORES),
            "pixels": by_area([scene["pixels"] for scene in scenes.values()], list(areas.values()), PIXEL_SCORES),
        },
    }


def by_area(rows: Sequence[Mapping[str, Any]], areas: Sequence[float], names: Sequence[str]) -> dict[str, float | None]:
    """Return the mean of scores over scenes, weighed by their areas; scenes without a score are left out.

    Args:
        rows: name -> score or None, of each scene.
        areas: of each scene, above 0.
        names: the scores.
    """
    found: dict[str, float | None] = {}
    for name in names:
        known = [(row[name], area) for row, area in zip(rows, areas, strict=True) if row[name] is not None]
        total = sum(area for _, area in known)
        found[name] = sum(value * area for value, area in known) / total if total else None
    return found


def _told(scored: _Scored) -> dict[str, Any]:
    return {"objects": told_objects(scored.objects), "pixels": _told_pixels(scored.pixels)}


def told_objects(counted: ObjectCounts) -> dict[str, Any]:
    """Return scores and counts of objects as plain data; None where there is no score."""
    told: dict[str, Any] = {name: _plain(getattr(counted, name)) for name in OBJECT_SCORES}
    return told | {"pairs": counted.pairs, "predicted": counted.predicted, "true": counted.true, "iou": LEAST_IOU}


def _told_pixels(pixels: Counts) -> dict[str, float | None]:
    return {name: _plain(float(score(pixels, name, "skip"))) for name in PIXEL_SCORES}


def _plain(value: float) -> float | None:
    return None if np.isnan(value) else value


def _pairs(predicted: Path, truth: Path) -> dict[str, tuple[Path, Path]]:
    """Join scenes with their truths by name, or all with one file of polygons."""
    answers = _named(predicted, RASTERS)
    if is_vector(truth):
        return {name: (path, truth) for name, path in answers.items()}
    truths = _named(truth, (*RASTERS, *SUFFIXES))
    faults = [f"{answers[name]}: no truth of that name; give one" for name in sorted(answers.keys() - truths.keys())]
    faults += [f"{truths[name]}: no prediction of that name" for name in sorted(truths.keys() - answers.keys())]
    if faults:
        raise DataError(faults)
    return {name: (path, truths[name]) for name, path in answers.items()}


def _named(folder: Path, suffixes: Sequence[str]) -> dict[str, Path]:
    """Return scene -> file of a folder; of what predict wrote, the classes alone."""
    if not folder.is_dir():
        raise InputError("no such folder", where=folder, fix="give two folders, or a folder and a file of polygons")
    files = [path for path in sorted(folder.rglob("*")) if path.suffix.lower() in suffixes and path.is_file()]
    classes = [path for path in files if path.stem.endswith(ENDINGS[0])]
    found: dict[str, Path] = {}
    for path in classes or files:
        name = path.relative_to(folder).with_suffix("").as_posix()
        for ending in ENDINGS:
            name = name.removesuffix(ending)
        if name in found:
            raise InputError(f"{found[name].name} and {path.name} are both of '{name}'", where=folder, fix="keep one")
        found[name] = path
    if not found:
        raise InputError("holds no scene", where=folder, fix=f"expected files with {', '.join(suffixes)}")
    return found


def _features(truth: Path, *, alone: bool = True) -> Features | None:
    """Read polygons; None: the truth is none. A file of one scene of several may hold none."""
    if not is_vector(truth):
        return None
    features = read_features(truth)
    refuse([one for one in features.findings if one.severity == "fault" and (alone or one.what != EMPTY)])
    return features


def _score_one(predicted: Path, truth: Path, features: Features | None, *, alone: bool = True) -> _Scored:
    """Score one scene; where it is one of several, no polygon need lie on it."""
    for path in (predicted, *(() if features else (truth,))):
        if path.is_dir() or not is_tiff(path):
            raise InputError("is no GeoTIFF", where=path, fix="--objects is for rasters and their truth")
    grid = open_scene(predicted).grid
    mine = _raster(predicted, grid.shape)
    theirs = _polygons(truth, features, grid, alone=alone) if features else _raster(truth, grid.shape)
    counted = pair_up(mine.shapes, mine.confidence, cut(theirs.shapes, known_shape(mine.read, grid.shape)))
    pixels, area = Counts.zero(1), 0.0
    for top in range(0, grid.shape[0], STRIP):
        rows = min(STRIP, grid.shape[0] - top)
        (answer, here), (label, there) = mine.read(top, rows), theirs.read(top, rows)
        pixels += count(label, answer, here & there, TASK)
        ground = pixel_areas(grid.window(Window(top, 0, rows, grid.shape[1])))
        area += float(((here & there).sum(1) * (1.0 if ground is None else ground)).sum())
    return _Scored(counted, pixels, area, bool(grid.crs))


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

    found = traced(read, shape)
    return _Side(shapes_of(found), np.array([one.area for one in found], float), read)


def _polygons(path: Path, features: Features, grid: Grid, *, alone: bool) -> _Side:
    if not grid.crs or not features.crs:
        raise InputError("the prediction or the polygons name no coordinate system", where=path, fix="give both one")
    shapes = on_pixels(features.shapes[hits(features, grid, features.crs)], features.crs, grid)
    if not len(shapes) and alone:
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
