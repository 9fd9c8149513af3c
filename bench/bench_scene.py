"""Scenes: predict --input's own path on a GeoTIFF beside the bare forward over the same windows, and a plain loop."""

from __future__ import annotations

import shutil
import sys
import tempfile
from functools import partial
from pathlib import Path

import numpy as np
import rasterio
import torch
from numpy.typing import NDArray
from rasterio.windows import Window

from bench.common import Row, contest, row
from maskwright.core.grid import Lattice
from maskwright.core.labels import Task
from maskwright.core.progress import Silent
from maskwright.core.recipe.members import Model
from maskwright.core.stop import Stop
from maskwright.data.pixels.windows import opened_windows
from maskwright.data.preprocess import IMAGENET, Preprocess
from maskwright.inference.forward import Forward, Machine
from maskwright.inference.scene import CLASSES, PROBABILITY, Scenery, predict_scene
from maskwright.inference.spool import Spool
from maskwright.models.build import build_model
from maskwright.output.geotiff import Layer, write_geotiff
from maskwright.workflows.scene_members import Blend

SIDE = 1280
"""Pixels; PERFORMANCE.md means 8192, which takes an hour here. Of few windows, work done once is a larger share."""
SIZE, OVERLAP = 512, 0.25
TASK = Task(kind="binary", classes=("roof",))
WAY = Preprocess(bands=(0, 1, 2), divide=255.0, mean=IMAGENET[0], std=IMAGENET[1])


def _ours(path: Path, folder: Path, scenery: Scenery) -> None:
    """Do all that the command does once models are loaded: bands, both final rasters read back and compared."""
    with opened_windows(path, 0) as raster:
        lattice = scenery.lattice(raster.shape)
        with Spool(folder / "bands", lattice, scenery.layers, {}) as spool, Silent().task("", 1) as tick:
            predict_scene(scenery, raster, spool, tick, Stop())
            for name in (PROBABILITY, CLASSES):
                layer = Layer(raster.grid, ("roof",), 255)
                write_geotiff(folder / f"{name}.tif", layer, partial(spool.read, name))
    shutil.rmtree(folder / "bands")


def _plain(path: Path, folder: Path, forward: Forward) -> None:
    """Read window after window with rasterio, average in one array of the raster's size, write a tiled file."""
    with rasterio.open(path) as source:
        lattice = Lattice.over(source.shape, (SIZE, SIZE), OVERLAP)
        total, count = np.zeros(source.shape, np.float32), np.zeros(source.shape, np.float32)
        for top in lattice.rows:
            for left in lattice.cols:
                pixels = np.moveaxis(source.read(window=Window(left, top, SIZE, SIZE)), 0, -1)
                total[top : top + SIZE, left : left + SIZE] += forward(WAY(pixels)[None])[0, 0]
                count[top : top + SIZE, left : left + SIZE] += 1
        mean = total / count
        profile = {**source.profile, "count": 1, "compress": "deflate"}
        for name, values in (("p", np.rint(mean * 254)), ("c", mean >= 0.5)):
            with rasterio.open(folder / f"{name}.tif", "w", **profile) as file:
                file.write(values.astype(np.uint8), 1)


def rows() -> list[Row]:
    """Measure one raster of SIDE pixels, or of the side given as --side=N."""
    side = next((int(text[7:]) for text in sys.argv if text.startswith("--side=")), SIDE)
    torch.set_num_threads(1)
    model = build_model(Model(encoder="resnet18", weights=None), 3, 1)
    forward = Forward([model], TASK, (), Machine("cpu"))

    def label(mean: NDArray[np.float32]) -> NDArray[np.uint8]:
        found: NDArray[np.uint8] = (mean[0] >= 0.5).astype(np.uint8)
        return found

    scenery = Scenery(Blend([(forward, 1, 0, 0)], "binary", 4), (WAY,), 1, (SIZE, SIZE), OVERLAP, "hann", label, 1)
    with tempfile.TemporaryDirectory() as name:
        folder, path = Path(name), Path(name) / "scene.tif"
        pixels = np.random.default_rng(0).integers(0, 256, (side // 16 + 1,) * 2 + (3,)).astype(np.uint8)
        pixels = np.kron(pixels, np.ones((16, 16, 1), np.uint8))[:side, :side]
        profile = {"driver": "GTiff", "height": side, "width": side, "count": 3, "dtype": "uint8", "tiled": True}
        profile |= {"crs": "EPSG:32645", "transform": rasterio.Affine(0.5, 0, 3e5, 0, -0.5, 3e6)}
        with rasterio.open(path, "w", **profile) as file:
            file.write(np.moveaxis(pixels, -1, 0))
        lattice = scenery.lattice((side, side))
        windows = [lattice.window(r, c) for r in range(len(lattice.rows)) for c in range(len(lattice.cols))]
        images = [WAY(pixels[window.slices])[None] for window in windows]

        def floor() -> None:
            for image in images:
                forward(image)

        calls = {
            "ours": lambda: _ours(path, folder, scenery),
            "floor": floor,
            "plain rasterio loop": lambda: _plain(path, folder, forward),
        }
        times = contest(calls, rounds=2)
    note = f"floor: bare forward over the same {len(windows)} windows; the loop holds the raster and checks nothing"
    return [row(f"scene {side} x {side}, Unet-resnet18, window 512", times, target=1.05, note=note)]
