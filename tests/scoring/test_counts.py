import itertools
import subprocess
import sys

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from sklearn.metrics import confusion_matrix

from maskwright.core.errors import InputError
from maskwright.core.labels import Task
from maskwright.scoring.counts import Counts, confusion, count

BINARY = Task(kind="binary", classes=("roof",))
CLASSES = (2, 3, 11, 16, 17, 64, 65, 200, 254)
TEXTURES = ("noise", "regions", "flat", "stripes")


def plain_confusion(truth, predicted, valid, classes):
    kept = slice(None) if valid is None else valid
    pairs = truth[kept].ravel().astype(np.int64) * classes + predicted[kept].ravel()
    return np.bincount(pairs, minlength=classes * classes).reshape(classes, classes)


def textured(chance, texture, shape, classes):
    """Labels whose runs are long, short, or of every length: each branch of the kernel."""
    noise = chance.integers(0, classes, shape)
    if texture == "noise":
        return noise.astype(np.uint8)
    if texture == "flat":
        return np.full(shape, noise.flat[0] if noise.size else 0, np.uint8)
    if texture == "stripes":
        return np.broadcast_to(noise[:1], shape).astype(np.uint8)
    side = int(chance.integers(2, 90))
    rows, cols = -(-shape[0] // side), -(-shape[1] // side)
    return np.kron(chance.integers(0, classes, (rows, cols)), np.ones((side, side)))[: shape[0], : shape[1]].astype(
        np.uint8
    )


@st.composite
def pictures(draw, classes=CLASSES):
    """Truth, prediction, validity (or None) and the number of classes, of any shape and texture."""
    chance = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
    shape, kinds = (draw(st.integers(1, 150)), draw(st.integers(1, 150))), draw(st.sampled_from(classes))
    truth, predicted = (textured(chance, draw(st.sampled_from(TEXTURES)), shape, kinds) for _ in range(2))
    share = draw(st.sampled_from([None, 0, 0.02, 0.5, 0.99, 1]))
    if share is None:
        return truth, predicted, None, kinds
    scattered = chance.random(shape) < share
    return truth, predicted, draw(st.sampled_from([scattered, textured(chance, "regions", shape, 2) > 0])), kinds


@given(pictures())
def test_confusion_counts_every_valid_pair_as_bincount_does(picture):
    truth, predicted, valid, classes = picture
    matrix = confusion(truth, predicted, valid, classes)
    assert matrix.dtype == np.int64
    np.testing.assert_array_equal(matrix, plain_confusion(truth, predicted, valid, classes))


@given(pictures(classes=(3, 11, 20)))
def test_confusion_agrees_with_scikit_learn(picture):
    truth, predicted, valid, classes = picture
    kept = np.ones(truth.shape, bool) if valid is None else valid
    if kept.any():
        theirs = confusion_matrix(truth[kept], predicted[kept], labels=range(classes))
        np.testing.assert_array_equal(confusion(truth, predicted, valid, classes), theirs)


@given(pictures(classes=(2, 5, 30)), st.integers(0, 2**32 - 1))
def test_what_stands_at_pixels_that_do_not_count_changes_nothing(picture, seed):
    truth, predicted, valid, classes = picture
    if valid is None:
        return
    soiled = [
        np.where(valid, array, np.random.default_rng(seed).integers(0, 256, array.shape))
        for array in (truth, predicted)
    ]
    clean = confusion(truth, predicted, valid, classes)
    np.testing.assert_array_equal(confusion(*(array.astype(np.uint8) for array in soiled), valid, classes), clean)


@pytest.mark.parametrize("dtype", [np.uint8, np.int32, np.int64, np.uint16])
def test_layout_and_integer_type_change_nothing(dtype):
    chance = np.random.default_rng(4)
    wide = chance.integers(0, 7, (90, 300))
    truth, predicted = wide[::2, ::3].astype(dtype), np.roll(wide, 1, 1)[::2, ::3].astype(dtype)
    expected = plain_confusion(truth, predicted, None, 7)
    np.testing.assert_array_equal(confusion(truth, predicted, None, 7), expected)
    np.testing.assert_array_equal(confusion(truth.T, predicted.T, None, 7), expected)
    frozen = np.ascontiguousarray(truth)
    frozen.flags.writeable = False
    np.testing.assert_array_equal(confusion(frozen, predicted, None, 7), expected)


@pytest.mark.parametrize("classes", [3, 16, 40, 200])
@pytest.mark.parametrize("size", [1, 30, 700])
def test_ids_outside_the_classes_are_refused_wherever_they_stand(classes, size):
    good = np.zeros((size, 3), np.uint8)
    for place, wrong in itertools.product((0, size // 2, size - 1), {classes, 255}):
        bad = good.copy()
        bad[place, 1] = wrong
        fix = "map label values to class ids first"
        with pytest.raises(InputError) as caught:
            confusion(bad, good, None, classes)
        ends = f"but the ids of {classes} classes end at {classes - 1}; {fix}"
        assert str(caught.value) == f"class id {wrong} in the truth, {ends}"
        with pytest.raises(InputError) as caught:
            confusion(good, bad, None, classes)
        assert str(caught.value) == f"class id {wrong} in the prediction, {ends}"


def test_ids_that_no_byte_holds_are_refused():
    good = np.zeros((4, 4), np.int64)
    with pytest.raises(InputError) as caught:
        confusion(good - 1, good, None, 3)
    assert str(caught.value) == "class ids reach from -1 to -1, outside 0..255; map label values to class ids first"
    with pytest.raises(InputError) as caught:
        confusion(good, good + 256, None, 3)
    assert str(caught.value) == "class ids reach from 256 to 256, outside 0..255; map label values to class ids first"


def test_no_pixels_count_as_nothing():
    empty = np.zeros((0, 5), np.uint8)
    assert confusion(empty, empty, None, 3).tolist() == [[0] * 3] * 3
    assert count(empty, empty, np.zeros((0, 5), bool), BINARY) == Counts.zero(1)


@given(pictures(classes=(2,)))
def test_binary_counts_are_those_of_the_foreground(picture):
    truth, predicted, valid, _ = picture
    matrix = plain_confusion(truth, predicted, valid, 2)
    expected = Counts(matrix[1:, 1], matrix[0, 1:], matrix[1:, 0], matrix[:1, 0])
    assert count(truth, predicted, valid, BINARY) == expected
    assert count(truth > 0, predicted > 0, valid, BINARY) == expected


@given(pictures(classes=(2, 11)), st.integers(1, 4), st.integers(0, 99))
def test_multilabel_counts_each_plane_alone_with_one_validity(picture, planes, seed):
    shape, valid = picture[0].shape, picture[2]
    truth, predicted = np.random.default_rng(seed).integers(0, 2, (2, planes, *shape)).astype(np.uint8)
    task = Task(kind="multilabel", classes=tuple(f"c{index}" for index in range(planes)))
    ours = count(truth, predicted, valid, task)
    for plane in range(planes):
        alone = count(truth[plane], predicted[plane], valid, BINARY)
        assert [getattr(ours, field)[plane] for field in ("tp", "fp", "fn", "tn")] == [
            getattr(alone, field)[0] for field in ("tp", "fp", "fn", "tn")
        ]


@given(pictures(classes=(2, 3, 11)), st.integers(0, 150))
def test_counts_add_up_over_any_cut_of_the_image(picture, row):
    truth, predicted, valid, classes = picture
    task = Task(kind="multiclass", classes=tuple(f"c{index}" for index in range(classes)))
    kept = np.ones(truth.shape, bool) if valid is None else valid
    parts = [
        count(*(array[part] for array in (truth, predicted, kept)), task) for part in (slice(row), slice(row, None))
    ]
    total = count(truth, predicted, valid, task)
    assert sum(parts, start=Counts.zero(classes)) == total
    assert (total.pixels == kept.sum()).all()
    assert total.truth.sum() == total.predicted.sum() == kept.sum()
    assert total == Counts.from_confusion(confusion(truth, predicted, valid, classes))


def test_counts_by_hand():
    truth = np.array([[0, 0, 1, 2]], np.uint8)
    predicted = np.array([[0, 1, 1, 0]], np.uint8)
    task = Task(kind="multiclass", classes=("a", "b", "c"))
    ours = count(truth, predicted, None, task)
    assert ours.to_plain() == {"tp": [1, 1, 0], "fp": [1, 1, 0], "fn": [1, 0, 1], "tn": [1, 2, 3]}
    assert ours.classes == 3
    assert ours.truth.tolist() == [2, 1, 1]
    assert ours.predicted.tolist() == [2, 2, 0]


def test_plain_counts_come_back():
    ours = Counts(np.array([5]), np.array([2**40]), np.array([0]), np.array([7]))
    assert Counts.from_plain(ours.to_plain()) == ours
    assert ours != Counts.zero(1)
    assert ours != "counts"
    assert all(isinstance(value, int) for values in ours.to_plain().values() for value in values)


def test_importing_counts_imports_neither_numba_nor_torch():
    code = "import sys, maskwright.scoring.scores; sys.exit(bool({'numba', 'torch'} & sys.modules.keys()))"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
