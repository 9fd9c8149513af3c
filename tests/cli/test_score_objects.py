"""maskwright score --objects: a predicted raster against polygons or a mask on its ground."""

import json

import numpy as np
import rasterio

from maskwright.core.grid import Grid
from maskwright.output.geotiff import Layer, write_geotiff

UTM = rasterio.CRS.from_epsg(32645).to_wkt()
EAST, NORTH = 300_000.0, 3_060_000.0


def write_classes(path, values):
    grid = Grid(UTM, (1.0, 0.0, EAST, 0.0, -1.0, NORTH), values.shape)
    layer = Layer(grid, ("class",), 255, palette={0: (0, 0, 0), 1: (255, 0, 0)}, value_names=("background", "roof"))
    write_geotiff(path, layer, lambda band: iter([values]))


def write_truth(path, boxes):
    features = [
        {
            "type": "Feature",
            "properties": {},
            "geometry": {"type": "Polygon", "coordinates": [[[EAST + x, NORTH - y] for x, y in ring]]},
        }
        for left, top, right, bottom in boxes
        for ring in [[(left, top), (right, top), (right, bottom), (left, bottom), (left, top)]]
    ]
    crs = {"type": "name", "properties": {"name": "EPSG:32645"}}
    path.write_text(json.dumps({"type": "FeatureCollection", "crs": crs, "features": features}))


def test_objects_and_pixels_are_scored_against_polygons_and_against_a_mask(cli, tmp_path):
    values = np.zeros((60, 80), np.uint8)
    values[5:15, 5:15] = 1  # found
    values[30:40, 5:15] = 1  # half of it
    values[30:40, 40:50] = 1  # nothing is there
    values[:, 70:] = 255
    write_classes(tmp_path / "p.tif", values)
    # the last ones reach out of the raster, and lie where there is no data
    write_truth(tmp_path / "t.geojson", [(5, 5, 15, 15), (5, 30, 15, 55), (60, -20, 65, 3), (72, 5, 78, 10)])
    code, out, err = cli("score", "p.tif", "t.geojson", "--task", "binary", "--objects")
    assert code == 0, err
    objects, pixels = out.splitlines()
    assert objects == ("objects  F1 0.3333  precision 0.3333  recall 0.3333  3 predicted, 3 true, 1 pairs at IoU 0.5")
    hits, said, true = 200, 300, 100 + 250 + 15
    assert pixels.startswith(f"pixels   F1 {2 * hits / (said + true):.4f}  precision 0.6667  recall 0.5479  IoU ")
    truth = np.zeros((60, 80), np.uint8)
    truth[5:15, 5:15], truth[30:55, 5:15], truth[:3, 60:65], truth[5:10, 72:78] = 1, 1, 1, 1
    write_classes(tmp_path / "t.tif", truth)
    code, as_json, err = cli("score", "p.tif", "t.tif", "--task", "binary", "--objects", "--json")
    assert code == 0, err
    plain = json.loads(as_json)
    assert plain["objects"] == {
        "f1": 1 / 3, "precision": 1 / 3, "recall": 1 / 3, "pairs": 1, "predicted": 3, "true": 3, "iou": 0.5
    }  # fmt: skip
    assert round(plain["pixels"]["recall"], 4) == 0.5479


def test_what_cannot_be_scored_by_objects_is_refused(cli, tmp_path):
    write_classes(tmp_path / "p.tif", np.zeros((9, 9), np.uint8))
    write_classes(tmp_path / "q.tif", np.zeros((8, 9), np.uint8))
    write_truth(tmp_path / "far.geojson", [(900, 900, 910, 910)])
    for arguments, message in (
        (("far.geojson", "--task", "binary"), "far.geojson: polygons are a truth for objects alone; add --objects"),
        (
            ("far.geojson", "--task", "binary", "--objects"),
            "far.geojson: no polygon lies on the prediction; check both coordinate systems",
        ),
        (
            ("q.tif", "--task", "binary", "--objects"),
            "q.tif: 8x9 pixels, but the prediction has 9x9; give polygons, or a mask on the same pixels",
        ),
        (
            ("q.tif", "--task", "multiclass", "--objects"),
            "--task: objects are scored where a task is binary, not multiclass; use binary",
        ),
        (
            ("q.tif", "--task", "multiclass"),
            "--classes: is not given, and a task is multiclass; say how many classes there are",
        ),
    ):
        code, _, err = cli("score", "p.tif", *arguments)
        assert (code, err) == (2, f"error: {message}\n")
