"""Compiled halves of votes_classes.py: class ids from text, the heaviest class of each pixel, and back to text."""

from __future__ import annotations

from typing import Any

import numpy as np
from numba import types
from numpy.typing import NDArray

from maskwright.core.compiled import BYTES, BYTES_OUT, NUMBERS, differs64, kernel, outside64

Bytes = NDArray[np.uint8]
Numbers = NDArray[np.int64]

_TABLE = types.Array(types.int64, 2, "C", readonly=True)
_LABELS = types.Array(types.uint8, 2, "C")
_EVEN = np.uint64(0x5555555555555555)
_SPACE, _FEED = 32, 10


@kernel(types.int64(BYTES, types.int64, types.int64, BYTES_OUT))
def read_labels(data: Bytes, begin: int, end: int, labels: Bytes) -> int:
    """Read class ids 0..255 between white space.

    Args:
        data: the file.
        begin: first byte of the text.
        end: byte past it.
        labels: filled; room for half the bytes and one more.

    Returns:
        how many there are, or -1 - the place of the byte that does not belong there.
    """
    count, at = 0, begin
    value: Any = 0
    digits = 0
    while at < end:
        # nearly always: 32 single digits, each with one space behind it
        wide = digits == 0 and at + 64 <= end  # never past the file, since `end` is not
        if wide and outside64(data, at, 48, 57) == ~_EVEN and differs64(data, at, _SPACE) == _EVEN:
            for place in range(32):
                labels[count + place] = data[at + 2 * place] - np.uint8(48)
            count += 32
            at += 64
            continue
        byte = data[at]
        if byte >= 48 and byte <= 57:
            value = value * 10 + np.int64(byte) - 48
            digits += 1
            if value > 255 or digits > 3:
                return -1 - at
        elif byte == _SPACE or (byte >= 9 and byte <= 13):
            if digits:
                labels[count] = value
                count += 1
                value = digits = 0
        else:
            return -1 - at
        at += 1
    if digits:
        labels[count] = value
        count += 1
    return count


@kernel(types.void(_LABELS, _TABLE, NUMBERS, NUMBERS, types.int64))
def vote_labels(labels: Bytes, program: Numbers, inputs: Numbers, weights: Numbers, pixels: int) -> None:
    """Give each pixel the class with most weight, the lowest id where several have as much.

    Args:
        labels: uint8 (M + S, P); the first M rows are the files', the others are filled, one for each step.
        program: int64 (S, 2) steps: first of its inputs, past the last of them.
        inputs: rows of labels.
        weights: of the inputs.
        pixels: of each row, at most P.
    """
    steps = program.shape[0]
    files = labels.shape[0] - steps
    sums = np.zeros(256, np.int64)
    for step in range(steps):
        first, last = program[step, 0], program[step, 1]
        out, top = labels[files + step], labels[inputs[first]]
        for pixel in range(pixels):
            same = True
            for voter in range(first + 1, last):
                same &= labels[inputs[voter], pixel] == top[pixel]
            if same:
                out[pixel] = top[pixel]
                continue
            for voter in range(first, last):
                sums[labels[inputs[voter], pixel]] += weights[voter]
            best = np.int64(top[pixel])
            for voter in range(first + 1, last):
                kind = np.int64(labels[inputs[voter], pixel])
                if sums[kind] > sums[best] or (sums[kind] == sums[best] and kind < best):
                    best = kind
            for voter in range(first, last):
                sums[labels[inputs[voter], pixel]] = 0
            out[pixel] = best


@kernel(types.int64(BYTES, BYTES_OUT, types.int64))
def write_labels(labels: Bytes, text: Bytes, at: int) -> int:
    """Write class ids with one space between them and a line feed at the end; return the place after it.

    Args:
        labels: uint8 (P,), P > 0.
        text: room for 4 bytes a pixel from `at`.
        at: where to begin.
    """
    for pixel in range(labels.size):
        value = np.int64(labels[pixel])
        if value >= 100:
            text[at] = 48 + value // 100
            at += 1
        if value >= 10:
            text[at] = 48 + value // 10 % 10
            at += 1
        text[at] = 48 + value % 10
        text[at + 1] = _SPACE
        at += 2
    text[at - 1] = _FEED
    return at
