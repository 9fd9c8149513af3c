"""Run lengths in text: pixels to `start length start length ...` and back, bounds checked before painting.

A dialect is an order (row: left to right, then down; column: top to bottom, then right), a base (the
number of the first pixel, 0 or 1) and the texts that stand for a mask without pixels. The order is
often not written anywhere; `guess_order` finds it from shapes that are not square, or from images.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from typing import Any, Literal, NamedTuple

import numpy as np
from numpy.typing import NDArray

from maskwright.core.errors import InputError

Order = Literal["row", "column"]
Shape = tuple[int, int]
Mask = NDArray[np.bool_] | NDArray[np.uint8]
Numbers = NDArray[np.int64]

EMPTY = ("", "-1")
"""Texts that usually stand for a mask without pixels."""
SURE = 0.1
"""Confidence of a guess below which a user should be asked; right guesses measured .38 (Kampala
buildings, by image), .85 and .70 (DSB 2018 nuclei, by shape and by image), 2026-11-21."""
_LOOKED_AT = 48
_MOST_PIXELS = 64_000_000
_TOKEN = re.compile(r"[^ \t-\r]+")
_FIRST_ROOM = 1 << 12


def encode(mask: Mask, order: Order = "row", base: int = 1, empty: str = "") -> str:
    """Write a mask as run lengths.

    Args:
        mask: bool or uint8 (H, W); whatever is not 0 is foreground.
        order: row or column.
        base: number of the first pixel, 0 or 1.
        empty: what is written for a mask without foreground.

    Returns:
        `start length` pairs with one space between all numbers; runs are maximal and ascending.
    """
    assert base in (0, 1), base
    edges = _edges(mask, order)
    return _write(edges, base) if edges.size else empty


def decode(
    text: str, shape: Shape, order: Order, base: int, empty: Sequence[str] = EMPTY, where: str = ""
) -> NDArray[np.uint8]:
    """Read run lengths into a mask.

    Args:
        text: `start length` pairs between white space, or one of `empty`; runs may come in any order.
        shape: (H, W) of the mask in pixels.
        order: row or column.
        base: number of the first pixel, 0 or 1.
        empty: texts (stripped of white space) that stand for no foreground.
        where: file and row for the message.

    Returns:
        uint8 (H, W) of 0 and 1.

    Raises:
        InputError: an odd count, a number that is no whole number, a run without length, before the
            first or past the last pixel, or over another run. Nothing is painted before all are checked.
    """
    return _painted(_parse(text, shape, base, empty, where), shape, order)


def join(
    texts: Sequence[str], shape: Shape, order: Order, base: int, empty: Sequence[str] = EMPTY, where: Sequence[str] = ()
) -> NDArray[np.uint8]:
    """Read several texts, one for each object, into one mask; objects may overlap.

    Args:
        texts: run lengths of each object.
        shape: (H, W) of the mask in pixels.
        order: row or column.
        base: number of the first pixel, 0 or 1.
        empty: texts that stand for no foreground.
        where: file and row of each text for the message; may be left out.

    Returns:
        uint8 (H, W) of 0 and 1: the union.

    Raises:
        InputError: as decode; a pixel may be in several objects, but not twice in one.
    """
    from maskwright.core import rle_kernels as kernels

    places = where or [""] * len(texts)
    parsed = [_parse(text, shape, base, empty, place) for text, place in zip(texts, places, strict=True)]
    lines = np.zeros(shape if order == "row" else shape[::-1], np.uint8)
    for runs in parsed:
        kernels.paint_rows(runs, lines.reshape(-1))
    return lines if order == "row" else np.ascontiguousarray(lines.T)


def runs(mask: Mask, order: Order = "row") -> tuple[Numbers, Numbers]:
    """Return the maximal runs of a mask as starts (from 0) and lengths, int64 (N,) each, ascending."""
    edges = _edges(mask, order)
    return edges[::2].copy(), edges[1::2] - edges[::2]


def parse(text: str, shape: Shape, base: int, empty: Sequence[str] = EMPTY, where: str = "") -> tuple[Numbers, Numbers]:
    """Read run lengths without painting.

    Args:
        text: as decode.
        shape: (H, W) of the mask in pixels.
        base: number of the first pixel, 0 or 1.
        empty: texts that stand for no foreground.
        where: file and row for the message.

    Returns:
        checked starts (from 0) and lengths, int64 (N,) each, ascending.

    Raises:
        InputError: as decode.
    """
    found = _parse(text, shape, base, empty, where)
    return found[::2].copy(), found[1::2].copy()


def paint(starts: Numbers, lengths: Numbers, shape: Shape, order: Order = "row", where: str = "") -> NDArray[np.uint8]:
    """Paint runs into a mask.

    Args:
        starts: int64 (N,), from 0.
        lengths: int64 (N,), in pixels.
        shape: (H, W).
        order: row or column.
        where: for the message.

    Returns:
        uint8 (H, W) of 0 and 1.

    Raises:
        InputError: as decode, for runs outside the mask or over each other.
    """
    both = np.empty(2 * len(starts), np.int64)
    both[::2], both[1::2] = starts, lengths
    return _painted(_checked(both, shape, 0, where), shape, order)


class OrderGuess(NamedTuple):
    """What guess_order found: the order, how clear it was (0: not at all .. 1), and why, in words."""

    order: Order
    confidence: float
    reason: str


def guess_order(
    texts: Sequence[str],
    shapes: Sequence[Shape],
    base: int = 1,
    empty: Sequence[str] = EMPTY,
    image: Callable[[int], NDArray[Any]] | None = None,
) -> OrderGuess:
    """Say in which order run lengths were written, by decoding some of them in both.

    A mask that is not square comes out torn in the wrong order, so the order with the shorter outlines
    is right. A square one only comes out transposed, equally smooth: then the order whose outlines lie
    on the stronger edges of the image is right, if images are given.

    Args:
        texts: run lengths; those that cannot be read are passed over, the audit names them.
        shapes: (H, W) of each text's mask.
        base: number of the first pixel.
        empty: texts that stand for no foreground.
        image: given an index into texts, reads its image, (H, W) or (H, W, B) of numbers.

    Returns:
        the order, its confidence and the reason; column (Kaggle's) with confidence 0 if nothing tells.
    """
    items = [(index, shape) for index, shape in enumerate(shapes) if texts[index].strip() not in empty]
    oblong = [item for item in items if item[1][0] != item[1][1]]
    row = column = 0.0
    for index, shape in _spread(oblong):
        for_row, for_column = _both(texts[index], shape, base, empty)
        row, column = row + _outline(for_row), column + _outline(for_column)
    by_shape = _guess(column, row, f"outlines of {len(_spread(oblong))} masks that are not square are shorter")
    if by_shape.confidence >= SURE or image is None:
        return by_shape
    row = column = 0.0
    for index, shape in _spread(items):
        for_row, for_column = _both(texts[index], shape, base, empty)
        pixels = image(index)
        row, column = row + _on_edges(for_row, pixels), column + _on_edges(for_column, pixels)
    return _guess(row, column, f"outlines of {len(_spread(items))} masks lie on stronger image edges")


def _guess(row: float, column: float, reason: str) -> OrderGuess:
    """Turn evidence for either order into a guess."""
    high, low = max(row, column), min(row, column)
    if high == low:
        return OrderGuess(
            "column", 0.0, "nothing tells: the masks are as smooth and fit images as well in either order"
        )
    order: Order = "row" if row > column else "column"
    return OrderGuess(order, (high - low) / (high + low), f"{reason} in {order} order, {high:.3g} to {low:.3g}")


def _spread(items: Sequence[tuple[int, Shape]]) -> list[tuple[int, Shape]]:
    """Pick some items evenly: enough to tell, few enough to wait for."""
    count = min(len(items), _LOOKED_AT)
    picked = [items[index * len(items) // count] for index in range(count)]
    pixels = np.cumsum([height * width for _, (height, width) in picked])
    return picked[: max(1, int(np.searchsorted(pixels, _MOST_PIXELS)))]


def _both(text: str, shape: Shape, base: int, empty: Sequence[str]) -> tuple[NDArray[np.uint8], NDArray[np.uint8]]:
    try:
        found = _parse(text, shape, base, empty, "")
    except InputError:
        found = np.empty(0, np.int64)
    return _painted(found, shape, "row"), _painted(found, shape, "column")


def _outline(mask: NDArray[np.uint8]) -> float:
    """Return the length of all outlines inside a mask, in pixel sides."""
    return float(np.count_nonzero(mask[1:] != mask[:-1]) + np.count_nonzero(mask[:, 1:] != mask[:, :-1]))


def _on_edges(mask: NDArray[np.uint8], image: NDArray[Any]) -> float:
    """Return how many times steeper an image is across a mask's outlines than on average; 0 without outlines."""
    grey = np.asarray(image).reshape(*mask.shape, -1).mean(axis=2, dtype=np.float32)
    across = steep = total = 0.0
    for axis in (0, 1):
        step = np.abs(np.diff(grey, axis=axis))
        crossed = np.diff(mask, axis=axis) != 0
        across, steep, total = across + crossed.sum(), steep + step[crossed].sum(), total + step.sum(dtype=np.float64)
    sides = 2 * grey.size - sum(grey.shape)
    return float(steep / across / (total / sides)) if across and total else 0.0


def _edges(mask: Mask, order: Order) -> Numbers:
    """Return where runs start and end in turn, int64 (2 N,)."""
    from maskwright.core import rle_kernels as kernels

    assert mask.ndim == 2, mask.shape
    assert mask.dtype in (np.bool_, np.uint8), mask.dtype
    flat = np.ascontiguousarray(mask).reshape(-1).view(np.uint8)
    if flat.size == 0:
        return np.empty(0, np.int64)
    if order == "row":
        edges = np.empty(max(_FIRST_ROOM, flat.size >> 5), np.int64)
        count = kernels.row_edges(flat, edges)
        if count > edges.size:
            edges = np.empty(count, np.int64)
            kernels.row_edges(flat, edges)
        return edges[:count]
    width = mask.shape[1]
    counts = np.zeros(width, np.int64)
    kernels.column_edges(flat, width, counts, np.empty(0, np.int64))
    ends = np.cumsum(counts)
    edges = np.empty(int(ends[-1]) + int(flat[-1] != 0), np.int64)
    if edges.size:
        edges[-1] = flat.size
        kernels.column_edges(flat, width, ends - counts, edges)
    return edges


def _write(edges: Numbers, base: int) -> str:
    from maskwright.core import rle_kernels as kernels

    text = np.empty(edges.size // 2 * kernels.WIDEST + kernels.SLACK, np.uint8)
    return str(text[: kernels.write_edges(edges, base, text) - 1].data, "ascii")


def _painted(checked: Numbers, shape: Shape, order: Order) -> NDArray[np.uint8]:
    from maskwright.core import rle_kernels as kernels

    mask = np.zeros(shape, np.uint8)
    if checked.size and order == "row":
        kernels.paint_rows(checked, mask.reshape(-1))
    elif checked.size:
        kernels.paint_columns(checked, shape[1], mask.reshape(-1))
    return mask


def _parse(text: str, shape: Shape, base: int, empty: Sequence[str], where: str) -> Numbers:
    """Return checked runs as start, length in turn, int64 (2 N,), starts from 0 and ascending."""
    from maskwright.core import rle_kernels as kernels

    assert base in (0, 1), base
    assert min(shape) >= 1, shape
    if text.strip() in empty:
        return np.empty(0, np.int64)
    try:
        raw = text.encode("ascii")
    except UnicodeEncodeError as error:
        raise _not_a_number(text, error.start, where) from None
    pixels = shape[0] * shape[1]
    numbers = np.empty(2 * min(pixels, len(raw) // 4 + 1), np.int64)
    padded = np.frombuffer(b"".join((b" " * kernels.BEFORE_TEXT, raw, b" " * kernels.AFTER_TEXT)), np.uint8)
    status, count, place = kernels.parse_runs(padded, base, numbers)
    if status == kernels.NOT_A_NUMBER:
        raise _not_a_number(text, place - kernels.BEFORE_TEXT, where)
    if status == kernels.TOO_MANY:
        raise _too_many(shape, where)
    if count == 0:
        raise InputError(
            f"{text.strip()[:20]!r} holds no run lengths", where=where, fix="add it to empty if it means no pixels"
        )
    if count % 2:
        raise InputError(
            f"run lengths hold an odd count of numbers ({count})",
            where=where,
            fix="write a start and a length for every run",
        )
    return _checked(numbers[:count], shape, base, where)


def _checked(found: Numbers, shape: Shape, base: int, where: str) -> Numbers:
    """Check runs laid out in turn, starts from 0, and sort them; `base` is for the message."""
    from maskwright.core import rle_kernels as kernels

    given = found.reshape(-1, 2)
    status, index = kernels.check_runs(found, shape[0] * shape[1])
    if status == kernels.FINE:
        return found
    if status != kernels.UNSORTED:
        raise _bad_run(status, int(index), given[index], shape, base, where)
    ordered = given[np.argsort(given[:, 0], kind="stable")]
    over = ordered[:-1].sum(axis=1) > ordered[1:, 0]
    if over.any():
        first, second = ordered[np.argmax(over) : np.argmax(over) + 2]
        raise InputError(
            f"run {first[0] + base} {first[1]} overlaps run {second[0] + base} {second[1]}",
            where=where,
            fix="name each pixel once; objects that overlap need a row each",
        )
    return np.ascontiguousarray(ordered).reshape(-1)


def _not_a_number(text: str, place: int, where: str) -> InputError:
    tokens = list(_TOKEN.finditer(text))
    index = next(index for index, token in enumerate(tokens) if token.end() > place)
    token = tokens[index].group()
    shown = ascii(token if len(token) <= 20 else token[:17] + "...")
    return InputError(
        f"number {index + 1} of the run lengths is {shown}, not a whole number from 0",
        where=where,
        fix="write starts and lengths as digits between spaces",
    )


def _too_many(shape: Shape, where: str) -> InputError:
    return InputError(
        f"there are more runs than the {shape[0]} x {shape[1]} = {shape[0] * shape[1]} pixels of the mask",
        where=where,
        fix="check that this row belongs to this image",
    )


def _bad_run(status: int, index: int, run: Numbers, shape: Shape, base: int, where: str) -> InputError:
    from maskwright.core import rle_kernels as kernels

    start, length = int(run[0]) + base, int(run[1])
    name = f"run {index + 1} ({_number(start)} {_number(length)})"
    if status == kernels.BEFORE:
        fix = "set base: 0 if the first pixel is 0" if start == 0 else "starts must not be negative"
        return InputError(f"{name} starts before the first pixel, which is {base}", where=where, fix=fix)
    if status == kernels.NO_LENGTH:
        return InputError(f"{name} has no length", where=where, fix="leave it out, or write its length")
    height, width = shape
    one_over = base == 0 and start + length == height * width + 1
    fix = "set base: 1 if the first pixel is 1" if one_over else "check order and base, and the size of the image"
    return InputError(
        f"{name} ends past the last of the {height} x {width} = {height * width} pixels", where=where, fix=fix
    )


def _number(value: int) -> str:
    from maskwright.core import rle_kernels as kernels

    return str(value) if value < kernels.LARGEST else "a huge number"
