"""How sure each pixel's answer is, from a raster of probabilities: their entropy."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from maskwright.core.labels import TaskKind
from maskwright.output.geotiff import BLOCK

STEPS = 254
"""A stored probability is value / STEPS, and so is a stored uncertainty."""
NODATA = 255


def entropy_rows(path: Path, kind: TaskKind) -> Iterator[NDArray[np.uint8]]:
    """Give the uncertainty of a probability raster from the top, uint8 (rows, W): round(254 u), 255 is no data.

    u is the entropy of the pixel's classes over its largest value, 0..1; of a multilabel task the mean over its
    classes, each of which is there or not.

    Args:
        path: what predict wrote.
        kind: of the task.
    """
    import rasterio
    from rasterio.windows import Window

    with rasterio.open(path, driver="GTiff") as file:
        for top in range(0, file.height, BLOCK):
            rows = min(BLOCK, file.height - top)
            stored = file.read(window=Window(0, top, file.width, rows))
            shares = np.rint(_entropy(stored, kind) * STEPS).astype(np.uint8)
            yield np.where((stored == NODATA).all(0), np.uint8(NODATA), shares)


def _entropy(stored: NDArray[np.uint8], kind: TaskKind) -> NDArray[np.float32]:
    """Return the entropy of stored probabilities (K, h, w) over its largest value, 0..1."""
    share = np.minimum(np.arange(256), STEPS) / STEPS
    with np.errstate(divide="ignore", invalid="ignore"):
        surprise = np.nan_to_num(-share * np.log(share))
    if kind == "multiclass":
        # shares add up to 1 but for rounding; divided by their sum S they have an entropy of sum(-p log p) / S + log S
        total = np.maximum(share[stored].sum(0), 1 / STEPS)
        found = surprise[stored].sum(0) / total + np.log(total)
        return np.asarray(np.clip(found / np.log(len(stored)), 0, 1), np.float32)
    both = ((surprise + surprise[np.maximum(STEPS - np.arange(256), 0)]) / np.log(2)).astype(np.float32)
    return np.asarray(both[stored].mean(0), np.float32)
