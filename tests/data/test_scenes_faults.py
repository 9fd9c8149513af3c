"""Scenes and labels that do not fit each other, each told in one line with what would mend it."""

from pathlib import Path

import numpy as np
import pytest
from data_helpers import BINARY
from geo import EAST, LIMIT, NORTH, UTM, affine, box, joined, put_together, scene, write_geojson, write_json, write_tiff
from rasterio.transform import Affine
from rasterio.warp import transform as reproject

from maskwright.core.errors import InputError
from maskwright.data.items import read_item


def test_polygons_elsewhere_are_refused_with_what_would_mend_them(tmp_path: Path) -> None:
    write_tiff(tmp_path / "images" / "town.tif", scene())
    ring = np.array(box(8, 10, 50, 30))
    lon, lat = reproject(UTM, "EPSG:4326", ring[:, 0], ring[:, 1])
    here = "scenes at (84.97265, 27.64875) to (84.97331, 27.64934) (longitude, latitude)"

    def said(rings, crs, **more):
        path = write_geojson(tmp_path / "labels.geojson", rings, crs=crs)
        _, findings = joined(tmp_path, **more)
        assert len(findings) == 1, findings
        return findings[0].removeprefix(f"{path}: ")

    turned = np.stack([lat, lon], 1).tolist()
    assert said([turned], None) == (
        f"no polygon lies on a scene: polygons are at (27.64906, 84.97273) to (27.64924, 84.97316), {here}; "
        "with x and y exchanged they do: set swap_axes: true"
    )
    path = write_geojson(tmp_path / "labels.geojson", [turned], crs=None)
    assert joined(tmp_path, swap_axes=True)[1] == []
    assert said([ring.tolist()], None) == (
        "coordinates go from (300008, 3.05997e+06) to (300050, 3.05999e+06), which are no degrees; "
        "set label_crs to their system (GeoJSON means EPSG:4326)"
    )
    assert said([ring.tolist()], "EPSG:32644") == (
        f"no polygon lies on a scene: polygons are at (78.97273, 27.64906) to (78.97316, 27.64924), {here}; "
        "taken for EPSG:32645 they do: set label_crs: EPSG:32645"
    )
    source, findings = joined(tmp_path, label_crs=UTM)
    assert findings == []
    assert source.notes[-1] == f"{path}: says EPSG:32644, and is taken for EPSG:32645 as label_crs says"
    assert said([(ring + 1000).tolist()], UTM).endswith("check that labels and imagery are of one place")


def test_a_scene_beyond_the_polygons_is_named(tmp_path: Path) -> None:
    write_tiff(tmp_path / "images" / "town.tif", scene())
    write_tiff(tmp_path / "images" / "woods.tif", scene(1), affine(col=500))
    path = write_geojson(tmp_path / "labels.geojson", [box(0, 0, 9, 9)])
    assert joined(tmp_path)[1] == [
        f"{path}: 1 of 2 scenes lie outside of the polygons' bounds and count as background: 'woods'; "
        "take them out if nobody labelled them, or set area"
    ]


def test_odd_polygons_are_repaired_or_passed_over_and_counted(tmp_path: Path) -> None:
    write_tiff(tmp_path / "images" / "town.tif", scene())
    bow_tie = [box(0, 0, 10, 10)[0], box(0, 0, 10, 10)[2], box(0, 0, 10, 10)[1], box(0, 0, 10, 10)[3]]
    features = [
        {"type": "Feature", "geometry": {"type": "Polygon", "coordinates": [[*bow_tie, bow_tie[0]]]}},
        {"type": "Feature", "geometry": {"type": "Polygon", "coordinates": [box(20, 20, 30, 30)[:4]]}},
        {"type": "Feature", "geometry": {"type": "Point", "coordinates": [EAST, NORTH]}},
        {"type": "Feature", "geometry": None},
        {"type": "Feature", "geometry": {"type": "MultiPolygon", "coordinates": [[box(40, 40, 50, 50)]]}},
    ]
    path = write_json(tmp_path / "labels.geojson", features)
    source, findings = joined(tmp_path, chip="whole")
    assert findings == [f"{path}: 1 of 5 features are Point, which have no area; they are passed over"]
    told = [note for note in source.notes if "labels.geojson" in note]
    assert told == [
        f"{path}: 1 rings that do not end where they begin are closed",
        f"{path}: one feature without a geometry are passed over",
        f"{path}: one feature that cross themselves or repeat a line and are repaired",
    ]
    label = read_item(source, "town", BINARY, LIMIT).label
    assert 40 <= label[:12, :12].sum() <= 60  # two triangles of a 10 x 10 box
    assert label[20:30, 20:30].all()
    assert label[40:50, 40:50].all()


@pytest.mark.parametrize(
    ("geometry", "told"),
    [
        (
            {"type": "Polygon", "coordinates": [[[0, 0], [1, "x"], [1, 1]]]},
            "number 1 has a coordinate that is no number",
        ),
        ({"type": "Polygon", "coordinates": [[[0, 0], [1, 1]]]}, "number 1 has a ring of 2 points"),
        ({"type": "Blob", "coordinates": []}, "number 1 is of type 'Blob'"),
    ],
)
def test_a_feature_that_cannot_be_drawn_is_named(tmp_path: Path, geometry: dict, told: str) -> None:
    write_tiff(tmp_path / "images" / "town.tif", scene())
    good = {"type": "Feature", "geometry": {"type": "Polygon", "coordinates": [box(0, 0, 9, 9)]}}
    path = write_json(tmp_path / "labels.geojson", [{"type": "Feature", "geometry": geometry}, good])
    fault = f"{path}: features that cannot be drawn: {told}; mend or delete them"
    assert joined(tmp_path)[1] == [fault]


def test_coordinates_that_are_no_numbers_are_named(tmp_path: Path) -> None:
    write_tiff(tmp_path / "images" / "town.tif", scene())
    path = write_geojson(tmp_path / "labels.geojson", [box(0, 0, 9, 9), [*box(5, 5, 9, 9)[:3], [float("nan"), 1.0]]])
    fault = f"{path}: 1 features have coordinates that are no finite numbers: number 2; mend or delete them"
    assert joined(tmp_path)[1] == [fault]


def test_odd_scenes_are_refused_in_one_line(tmp_path: Path) -> None:
    from rasterio.control import GroundControlPoint

    write_geojson(tmp_path / "labels.geojson", [box(0, 0, 9, 9)])
    images = tmp_path / "images"

    def said(**block):
        findings = joined(tmp_path, **block)[1]
        for path in images.iterdir():
            path.unlink()
        return [text.replace(str(tmp_path), "") for text in findings]

    write_tiff(images / "a.tif", scene(), crs=None)
    assert said() == [
        "/images: a.tif name no coordinate system, so that the polygons of labels.geojson cannot be laid on them; "
        "georeference them, or set crs if their transform is right"
    ]
    (images / "a.tif").write_text("<VRTDataset/>", encoding="utf-8")
    assert said() == [
        "/images/a.tif: is a GDAL VRT, which may point at any file and is never opened; give the GeoTIFF it points at"
    ]
    gcps = [GroundControlPoint(row, col, EAST + col, NORTH - row) for row, col in ((0, 0), (0, 64), (64, 0))]
    write_tiff(images / "a.tif", scene(), Affine.identity(), gcps=gcps)
    assert said() == [
        "/images/a.tif: is placed by ground control points alone; warp it, e.g. with rio warp or gdalwarp"
    ]
    write_tiff(images / "a.tif", np.zeros((64, 64, 3), np.uint8), nodata=0)
    assert said() == ["/images: 1 of 1 scenes have no valid pixel: a; check nodata and alpha"]
    write_tiff(images / "a.tif", scene(), crs=None, transform=affine())
    assert said(crs=UTM) == []
    write_tiff(images / "a.tif", scene())
    assert said(crs="EPSG:0", label_crs="nonsense") == [
        "data.crs: 'EPSG:0' is no coordinate system; name it as EPSG:32645, or by its well-known text"
    ]
    write_tiff(images / "a.tif", scene(0, 1, 1))
    assert said() == []


def test_a_damaged_scene_is_named_when_its_chip_is_read(tmp_path: Path) -> None:
    path = write_tiff(tmp_path / "images" / "town.tif", scene(0, 64, 64), compress="deflate", blockysize=16)
    write_geojson(tmp_path / "labels.geojson", [box(0, 0, 9, 9)])
    data = path.read_bytes()
    path.write_bytes(data[: len(data) * 2 // 3])
    source, findings = joined(tmp_path, chip=16)
    if not findings:
        with pytest.raises(InputError, match="is damaged or truncated"):
            put_together(source, (64, 64))
