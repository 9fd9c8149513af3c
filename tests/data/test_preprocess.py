"""Pixels become the same numbers in training and in prediction, and foreign images are refused."""

import json

import numpy as np
import pytest
from data_helpers import BINARY, data_block, picture

from maskwright.core.errors import InputError, RecipeError
from maskwright.core.progress import Silent
from maskwright.data.audit.fingerprint import take
from maskwright.data.preprocess import IMAGENET, Preprocess, preprocess_for
from maskwright.data.sources.open import open_source

PREPARE = Preprocess((2, 0), 255.0, (0.5, 0.25), (0.1, 0.2))


@pytest.mark.parametrize("dtype", [np.uint8, np.uint16, np.int16, np.float32, np.float64, np.int32])
def test_bands_are_chosen_divided_and_normalised(dtype):
    image = picture(1).astype(dtype)
    found = PREPARE(image)
    expected = (image[:, :, [2, 0]] / 255 - [0.5, 0.25]) / [0.1, 0.2]
    np.testing.assert_allclose(found, np.moveaxis(expected, -1, 0), atol=2e-6)
    assert found.dtype == np.float32
    assert found.flags.c_contiguous


@pytest.mark.parametrize("dtype", [np.uint8, np.uint16])
def test_the_two_halves_make_the_whole_and_the_mean_stands_where_nothing_is_valid(dtype):
    image, valid = picture(1).astype(dtype), np.ones((12, 16), bool)
    valid[2, 3] = False
    image.flags.writeable = False
    found = PREPARE(image, valid)
    np.testing.assert_array_equal(found, PREPARE.normalise(PREPARE.number(image, valid)))
    assert np.abs(found[:, 2, 3]).max() < 0.02  # the mean, rounded to 8 bits
    assert PREPARE.number(image, valid).dtype == (np.uint8 if dtype == np.uint8 else np.float32)
    others = np.ones_like(valid)
    np.testing.assert_array_equal(found[:, valid], PREPARE(image, others)[:, valid])


def test_grey_images_serve_where_three_bands_are_expected():
    three = Preprocess((0, 1, 2), 255.0, (0.5,) * 3, (0.5,) * 3, file_bands=3, dtype="uint8")
    grey = picture(1, bands=1)
    np.testing.assert_array_equal(three(grey), three(np.repeat(grey, 3, axis=2)))


def test_other_bands_or_dtypes_than_in_training_are_refused():
    three = Preprocess((0, 1, 2), 255.0, (0.5,) * 3, (0.5,) * 3, file_bands=3, dtype="uint8")
    for image, text in (
        (picture(1, bands=4), "has 4 bands, the model was made for 3; give images with the bands of the training set"),
        (
            picture(1).astype(np.uint16),
            "holds uint16 values, the model was made for uint8; give images on the scale of the training set",
        ),
    ):
        with pytest.raises(InputError) as caught:
            three(image, where="x.png")
        assert str(caught.value) == f"x.png: {text}"
    one = Preprocess((0,), 255.0, (0.5,), (0.5,), file_bands=1)
    with pytest.raises(InputError, match="image: has 3 bands, the model was made for 1"):
        one(picture(1))


def test_it_travels_with_the_weights():
    assert Preprocess.from_plain(json.loads(json.dumps(PREPARE.to_plain()))) == PREPARE
    with pytest.raises(InputError) as caught:
        Preprocess.from_plain({"bands": [0]})
    assert str(caught.value) == "weights: preprocessing of another version ('mean'); train again"


def test_the_recipe_decides_how_it_is_normalised(folder_set):
    block, root = folder_set("ab")
    source = open_source(block, root, BINARY)

    def made(**data):
        settings = data_block(root, block, **data)
        return preprocess_for(settings, take(source, BINARY, settings, Silent())[0])

    whole = made()
    assert (whole.bands, whole.divide, whole.file_bands, whole.dtype) == ((0, 1, 2), 255.0, 3, "uint8")
    pixels = np.concatenate([whole(picture(0)), whole(picture(1))], axis=1)
    np.testing.assert_allclose(pixels.mean((1, 2)), 0, atol=1e-5)
    np.testing.assert_allclose(pixels.std((1, 2)), 1, atol=1e-5)
    assert (made(normalize="imagenet").mean, made(normalize="imagenet").std) == IMAGENET
    plain = made(normalize="none", bands=(3, 1))
    assert (plain.bands, plain.mean, plain.std, plain.file_bands) == ((2, 0), (0.0, 0.0), (1.0, 1.0), None)
    with pytest.raises(RecipeError) as caught:
        made(normalize="imagenet", bands=(3, 1))
    assert str(caught.value) == (
        "data.normalize: imagenet is for 3 bands, 2 are used; set data.bands, or normalize: dataset"
    )
