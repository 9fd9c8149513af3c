"""Scenes become chips: read from the file by window, with polygons or label rasters laid on them."""

import pickle
from pathlib import Path

import numpy as np
import pytest
import rasterio
from data_helpers import BINARY, SCENES
from geo import EAST, LIMIT, NORTH, UTM, affine, box, joined, put_together, scene, write_geojson, write_tiff
from rasterio.features import rasterize
from rasterio.transform import Affine
from rasterio.warp import transform as reproject

from maskwright.data.items import read_item


def test_chips_put_together_are_the_scene_and_its_rasterised_polygons(tmp_path: Path) -> None:
    pixels = scene(1, 50, 70)
    write_tiff(tmp_path / "images" / "town.tif", pixels, tiled=True, blockxsize=16, blockysize=16)
    rings = [box(3.2, 4.7, 20.9, 31.1), box(40, 10, 90, 45), box(-5, 44.4, 2.6, 60)]
    write_geojson(tmp_path / "labels.geojson", rings)
    source, findings = joined(tmp_path, chip=24)
    assert findings == []
    assert source.keys == ("town/00_00", "town/00_23", "town/00_46", "town/25_00", "town/25_23", "town/25_46")
    image, label = put_together(source, (50, 70))
    np.testing.assert_array_equal(image, pixels)
    shapes = [{"type": "Polygon", "coordinates": [ring]} for ring in rings]
    np.testing.assert_array_equal(label, rasterize(shapes, out_shape=(50, 70), transform=affine(), default_value=1))
    assert source.attributes(source.keys[0]) == {
        "scene": "town",
        "gsd": "0.9999",
    }  # UTM's scale at 2 degrees off its middle
    again = pickle.loads(pickle.dumps(source))
    np.testing.assert_array_equal(read_item(again, source.keys[1], BINARY, LIMIT).image, pixels[:25, 23:46])


def test_all_touched_covers_what_gdal_covers(tmp_path: Path) -> None:
    write_tiff(tmp_path / "images" / "town.tif", scene())
    ring = [*box(3.2, 4.7, 20.9, 31.1)[:3], [EAST + 7.3, NORTH - 50.2]]
    write_geojson(tmp_path / "labels.geojson", [[*ring, ring[0]]])
    source, _ = joined(tmp_path, chip=32, pixels="all_touched")
    _, label = put_together(source, (64, 64))
    shape = {"type": "Polygon", "coordinates": [[*ring, ring[0]]]}
    expected = rasterize([shape], out_shape=(64, 64), transform=affine(), default_value=1, all_touched=True)
    np.testing.assert_array_equal(label, expected)


@pytest.mark.parametrize(
    "place",
    [
        Affine(1, 0, EAST, 0, 1, NORTH - 64),
        Affine(0.8, -0.6, EAST + 30, -0.6, -0.8, NORTH),
        Affine(2, 0, EAST, 0, -0.5, NORTH),
    ],
    ids=["south-up", "turned", "oblong"],
)
def test_any_transform_is_followed(tmp_path: Path, place: Affine) -> None:
    write_tiff(tmp_path / "images" / "town.tif", scene(), place)
    ring = box(8, 10, 50, 30)
    write_geojson(tmp_path / "labels.geojson", [ring])
    source, findings = joined(tmp_path, chip=32)
    assert findings == []
    _, label = put_together(source, (64, 64))
    shape = {"type": "Polygon", "coordinates": [ring]}
    np.testing.assert_array_equal(label, rasterize([shape], out_shape=(64, 64), transform=place, default_value=1))


def test_polygons_in_degrees_are_reprojected(tmp_path: Path) -> None:
    write_tiff(tmp_path / "images" / "town.tif", scene())
    ring = np.array(box(8.25, 10.25, 50.25, 30.25))
    lon, lat = reproject(UTM, "EPSG:4326", ring[:, 0], ring[:, 1])
    write_geojson(tmp_path / "labels.geojson", [np.stack([lon, lat], 1).tolist()], crs=None)
    source, findings = joined(tmp_path, chip=64)
    assert findings == []
    label = read_item(source, "town/00_00", BINARY, LIMIT).label
    expected = np.zeros((64, 64), np.uint8)
    expected[10:30, 8:50] = 1
    np.testing.assert_array_equal(label, expected)


def test_long_edges_bend_as_they_do_on_the_ground(tmp_path: Path) -> None:
    """A parallel is straight in degrees and bends by tens of pixels in UTM."""
    place = Affine(5000, 0, 200_000, 0, -5000, 6_700_000)
    write_tiff(tmp_path / "images" / "wide.tif", scene(0, 64, 120), place, "EPSG:32633")
    ring = [[10, 50], [20, 50], [20, 60], [10, 60], [10, 50]]
    write_geojson(tmp_path / "labels.geojson", [ring], crs=None)
    source, _ = joined(tmp_path, chip="whole")
    label = read_item(source, "wide", BINARY, LIMIT).label
    rows, cols = np.mgrid[:64, :120]
    x, y = place.c + place.a * (cols.ravel() + 0.5), place.f + place.e * (rows.ravel() + 0.5)
    lon, lat = reproject("EPSG:32633", "EPSG:4326", x, y)
    inside = (np.array(lon) > 10) & (np.array(lon) < 20) & (np.array(lat) > 50) & (np.array(lat) < 60)
    assert np.mean(label != inside.reshape(64, 120)) < 0.005


def test_a_label_raster_on_another_grid_is_brought_over_and_counts_where_it_reaches(tmp_path: Path) -> None:
    write_tiff(tmp_path / "images" / "town.tif", scene())
    coarse = np.zeros((20, 40), np.uint8)
    coarse[5:10, 3:12] = 255
    write_tiff(tmp_path / "labels" / "town.tif", coarse, affine(2.0))
    source, findings = joined(tmp_path, labels="labels", values={0: 0, 255: 1}, chip=32)
    assert findings == []
    _, label = put_together(source, (64, 64))
    expected = np.full((64, 64), 7, np.uint8)
    expected[:40] = np.repeat(np.repeat(coarse[:, :32] // 255, 2, 0), 2, 1)
    np.testing.assert_array_equal(label, expected)


def test_a_label_raster_of_the_same_pixels_needs_no_place(tmp_path: Path) -> None:
    mask = (scene(3)[:, :, 0] > 100).astype(np.uint8)
    write_tiff(tmp_path / "images" / "a.tif", scene(), crs=None)
    write_tiff(tmp_path / "labels" / "a.tif", mask, crs=None)
    source, findings = joined(tmp_path, labels="labels", chip=32)
    assert findings == []
    assert source.notes[0] == "1 of 1 scenes name no coordinate system: they have pixels and no place"
    np.testing.assert_array_equal(put_together(source, (64, 64))[1], mask)
    assert source.ground("a/32_00").plane == "a"


def test_attributes_become_classes_and_later_polygons_lie_above(tmp_path: Path) -> None:
    write_tiff(tmp_path / "images" / "town.tif", scene())
    rings = [box(0, 0, 40, 40), box(20, 20, 60, 60), box(50, 50, 64, 64)]
    write_geojson(tmp_path / "labels.geojson", rings, properties=[{"kind": "street"}, {"kind": "car"}, {"kind": 7}])
    more = {"attribute": "kind", "categories": {"street": "road", "7": "ignore"}}
    source, findings = joined(tmp_path, SCENES, chip="whole", **more)
    assert findings == []
    item = read_item(source, "town", SCENES, LIMIT)
    assert (item.label[10, 10], item.label[30, 30], item.label[5, 60]) == (1, 2, 0)
    assert not item.valid[60, 60]
    _, findings = joined(tmp_path, SCENES, attribute="kind")
    assert findings == [
        f"{tmp_path}/labels.geojson: categories that are no class of the task: 'street' (1 annotations), "
        "'7' (1 annotations); add them to task.classes, or set categories: {street: background, \"7\": background}"
    ]


def test_nothing_counts_outside_the_area_of_interest(tmp_path: Path) -> None:
    write_tiff(tmp_path / "images" / "town.tif", scene())
    write_geojson(tmp_path / "labels.geojson", [box(0, 0, 64, 64)])
    write_geojson(tmp_path / "area.geojson", [box(0, 0, 20, 64)])
    source, findings = joined(tmp_path, chip=32, area="area.geojson")
    assert findings == []
    assert source.keys == ("town/00_00", "town/32_00")  # the others lie outside
    item = read_item(source, "town/00_00", BINARY, LIMIT)
    assert item.valid[:, :20].all()
    assert not item.valid[:, 20:].any()
    assert len(source.label_paths("town/00_00")) == 2


def test_what_a_scene_hides_does_not_count_and_empty_chips_are_left_out(tmp_path: Path) -> None:
    pixels = scene()
    pixels[:, 32:] = 0
    pixels[5, 5] = 0
    write_tiff(tmp_path / "images" / "town.tif", pixels, nodata=0)
    mask = np.zeros((64, 64), np.uint8)
    mask[:32] = 255
    write_tiff(tmp_path / "images" / "village.tif", scene(), affine(col=100), mask=mask)
    write_geojson(tmp_path / "labels.geojson", [box(0, 0, 200, 64)])
    source, findings = joined(tmp_path, chip=32)
    assert findings == []
    assert source.keys == ("town/00_00", "town/32_00", "village/00_00", "village/00_32")
    assert "4 chips without a valid pixel are left out" in source.notes
    assert read_item(source, "town/00_00", BINARY, LIMIT).valid.sum() == 32 * 32 - 1


def test_scales_and_overlap_only_ever_train(tmp_path: Path) -> None:
    pixels = scene(5, 64, 64)
    write_tiff(tmp_path / "images" / "town.tif", pixels)
    write_geojson(tmp_path / "labels.geojson", [box(16, 16, 48, 48)])
    source, _ = joined(tmp_path, chip=32, scales=[1, 2, 0.5], chip_overlap=0.5)
    scored = [key for key in source.keys if source.scored(key)]
    assert scored == ["town/00_00", "town/00_32", "town/32_00", "town/32_32"]
    halved = read_item(source, "town/00_00_x2", BINARY, LIMIT)
    means = pixels.reshape(32, 2, 32, 2, 3).mean((1, 3))
    assert np.abs(halved.image.astype(float) - means).max() <= 0.5
    assert halved.label.sum() == 16 * 16
    double = read_item(source, "town/32_32_x0.5", BINARY, LIMIT)
    assert double.image.shape == (32, 32, 3)
    assert double.label.all()
    assert "town/16_16_32" in source.keys
    assert {source.attributes(key)["gsd"] for key in source.keys} == {"0.9999", "2", "0.5"}


def test_overviews_are_never_used(tmp_path: Path) -> None:
    from rasterio.enums import Resampling

    pixels, mask = scene(5), np.full((64, 64), 255, np.uint8)
    mask[:, 48:] = 0
    path = write_tiff(tmp_path / "images" / "town.tif", pixels, mask=mask)
    with rasterio.Env(GDAL_TIFF_INTERNAL_MASK=True), rasterio.open(path, "r+") as file:
        file.write(np.zeros_like(np.moveaxis(pixels, -1, 0)))
        file.build_overviews([2, 4], Resampling.nearest)
        file.write(np.moveaxis(pixels, -1, 0))
    source, _ = joined(tmp_path, labels=None, chip="whole", scales=[2])
    image, valid = source.read_image("town_x2", LIMIT)
    assert valid[:, :24].all()
    assert not valid[:, 24:].any()
    means = pixels.reshape(32, 2, 32, 2, 3).mean((1, 3))
    assert np.abs(image.astype(float) - means)[:, :24].max() <= 0.5


def test_scenes_are_brought_to_one_size_of_pixel(tmp_path: Path) -> None:
    write_tiff(tmp_path / "images" / "fine.tif", scene(0, 80, 80), affine(0.5))
    write_tiff(tmp_path / "images" / "coarse.tif", scene(1, 40, 20), affine(1.0, col=100))
    write_geojson(tmp_path / "labels.geojson", [box(0, 0, 400, 400)])
    source, _ = joined(tmp_path, chip="whole", gsd=1.0)
    shapes = {key: source.read_header(key, LIMIT).shape for key in source.keys}
    assert shapes == {"fine": (40, 40), "coarse": (40, 20)}
    assert source.notes[-1] == "2 scenes of 0.5 to 1 metres a pixel give 2 items"


def test_a_table_names_scenes_and_labels_by_address(tmp_path: Path) -> None:
    for place, name in enumerate("ab"):
        write_tiff(tmp_path / "acc" / name / f"{name}.tif", scene(), affine(col=100 * place))
        write_geojson(
            tmp_path / "acc" / f"{name}-labels" / f"{name}.geojson", [box(100 * place, 0, 100 * place + 9, 9)]
        )
    start = "https://example.org/set/"
    rows = [f"{start}acc/{name}/{name}.tif,{start}acc/{name}-labels/{name}.geojson,accra" for name in "ab"]
    (tmp_path / "meta.csv").write_text("\n".join(["img_uri,label_uri,city", *rows]) + "\n", encoding="utf-8")
    more = {"images": None, "labels": None, "table": "meta.csv", "label_column": "label_uri", "chip": "whole"}
    source, findings = joined(tmp_path, uri_prefix=start, **more)
    assert findings == []
    assert source.keys == ("acc/a/a", "acc/b/b")
    assert source.attributes("acc/b/b")["city"] == "accra"
    assert read_item(source, "acc/b/b", BINARY, LIMIT).label.sum() == 81
    source, findings = joined(tmp_path, uri_prefix=start, within="acc/b", **more)
    assert (findings, source.keys) == ([], ("acc/b/b",))
    assert source.notes[0] == f"{tmp_path}/meta.csv: 1 rows of scenes outside of acc/b are left aside"
    _, findings = joined(tmp_path, **more)
    assert findings[0] == (
        f"{tmp_path}/meta.csv:2: 'https://example.org/set/acc/a/a.tif' is an address, and nothing is fetched; copy the "
        "files below data.root and set uri_prefix to what precedes their path, e.g. 'https://example.org/set/acc/'"
    )


def test_gpkg_and_flatgeobuf_say_the_same_as_geojson(tmp_path: Path) -> None:
    import shapely
    from pyogrio.raw import write

    write_tiff(tmp_path / "images" / "town.tif", scene())
    rings = [box(3, 4, 20, 31), box(40, 10, 60, 45)]
    write_geojson(tmp_path / "labels.geojson", rings, properties=[{"kind": "road"}, {"kind": "car"}])
    wkb = shapely.to_wkb(np.array([shapely.Polygon(ring) for ring in rings]))
    kinds = [np.array(["road", "car"], object)]
    for name, driver in (("labels.gpkg", "GPKG"), ("labels.fgb", "FlatGeobuf")):
        write(tmp_path / name, wkb, kinds, ["kind"], crs=UTM, geometry_type="Polygon", driver=driver)
    found = []
    for name in ("labels.geojson", "labels.gpkg", "labels.fgb"):
        source, findings = joined(tmp_path, SCENES, labels=name, attribute="kind", chip="whole")
        assert findings == []
        found.append(read_item(source, "town", SCENES, LIMIT).label)
    np.testing.assert_array_equal(found[0], found[1])
    np.testing.assert_array_equal(found[0], found[2])
    assert joined(tmp_path, SCENES, labels="labels.gpkg", attribute="sort")[1] == [
        f"{tmp_path}/labels.gpkg: no feature has an attribute 'sort'; they have 'kind'; set attribute to one of these"
    ]


@pytest.mark.parametrize("crs", ["EPSG:4326", "EPSG:32760"])
@pytest.mark.parametrize("kind", ["on the other turn", "cut", "jumping", "on this turn"])
def test_labels_and_scenes_meet_across_the_antimeridian(tmp_path: Path, crs: str, kind: str) -> None:
    """180 and -180 are one meridian, however a file spells places beside it."""
    place = Affine(0.001, 0, 179.968, 0, -0.001, -16)
    if crs != "EPSG:4326":
        (x,), (y,) = reproject("EPSG:4326", crs, [179.968], [-16.0])
        place = Affine(107, 0, x, 0, -110.6, y)
    write_tiff(tmp_path / "images" / "town.tif", scene(), place, crs)

    def ring(left: float, right: float) -> list[list[float]]:
        return [[left, -16.04], [right, -16.04], [right, -16.01], [left, -16.01], [left, -16.04]]

    rings = {
        "on this turn": [ring(179.98, 180.02)],
        "on the other turn": [ring(-180.02, -179.98)],
        "cut": [ring(179.98, 180), ring(-180, -179.98)],
        "jumping": [ring(179.98, -179.98)],
    }[kind]
    write_geojson(tmp_path / "labels.geojson", rings, crs=None)
    source, findings = joined(tmp_path, chip=32)
    assert findings == []
    _, label = put_together(source, (64, 64))
    assert abs(int(label.sum()) - 40 * 30) <= (0 if crs == "EPSG:4326" else 40)
    assert label[20, 13:50].all()
