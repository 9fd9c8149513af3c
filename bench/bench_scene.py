"""Scenes: predict --input's own path on a GeoTIFF beside the bare forward, MONAI's sliding window and a plain loop.

python -m bench scene               1664 x 1664 pixels, 16 windows, two rounds
python -m bench scene --side=8192   what PERFORMANCE.md means: 441 windows, one round; --rounds=N for more
"""

from __future__ import annotations

import shutil
import sys
import tempfile
from collections.abc import Callable
from functools import partial
from importlib.util import find_spec
from pathlib import Path

import numpy as np
import rasterio
import torch
from numpy.typing import NDArray
from rasterio.windows import Window

from bench.common import Row, rounds, row
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
from maskwright.models.adapt import SegModel
from maskwright.models.build import build_model
from maskwright.output.geotiff import Layer, write_geotiff
from maskwright.workflows.scene_members import Blend

SIDE, ROUNDS = 1664, 2
"""Pixels; of few windows, work done once is a larger share than of many."""
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
    """Read window after window with rasterio, average in one array of the raster's size, write two tiled files."""
    with rasterio.open(path) as source:
        lattice = Lattice.over(source.shape, (SIZE, SIZE), OVERLAP)
        total, count = np.zeros(source.shape, np.float32), np.zeros(source.shape, np.float32)
        for top in lattice.rows:
            for left in lattice.cols:
                pixels = np.moveaxis(source.read(window=Window(left, top, SIZE, SIZE)), 0, -1)
                total[top : top + SIZE, left : left + SIZE] += forward(WAY(pixels)[None])[0, 0]
                count[top : top + SIZE, left : left + SIZE] += 1
        _write(folder, source.profile, total / count)


def _monai(path: Path, folder: Path, model: SegModel) -> None:
    """Read the raster whole, let MONAI slide a window over it, write two tiled files."""
    from monai.inferers import sliding_window_inference

    with rasterio.open(path) as source, torch.inference_mode():
        whole = torch.from_numpy(WAY(np.moveaxis(source.read(), 0, -1))[None])
        whole = whole.contiguous(memory_format=torch.channels_last)

        def predict(part: torch.Tensor) -> torch.Tensor:
            return model(part.contiguous(memory_format=torch.channels_last)).sigmoid()

        mean = sliding_window_inference(whole, SIZE, 1, predict, overlap=OVERLAP, mode="gaussian")
        _write(folder, source.profile, mean[0, 0].numpy())


def _write(folder: Path, profile: dict[str, object], mean: NDArray[np.float32]) -> None:
    known = {**profile, "count": 1, "compress": "deflate"}
    for name, values in (("p", np.rint(mean * 254)), ("c", mean >= 0.5)):
        with rasterio.open(folder / f"{name}.tif", "w", **known) as file:
            file.write(values.astype(np.uint8), 1)


def _raster(path: Path, side: int) -> NDArray[np.uint8]:
    """Write a tiled, uncompressed raster of blocks of 16 pixels, and return it (H, W, 3)."""
    pixels = np.random.default_rng(0).integers(0, 256, (side // 16 + 1,) * 2 + (3,)).astype(np.uint8)
    pixels = np.kron(pixels, np.ones((16, 16, 1), np.uint8))[:side, :side]
    profile = {"driver": "GTiff", "height": side, "width": side, "count": 3, "dtype": "uint8", "tiled": True}
    profile |= {"crs": "EPSG:32645", "transform": rasterio.Affine(0.5, 0, 3e5, 0, -0.5, 3e6)}
    with rasterio.open(path, "w", **profile) as file:
        file.write(np.moveaxis(pixels, -1, 0))
    return pixels


def _label(mean: NDArray[np.float32]) -> NDArray[np.uint8]:
    found: NDArray[np.uint8] = (mean[0] >= 0.5).astype(np.uint8)
    return found


def _told(name: str, default: int) -> int:
    return next((int(text.partition("=")[2]) for text in sys.argv if text.startswith(f"--{name}=")), default)


def rows() -> list[Row]:
    """Measure one raster, each contestant as often as there are rounds, with all the processors torch takes."""
    side = _told("side", SIDE)
    count = _told("rounds", ROUNDS if side <= 2 * SIDE else 1)
    model = build_model(Model(encoder="resnet18", weights=None), 3, 1)
    forward = Forward([model], TASK, (), Machine("cpu"))
    scenery = Scenery(
        planes=1,
        size=(SIZE, SIZE),
        overlap=OVERLAP,
        seam="hann",
        label_planes=1,
        model=Blend([(forward, 1, 0, 0)], "binary", 4),
        preprocesses=(WAY,),
        label=_label,
    )
    with tempfile.TemporaryDirectory() as name:
        folder, path = Path(name), Path(name) / "scene.tif"
        pixels = _raster(path, side)
        lattice = scenery.lattice((side, side))
        windows = [lattice.window(r, c) for r in range(len(lattice.rows)) for c in range(len(lattice.cols))]
        few = [WAY(pixels[window.slices])[None] for window in windows[:8]]

        def floor() -> None:
            for place in range(len(windows)):
                forward(few[place % len(few)])

        calls: dict[str, Callable[[], object]] = {
            "ours": lambda: _ours(path, folder, scenery),
            "floor": floor,
            "plain rasterio loop": lambda: _plain(path, folder, forward),
        }
        note = "" if find_spec("monai") else "MONAI is not installed; "
        if not note:
            calls["MONAI"] = lambda: _monai(path, folder, model)
        forward(few[0])
        times = rounds(calls, count)
    note += f"floor: the bare forward, {len(windows)} times; loop and MONAI hold the raster and check nothing"
    what = f"scene {side} x {side}, Unet-resnet18, window {SIZE}, {torch.get_num_threads()} threads"
    return [row(what, times, target=1.05, note=note)]
