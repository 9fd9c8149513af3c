"""A random field on a raster of labels of any size: block by block, each with all around it that can matter.

Messages of mean field reach a bounded number of pixels in so many steps (`crf.reach`), so a block that is refined with
that much around it has the answers that the whole raster would have. Rows come from the top and go on as soon as they
are answered; what is held are the rows of one row of blocks and of their surroundings.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass

import numpy as np

from maskwright.core.grid import Shape, Window
from maskwright.core.recipe.crf import Crf
from maskwright.ensembling.crf import Label, reach, refine

SIDES = (1024, 512, 256, 128, 64)
"""Of blocks, in pixels; the largest that fits is taken, since the surroundings are computed again for each."""
ARRAYS = 7
"""Float64 arrays as large as all beliefs that are alive at once, at most."""


@dataclass(frozen=True)
class Blocks:
    """How a raster is cut up for a field."""

    side: int
    """Of a block."""
    around: int
    """Pixels that are read on each side of it."""

    @classmethod
    def fitting(cls, crf: Crf, classes: int, memory: int) -> Blocks | None:
        """Return the largest blocks whose beliefs fit into so many bytes; None: not even small ones do."""
        around = reach(crf)
        for side in SIDES:
            if 8 * ARRAYS * (classes + 1) * (side + 2 * around) ** 2 <= memory:
                return cls(side, around)
        return None

    def bytes_held(self, width: int) -> int:
        """Return the bytes of labels that are held, for a raster of a width."""
        return width * (2 * (self.side + 2 * self.around) + self.side)


def refined_rows(
    rows: Iterable[Label],
    shape: Shape,
    blocks: Blocks,
    crf: Crf,
    classes: int,
    nodata: int,
    look: Callable[[Window], Label] | None = None,
) -> Iterator[Label]:
    """Give the labels of a raster after mean-field inference, from the top, uint8 (rows, W).

    Args:
        rows: labels from the top, uint8 (any count, W), all of them.
        shape: (H, W).
        blocks: how it is cut up.
        crf: what is done.
        classes: how many there are.
        nodata: value of pixels that have no say and stay as they are.
        look: gives the colours of a window, uint8 (h, w, 3), where crf.colours are wanted.
    """
    height, width = shape
    coming, held, top = iter(rows), np.empty((0, width), np.uint8), 0
    for first in range(0, height, blocks.side):
        last = min(first + blocks.side, height)
        end = min(last + blocks.around, height)
        parts = [held]
        while top + sum(len(part) for part in parts) < end:
            parts.append(next(coming))
        held = np.concatenate(parts)
        start = max(0, first - blocks.around)
        held, top = held[start - top :], start
        made = np.empty((last - first, width), np.uint8)
        for left in range(0, width, blocks.side):
            right = min(left + blocks.side, width)
            low = max(0, left - blocks.around)
            window = Window(top, low, end - top, min(right + blocks.around, width) - low)
            middle = slice(first - top, last - top), slice(left - low, right - low)
            label = held[: window.height, low : low + window.width]
            known = label != nodata
            image = None if look is None or not known[middle].any() else look(window)
            found = label if not known[middle].any() else refine(label, crf, classes, image, known)
            made[:, left:right] = found[middle]
        yield made
