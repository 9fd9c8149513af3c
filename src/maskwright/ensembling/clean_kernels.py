"""Compiled passes for clean.py: what filling holes and taking pieces away does, for all sizes at once.

Pieces and holes are nodes. A hole that is filled joins all that it touches, and each size of holes only adds joins to
those before, so that an image is gone through once.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numba import types
from numpy.typing import NDArray

from maskwright.core.compiled import BYTES, NUMBERS, helper, kernel

Numbers = NDArray[np.int64]
Bytes = NDArray[np.uint8]

_NUMBERED = types.Array(types.int32, 2, "C", readonly=True)
_TABLE = types.Array(types.int64, 2, "C")


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
