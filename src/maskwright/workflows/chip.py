"""The verb chip: tiles of scenes and their masks as files, on a grid or around objects, at any scale."""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Literal, NamedTuple

import numpy as np
from numpy.typing import NDArray

from maskwright.core.errors import InputError, RecipeError
from maskwright.core.files import read_json, safe_name, write_json, write_text
from maskwright.core.labels import Task
from maskwright.core.recipe.sources import SceneSource
from maskwright.data.ground import metres_a_pixel
from maskwright.data.pixels.scenes import any_valid, read_part
from maskwright.data.sources.scene_chips import Chip, around, scaled_shape, windows_at
from maskwright.data.sources.scene_labels import PolygonLabel
from maskwright.data.sources.scenes import Scenes
from maskwright.output.tiles import Suffix, write_tile, write_tile_mask
from maskwright.workflows.session import Session

COLUMNS = ("scene", "scale", "gsd", "row", "col", "height", "width")
"""Of chips.csv, after the image and its masks."""
UNKNOWN = 127
"""Value in masks of 0 and 255 of pixels that do not count; in masks of class ids it is 255."""


@dataclass(frozen=True)
class ChipPlan:
    """What is to be written."""

    output: Path
    size: int
    """Side of a tile in pixels."""
    scales: tuple[float, ...] = (1.0,)
    """Length of a pixel on the ground, in lengths of the scene's own."""
    around: bool = False
    """Tiles around each polygon instead of on a grid."""
    pad: int = 1536
    """Pixels of the scene around a polygon."""
    suffix: Suffix = "tif"
    split: Literal["train", "test"] = "train"
    most: int = 20_000
    """Tiles of one scene and scale at most."""
    foreground: int = 255
    """Value of foreground in masks of a binary task: 255 or 1."""

    def with_files(self, suffix: Suffix, split: Literal["train", "test"], most: int, foreground: int) -> ChipPlan:
        """Return the same cut of another set, into other files."""
        return replace(self, suffix=suffix, split=split, most=most, foreground=foreground)


class _Tile(NamedTuple):
    chip: Chip
    scale: float
    stem: str


def write_chips(session: Session, plan: ChipPlan) -> int:
    """Write tiles, masks and chips.csv; what is there already from the same settings is not written again.

    Args:
        session: a recipe whose set is of scenes.
        plan: what and where.

    Returns:
        number of tiles in the folder.

    Raises:
        RecipeError: the set is not of scenes.
        InputError: the folder holds chips of other settings, or a scene is damaged.
        StorageError: disk full or no permission; tiles written so far are whole.
    """
    source, block = _scenes(session, plan.split)
    _claim(session, plan)
    tiles = [tile for key in sorted(source.scenes) for tile in _tiles(source, block, key, plan)]
    written = 0
    with session.reporter.task("chip", len(tiles)) as tick:
        for tile in tiles:
            written += _write(session.recipe.task, source, tile, plan)
            tick.advance()
            session.stop.check("tiles written so far are whole; run again to go on")
    task = session.recipe.task
    rows = [_row(task, source, tile, plan) for tile in tiles]
    _write_table(plan.output / "chips.csv", ("image", *_masks(task, ""), *COLUMNS), rows)
    write_json(plan.output / "resolutions.json", _resolutions(source))
    for line in _story(session, plan, source, len(tiles), written):
        session.reporter.say(line)
    return len(tiles)


def _scenes(session: Session, split: str) -> tuple[Scenes, SceneSource]:
    block = session.recipe.data.train if split == "train" else session.recipe.data.test
    if block is None:
        raise RecipeError("there is no such set", where=f"data.{split}", fix="describe it, or choose --set train")
    if not isinstance(block, SceneSource):
        what, fix = f"is of format {block.format}", "chips are cut from format: scenes"
        raise RecipeError(what, where=f"data.{split}", fix=fix)
    source = session.train_source if split == "train" else session.test_source
    whole = getattr(source, "whole", source)
    assert isinstance(whole, Scenes), type(whole)
    return whole, block


def _claim(session: Session, plan: ChipPlan) -> None:
    """Write down what the folder is made of, and refuse one that is made of something else."""
    told = {
        "size": plan.size,
        "scales": list(plan.scales),
        "around": [plan.pad] if plan.around else None,
        "format": plan.suffix,
        "set": plan.split,
        "most": plan.most,
        "foreground": plan.foreground,
        "task": session.plain["task"],
        "source": session.plain["data"][plan.split],
        "files": session.train_files if plan.split == "train" else session.test_files,
    }
    path = plan.output / "chips.json"
    if path.exists():
        known = read_json(path)
        odd = sorted(name for name in told if not isinstance(known, dict) or known.get(name) != told[name])
        if odd:
            what, fix = f"holds chips of other settings ({', '.join(odd)})", "choose another --output"
            raise InputError(what, where=plan.output, fix=fix)
        return
    if plan.output.exists() and any(plan.output.iterdir()):
        raise InputError("is not empty", where=plan.output, fix="choose another --output")
    write_json(path, told)


def _tiles(source: Scenes, block: SceneSource, key: str, plan: ChipPlan) -> Iterator[_Tile]:
    """Give the tiles of a scene, numbered from 0 for each scale."""
    scene, label, area = source.scenes[key], source.labels.get(key), source.areas.get(key)
    if plan.around and not isinstance(label, PolygonLabel):
        raise InputError("has no polygons to cut around", where=scene.path, fix="leave --around out")
    for scale in plan.scales:
        shape = scaled_shape(scene, scale, block.gsd)
        if isinstance(label, PolygonLabel) and plan.around:
            windows = around(label.outlines.boxes(), scene.grid.shape, shape, plan.pad)
        else:
            windows = windows_at(shape, (plan.size, plan.size))
        chips = [Chip.of(key, scene, shape, window) for window in windows]
        chips = [chip for chip in chips if area is None or area.reaches(chip.part)]
        seen = any_valid(scene, [chip.part for chip in chips])
        kept = [chip for chip, good in zip(chips, seen, strict=True) if good]
        folder = "/".join(safe_name(part) for part in key.split("/"))
        for number, chip in enumerate(kept[: plan.most]):
            yield _Tile(chip, scale, f"{folder}/{scale:g}_{number}")


def _write(task: Task, source: Scenes, tile: _Tile, plan: ChipPlan) -> bool:
    """Write a tile and its mask, unless both are there; say whether anything was written."""
    path = plan.output / f"{tile.stem}.{plan.suffix}"
    masks = [plan.output / name for name in _masks(task, tile.stem).values()] if source.labelled else []
    chip = tile.chip
    if all(each.exists() for each in (path, *masks)):
        return False
    image, seen = read_part(source.scenes[chip.scene].path, chip.part, chip.grid.shape)
    if masks:
        label, valid = source.read_part_label(chip, task)
        planes = label if task.kind == "multilabel" else label[np.newaxis]
        for mask, plane in zip(masks, planes, strict=True):
            write_tile_mask(mask, _stored(plane, valid & seen, task, plan.foreground))
    write_tile(path, image, seen, chip.grid)
    return True


def _masks(task: Task, stem: str) -> dict[str, str]:
    """Return column -> file of the masks of a tile: one, or for multilabel one for each class."""
    if task.kind != "multilabel":
        return {"mask": f"{stem}_mask.png"}
    return {f"mask:{name}": f"{stem}_mask/{safe_name(name)}.png" for name in task.classes}


def _stored(label: NDArray[np.uint8], valid: NDArray[np.bool_], task: Task, foreground: int) -> NDArray[np.uint8]:
    """Return the values of a mask file."""
    values = label if task.kind == "multiclass" else label * np.uint8(foreground)
    return np.where(valid, values, np.uint8(_unknown(task, foreground)))


def _unknown(task: Task, foreground: int) -> int:
    return UNKNOWN if task.kind != "multiclass" and foreground == 255 else 255


def _row(task: Task, source: Scenes, tile: _Tile, plan: ChipPlan) -> tuple[str, ...]:
    chip, part = tile.chip, tile.chip.part
    masks = [name if source.labelled else "" for name in _masks(task, tile.stem).values()]
    metres = metres_a_pixel(chip.grid)
    gsd = "" if metres is None else f"{metres[0]:.4g}"
    places = (f"{value:g}" for value in part)
    return (f"{tile.stem}.{plan.suffix}", *masks, chip.scene, f"{tile.scale:g}", gsd, *places)


def _write_table(path: Path, columns: Sequence[str], rows: Sequence[tuple[str, ...]]) -> None:
    stream = io.StringIO()
    writer = csv.writer(stream, lineterminator="\n")
    writer.writerow(columns)
    writer.writerows(rows)
    write_text(path, stream.getvalue())


def _resolutions(source: Scenes) -> dict[str, float | None]:
    """Return metres of a pixel of each scene."""
    found = {key: metres_a_pixel(scene.grid) for key, scene in sorted(source.scenes.items())}
    return {key: None if metres is None else round(metres[0], 6) for key, metres in found.items()}


def _story(session: Session, plan: ChipPlan, source: Scenes, tiles: int, written: int) -> Iterator[str]:
    yield f"chip: {tiles} tiles of {len(source.scenes)} scenes in {plan.output}, {written} of them written now"
    if source.labelled:
        task = session.recipe.task
        plain = {value: value for value in task.values}
        values = plain if task.kind == "multiclass" else {0: 0, plan.foreground: 1}
        listed = ", ".join(f"{raw}: {value}" for raw, value in values.items())
        listed += f", {_unknown(task, plan.foreground)}: ignore"
        columns = "mask_column: mask"
        if task.kind == "multilabel":
            each = ", ".join(f"{json.dumps(name)}: {json.dumps(f'mask:{name}')}" for name in task.classes)
            columns = f"mask_columns: {{{each}}}"
        yield f"to read them: {{format: csv, table: chips.csv, {columns}, values: {{{listed}}}}}"
