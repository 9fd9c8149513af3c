"""A dense random field on the labels of a submission file, row by row."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from maskwright.core import rle
from maskwright.core.errors import InputError, unknown
from maskwright.core.files import atomic_path, inside
from maskwright.core.progress import Reporter
from maskwright.core.recipe.crf import Crf
from maskwright.core.stop import Stop
from maskwright.data.pixels.rasters import read_image
from maskwright.ensembling.crf import Label, colours_of, refine
from maskwright.ensembling.votes_table import DIALECTS, Dialect, Numbers, Table

COLUMNS = ("kaggle",)
"""Formats whose run lengths go down columns; the others go along rows."""
MOST_PIXELS = 1 << 28
THREADS = 4
SUFFIXES = (".png", ".jpg", ".jpeg", ".tif", ".tiff", ".bmp")


@dataclass(frozen=True)
class Refining:
    """What is refined, and how."""

    file: Path
    output: Path
    format: str
    size: tuple[int, int]
    """(H, W) of every mask."""
    crf: Crf
    classes: int | None = None
    """For class ids: how many classes there are."""
    images: Path | None = None
    """Folder of files that are called after ids, for crf.colours."""


def refine_file(plan: Refining, reporter: Reporter, stop: Stop | None = None) -> None:
    """Refine every mask of a submission file and write another; it is whole or absent.

    Args:
        plan: what to refine.
        reporter: gets progress and one line.
        stop: looked at between rows; nothing is written when it is raised.

    Raises:
        InputError: not that format, runs that leave the mask, class ids beyond the classes, no image of an id.
        StorageError: disk full or no permission.
    """
    if plan.format not in DIALECTS:
        raise unknown("format", plan.format, DIALECTS, "--format")
    dialect = DIALECTS[plan.format]
    if dialect.classes != (plan.classes is not None):
        what = "how many classes there are is not said" if dialect.classes else "masks of run lengths have no classes"
        fix = "give --classes" if dialect.classes else "leave --classes out"
        raise InputError(what, where="--classes", fix=fix)
    if plan.output.resolve() == plan.file.resolve():
        raise InputError("the output is the input", where=plan.output, fix="write to another file")
    table = Table(plan.file, dialect)
    changed = 0
    with (
        reporter.task("crf", len(table.rows)) as tick,
        atomic_path(plan.output) as temporary,
        temporary.open("wb") as stream,
    ):
        stream.write(bytes(table.data[table.begin : int(table.rows[0, 0])]).rstrip(b"\r\n") + b"\n")
        for line, moved in _rows(table, lambda row: _line(plan, dialect, table, row)):
            stream.write(line)
            changed += moved
            tick.advance()
            if stop is not None:
                stop.check("nothing is written")
    share = changed / (len(table.rows) * plan.size[0] * plan.size[1])
    reporter.say(f"{plan.output}: {len(table.rows)} rows, {100 * share:.2f} % of pixels changed")


def _rows(table: Table, make: Callable[[Numbers], tuple[bytes, int]]) -> Iterator[tuple[bytes, int]]:
    """Give what is made of each row, in order, by a few threads."""
    waiting: deque[Future[tuple[bytes, int]]] = deque()
    with ThreadPoolExecutor(THREADS) as pool:
        try:
            for row in table.rows:
                waiting.append(pool.submit(make, row))
                if len(waiting) > 4 * THREADS:
                    yield waiting.popleft().result()
            while waiting:
                yield waiting.popleft().result()
        finally:
            for future in waiting:
                future.cancel()


def _line(plan: Refining, dialect: Dialect, table: Table, row: Numbers) -> tuple[bytes, int]:
    """Return the line of a row with its mask refined, and how many pixels that changed."""
    head = bytes(table.data[int(row[0]) : int(row[1])])
    text, where = table.text(row), table.where
    label = _label(plan, dialect, text, row, where)
    found = refine(label, plan.crf, plan.classes or 2, _image(plan, table.name(row), where(row)))
    moved = int((found != label).sum())
    if dialect.classes:
        return head + " ".join(map(str, found.reshape(-1).tolist())).encode() + b"\n", moved
    order: rle.Order = "column" if plan.format in COLUMNS else "row"
    return head + rle.encode(found, order, dialect.base, dialect.empty).encode() + b"\n", moved


def _label(
    plan: Refining, dialect: Dialect, text: str, row: Numbers, where: Callable[[Numbers], str]
) -> NDArray[np.uint8]:
    if not dialect.classes:
        order: rle.Order = "column" if plan.format in COLUMNS else "row"
        return rle.decode(text, plan.size, order, dialect.base, (*rle.EMPTY, dialect.empty), where(row))
    assert plan.classes is not None
    words = text.split()
    try:
        ids = np.array(words, np.int64)
    except (ValueError, OverflowError):
        raise InputError("there is something that is no class id", where=where(row), fix="write numbers") from None
    if ids.size != plan.size[0] * plan.size[1] or ids.min() < 0 or ids.max() >= plan.classes:
        what = f"{ids.size} class ids up to {ids.max(initial=0)}, for {plan.size[0]} x {plan.size[1]} pixels and "
        raise InputError(f"{what}{plan.classes} classes", where=where(row), fix="mend --size or --classes")
    return ids.astype(np.uint8).reshape(plan.size)


def _image(plan: Refining, key: str, where: str) -> Label | None:
    """Return the colours of an id's image; its first cell names the file, with or without ending."""
    if plan.images is None:
        return None
    name = key.split(",", maxsplit=1)[0]
    named = inside(plan.images, name, where)
    paths = [named, *(named.with_name(named.name + suffix) for suffix in SUFFIXES)]
    path = next((path for path in paths if path.is_file()), None)
    if path is None:
        raise InputError(f"no image of '{name}' in {plan.images}", where=where, fix="mend --images")
    pixels, _ = read_image(path, MOST_PIXELS)
    if pixels.shape[:2] != plan.size or pixels.dtype != np.uint8:
        what = f"{pixels.shape[0]} x {pixels.shape[1]} of {pixels.dtype}, masks are {plan.size[0]} x {plan.size[1]}"
        raise InputError(what, where=path, fix="give 8-bit images of the masks' size")
    return colours_of(pixels, str(path))
