"""maskwright predict --input: a trained run answers to rasters of any size, by the command line."""

import json
import shutil
import warnings
from pathlib import Path

import cv2
import numpy as np
import pyogrio
import pytest
import rasterio
import rasterio.shutil
import shapely
from PIL import Image
from rasterio.errors import NotGeoreferencedWarning
from rasterio.features import rasterize

PLACE = rasterio.Affine(0.5, 0, 300_000, 0, -0.5, 3_060_000)


def write_raster(path: Path, height: int, width: int, seed: int = 0, **profile) -> Path:
    rng = np.random.default_rng(seed)
    pixels = rng.integers(0, 90, (3, height, width), np.uint8)
    pixels[:, height // 4 : height // 2, width // 4 : width // 2] += 120
    known = {"count": 3, "height": height, "width": width, "dtype": "uint8", "crs": "EPSG:32645", "transform": PLACE}
    path.parent.mkdir(parents=True, exist_ok=True)
    with rasterio.open(path, "w", driver="GTiff", **{**known, **profile}) as file:
        file.write(pixels)
    return path


@pytest.fixture
def trained(cli, tmp_path, folder_set, write_recipe):
    """A run of one member and two folds, decided, whose data set is gone."""
    code, _, err = cli("run", write_recipe(folder_set), "--until", "decide")
    assert code == 0, err
    shutil.rmtree(tmp_path / "set")
    return tmp_path / "runs" / "tiny"


def test_a_trained_run_answers_to_rasters_and_resumes(cli, tmp_path, trained, monkeypatch):
    scene = write_raster(tmp_path / "scene.tif", 75, 130)
    options = ("--window", 32, "--overlap", 8, "--tta", "hflip,rot90")
    command = ("predict", trained, "--input", scene, "--output", tmp_path / "out", *options)

    # a full disk while the final file is written: exit 4, nothing under a final name, bands kept
    with monkeypatch.context() as patch:

        def full(*arguments, **more):
            raise rasterio.errors.RasterioIOError("No space left on device")

        patch.setattr(rasterio.shutil, "copy", full)
        code, _, err = cli(*command)
        assert code == 4, err
        assert "out/scene_probability.tif: could not be written (" in err
        assert "MiB free; No space left on device); free some space and run again" in err
    assert sorted(path.name for path in (tmp_path / "out").iterdir()) == [".scene.bands", "run.lock"]
    code, out, err = cli(*command)
    assert code == 0, err
    assert "predict scene: 3 of 3 row bands were there already" in out
    assert "predict scene: 75 x 130 pixels in 18 windows, written as scene_classes.tif and scene_probability.tif" in out
    names = ["run.lock", "scene.json", "scene_classes.tif", "scene_classes.tif.aux.xml", "scene_probability.tif"]
    assert sorted(path.name for path in (tmp_path / "out").iterdir()) == names
    _check(tmp_path / "out", trained)

    # an undisturbed twin has the same bytes; a second run does nothing; other settings make it anew
    code, _, err = cli("predict", trained, "--input", scene, "--output", tmp_path / "twin", *options)
    assert code == 0, err
    for name in names[1:]:
        assert (tmp_path / "out" / name).read_bytes() == (tmp_path / "twin" / name).read_bytes()
    code, out, _ = cli(*command)
    assert (code, "predict scene: nothing to do" in out) == (0, True)
    _check_polygons(cli, command, tmp_path / "out")
    code, out, err = cli(*command[:-1], "none")
    assert (code, "nothing to do" in out) == (0, False), err
    assert sorted(path.name for path in (tmp_path / "out").iterdir()) == names  # nothing tells of older answers
    assert json.loads((tmp_path / "out" / "scene.json").read_text())["members"]["a"]["tta"] == []


def _check(folder: Path, run: Path) -> None:
    edge = json.loads((run / "decision.json").read_text())["thresholds"][0]
    with rasterio.open(folder / "scene_probability.tif") as file:
        probability = file.read(1).astype(float) * file.scales[0]
        assert (file.shape, file.transform, file.crs) == ((75, 130), PLACE, rasterio.CRS.from_epsg(32645))
        assert file.descriptions == ("block",)
    with rasterio.open(folder / "scene_classes.tif") as file:
        classes = file.read(1)
        assert file.tags(1)["CLASS_1"] == "block"
    sure = np.abs(probability - edge) > 1 / 254
    assert sure.mean() > 0.5
    assert np.array_equal(classes[sure], (probability >= edge)[sure])
    assert str(folder.parent) not in (folder / "scene.json").read_text()


def _check_polygons(cli, command, folder: Path) -> None:
    """Polygons are drawn of rasters that are there, once, and hold the same pixels, across windows without a cut."""
    code, out, err = cli(*command, "--polygons", "gpkg")
    assert code == 0, err
    with rasterio.open(folder / "scene_classes.tif") as file:
        classes = file.read(1)
    shapes = shapely.from_wkb(pyogrio.raw.read(folder / "scene_polygons.gpkg")[2])
    assert np.array_equal(rasterize(shapes, classes.shape, transform=PLACE), classes == 1)
    assert len(shapes) == cv2.connectedComponents((classes == 1).astype(np.uint8), connectivity=4)[0] - 1
    code, out, err = cli(*command, "--polygons", "gpkg", "--min-area", "1")
    assert (code, " in scene_polygons.gpkg" in out) == (0, True), err
    with rasterio.open(folder / "scene_classes.tif") as file:
        classes = file.read(1)
    _, _, geometry, columns = pyogrio.raw.read(folder / "scene_polygons.gpkg")
    assert set(columns[0].tolist()) == {"block"}
    assert min(columns[3]) >= 1
    drawn = rasterize(shapely.from_wkb(geometry), classes.shape, transform=PLACE)
    assert (drawn & (classes == 1)).sum() == drawn.sum() > 0.9 * (classes == 1).sum()
    before = (folder / "scene_polygons.gpkg").read_bytes()
    code, out, _ = cli(*command, "--polygons", "gpkg", "--min-area", "1")
    assert (code, "nothing to do" in out) == (0, True)
    code, out, _ = cli(*command, "--polygons", "gpkg", "--min-area", "1e9")
    assert (code, "0 polygons in scene_polygons.gpkg" in out) == (0, True)
    assert (folder / "scene_polygons.gpkg").read_bytes() != before
    _check_extras(cli, command, folder)


def _check_extras(cli, command, folder: Path) -> None:
    """Right angles and uncertainty are made of rasters that are there, once, and vanish with these."""
    before = (folder / "scene_polygons.gpkg").read_bytes()
    more = (
        "--polygons",
        "gpkg",
        "--regularise",
        "--uncertainty",
        "output=[{format: scenes, polygons: {simplify: 1}}]",
    )
    code, out, err = cli(*command, *more)
    assert (code, "predict scene: uncertainty in scene_uncertainty.tif" in out) == (0, True), err
    told = json.loads((folder / "scene.json").read_text())
    drawn = {"format": "gpkg", "simplify": 1.0, "min_area": 0.0, "regularise": True}
    assert (told["polygons"], told["uncertainty"]) == ({"scene_polygons.gpkg": drawn}, True)
    assert (folder / "scene_polygons.gpkg").read_bytes() != before
    shapes = shapely.from_wkb(pyogrio.raw.read(folder / "scene_polygons.gpkg")[2])
    assert shapely.is_valid(shapes).all()
    with rasterio.open(folder / "scene_probability.tif") as file:
        stored = file.read(1)
    with rasterio.open(folder / "scene_uncertainty.tif") as file:
        unsure = file.read(1)
        assert (file.transform, file.nodata, file.descriptions, file.scales) == (
            PLACE,
            255,
            ("uncertainty",),
            (1 / 254,),
        )
    p = np.clip(stored / 254, 1e-12, 1 - 1e-12)
    entropy = -(p * np.log2(p) + (1 - p) * np.log2(1 - p))
    assert np.array_equal(unsure, np.where(stored == 255, 255, np.rint(entropy * 254)))
    code, out, _ = cli(*command, *more)
    assert (code, "predict scene: nothing to do" in out) == (0, True)


def test_a_folder_is_gone_through_and_what_cannot_be_read_is_told_at_the_end(cli, tmp_path, trained):
    new = tmp_path / "new"
    write_raster(new / "north" / "a.tif", 40, 40)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", NotGeoreferencedWarning)
        write_raster(new / "dot.tif", 1, 1, crs=None, transform=None)
    turned = rasterio.Affine(0.4, 0.1, 3e5, 0.1, -0.4, 3e6)
    write_raster(new / "turned.tif", 33, 20, transform=turned)
    Image.fromarray(np.full((30, 30, 3), 40, np.uint8)).save(new / "photo.png")
    (new / "virtual.tif").write_text("<VRTDataset></VRTDataset>")
    whole = write_raster(new / "cut.tif", 200, 200).read_bytes()
    (new / "cut.tif").write_bytes(whole[: len(whole) // 2])
    write_raster(new / "grey.tif", 40, 40)
    with rasterio.open(new / "one.tif", "w", driver="GTiff", **_one_band()) as file:
        file.write(np.zeros((2, 30, 30), np.uint8))
    code, _, err = cli("predict", trained, "--input", new, "--output", tmp_path / "out", "--window", 32)
    assert code == 2
    lines = [line for line in err.splitlines() if line.startswith("error: ") or "fault" in line]
    assert any("virtual.tif: is a GDAL VRT, which may point at any file and is never opened" in line for line in lines)
    assert any("cut.tif: is damaged" in line for line in lines)
    assert any("one.tif: has 2 bands, the model was made for 3" in line for line in lines)
    made = sorted(path.relative_to(tmp_path / "out").as_posix() for path in (tmp_path / "out").rglob("*_classes.tif"))
    assert made == [f"{name}_classes.tif" for name in ("dot", "grey", "north/a", "photo", "turned")]
    with rasterio.open(tmp_path / "out" / "turned_classes.tif") as file:
        assert file.transform == turned
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", NotGeoreferencedWarning)
        with rasterio.open(tmp_path / "out" / "dot_classes.tif") as file:
            assert (file.shape, file.crs) == ((1, 1), None)
    assert not list((tmp_path / "out").rglob("*.partial"))


def _one_band():
    return {"count": 2, "height": 30, "width": 30, "dtype": "uint8", "crs": "EPSG:32645", "transform": PLACE}


REFUSED = [
    (("--tta", "d5"), 2, "error: --tta: unknown symmetry 'd5'; use one of: antitranspose, d4, hflip, none, rot180,"),
    (("--members", "z"), 2, "error: --members: unknown member 'z'; use one of: a"),
    (("--window", 32, "--overlap", 31), 2, "error: --overlap: 31 pixels of windows of 32; share less than 95 %"),
    (("--simplify", "1"), 2, "error: command line: --simplify is for polygons; add --polygons gpkg"),
    (("--no-regularise",), 2, "error: command line: --regularise is for polygons; add --polygons gpkg"),
    (("--polygons", "shp"), 2, "error: --polygons: unknown format of polygons 'shp'; use one of: fgb, geojson, gpkg"),
    (("--memory", "much"), 2, "error: --memory: 'much' is no amount of memory; write it as 2GB or 500MB"),
    (
        ("--window", 512, "--memory", "1MB"),
        5,
        "scene.tif: rows of 400 pixels hold 1 MiB, and a quarter of --memory is 0 MiB; lower --overlap or --window,",
    ),
]


def test_options_that_cannot_be_are_refused(cli, tmp_path, trained):
    scene = write_raster(tmp_path / "scene.tif", 60, 400)
    for options, code, message in REFUSED:
        found = cli("predict", trained, "--input", scene, "--output", tmp_path / "out", *options)
        assert (found[0], message in found[2], found[2].count("\n")) == (code, True, 1), found[2]
        assert not (tmp_path / "out").exists()


def test_options_for_rasters_need_one(cli, tmp_path, folder_set, write_recipe):
    path = write_recipe(folder_set)
    code, _, err = cli("predict", path, "--window", 64)
    assert (code, err) == (
        2,
        "error: command line: --window is for rasters; name one with --input; for items set members.NAME.predict\n",
    )
    code, _, err = cli("predict", path, "--input", "x.tif")
    assert (code, err) == (2, "error: command line: --input needs --output; name a folder for the answers\n")
    code, _, err = cli("predict", path, "--input", "x.tif", "--output", "out")
    assert (code, err) == (2, "error: x.tif: no such file or folder; check --input\n")
    write_raster(tmp_path / "x.tif", 20, 20)
    code, _, err = cli("predict", path, "--input", "x.tif", "--output", "out")
    assert (code, err) == (2, "error: runs/tiny: a is not trained yet for folds [0, 1]; run maskwright train first\n")
