"""What several twins share: how many test items, relief, and small GeoTIFFs."""

from __future__ import annotations

import warnings
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

Rng = np.random.Generator


@dataclass(frozen=True)
class Ground:
    """Where a raster lies."""

    crs: str
    """As EPSG:32652."""
    left: float
    """Of the first pixel's corner, in units of the system."""
    top: float
    pixel: float
    """Side of a pixel."""


def test_items(items: int) -> int:
    """Return how many items to predict a twin has: half as many as labelled ones, and at least two."""
    return max(items // 2, 2)


def relief(rng: Rng, size: int, coarse: int, octaves: int = 4) -> NDArray[np.float32]:
    """Return smooth noise, float32 (size, size), of mean 0 and deviation 1.

    Args:
        rng: gives the chance.
        size: side in pixels.
        coarse: waves along a side in the coarsest octave.
        octaves: each has twice the waves and half the height of the one before.
    """
    import cv2

    total = np.zeros((size, size), np.float32)
    for octave in range(octaves):
        cells = rng.standard_normal((coarse * 2**octave + 3,) * 2).astype(np.float32)
        total += cv2.resize(cells, (size, size), interpolation=cv2.INTER_CUBIC) / 2**octave
    return np.asarray((total - total.mean()) / total.std(), np.float32)


def write_tiff(
    path: Path, planes: NDArray[np.generic], ground: Ground | None = None, profile: dict[str, Any] | None = None
) -> None:
    """Write a GeoTIFF, by way of memory: GDAL reports a full disk in words of its own.

    Args:
        path: the file; its folder is made. Twins are whole or absent as folders, so that no file needs to be.
        planes: (B, H, W) uint8 or uint16.
        ground: where it lies; None: nowhere.
        profile: further creation options of rasterio.
    """
    from rasterio.errors import NotGeoreferencedWarning
    from rasterio.io import MemoryFile
    from rasterio.transform import Affine

    path.parent.mkdir(parents=True, exist_ok=True)
    count, height, width = planes.shape
    options: dict[str, Any] = {"count": count, "height": height, "width": width, "dtype": planes.dtype}
    if ground is not None:
        options |= {"crs": ground.crs, "transform": Affine(ground.pixel, 0, ground.left, 0, -ground.pixel, ground.top)}
    with warnings.catch_warnings(action="ignore", category=NotGeoreferencedWarning), MemoryFile() as memory:
        with memory.open(driver="GTiff", **options, **(profile or {})) as file:
            file.write(planes)
        path.write_bytes(memory.read())
