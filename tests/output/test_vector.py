"""Polygons of class rasters: no cut at strips, holes, validity, the same pixels when they are drawn again."""

import json

import numpy as np
import pyogrio
import pytest
import rasterio
import shapely
from hypothesis import given, settings
from hypothesis import strategies as st
from rasterio.features import rasterize

from maskwright.core.errors import InputError
from maskwright.core.grid import Grid
from maskwright.output.vector import Feature, Ruler, Tracing, trace, write_features

UTM = rasterio.CRS.from_epsg(32645).to_wkt()
AFFINE = (0.5, 0.0, 300_000.0, 0.0, -0.5, 3_060_000.0)
CLASSES = {1: "roof", 2: "road"}
RULER = Ruler(lambda part: np.full(part.shape[0], 0.25), lambda part: ((0.5, 0.0), (0.0, -0.5)))


def traced(values, strip=1024, wanted=None, affine=AFFINE, probability=None):
    grid = Grid(UTM, affine, values.shape)
    chances = np.full(values.shape, 0.5, np.float32) if probability is None else probability
    return trace(
        grid,
        lambda row, count: (values[row : row + count], chances[row : row + count]),
        RULER,
        wanted or Tracing(CLASSES),
        strip,
    )


@settings(max_examples=40)
@given(
    height=st.integers(1, 24),
    width=st.integers(1, 24),
    seed=st.integers(0, 99),
    strip=st.integers(1, 9),
    affine=st.sampled_from([AFFINE, (0.4, 0.1, 3e5, 0.1, -0.4, 3e6), (0.5, 0.0, 10.0, 0.0, 0.5, 20.0)]),
)
def test_polygons_are_valid_give_the_same_pixels_and_do_not_depend_on_strips(height, width, seed, strip, affine):
    values = np.random.default_rng(seed).choice([0, 1, 2, 255], (height, width), p=[0.3, 0.4, 0.25, 0.05])
    values = values.astype(np.uint8)
    found = traced(values, strip, affine=affine)
    assert all(one.shape.is_valid and one.shape.area > 0 for one in found)
    drawn = np.zeros(values.shape, np.uint8)
    for one in found:
        drawn += rasterize([(one.shape, one.value)], values.shape, transform=rasterio.Affine(*affine), dtype="uint8")
    assert np.array_equal(drawn, np.where(values < 3, values, 0))
    whole = traced(values, 1024, affine=affine)
    assert len(found) == len(whole)
    for one in found:
        assert any(one.value == other.value and one.shape.equals(other.shape) for other in whole)
    assert sum(one.area for one in found) == pytest.approx(np.isin(values, (1, 2)).sum() * 0.25)


def test_a_building_across_ten_strips_is_one_feature_with_its_hole_and_four_corners():
    values = np.zeros((100, 40), np.uint8)
    values[3:97, 5:30] = 1
    values[20:80, 10:20] = 0
    probability = np.full(values.shape, 0.25, np.float32)
    probability[:50] = 0.75
    (roof,) = traced(values, 10, probability=probability)
    assert len(roof.shape.exterior.coords) == 5
    assert [len(hole.coords) for hole in roof.shape.interiors] == [5]
    assert (roof.name, roof.value, roof.probability) == ("roof", 1, pytest.approx(0.5))
    assert roof.area == roof.shape.area == (94 * 25 - 600) * 0.25


def test_outlines_are_straightened_and_small_ones_left_out():
    rows, cols = np.mgrid[:60, :60]
    values = ((rows > cols / 3 + 5) & (rows < cols / 3 + 30)).astype(np.uint8)
    values[58, 2] = 1
    exact = traced(values)
    assert len(exact) == 2
    (drawn,) = traced(values, 7, Tracing(CLASSES, tolerance=0.5, least=1))
    assert len(drawn.shape.exterior.coords) < len(exact[0].shape.exterior.coords) / 4
    assert drawn.shape.hausdorff_distance(exact[0].shape) <= 0.5 + 1e-9
    assert drawn.area == exact[0].area  # of its pixels


@pytest.mark.parametrize(("kind", "suffix"), [("gpkg", ".gpkg"), ("fgb", ".fgb"), ("geojson", ".geojson")])
def test_files_open_with_their_attributes_and_are_equal_when_written_again(tmp_path, kind, suffix):
    values = np.zeros((30, 30), np.uint8)
    values[2:9, 2:9], values[12:20, 3:25] = 1, 2
    found = traced(values)
    paths = [tmp_path / f"{folder}/towns_polygons{suffix}" for folder in "ab"]
    for path in paths:
        write_features(path, found, UTM, kind)
    meta, _, geometry, columns = pyogrio.raw.read(paths[0])
    assert list(meta["fields"]) == ["class", "value", "probability", "area_m2"]
    told = dict(zip(columns[0].tolist(), zip(*(column.tolist() for column in columns[1:]), strict=True), strict=True))
    assert told == {"roof": (1, 0.5, 49 * 0.25), "road": (2, 0.5, 8 * 22 * 0.25)}
    shapes = shapely.from_wkb(geometry)
    assert shapely.is_valid(shapes).all()
    if kind == "geojson":
        plain = json.loads(paths[0].read_text())
        assert "crs" not in plain
        assert 84 < shapes[0].centroid.x < 86
        assert 27 < shapes[0].centroid.y < 28
        assert all(shapely.is_ccw(part.exterior) for shape in shapes for part in shape.geoms)
    else:
        assert rasterio.CRS.from_user_input(meta["crs"]) == rasterio.CRS.from_epsg(32645)
        assert {round(shape.area, 6) for shape in shapes} == {12.25, 44.0}
    assert paths[0].read_bytes() == paths[1].read_bytes()
    assert [path.name for path in paths[0].parent.iterdir()] == [paths[0].name]


def test_none_at_all_is_a_file_too_and_geojson_wants_a_place(tmp_path):
    write_features(tmp_path / "none.gpkg", [], "", "gpkg")
    assert pyogrio.read_info(tmp_path / "none.gpkg")["features"] == 0
    one = Feature(1, "roof", shapely.box(0, 0, 2, 2), 0.5, 4)
    with pytest.raises(InputError, match=r"x\.geojson: has no coordinate system, .*; use --polygons gpkg"):
        write_features(tmp_path / "x.geojson", [one], "", "geojson")
    with pytest.raises(InputError, match=r"unknown format of polygons 'shp'; use one of: fgb, geojson, gpkg"):
        write_features(tmp_path / "x.shp", [one], "", "shp")
