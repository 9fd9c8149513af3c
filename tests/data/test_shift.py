"""Test images that differ from the training images are told, and in what; alike ones are not."""

import json

import cv2
import numpy as np
import pytest
from clue_helpers import BLOBS, blobs, make
from sklearn.metrics import roc_auc_score

from maskwright.data.audit.small import reduce
from maskwright.data.plausible import plausible, shift


def images(start, count, change=lambda image: image):
    made = {f"{start + index:03}": change(blobs(start + index)[0].astype(np.float32)) for index in range(count)}
    return {
        key: plausible.describe(
            reduce(np.clip(image, 0, 255).astype(np.uint8), None, np.ones(image.shape[:2], bool)), BLOBS
        )
        for key, image in made.items()
    }


@pytest.fixture(scope="module")
def train():
    return images(0, 40)


@pytest.mark.parametrize("start", [100, 200, 300])
def test_images_of_one_making_are_not_told_apart(train, start):
    found = shift.compare(train, images(start, 20))
    assert found.findings == ()
    assert found.score < 0.75
    assert found.items == (40, 20)


@pytest.mark.parametrize(
    ("change", "word"),
    [
        (lambda image: image * 0.75, "darker"),
        (lambda image: image + np.array([25, 0, -25]), "redder"),
        (lambda image: image + np.random.default_rng(0).normal(0, 18, image.shape), "green and blue less alike"),
        (lambda image: cv2.GaussianBlur(image, (0, 0), 1.5), "less fine detail"),
    ],
)
def test_what_differs_is_said(train, change, word):
    found = shift.compare(train, images(100, 20, change))
    assert found.score > 0.95
    assert word in {driver.words for driver in found.drivers}
    (finding,) = found.findings
    assert (finding.kind, finding.severity, finding.where) == ("test_shift", "note", "data.test")
    first = found.drivers[0]
    assert finding.what.startswith(
        f"test images differ from training images: a classifier tells them apart with AUC {found.score:.2f} "
        f"(0.5 = alike); {first.words} (alone {first.score:.2f}; median {first.test:.4g}, training {first.train:.4g})"
    )
    plain = json.loads(json.dumps(found.to_plain(), allow_nan=False))
    assert plain["drivers"][0]["name"] == first.name


def test_the_order_of_items_changes_nothing(train):
    test = images(100, 20)
    other = shift.compare(dict(reversed(train.items())), dict(reversed(test.items())))
    assert shift.compare(train, test).to_plain() == other.to_plain()


def test_few_images_say_nothing(train):
    assert shift.compare(train, images(100, 7)) is None


def test_other_bands_cannot_be_compared(train):
    image = np.random.default_rng(0).integers(0, 999, (32, 32, 4)).astype(np.uint16)
    small = reduce(image, None, np.ones((32, 32), bool))
    deep = {str(index): plausible.describe(small, BLOBS, levels=(1.0, 2.0, 3.0, 4.0)) for index in range(9)}
    assert shift.compare(train, deep) is None
    moved = {str(index): plausible.describe(small, BLOBS, levels=(1.0, 2.0, 3.0, 9.0 + index)) for index in range(9)}
    assert [driver.words for driver in shift.compare(deep, moved).drivers] == [
        "higher values in band_4".replace("band_", "band ")
    ]


def test_every_feature_is_named_and_finite():
    (clue,) = make(blobs, BLOBS, 1).values()
    assert len(clue.stats) == len(shift.FEATURES)
    for value in (0, 255):
        flat = shift.features(np.full((64, 64, 4), value, np.uint8), np.zeros((64, 64), bool), (64, 64))
        assert np.isfinite(flat).all()


def test_the_area_is_that_of_scikit_learn():
    chance = np.random.default_rng(0)
    late = chance.random(80) < 0.4
    scores = chance.integers(0, 12, 80) + 3.0 * late
    assert shift.area(scores, late) == pytest.approx(roc_auc_score(late, scores))
