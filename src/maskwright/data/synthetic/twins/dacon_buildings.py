"""The twin of DACON 236092 (SEEDS 000.1): aerial PNG of two sizes, buildings as run lengths, three CSV files."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from maskwright.core import rle
from maskwright.core.files import write_text
from maskwright.data.synthetic.scenery import BUILDING
from maskwright.data.synthetic.synthetic import EMPTY, render
from maskwright.data.synthetic.twins.files import Rng, test_items
from maskwright.data.synthetic.twins.pictures import save_png

TRAIN_SIDE, TEST_SIDE = 1024, 224
"""Pixels."""
ZOOM = 2
"""How much finer images are than they are rendered, and test images than those."""


def write(folder: Path, items: int, seed: int) -> None:
    """Write train_img, test_img, train.csv, test.csv and sample_submission.csv; see table.Write.

    Every training image holds a building; one test image in four holds none.
    """
    rows = ["img_id,img_path,mask_rle"]
    for number in range(items):
        name = f"TRAIN_{number:04}"
        image, mask = _scene(np.random.default_rng([seed, 0, number]), TRAIN_SIDE)
        save_png(folder / "train_img" / f"{name}.png", image)
        rows.append(f"{name},./train_img/{name}.png,{rle.encode(mask, 'row', 1, EMPTY)}")
    write_text(folder / "train.csv", "\n".join(rows) + "\n")
    names = [f"TEST_{number:05}" for number in range(test_items(items))]
    for number, name in enumerate(names):
        image = _test_scene(np.random.default_rng([seed, 1, number]), wanted=number % 4 != 3)
        save_png(folder / "test_img" / f"{name}.png", image)
    paths = [f"{name},./test_img/{name}.png" for name in names]
    write_text(folder / "test.csv", "\n".join(["img_id,img_path", *paths]) + "\n")
    blank = [f"{name},{EMPTY}" for name in names]
    write_text(folder / "sample_submission.csv", "\n".join(["img_id,mask_rle", *blank]) + "\n")


def _scene(rng: Rng, side: int) -> tuple[NDArray[np.uint8], NDArray[np.uint8]]:
    """Return RGB (side, side, 3) and a mask of 0 and 1 that holds a building."""
    import cv2

    while True:
        coarse, ids = render(int(rng.integers(1 << 30)), 0, side // ZOOM)
        if (ids == BUILDING).any():
            image = cv2.resize(coarse, (side, side), interpolation=cv2.INTER_CUBIC)
            mask = cv2.resize((ids == BUILDING).astype(np.uint8), (side, side), interpolation=cv2.INTER_NEAREST)
            return image, mask


def _test_scene(rng: Rng, *, wanted: bool) -> NDArray[np.uint8]:
    """Return RGB (224, 224, 3), finer on the ground; with a building or without, as wanted."""
    import cv2

    image, mask = _scene(rng, 3 * TEST_SIDE // ZOOM // 2 * 2)
    side = TEST_SIDE // ZOOM
    best = (0, 0)
    for row in range(0, image.shape[0] - side + 1, 8):
        for col in range(0, image.shape[1] - side + 1, 8):
            share = mask[row : row + side, col : col + side].mean()
            if (share > 0.05) if wanted else (share == 0):
                best = (row, col)
                break
    cut = image[best[0] : best[0] + side, best[1] : best[1] + side]
    return np.asarray(cv2.resize(cut, (TEST_SIDE, TEST_SIDE), interpolation=cv2.INTER_CUBIC), np.uint8)
