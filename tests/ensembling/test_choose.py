from fractions import Fraction

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from maskwright.ensembling.choose import (
    FACTOR_ONE,
    FACTORS,
    STEPS,
    UNIT,
    above,
    exclusive,
    likeliest,
    temperature_of,
    warm,
)

UNITS = hnp.arrays(np.uint16, (4, 3, 5), elements=st.integers(0, UNIT))


def test_steps_are_quarters_of_an_octave_and_factors_too():
    assert [temperature_of(step) for step in (-8, -4, 0, 4, 8)] == [0.25, 0.5, 1.0, 2.0, 4.0]
    assert FACTORS[8] == FACTOR_ONE
    for place, factor in enumerate(FACTORS):
        assert factor == round(64 * 2 ** ((place - 8) / 4))


@given(UNITS, st.sampled_from(STEPS))
def test_planes_are_warmed_as_sigmoids_of_divided_logits(units, step):
    made = warm(units, step, "multilabel") / UNIT
    chances = units / UNIT
    with np.errstate(divide="ignore"):
        logits = np.log(chances) - np.log1p(-chances)
    np.testing.assert_allclose(made, 1 / (1 + np.exp(-logits / temperature_of(step))), atol=0.51 / UNIT)


@given(UNITS, st.sampled_from(STEPS))
def test_classes_are_warmed_as_softmax_of_divided_logits(units, step):
    units[0] = np.maximum(units[0], 60000)  # far from 0, so that rounding of powers stays small
    made = warm(units, step, "multiclass") / UNIT
    powers = (units / UNIT) ** (1 / temperature_of(step))
    wanted = powers / powers.sum(0) if step else units / UNIT
    np.testing.assert_allclose(made, wanted, atol=3.5 / UNIT)


@given(UNITS, st.sampled_from(STEPS))
def test_warming_keeps_the_order_and_one_half(units, step):
    made = warm(units, step, "multilabel").astype(int)
    order = np.argsort(units.ravel(), kind="stable")
    assert (np.diff(made.ravel()[order]) >= 0).all()
    # an 8-bit probability never crosses one half
    eight = (np.arange(256) * 257).astype(np.uint16)[None]
    assert ((warm(eight, step, "binary") >= UNIT / 2) == (eight >= UNIT / 2)).all()


@given(st.integers(0, UNIT * 7), st.integers(1, 7), st.integers(1, 255))
def test_thresholds_are_met_exactly(total, parts, edge):
    exact = Fraction(min(total, UNIT * parts), UNIT * parts) >= Fraction(2 * edge - 1, 510)
    for kind in (np.int32, np.int64):
        units = np.array([[min(total, UNIT * parts)]], kind)
        assert bool(above(units, UNIT * parts, (edge,))[0, 0]) == exact


@given(
    hnp.arrays(np.int32, (4, 40), elements=st.integers(0, 6)),
    st.lists(st.sampled_from((1, 2, 3)), min_size=4, max_size=4) | st.just([]),
    st.permutations(range(4)).map(lambda order: order[:2]) | st.just([]),
)
def test_the_likeliest_class_is_the_largest_product_and_priority_breaks_ties(units, factors, priority):
    label, products = likeliest(units, factors, priority)
    wanted = units * np.array(factors or [1] * 4)[:, None]
    assert (products == wanted).all()
    order = [*priority, *(kind for kind in range(4) if kind not in priority)]
    assert (label == np.array(order)[wanted[order].argmax(0)]).all()


@given(hnp.arrays(np.uint8, (4, 30), elements=st.integers(0, 1)), st.permutations(range(4)), st.integers(0, 4))
def test_of_planes_with_priority_only_the_strongest_stays(planes, order, number):
    given_ = planes.copy()
    made = exclusive(planes, order[:number])
    assert made[list(order[:number])].sum(0).max(initial=0) <= 1
    for pixel in range(30):
        strong = [plane for plane in order[:number] if given_[plane, pixel]]
        for plane in range(4):
            stays = given_[plane, pixel] and (plane not in order[:number] or plane == strong[0])
            assert made[plane, pixel] == stays


@pytest.mark.parametrize("kind", ["multiclass", "multilabel"])
def test_step_0_changes_nothing(kind):
    units = np.arange(12, dtype=np.uint16).reshape(2, 2, 3)
    assert warm(units, 0, kind) is units
