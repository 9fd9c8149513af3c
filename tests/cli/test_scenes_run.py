"""Scenes from the recipe to the report: audit, spatial folds, training, out-of-fold answer, all from windows."""

import copy
import csv
import json
from pathlib import Path

import numpy as np
import pytest
import rasterio

EAST, NORTH = 300_000, 3_060_000


def write_scene(path: Path, seed: int, left: int) -> list[list[list[float]]]:
    """Write a scene of 96 x 96 pixels of half a metre, and return the rings of its roofs."""
    rng = np.random.default_rng(seed)
    pixels = rng.integers(1, 90, (4, 96, 96)).astype(np.uint16)
    rings = []
    for row in (8, 56):
        for col in (8, 56):
            top, side = row + int(rng.integers(0, 8)), col + int(rng.integers(0, 8))
            pixels[:, top : top + 20, side : side + 24] += 120
            x, y = EAST + left + side / 2, NORTH - top / 2
            rings.append([[x, y], [x + 12, y], [x + 12, y - 10], [x, y - 10], [x, y]])
    place = rasterio.Affine(0.5, 0, EAST + left, 0, -0.5, NORTH)
    profile = {"driver": "GTiff", "count": 4, "height": 96, "width": 96, "dtype": "uint16", "tiled": True}
    profile |= {"crs": "EPSG:32645", "transform": place, "blockxsize": 32, "blockysize": 32}
    path.parent.mkdir(parents=True, exist_ok=True)
    with rasterio.open(path, "w", **profile) as file:
        file.write(pixels)
        for number, name in enumerate(("blue", "green", "red", "nir"), start=1):
            file.set_band_description(number, name)
    return rings


@pytest.fixture
def town(tmp_path, folder_set):
    """Two scenes side by side with roofs, one to predict, and the recipe that reads them (as plain data)."""
    rings = [ring for n in (0, 1) for ring in write_scene(tmp_path / "set" / "scenes" / f"s{n}.tif", n, 48 * n)]
    write_scene(tmp_path / "set" / "new" / "far.tif", 5, 5000)
    features = [
        {"type": "Feature", "properties": {}, "geometry": {"type": "Polygon", "coordinates": [ring]}} for ring in rings
    ]
    crs = {"type": "name", "properties": {"name": "EPSG:32645"}}
    text = json.dumps({"type": "FeatureCollection", "crs": crs, "features": features})
    (tmp_path / "set" / "roofs.geojson").write_text(text, encoding="utf-8")
    plain = copy.deepcopy(folder_set)
    plain["name"] = "town"
    plain["data"] = {
        "root": "set",
        "train": {"format": "scenes", "images": "scenes", "labels": "roofs.geojson", "chip": 32, "scales": [2]},
        "test": {"format": "scenes", "images": "new", "chip": 48},
        "bands": ["red", "green", "blue", "nir"],
        "divide": 255,
        "derived": ["means", {"ndvi": "(nir - red) / (nir + red)"}],
    }
    plain["folds"] = {"kind": "spatial", "count": 2, "spatial": {"unit": "cluster", "clusters": 2, "buffer": 1}}
    return plain


def test_scenes_go_the_whole_way_and_a_second_run_does_nothing(cli, tmp_path, town, write_recipe):
    town["output"] += [{"format": "scenes", "uncertainty": True, "polygons": {"regularise": True}}]
    town["score"] = {"objects": True}
    path = write_recipe(town)
    code, out, err = cli("run", path)
    assert code == 0, err
    run = tmp_path / "runs" / "town"
    assert "2 scenes of 0.5 metres a pixel give 26 items" in out + err
    with (run / "folds.csv").open(encoding="utf-8", newline="") as handle:
        rows = list(csv.DictReader(handle))
    assert sum(row["fold"] == "-2" for row in rows) == 8  # those of scale 2 only train
    ground = json.loads((run / "ground.json").read_text(encoding="utf-8"))["folds"]
    assert [one["shared"] for one in ground] == [0, 0]
    assert all(one["distance"] >= 1 for one in ground)
    stored = sorted(path.relative_to(run).as_posix() for path in run.glob("probabilities/a/*/**/*.safetensors"))
    assert len(stored) == 18 + 4
    assert (run / "output" / "masks" / "far" / "00_48.png").exists()
    whole = sorted(path.name for path in (run / "output" / "scenes").iterdir())
    rasters = ["far_classes.tif", "far_classes.tif.aux.xml", "far_polygons.gpkg", "far_probability.tif"]
    assert whole == ["far.json", *rasters, "far_uncertainty.tif"]
    with rasterio.open(run / "output" / "scenes" / "far_classes.tif") as file:
        assert (file.shape, file.transform.c) == ((96, 96), EAST + 5000)
    _check_scores(run, out)
    page = (run / "report.html").read_text(encoding="utf-8")
    assert "On the ground" in page
    assert "0 m²" in page
    recipe = (run / "recipe.yaml").read_text(encoding="utf-8")
    assert "band_names" in recipe
    assert str(tmp_path) not in recipe
    code, out, err = cli("run", path)
    assert code == 0, err
    assert (out + err).count("nothing to do") >= 6


def _check_scores(run: Path, out: str) -> None:
    """Scenes are scored out of fold from the very counts of their items, and their objects are those of the labels."""
    told = json.loads((run / "scenes.json").read_text(encoding="utf-8"))
    assert [scene["name"] for scene in told["scenes"]] == ["s0", "s1"]
    assert [scene["objects"]["true"] for scene in told["scenes"]] == [4, 4]
    assert sum(scene["area"] for scene in told["scenes"]) == pytest.approx(2 * 48**2, rel=2e-3)
    with (run / "items.csv").open(encoding="utf-8", newline="") as handle:
        items = [row for row in csv.DictReader(handle) if row["split"] == "oof"]
    for scene in told["scenes"]:
        counts = [
            sum(int(row[f"{field}:block"]) for row in items if row["key"].startswith(f"{scene['name']}/"))
            for field in ("tp", "fp", "fn")
        ]
        assert scene["score"] == pytest.approx(counts[0] / sum(counts), abs=1e-6)
    assert told["by_area"] == pytest.approx(told["mean"], abs=1e-3)  # both scenes are of one size
    assert told["objects"]["true"] == 8
    assert "objects out of fold: F1 " in out


def test_init_finds_scenes_and_polygons_and_inspect_takes_the_recipe(cli, tmp_path, town):
    (tmp_path / "geo").mkdir()
    for name in ("scenes", "roofs.geojson"):
        (tmp_path / "set" / name).rename(tmp_path / "geo" / name)
    code, _, err = cli("init", "geo", "-o", "guessed.yaml")
    assert code == 0, err
    text = (tmp_path / "guessed.yaml").read_text(encoding="utf-8")
    assert "format: scenes" in text
    assert "labels: roofs.geojson" in text
    assert "kind: spatial" in text
    code, _, err = cli("inspect", "guessed.yaml")
    assert code == 0, err


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"images": None}, "data.train: give either images (a GeoTIFF or a folder) or table (a CSV file)"),
        ({"labels": None}, "data.train.labels is missing; name polygons, label rasters, or label_column of the table"),
        ({"categories": {"a": "block"}}, "data.train.categories: values of an attribute are mapped; set attribute"),
        ({"chip": 8}, "chip"),
        ({"chips": 8}, "unknown key 'chips' (did you mean 'chip'?)"),
    ],
)
def test_a_source_that_cannot_be_is_refused_before_any_work(cli, tmp_path, town, write_recipe, change, message):
    town["data"]["train"] |= change
    code, _, err = cli("inspect", write_recipe(town))
    assert code == 2
    assert message in err
    assert err.count("\n") == 1
    assert not (tmp_path / "runs").exists()
