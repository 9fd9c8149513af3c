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


def test_scenes_of_a_folder_are_scored_each_and_weighed_by_their_valid_ground(cli, tmp_path):
    small, large = np.zeros((20, 20), np.uint8), np.zeros((60, 60), np.uint8)
    small[2:8, 2:8] = large[2:8, 2:8] = 1
    large[30:50, 30:50], large[:, 40:] = 1, 255
    (tmp_path / "p").mkdir()
    write_classes(tmp_path / "p" / "small_classes.tif", small)
    write_classes(tmp_path / "p" / "large_classes.tif", large)
    write_classes(tmp_path / "p" / "large_probability.tif", large)  # not taken
    write_truth(tmp_path / "t.geojson", [(2, 2, 8, 8), (10, 10, 16, 16)])
    code, out, err = cli("score", "p", "t.geojson", "--task", "binary", "--objects", "--json")
    assert code == 0, err
    told = json.loads(out)
    assert {name: scene["objects"]["f1"] for name, scene in told["scenes"].items()} == {"large": 0.5, "small": 2 / 3}
    areas = {name: scene["area"] for name, scene in told["scenes"].items()}
    assert round(areas["large"] / areas["small"], 4) == 60 * 40 / 400
    assert (told["unit"], told["objects"]["pairs"], told["objects"]["true"]) == ("m2", 2, 4)
    weights = {name: area / sum(areas.values()) for name, area in areas.items()}
    for part, score in (("objects", "f1"), ("pixels", "iou")):
        mean = sum(weights[name] * scene[part][score] for name, scene in told["scenes"].items())
        assert round(told["by_area"][part][score], 9) == round(mean, 9)
    code, out, err = cli("score", "p", "t.geojson", "--task", "binary", "--objects")
    assert code == 0, err
    assert "2 scenes together" in out
    assert "mean of scenes, weighed by their m2" in out
    (tmp_path / "t").mkdir()
    write_classes(tmp_path / "t" / "small.tif", small)
    code, _, err = cli("score", "p", "t", "--task", "binary", "--objects")
    assert (code, err) == (2, "error: p/large_classes.tif: no truth of that name; give one\n")
    write_truth(tmp_path / "far.geojson", [(900, 900, 910, 910)])
    code, _, err = cli("score", "p", "far.geojson", "--task", "binary", "--objects")
    assert (code, err) == (2, "error: far.geojson: no true object lies on any scene; check the coordinate systems\n")


def test_masks_are_weighed_by_area_too(cli, tmp_path):
    for folder, shift in (("p", 0), ("t", 1)):
        (tmp_path / folder).mkdir()
        for name, side in (("a", 20), ("b", 40)):
            values = np.zeros((side, side), np.uint8)
            values[4 + shift : 14 + shift, 4:14] = 1
            write_classes(tmp_path / folder / f"{name}.tif", values)
    rows = {}
    for per in ("image", "area"):
        code, out, err = cli("score", "p", "t", "--task", "binary", "--per", per, "--json")
        assert code == 0, err
        rows[per] = json.loads(out)
    assert rows["area"]["unit"] == "m2"
    assert abs(rows["area"]["area"] / 2000 - 1) < 2e-3
    iou, accuracy = 90 / 110, [1 - 20 / 400, 1 - 20 / 1600]
    assert round(rows["area"]["mean"]["iou"], 9) == round(iou, 9)
    assert round(rows["image"]["mean"]["accuracy"], 6) == round(sum(accuracy) / 2, 6)
    assert abs(rows["area"]["mean"]["accuracy"] - (accuracy[0] + 4 * accuracy[1]) / 5) < 1e-4


def test_objects_are_paired_as_an_independent_reading_of_spacenet_s_rule_pairs_them(cli, tmp_path):
    """Van Etten et al. 2018: by confidence, a match is the free truth of the largest IoU, 0.5 or more."""
    import shapely

    rng = np.random.default_rng(3)
    values, boxes = np.zeros((400, 400), np.uint8), []
    for row in range(10, 380, 40):
        for col in range(10, 380, 40):
            high, wide = rng.integers(14, 30, 2)
            top, left = row + rng.integers(-3, 4), col + rng.integers(-3, 4)
            if rng.random() < 0.85:
                values[max(top, 0) : top + high, max(left, 0) : left + wide] = 1
            if rng.random() < 0.85:
                boxes.append((col, row, col + int(rng.integers(14, 30)), row + int(rng.integers(14, 30))))
    write_classes(tmp_path / "p.tif", values)
    write_truth(tmp_path / "t.geojson", boxes)
    code, out, err = cli("score", "p.tif", "t.geojson", "--task", "binary", "--objects", "--json")
    assert code == 0, err
    from rasterio.features import shapes

    said = [shapely.geometry.shape(one) for one, value in shapes(values, connectivity=4) if value]
    truths, pairs = [shapely.box(*box) for box in boxes], 0
    for one in sorted(said, key=lambda shape: -shape.area):
        best = max(truths, key=lambda other: one.intersection(other).area / one.union(other).area)
        if one.intersection(best).area / one.union(best).area >= 0.5:
            pairs += 1
            truths.remove(best)
    told = json.loads(out)["objects"]
    assert (told["pairs"], told["predicted"], told["true"]) == (pairs, len(said), len(boxes))
    assert 20 < pairs < len(said)
    assert told["f1"] == 2 * pairs / (len(said) + len(boxes))
