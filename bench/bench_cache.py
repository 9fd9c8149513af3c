"""Reading a window from the second epoch on: the decode cache beside decoding, and beside the bytes alone."""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import rasterio
from PIL import Image

from bench.common import Row, contest, row
from maskwright.core.grid import Window
from maskwright.core.labels import Task
from maskwright.core.recipe.sources import FolderSource
from maskwright.data.cache.cache import CacheSpec, DiskCache
from maskwright.data.items import read_item
from maskwright.data.pixels.rasters import read_image
from maskwright.data.sources.open import open_source
from maskwright.data.windows import Layers, cut

ITEMS = 24
TASK = Task(kind="binary", classes=("thing",))
SIDE = 512


def draw(folder: Path, kind: str) -> None:
    """Write images like photographs (smooth with a little noise) and their masks."""
    rng = np.random.default_rng(0)
    (folder / "images").mkdir(parents=True)
    (folder / "masks").mkdir()
    for number in range(ITEMS):
        if kind == "png":
            coarse = Image.fromarray(rng.integers(0, 255, (64, 64, 3)).astype(np.uint8)).resize((1024, 1024))
            pixels = np.asarray(coarse) // 2 + rng.integers(0, 12, (1024, 1024, 3)).astype(np.uint8)
            Image.fromarray(pixels).save(folder / "images" / f"{number}.png")
        else:
            bands = rng.integers(0, 10_000, (10, 256, 256)).astype(np.uint16)
            shape = {"height": 256, "width": 256, "count": 10, "dtype": "uint16"}
            transform = rasterio.transform.from_origin(0, 0, 1, 1)
            with rasterio.open(
                folder / "images" / f"{number}.tif", "w", driver="GTiff", crs="EPSG:3857", transform=transform, **shape
            ) as file:
                file.write(bands)
        side = 1024 if kind == "png" else 256
        Image.fromarray((rng.random((side, side)) < 0.3).astype(np.uint8)).save(folder / "masks" / f"{number}.png")


def contestants(folder: Path, kind: str) -> dict[str, Callable[[], Any]]:
    """Return who reads: ours from the cache, the bytes alone, decoding the image."""
    source = open_source(FolderSource(images="images", masks="masks"), folder, TASK)
    side = SIDE if kind == "png" else 256

    def read(key: str) -> Any:
        item = read_item(source, key, TASK, 10**8)
        image = item.image if item.image.dtype == np.uint8 else (item.image / np.float32(65535)).astype(np.float32)
        return type(item)(key, image, item.label, item.valid, item.valid)

    cache = DiskCache(read, source, CacheSpec(folder=folder / "cache", salt="bench", keys=frozenset(source.keys)))
    for key in source.keys * 2:
        np.save(folder / f"{key}.npy", cache.read(key).image)
    turn = [0]

    def following() -> tuple[str, int]:
        turn[0] += 1
        return source.keys[turn[0] * 7 % ITEMS], turn[0] * 37 % (side + 1) if kind == "png" else 0

    def ours() -> Any:
        key, start = following()
        cache._maps.clear()  # as in a large set, where hardly any item is still mapped
        item = cache.read(key)
        layers = cut(Layers(item.image, item.label, item.valid), Window(start, start, side, side))
        return layers.image.copy(), layers.label.copy(), layers.valid.copy()

    def floor() -> Any:
        key, start = following()
        mapped = np.load(folder / f"{key}.npy", mmap_mode="r")
        return mapped[start : start + side, start : start + side].copy()

    def decoding() -> Any:
        key, start = following()
        return read_image(source.image_path(key), 10**8)[0][start : start + side, start : start + side].copy()

    return {"ours": ours, "floor": floor, "decoding": decoding}


def rows() -> list[Row]:
    """Compare on the two cases of PERFORMANCE: image, label and valid, the file opened anew each time."""
    made = []
    for name, kind, limit in (
        ("window 512 of 1024x1024x3 PNG, 2nd epoch", "png", 0.2e-3),
        ("10-band 256x256 uint16, 2nd epoch", "tif", 0.3e-3),
    ):
        folder = Path(tempfile.mkdtemp())
        try:
            draw(folder, kind)
            times = contest(contestants(folder, kind))
            made.append(row(name, times, limit=limit, note="floor: np.load mapped, image alone; ours: label too"))
        finally:
            shutil.rmtree(folder)
    return made
