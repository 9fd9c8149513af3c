"""The verb chip: tiles and masks of scenes as files, named as the recipe's own reader finds them again."""

import csv
import json
from pathlib import Path

import numpy as np
import pytest
import rasterio
from PIL import Image
from typer.testing import CliRunner

from maskwright.cli.app import app
from maskwright.core.errors import InputError, RecipeError
from maskwright.core.labels import Task
from maskwright.core.recipe.sources import TableSource
from maskwright.data.items import read_item
from maskwright.data.sources.open import open_source

ROWS = """name: town
task: {{kind: {kind}, classes: [roof]}}
data:
  root: {root}
  train: {{format: {form}, images: images, labels: labels.geojson}}
"""


@pytest.fixture
def town(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Make a scene of 64 x 64 pixels with a hidden corner and one roof; work beside it."""
    pixels = np.random.default_rng(0).integers(1, 255, (3, 64, 64)).astype(np.uint8)
    pixels[:, :4, :4] = 0
    place = rasterio.Affine(1, 0, 300_000, 0, -1, 3_060_000)
    (tmp_path / "images").mkdir()
    profile = {"driver": "GTiff", "count": 3, "height": 64, "width": 64, "dtype": "uint8"}
    with rasterio.open(
        tmp_path / "images" / "a.tif", "w", crs="EPSG:32645", transform=place, nodata=0, **profile
    ) as file:
        file.write(pixels)
    x, y = (300_010, 300_030), (3_059_990, 3_059_980)
    ring = [[x[0], y[0]], [x[1], y[0]], [x[1], y[1]], [x[0], y[1]], [x[0], y[0]]]
    feature = {"type": "Feature", "properties": {}, "geometry": {"type": "Polygon", "coordinates": [ring]}}
    crs = {"type": "name", "properties": {"name": "EPSG:32645"}}
    text = json.dumps({"type": "FeatureCollection", "crs": crs, "features": [feature]})
    (tmp_path / "labels.geojson").write_text(text, encoding="utf-8")
    (tmp_path / "r.yaml").write_text(ROWS.format(root=tmp_path, kind="binary", form="scenes"), encoding="utf-8")
    monkeypatch.chdir(tmp_path)
    return tmp_path


def chip(*more: str) -> str:
    done = CliRunner().invoke(app, ["chip", "r.yaml", "--output", "chips", *more])
    if done.exception is not None and not isinstance(done.exception, SystemExit):
        raise done.exception
    return done.output


def opened(path: Path) -> np.ndarray:
    with Image.open(path) as picture:
        return np.asarray(picture)


def rows(folder: Path) -> list[dict[str, str]]:
    with (folder / "chips.csv").open(encoding="utf-8", newline="") as handle:
        return list(csv.DictReader(handle))


def test_tiles_come_back_as_the_scene_and_its_mask(town: Path) -> None:
    told = chip("--size", "32")
    assert "chip: 4 tiles of 1 scenes in chips, 4 of them written now" in told
    assert "{format: csv, table: chips.csv, mask_column: mask, values: {0: 0, 255: 1, 127: ignore}}" in told
    found = rows(town / "chips")
    assert [row["image"] for row in found] == [f"a/1_{place}.tif" for place in range(4)]
    whole, mask = np.zeros((3, 64, 64), np.uint8), np.zeros((64, 64), np.uint8)
    for row in found:
        top, left = int(row["row"]), int(row["col"])
        with rasterio.open(town / "chips" / row["image"]) as file:
            assert (file.crs.to_epsg(), file.transform.c, file.transform.f) == (32645, 300_000 + left, 3_060_000 - top)
            whole[:, top : top + 32, left : left + 32] = file.read()
        mask[top : top + 32, left : left + 32] = opened(town / "chips" / row["mask"])
    with rasterio.open(town / "images" / "a.tif") as file:
        np.testing.assert_array_equal(whole, file.read())
    expected = np.zeros((64, 64), np.uint8)
    expected[10:20, 10:30] = 255
    expected[:4, :4] = 127
    np.testing.assert_array_equal(mask, expected)
    assert json.loads((town / "chips" / "resolutions.json").read_text(encoding="utf-8"))["a"] == pytest.approx(
        1, rel=1e-3
    )
    block = TableSource(
        table="chips.csv", mask_column="mask", image_column="image", values={0: 0, 255: 1, 127: "ignore"}
    )
    task = Task(kind="binary", classes=("roof",))
    item = read_item(open_source(block, town / "chips", task), "a/1_0", task, 1 << 20)
    assert (item.valid.sum(), item.label.sum()) == (32 * 32 - 16, 10 * 20)


def test_scales_and_objects_and_a_second_run(town: Path) -> None:
    told = chip("--size", "32", "--scale", "2", "--scale", "0.5", "--around", "--pad", "6", "--format", "jpg")
    assert "chip: 2 tiles of 1 scenes" in told
    found = rows(town / "chips")
    assert [(row["image"], row["scale"]) for row in found] == [("a/2_0.jpg", "2"), ("a/0.5_0.jpg", "0.5")]
    assert opened(town / "chips" / "a/2_0.jpg").shape == (11, 16, 3)
    assert opened(town / "chips" / "a/0.5_0.jpg").shape == (44, 64, 3)
    assert opened(town / "chips" / "a/0.5_0_mask.png")[12:32, 12:52].min() == 255
    (town / "chips" / "a/2_0.jpg").unlink()
    again = chip("--size", "32", "--scale", "2", "--scale", "0.5", "--around", "--pad", "6", "--format", "jpg")
    assert "2 tiles of 1 scenes in chips, 1 of them written now" in again
    with pytest.raises(InputError) as caught:
        chip("--size", "64")
    assert str(caught.value) == (
        "chips: holds chips of other settings (around, format, scales, size); choose another --output"
    )


def test_what_cannot_be_cut_is_refused(town: Path) -> None:
    (town / "chips").mkdir()
    (town / "chips" / "mine.txt").write_text("", encoding="utf-8")
    with pytest.raises(InputError) as caught:
        chip()
    assert str(caught.value) == "chips: is not empty; choose another --output"
    text = ROWS.format(root=town, kind="binary", form="folder").replace("labels: labels.geojson", "masks: images")
    (town / "r.yaml").write_text(text, encoding="utf-8")
    with pytest.raises(RecipeError) as refused:
        chip()
    assert str(refused.value) == "data.train: is of format folder; chips are cut from format: scenes"


def test_multilabel_tiles_have_a_mask_for_each_class_that_is_read_back(town: Path) -> None:
    plain = json.loads((town / "labels.geojson").read_text(encoding="utf-8"))
    (roof,) = plain["features"]
    shade = json.loads(json.dumps(roof).replace("300010", "300020"))
    roof["properties"], shade["properties"] = {"kind": "roof"}, {"kind": "deep shade"}
    plain["features"] = [roof, shade]
    (town / "labels.geojson").write_text(json.dumps(plain), encoding="utf-8")
    text = ROWS.format(root=town, kind="multilabel", form="scenes").replace("[roof]", "[roof, deep shade]")
    (town / "r.yaml").write_text(text.replace("labels.geojson}", "labels.geojson, attribute: kind}"), encoding="utf-8")
    told = chip("--size", "32")
    columns = '{"roof": "mask:roof", "deep shade": "mask:deep shade"}'
    assert f"mask_columns: {columns}, values: {{0: 0, 255: 1, 127: ignore}}}}" in told
    first = rows(town / "chips")[0]
    assert (first["mask:roof"], first["mask:deep shade"]) == ("a/1_0_mask/roof.png", "a/1_0_mask/deep shade.png")
    known = {"values": {0: 0, 255: 1, 127: "ignore"}, "mask_columns": json.loads(columns)}
    task = Task(kind="multilabel", classes=("roof", "deep shade"))
    source = open_source(TableSource(table="chips.csv", image_column="image", **known), town / "chips", task)
    item = read_item(source, "a/1_0", task, 1 << 20)
    assert (item.valid.sum(), item.label[0].sum(), item.label[1].sum()) == (32 * 32 - 16, 10 * 20, 10 * 10)
    assert "4 tiles of 1 scenes in chips, 0 of them written now" in chip("--size", "32")
