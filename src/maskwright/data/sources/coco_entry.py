"""One annotation of a COCO file: its polygons, run lengths or box, checked before anything is drawn of it."""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import suppress
from typing import Any, Literal, NamedTuple

import numpy as np

from maskwright.core.errors import InputError
from maskwright.core.grid import Shape
from maskwright.data.labels.shapes import FARTHEST, Numbers, check_counts, read_counts, write_counts
from maskwright.data.sources.outlines import UNDRAWN, Outlines, Writer
from maskwright.data.sources.vector import shape_of

CROWDS, NO_CROWDS = (1, "1", "true"), (0, "0", "false", None, "")
"""What iscrowd may be; True is 1."""
BOX_FITS = 0.5
"""A box that shares less than this with its outline (intersection over union) does not fit it."""


class Bad(NamedTuple):
    """What is wrong with an annotation: a key of coco.FAULTS, and what it holds."""

    sort: str
    detail: str = ""


class _BadEntryError(Exception):
    """Carries a Bad to lay_out."""

    def __init__(self, sort: str, detail: str = "") -> None:
        super().__init__(sort)
        self.bad = Bad(sort, detail)


def is_id(value: Any) -> bool:
    """Say whether a value of the file can be an id: a whole number or a text."""
    return isinstance(value, int | str) and not isinstance(value, bool)


def named(entry: Mapping[str, Any]) -> str:
    """Name an annotation by its id."""
    return f"id {str(entry.get('id', 'absent'))[:24]}"


def digest_of(entry: Mapping[str, Any]) -> int:
    """Return a number that is equal for annotations of one outline; 0 if there is none, or it is odd."""
    given = entry.get("segmentation")
    with suppress(TypeError, AttributeError):
        if isinstance(given, Mapping):
            counts = given.get("counts")
            return hash(tuple(counts) if isinstance(counts, list) else counts)
        return hash(tuple(map(tuple, given))) if given else 0
    return 0


def lay_out(
    entry: Mapping[str, Any], writer: Writer, code: int, shape: Shape | None, missing: Literal["refuse", "skip", "box"]
) -> Bad | None:
    """Add an annotation to a writer; one that has a fault is added as not to be drawn.

    Args:
        entry: from the file; its class is known.
        writer: gets exactly one annotation more.
        code: class id, IGNORED or UNDRAWN.
        shape: (H, W) of its image; None: not known.
        missing: what an annotation without a segmentation is.

    Returns:
        what is wrong with it, if anything is.
    """
    crowd = entry.get("iscrowd") in CROWDS
    number = entry.get("id")
    rank = number if isinstance(number, int) and abs(number) < 1 << 62 else len(writer.codes)
    try:
        if not crowd and entry.get("iscrowd") not in NO_CROWDS:
            raise _BadEntryError("crowd", f"{str(entry.get('iscrowd'))[:20]}")
        text = _segmentation(entry, writer, shape, missing)
    except _BadEntryError as error:
        writer.drop()
        writer.close(UNDRAWN, rank)
        return error.bad
    writer.close(UNDRAWN if text is None else code, rank, crowd=crowd, text=text or "")
    return None


def _segmentation(
    entry: Mapping[str, Any], writer: Writer, shape: Shape | None, missing: Literal["refuse", "skip", "box"]
) -> str | None:
    """Add the rings of an annotation, or return its run lengths; None: there is nothing to draw."""
    given = entry.get("segmentation")
    if isinstance(given, Mapping) and given:
        return _run_lengths(given, shape)
    if isinstance(given, list) and given:
        for place, polygon in enumerate(given):
            _polygon(polygon, place, writer)
        return ""
    if given not in (None, [], {}, ""):
        raise _BadEntryError("segmentation", f"{type(given).__name__}")
    if missing == "skip":
        return None
    if missing == "box":
        writer.ring(_box(entry.get("bbox")))
        return ""
    raise _BadEntryError("no_outline")


def _polygon(numbers: Any, place: int, writer: Writer) -> None:
    name = f"polygon {place + 1}"
    if not isinstance(numbers, list):
        raise _BadEntryError("segmentation", f"{name} is no list but {str(numbers)[:20]}")
    if len(numbers) % 2:
        raise _BadEntryError("odd_count", f"{name} has {len(numbers)} numbers")
    if len(numbers) < 6:
        raise _BadEntryError("few_points", f"{name} has {len(numbers) // 2}")
    try:
        writer.ring(numbers)
    except (TypeError, OverflowError):
        raise _BadEntryError("not_number", name) from None


def _box(given: Any) -> list[float]:
    """Return the corners of a bbox."""
    box = box_of(given)
    if box is None:
        raise _BadEntryError("no_outline", f"bbox {str(given)[:40]}")
    left, top, right, bottom = box
    return [left, top, right, top, right, bottom, left, bottom]


def box_of(given: Any) -> tuple[float, float, float, float] | None:
    """Return left, top, right and bottom of a bbox; None if it is no [x, y, width, height] with an area."""
    if not isinstance(given, list) or len(given) != 4:
        return None
    if not all(isinstance(value, int | float) and abs(value) < FARTHEST for value in given):
        return None
    left, top, width, height = (float(value) for value in given)
    return (left, top, left + width, top + height) if width > 0 and height > 0 else None


def _run_lengths(given: Mapping[str, Any], shape: Shape | None) -> str:
    """Check run lengths and return them compressed."""
    size = given.get("size")
    said = shape_of(*size) if isinstance(size, list) and len(size) == 2 else None
    if said is None:
        raise _BadEntryError("rle_size", f"size {str(size)[:30]}")
    if shape is not None and said != shape:
        swapped = ", height and width are swapped" if said == shape[::-1] else ""
        raise _BadEntryError("rle_size", f"{said[0]} x {said[1]} for {shape[0]} x {shape[1]}{swapped}")
    counts = given.get("counts")
    try:
        numbers = read_counts(counts) if isinstance(counts, str) else _whole_numbers(counts)
        check_counts(numbers, said)
    except InputError as error:
        raise _BadEntryError("rle_counts", error.what) from None
    return counts if isinstance(counts, str) else write_counts(numbers)


def _whole_numbers(counts: Any) -> Numbers:
    if not isinstance(counts, list):
        raise InputError(f"counts are {type(counts).__name__}, neither a list nor a text")
    try:
        numbers = np.array(counts)
    except (ValueError, OverflowError):
        numbers = np.array([None])
    if numbers.size and (numbers.dtype.kind != "i" or numbers.ndim != 1):
        raise InputError("counts hold something that is no whole number")
    return numbers.astype(np.int64)


def boxes_that_differ(outlines: Outlines, entries: list[Mapping[str, Any]]) -> list[int]:
    """Return the annotations whose bbox is not around their polygons; an absent or empty one says nothing."""
    bounds, owners = outlines.bounds(), outlines.owners()
    if not len(owners):
        return []
    firsts = np.flatnonzero(np.diff(owners, prepend=-1))
    low = np.minimum.reduceat(bounds[:, :2], firsts)
    high = np.maximum.reduceat(bounds[:, 2:], firsts)
    found = []
    for index, (left, top), (right, bottom) in zip(owners[firsts], low.tolist(), high.tolist(), strict=True):
        given = entries[index].get("bbox")
        if given in (None, [], [0, 0, 0, 0]):
            continue
        box = box_of(given)
        if box is None or _shared(box, (left, top, right, bottom)) < BOX_FITS:
            found.append(int(index))
    return found


def _shared(one: tuple[float, ...], other: tuple[float, ...]) -> float:
    """Return intersection over union of two boxes, each a pixel larger on all sides: small ones may be rounded."""
    width = min(one[2], other[2]) - max(one[0], other[0]) + 2
    height = min(one[3], other[3]) - max(one[1], other[1]) + 2
    if width <= 0 or height <= 0:
        return 0.0
    areas = [(box[2] - box[0] + 2) * (box[3] - box[1] + 2) for box in (one, other)]
    return width * height / (sum(areas) - width * height)
