"""The twin of Open Cities AI (SEEDS 004.1): drone scenes, buildings as GeoJSON in two tiers, chips to predict."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from maskwright.core.files import write_json, write_text
from maskwright.data.synthetic.scenery import BUILDING
from maskwright.data.synthetic.synthetic import render
from maskwright.data.synthetic.twins.files import Ground, Rng, test_items, write_tiff

CHIP = 1024
"""Side of a test chip in pixels."""
COARSE_GSD = 0.3
"""Metres of a pixel as scenes are rendered; they are then enlarged by a factor between 1 and 3."""
CITIES = {"acc": "EPSG:32630", "dar": "EPSG:32737", "kam": "EPSG:32636", "mon": "EPSG:32629", "znz": "EPSG:32737"}
"""Where the scenes are, and in which coordinate system."""
TILED = {
    "tiled": True,
    "blockxsize": 256,
    "blockysize": 256,
    "compress": "deflate",
    "photometric": "RGB",
    "alpha": "yes",
}
"""As cloud-optimised files are stored."""
Ring = list[list[float]]


class _Pictured(NamedTuple):
    """A rendered scene."""

    rgba: NDArray[np.uint8]
    """(4, H, W); alpha 0 is no data."""
    buildings: NDArray[np.bool_]
    """(H, W)."""
    gsd: float
    """Metres of a pixel."""


def write(folder: Path, items: int, seed: int) -> None:
    """Write train_tier_1, train_tier_2 (a third of the scenes), train_metadata.csv and test; see table.Write.

    Buildings of tier 2 are shifted, and one in six is missing, since its labels are noisier.
    """
    rng = np.random.default_rng([seed, 4])
    numbers = rng.choice(np.arange(100_000, 1_000_000), items, replace=False).tolist()
    rows = ["img_uri,label_uri"]
    names: dict[str, dict[str, list[str]]] = {"train_tier_1": {}, "train_tier_2": {}}
    for place, number in enumerate(numbers):
        tier = "train_tier_2" if place % 3 == 2 else "train_tier_1"
        city = list(CITIES)[place % len(CITIES)]
        below = f"{tier}/{city}/{number}"
        own = np.random.default_rng([seed, 4, number])
        _write_scene(folder, below, CITIES[city], own, noisy=tier == "train_tier_2")
        rows.append(f"{below}/{number}.tif,{below}-labels/{number}.geojson")
        names[tier].setdefault(city, []).append(str(number))
    write_text(folder / "train_metadata.csv", "\n".join(rows) + "\n")
    for tier, cities in names.items():
        _write_catalog(folder / tier, tier, [f"{city}/collection.json" for city in cities])
        for city, scenes in cities.items():
            _write_catalog(folder / tier / city, city, [f"{each}/{each}.json" for each in scenes], "Collection")
    chips = sorted(f"{value:06x}" for value in rng.choice(1 << 24, test_items(items), replace=False).tolist())
    for chip in chips:
        own = np.random.default_rng([seed, 4, int(chip, 16)])
        picture = _picture(own, int(own.integers(256, 400)), CHIP)
        write_tiff(folder / "test" / chip / f"{chip}.tif", picture.rgba, profile=TILED)
        write_json(folder / "test" / chip / f"{chip}.json", _item(chip, None))
    _write_catalog(folder / "test", "test", [f"{chip}/{chip}.json" for chip in chips])


def _picture(rng: Rng, coarse: int, size: int) -> _Pictured:
    """Render a scene and enlarge it, so that its pixels are finer on the ground."""
    import cv2

    colours, ids = render(int(rng.integers(1 << 30)), 0, coarse)
    finer = cv2.resize(colours, (size, size), interpolation=cv2.INTER_CUBIC)
    buildings = cv2.resize((ids == BUILDING).astype(np.uint8), (size, size), interpolation=cv2.INTER_NEAREST) > 0
    alpha = np.full((size, size), 255, np.uint8)
    if rng.random() < 0.4:  # the edge of a flight
        rows, cols = np.mgrid[:size, :size]
        alpha[rows + rng.uniform(-0.3, 0.3) * cols < rng.uniform(0.05, 0.2) * size] = 0
    finer[alpha == 0] = 0
    rgba = np.dstack([finer, alpha]).transpose(2, 0, 1)
    return _Pictured(np.ascontiguousarray(rgba), buildings, COARSE_GSD * coarse / size)


def _write_scene(folder: Path, below: str, crs: str, rng: Rng, *, noisy: bool) -> None:
    """Write a scene, its STAC item, and its buildings in longitude and latitude."""
    coarse = int(rng.integers(200, 330))
    picture = _picture(rng, coarse, int(coarse * rng.uniform(1.0, 3.0)))
    ground = Ground(crs, float(rng.integers(200, 700) * 1000), float(rng.integers(100, 900) * 1000), picture.gsd)
    name = below.rpartition("/")[2]
    write_tiff(folder / below / f"{name}.tif", picture.rgba, ground, TILED)
    outlines = _drifted(_outlines(picture.buildings, ground), rng) if noisy else _outlines(picture.buildings, ground)
    features = [
        {"type": "Feature", "properties": {"building": "yes"}, "geometry": {"type": "Polygon", "coordinates": rings}}
        for rings in _in_degrees(list(outlines), crs)
    ]
    labels = folder / f"{below}-labels" / f"{name}.geojson"
    write_text(labels, json.dumps({"type": "FeatureCollection", "features": features}) + "\n")
    write_json(folder / below / f"{name}.json", _item(name, ground))


def _outlines(buildings: NDArray[np.bool_], ground: Ground) -> Iterator[list[Ring]]:
    """Give the rings of each building along the edges of its pixels, on the ground."""
    from rasterio.features import shapes
    from rasterio.transform import Affine

    where = Affine(ground.pixel, 0, ground.left, 0, -ground.pixel, ground.top)
    for shape, _ in shapes(buildings.astype(np.uint8), mask=buildings, transform=where):
        yield [[list(point) for point in ring] for ring in shape["coordinates"]]


def _drifted(outlines: Iterator[list[Ring]], rng: Rng) -> Iterator[list[Ring]]:
    for rings in outlines:
        east, north = rng.normal(0, 0.6, 2)
        if rng.random() > 1 / 6:
            yield [[[x + east, y + north] for x, y in ring] for ring in rings]


def _in_degrees(outlines: list[list[Ring]], crs: str) -> Iterator[list[Ring]]:
    """Give the same rings in longitude and latitude, as GeoJSON means them."""
    from rasterio.warp import transform

    for rings in outlines:
        moved = []
        for ring in rings:
            lon, lat = transform(crs, "EPSG:4326", [x for x, _ in ring], [y for _, y in ring])
            moved.append([[round(x, 9), round(y, 9)] for x, y in zip(lon, lat, strict=True)])
        yield moved


def _item(name: str, ground: Ground | None) -> dict[str, Any]:
    """Return a STAC item; chips to predict have no place."""
    assets: dict[str, Any] = {"image": {"href": f"{name}.tif", "type": "image/tiff; application=geotiff"}}
    if ground is not None:
        assets["label"] = {"href": f"../{name}-labels/{name}.geojson", "type": "application/geo+json"}
    return {
        "type": "Feature",
        "stac_version": "0.8.0",
        "id": name,
        "geometry": None,
        "properties": {"datetime": "2018-11-01T00:00:00Z"},
        "assets": assets,
        "links": [],
    }


def _write_catalog(folder: Path, name: str, items: list[str], kind: str = "Catalog") -> None:
    rel = "child" if any(item.endswith("collection.json") for item in items) else "item"
    links = [{"rel": rel, "href": f"./{item}"} for item in items]
    told = {"type": kind, "stac_version": "0.8.0", "id": name, "description": "synthetic", "links": links}
    write_json(folder / ("collection.json" if kind == "Collection" else "catalog.json"), told)
