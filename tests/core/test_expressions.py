"""Formulas of bands: arithmetic and nothing else."""

import re

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from maskwright.core.expressions import read_formula

KNOWN = ("red", "nir", "b3")


def bands(seed: int = 0) -> dict[str, np.ndarray]:
    rng = np.random.default_rng(seed)
    return {name: rng.uniform(0, 1, (3, 4)).astype(np.float32) for name in KNOWN}


def test_an_index_is_what_numpy_says() -> None:
    formula, known = read_formula("(nir - red) / (nir + red)", KNOWN), bands()
    assert formula.names == ("nir", "red")
    expected = (known["nir"] - known["red"]) / (known["nir"] + known["red"])
    np.testing.assert_array_equal(formula(known), expected)


def test_what_is_not_finite_is_0_and_numbers_fill_the_plane() -> None:
    zero = {name: np.zeros((2, 2), np.float32) for name in KNOWN}
    for text in ("nir / red", "log(red)", "sqrt(red - 1)", "red ** -1", "1 / red"):
        assert read_formula(text, KNOWN)(zero).tolist() == [[0, 0], [0, 0]]
    assert read_formula("0 * red + 0.5", KNOWN)(zero).tolist() == [[0.5, 0.5], [0.5, 0.5]]


@given(
    st.integers(0, 99), st.sampled_from(["-red", "+b3", "abs(red - nir)", "min(red, 0.5) * max(nir, b3)", "exp(-red)"])
)
def test_functions_are_those_of_numpy(seed: int, text: str) -> None:
    known = bands(seed)
    names = {"abs": np.abs, "min": np.minimum, "max": np.maximum, "exp": np.exp}
    np.testing.assert_allclose(read_formula(text, KNOWN)(known), eval(text, names, known), rtol=1e-6)


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("__import__('os')", "holds more than arithmetic"),
        ("red.__class__", "holds more than arithmetic"),
        ("(lambda: red)()", "holds more than arithmetic"),
        ("red if red else nir", "holds more than arithmetic"),
        ("[red for red in nir]", "holds more than arithmetic"),
        ("red[0]", "holds more than arithmetic"),
        ("red @ nir", "holds more than arithmetic"),
        ("red + 'a'", "holds more than arithmetic"),
        ("red + 10 ** 9999", None),
        ("red + 1e99", "holds more than arithmetic"),
        ("abs(red, nir)", "holds more than arithmetic"),
        ("eval(red)", "holds more than arithmetic"),
        ("red; nir", "is no formula"),
        ("red = nir", "is no formula"),
        ("(red", "is no formula"),
        ("", "is no formula"),
        ("red + True", "holds more than arithmetic"),
        ("1 + 2", "uses no band"),
        ("rad + nir", "'rad + nir' names 'rad', which is no band (did you mean 'red'?); there are red, nir, b3"),
        ("+".join(["red"] * 60), "has more than 100 parts"),
        ("red" + " " * 400, "a formula of 403 characters"),
    ],
)
def test_nothing_but_arithmetic_is_read(text: str, told: str | None) -> None:
    if told is None:
        assert not read_formula(text, KNOWN)(bands()).any()  # numbers are float32 all the way: infinite, hence 0
        return
    with pytest.raises(ValueError, match=re.escape(told)):
        read_formula(text, KNOWN)
