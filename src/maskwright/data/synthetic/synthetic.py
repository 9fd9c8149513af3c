"""Render aerial scenes with exact masks: roofs in the sun, cast shadows, roads, trees, cars, a noisy sensor.

Nothing here comes from photographs. The scenes are for the demo and the tests: a network must look at
shape, shading and shadow to learn them, because courts, drives and bare soil share the roofs' colours.
"""

from __future__ import annotations

import csv
import io
import math
from pathlib import Path
from typing import Literal

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from maskwright.core import rle
from maskwright.core.files import atomic_path, write_text
from maskwright.data.sampling import sample_seed
from maskwright.data.synthetic.houses import draw_houses
from maskwright.data.synthetic.scenery import (
    BUILDING,
    Ids,
    Scene,
    Sun,
    draw_flat_things,
    draw_ground,
    draw_roads,
    draw_trees,
    soften,
)

Kind = Literal["binary", "multiclass"]

CLASSES = ("background", "building", "road", "tree")
"""Classes of a multiclass scene, in id order; binary scenes keep the building alone."""
FINE = 2
"""Scenes are drawn this many times finer and averaged, so edges are mixed as a sensor mixes them."""
EMPTY = "-1"
"""Text of a mask without pixels in the tables."""


def _shadows(scene: Scene) -> None:
    """Darken what the sun does not see: walk towards it and look whether something stands higher."""
    import cv2

    dark = np.zeros(scene.height.shape, bool)
    for step in range(1, int(float(scene.height.max()) / scene.sun.climb) + 2):
        move = np.array([[1, 0, -step * scene.sun.col], [0, 1, -step * scene.sun.row]], np.float32)
        towards = cv2.warpAffine(scene.height, move, scene.height.shape[::-1], flags=cv2.INTER_NEAREST)
        dark |= towards > scene.height + step * scene.sun.climb
    scene.colour *= 1 - soften(dark, 1.0)[:, :, None] * np.array([0.62, 0.58, 0.50], np.float32)


def _photograph(scene: Scene) -> NDArray[np.uint8]:
    """Take the picture: average to the final size, blur a little, tint, add noise, and store 8 bits."""
    import cv2

    rng, size = scene.rng, scene.side // FINE
    picture = cv2.resize(scene.colour, (size, size), interpolation=cv2.INTER_AREA)
    picture = cv2.GaussianBlur(picture, (0, 0), rng.uniform(0.4, 0.8))
    haze = rng.uniform(0.0, 0.10)
    picture = picture * rng.uniform(0.85, 1.2) * rng.uniform(0.94, 1.06, 3) * (1 - haze) + haze
    noise = rng.standard_normal(picture.shape) * rng.uniform(0.008, 0.022) * np.sqrt(np.maximum(picture, 0) + 0.15)
    return np.asarray(np.clip(np.rint((picture + noise) * 255), 0, 255), np.uint8)


def render(seed: int, number: int, size: int) -> tuple[NDArray[np.uint8], Ids]:
    """Render one scene.

    Args:
        seed: of the set.
        number: of the scene in it.
        size: side in pixels; a house is 13 to 50 pixels long.

    Returns:
        RGB uint8 (size, size, 3) and class ids uint8 (size, size), see CLASSES.
    """
    import cv2

    rng = np.random.default_rng(sample_seed(seed, number, -5))
    azimuth = rng.uniform(0, 2 * math.pi)
    sun = Sun(math.sin(azimuth), math.cos(azimuth), rng.uniform(0.6, 1.5))
    scene = Scene(rng, size * FINE, sun)
    draw_ground(scene)
    draw_houses(scene, draw_roads(scene))
    draw_flat_things(scene)
    draw_trees(scene)
    _shadows(scene)
    shares = [
        cv2.resize((scene.ids == kind).astype(np.float32), (size, size), interpolation=cv2.INTER_AREA)
        for kind in range(len(CLASSES))
    ]
    return _photograph(scene), np.argmax(shares, axis=0).astype(np.uint8)


def write_scenes(folder: Path, count: int, size: int, seed: int, kind: Kind = "binary") -> None:
    """Render scenes and write images, masks, a run-length table and a sample submission.

    Args:
        folder: gets images/*.png, masks/*.png (binary: 0 and 255 for buildings; multiclass: ids of
            CLASSES), labels_rle.csv and sample_submission.csv: img_id, for multiclass class, mask_rle; row
            by row from 1, -1 for none.
        count: number of scenes.
        size: side in pixels.
        seed: other seeds give other scenes; the same seed the same files.
        kind: binary or multiclass.

    Raises:
        StorageError: disk full or no permission.
    """
    truth, sample = io.StringIO(), io.StringIO()
    tables = [csv.writer(stream, lineterminator="\n") for stream in (truth, sample)]
    kinds = [BUILDING] if kind == "binary" else list(range(1, len(CLASSES)))
    for table in tables:
        table.writerow(["img_id", "mask_rle"] if kind == "binary" else ["img_id", "class", "mask_rle"])
    for number in range(count):
        name = f"scene_{number:04d}"
        image, ids = render(seed, number, size)
        mask = np.where(ids == BUILDING, 255, 0).astype(np.uint8) if kind == "binary" else ids
        for sub, pixels in (("images", image), ("masks", mask)):
            with atomic_path(folder / sub / f"{name}.png") as path:
                Image.fromarray(pixels).save(path, format="PNG")
        for plane in kinds:
            cells = [name] if kind == "binary" else [name, CLASSES[plane]]
            tables[0].writerow([*cells, rle.encode(ids == plane, "row", 1, EMPTY)])
            tables[1].writerow([*cells, EMPTY])
    write_text(folder / "labels_rle.csv", truth.getvalue())
    write_text(folder / "sample_submission.csv", sample.getvalue())
