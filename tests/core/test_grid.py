import itertools
from fractions import Fraction

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from maskwright.core.grid import (
    SYMMETRIES,
    SYMMETRY,
    Grid,
    Window,
    apply_symmetry,
    even,
    padding_to_multiple,
    partition,
    sliding,
    starts,
    whole,
)

SIDES = st.integers(1, 60)
SHAPES = st.tuples(SIDES, SIDES)
NAMES = st.sampled_from(SYMMETRIES)
NUMPY = {
    "identity": lambda m: m,
    "hflip": np.fliplr,
    "vflip": np.flipud,
    "rot180": lambda m: np.rot90(m, 2),
    "transpose": np.transpose,
    "rot90": np.rot90,
    "rot270": lambda m: np.rot90(m, 3),
    "antitranspose": lambda m: np.rot90(np.transpose(m), 2),
}


def numbered(shape):
    return np.arange(np.prod(shape)).reshape(shape)


def coverage(shape, windows):
    """How many windows lie over each pixel."""
    seen = np.zeros(shape, int)
    for window in windows:
        seen[window.clip(shape).slices] += 1
    return seen


@given(SHAPES, NAMES)
def test_each_symmetry_is_what_numpy_calls_it(shape, name):
    np.testing.assert_array_equal(apply_symmetry(numbered(shape), SYMMETRY[name]), NUMPY[name](numbered(shape)))


@given(SHAPES, NAMES, st.sampled_from([(-2, -1), (0, 1), (1, 2), (2, 0)]))
def test_the_inverse_undoes_a_symmetry_exactly_on_any_axes(shape, name, axes):
    array = numbered((3, *shape)) if axes != (0, 1) else numbered((*shape, 3))
    there = apply_symmetry(array, SYMMETRY[name], axes)
    np.testing.assert_array_equal(apply_symmetry(there, SYMMETRY[name].inverse, axes), array)
    assert SYMMETRY[name].inverse in SYMMETRY.values()
    assert SYMMETRY[name].inverse.inverse == SYMMETRY[name]


def test_the_eight_symmetries_differ_and_are_closed():
    square = numbered((3, 3))
    images = {name: apply_symmetry(square, symmetry) for name, symmetry in SYMMETRY.items()}
    assert len({image.tobytes() for image in images.values()}) == 8
    for first, second in itertools.product(SYMMETRY.values(), repeat=2):
        both = apply_symmetry(apply_symmetry(square, first), second)
        assert any(np.array_equal(both, image) for image in images.values())


def test_symmetry_gives_a_view():
    array = numbered((4, 5))
    assert all(np.shares_memory(apply_symmetry(array, symmetry), array) for symmetry in SYMMETRY.values())


@given(st.integers(1, 500), st.integers(1, 500), st.data())
def test_starts_cover_without_gap_and_end_flush(length, size, data):
    step = data.draw(st.integers(1, size))
    found = starts(length, size, step)
    assert found[0] == 0
    assert all(0 < after - before <= step for before, after in itertools.pairwise(found))
    assert found[-1] == max(length - size, 0)
    assert len(found) == len(set(found)) == 1 + -(-max(length - size, 0) // step)


@pytest.mark.parametrize(("length", "size", "step"), [(0, 1, 1), (5, 0, 1), (5, 2, 0), (5, 2, 3)])
def test_starts_asserts_that_it_is_asked_sensibly(length, size, step):
    with pytest.raises(AssertionError):
        starts(length, size, step)


@given(SHAPES, SHAPES, st.floats(0, 0.95))
def test_sliding_windows_are_equal_cover_all_and_stay_inside_unless_larger(shape, size, overlap):
    windows = sliding(shape, size, overlap)
    assert {window.shape for window in windows} == {size}
    assert coverage(shape, windows).min() >= 1
    assert windows == sorted(set(windows))
    for window in windows:
        for start, side, length in zip(window[:2], size, shape, strict=True):
            assert start >= 0
            assert start + side <= max(length, side)


@given(SHAPES, st.integers(1, 30), st.integers(0, 19))
def test_neighbours_overlap_at_least_as_asked_up_to_half_a_pixel(shape, side, twentieths):
    asked = Fraction(twentieths, 20)
    for start, after in itertools.pairwise(
        sorted({window.row for window in sliding(shape, (side, side), float(asked))})
    ):
        assert after - start <= max(1, side * (1 - asked) + Fraction(1, 2))


def test_sliding_by_hand():
    assert sliding((5, 4), (3, 4), 0.5) == [Window(0, 0, 3, 4), Window(2, 0, 3, 4)]
    assert sliding((2, 2), (4, 4), 0.5) == [Window(0, 0, 4, 4)]


@given(SHAPES, SHAPES)
def test_partition_covers_every_pixel_exactly_once(shape, size):
    windows = partition(shape, size)
    assert (coverage(shape, windows) == 1).all()
    assert {window.shape for window in windows} == {size}
    assert all(0 not in window.clip(shape).shape for window in windows)


@given(st.builds(Window, *[st.integers(-80, 80)] * 2, *[st.integers(0, 90)] * 2), SHAPES)
def test_clip_is_the_part_inside(window, shape):
    inside = np.zeros(shape, bool)
    inside[window.clip(shape).slices] = True
    rows, cols = np.indices(shape)
    expected = (rows >= window.row) & (rows < window.row + window.height)
    expected &= (cols >= window.col) & (cols < window.col + window.width)
    np.testing.assert_array_equal(inside, expected)
    assert window.clip(shape).clip(shape) == window.clip(shape)
    assert min(window.clip(shape).shape) >= 0


@given(SHAPES)
def test_the_whole_window_is_the_raster(shape):
    assert whole(shape).shape == shape
    assert whole(shape).clip(shape) == whole(shape)
    assert partition(shape, shape) == sliding(shape, shape, 0.5) == [whole(shape)]


@given(SHAPES, st.integers(1, 64))
def test_padding_is_the_least_that_divides(shape, multiple):
    for side, added in zip(shape, padding_to_multiple(shape, multiple), strict=True):
        assert 0 <= added < multiple
        assert (side + added) % multiple == 0


affines = st.tuples(*[st.floats(-50, 50) for _ in range(6)]).filter(lambda t: abs(t[0] * t[4] - t[1] * t[3]) > 1)
shapes = st.tuples(st.integers(1, 400), st.integers(1, 400))


@given(affines, shapes, st.lists(st.tuples(st.floats(-99, 99), st.floats(-99, 99)), min_size=1, max_size=5))
def test_places_on_the_ground_come_back_to_their_pixels(affine, shape, places) -> None:
    grid = Grid("EPSG:32645", affine, shape)
    pixels = np.array(places)
    np.testing.assert_allclose(grid.to_pixels(grid.to_ground(pixels)), pixels, atol=1e-6)


@given(affines, shapes, st.integers(-50, 50), st.integers(-50, 50))
def test_a_window_of_a_grid_lies_where_its_pixels_lie(affine, shape, row, col) -> None:
    grid = Grid("", affine, shape)
    part = grid.window(Window(row, col, 7, 9))
    np.testing.assert_allclose(part.corners, grid.to_ground(part_corners(row, col)), atol=1e-6)
    assert part.shape == (7, 9)


def part_corners(row: int, col: int) -> np.ndarray:
    return np.array([[col, row], [col + 9, row], [col + 9, row + 7], [col, row + 7]], float)


@given(affines, shapes, shapes)
def test_a_resized_grid_covers_the_same_ground(affine, shape, other) -> None:
    grid = Grid("", affine, shape)
    np.testing.assert_allclose(grid.resized(other).corners, grid.corners, atol=1e-6)
    assert grid.resized(other).resized(shape).matches(grid)
    assert grid.matches(grid)


@given(shapes, shapes)
def test_even_windows_cover_each_pixel_once_and_are_nearly_as_large_as_asked(shape, size) -> None:
    seen = np.zeros(shape, int)
    for window in even(shape, size):
        assert window.clip(shape) == window
        seen[window.slices] += 1
        for side, asked, whole_side in zip(window.shape, size, shape, strict=True):
            assert side == whole_side or 2 * asked / 3 - 1 <= side <= 1.5 * asked + 1
    assert (seen == 1).all()


def test_a_north_up_grid_knows_the_size_of_its_pixels() -> None:
    grid = Grid("EPSG:32645", (2.0, 0.0, 10.0, 0.0, -0.5, 20.0), (4, 6))
    assert grid.north_up
    assert grid.pixel_size == (0.5, 2.0)
    assert grid.corners.tolist() == [[10, 20], [22, 20], [22, 18], [10, 18]]
    assert not Grid("", (1.0, 0.0, 0.0, 0.0, 1.0, 0.0), (4, 6)).north_up
