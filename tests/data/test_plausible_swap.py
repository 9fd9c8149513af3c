"""Exchanged classes and channels are suspected in a part of a set and between two sets, and the items named."""

import numpy as np
import pytest
from clue_helpers import BLOBS, PLANES, STREET, blobs, kinds, make, street
from hypothesis import given
from hypothesis import strategies as st

from maskwright.data.plausible import plausible
from maskwright.data.plausible.swap import split

CHOSEN = (2, 5, 6, 11, 17)
NAMES = tuple(f"item{index:02}" for index in CHOSEN)
UNTOLD = STREET.model_copy(update={"classes": ("a", "b", "c", "d")})


def exchange(first, second, chosen=range(1000)):
    table = np.arange(256, dtype=np.uint8)
    table[[first, second]] = second, first
    return lambda index, image, label: (image, table[label] if index in chosen else label)


def bgr(chosen=range(1000)):
    return lambda index, image, label: (image[:, :, ::-1] if index in chosen else image, label)


def test_classes_exchanged_in_some_items_are_named():
    (found,) = plausible.suspicions(make(street, UNTOLD, 24, exchange(0, 2, CHOSEN)), UNTOLD)
    facts = found.facts
    assert found.kind == "classes_swapped"
    assert found.keys == NAMES
    assert str(found) == (
        "data.train: 'a' and 'c' look exchanged in 5 of 24 items ('item02', 'item05', 'item06' and 2 more; separation "
        f"{facts['separation']:.1f}, rest after exchanging {facts['rest']:.1%}); "
        "look at these labels, and give all files the same class ids"
    )
    assert facts["classes"] == ["a", "c"]


def test_planes_exchanged_in_some_items_are_named():
    def planes(index, image, label):
        both = np.stack([label == 0, label == 2]).astype(np.uint8)
        return image, both[::-1] if index in CHOSEN else both

    (found,) = plausible.suspicions(make(street, PLANES, 24, planes), PLANES)
    assert (found.kind, found.keys) == ("classes_swapped", NAMES)


def test_two_exchanged_items_are_too_few():
    assert plausible.suspicions(make(street, UNTOLD, 24, exchange(0, 2, (2, 5))), UNTOLD) == []


def test_all_exchanged_cannot_be_told_without_names():
    assert plausible.suspicions(make(street, UNTOLD, 24, exchange(0, 2)), UNTOLD) == []


def test_images_with_red_and_blue_exchanged_are_named():
    (found,) = plausible.suspicions(make(blobs, BLOBS, 24, bgr(CHOSEN)), BLOBS)
    assert found.kind == "channels_swapped"
    assert str(found) == (
        "data.train: red and blue are exchanged in 'item02', 'item05', 'item06' and 2 more, unlike the other images "
        f"(separation {found.facts['separation']:.1f}, rest after exchanging {found.facts['rest']:.1%}); "
        "store all images as RGB"
    )
    assert found.keys == NAMES


def test_grey_images_have_no_channels_to_exchange():
    grey = lambda index, image, label: (image[:, :, :1] if index % 2 else image[:, :, [1, 1, 1]], label)  # noqa: E731
    assert plausible.suspicions(make(blobs, BLOBS, 16, grey), BLOBS) == []


def test_sets_of_one_making_are_not_suspected():
    clues = make(street, STREET, 30)
    keys = sorted(clues)
    train, test = ({key: clues[key] for key in part} for part in (keys[:20], keys[20:]))
    assert plausible.between(train, test, STREET) == []


@pytest.mark.parametrize(
    ("spoil", "kind", "what"),
    [
        (exchange(0, 2), "classes_swapped", "'sky' and 'road' of the test labels look like the other of the two in"),
        (bgr(), "channels_swapped", "red and blue of the test images are those of the training images exchanged"),
    ],
)
def test_a_test_set_of_other_making_is_suspected(spoil, kind, what):
    (found,) = plausible.between(make(street, STREET, 20), make(street, STREET, 14, spoil), STREET)
    assert (found.kind, found.where, found.keys) == (kind, "data.test", ())
    assert found.what.startswith(what)


def test_a_test_set_without_labels_is_compared_by_its_images():
    train = make(blobs, BLOBS, 16)
    test = {key: plausible.describe(*args) for key, args in _unlabelled(12).items()}
    assert kinds(plausible.between(train, test, BLOBS)) == ["channels_swapped"]


def _unlabelled(count):
    from maskwright.data.audit.small import reduce

    images = {f"t{index}": np.ascontiguousarray(blobs(100 + index)[0][:, :, ::-1]) for index in range(count)}
    return {key: (reduce(image, None, np.ones(image.shape[:2], bool)), BLOBS) for key, image in images.items()}


@given(st.lists(st.booleans(), min_size=16, max_size=40), st.integers(0, 2**32 - 1))
def test_a_split_finds_any_turned_rows(turned, seed):
    chance = np.random.default_rng(seed)
    vectors = np.array([5.0, -3, 2]) + chance.normal(0, 0.5, (len(turned), 3))
    groups = split(np.where(turned, -1, 1)[:, None] * vectors)
    told = groups.other if sum(turned) * 2 <= len(turned) else ~groups.other
    if sum(turned) * 2 != len(turned):
        assert told.tolist() == turned
    assert groups.exchanged == (min(sum(turned), len(turned) - sum(turned)) >= 3)


def test_differences_of_both_signs_alone_are_no_exchange():
    vectors = np.random.default_rng(0).normal(0, 1, (60, 4))
    assert not split(vectors).exchanged
    bright = np.c_[np.where(np.arange(60) % 2, 4.0, -4.0), np.full(60, 3.0)] + vectors[:, :2] * 0.1
    assert not split(bright).exchanged  # objects lighter or darker than the ground, but always the smaller part
