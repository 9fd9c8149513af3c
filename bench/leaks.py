"""How many planted leaks are found in real sets, kind by kind, and which pairs are found that nobody planted.

python bench/leaks.py ../shared/data [nuclei kampala ...]

For each kind every image of a set gets a changed copy, and similar.pairs joins originals and copies. Written are the
share of copies that are joined to their original, and in brackets how many other pairs were found that are not found
among the originals themselves. Tiles are two square cuts of one image with a given overlap.
"""

from __future__ import annotations

import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import cv2
import numpy as np

from maskwright.data.audit.small import reduce
from maskwright.data.leaks import similar
from maskwright.data.pixels.rasters import read_image

Image = np.ndarray[Any, Any]
Change = Callable[[Image], Image]
SETS = {
    "nuclei": "nuclei_dsb2018/images",
    "kampala": "kampala_buildings/images",
    "facades": "facades_coco/train",
    "camvid": "camvid/train",
    "banepa": "banepa_buildings/images",
    "chest": "chest_xray_multilabel/images",
    "water": "water_ms12/images",
}
RNG = np.random.default_rng(1)


def read(path: Path) -> Image:
    """Return 8-bit RGB, so that every change can be made to it; of 12 bands red, green and blue, stretched."""
    image, _ = read_image(path, 200_000_000)
    if image.shape[2] > 4:
        part = image[:, :, [3, 2, 1]].astype(np.float32)
        low, high = np.percentile(part, (2, 98), axis=(0, 1))
        image = np.clip((part - low) / np.maximum(high - low, 1) * 255, 0, 255).astype(np.uint8)
    return np.ascontiguousarray(image[:, :, :3] if image.shape[2] >= 3 else np.repeat(image[:, :, :1], 3, axis=2))


def describe(image: Image) -> similar.Description:
    image = np.ascontiguousarray(image)
    return similar.describe(reduce(image, None, np.ones(image.shape[:2], bool)))


def jpeg(quality: int) -> Change:
    return lambda image: cv2.imdecode(cv2.imencode(".jpg", image, [cv2.IMWRITE_JPEG_QUALITY, quality])[1], 1)


def resize(factor: float) -> Change:
    how = cv2.INTER_AREA if factor < 1 else cv2.INTER_LINEAR
    return lambda image: cv2.resize(image, None, fx=factor, fy=factor, interpolation=how)


def light(gain: float, offset: float) -> Change:
    return lambda image: np.clip(image.astype(np.float32) * gain + offset, 0, 255).astype(np.uint8)


def contrast(gain: float) -> Change:
    return lambda image: light(gain, float(image.mean()) * (1 - gain))(image)


def crop(share: float, enlarge: bool = False) -> Change:
    def cut(image: Image) -> Image:
        height, width = image.shape[:2]
        tall, wide = int(height * share**0.5), int(width * share**0.5)
        row, col = RNG.integers(0, height - tall + 1), RNG.integers(0, width - wide + 1)
        found = np.ascontiguousarray(image[row : row + tall, col : col + wide])
        return cv2.resize(found, (width, height)) if enlarge else found

    return cut


def tiles(overlap: float, after: Change = np.ascontiguousarray) -> Callable[[Image], tuple[Image, Image]]:
    def cut(image: Image) -> tuple[Image, Image]:
        side = int(min(image.shape[:2]) / (2 - overlap))
        step = round(side * (1 - overlap))
        down = RNG.random() < 0.5
        other = image[step : step + side, :side] if down else image[:side, step : step + side]
        return image[:side, :side], after(np.ascontiguousarray(other))

    return cut


COPIES: dict[str, Change] = {
    "equal": np.copy,
    "JPEG 90": jpeg(90),
    "JPEG 50": jpeg(50),
    "JPEG 30": jpeg(30),
    "half size": resize(0.5),
    "3/4 size": resize(0.75),
    "1.5 x size": resize(1.5),
    "0.6 x brightness": light(0.6, 0),
    "40 brighter": light(1, 40),
    "1.4 x contrast": contrast(1.4),
    "gamma 0.6": lambda image: (255 * (image / 255.0) ** 0.6).astype(np.uint8),
    "mirrored": lambda image: image[:, ::-1],
    "upside down": lambda image: image[::-1],
    "turned by 90": np.rot90,
    "transposed": lambda image: image.transpose(1, 0, 2),
    "turned by 180, JPEG 50": lambda image: jpeg(50)(np.ascontiguousarray(image[::-1, ::-1])),
    "crop of 90 %": crop(0.9),
    "crop of 75 %": crop(0.75),
    "crop of 60 %": crop(0.6),
    "crop of 80 %, enlarged": crop(0.8, True),
    "crop of 60 %, enlarged": crop(0.6, True),
    "crop of 75 %, mirrored": lambda image: crop(0.75)(image)[:, ::-1],
    "crop of 75 %, JPEG 50": lambda image: jpeg(50)(crop(0.75)(image)),
}
TILES = {
    "shifted, 90 % in common": tiles(0.9),
    "shifted, 75 % in common": tiles(0.75),
    "shifted, 60 % in common": tiles(0.6),
    "tiles, 50 % overlap": tiles(0.5),
    "tiles, 30 % overlap": tiles(0.3),
    "tiles, 25 % overlap": tiles(0.25),
    "tiles, 50 % overlap, JPEG 50": tiles(0.5, jpeg(50)),
}


def measure(images: dict[str, Image]) -> tuple[dict[str, tuple[float, int]], list[similar.Pair]]:
    """Return kind -> (share found, other pairs), and the pairs among the originals."""
    known = {key: describe(image) for key, image in images.items()}
    inside = similar.pairs(known)
    there = {frozenset(pair[:2]) for pair in inside}
    found = {}
    for kind in (*COPIES, *TILES):
        if kind in COPIES:
            first, second = known, {key: describe(COPIES[kind](image)) for key, image in images.items()}
        else:
            cut = {key: TILES[kind](image) for key, image in images.items()}
            first, second = ({key: describe(two[side]) for key, two in cut.items()} for side in (0, 1))
        pairs = similar.pairs(first, second)
        other = [pair for pair in pairs if pair.a != pair.b and frozenset(pair[:2]) not in there]
        found[kind] = (len({pair.a for pair in pairs if pair.a == pair.b}) / len(images), len(other))
    return found, inside


def main() -> None:
    root, names = Path(sys.argv[1]), sys.argv[2:] or list(SETS)
    columns = {}
    for name in names:
        files = [path for path in sorted((root / SETS[name]).iterdir()) if path.suffix != ".json"]
        columns[name], inside = measure({path.stem: read(path) for path in files})
        print(f"{name}: {len(files)} images, {len(inside)} pairs among themselves")
        for pair in inside:
            print(f"    {pair.a} ~ {pair.b} {pair.how} {pair.score:.2f}")
    print(f"| | {' | '.join(names)} |")
    for kind in (*COPIES, *TILES):
        cells = [f"{100 * columns[name][kind][0]:.0f} ({columns[name][kind][1]})" for name in names]
        print(f"| {kind} | {' | '.join(cells)} |")


if __name__ == "__main__":
    main()
