"""Whether a raster predicted by windows errs more where windows meet: error along seams over error inside them.

    python -m bench.seams PATH RUN      # PATH of banepa_buildings; about 4 minutes of two cores, 3 of them training

Fold 0 of examples/banepa.yaml is trained, unless RUN has it, and the tiles it did not see are laid together to one
raster with holes. That is predicted several times, its windows lying elsewhere each time, so that pixels are on a seam
in one pass and inside in another: the same pixels are compared. A seam is what lies within 2 pixels of an edge of a
window (lines), or what several windows cover (zones). The error is |p - truth|, and the share of wrong pixels at 0.5.
The control, windows that meet without overlap, shows whether the statistic can see seams.
"""

from __future__ import annotations

import re
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import rasterio
from numpy.typing import NDArray

from bench.scene_runs import call
from maskwright.core.grid import Lattice
from maskwright.core.progress import Silent
from maskwright.core.stop import Stop
from maskwright.data.items import read_item
from maskwright.data.pixels.windows import opened_windows
from maskwright.data.preprocess import Preprocess
from maskwright.inference.forward import Forward, Machine
from maskwright.inference.scene import PROBABILITY, SCALE, Scenery, predict_scene
from maskwright.inference.spool import Spool
from maskwright.models.weights import load_model
from maskwright.workflows.scene_members import Blend
from maskwright.workflows.session import Session, open_session

TILE, NEAR = 512, 2
RECIPE = Path(__file__).parent.parent / "examples" / "banepa.yaml"
BUDGET = ("members.unet.train.epochs=4", "members.unet.train.crop=160", "members.unet.train.validate_every=4")
Mask = NDArray[np.bool_]
Floats = NDArray[np.float32]


def main(data: Path, run: Path) -> None:
    """Train if need be, predict, and print the statistic."""
    words = (RECIPE, f"data.root={data}", *BUDGET, "--out", run, "--fold", 0)
    call("train", *words, threads=2)
    session = open_session(str(RECIPE), [f"data.root={data}", *BUDGET], Silent(), out=run)
    model, facts = load_model(run / "members" / "unet" / "fold0" / "last.safetensors")
    forward = Forward([model], session.recipe.task, (), Machine("cpu"))
    way = Preprocess.from_plain(facts["preprocess"])
    image, truth, valid = mosaic(session)
    share = truth[valid].mean()
    print(f"{valid.sum() / 1e6:.1f} megapixels that the model did not see, {share:.0%} building", flush=True)
    for size, overlap, seam in SETTINGS:
        totals = {name: Pairs(valid.shape) for name in ("lines", "zones")}
        for answer, lattice, place in passes(scenery(forward, way, size, overlap, seam), image, valid):
            for name, found in seams(lattice).items():
                totals[name].add(answer, truth, valid, found[place])
        told = ", ".join(f"{name} {pairs.ratios}" for name, pairs in totals.items())
        print(f"window {size}, overlap {overlap:.0%}, {seam}: {told}", flush=True)


class Pairs:
    """Errors of each pixel on seams and inside, over several passes."""

    def __init__(self, shape: tuple[int, ...]) -> None:
        self._sums = np.zeros((2, 2, *shape), np.float32)
        self._counts = np.zeros((2, *shape), np.float32)

    def add(self, answer: Floats, truth: Mask, valid: Mask, on: Mask) -> None:
        """Add a pass.

        Args:
            answer: probability (H, W).
            truth: (H, W).
            valid: which pixels count.
            on: which are on a seam in this pass.
        """
        for side, where in enumerate((on & valid, ~on & valid)):
            self._sums[side, 0] += np.where(where, np.abs(answer - truth), 0)
            self._sums[side, 1] += np.where(where, (answer >= 0.5) != truth, 0)
            self._counts[side] += where

    @property
    def ratios(self) -> str:
        """Error on seams over error inside, of pixels that were both, and how many these are."""
        both = (self._counts > 0).all(0)
        if not both.any():
            return "none"
        mean = self._sums[:, :, both] / self._counts[:, None, both]
        soft, hard = (float(mean[0, kind].mean() / mean[1, kind].mean()) for kind in (0, 1))
        return f"|p - truth| {soft:.4f}, wrong {hard:.4f} ({both.mean():.0%} of pixels)"


def mosaic(session: Session) -> tuple[NDArray[np.uint8], Mask, Mask]:
    """Lay the tiles of fold 0 together: pixels (H, W, 3), truth (H, W), and which are there (H, W)."""
    keys = [row.key for row in session.fold_rows() if row.fold == 0]
    source, task = session.train_source, session.recipe.task
    numbers = [re.findall(r"\d+", source.image_path(key).name) for key in keys]
    places = np.array([(int(found[1]), int(found[0])) for found in numbers])
    places = (places - places.min(0)) * TILE
    height, width = places.max(0) + TILE
    image, truth = np.zeros((height, width, 3), np.uint8), np.zeros((height, width), bool)
    valid = np.zeros((height, width), bool)
    for key, (row, col) in zip(keys, places, strict=True):
        item = read_item(source, key, task, session.recipe.data.max_pixels)
        assert item.shape == (TILE, TILE), (key, item.shape)
        assert item.label is not None
        window = slice(row, row + TILE), slice(col, col + TILE)
        image[window], truth[window], valid[window] = item.image, item.label == 1, item.valid
    return image, truth, valid


def scenery(forward: Forward, way: Preprocess, size: int, overlap: float, seam: str) -> Scenery:
    """Return how a raster is predicted."""
    return Scenery(
        planes=1,
        size=(size, size),
        overlap=overlap,
        seam=seam,
        label_planes=1,
        model=Blend([(forward, 1, 0, 0)], "binary", 4),
        preprocesses=(way,),
        label=lambda mean: (mean[0] >= 0.5).astype(np.uint8),
    )


def passes(
    given: Scenery, image: NDArray[np.uint8], valid: Mask
) -> Iterator[tuple[Floats, Lattice, tuple[slice, slice]]]:
    """Predict a raster with margins of several widths above it and to its left, which move all windows.

    Returns:
        the probability (H, W); where windows lay on the raster with margins; and which part of that is ours.
    """
    height, width = valid.shape
    step = round(given.size[0] * (1 - given.overlap))
    with tempfile.TemporaryDirectory() as name:
        for turn in range(PASSES):
            margin = step * turn // PASSES
            place = slice(margin, margin + height), slice(margin, margin + width)
            shape = height + margin + step, width + margin + step
            pixels = np.zeros((4, *shape), np.uint8)
            pixels[(slice(3), *place)] = np.moveaxis(image, -1, 0)
            pixels[(3, *place)] = np.where(valid, 255, 0)
            path = Path(name) / f"{turn}.tif"
            profile = {"height": shape[0], "width": shape[1], "count": 4, "dtype": "uint8", "photometric": "RGB"}
            profile |= {"crs": "EPSG:3857", "transform": rasterio.Affine(0.13, 0, 0, 0, -0.13, 0), "alpha": "yes"}
            with rasterio.open(path, "w", driver="GTiff", **profile) as file:
                file.write(pixels)
            with opened_windows(path, 0) as raster, Silent().task("", 1) as tick:
                lattice = given.lattice(raster.shape)
                with Spool(Path(name) / f"{turn}", lattice, given.layers, {}) as spool:
                    predict_scene(given, raster, spool, tick, Stop())
                    stored = np.concatenate(list(spool.read(PROBABILITY, 0)))
            yield stored[place].astype(np.float32) / SCALE, lattice, place


def seams(lattice: Lattice) -> dict[str, Mask]:
    """Return which pixels of a raster lie along edges of windows, and which several windows cover."""
    lines, zones = [], []
    for starts, side, length in zip((lattice.rows, lattice.cols), lattice.size, lattice.shape, strict=True):
        edges = sorted({*starts[1:], *(start + side for start in starts[:-1])})
        count, near = np.zeros(length, int), np.zeros(length, bool)
        for start in starts:
            count[start : start + side] += 1
        for edge in edges:
            near[max(0, edge - NEAR) : edge + NEAR] = True
        lines.append(near)
        zones.append(count > 1)
    return {"lines": lines[0][:, None] | lines[1], "zones": zones[0][:, None] | zones[1]}


PASSES = 4
SETTINGS = (
    (256, 0.25, "hann"),
    (256, 0.25, "gaussian"),
    (256, 0.5, "hann"),
    (256, 0.0, "constant"),
)
"""Window, overlap, seam; the last is the control."""

if __name__ == "__main__":
    main(Path(sys.argv[1]), Path(sys.argv[2]))
