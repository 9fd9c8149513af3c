"""Lay label files on scenes: coordinate systems compared, polygons reprojected, and nothing assumed in silence."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path

import numpy as np

from maskwright.core.errors import InputError
from maskwright.core.labels import Task
from maskwright.core.recipe.sources import SceneSource
from maskwright.data.findings import Finding
from maskwright.data.ground import check_system, same_system
from maskwright.data.labels.shapes import Rule
from maskwright.data.pixels.scenes import Scene, open_scene
from maskwright.data.sources.outlines import UNDRAWN, Drawing
from maskwright.data.sources.scene_doubts import apart, beyond, no_degrees
from maskwright.data.sources.scene_files import RASTERS, Files
from maskwright.data.sources.scene_labels import PolygonLabel, RasterLabel, SceneLabel
from maskwright.data.sources.vector import class_code, note_rest, rest_of, unknown_classes, unused_names
from maskwright.data.vectors.features import Features
from maskwright.data.vectors.place import hits, on_pixels, write_outlines
from maskwright.data.vectors.read import EMPTY, read_features

RULES: dict[str, Rule] = {"centre": "corners", "all_touched": "touched"}
"""How the recipe calls a rule -> how drawing does."""


@dataclass
class Laid:
    """Labels of scenes, and what was found on the way."""

    labels: dict[str, SceneLabel] = field(default_factory=dict)
    findings: list[Finding] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)


def lay_labels(block: SceneSource, task: Task, files: Files, scenes: Mapping[str, Scene]) -> Laid:
    """Lay the label files on the scenes.

    Args:
        block: the recipe's block.
        task: names the classes.
        files: which label is whose.
        scenes: headers.
    """
    laid = Laid()
    by_file: dict[Path, dict[str, Scene]] = {}
    for key, scene in scenes.items():
        path = files.common or files.labels.get(key)
        if path is not None:
            by_file.setdefault(path, {})[key] = scene
    used: Counter[str] = Counter()
    codes: dict[str, int | None] = {}
    for path, mine in by_file.items():
        try:
            if path.suffix.lower() in RASTERS:
                _lay_raster(laid, path, mine, block)
            else:
                _lay_polygons(laid, path, mine, block, task, (used, codes))
                _let_empty_files_be(laid, path, files)
        except InputError as error:
            laid.findings.append(Finding.of(error, "bad_label_file"))
    if codes:
        where = files.common or next(iter(by_file))
        where = where if files.common else where.parent
        unknown = {name or "(empty)": used[name] for name, code in codes.items() if code is None}
        known = [name for name, code in codes.items() if code is not None]
        laid.findings += unknown_classes(unknown, known, task, where, block.categories)
        laid.findings += unused_names(block.categories, list(used), where)
    laid.notes += note_rest(block.unlabelled, task, next(iter(by_file))) if codes else []
    return laid


def read_laid(path: Path, block: SceneSource, attribute: str | None, laid: Laid) -> Features:
    """Read polygons, in the system and order of axes that the recipe says or the file."""
    features = read_features(path, attribute, block.layer)
    laid.findings += features.findings
    laid.notes += features.notes
    if block.swap_axes:
        features = features.swapped()
    if block.label_crs is not None:
        named = check_system(block.label_crs, "label_crs")
        if features.crs and not same_system(named, features.crs):
            laid.notes.append(f"{path}: says {features.crs[:60]}, and is taken for {named} as label_crs says")
        features = replace(features, crs=named)
    if not features.crs:
        what, fix = "names no coordinate system", "set label_crs, e.g. EPSG:4326"
        raise InputError(what, where=path, fix=fix, kind="no_place")
    if (doubt := no_degrees(features)) is not None:
        raise doubt
    return features


def _lay_polygons(
    laid: Laid,
    path: Path,
    scenes: Mapping[str, Scene],
    block: SceneSource,
    task: Task,
    classes: tuple[Counter[str], dict[str, int | None]],
) -> None:
    used, codes = classes
    features = read_laid(path, block, block.attribute, laid)
    if block.attribute is None:
        of_feature = np.zeros(len(features.shapes), np.int64)
    else:
        used.update(features.values)
        for value in dict.fromkeys(features.values):
            codes.setdefault(value, class_code([value], block.categories, task))
        of_feature = np.array(
            [UNDRAWN if (code := codes[value]) is None else code for value in features.values], np.int64
        )
    drawing = Drawing(RULES[block.pixels], block.overlap, rest_of(block.unlabelled, task))
    placed, touched = _placed(laid, scenes, path), 0
    for key, scene in placed.items():
        chosen = hits(features, scene.grid, features.crs)
        shapes = on_pixels(features.shapes[chosen], features.crs, scene.grid)
        drawn = of_feature[chosen] != UNDRAWN
        touched += len(chosen) > 0
        outlines = write_outlines(shapes[drawn], [int(code) for code in of_feature[chosen][drawn]])
        laid.labels[key] = PolygonLabel(path, outlines, drawing)
    if len(features.shapes) and placed and not touched:
        laid.findings.append(apart(features, scenes))
    elif touched:
        laid.findings += beyond(features, {key: scene for key, scene in scenes.items() if key in laid.labels})


def _let_empty_files_be(laid: Laid, path: Path, files: Files) -> None:
    """Take a file without a feature that belongs to one scene of several for what it says: nothing is there."""
    if files.common is not None or len(set(files.labels.values())) < 2:
        return
    for finding in [one for one in laid.findings if one.kind == "no_polygons" and one.where == str(path)]:
        if finding.what == EMPTY:
            laid.findings.remove(finding)
            laid.notes.append(f"{path}: {EMPTY}, so its scene is background")


def lay_area(block: SceneSource, path: Path, scenes: Mapping[str, Scene]) -> Laid:
    """Lay the area of interest on the scenes.

    Raises:
        InputError: it cannot be read.
    """
    laid = Laid()
    features = read_laid(path, block, None, laid)
    drawing = Drawing("corners", "order", 0)
    placed = _placed(laid, scenes, path)
    for key, scene in placed.items():
        shapes = on_pixels(features.shapes[hits(features, scene.grid, features.crs)], features.crs, scene.grid)
        laid.labels[key] = PolygonLabel(path, write_outlines(shapes, [0] * len(shapes)), drawing)
    if not any(len(one.outlines.codes) for one in laid.labels.values() if isinstance(one, PolygonLabel)) and placed:
        laid.findings.append(apart(features, scenes))
    return laid


def _placed(laid: Laid, scenes: Mapping[str, Scene], path: Path) -> dict[str, Scene]:
    """Return the scenes that polygons can be laid on, and refuse the others."""
    nowhere = [key for key, scene in scenes.items() if not scene.grid.crs]
    if nowhere:
        shown = f"{scenes[nowhere[0]].path.name}" + (f" and {len(nowhere) - 1} more" if nowhere[1:] else "")
        what = f"{shown} name no coordinate system, so that the polygons of {path.name} cannot be laid on them"
        fix = "georeference them, or set crs if their transform is right"
        laid.findings.append(Finding("no_place", str(scenes[nowhere[0]].path.parent), what, fix, tuple(nowhere)))
    return {key: scene for key, scene in scenes.items() if scene.grid.crs}


def _lay_raster(laid: Laid, path: Path, scenes: Mapping[str, Scene], block: SceneSource) -> None:
    """Lay a label raster on scenes: pixel by pixel where grids are the same, else by nearest pixel."""
    raster = open_scene(path)
    crs = raster.grid.crs
    if block.label_crs is not None:
        crs = check_system(block.label_crs, "label_crs")
    grid = replace(raster.grid, crs=crs)
    touched = 0
    for key, scene in scenes.items():
        placed = bool(grid.crs and scene.grid.crs)
        same = grid.shape == scene.grid.shape and (
            not placed or (same_system(grid.crs, scene.grid.crs) and scene.grid.matches(grid))
        )
        if not same and not placed:
            (height, width), (tall, wide) = grid.shape, scene.grid.shape
            what = f"has {height} x {width} pixels (height x width), {scene.path.name} {tall} x {wide}, "
            what += "and one of both names no coordinate system"
            fix = "make them the same size, or set crs or label_crs"
            laid.findings.append(Finding("size_mismatch", str(path), what, fix, (key,)))
            continue
        label = RasterLabel(path, scene.grid if same else grid, same, block.values)
        laid.labels[key] = label
        touched += label.reaches(scene.grid)
    if laid.labels and not touched and any(key in laid.labels for key in scenes):
        what = (
            "lies on none of its scenes"
            if len(scenes) > 1
            else f"does not lie on {next(iter(scenes.values())).path.name}"
        )
        laid.findings.append(Finding("labels_elsewhere", str(path), what, "check both, or set label_crs"))
