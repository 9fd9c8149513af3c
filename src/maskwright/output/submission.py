"""Write a submission of run lengths, checked against the sample submission where there is one."""

from __future__ import annotations

import csv
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from maskwright.core.errors import unknown
from maskwright.core.files import atomic_path
from maskwright.core.labels import Task, looks_background
from maskwright.core.recipe.outputs import RleCsvOutput
from maskwright.core.rle import encode
from maskwright.output.sample import Sample, read_sample, refuse_other_ids, refuse_repeated

LabelOf = Callable[[str], NDArray[np.uint8]]
"""Key -> uint8 label at native size: (H, W), or (K, H, W) for multilabel."""


@dataclass(frozen=True)
class Submission:
    """What was written."""

    path: Path
    items: int
    """Images."""
    rows: int
    """Rows below the header."""
    empty_rows: int
    """Rows that hold the text for a mask without pixels."""
    notes: tuple[str, ...] = ()
    """What was taken from the sample submission, in words."""


@dataclass(frozen=True)
class _Line:
    """A row to be written: which item, which plane of it, and the text of its class cell."""

    key: str
    plane: int
    class_text: str


@dataclass(frozen=True)
class _Plan:
    header: tuple[str, ...]
    lines: tuple[_Line, ...]
    notes: tuple[str, ...] = ()


def write_rle_csv(
    path: Path, block: RleCsvOutput, task: Task, keys: Sequence[str], label_of: LabelOf, sample: Path | None = None
) -> Submission:
    """Write run lengths row by row; the file is whole or absent.

    Args:
        path: the CSV file.
        block: columns, dialect, one row an image or one a connected piece (8 neighbours, in row-major
            order of first pixels; an image without pixels keeps one row).
        task: binary: one mask an image; else one an image and class. A first class that is called
            background is not written.
        keys: items, all different.
        label_of: gives an item's label; called once for each item, in the order of the rows.
        sample: sample submission whose header, ids and order are followed.

    Raises:
        InputError: the sample has another header, or other ids than the items.
        StorageError: disk full or no permission.
    """
    assert len(set(keys)) == len(keys), "keys must be distinct"
    plan = _own_plan(block, task, keys) if sample is None else _sample_plan(sample, block, task, keys)
    rows = empty = 0
    with (
        atomic_path(path) as temporary,
        temporary.open("w", encoding="utf-8", errors="surrogateescape", newline="") as stream,
    ):
        writer = csv.writer(stream, lineterminator="\n")
        writer.writerow(plan.header)
        for line, text in _texts(plan.lines, block, task, label_of):
            cells = {block.key_column: line.key + block.key_extension, block.rle_column: text}
            if block.class_column is not None:
                cells[block.class_column] = line.class_text
            writer.writerow([cells[column] for column in plan.header])
            rows += 1
            empty += text == block.empty
    return Submission(path, len(keys), rows, empty, plan.notes)


def instances(mask: NDArray[np.uint8]) -> Iterator[NDArray[np.uint8]]:
    """Yield each 8-connected piece of a 0/1 mask as a full-size mask, by row-major order of first pixels.

    Args:
        mask: uint8 (H, W). The yielded array is reused: take what you need before the next one.
    """
    import cv2

    count, pieces, boxes, _ = cv2.connectedComponentsWithStats(np.ascontiguousarray(mask), connectivity=8)
    flat = np.flatnonzero(pieces)[::-1]  # from the end, so that the first pixel is the one that stays
    first = np.zeros(count, np.int64)
    first[pieces.reshape(-1)[flat]] = flat
    canvas = np.zeros(mask.shape, np.uint8)
    for piece in 1 + np.argsort(first[1:]):
        left, top, width, height = (int(number) for number in boxes[piece][:4])
        box = slice(top, top + height), slice(left, left + width)
        np.equal(pieces[box], piece, out=canvas[box].view(np.bool_))
        yield canvas
        canvas[box] = 0


def _texts(lines: Sequence[_Line], block: RleCsvOutput, task: Task, label_of: LabelOf) -> Iterator[tuple[_Line, str]]:
    """Yield each line with its run lengths; an item is asked for once, even if its lines lie apart."""
    planes: dict[str, list[int]] = {}
    for line in lines:
        planes.setdefault(line.key, []).append(line.plane)
    waiting: dict[str, dict[int, list[str]]] = {}
    for line in lines:
        if line.key not in waiting:
            label = label_of(line.key)
            waiting[line.key] = {plane: _encoded(_mask(label, plane, task), block) for plane in planes[line.key]}
        for text in waiting[line.key].pop(line.plane):
            yield line, text


def _mask(label: NDArray[np.uint8], plane: int, task: Task) -> NDArray[np.uint8]:
    if task.kind == "binary":
        return label
    mask: NDArray[np.uint8] = label[plane] if task.kind == "multilabel" else (label == plane).view(np.uint8)
    return mask


def _encoded(mask: NDArray[np.uint8], block: RleCsvOutput) -> list[str]:
    if block.rows == "instance" and mask.any():
        return [encode(piece, order=block.order, base=block.base, empty=block.empty) for piece in instances(mask)]
    return [encode(mask, order=block.order, base=block.base, empty=block.empty)]


def _written_classes(task: Task) -> list[int]:
    if task.kind == "binary":
        return [0]
    background = task.kind == "multiclass" and looks_background(task.classes[0])
    return list(range(int(background), len(task.classes)))


def _columns(block: RleCsvOutput) -> tuple[str, ...]:
    middle = () if block.class_column is None else (block.class_column,)
    return (block.key_column, *middle, block.rle_column)


def _own_plan(block: RleCsvOutput, task: Task, keys: Sequence[str]) -> _Plan:
    lines = tuple(_Line(key, plane, task.plane_names[plane]) for key in keys for plane in _written_classes(task))
    return _Plan(_columns(block), lines)


def _sample_plan(sample: Path, block: RleCsvOutput, task: Task, keys: Sequence[str]) -> _Plan:
    """Plan the rows of the sample after checking its header and ids."""
    table = read_sample(sample, _columns(block), "key_column, rle_column and class_column")
    ids = table.column(block.key_column)
    by_id = {key + block.key_extension: key for key in keys}
    refuse_other_ids(sample, list(dict.fromkeys(ids)), by_id)
    if block.class_column is not None:
        return _class_plan(table, block, task, by_id)
    if block.rows == "image":
        refuse_repeated(table, ids, "id '{}'", "set rows: instance, or class_column, or mend the sample")
    return _Plan(table.header, tuple(_Line(by_id[text], 0, "") for text in dict.fromkeys(ids)))


def _class_plan(table: Sample, block: RleCsvOutput, task: Task, by_id: dict[str, str]) -> _Plan:
    """Follow the sample row by row where it names the same classes for every id, else by ids alone."""
    assert block.class_column is not None, "a class plan needs a class column"
    texts = table.column(block.class_column)
    planes = [_plane(text, task, f"{table.path}:{line}") for text, line in zip(texts, table.lines, strict=True)]
    ids = table.column(block.key_column)
    pairs = list(zip(ids, planes, strict=True))
    twins = [(name, task.classes[plane]) for name, plane in pairs]
    refuse_repeated(table, twins, "id '{}' and class '{}'", "mend the sample")
    named = dict(zip(planes, texts, strict=True))
    ours = _written_classes(task)
    if len(pairs) != len(by_id) * len(named):
        note = f"{table.path.name} names other classes for other ids; its order of ids was kept, each with every class"
        spelt = [(plane, named.get(plane, task.classes[plane])) for plane in ours]
        lines = [_Line(by_id[text], plane, name) for text in dict.fromkeys(ids) for plane, name in spelt]
        return _Plan(table.header, tuple(lines), (note,))
    absent = [task.classes[plane] for plane in ours if plane not in named]
    note = f"classes left out because {table.path.name} does not name them: {', '.join(absent)}"
    lines = [_Line(by_id[text], plane, named[plane]) for text, plane in pairs]
    return _Plan(table.header, tuple(lines), (note,) if absent else ())


def _plane(text: str, task: Task, where: str) -> int:
    if text in task.classes:
        return task.classes.index(text)
    if text.isdecimal() and int(text) < len(task.classes):
        return int(text)
    raise unknown("class", text, task.classes, where)
