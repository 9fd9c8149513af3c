"""Compiled passes over bytes for the audit: a digest at the speed of memory, and how often each value occurs."""

from __future__ import annotations

import numpy as np
from numba import types
from numpy.typing import NDArray

from maskwright.core.compiled import BYTES, NUMBERS_OUT, Word, helper, kernel, load8

Bytes = NDArray[np.uint8]
Numbers = NDArray[np.int64]
Parts = NDArray[np.uint32]

_ODD = np.uint64(0x9E3779B185EBCA87)
_PRIME = np.uint64(0xC2B2AE3D27D4EB4F)
_LEFT, _RIGHT = np.uint64(31), np.uint64(33)
_PARTS = types.Array(types.uint32, 1, "C")
_EACH = np.uint64(0x0101010101010101)


@helper
def _mix(state: Word, word: Word) -> Word:
    """Take 8 bytes into a state; one-to-one in either, so that one changed word always changes the state."""
    turned = state + word * _PRIME
    return ((turned << _LEFT) | (turned >> _RIGHT)) * _ODD


@kernel(types.void(BYTES, NUMBERS_OUT))
def mix(data: Bytes, states: Numbers) -> None:
    """Mix bytes into four states of 64 bits, as xxHash does (Collet 2014); the caller binds them together.

    Args:
        data: any bytes.
        states: 4 numbers, changed in place.
    """
    first, second = np.uint64(states[0]), np.uint64(states[1])
    third, fourth = np.uint64(states[2]), np.uint64(states[3])
    end = data.size - data.size % 32
    for place in range(0, end, 32):
        first = _mix(first, load8(data, place))
        second = _mix(second, load8(data, place + 8))
        third = _mix(third, load8(data, place + 16))
        fourth = _mix(fourth, load8(data, place + 24))
    for place in range(end, data.size):
        first = _mix(first, np.uint64(data[place]))
    states[0], states[1] = np.int64(first), np.int64(second)
    states[2], states[3] = np.int64(third), np.int64(fourth)


@kernel(types.void(BYTES, NUMBERS_OUT))
def tally(data: Bytes, counts: Numbers) -> None:
    """Count how often each byte occurs.

    Eight equal bytes, as labels mostly have, are counted at once. Else four tables by turns: adding to one cell twice
    in a row makes the chip wait.

    Args:
        data: any bytes.
        counts: 1024 zeros, four tables of 256 in a row.
    """
    end = data.size - data.size % 8
    for place in range(0, end, 8):
        word = load8(data, place)
        if word == (word & np.uint64(0xFF)) * _EACH:
            counts[np.int64(word & np.uint64(0xFF))] += 8
            continue
        for lane in range(4):
            counts[lane * 256 + np.int64(word & np.uint64(0xFF))] += 1
            word >>= np.uint64(8)
            counts[lane * 256 + np.int64(word & np.uint64(0xFF))] += 1
            word >>= np.uint64(8)
    for place in range(end, data.size):
        counts[data[place]] += 1


@kernel(types.void(BYTES, _PARTS, _PARTS))
def add_rows(data: Bytes, sums: Parts, squares: Parts) -> None:
    """Add up rows of bytes column by column, and their squares.

    Args:
        data: rows as long as sums, at most 65,536 of them, or the sums overflow.
        sums: uint32, changed in place.
        squares: likewise.
    """
    width = sums.size
    for base in range(0, data.size, width):
        row = data[base : base + width]
        for place in range(width):  # made of vectors, as long as 32 bits are not widened to 64
            value = np.uint32(row[place])
            sums[place] += value
            squares[place] += np.uint32(value * value)


@kernel(types.int64(BYTES))
def changes(data: Bytes) -> int:
    """Count places where a byte differs from the one before it."""
    found = 0
    for place in range(1, data.size):
        found += data[place] != data[place - 1]
    return found


@helper
def _root(parents: Numbers, run: int) -> int:
    while parents[run] != run:
        parents[run] = parents[parents[run]]
        run = parents[run]
    return run


@helper
def _join(parents: Numbers, one: int, other: int) -> None:
    one, other = _root(parents, one), _root(parents, other)
    if one < other:
        parents[other] = one
    else:
        parents[one] = other


@kernel(types.int64(BYTES, types.int64, types.int64, NUMBERS_OUT, NUMBERS_OUT))
def components(label: Bytes, cols: int, skip: int, runs: Numbers, parents: Numbers) -> int:
    """Find the connected pieces of every value in one pass over runs; neighbours also touch at corners.

    Args:
        label: rows of `cols` values, one after the other.
        cols: values a row, >= 1.
        skip: a value whose pieces are not wanted; -1: none.
        runs: room for 4 numbers a run; afterwards value, first column, column after the last, and for the first
            run of each piece its pixels (else 0).
        parents: room for one number a run; changed in place.

    Returns:
        Number of runs.
    """
    total = above_begin = above_end = 0
    for base in range(0, label.size, cols):
        begin, col = total, 0
        while col < cols:
            first, value = col, label[base + col]
            while col < cols and label[base + col] == value:
                col += 1
            if value != skip:
                parents[total] = total
                runs[4 * total], runs[4 * total + 1], runs[4 * total + 2] = value, first, col
                total += 1
        above = above_begin
        for run in range(begin, total):
            value, first, last = runs[4 * run], runs[4 * run + 1], runs[4 * run + 2]
            while above < above_end and runs[4 * above + 2] < first:
                above += 1
            other = above
            while other < above_end and runs[4 * other + 1] <= last:
                if runs[4 * other] == value:
                    _join(parents, run, other)
                other += 1
        above_begin, above_end = begin, total
    for run in range(total):
        runs[4 * run + 3] = 0
    for run in range(total):
        runs[4 * _root(parents, run) + 3] += runs[4 * run + 2] - runs[4 * run + 1]
    return total
