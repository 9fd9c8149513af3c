"""Compiled passes for clean.py: what filling holes and taking pieces away does, for all sizes at once.

Pieces and holes are nodes. A hole that is filled joins all that it touches, and each size of holes only adds joins to
those before, so that an image is gone through once.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numba import types
from numpy.typing import NDArray

from maskwright.core.compiled import BYTES, BYTES_OUT, NUMBERS, helper, kernel

Numbers = NDArray[np.int64]
Bytes = NDArray[np.uint8]

BLOCK = 1024
"""Pixels looked at class by class: their buffers stay in the fastest cache."""
_NUMBERED = types.Array(types.int32, 2, "C", readonly=True)
_LABEL = types.Array(types.uint8, 2, "C", readonly=True)
_CHANGES = types.Array(types.int64, 4, "C")
_TABLE = types.Array(types.int64, 2, "C")


def _second_of(kind: Any) -> Any:
    return types.void(types.Array(kind, 2, "C", readonly=True), BYTES, BYTES_OUT)


@kernel(types.void(_NUMBERED, BYTES, BYTES, _TABLE))
def sum_nodes(numbers: Any, truth: Bytes, valid: Bytes, sums: Any) -> None:
    """Add up the pixels of each node.

    Args:
        numbers: int32 (H, W): 0 neither, 1..P a piece (8-connected), P + 1.. a hole (4-connected).
        truth: uint8 (H * W,), 1 where true and valid.
        valid: uint8 (H * W,), 1 where valid.
        sums: int64 (nodes, 3), added to: true ones, valid ones, all.
    """
    flat = numbers.reshape(-1)
    begin = 0
    while begin < flat.size:
        node, end = flat[begin], begin
        hits = counted = 0
        while end < flat.size and flat[end] == node:
            hits += truth[end]
            counted += valid[end]
            end += 1
        sums[node, 0] += hits
        sums[node, 1] += counted
        sums[node, 2] += end - begin
        begin = end


@kernel(_TABLE(_NUMBERED, NUMBERS))
def find_touches(numbers: Any, sizes: Numbers) -> Any:
    """Return pairs of a hole and something else that it touches, int64 (E, 2); some pairs come more than once.

    Args:
        numbers: as in sum_nodes.
        sizes: int64 (nodes,), 0 for pieces, pixels of each hole.
    """
    height, width = numbers.shape
    pairs, found = np.empty((256, 2), np.int64), 0
    for row in range(height):
        for col in range(width):
            node = numbers[row, col]
            if node == 0 or sizes[node] == 0:
                continue
            for near in range(max(row - 1, 0), min(row + 2, height)):
                for side in range(max(col - 1, 0), min(col + 2, width)):
                    other = numbers[near, side]
                    known = found > 0 and pairs[found - 1, 0] == node and pairs[found - 1, 1] == other
                    if other > 0 and other != node and not known:
                        if found == len(pairs):
                            pairs = np.concatenate((pairs, pairs))
                        pairs[found, 0], pairs[found, 1] = node, other
                        found += 1
    return pairs[:found].copy()


@helper
def _join(parent: Any, one: int, other: int) -> None:
    """Make two numbers one; the lower stands for both, so no number has a higher parent."""
    while parent[one] != one:
        parent[one] = parent[parent[one]]
        one = parent[one]
    while parent[other] != other:
        parent[other] = parent[parent[other]]
        other = parent[other]
    if one < other:
        parent[other] = one
    else:
        parent[one] = other


@helper
def _name_roots(parent: Any, found: Any) -> Any:
    """Replace what each number belongs to by the number of its piece, and return how many pieces there are."""
    pieces = np.int32(0)
    for number in range(found):
        if parent[number] == number:
            parent[number] = pieces
            pieces += 1
        else:
            parent[number] = parent[parent[number]]
    return pieces


@kernel(_TABLE(_LABEL, types.Array(types.int32, 2, "C"), types.int64))
def number_classes(label: Any, numbers: Any, straight: int) -> Any:
    """Number the 8-connected pieces of all classes at once, from 0.

    One pass with a union-find over equal neighbours (Rosenfeld and Pfaltz 1966, with the decision tree of Wu, Otoo and
    Suzuki 2009 by which most pixels look at one neighbour alone), and one that names the roots.

    Args:
        label: uint8 (H, W).
        numbers: int32 (H, W), filled.
        straight: the class whose pieces are 4-connected; -1: none.

    Returns:
        int64 (2, pieces), pixels and class of each.
    """
    height, width = label.shape
    parent = np.empty(label.size, np.int32)
    found = np.int32(0)
    for row in range(height):
        for col in range(width):
            mine = label[row, col]
            bent = mine != straight
            left = col > 0 and label[row, col - 1] == mine
            if row > 0 and label[row - 1, col] == mine:
                numbers[row, col] = numbers[row - 1, col]
                if left and not bent:  # others have met at the corner before
                    _join(parent, numbers[row, col], numbers[row, col - 1])
                continue
            above = bent and row > 0 and col > 0 and label[row - 1, col - 1] == mine
            right = bent and row > 0 and col + 1 < width and label[row - 1, col + 1] == mine
            if left:
                numbers[row, col] = numbers[row, col - 1]
            elif above:
                numbers[row, col] = numbers[row - 1, col - 1]
            elif right:
                numbers[row, col] = numbers[row - 1, col + 1]
            else:
                numbers[row, col] = found
                parent[found] = found
                found += 1
            if right and (left or above):
                _join(parent, numbers[row, col], numbers[row - 1, col + 1])
    pieces = _name_roots(parent, found)
    about = np.zeros((2, pieces), np.int64)
    flat, kinds = numbers.reshape(-1), label.reshape(-1)
    for place in range(flat.size):
        number = parent[flat[place]]
        flat[place] = number
        about[0, number] += 1
        about[1, number] = kinds[place]
    return about


@kernel([_second_of(kind) for kind in (types.int32, types.int64, types.float64)])
def second_classes(values: Any, label: Bytes, second: Bytes) -> None:
    """Write the class of the largest value of each pixel but for its own class, the lowest among equals.

    Args:
        values: (C, N), C >= 2.
        label: uint8 (N,), the own classes.
        second: uint8 (N,), filled.
    """
    highest = np.empty(BLOCK, values.dtype)
    for begin in range(0, label.size, BLOCK):
        end = min(begin + BLOCK, label.size)
        own, best, first, other = label[begin:end], second[begin:end], values[0, begin:end], values[1, begin:end]
        for place in range(own.size):
            best[place] = np.uint8(1) if own[place] == 0 else np.uint8(0)
            highest[place] = other[place] if own[place] == 0 else first[place]
        for kind in range(1, values.shape[0]):
            number, row = np.uint8(kind), values[kind, begin:end]
            for place in range(own.size):
                taken = (row[place] > highest[place]) & (own[place] != number)
                best[place] = number if taken else best[place]
                highest[place] = row[place] if taken else highest[place]


@kernel(types.void(BYTES, BYTES, BYTES, BYTES, types.Array(types.int32, 1, "C", readonly=True), NUMBERS, _CHANGES))
def count_changes(
    label: Bytes, second: Bytes, truth: Bytes, valid: Bytes, numbers: Any, steps: Numbers, table: Any
) -> None:
    """Count what changes where small pieces go to the next likeliest class.

    Args:
        label: uint8 (N,), the answer.
        second: uint8 (N,), from second_classes.
        truth: uint8 (N,).
        valid: uint8 (N,), 1 where valid.
        numbers: int32 (N,), piece of each pixel.
        steps: int64 (pieces,), first size that takes it away; A or more: none.
        table: int64 (C, A, 4, C), added to: change of tp, fp, fn, tn of each class where a class first loses a pixel.
    """
    for place in range(label.size):
        step = steps[numbers[place]]
        if step < table.shape[1] and valid[place] != 0:
            mine, other, true = label[place], second[place], truth[place]
            cell = table[mine, step]
            cell[0 if mine == true else 1, mine] -= 1
            cell[2 if mine == true else 3, mine] += 1
            cell[0 if other == true else 1, other] += 1
            cell[2 if other == true else 3, other] -= 1


@helper
def _root(parent: Numbers, node: int) -> int:
    """Return the node that stands for all that are joined with one."""
    while parent[node] != node:
        parent[node] = parent[parent[node]]
        node = parent[node]
    return node


@kernel(types.void(_TABLE, _TABLE, NUMBERS, NUMBERS, NUMBERS, types.Array(types.int64, 3, "C")))
def count_sizes(sums: Any, pairs: Any, sizes: Numbers, holes: Numbers, areas: Numbers, table: Any) -> None:
    """Add up true and valid pixels that are left for each size of holes and of pieces.

    Args:
        sums: from sum_nodes; changed.
        pairs: from find_touches.
        sizes: int64 (nodes,), as there; for node 0 more than any hole that is filled.
        holes: ascending: holes of at most so many pixels are filled.
        areas: ascending: pieces of fewer pixels are taken away.
        table: int64 (holes, areas, 2), added to.
    """
    parent = np.arange(sizes.size)
    for level in range(holes.size):
        for pair in range(len(pairs)):
            if max(sizes[pairs[pair, 0]], sizes[pairs[pair, 1]]) > holes[level]:
                continue
            one, other = _root(parent, pairs[pair, 0]), _root(parent, pairs[pair, 1])
            if one != other:
                parent[other] = one
                for part in range(3):
                    sums[one, part] += sums[other, part]
        for node in range(1, sizes.size):
            if parent[node] == node and sizes[node] <= holes[level]:
                column = 0
                while column < areas.size and sums[node, 2] >= areas[column]:
                    table[level, column, 0] += sums[node, 0]
                    table[level, column, 1] += sums[node, 1]
                    column += 1
