"""A scene on disk, a model of numpy alone, and a process that predicts it and kills itself at a given moment.

Run as a script: scene_helpers.py TIFF FOLDER MOMENT, with MOMENT part:N, band:N or never.
"""

import os
import signal
import sys
import warnings
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from maskwright.core.progress import Silent
from maskwright.core.stop import Stop
from maskwright.data.pixels.windows import opened_windows
from maskwright.data.preprocess import Preprocess
from maskwright.inference.scene import Scenery, predict_scene
from maskwright.inference.spool import Spool

PREPROCESS = Preprocess(bands=(0, 1, 2), divide=128.0, mean=(1.0,) * 3, std=(1.0,) * 3)
SETTINGS = {"size": (32, 32), "overlap": 0.25, "seam": "hann"}


def write_scene(path: Path, pixels: np.ndarray, **profile: object) -> Path:
    """Write (H, W, B) as a tiled GeoTIFF; mask: internal mask."""
    import rasterio

    mask = profile.pop("mask", None)
    known = {"height": pixels.shape[0], "width": pixels.shape[1], "count": pixels.shape[2], "dtype": pixels.dtype}
    if min(pixels.shape[:2]) >= 16:
        known |= {"tiled": True, "blockxsize": 16, "blockysize": 16, "compress": "deflate"}
    path.parent.mkdir(parents=True, exist_ok=True)
    with warnings.catch_warnings(), rasterio.Env(GDAL_TIFF_INTERNAL_MASK=True):
        warnings.simplefilter("ignore", rasterio.errors.NotGeoreferencedWarning)
        with rasterio.open(path, "w", driver="GTiff", **{**known, **profile}) as file:
            file.write(np.moveaxis(pixels, -1, 0))
            if mask is not None:
                file.write_mask(mask)
    return path


class Plain:
    """The sigmoid of a pixel and its neighbours to the left and above; counts the windows it saw."""

    def __init__(self, batch: int = 2) -> None:
        self.batch, self.seen = batch, 0

    def batch_size(self, shape: tuple[int, int]) -> int:
        return self.batch

    def __call__(self, images: Sequence[np.ndarray], names: Sequence[str]) -> np.ndarray:
        assert len(names) == len(images[0])
        self.seen += len(names)
        mean = images[0].mean(1, keepdims=True)
        logits = mean + np.roll(mean, 1, 2) - 0.5 * np.roll(mean, 1, 3)
        return (1 / (1 + np.exp(-logits))).astype(np.float32)


def scenery(model: object, planes: int = 1, **settings: object) -> Scenery:
    """Binary or multilabel, at a threshold of a half."""
    return Scenery(
        model=model,
        preprocesses=(PREPROCESS,),
        planes=planes,
        label=lambda mean: (mean >= 0.5).astype(np.uint8),
        label_planes=planes,
        **{**SETTINGS, **settings},
    )


def predict(path: Path, folder: Path, given: Scenery, stop: Stop | None = None) -> dict[str, np.ndarray]:
    """Predict a file and return its layers, uint8 (planes, H, W)."""
    with opened_windows(path, 10**6) as raster:
        lattice = given.lattice(raster.shape)
        with Spool(folder, lattice, given.layers, {"a": 1}) as spool, Silent().task("", 1) as tick:
            predict_scene(given, raster, spool, tick, stop or Stop())
            return {
                layer: np.stack([np.concatenate(list(spool.read(layer, plane))) for plane in range(planes)])
                for layer, planes in given.layers.items()
            }


def _die_at(moment: str) -> None:
    """Make this process end as kill -9 ends it: at the N-th part that is written, or before band N is noted."""
    kind, _, number = moment.partition(":")
    write, note, seen = Spool.write, Spool._note, [0]

    def counted(self: Spool, *arguments: object) -> None:
        seen[0] += 1
        if kind == "part" and seen[0] == int(number):
            os.kill(os.getpid(), signal.SIGKILL)
        write(self, *arguments)

    def noted(self: Spool, line: str) -> None:
        if kind == "band" and line == f'{{"band": {number}}}':
            os.write(self._journal, line[:5].encode())  # torn
            os.kill(os.getpid(), signal.SIGKILL)
        note(self, line)

    Spool.write, Spool._note = counted, noted


if __name__ == "__main__":
    _die_at(sys.argv[3])
    predict(Path(sys.argv[1]), Path(sys.argv[2]), scenery(Plain()))
