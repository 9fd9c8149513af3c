"""Out-of-fold answers beside the truth as whole sheets: the chips of a scene put together again, or single items."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from maskwright.core.grid import Shape, Window
from maskwright.data.sources.base import Limited, Source
from maskwright.data.sources.outlines import Outlines, Vector
from maskwright.data.sources.scene_labels import PolygonLabel
from maskwright.data.sources.scenes import Scenes
from maskwright.data.vectors.place import read_outlines
from maskwright.scoring.objects import ObjectCounts
from maskwright.workflows.objects import cut, known_shape, pair_up, shapes_of, traced

FOREGROUND = 0
"""Code of annotations of the only class of a binary task."""


class Piece(NamedTuple):
    """One item of a sheet, binary."""

    answer: NDArray[np.uint8]
    """0 and 1, (H, W)."""
    chance: NDArray[np.float32]
    """Probability of the foreground, (H, W)."""
    truth: NDArray[np.uint8]
    valid: NDArray[np.bool_]


@dataclass
class Sheet:
    """Items that lie side by side."""

    name: str
    shape: Shape
    parts: Mapping[str, Window]
    """Key of an item -> where it lies; whole pixels of the sheet."""
    objects: NDArray[Any] | None
    """True objects in pixels of the sheet, where labels are polygons; None: what is connected in the truth."""
    _last: tuple[tuple[int, int], Piece] | None = field(default=None, repr=False)

    def rows(self, read: Callable[[str], Piece], top: int, rows: int) -> Piece:
        """Return some rows of all items; what lies in none is not valid."""
        if self._last is not None and self._last[0] == (top, rows):
            return self._last[1]
        size = rows, self.shape[1]
        found = Piece(
            np.zeros(size, np.uint8), np.zeros(size, np.float32), np.zeros(size, np.uint8), np.zeros(size, bool)
        )
        for key, window in self.parts.items():
            begin, end = max(window.row, top), min(window.row + window.height, top + rows)
            if begin < end:
                there = slice(begin - top, end - top), slice(window.col, window.col + window.width)
                own = slice(begin - window.row, end - window.row)
                piece = read(key)
                found.answer[there], found.chance[there] = piece.answer[own], piece.chance[own]
                found.truth[there], found.valid[there] = piece.truth[own], piece.valid[own]
        self._last = (top, rows), found
        return found


def sheets_of(source: Source, keys: tuple[str, ...]) -> list[Sheet]:
    """Return the sheets that items make, sorted by name.

    Args:
        source: of the items.
        keys: items that were scored.
    """
    whole = source.whole if isinstance(source, Limited) else source
    if not isinstance(whole, Scenes):
        return [_of_item(whole, key) for key in sorted(keys)]
    by_scene: dict[str, dict[str, Window]] = {}
    for key in keys:
        by_scene.setdefault(whole.chips[key].scene, {})[key] = _place(whole, key)[1]
    return [_of_scene(whole, scene, parts) for scene, parts in sorted(by_scene.items())]


def _place(whole: Scenes, key: str) -> tuple[Shape, Window]:
    """Return the shape of a chip's scene at the size of its pixels, and where the chip lies there."""
    chip = whole.chips[key]
    (row, col, height, width), shape = chip.part, chip.grid.shape
    tall, wide = height / shape[0], width / shape[1]
    native = whole.scenes[chip.scene].grid.shape
    return (round(native[0] / tall), round(native[1] / wide)), Window(round(row / tall), round(col / wide), *shape)


def _of_scene(whole: Scenes, scene: str, parts: dict[str, Window]) -> Sheet:
    shape, _ = _place(whole, next(iter(parts)))
    label, objects = whole.labels.get(scene), None
    if isinstance(label, PolygonLabel):
        native = whole.scenes[scene].grid.shape
        chosen = [index for index in range(len(label.outlines.codes)) if label.outlines.codes[index] == FOREGROUND]
        objects = _inside(label.outlines, chosen, shape, (shape[1] / native[1], shape[0] / native[0]))
    return Sheet(scene, shape, parts, objects)


def _of_item(whole: Source, key: str) -> Sheet:
    header = whole.read_header(key, 1 << 40)
    objects = None
    if isinstance(whole, Vector):
        outlines, (start, stop) = whole.outlines, whole.spans.get(key, (0, 0))
        plain = all(outlines.texts[index + 1] == outlines.texts[index] for index in range(start, stop))
        chosen = [
            index for index in range(start, stop) if outlines.codes[index] == FOREGROUND and not outlines.crowd[index]
        ]
        objects = _inside(outlines, chosen, header.shape, (1.0, 1.0)) if plain else None
    return Sheet(key, header.shape, {key: Window(0, 0, *header.shape)}, objects)


def _inside(outlines: Outlines, chosen: list[int], shape: Shape, scale: tuple[float, float]) -> NDArray[Any]:
    """Return annotations as shapes, cut at the edges of a sheet; without those of which nothing is left."""
    import shapely

    shapes = shapely.intersection(read_outlines(outlines, chosen, scale), shapely.box(0, 0, shape[1], shape[0]))
    kept: NDArray[Any] = shapes[shapely.area(shapes) > 0]
    return kept


def score_sheet(sheet: Sheet, read: Callable[[str], Piece]) -> ObjectCounts:
    """Pair the objects of a sheet, the surest predicted ones first.

    Args:
        sheet: items side by side.
        read: gives an item's answer and truth.
    """

    def answer(top: int, rows: int) -> tuple[NDArray[np.uint8], NDArray[np.bool_]]:
        found = sheet.rows(read, top, rows)
        return found.answer * found.valid, found.valid

    def truth(top: int, rows: int) -> tuple[NDArray[np.uint8], NDArray[np.bool_]]:
        found = sheet.rows(read, top, rows)
        return found.truth * found.valid, found.valid

    mine = traced(answer, sheet.shape, lambda top, rows: sheet.rows(read, top, rows).chance)
    theirs = sheet.objects
    theirs = shapes_of(traced(truth, sheet.shape)) if theirs is None else cut(theirs, known_shape(truth, sheet.shape))
    return pair_up(shapes_of(mine), np.array([one.probability for one in mine], float), theirs)
