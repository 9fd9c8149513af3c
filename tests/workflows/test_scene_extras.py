"""Uncertainty of stored probabilities, and the polygons drawn of rasters: Show 7 of what a GIS gets."""

import json

import numpy as np
import pyogrio
import pytest
import rasterio
import shapely
from rasterio.features import rasterize

from maskwright.core.grid import Grid
from maskwright.core.labels import Task
from maskwright.core.recipe.scene_output import Polygons
from maskwright.output.geotiff import Layer, write_geotiff
from maskwright.output.uncertainty import entropy_rows
from maskwright.workflows.scene_extras import Place, add_extras

UTM = rasterio.CRS.from_epsg(32645).to_wkt()
GRID = Grid(UTM, (0.5, 0.0, 300_000.0, 0.0, -0.5, 3_060_000.0), (2400, 900))
TASK = Task(kind="multiclass", classes=("background", "roof", "road"))


@pytest.mark.parametrize("kind", ["binary", "multiclass", "multilabel"])
def test_uncertainty_is_the_entropy_over_its_largest_value(tmp_path, kind):
    planes = 1 if kind == "binary" else 3
    rng = np.random.default_rng(0)
    p = rng.dirichlet([0.3] * 3, (40, 50)).transpose(2, 0, 1) if kind == "multiclass" else rng.random((planes, 40, 50))
    p[:, 0, 0] = 1 / 3 if kind == "multiclass" else 0.5
    p[:, 0, 1] = 0.0
    p[0, 0, 1] = 1.0
    stored = np.rint(p * 254).astype(np.uint8)
    stored[:, 5] = 255
    layer = Layer(Grid(UTM, GRID.affine, (40, 50)), tuple("abc"[:planes]), 255, scale=1 / 254)
    write_geotiff(tmp_path / "p.tif", layer, lambda band: iter([stored[band]]))
    found = np.concatenate(list(entropy_rows(tmp_path / "p.tif", kind)))
    p = np.clip(stored / 254, 1e-12, 1 - 1e-12)
    if kind == "multiclass":
        p /= p.sum(0)
        expected = -(p * np.log(p)).sum(0) / np.log(3)
    else:
        expected = -(p * np.log2(p) + (1 - p) * np.log2(1 - p)).mean(0)
    assert (found[5] == 255).all()
    known = np.arange(40) != 5
    assert np.abs(found[known] / 254 - expected[known]).max() <= 0.5 / 254 + 1e-6
    assert (found[0, 0], found[0, 1]) == (254, 0)


@pytest.fixture
def place(tmp_path):
    """A class raster with a roof across ten windows of 256 and three strips, a courtyard, a road, and no data."""
    values = np.zeros(GRID.shape, np.uint8)
    values[20:2380, 100:400] = 1
    values[600:1800, 200:300] = 0
    values[1000:1040, 400:900] = 2
    values[50:90, 600:700] = 1
    rows, cols = np.mgrid[: GRID.shape[0], : GRID.shape[1]]
    values[(np.abs(rows - 1500) + np.abs(cols - 650)) < 80] = 1  # a square that stands on its corner
    values[2300:, 800:] = 255
    place = Place(tmp_path, "town")
    names = TASK.value_names
    write_geotiff(place.classes, Layer(GRID, ("class",), 255, value_names=names), lambda band: iter([values]))
    share = np.stack([np.where(values == 255, 255, np.where(values == k, 200, 27)).astype(np.uint8) for k in range(3)])
    write_geotiff(place.probability, Layer(GRID, names, 255, scale=1 / 254), lambda band: iter([share[band]]))
    place.facts.write_text("{}")
    return place, values


@pytest.mark.parametrize("kind", ["gpkg", "fgb", "geojson"])
@pytest.mark.parametrize("drawing", [{}, {"simplify": 1.0}, {"regularise": True, "min_area": 100}])
def test_polygons_are_valid_share_no_ground_and_hold_the_same_pixels(place, kind, drawing):
    place, values = place
    block = Polygons(format=kind, **drawing)
    assert add_extras(place, GRID, TASK, block, lambda line: None, uncertainty=False)
    assert not add_extras(place, GRID, TASK, block, lambda line: None, uncertainty=False)
    path = place.polygons(kind)
    meta, _, geometry, columns = pyogrio.raw.read(path)
    told = dict(zip(meta["fields"], columns, strict=True))
    shapes = shapely.from_wkb(geometry)
    assert shapely.is_valid(shapes).all()
    assert sorted(told["class"].tolist()) == ["road", "roof", "roof", "roof"]  # the long one is one feature
    assert told["probability"].tolist() == pytest.approx([200 / 254] * 4, abs=1e-4)
    assert told["area_m2"].max() == pytest.approx((2360 * 300 - 1200 * 100) * 0.25, rel=3e-3)
    one, other = np.triu_indices(4, 1)
    assert shapely.area(shapely.intersection(shapes[one], shapes[other])).max() < 1e-6
    if kind == "geojson":
        assert "crs" not in json.loads(path.read_text())
        return
    ground = [(shape, int(value)) for shape, value in zip(shapes, told["value"], strict=True)]
    drawn = rasterize(ground, GRID.shape, transform=rasterio.Affine(*GRID.affine), dtype="uint8")
    for value in (1, 2):
        both = ((drawn == value) & (values == value)).sum() / ((drawn == value) | (values == value)).sum()
        assert both == 1 if not drawing else both > 0.99
