"""Draw polygons and COCO run lengths as small masks; read and write COCO's compressed text.

Four rules say which pixels a polygon covers. coco: as COCO's own tools draw it, to the pixel.
corners: (0, 0) is the corner of the first pixel, and pixels whose centre is inside are drawn; touched: every pixel
that the polygon touches is. centres: (0, 0) is that pixel's centre, and the outline is drawn too, as contour tracers
such as OpenCV's write it.
Everything is checked before it is drawn: run lengths add up to the mask, coordinates are bounded.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal, NamedTuple

import numpy as np
from numpy.typing import NDArray

from maskwright.core.errors import InputError
from maskwright.core.grid import Shape

Numbers = NDArray[np.int64]
Points = NDArray[np.float64]
"""(2 n,), x and y in turn, in pixels."""
Mask = NDArray[np.uint8]
Rule = Literal["coco", "corners", "centres", "touched"]

FARTHEST = float(1 << 24)
"""Pixels from the origin at which coordinates are refused whatever the image; far below where 32 bits end."""
_ROUND = 0.02
"""Pixels by which a circle's polygon may miss the circle."""


class Patch(NamedTuple):
    """A small mask and where it lies in the image."""

    top: int
    left: int
    mask: Mask
    """uint8 (h, w) of 0 and 1, C order."""

    @property
    def area(self) -> int:
        """Pixels that are drawn."""
        return int(np.count_nonzero(self.mask))

    @property
    def window(self) -> tuple[slice, slice]:
        """Rows and columns of the image that the mask lies on."""
        height, width = self.mask.shape
        return slice(self.top, self.top + height), slice(self.left, self.left + width)


NOTHING = Patch(0, 0, np.zeros((0, 0), np.uint8))


def read_counts(text: str | bytes) -> Numbers:
    """Read COCO's compressed run lengths.

    Args:
        text: `counts` of a segmentation.

    Returns:
        int64 (n,): pixels that are off, on, off, ... from the top left, down the columns.

    Raises:
        InputError: a character that does not belong there, an end in the middle of a number, or a number
            of more than 32 bits.
    """
    from maskwright.data.labels import shape_kernels as kernels

    try:
        raw = np.frombuffer(text.encode("ascii") if isinstance(text, str) else text, np.uint8)
    except UnicodeEncodeError as error:
        raise InputError(f"character {error.start + 1} of the run lengths is no COCO digit") from None
    counts = np.empty(raw.size, np.int64)
    status, count, place = kernels.read_counts(raw, counts)
    if status == kernels.NOT_A_DIGIT:
        raise InputError(f"character {place + 1} of the run lengths is no COCO digit")
    if status == kernels.UNENDED:
        raise InputError(f"the run lengths end in the middle of number {count + 1}")
    if status == kernels.TOO_LARGE:
        raise InputError(f"number {count + 1} of the run lengths has more than 32 bits")
    return counts[:count]


def write_counts(counts: Numbers) -> str:
    """Write run lengths as COCO's compressed text; the inverse of read_counts."""
    from maskwright.data.labels import shape_kernels as kernels

    text = np.empty(kernels.WIDEST * len(counts), np.uint8)
    return str(text[: kernels.write_counts(np.ascontiguousarray(counts, np.int64), text)].data, "ascii")


def check_counts(counts: Numbers, shape: Shape) -> None:
    """Refuse run lengths that do not add up to the mask.

    Raises:
        InputError: a negative one, or another sum than the pixels of the mask.
    """
    if (counts < 0).any():
        raise InputError(f"run length {int(np.argmax(counts < 0)) + 1} is negative ({int(counts.min())})")
    total, pixels = int(counts.sum()), shape[0] * shape[1]
    if total != pixels:
        raise InputError(f"the run lengths add up to {total}, the mask has {shape[0]} x {shape[1]} = {pixels} pixels")


def draw_counts(counts: Numbers, shape: Shape) -> Patch:
    """Draw run lengths that go down the columns.

    Args:
        counts: int64 (n,), off and on in turn, as read_counts returns them.
        shape: (H, W) of the whole mask.

    Raises:
        InputError: as check_counts.
    """
    check_counts(counts, shape)
    ends = np.cumsum(counts)
    starts, lengths = ends[: len(counts) - 1 : 2], counts[1::2]
    seen = lengths > 0
    return _columns(_runs(starts[seen], lengths[seen]), shape, slice(0, shape[0]))


def draw_polygon(parts: Sequence[Sequence[Points]], shape: Shape, rule: Rule) -> Patch:
    """Draw the union of polygons; each is an outline and the holes in it.

    Args:
        parts: for each part its outline, then its holes; at least one vertex each, within FARTHEST.
        shape: (H, W) of the whole mask; what is outside is cut off.
        rule: which pixels a polygon covers.
    """
    box = _box([part[0] for part in parts], shape)
    if box is None:
        return NOTHING
    rows, columns = box
    if rule == "centres":
        return _fill(parts, rows, columns)
    if rule == "touched":
        return _touched(parts, rows, columns)
    runs = [_outline(part, shape, rule) for part in parts]
    found = runs[0] if len(runs) == 1 else np.concatenate(runs)
    return _columns(found, shape, rows) if rule == "coco" else _rows(found, shape, columns)


def circle(centre: tuple[float, float], radius: float) -> Points:
    """Return a polygon that misses a circle by 0.02 pixels at most."""
    count = int(np.ceil(np.pi * np.sqrt(max(radius, 1.0) / (2 * _ROUND))))
    angle = np.linspace(0, 2 * np.pi, count, endpoint=False)
    points = np.empty(2 * count)
    points[::2], points[1::2] = centre[0] + radius * np.cos(angle), centre[1] + radius * np.sin(angle)
    return points


def _box(outlines: Sequence[Points], shape: Shape) -> tuple[slice, slice] | None:
    """Return the rows and columns that outlines can reach, or None if they are outside the mask."""
    spans = []
    for start, size in ((1, shape[0]), (0, shape[1])):
        low = min(float(points[start::2].min()) for points in outlines)
        high = max(float(points[start::2].max()) for points in outlines)
        first, last = max(int(np.floor(low)) - 1, 0), min(int(np.ceil(high)) + 2, size)
        if first >= last:
            return None
        spans.append(slice(first, last))
    return spans[0], spans[1]


def _outline(rings: Sequence[Points], shape: Shape, rule: Rule) -> Numbers:
    """Return the runs inside an odd number of rings, start and length in turn."""
    from maskwright.data.labels import shape_kernels as kernels

    walk = kernels.outline_columns if rule == "coco" else kernels.outline_rows
    lists = []
    for ring in rings:
        places = np.empty(4 * max(shape) + 4 * len(ring), np.int64)
        count = walk(ring, *shape, places)
        if count > places.size:
            places = np.empty(count, np.int64)
            walk(ring, *shape, places)
        lists.append(places[:count])
    turns = np.sort(lists[0] if len(lists) == 1 else np.concatenate(lists))
    assert turns.size % 2 == 0, "a closed outline turns every line off again"
    return _runs(turns[::2], turns[1::2] - turns[::2])


def _runs(starts: Numbers, lengths: Numbers) -> Numbers:
    runs = np.empty(2 * len(starts), np.int64)
    runs[::2], runs[1::2] = starts, lengths
    return runs


def _rows(runs: Numbers, shape: Shape, columns: slice) -> Patch:
    """Paint runs that go along the rows, on the rows they reach."""
    from maskwright.core import rle_kernels

    if not runs.size:
        return NOTHING
    width = shape[1]
    first, last = int(runs[::2].min()) // width, -(-int((runs[::2] + runs[1::2]).max()) // width)
    if last <= first:
        return NOTHING
    lines = np.zeros((last - first, width), np.uint8)
    runs[::2] -= first * width
    rle_kernels.paint_rows(runs, lines.reshape(-1))
    return Patch(first, columns.start, np.ascontiguousarray(lines[:, columns]))


def _columns(runs: Numbers, shape: Shape, rows: slice) -> Patch:
    """Paint runs that go down the columns, on the columns they reach."""
    turned = _rows(runs, (shape[1], shape[0]), rows)
    if not turned.mask.size:
        return NOTHING
    import cv2

    return Patch(turned.left, turned.top, np.asarray(cv2.transpose(turned.mask), np.uint8))


def _touched(parts: Sequence[Sequence[Points]], rows: slice, columns: slice) -> Patch:
    """Draw every pixel that polygons touch, as GDAL's ALL_TOUCHED does."""
    from rasterio.features import rasterize

    corner = np.array([columns.start, rows.start])
    shapes = [
        {"type": "Polygon", "coordinates": [(ring.reshape(-1, 2) - corner).tolist() for ring in rings]}
        for rings in parts
    ]
    size = rows.stop - rows.start, columns.stop - columns.start
    mask: Mask = rasterize(shapes, out_shape=size, fill=0, default_value=1, all_touched=True, dtype=np.uint8)
    return Patch(rows.start, columns.start, mask)


def _fill(parts: Sequence[Sequence[Points]], rows: slice, columns: slice) -> Patch:
    """Fill polygons whose vertices are centres of pixels, outlines included."""
    import cv2

    mask = np.zeros((rows.stop - rows.start, columns.stop - columns.start), np.uint8)
    corner = np.array([columns.start, rows.start])
    for rings in parts:
        cv2.fillPoly(mask, [(np.rint(ring.reshape(-1, 2)) - corner).astype(np.int32) for ring in rings], 1)
    return Patch(rows.start, columns.start, mask)
