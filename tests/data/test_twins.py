"""Twins hold the competitions' files as SEEDS describes them; the readers here know nothing of what wrote them."""

import csv
import json
import re

import cv2
import numpy as np
import pytest
import rasterio
import rasterio.warp
from rasterio.features import rasterize

from maskwright.core.errors import InputError
from maskwright.core.recipe.load import load_recipe
from maskwright.data.items import read_item
from maskwright.data.sources.open import join_source
from maskwright.data.synthetic.twins.table import TWINS, write_twin
from maskwright.workflows.session import packaged_recipes


def tree(folder):
    return {path.relative_to(folder).as_posix(): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


@pytest.fixture(scope="module")
def wildfire(tmp_path_factory):
    folder = tmp_path_factory.mktemp("twin") / "mini"
    write_twin("wildfire", folder, 12, seed=3)
    return folder / "Wildfire"


def test_wildfire_has_the_files_of_the_competition(wildfire):
    images = sorted(path.name for path in (wildfire / "train_img").iterdir())
    assert len(images) == 12
    assert all(name.startswith("train_img_") and name[10:-4].isdigit() and name.endswith(".tif") for name in images)
    assert sorted(path.name for path in (wildfire / "train_mask").iterdir()) == [
        name.replace("img", "mask") for name in images
    ]
    with (wildfire / "train_meta.csv").open(newline="") as stream:
        rows = list(csv.DictReader(stream))
    assert sorted(row["train_img"] for row in rows) == images
    assert all(row["train_mask"] == row["train_img"].replace("img", "mask") for row in rows)
    tests = sorted(path.name for path in (wildfire / "test_img").iterdir())
    assert (wildfire / "test_meta.csv").read_text().split() == ["test_img", *sorted(tests, key=lambda n: int(n[9:-4]))]


def test_wildfire_pixels_are_what_the_solution_reads(wildfire):
    burning = gaps = 0
    for path in (wildfire / "train_img").iterdir():
        with rasterio.open(path) as file:
            image = file.read()
        assert (image.dtype, image.shape) == (np.uint16, (10, 256, 256))
        assert all(band.any() for band in image), "no band is wholly 0 (SEEDS 002.1)"
        mask = cv2.imread(str(wildfire / "train_mask" / path.name.replace("img", "mask")), cv2.IMREAD_UNCHANGED)
        assert (mask.dtype, mask.shape) == (np.uint8, (256, 256))
        assert set(np.unique(mask)) <= {0, 1}
        fire = mask == 1
        if fire.any():
            assert image[6][fire].mean() > 2 * image[6][~fire].mean()
        burning, gaps = burning + fire.any(), gaps + (image == 0).any()
    assert burning >= 8
    assert gaps >= 1


@pytest.fixture(scope="module")
def open_cities(tmp_path_factory):
    folder = tmp_path_factory.mktemp("twin") / "mini"
    write_twin("open_cities", folder, 6, seed=5)
    return folder


@pytest.mark.filterwarnings("ignore::rasterio.errors.NotGeoreferencedWarning")
def test_open_cities_has_the_files_of_the_competition(open_cities):
    with (open_cities / "train_metadata.csv").open(newline="") as stream:
        rows = list(csv.DictReader(stream))
    tiers = {row["img_uri"].split("/")[0] for row in rows}
    assert (len(rows), tiers) == (6, {"train_tier_1", "train_tier_2"})
    for row in rows:
        tier, city, name, file = row["img_uri"].split("/")
        assert file == f"{name}.tif"
        assert row["label_uri"] == f"{tier}/{city}/{name}-labels/{name}.geojson"
        with rasterio.open(open_cities / row["img_uri"]) as scene:
            assert (scene.count, scene.dtypes[0], scene.crs.is_projected) == (4, "uint8", True)
            assert 0.05 < scene.res[0] < 0.31
            alpha, inside = scene.read(4), scene.bounds
            assert set(np.unique(alpha)) <= {0, 255}
            lon = rasterio.warp.transform_bounds(scene.crs, "EPSG:4326", *inside)
        features = json.loads((open_cities / row["label_uri"]).read_text())["features"]
        corners = np.array([point for one in features for point in one["geometry"]["coordinates"][0]])
        assert {one["geometry"]["type"] for one in features} <= {"Polygon"}
        if len(corners):
            assert lon[0] - 1e-4 < corners[:, 0].min() < corners[:, 0].max() < lon[2] + 1e-4
            assert lon[1] - 1e-4 < corners[:, 1].min() < corners[:, 1].max() < lon[3] + 1e-4
    for path in (open_cities / "test").glob("*/*.tif"):
        assert re.fullmatch("[0-9a-f]{6}", path.stem)
        assert path.parent.name == path.stem
        with rasterio.open(path) as chip:
            assert (chip.count, chip.shape, chip.dtypes[0]) == (4, (1024, 1024), "uint8")


def test_open_cities_is_read_by_its_recipe(open_cities):
    recipe = load_recipe(packaged_recipes()["open_cities"], [f"data.root={open_cities}"])
    source, findings = join_source(recipe.data.train, open_cities, recipe.task)
    assert findings == []
    assert {key.split("/")[0] for key in source.keys} == {"tier1", "tier2"}
    scored = {key for key in source.keys if source.scored(key)}
    assert scored
    assert all(key.startswith("tier1/") for key in scored)
    assert any(key.startswith("tier1/") for key in set(source.keys) - scored), "other scales only ever train"
    assert {source.weight(key) for key in source.keys if key.startswith("tier2/")} == {0.5}
    key = max(scored, key=lambda one: source.read_header(one, 1 << 30).shape)
    item = read_item(source, key, recipe.task, 1 << 30)
    path = source.label_path(key)
    with rasterio.open(source.image_path(key)) as scene:
        shapes = [one["geometry"] for one in json.loads(path.read_text())["features"]]
        shapes = rasterio.warp.transform_geom("EPSG:4326", scene.crs, shapes)
        drawn = rasterize(shapes, scene.shape, transform=scene.transform, all_touched=True) if shapes else 0
    assert item.label.shape == scene.shape, "it is one chip"
    assert (item.label != drawn * item.valid).mean() < 1e-3
    gsd = float(source.attributes(key)["gsd"])
    assert 0.05 < gsd < 0.35


@pytest.mark.parametrize("name", TWINS)
def test_the_same_seed_gives_the_same_files(tmp_path, name):
    for place, seed in enumerate((1, 1, 2)):
        write_twin(name, tmp_path / str(place), 4, seed)
    first, again, other = (tree(tmp_path / str(place)) for place in range(3))
    assert first == again
    assert first != other
    assert sorted(path.name for path in tmp_path.iterdir()) == ["0", "1", "2"]


def test_what_cannot_be_written_is_refused(tmp_path):
    (tmp_path / "full").mkdir()
    (tmp_path / "full" / "mine.txt").write_text("keep")
    for name, folder, items, said in (
        ("wildfires", tmp_path / "a", 8, "command line: unknown twin 'wildfires' (did you mean 'wildfire'?)"),
        ("wildfire", tmp_path / "a", 3, "--items: 3 items are too few; give 4 or more"),
        ("wildfire", tmp_path / "full", 8, f"{tmp_path}/full: holds something already; choose another --output, or "),
    ):
        with pytest.raises(InputError) as caught:
            write_twin(name, folder, items)
        assert str(caught.value).startswith(said)
    assert [path.name for path in tmp_path.iterdir()] == ["full"]
