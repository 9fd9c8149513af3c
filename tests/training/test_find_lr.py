import math

import numpy as np
import pytest

from maskwright.training.find_lr import HIGHEST, LOWEST, Ramp, rate_at, smooth, steepest


def test_the_ramp_multiplies_by_the_same_factor_from_end_to_end():
    rates = [rate_at(step, 8) for step in range(8)]
    assert (rates[0], rates[-1]) == pytest.approx((LOWEST, HIGHEST))
    assert np.diff(np.log(rates)) == pytest.approx([math.log(HIGHEST / LOWEST) / 7] * 7)


def test_running_means_have_no_bias_towards_the_start():
    assert smooth([2.0] * 5) == pytest.approx([2.0] * 5)
    assert smooth([1.0, 3.0]) == pytest.approx([1.0, (0.9 * 0.1 * 1 + 0.1 * 3) / (1 - 0.81)])


def test_the_proposal_lies_where_a_curve_with_a_known_slope_falls_fastest():
    rates = [rate_at(step, 71) for step in range(71)]
    # a step down around 1e-3 (a logistic in the exponent, steepest there), then up from 1e-1 on
    losses = [1 / (1 + math.exp(4 * (math.log10(rate) + 3))) + max(0.0, math.log10(rate) + 1) for rate in rates]
    ramp = Ramp(tuple(rates), tuple(losses), tuple(losses))
    assert rates[steepest(rates, losses[: ramp.lowest + 1] + losses[ramp.lowest + 1 :])] == pytest.approx(1e-3, rel=0.2)
    assert rates[ramp.lowest] == pytest.approx(1e-1, rel=0.2)
    assert ramp.proposed == pytest.approx(1e-3, rel=0.2)


def test_a_curve_that_only_rises_proposes_its_beginning():
    ramp = Ramp((1e-5, 1e-4, 1e-3), (1.0, 2.0, 3.0), (1.0, 2.0, 3.0))
    assert (ramp.lowest, ramp.steepest, ramp.proposed) == (0, 0, pytest.approx(1e-6))
