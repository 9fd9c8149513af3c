"""Thresholds in one comparison of floats say what whole numbers say."""

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from maskwright.ensembling.choose import UNIT, above, reached


@given(edge=st.integers(1, 255), total=st.integers(1, 100), seed=st.integers(0, 99))
def test_chances_reach_an_edge_as_their_nearest_units_do(edge, total, seed):
    rng = np.random.default_rng(seed)
    limit = np.float32((2 * edge - 1) / 510)
    near = limit + np.float32(1 / (UNIT * total)) * rng.uniform(-3, 3, 300).astype(np.float32)
    steps = [limit]
    for _ in range(40):
        steps = [np.nextafter(steps[0], np.float32(-1)), *steps, np.nextafter(steps[-1], np.float32(2))]
    whole = (rng.integers(0, UNIT * total + 1, 300) / (UNIT * total)).astype(np.float32)
    chances = np.concatenate([near, np.array(steps, np.float32), whole, [0, 1]]).astype(np.float32)[None]
    units = np.rint(chances.astype(np.float64) * (UNIT * total)).astype(np.int64)
    assert np.array_equal(reached(chances, total, (edge,)), above(units, UNIT * total, (edge,)))
