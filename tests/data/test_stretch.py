"""Values brought to 0..1 between levels: of the set or of an image, for each band or for all together."""

import json
from pathlib import Path

import numpy as np
import pytest
from data_helpers import BINARY
from geo import scene, write_tiff
from hypothesis import given
from hypothesis import strategies as st

from maskwright.core.progress import Silent
from maskwright.core.recipe.blocks import Data, Stretch
from maskwright.core.recipe.sources import FolderSource
from maskwright.data.audit import audit
from maskwright.data.preprocess import Preprocess, preprocess_for
from maskwright.data.stretch import apply_levels, levels_of_image, levels_of_set, sample_levels

MASKED = FolderSource(images="images", masks="masks")


def prepared(root: Path, **more) -> tuple[Preprocess, list[np.ndarray]]:
    """Look at two files of 4 bands, the second ten times brighter, and return what models get."""
    images = [scene(0, 40, 40, 4).astype(np.uint16), scene(1, 40, 40, 4).astype(np.uint16) * 10]
    for place, pixels in enumerate(images):
        write_tiff(root / "images" / f"{place}.tif", pixels)
        write_tiff(root / "masks" / f"{place}.tif", (pixels[:, :, 0] > 99).astype(np.uint8))
    data = Data(root=str(root), train=MASKED, bands=(4, 1), **more)
    print_ = audit.examine(BINARY, data, Silent()).sets["train"].fingerprint
    assert type(print_).from_plain(json.loads(json.dumps(print_.to_plain()))) == print_
    return preprocess_for(data, print_), images


def test_the_extremes_of_a_set_become_0_and_1(tmp_path: Path) -> None:
    ready, images = prepared(tmp_path, stretch={"by": "minmax"}, normalize="none")
    bands = np.concatenate([image.reshape(-1, 4) for image in images])[:, [3, 0]]
    assert (ready.low, ready.high) == (tuple(bands.min(0)), tuple(bands.max(0)))
    result = np.stack([ready(image) for image in images])
    assert result.min() == 0
    assert result.max() == 1
    again = Preprocess.from_plain(json.loads(json.dumps(ready.to_plain())))
    np.testing.assert_array_equal(again(images[0]), result[0])


def test_percentiles_of_a_set_are_near_those_of_all_its_pixels(tmp_path: Path) -> None:
    ready, images = prepared(tmp_path, stretch={"low": 10, "high": 60})
    bands = np.concatenate([image.reshape(-1, 4) for image in images])[:, [3, 0]]
    for low, high, expected in zip(ready.low, ready.high, np.percentile(bands, (10, 60), axis=0).T, strict=True):
        assert abs(low - expected[0]) < 15
        assert abs(high - expected[1]) < 150
    shown = [(image[:, :, [3, 0]] - ready.low) / (np.array(ready.high) - ready.low) for image in images]
    np.testing.assert_allclose(ready.mean, np.mean(shown, axis=(0, 1, 2)), rtol=1e-4)


def test_each_image_is_stretched_by_itself(tmp_path: Path) -> None:
    ready, images = prepared(tmp_path, stretch={"over": "item", "low": 0, "high": 100}, normalize="none")
    for image in images:
        result = ready(image)
        assert (result.min(axis=(1, 2)).tolist(), result.max(axis=(1, 2)).tolist()) == ([0, 0], [1, 1])


@given(st.integers(0, 99), st.floats(0, 40), st.floats(60, 100), st.booleans())
def test_levels_of_an_image_are_percentiles_and_colours_stay_if_bands_go_together(seed, low, high, together) -> None:
    image = scene(seed, 9, 8, 3)
    stretch = Stretch(low=low, high=high, over="item", bands="together" if together else "each")
    levels = levels_of_image(image, None, stretch)
    each = np.percentile(image.reshape(-1, 3), (low, high), axis=0)
    expected = np.stack([[each[0].min()] * 3, [each[1].max()] * 3]) if together else each
    np.testing.assert_allclose(levels, expected, rtol=1e-5)
    result = apply_levels(image, levels)
    assert result.min() >= 0
    assert result.max() <= 1


def test_what_is_hidden_and_what_is_constant_does_no_harm() -> None:
    image, valid = scene(0, 6, 6, 2), np.zeros((6, 6), bool)
    stretch = Stretch(over="item")
    assert levels_of_image(image, valid, stretch).tolist() == [[0, 0], [1, 1]]
    assert len(sample_levels(image, valid)) == 0
    assert levels_of_set([sample_levels(image, valid)], stretch, [0, 1]).tolist() == [[0, 0], [1, 1]]
    flat = np.full((4, 4, 1), 7, np.uint8)
    assert levels_of_image(flat, None, stretch).tolist() == [[7], [8]]
    valid[0, 0] = True
    assert levels_of_image(image, valid, stretch)[0].tolist() == image[0, 0].tolist()


@pytest.mark.parametrize(
    ("more", "told"),
    [
        ({"stretch": {"low": 60, "high": 40}}, r"low \(60\) must be below high \(40\)"),
        ({"stretch": {}, "divide": 255}, "stretch: values are stretched instead of divided; leave divide out"),
        (
            {"stretch": {"over": "item"}},
            "stretch: over item leaves no mean of the set; set normalize: none, or imagenet",
        ),
    ],
)
def test_settings_that_do_not_go_together_are_refused(more: dict, told: str) -> None:
    with pytest.raises(ValueError, match=told):
        Data(train=MASKED, **more)


def test_chips_are_stretched_by_the_levels_of_their_scene(tmp_path: Path) -> None:
    pixels = scene(0, 60, 90, 3)
    pixels[:, 45:] //= 4
    pixels[0] = 0
    write_tiff(tmp_path / "images" / "town.tif", pixels, nodata=0)
    ready = Preprocess((0, 1, 2), 255.0, (0.0,) * 3, (1.0,) * 3, stretch=Stretch(over="scene"))
    own = ready.of_scene(tmp_path / "images" / "town.tif")
    expected = np.percentile(pixels[1:].reshape(-1, 3), (2, 98), axis=0)
    np.testing.assert_allclose([own.low, own.high], expected, rtol=1e-5)
    assert own(pixels[1:, 45:]).max() < 0.3  # dark beside the rest of its scene
    assert own.of_scene(tmp_path / "images" / "other.tif") is own
    plain = Preprocess((0, 1, 2), 255.0, (0.0,) * 3, (1.0,) * 3)
    assert plain.of_scene(tmp_path / "images" / "other.tif") is plain
    again = Preprocess.from_plain(json.loads(json.dumps(ready.to_plain())))
    assert again == ready  # levels are those of what is predicted, not of what was trained on


def test_levels_of_a_large_scene_come_from_an_even_grid_of_windows(tmp_path: Path) -> None:
    wide = np.repeat(np.linspace(0, 200, 1300).astype(np.uint8)[None, :, None], 1200, axis=0)
    write_tiff(tmp_path / "wide.tif", wide, tiled=True, blockxsize=128, blockysize=128)
    own = Preprocess((0,), 255.0, (0.0,), (1.0,), stretch=Stretch(over="scene")).of_scene(tmp_path / "wide.tif")
    assert abs(own.low[0] - 4) <= 2
    assert abs(own.high[0] - 196) <= 2
