import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from maskwright.core.errors import InputError
from maskwright.core.grid import Window, sliding
from maskwright.inference.tiles import SEAMS, Accumulator, seam_weights

sides = st.integers(1, 70)
kinds = st.sampled_from(sorted(SEAMS))


def fill(shape, windows, weights, answers, band=None):
    total = Accumulator(shape, answers[0].shape[0], band)
    bands = []
    for window, answer in zip(windows, answers, strict=True):
        if window.row > total.top and band is not None:
            bands.append(total.finish(window.row))
        total.add(window, answer, weights)
    bands.append(total.result())
    return np.concatenate(bands, axis=1)


@given(kinds, sides, sides)
def test_seam_weights_are_above_zero_at_most_one_and_symmetric(kind, height, width):
    weights = seam_weights(kind, (height, width))
    assert weights.dtype == np.float32
    assert weights.shape == (height, width)
    assert weights.min() > 0
    assert weights.max() <= 1
    np.testing.assert_allclose(weights, weights[::-1, ::-1], rtol=1e-6)


@pytest.mark.parametrize("kind", sorted(SEAMS))
def test_seam_weights_of_the_largest_window_are_still_above_zero(kind):
    corner = np.outer(*[SEAMS[kind](65536)[:1].astype(np.float64)] * 2).astype(np.float32)
    assert corner[0, 0] > 0


def test_hann_halves_add_up_to_one():
    wave = SEAMS["hann"](16)
    np.testing.assert_allclose(wave[:8] + wave[8:], 1, rtol=1e-12)


def test_gaussian_falls_to_one_over_root_e_at_an_eighth_of_the_window():
    assert SEAMS["gaussian"](64)[32 + 8] == pytest.approx(np.exp(-0.5 * (8.5 / 8) ** 2))


def test_unknown_seam_names_the_nearest():
    with pytest.raises(InputError) as caught:
        seam_weights("han", (4, 4))
    assert str(caught.value) == (
        "predict.seam: unknown seam 'han' (did you mean 'hann'?); use one of: constant, gaussian, hann"
    )


@given(kinds, sides, sides, st.integers(1, 40), st.integers(1, 40), st.floats(0, 0.94), st.floats(0, 1, width=32))
def test_constant_input_gives_constant_output(kind, height, width, rows, cols, overlap, value):
    shape, size = (height, width), (rows, cols)
    windows = sliding(shape, size, overlap)
    answers = [np.full((2, *size), value, np.float32)] * len(windows)
    result = fill(shape, windows, seam_weights(kind, size), answers)
    assert result.shape == (2, *shape)
    np.testing.assert_allclose(result, value, rtol=2e-6, atol=1e-30)


@given(kinds, sides, sides, st.integers(1, 40), st.integers(1, 40), st.floats(0, 0.94))
def test_normalised_weights_sum_to_one_and_ones_come_back_exactly(kind, height, width, rows, cols, overlap):
    shape, size = (height, width), (rows, cols)
    windows, weights = sliding(shape, size, overlap), seam_weights(kind, size)
    assert (fill(shape, windows, weights, [np.ones((1, *size), np.float32)] * len(windows)) == 1).all()


@given(kinds, sides, sides, st.integers(1, 30), st.integers(1, 30), st.floats(0, 0.9), st.integers(0, 9))
def test_bands_of_a_windows_height_equal_the_whole_sum_to_the_last_bit(kind, height, width, rows, cols, overlap, seed):
    shape, size = (height, width), (rows, cols)
    windows, weights = sliding(shape, size, overlap), seam_weights(kind, size)
    answers = list(np.random.default_rng(seed).random((len(windows), 2, *size), np.float32))
    whole = fill(shape, windows, weights, answers)
    assert (fill(shape, windows, weights, answers, band=rows) == whole).all()


def test_weighted_mean_of_two_windows_by_hand():
    total = Accumulator((1, 3), 1)
    weights = np.array([[1.0, 3.0]], np.float32)
    total.add(Window(0, 0, 1, 2), np.array([[[0.5, 0.2]]], np.float32), weights)
    total.add(Window(0, 1, 1, 2), np.array([[[0.6, 1.0]]], np.float32), weights)
    np.testing.assert_allclose(total.result()[0, 0], [0.5, (3 * 0.2 + 0.6) / 4, 1.0], rtol=1e-6)


def test_a_band_holds_no_more_rows_than_it_was_given():
    total = Accumulator((10_000_000, 4), 1, band=8)
    assert total._sum.shape == (1, 8, 4)


def test_pixels_that_no_window_covers_are_our_own_mistake():
    total = Accumulator((2, 4), 1)
    total.add(Window(0, 0, 2, 2), np.ones((1, 2, 2), np.float32), np.ones((2, 2), np.float32))
    with pytest.raises(AssertionError, match="no window covered some pixels of rows 0 to 2"):
        total.result()
