"""Bands by name, and channels derived from them after augmentation."""

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from data_helpers import BINARY
from geo import scene, write_tiff

from maskwright.core.errors import RecipeError
from maskwright.core.progress import Silent
from maskwright.core.recipe.blocks import Data
from maskwright.core.recipe.load import build
from maskwright.core.recipe.sources import FolderSource
from maskwright.data.audit import audit
from maskwright.data.audit.fingerprint import Fingerprint
from maskwright.data.preprocess import Preprocess, positive_mean, preprocess_for
from maskwright.workflows.session import named_bands

NAMES = ["B1", "B2", "B 3", "B4"]
PRINT = Fingerprint((), 4, "uint16", 10000.0, (0.5, 0.25), (2.0, 4.0), (), ())


def files(root: Path, names: tuple[list[str], ...] = (NAMES, NAMES)) -> Path:
    for place, told in enumerate(names):
        pixels = scene(place, 16, 16, 4).astype(np.uint16)
        write_tiff(root / "images" / f"{place}.tif", pixels, names=told)
        write_tiff(root / "masks" / f"{place}.tif", (pixels[:, :, 0] > 99).astype(np.uint8))
    return root


def recipe(root: Path, **more) -> dict:
    train = {"format": "folder", "images": "images", "masks": "masks"}
    task = {"kind": "binary", "classes": ["roof"]}
    return {"name": "bands", "task": task, "data": {"root": str(root), "train": train, **more}}


def test_names_come_from_the_recipe_or_from_the_first_file(tmp_path: Path) -> None:
    given = build(recipe(tmp_path, bands=["nir", 1], band_names=["red", "green", "nir"]))
    assert given.data.bands == (3, 1)
    root = files(tmp_path)
    found = build(named_bands(recipe(root, bands=["B4", "B_3", 1]), Path("r.yaml")))
    assert found.data.bands == (4, 3, 1)
    assert found.data.band_names == ("B1", "B2", "B_3", "B4")
    with pytest.raises(RecipeError) as caught:
        build(named_bands(recipe(root, bands=["B5"]), Path("r.yaml")))
    assert "bands: 'B5' is no band" in str(caught.value)
    assert "there are B1, B2, B_3, B4" in str(caught.value)


def test_files_without_names_are_refused(tmp_path: Path) -> None:
    root = files(tmp_path, ([], []))
    with pytest.raises(RecipeError) as caught:
        named_bands(recipe(root, bands=["red"]), Path("r.yaml"))
    assert str(caught.value) == (
        "r.yaml:data.bands: bands are chosen by name, but 0.tif does not name its bands; list the names of all its "
        "bands in data.band_names, or give numbers"
    )


def test_a_file_that_calls_its_bands_otherwise_is_refused(tmp_path: Path) -> None:
    root = files(tmp_path, (NAMES, NAMES[::-1]))
    found = build(named_bands(recipe(root, bands=["B1"]), Path("r.yaml")))
    faults = [str(one) for one in audit.examine(found.task, found.data, Silent()).faults]
    assert faults == [
        f"{root}/images/1.tif: calls its bands B4, B 3, B2, B1, not B1, B2, B_3, B4; bring all images to one order, or "
        "mend data.band_names"
    ]


def test_derived_channels_follow_the_bands_and_survive_json() -> None:
    data = Data(
        train=FolderSource(images="images", masks="masks"),
        bands=(2, 4),
        band_names=("blue", "red", "green", "nir"),
        derived=("means", {"ndvi": "(nir - red) / (nir + red)"}),
    )
    ready = preprocess_for(data, PRINT)
    assert ready.channels == 5
    assert Preprocess.from_plain(json.loads(json.dumps(ready.to_plain()))) == ready
    image = np.random.default_rng(0).integers(0, 10000, (6, 5, 4)).astype(np.uint16)
    image[:3, :, 1] = 0
    image[0, 0] = 0
    result = ready(image)
    red, nir = (image[:, :, band].astype(np.float32) / 10000 for band in (1, 3))
    np.testing.assert_allclose(result[0], (red - 0.5) / 2, atol=1e-6)
    np.testing.assert_allclose(result[2], np.full((6, 5), (red[red > 0].mean() - 0.5) / 2), atol=1e-6)
    np.testing.assert_allclose(result[3], np.full((6, 5), (nir[nir > 0].mean() - 0.25) / 4), atol=1e-6)
    with np.errstate(invalid="ignore"):
        np.testing.assert_allclose(result[4], np.nan_to_num((nir - red) / (nir + red)), atol=1e-6)
    eight = replace(ready, divide=255.0, dtype="uint8")
    small = (image // 40).astype(np.uint8)
    whole = replace(eight, dtype=None)(small.astype(np.float32))
    np.testing.assert_allclose(eight(small), whole, atol=1e-5)


def test_the_mean_of_a_band_is_that_of_its_pixels_above_0() -> None:
    assert positive_mean(np.array([[0, -5, 2], [4, 0, 0]], np.float32)) == 3
    assert positive_mean(np.zeros((2, 2), np.uint8)) == 0


def test_derived_channels_are_made_after_augmentation(tmp_path: Path) -> None:
    from maskwright.data.dataset import TrainSet, TrainSpec
    from maskwright.data.sources.open import open_source

    found = build(recipe(files(tmp_path), bands=[1, 2], derived=["means", {"sum": "b1 + b2"}]))
    source = open_source(found.data.train, tmp_path, found.task)
    ready = replace(preprocess_for(found.data, PRINT), mean=(0.0, 0.0), std=(1.0, 1.0), dtype=None, file_bands=None)
    spec = TrainSpec(source, source.keys, BINARY, ready, (8, 8), ({"brightness_contrast": {"p": 1.0}},), 1 << 20, 0, 4)
    image = TrainSet(spec)[(0, 1)]["image"].numpy()
    assert image.shape == (5, 8, 8)
    np.testing.assert_allclose(image[2], np.full((8, 8), image[0][image[0] > 0].mean()), rtol=1e-5)
    np.testing.assert_allclose(image[4], image[0] + image[1], rtol=1e-5)


@pytest.mark.parametrize(
    ("more", "told"),
    [
        ({"bands": ["x"], "band_names": ["a", "b"]}, "bands: 'x' is no band; there are a, b"),
        ({"bands": [3], "band_names": ["a", "b"]}, "bands: 3 is beyond the 2 band_names"),
        ({"band_names": ["a", "a"]}, "band_names: a name occurs twice; give each band its own"),
        ({"derived": "means"}, "data.derived: is a list of means and formulas, got 'means'; write "),
        (
            {"derived": ["mean"]},
            "derived: entry 1 is 'mean' .did you mean 'means'.., neither means nor {name: formula}; ",
        ),
        ({"derived": ["means", 3]}, "derived: entry 2 is 3, neither means nor {name: formula}; write "),
        (
            {"derived": [{"2x": "b1"}]},
            "derived: entry 1 calls a channel '2x', and names are a letter, then letters, dig",
        ),
        ({"derived": [{"x": 2}]}, "derived: entry 1: the formula of x is 2, not text; write "),
        ({"derived": [{}]}, "derived: entry 1 is empty; write "),
        ({"derived": ["means", "means"]}, "derived: a channel is named twice; keep one"),
        ({"bands": [1], "derived": [{"i": "b1 + b2"}]}, "derived.i: 'b1 + b2' names 'b2', which is no band"),
    ],
)
def test_bands_that_cannot_be_are_refused(more: dict, told: str) -> None:
    with pytest.raises(RecipeError, match=told.replace("+", "[+]")):
        build(recipe(Path(), **more))
