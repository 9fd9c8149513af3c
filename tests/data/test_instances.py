"""Targets made from object maps are what their definitions say, pixel by pixel."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import array_shapes, arrays

from maskwright.data.labels.instances import levels, touching

MAPS = arrays(np.uint16, array_shapes(min_dims=2, max_dims=2, min_side=1, max_side=11), elements=st.integers(0, 3))


def touching_by_looking(ids, width):
    """Look at the square around each pixel, as the definition says."""
    label = (ids > 0).astype(int)
    for row, column in np.ndindex(ids.shape):
        window = ids[max(row - width, 0) : row + width + 1, max(column - width, 0) : column + width + 1]
        if len(set(window.ravel().tolist()) - {0}) > 1:
            label[row, column] = 2
    return label


def levels_by_looking(ids, count):
    """Measure the distance from each pixel to every pixel of another value."""
    label = np.zeros(ids.shape, int)
    places = np.stack(np.indices(ids.shape), axis=-1)
    for value in set(ids.ravel().tolist()) - {0}:
        inside, outside = places[ids == value], places[ids != value]
        if not len(outside):
            label[:] = count
            continue
        apart = np.sqrt(((inside[:, None] - outside[None]) ** 2).sum(axis=2).min(axis=1))
        label[ids == value] = np.ceil(apart / apart.max() * count - 1e-5)
    return label


@given(ids=MAPS, width=st.integers(1, 3))
def test_touching_borders_are_pixels_near_two_objects(ids, width):
    np.testing.assert_array_equal(touching(ids, width), touching_by_looking(ids, width))


@given(ids=MAPS, count=st.integers(1, 6))
def test_levels_rise_from_the_rim_to_the_core_of_each_object(ids, count):
    np.testing.assert_array_equal(levels(ids, count), levels_by_looking(ids, count))


def test_a_gap_between_two_objects_is_border_and_a_lone_rim_is_not():
    ids = np.array([[0, 5, 5, 0, 9, 9, 0, 0]], np.uint8)
    assert touching(ids, 1).tolist() == [[0, 1, 1, 2, 1, 1, 0, 0]]
    assert touching(ids, 2).tolist() == [[0, 1, 2, 2, 2, 1, 0, 0]]


@pytest.mark.parametrize("kind", [np.uint8, np.uint16, np.int32, np.uint32])
def test_large_numbers_and_all_kinds_of_integers_are_objects_like_others(kind):
    ids = np.array([[1, 1, 2, 0, 0]])
    large = np.where(ids == 2, min(np.iinfo(kind).max, 2**31), ids).astype(kind)
    np.testing.assert_array_equal(touching(large, 1), touching(ids.astype(np.uint8), 1))
    np.testing.assert_array_equal(levels(large, 3), levels(ids.astype(np.uint8), 3))


def test_every_object_has_a_core_whatever_its_size():
    ids = np.zeros((9, 14), np.uint8)
    ids[1, 1], ids[2:7, 4:9], ids[:, 11:] = 1, 2, 3
    found = levels(ids, 3)
    assert [found[ids == value].max() for value in (1, 2, 3)] == [3, 3, 3]
    assert found[2:7, 4:9].tolist() == [
        [1, 1, 1, 1, 1],
        [1, 2, 2, 2, 1],
        [1, 2, 3, 2, 1],
        [1, 2, 2, 2, 1],
        [1, 1, 1, 1, 1],
    ]
    assert found[4, 11:].tolist() == [1, 2, 3]  # the edge of the image is no edge of the object


def test_maps_without_objects_and_of_one_object():
    nothing = np.zeros((3, 4), np.uint16)
    assert not touching(nothing, 2).any()
    assert not levels(nothing, 2).any()
    assert levels(nothing + 1, 2).tolist() == [[2] * 4] * 3
