"""The rule for near duplicates and its limits: copies, mirrored or turned images, and ones that overlap in part.

Every image leaves a thumbnail of 64 x 64 and up to 192 marks: spots with 128 comparisons of their
surroundings, taken in a frame that turns and mirrors with the spot (Calonder et al. 2010, BRIEF, made
upright by the eight symmetries). Likely pairs come from sorted marks and from thumbnails, never from all
against all; each is then proven, or dropped, by correlating details where the two overlap.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import lru_cache
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from maskwright.data.audit.small import Small

MOST_MARKS = 192
LEVELS = 3
OCTAVE = 3
"""Levels in which size halves; they lie at fixed fractions of the native size, so that crops share them."""
REACH = 14
"""Farthest pixel that a mark is described by."""
ENLARGED = 160
"""Smaller copies are also looked at at twice their size, or their border would leave too few marks."""
DISC = 9
"""Radius of the disc whose centre of gravity fixes a mark's frame."""
CELLS = 4
"""Marks are spread over 4 x 4 parts of an image."""
LEAST_CONTRAST = 0.35
"""Grey levels by which a mark stands out, at least."""
THUMB = 64


class Pair(NamedTuple):
    """Two images that show the same thing."""

    a: str
    """Key; of the first set where there are two."""
    b: str
    how: str
    """copy: the whole, as it is; turned: the whole, mirrored or turned; overlap: a part of the scene."""
    score: float
    """Correlation of details where the two overlap, 0..1."""


@dataclass(frozen=True)
class Description:
    """What is kept of an image to find others like it: at most 8 KB."""

    thumb: NDArray[np.uint8]
    """(64, 64), grey, the whole image whatever its aspect."""
    height: int
    """Of the image, in pixels."""
    width: int
    words: NDArray[np.uint64]
    """(N, 2): 128 comparisons for each mark."""
    places: NDArray[np.uint8]
    """(N, 4): row and column in 256ths of the image, level + 3, number of the symmetry."""


def describe(small: Small) -> Description:
    """Reduce an image to what pairs needs; about 1 ms.

    Args:
        small: the small copy of an item.
    """
    import cv2

    grey = small.image[:, :, 0] if small.image.shape[2] == 1 else cv2.cvtColor(small.image, cv2.COLOR_RGB2GRAY)
    grey = np.ascontiguousarray(grey)
    thumb = cv2.resize(grey, (THUMB, THUMB), interpolation=cv2.INTER_AREA)
    finest = int(np.ceil(-OCTAVE * np.log2(small.scale) - 1e-3))
    steps = range(-OCTAVE if max(grey.shape) <= ENLARGED else 0, LEVELS)
    shares = np.array([2.0 ** (-max(step, 0) / OCTAVE) for step in steps])
    parts = []
    for step, share in zip(steps, shares / shares.sum(), strict=True):
        ratio = 2 ** (-(finest + step) / OCTAVE) / small.scale
        words, places = _marks_of_level(grey, ratio, int(MOST_MARKS * share))
        places[:, 2] = finest + step + OCTAVE
        parts.append((words, places))
    words, places = (np.concatenate(column) for column in zip(*parts, strict=True))
    return Description(thumb, small.height, small.width, words, places)


def _marks_of_level(grey: NDArray[np.uint8], ratio: float, most: int) -> tuple[NDArray[np.uint64], NDArray[np.uint8]]:
    """Find and describe the clearest marks of one level, spread over the image."""
    import cv2

    from maskwright.data.leaks.kernels import write_words

    height, width = (round(side * ratio) for side in grey.shape)
    if min(height, width) < 2 * REACH + 5:
        return np.zeros((0, 2), np.uint64), np.zeros((0, 4), np.uint8)
    level = grey if (height, width) == grey.shape else cv2.resize(grey, (width, height), interpolation=cv2.INTER_LINEAR)
    fine = cv2.GaussianBlur(level.astype(np.float32), (5, 5), 1.0)
    smooth = cv2.GaussianBlur(fine, (9, 9), 1.6)
    spots = np.abs(fine - smooth)
    top = (spots >= LEAST_CONTRAST) & (spots == cv2.dilate(spots, np.ones((5, 5), np.uint8)))
    inner = np.flatnonzero(top[REACH + 1 : -REACH - 1, REACH + 1 : -REACH - 1])
    places = np.stack(np.divmod(inner, width - 2 * REACH - 2), axis=1) + (REACH + 1)
    chosen = _spread(places, spots[places[:, 0], places[:, 1]], (height, width), most)
    words, turns = np.empty((len(chosen), 2), np.uint64), np.empty(len(chosen), np.uint8)
    write_words(smooth, chosen, len(chosen), _tests(), DISC, words, turns)
    rows = np.zeros((len(chosen), 4), np.uint8)
    rows[:, 0] = (chosen[:, 0] * 256 + 128) // height
    rows[:, 1] = (chosen[:, 1] * 256 + 128) // width
    rows[:, 3] = turns
    return words, rows


def _spread(
    places: NDArray[np.int64], strength: NDArray[np.float32], shape: tuple[int, int], most: int
) -> NDArray[np.int64]:
    """Keep the strongest marks of each part of the image; what parts leave over goes to the strongest of all."""
    from maskwright.data.leaks.kernels import spread

    order = np.argsort(-strength, kind="stable")
    cells = places[:, 0] * CELLS // shape[0] * CELLS + places[:, 1] * CELLS // shape[1]
    chosen = np.empty(min(most, len(order)), np.int64)
    spread(order, cells, CELLS**2, chosen)
    return places[chosen]


@lru_cache(maxsize=1)
def _tests() -> NDArray[np.int64]:
    """Return the offsets that are compared, under each symmetry: int64 (8, 128, 4).

    Points lie on a sunflower's spiral, dense and even, and each is compared with the one 13 farther on, its
    neighbour across a gap.
    """
    number = np.arange(128)
    radius = (REACH - 0.5) * np.sqrt((number + 0.5) / 128)
    angle = number * np.pi * (3 - np.sqrt(5))
    row, col = np.rint(radius * np.sin(angle)).astype(np.int64), np.rint(radius * np.cos(angle)).astype(np.int64)
    mate = (number + 13) % 128
    tests = np.empty((8, 128, 4), np.int64)
    for turn in range(8):
        down, right = (col, row) if turn & 4 else (row, col)
        down, right = down * (-1 if turn & 1 else 1), right * (-1 if turn & 2 else 1)
        tests[turn] = np.stack([down, right, down[mate], right[mate]], axis=1)
    return tests


def pairs(train: Mapping[str, Description], other: Mapping[str, Description] | None = None) -> list[Pair]:
    """Find images that show the same thing.

    Args:
        train: key -> description.
        other: a second set; None: pairs within the first are sought, else only those that join the two.

    Returns:
        each pair once, the surest first; a before b in the order of keys where there is one set.
    """
    from maskwright.data.leaks.search import search

    return [Pair(*row) for row in search(train, other)]
