"""Pictures: colours mean what the legend says, and big or odd images stay small."""

import base64
import io

import numpy as np
import pytest
from PIL import Image

from maskwright.core.labels import Task
from maskwright.output.report.pictures import (
    FALSE_NEGATIVE,
    FALSE_POSITIVE,
    WRONG_CLASS,
    colour,
    data_uri,
    error_kinds,
    error_map,
    errors,
    make_case,
    overlay,
    shrink,
    thumbnail,
)

BINARY = Task(kind="binary", classes=("roof",), colours=((200, 100, 0),))
MULTICLASS = Task(kind="multiclass", classes=("background", "road", "tree"))
STREETS = Task(kind="multiclass", classes=("sky", "road"))
MULTILABEL = Task(kind="multilabel", classes=("heart", "lung"), colours=((200, 0, 0), (0, 100, 0)))


def near(pixel, tone):
    return np.abs(pixel.astype(int) - np.array(tone)).max() < 40


def test_8_bit_images_are_shown_as_they_are():
    image = np.random.default_rng(0).integers(0, 256, (5, 6, 4), dtype=np.uint8)
    np.testing.assert_array_equal(thumbnail(image), image[..., :3])


def test_a_very_dark_8_bit_image_is_brightened_and_black_stays_black():
    image = np.zeros((10, 10, 3), np.uint8)
    assert thumbnail(image).max() == 0
    image[2:8, 2:8] = 20
    assert thumbnail(image).max() == 160


def test_16_bit_images_are_stretched_between_percentiles_of_valid_pixels():
    image = np.linspace(1000, 3000, 10_000).reshape(100, 100, 1).astype(np.uint16)
    image[0, 0] = 65535
    valid = np.ones((100, 100), bool)
    valid[0, 0] = False
    shown = thumbnail(image, valid)
    assert shown.shape == (100, 100, 3)
    assert (shown[0, 1, 0], shown[99, 99, 0]) == (0, 255)
    assert abs(int(shown[50, 0, 0]) - 128) <= 2


def test_float_images_with_nan_and_infinity_are_shown_without_a_warning():
    image = np.full((4, 4, 2), np.nan, np.float32)
    image[0, 0], image[0, 1], image[1] = np.inf, -np.inf, [[0.5]]
    shown = thumbnail(image)
    assert shown.dtype == np.uint8
    assert (shown[0, 0, 0], shown[0, 1, 0], shown[3, 3, 0]) == (255, 0, 0)
    assert thumbnail(np.full((2, 2, 1), np.nan)).max() == 0


def test_colours_are_the_palette_and_overlaps_are_mixed():
    np.testing.assert_array_equal(colour(np.array([[0, 1]], np.uint8), BINARY), [[[0, 0, 0], [200, 100, 0]]])
    np.testing.assert_array_equal(colour(np.array([[0, 1, 2]], np.uint8), MULTICLASS)[0], MULTICLASS.palette)
    planes = np.array([[[1, 1, 0]], [[0, 1, 0]]], np.uint8)
    np.testing.assert_array_equal(colour(planes, MULTILABEL), [[[200, 0, 0], [100, 50, 0], [0, 0, 0]]])


def test_an_overlay_leaves_the_background_grey_and_outlines_what_is_there():
    label = np.zeros((9, 9), np.uint8)
    label[2:7, 2:7] = 1
    shown = overlay(np.full((9, 9, 3), 100, np.uint8), label, BINARY, 0.5)
    assert shown[0, 0].tolist() == [100, 100, 100]
    assert shown[4, 4].tolist() == [150, 100, 50]
    assert near(shown[2, 4], (200, 100, 0))


def test_errors_of_each_kind_have_their_colour_and_right_pixels_stay_grey():
    truth = np.array([[0, 1, 2, 1, 0]], np.uint8)
    answer = np.array([[1, 0, 1, 1, 0]], np.uint8)
    shown = error_map(np.full((1, 5, 3), 90, np.uint8), truth, answer, np.ones((1, 5), bool), MULTICLASS)[0]
    assert near(shown[0], FALSE_POSITIVE)
    assert near(shown[1], FALSE_NEGATIVE)
    assert near(shown[2], WRONG_CLASS)
    assert len(set(shown[3].tolist())) == len(set(shown[4].tolist())) == 1
    assert shown[3, 0] > shown[4, 0]


def test_pixels_that_do_not_count_are_hatched_whatever_was_predicted():
    ones = np.ones((40, 40), np.uint8)
    shown = error_map(np.zeros((40, 40, 3), np.uint8), 0 * ones, ones, np.zeros((40, 40), bool), BINARY)
    assert len(np.unique(shown)) == 2
    assert (shown[..., 0] == shown[..., 2]).all()


def test_without_a_background_every_error_is_a_wrong_class():
    extra, missed, wrong = errors(np.array([[0, 1]], np.uint8), np.array([[1, 0]], np.uint8), STREETS)
    assert (extra.sum(), missed.sum(), wrong.sum()) == (0, 0, 2)
    assert [name for name, _ in error_kinds(STREETS)] == ["wrong class"]


def test_multilabel_errors_of_both_kinds_in_one_pixel_are_told_apart():
    truth = np.array([[[1, 0, 1]], [[0, 0, 0]]], np.uint8)
    answer = np.array([[[0, 0, 1]], [[1, 1, 0]]], np.uint8)
    extra, missed, wrong = errors(truth, answer, MULTILABEL)
    assert (extra.tolist(), missed.tolist(), wrong.tolist()) == ([[False, True, False]], [[False] * 3], [[True, 0, 0]])


@pytest.mark.parametrize("shape", [(3000, 40), (40, 3000), (5, 7)])
def test_a_case_is_small_and_keeps_its_proportions(shape):
    label = np.zeros(shape, np.uint8)
    found = make_case(("k", 0.5, "note"), np.zeros((*shape, 1), np.uint16), label, BINARY, label)
    pictures = (found.image, found.truth, found.prediction, found.error)
    assert len({picture.shape for picture in pictures}) == 1
    assert max(found.image.shape[:2]) == min(384, max(shape))
    assert (found.key, found.score, found.note) == ("k", 0.5, "note")


def test_an_unlabelled_case_has_neither_truth_nor_errors():
    found = make_case(("k", None, ""), np.zeros((4, 4, 3), np.uint8), np.zeros((4, 4), np.uint8), BINARY)
    assert found.truth is None
    assert found.error is None


def test_shrinking_averages_and_never_enlarges():
    board = np.indices((8, 8)).sum(axis=0)[..., None].repeat(3, axis=2) % 2 * np.uint8(200)
    assert (shrink(board.astype(np.uint8), 4) == 100).all()
    assert shrink(board.astype(np.uint8), 100).shape == (8, 8, 3)


@pytest.mark.parametrize("budget", [200_000, 8_000, 100])
def test_a_data_uri_is_a_picture_within_its_budget_or_the_floor(budget):
    noise = np.random.default_rng(0).integers(0, 255, (200, 300, 3), dtype=np.uint8)
    kind, _, text = data_uri(noise, budget).partition(";base64,")
    data = base64.b64decode(text)
    assert kind in ("data:image/webp", "data:image/jpeg")
    assert len(data) <= max(budget, 2_500)
    with Image.open(io.BytesIO(data)) as picture:
        assert picture.width >= picture.height
