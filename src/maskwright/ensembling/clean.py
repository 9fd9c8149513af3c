"""Take small pieces out of an answer and fill small holes, and count what that does for all sizes at once."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray
from pydantic import Field

from maskwright.core.labels import Task
from maskwright.core.recipe.base import Block
from maskwright.scoring.measures import Measure, Sums

AREAS = (0, 8, 16, 32, 64, 128, 256, 512, 1024, 2048, 4096)
"""Pieces smaller than one of these, in pixels, may be taken away."""
HOLES = (0, 16, 64, 256, 1024, 4096)
"""Holes up to one of these, in pixels, may be filled."""
ENDLESS = int(np.iinfo(np.int64).max)
Label = NDArray[np.uint8]
Table = NDArray[np.int32]
"""Counts tp, fp, fn, tn of one item for every size. Planes: (K, HOLES, AREAS, 4). Multiclass: what taking away the
small pieces of each class changes, (C, AREAS, 4, C)."""


class Cleaning(Block):
    """How an answer is cleaned; holes are filled first."""

    least: tuple[int, ...] = ()
    """Pieces of a plane (or class) with fewer pixels are taken away; 8-connected. Empty: none."""
    holes: tuple[int, ...] = Field(default=())
    """Holes of a plane with so many pixels or fewer are filled; 4-connected. Empty: none, and for multiclass."""

    @property
    def nothing(self) -> bool:
        """Whether it changes no answer."""
        return not any(self.least) and not any(self.holes)

    def in_words(self, names: Sequence[str]) -> str:
        """Say what is done to which class."""
        parts = [f"{name} pieces < {least} px" for name, least in zip(names, self.least, strict=False) if least]
        parts += [f"{name} holes <= {hole} px" for name, hole in zip(names, self.holes, strict=False) if hole]
        return ", ".join(parts) or "nothing"


def clean(label: Label, cleaning: Cleaning, task: Task, probability: NDArray[Any]) -> Label:
    """Clean an answer.

    Args:
        label: uint8 (H, W), or (K, H, W) for multilabel.
        cleaning: what to do.
        task: gives the label's shape.
        probability: (K, H, W), any numbers that grow with it; in multiclass a small piece goes to the next
            likeliest class.

    Returns:
        the same form; the given array where nothing is to be done.
    """
    if cleaning.nothing:
        return label
    if task.kind == "multiclass":
        numbers, areas, kinds = _pieces(label)
        small = (areas < np.array(cleaning.least or (0,) * task.planes)[kinds])[numbers]
        return np.where(small, _second(probability, label), label) if small.any() else label
    planes = label if task.kind == "multilabel" else label[None]
    sizes = zip(cleaning.least or (0,) * len(planes), cleaning.holes or (0,) * len(planes), strict=True)
    done = np.stack([_clean_plane(plane, *each) for plane, each in zip(planes, sizes, strict=True)])
    return done if task.kind == "multilabel" else done[0]


def measure(
    label: Label,
    probability: NDArray[Any],
    truth: Label,
    valid: NDArray[np.bool_],
    task: Task,
    between: Callable[[], None] | None = None,
) -> Table:
    """Count an item's answer for every size at once.

    Args:
        label: the answer, not cleaned.
        probability: as in clean.
        truth: the label, of the same form.
        valid: bool (H, W).
        task: what is predicted.
        between: called between planes; may raise.
    """
    if task.kind == "multiclass":
        return _changes(label, probability, truth, valid, task.planes)
    shape = (task.planes, *valid.shape)
    planes, truths = label.reshape(shape), truth.reshape(shape)
    tables = []
    for plane, true in zip(planes, truths, strict=True):
        if between is not None:
            between()
        tables.append(_plane_table(plane, true, valid))
    return np.stack(tables)


def lifted(table: Table, base: NDArray[np.int64], measure: Measure, task: Task) -> Sums:
    """Turn one item's table into what adds up over items.

    Args:
        table: from `measure`.
        base: tp, fp, fn, tn of the item without cleaning, (4, K).
        measure: the score.
        task: what is predicted.

    Returns:
        the table itself where pixels are pooled; else sums of scores, (HOLES, AREAS, S, K), or (C, AREAS, S, C) for
        multiclass, where each class is cleaned alone.
    """
    if measure.pooled:
        return table
    if task.kind == "multiclass":
        return measure.lift(base + table)
    return measure.lift(np.moveaxis(table, 0, -1))


def best(table: Sums, base: Sums, measure: Measure, task: Task) -> Cleaning:
    """Return the sizes with the highest score; among equals the smallest.

    Args:
        table: `lifted`, summed over items.
        base: tp, fp, fn, tn without cleaning, or their sums of scores, (S, K), summed over items.
        measure: the score.
        task: what is predicted.
    """
    if task.kind == "multiclass":
        least = [0] * task.planes
        counts = base.astype(np.float64)
        for kind in range(task.planes):
            options = counts + (table[kind] if measure.pooled else table[kind] - base)
            scores = np.nan_to_num(measure.mean(options))
            place = int(scores.argmax())
            least[kind], counts = AREAS[place], options[place]
        return Cleaning(least=tuple(least))
    sums = np.moveaxis(table, 0, -1) if measure.pooled else table
    scores = np.nan_to_num(np.moveaxis(measure.classes(sums), -1, 0))
    places = [np.unravel_index(int(plane.argmax()), plane.shape) for plane in scores]
    return Cleaning(least=tuple(AREAS[a] for _, a in places), holes=tuple(HOLES[h] for h, _ in places))


def counts_of(table: NDArray[Any], base: NDArray[np.int64], cleaning: Cleaning, task: Task) -> NDArray[np.int64]:
    """Return tp, fp, fn, tn under a cleaning, int64 (4, K)."""
    if cleaning.nothing:
        return base
    if task.kind == "multiclass":
        places = [AREAS.index(least) for least in cleaning.least]
        return np.asarray(base + table[range(len(places)), places].sum(0, dtype=np.int64))
    chosen = [
        table[plane, HOLES.index(hole), AREAS.index(least)]
        for plane, (hole, least) in enumerate(zip(cleaning.holes, cleaning.least, strict=True))
    ]
    return np.stack(chosen, axis=1).astype(np.int64)


def _pieces(label: Label, straight: int = -1) -> tuple[NDArray[np.int32], NDArray[np.int64], NDArray[np.int64]]:
    """Number the connected pieces of all classes from 0; return numbers (H, W), and pixels and class of each.

    Args:
        label: uint8 (H, W).
        straight: the class whose pieces are 4-connected; the others are 8-connected.
    """
    from maskwright.ensembling import clean_kernels as kernels

    numbers = np.empty(label.shape, np.int32)
    areas, kinds = kernels.number_classes(np.ascontiguousarray(label), numbers, straight)
    return numbers, areas, kinds


def _holes(numbers: NDArray[np.int32], areas: NDArray[np.int64], kinds: NDArray[np.int64]) -> NDArray[np.int64]:
    """Return the pixels of each piece of class 0 that is a hole; endless for others: those that touch the edge too."""
    sizes = np.where(kinds == 0, areas, ENDLESS)
    for edge in (numbers[0], numbers[-1], numbers[:, 0], numbers[:, -1]):
        sizes[edge] = ENDLESS
    return sizes


def _clean_plane(mask: Label, least: int, hole: int) -> Label:
    """Fill holes of at most so many pixels, and take away what is then smaller than some."""
    if hole:
        numbers, *about = _pieces(mask, 0)
        mask = np.asarray(mask | (_holes(numbers, *about) <= hole)[numbers], np.uint8)
    if not least:
        return mask
    numbers, areas, kinds = _pieces(mask, 0)
    return ((kinds > 0) & (areas >= least))[numbers].astype(np.uint8)


def _second(probability: NDArray[Any], label: Label) -> Label:
    """Return the next likeliest class of each pixel, the lowest among equals."""
    from maskwright.ensembling import clean_kernels as kernels

    known = probability.dtype in (np.int32, np.int64)
    values = np.ascontiguousarray(probability, None if known else np.float64).reshape(len(probability), -1)
    second = np.empty(label.shape, np.uint8)
    kernels.second_classes(values, np.ascontiguousarray(label).reshape(-1), second.reshape(-1))
    return second


def _plane_table(mask: Label, truth: Label, valid: NDArray[np.bool_]) -> Table:
    from maskwright.ensembling import clean_kernels as kernels

    true = (truth > 0) & valid
    number, positive = int(valid.sum()), int(true.sum())
    rows, cols = (np.flatnonzero(mask.any(axis)) for axis in (1, 0))
    if not rows.size:
        nothing = np.array([0, 0, positive, number - positive], np.int32)
        return np.broadcast_to(nothing, (len(HOLES), len(AREAS), 4)).copy()
    part = slice(max(rows[0] - 1, 0), rows[-1] + 2), slice(max(cols[0] - 1, 0), cols[-1] + 2)
    mask, true, valid = mask[part], true[part], valid[part]  # the rest is outside whatever is done
    kept = np.zeros((len(HOLES), len(AREAS), 2), np.int64)
    numbers, sizes = _nodes(mask)
    true_bytes, valid_bytes = (np.ascontiguousarray(part).reshape(-1).view(np.uint8) for part in (true, valid))
    sums = np.zeros((sizes.size, 3), np.int64)
    kernels.sum_nodes(numbers, true_bytes, valid_bytes, sums)
    pairs = kernels.find_touches(numbers, sizes)
    kernels.count_sizes(sums, pairs, sizes, np.array(HOLES, np.int64), np.array(AREAS, np.int64), kept)
    hits, said = kept[..., 0], kept[..., 1]
    return np.stack([hits, said - hits, positive - hits, number - positive - said + hits], -1).astype(np.int32)


def _nodes(mask: Label) -> tuple[NDArray[np.int32], NDArray[np.int64]]:
    """Number pieces, and then holes that may be filled; return numbers, and pixels of each hole (0 for pieces)."""
    numbers, areas, kinds = _pieces(mask, 0)
    sizes = _holes(numbers, areas, kinds)
    inside = sizes <= HOLES[-1]
    pieces = int((kinds > 0).sum())
    names = np.where(kinds > 0, (kinds > 0).cumsum(), np.where(inside, pieces + inside.cumsum(), 0)).astype(np.int32)
    first = np.zeros(1 + pieces, np.int64)
    first[0] = ENDLESS
    return names[numbers], np.concatenate([first, sizes[inside]])


def _changes(label: Label, probability: NDArray[Any], truth: Label, valid: NDArray[np.bool_], classes: int) -> Table:
    from maskwright.ensembling import clean_kernels as kernels

    table = np.zeros((classes, len(AREAS), 4, classes), np.int64)
    numbers, areas, _ = _pieces(label)
    steps = np.searchsorted(AREAS, areas, side="right")  # the first size that takes it away
    flat = [np.ascontiguousarray(part).reshape(-1).view(np.uint8) for part in (label, truth, valid)]
    second = _second(probability, label).reshape(-1)
    kernels.count_changes(flat[0], second, flat[1], flat[2], numbers.reshape(-1), steps, table)
    return table.cumsum(1).astype(np.int32)
