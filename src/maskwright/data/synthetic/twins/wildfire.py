"""The twin of the wildfire challenge of 2024 (SEEDS 002.1): ten uint16 bands, masks of active fire, two CSV files."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from maskwright.core.files import write_text
from maskwright.data.synthetic.twins.files import Ground, Rng, relief, test_items, write_tiff

SIDE = 256
"""Of every image, in pixels."""
ROOT = "Wildfire"
"""Folder of everything."""
COVERS = np.array(
    [
        [9.6, 8.6, 8.0, 7.2, 17.5, 11.5, 8.2, 5.1, 26.0, 23.5],  # wood
        [10.4, 9.9, 10.3, 11.2, 15.8, 16.6, 13.4, 5.2, 29.0, 26.0],  # grass, dry
        [11.2, 10.9, 11.7, 13.1, 15.4, 19.2, 17.3, 5.2, 31.0, 27.6],  # bare soil
        [9.1, 7.9, 6.9, 6.1, 5.8, 5.3, 5.2, 5.0, 24.0, 22.0],  # water
    ],
    np.float32,
)
"""Thousands of counts of Landsat 8 in its bands 1-7, 9, 10, 11 over four covers, about as in summer."""
HEAT = np.array([0, 0, 0, 0.6, 6, 34, 46, 0, 5, 4], np.float32)
"""Thousands that a pixel full of fire adds: short waves of infrared most, the blue ones nothing."""
GLARE = np.array([14, 14, 15, 15, 13, 12, 11, 0.2, 1, 1], np.float32)
"""Thousands that a bright roof or a cloud adds: as bright in the short waves, and bright in all others too."""
BURNING = 0.3
"""Share of a pixel on fire from which the mask has it."""


def write(folder: Path, items: int, seed: int) -> None:
    """Write Wildfire/train_img, train_mask, test_img, train_meta.csv and test_meta.csv; see table.Write.

    An image in ten shows no fire, one in seven has no data in a corner (0 in all bands), as SEEDS 002 met both.
    """
    rng = np.random.default_rng([seed, 2])
    numbers = rng.choice(30_000, items + test_items(items), replace=False)
    trained, tested = sorted(numbers[:items].tolist()), sorted(numbers[items:].tolist())
    root, rows = folder / ROOT, ["train_img,train_mask"]
    for number in trained:
        bands, mask = _scene(np.random.default_rng([seed, 2, number]))
        image, truth = f"train_img_{number}.tif", f"train_mask_{number}.tif"
        write_tiff(root / "train_img" / image, bands, _place(number))
        write_tiff(root / "train_mask" / truth, mask[None], _place(number))
        rows.append(f"{image},{truth}")
    write_text(root / "train_meta.csv", "\n".join(rows) + "\n")
    for number in tested:
        bands, _ = _scene(np.random.default_rng([seed, 2, number]))
        write_tiff(root / "test_img" / f"test_img_{number}.tif", bands, _place(number))
    write_text(root / "test_meta.csv", "\n".join(["test_img", *(f"test_img_{n}.tif" for n in tested)]) + "\n")


def _place(number: int) -> Ground:
    """Give each image ground of its own: tiles of 7,680 m, row by row."""
    row, col = divmod(number, 100)
    return Ground("EPSG:32652", 200_000.0 + 7_680 * col, 4_300_000.0 - 7_680 * row, 30.0)


def _scene(rng: Rng) -> tuple[NDArray[np.uint16], NDArray[np.uint8]]:
    """Return bands uint16 (10, 256, 256) and mask uint8 (256, 256) of 0 and 1."""
    weights = np.exp(2.5 * np.stack([relief(rng, SIDE, 2) for _ in COVERS]))
    weights /= weights.sum(0)
    light = 1 + 0.06 * relief(rng, SIDE, 8, octaves=3)
    level = np.einsum("chw,cb->bhw", weights, COVERS) * light * rng.uniform(0.85, 1.2)
    fire = _fronts(rng) if rng.random() < 0.9 else np.zeros((SIDE, SIDE), np.float32)
    level += HEAT[:, None, None] * fire + GLARE[:, None, None] * _roofs(rng)
    level += 0.07 * rng.standard_normal(level.shape)
    counts = np.clip(np.rint(level * 1000), 1, 65_535).astype(np.uint16)
    mask = (fire > BURNING).astype(np.uint8)
    if rng.random() < 1 / 7:
        rows, cols = np.mgrid[:SIDE, :SIDE]
        outside = rows * rng.uniform(0.5, 2) + cols < rng.uniform(0.2, 0.6) * SIDE
        counts[:, outside], mask[outside] = 0, 0
    return counts, mask


def _fronts(rng: Rng) -> NDArray[np.float32]:
    """Return the share of each pixel that burns: one to four fronts, broken by the relief, seen through the optics."""
    import cv2

    rows, cols = np.mgrid[:SIDE, :SIDE].astype(np.float32)
    burning = np.zeros((SIDE, SIDE), np.float32)
    for _ in range(int(rng.integers(1, 5))):
        row, col, angle = rng.uniform(20, SIDE - 20), rng.uniform(20, SIDE - 20), rng.uniform(0, np.pi)
        along = (rows - row) * np.sin(angle) + (cols - col) * np.cos(angle)
        across = (rows - row) * np.cos(angle) - (cols - col) * np.sin(angle) + 2 * relief(rng, SIDE, 12, octaves=2)
        far = np.hypot(along / rng.uniform(4, 16), across / rng.uniform(1.5, 4))
        burning = np.maximum(burning, (far < 1) * rng.uniform(0.6, 1.0))
    return np.asarray(cv2.GaussianBlur(burning, (0, 0), 0.6), np.float32)


def _roofs(rng: Rng) -> NDArray[np.float32]:
    """Return how bright each pixel glares: small things that are as bright in the short waves as a fire is."""
    found = np.zeros((SIDE, SIDE), np.float32)
    for _ in range(int(rng.integers(2, 9))):
        row, col = (int(value) for value in rng.integers(0, SIDE - 8, 2))
        height, width = (int(value) for value in rng.integers(2, 8, 2))
        found[row : row + height, col : col + width] = rng.uniform(0.5, 1.2)
    return found
