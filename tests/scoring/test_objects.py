"""Pairs of objects by SpaceNet's rule."""

import math

import numpy as np
import pytest

from maskwright.scoring.objects import ObjectCounts, match


def test_the_surest_takes_the_best_free_partner_and_each_true_object_is_found_once():
    overlaps = [(0, 0, 0.9), (1, 0, 0.95), (1, 1, 0.6), (2, 1, 0.5), (3, 2, 0.49)]
    counts = match(overlaps, np.array([0.9, 0.2, 0.1, 1.0]), 4)
    assert counts == ObjectCounts(2, 4, 4)  # 0 takes 0, so 1 takes 1, and 2 finds it taken; 3 overlaps too little
    assert (counts.precision, counts.recall, counts.f1) == (0.5, 0.5, 0.5)
    assert match(overlaps, np.array([0.2, 0.9, 0.1, 1.0]), 4).pairs == 2  # 1 takes 0; 2 takes 1
    assert match(overlaps, np.ones(4), 4, least=0.49).pairs == 3


def test_counts_add_up_and_nothing_is_no_score():
    total = match([(0, 0, 1.0)], np.ones(1), 3) + match([], np.ones(2), 0)
    assert total == ObjectCounts(1, 3, 3)
    assert total.f1 == pytest.approx(1 / 3)
    assert all(math.isnan(value) for value in (ObjectCounts().f1, ObjectCounts().precision, ObjectCounts().recall))
    assert match([], np.ones(0), 2).f1 == 0
