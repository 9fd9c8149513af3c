"""Annotations of a set held in a few arrays, and the source that draws an item's label from them when asked."""

from __future__ import annotations

from array import array
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal, NamedTuple

import numpy as np
from numpy.typing import NDArray

from maskwright.core.errors import InputError
from maskwright.core.grid import Shape
from maskwright.core.labels import IGNORE, Task
from maskwright.data.labels.shapes import Numbers, Patch, Points, Rule, draw_counts, draw_polygon, read_counts
from maskwright.data.sources.base import Defaults, Label, Valid

IGNORED = -1
"""Code of annotations whose pixels do not count."""
UNDRAWN = -2
"""Code of annotations that are passed over: mapped to nothing, or faulty."""
KEPT_BYTES = 64 << 20
"""Small masks of one item that are kept while their areas are compared; further ones are drawn twice."""


@dataclass(frozen=True)
class Outlines:
    """Annotations of a set, item by item; an annotation is some polygons, or COCO run lengths."""

    points: Points
    """All coordinates, x and y in turn."""
    rings: Numbers
    """(R + 1,) where the coordinates of each ring begin."""
    holes: NDArray[np.bool_]
    """(R,) whether a ring is a hole in the ring before it."""
    firsts: Numbers
    """(A + 1,) where the rings of each annotation begin."""
    text: bytes
    """Compressed run lengths of all annotations that have them."""
    texts: Numbers
    """(A + 1,) where the text of each annotation begins."""
    codes: NDArray[np.int16]
    """(A,) class id, IGNORED or UNDRAWN."""
    ranks: Numbers
    """(A,) annotations of higher rank are seen above others, where that is the rule."""
    crowd: NDArray[np.bool_]
    """(A,) iscrowd."""

    def draw(self, index: int, shape: Shape, rule: Rule) -> Patch:
        """Draw one annotation on an image of a shape."""
        start, stop = self.texts[index : index + 2]
        if stop > start:
            return draw_counts(read_counts(self.text[start:stop]), shape)
        parts: list[list[Points]] = []
        for ring in range(self.firsts[index], self.firsts[index + 1]):
            points = self.points[self.rings[ring] : self.rings[ring + 1]]
            if self.holes[ring]:
                parts[-1].append(points)
            else:
                parts.append([points])
        return draw_polygon(parts, shape, rule)

    def bounds(self) -> NDArray[np.float64]:
        """Return left, top, right and bottom of each ring, float64 (R, 4), not finite where a coordinate is not."""
        if len(self.rings) == 1:
            return np.empty((0, 4))
        starts = self.rings[:-1] // 2
        x, y = self.points[::2], self.points[1::2]
        sides = [(np.minimum, x), (np.minimum, y), (np.maximum, x), (np.maximum, y)]
        return np.stack([function.reduceat(line, starts) for function, line in sides], axis=1)

    def boxes(self) -> NDArray[np.float64]:
        """Return left, top, right and bottom of each annotation that has rings, float64 (A, 4)."""
        bounds, starts = self.bounds(), self.firsts[:-1]
        if not len(starts):
            return np.empty((0, 4))
        sides = [np.minimum, np.minimum, np.maximum, np.maximum]
        return np.stack(
            [function.reduceat(line, starts) for function, line in zip(sides, bounds.T, strict=True)], axis=1
        )

    def moved(self, chosen: Sequence[int], corner: tuple[float, float], scale: tuple[float, float]) -> Outlines:
        """Return some annotations of polygons in pixels of a window, in their order.

        Args:
            chosen: annotations; each has rings.
            corner: (x, y) of the window.
            scale: (x, y) pixels of the window for each pixel here.
        """
        writer, way = Writer(), np.array(scale)
        for index in chosen:
            for ring in range(self.firsts[index], self.firsts[index + 1]):
                points = self.points[self.rings[ring] : self.rings[ring + 1]].reshape(-1, 2)
                writer.ring(((points - corner) * way).ravel().tolist(), hole=bool(self.holes[ring]))
            writer.close(int(self.codes[index]), int(self.ranks[index]), crowd=bool(self.crowd[index]))
        return writer.done()

    def owners(self) -> Numbers:
        """Return the annotation of each ring, int64 (R,)."""
        return np.repeat(np.arange(len(self.codes)), np.diff(self.firsts))


@dataclass
class Writer:
    """Collects annotations one after the other."""

    points: array[float] = field(default_factory=lambda: array("d"))
    rings: array[int] = field(default_factory=lambda: array("q", [0]))
    holes: list[bool] = field(default_factory=list)
    firsts: array[int] = field(default_factory=lambda: array("q", [0]))
    text: bytearray = field(default_factory=bytearray)
    texts: array[int] = field(default_factory=lambda: array("q", [0]))
    codes: list[int] = field(default_factory=list)
    ranks: list[int] = field(default_factory=list)
    crowd: list[bool] = field(default_factory=list)

    def ring(self, numbers: Iterable[float], *, hole: bool = False) -> None:
        """Add a ring to the annotation at hand.

        Raises:
            TypeError, OverflowError: something is no number, or too large for one; drop() the annotation.
        """
        self.points.extend(numbers)
        self.rings.append(len(self.points))
        self.holes.append(hole)

    def close(self, code: int, rank: int, *, crowd: bool = False, text: str = "") -> None:
        """Finish the annotation at hand; `text` holds its run lengths if it has no rings."""
        self.text += text.encode("ascii")
        self.texts.append(len(self.text))
        self.firsts.append(len(self.holes))
        self.codes.append(code)
        self.ranks.append(rank)
        self.crowd.append(crowd)

    def drop(self) -> None:
        """Forget the rings of the annotation at hand."""
        keep = self.firsts[-1]
        del self.rings[keep + 1 :], self.holes[keep:]
        del self.points[self.rings[-1] :]

    def done(self, bad: Iterable[int] = ()) -> Outlines:
        """Return everything as arrays; `bad` annotations are marked as not to be drawn."""
        codes = np.array(self.codes, np.int16)
        codes[list(bad)] = UNDRAWN
        return Outlines(
            points=np.array(self.points, np.float64),
            rings=np.array(self.rings, np.int64),
            holes=np.array(self.holes, bool),
            firsts=np.array(self.firsts, np.int64),
            text=bytes(self.text),
            texts=np.array(self.texts, np.int64),
            codes=codes,
            ranks=np.array(self.ranks, np.int64),
            crowd=np.array(self.crowd, bool),
        )


class Drawing(NamedTuple):
    """How annotations become a label."""

    rule: Rule
    overlap: Literal["large_first", "order", "highest_id"]
    rest: int
    """Multiclass: class id of pixels that nothing covers, or IGNORE."""
    crowd: Literal["ignore", "draw", "skip"] = "ignore"


@dataclass(frozen=True)
class Vector(Defaults):
    """Items whose labels are polygons or COCO run lengths."""

    keys: tuple[str, ...]
    labelled: bool
    notes: tuple[str, ...]
    images: Mapping[str, Path]
    files: Mapping[str, Path]
    """The JSON file of each labelled item."""
    spans: Mapping[str, tuple[int, int]]
    """First annotation of an item, and the one after its last; items without one are left out."""
    sizes: Mapping[str, Shape]
    """(H, W) that the JSON names; items of which it says nothing are left out."""
    outlines: Outlines
    drawing: Drawing
    fields: Mapping[str, Mapping[str, str]]
    """Plain fields that the JSON has of an item."""
    in_file: bool = False
    """Whether one file lists all images, `images` being in its order."""

    def ordered(self) -> tuple[str, ...] | None:
        """Return all keys in the order of the file, if one lists them."""
        return tuple(self.images) if self.in_file else None

    def image_path(self, key: str) -> Path:
        """Return the image file of an item."""
        return self.images[key]

    def label_path(self, key: str) -> Path | None:
        """Return the JSON file an item's label comes from; None if it has none."""
        return self.files.get(key)

    def attributes(self, key: str) -> Mapping[str, str]:
        """Return the plain fields that the JSON has of an item."""
        return self.fields.get(key, {})

    def read_label(self, key: str, shape: Shape, task: Task) -> tuple[Label, Valid]:
        """Draw the annotations of an item; see Source.

        Raises:
            InputError: the JSON names another size than the image has.
        """
        assert self.labelled, "an unlabelled source was asked for a label"
        said = self.sizes.get(key)
        if said is not None and said != tuple(shape):
            raise self._other_size(key, said, shape)
        found = self._drawn(key)
        try:
            if task.kind == "multiclass":
                return self._one_class(found, shape)
            return self._planes(found, shape, task)
        except InputError as error:  # run lengths for another size, where the JSON names none
            fix = "make the image the size that was labelled"
            raise InputError(f"'{key}': {error.what}", where=self.files[key], fix=fix, kind="size_mismatch") from None

    def _drawn(self, key: str) -> list[int]:
        """Return the annotations of an item that count for something, in the order of the file."""
        start, stop = self.spans.get(key, (0, 0))
        outlines, skip = self.outlines, self.drawing.crowd == "skip"
        return [
            index
            for index in range(start, stop)
            if outlines.codes[index] != UNDRAWN and not (skip and outlines.crowd[index])
        ]

    def _code(self, index: int) -> int:
        unclear = self.outlines.crowd[index] and self.drawing.crowd == "ignore"
        return IGNORED if unclear else int(self.outlines.codes[index])

    def _planes(self, found: list[int], shape: Shape, task: Task) -> tuple[Label, Valid]:
        """Join the annotations of each plane; what is to be ignored does not count, unless binary and foreground."""
        label = np.zeros((task.planes, *shape), np.uint8)
        unclear = np.zeros(shape, np.uint8)
        for index in found:
            patch, code = self.outlines.draw(index, shape, self.drawing.rule), self._code(index)
            plane = unclear if code == IGNORED else label[code]
            plane[patch.window] |= patch.mask
        if task.kind == "binary":
            return label[0], (unclear & (label[0] ^ 1)) == 0
        if unclear.any():
            label &= unclear ^ 1
        return label, unclear == 0

    def _one_class(self, found: list[int], shape: Shape) -> tuple[Label, Valid]:
        """Paint annotations over each other; crowds that are to be ignored lie below all others."""
        label = np.full(shape, self.drawing.rest, np.uint8)
        under = self.outlines.crowd & (self.drawing.crowd == "ignore")
        below, others = [index for index in found if under[index]], [index for index in found if not under[index]]
        drawn: dict[int, Patch] = {}
        if self.drawing.overlap == "highest_id":
            others.sort(key=lambda index: self.outlines.ranks[index])
        elif self.drawing.overlap == "large_first":
            others = self._by_area(others, shape, drawn)
        for index in (*below, *others):
            patch = drawn.get(index) or self.outlines.draw(index, shape, self.drawing.rule)
            value = self._code(index)
            np.copyto(label[patch.window], IGNORE if value == IGNORED else value, where=patch.mask.view(bool))
        valid = label != IGNORE
        if not valid.all():
            label[~valid] = 0
        return label, valid

    def _by_area(self, found: list[int], shape: Shape, drawn: dict[int, Patch]) -> list[int]:
        """Sort annotations by the pixels they cover, most first, and keep what was drawn for that."""
        areas, held = {}, 0
        for index in found:
            patch = self.outlines.draw(index, shape, self.drawing.rule)
            areas[index] = patch.area
            if held + patch.mask.nbytes <= KEPT_BYTES:
                drawn[index] = patch
                held += patch.mask.nbytes
        return sorted(found, key=lambda index: -areas[index])

    def _other_size(self, key: str, said: Shape, shape: Shape) -> InputError:
        """Say how the size that was labelled differs from the image's."""
        what = f"'{key}' has {said[0]} x {said[1]} pixels here (height x width), its image {shape[0]} x {shape[1]}"
        kind, fix = "size_mismatch", "take the images that were labelled"
        tall, wide = said[0] / shape[0], said[1] / shape[1]
        if said == (shape[1], shape[0]):
            kind, fix = "size_transposed", "turn the labels, or the image if its viewer turned it (EXIF)"
            what += ": height and width are swapped"
        elif abs(tall - wide) < 0.01 * wide and not 0.98 < wide < 1.02:
            kind, fix = "size_scaled", "scale the labels, or take the images they were drawn on"
            what += ": the same proportions at another scale"
        facts = {"label": list(said), "image": list(shape)}
        return InputError(what, where=self.files[key], fix=fix, kind=kind, facts=facts)
