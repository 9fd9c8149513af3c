"""What measurements of scenes share: a small trained run, rasters with holes, and the command in its own process."""

from __future__ import annotations

import hashlib
import os
import subprocess
import sys
import time
from collections.abc import Iterable, Sequence
from pathlib import Path

import numpy as np
import rasterio
from rasterio.windows import Window

from maskwright.data.synthetic.synthetic import write_scenes

RECIPE = """
name: tiny
task: {kind: binary, classes: [roof]}
data: {root: scenes, train: {format: folder, images: images, masks: masks, values: {0: 0, 255: 1}}}
folds: {kind: stratified, count: 2}
members:
  unet:
    model: {architecture: unet, encoder: tu-mobilenetv3_small_050, options: {decoder_channels: [16, 12, 8, 8, 8]}}
    train: {epochs: 2, steps_per_epoch: 4, batch_size: 4, crop: 64, precision: fp32}
    predict: {window: 512, overlap: 0.25}
output: []
"""
PLACE = rasterio.Affine(0.5, 0, 3e5, 0, -0.5, 3e6)


def command(*arguments: object, threads: int = 1) -> tuple[list[str], dict[str, str]]:
    """Return the command line of maskwright and its environment."""
    told = {"OMP_NUM_THREADS": str(threads), "MKL_NUM_THREADS": str(threads)}
    return [sys.executable, "-m", "maskwright", *map(str, arguments)], {**os.environ, **told}


def call(*arguments: object, threads: int = 1) -> str:
    """Run maskwright to its end and return what it said; stop where it fails."""
    words, environment = command(*arguments, threads=threads)
    done = subprocess.run(words, env=environment, capture_output=True, text=True, check=False)
    if done.returncode:
        sys.exit(f"{' '.join(words)}: exit code {done.returncode}\n{done.stderr}")
    return done.stdout


def tiny_run(folder: Path) -> Path:
    """Train a tiny member on drawn scenes, two folds, and return its run."""
    write_scenes(folder / "scenes", 8, 128, seed=3)
    (folder / "r.yaml").write_text(RECIPE)
    call("run", folder / "r.yaml", f"data.root={folder / 'scenes'}", "--out", folder / "run", "--until", "decide")
    return folder / "run"


def sparse(path: Path, side: int, blocks: Iterable[tuple[int, int]], *, nodata: int | None = 0) -> Path:
    """Write a GeoTIFF of three bands, empty but for blocks of 512 x 512 at the given (row, column).

    Args:
        path: final name.
        side: pixels.
        blocks: where pixels are.
        nodata: declared value; None: what is empty is black, and predicted.
    """
    profile = {"driver": "GTiff", "height": side, "width": side, "count": 3, "dtype": "uint8", "nodata": nodata}
    profile |= {"tiled": True, "blockxsize": 512, "blockysize": 512, "sparse_ok": True, "bigtiff": "YES"}
    rng = np.random.default_rng(side)
    with rasterio.open(path, "w", compress="deflate", crs="EPSG:32645", transform=PLACE, **profile) as file:
        for row, col in blocks:
            coarse = rng.integers(1, 256, (3, 32, 32)).astype(np.uint8)
            block = np.kron(coarse, np.ones((1, 16, 16), np.uint8))
            high, wide = min(512, side - row), min(512, side - col)
            file.write(block[:, :high, :wide], window=Window(col, row, wide, high))
    return path


def peak(words: Sequence[str], environment: dict[str, str]) -> tuple[int, float, float, str]:
    """Run a command and return its peak RSS in MB, processor and clock seconds, and what it said."""
    began = time.monotonic()
    child = subprocess.Popen(words, env=environment, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
    assert child.stdout is not None
    said = child.stdout.read()
    _, status, used = os.wait4(child.pid, 0)
    child.returncode = os.waitstatus_to_exitcode(status)
    if child.returncode:
        sys.exit(f"{' '.join(words)}: exit code {child.returncode}\n{said}")
    return used.ru_maxrss // 1024, used.ru_utime + used.ru_stime, time.monotonic() - began, said


def digests(folder: Path) -> dict[str, str]:
    """Return file -> digest of a folder of answers, without its lock."""
    return {
        str(path.relative_to(folder)): hashlib.sha256(path.read_bytes()).hexdigest()
        for path in sorted(folder.rglob("*"))
        if path.is_file() and path.name != "run.lock"
    }
