"""Tiny GeoTIFFs with a real coordinate system, and polygons on their ground."""

import json
import warnings
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import rasterio
from data_helpers import BINARY
from rasterio.errors import NotGeoreferencedWarning
from rasterio.transform import Affine

from maskwright.core.recipe.sources import SceneSource
from maskwright.data.items import read_item
from maskwright.data.sources.open import join_source

UTM = "EPSG:32645"
LIMIT = 1 << 20
EAST, NORTH = 300_000.0, 3_060_000.0
"""Of the first pixel's corner, in metres: in Nepal."""


def affine(size: float = 1.0, col: float = 0.0, row: float = 0.0) -> Affine:
    return Affine(size, 0, EAST + col, 0, -size, NORTH - row)


def scene(seed: int = 0, height: int = 64, width: int = 64, bands: int = 3) -> np.ndarray:
    return np.random.default_rng(seed).integers(1, 255, (height, width, bands)).astype(np.uint8)


def write_tiff(path: Path, pixels: np.ndarray, transform: Affine | None = None, crs: str | None = UTM, **more) -> Path:
    """Write (H, W, B) or (H, W); names: descriptions of the bands; mask: internal mask."""
    path.parent.mkdir(parents=True, exist_ok=True)
    names, mask = more.pop("names", ()), more.pop("mask", None)
    planes = pixels[None] if pixels.ndim == 2 else np.moveaxis(pixels, -1, 0)
    profile = {"count": len(planes), "height": planes.shape[1], "width": planes.shape[2], "dtype": planes.dtype, **more}
    if crs is not None:
        profile |= {"crs": crs, "transform": transform or affine()}
    elif transform is not None:
        profile["transform"] = transform
    with warnings.catch_warnings(), rasterio.Env(GDAL_TIFF_INTERNAL_MASK=True):
        warnings.simplefilter("ignore", NotGeoreferencedWarning)
        with rasterio.open(path, "w", driver="GTiff", **profile) as file:
            file.write(planes)
            for place, name in enumerate(names, start=1):
                file.set_band_description(place, name)
            if mask is not None:
                file.write_mask(mask)
    return path


def box(left: float, top: float, right: float, bottom: float, size: float = 1.0) -> list[list[float]]:
    """Return a closed ring around pixels left..right, top..bottom of a scene at EAST, NORTH."""
    x, y = [EAST + left * size, EAST + right * size], [NORTH - top * size, NORTH - bottom * size]
    return [[x[0], y[0]], [x[1], y[0]], [x[1], y[1]], [x[0], y[1]], [x[0], y[0]]]


def write_geojson(
    path: Path, rings: Sequence[Sequence[Sequence[float]]], crs: str | None = UTM, properties: Sequence[dict] = ()
) -> Path:
    """Write one polygon for each ring; crs None: longitude and latitude are meant."""
    known = [*properties, *[{}] * (len(rings) - len(properties))]
    features = [
        {"type": "Feature", "properties": fields, "geometry": {"type": "Polygon", "coordinates": [ring]}}
        for ring, fields in zip(rings, known, strict=True)
    ]
    return write_json(path, features, crs)


def write_json(path: Path, features: list, crs: str | None = UTM) -> Path:
    plain: dict = {"type": "FeatureCollection", "features": features}
    if crs is not None:
        plain["crs"] = {"type": "name", "properties": {"name": crs}}
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(plain), encoding="utf-8")
    return path


def joined(root: Path, task=BINARY, **block):
    source, findings = join_source(SceneSource(**{"images": "images", "labels": "labels.geojson", **block}), root, task)
    return source, [str(one) for one in findings]


def put_together(source, shape, task=BINARY):
    """Lay the scored chips of a set of one scene side by side."""
    image, label = np.zeros((*shape, 3), np.uint8), np.full(shape, 9, np.uint8)
    for key in source.keys:
        if source.scored(key):
            item = read_item(source, key, task, LIMIT)
            row, col, height, width = (int(value) for value in source.chips[key].part)
            assert (label[row : row + height, col : col + width] == 9).all()
            image[row : row + height, col : col + width] = item.image
            label[row : row + height, col : col + width] = np.where(item.valid, item.label, 7)
    return image, label
