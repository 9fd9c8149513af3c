"""False-positive area at equal recall: a better model is better at every threshold, and chance is told apart."""

import numpy as np
import pytest

from maskwright.core.errors import InputError
from maskwright.ensembling.false_area import BINS, Histograms, compare


def tables(rng, groups, noise, lift=0.0):
    """Items of 400 true and 4000 background pixels whose probabilities are noisy."""
    true, false = [], []
    for _ in groups:
        hits = np.clip(rng.normal(0.75, 0.15, 400) + lift, 0, 0.999)
        misses = np.clip(rng.normal(0.2 + lift, noise, 4000), 0, 0.999)
        true.append([np.bincount((hits * BINS).astype(int), minlength=BINS)])
        false.append([np.bincount((misses * BINS).astype(int), minlength=BINS)])
    return Histograms(tuple(groups), np.array(true, float), np.array(false, float))


def test_fewer_false_positives_at_the_same_recall_are_kept_and_a_mere_shift_of_probabilities_is_not():
    groups = [f"g{index}" for index in range(20)]
    before = tables(np.random.default_rng(0), groups, 0.2)
    better = compare(before, tables(np.random.default_rng(1), groups, 0.15), [0.5])
    assert better.kept
    assert better.ratio < 0.8
    assert better.low < better.ratio < better.high < 1
    assert better.recall == pytest.approx(0.95, abs=0.02)
    shifted = compare(before, tables(np.random.default_rng(2), groups, 0.2, lift=-0.1), [0.5])
    assert not shifted.kept
    assert shifted.ratio == pytest.approx(1, abs=0.15)
    assert not compare(before, tables(np.random.default_rng(3), groups, 0.25), [0.5]).kept


def test_the_area_is_that_of_counting_pixels():
    true, false = np.zeros((2, 1, 1, BINS)), np.zeros((2, 1, 1, BINS))
    true[0, 0, 0, [100, 600, 900]] = 10
    false[0, 0, 0, [50, 550, 700]] = [5, 3, 2]
    true[1, 0, 0, [300, 500, 950]] = 10
    false[1, 0, 0, [400, 600]] = [4, 1]
    before, after = (Histograms(("a",), true[side], false[side]) for side in (0, 1))
    found = compare(before, after, [0.5])
    assert found.recall == pytest.approx(2 / 3)
    assert (found.before, found.after, found.background) == (2, 1, 10)
    assert found.high is None
    assert not found.kept  # one group says nothing of chance


def test_other_items_and_labels_without_anything_are_refused():
    nothing = Histograms(("a",), np.zeros((1, 1, BINS)), np.ones((1, 1, BINS)))
    with pytest.raises(InputError, match="no labelled pixel is something"):
        compare(nothing, nothing, [0.5])
    with pytest.raises(InputError, match="other items"):
        compare(nothing, nothing._replace(groups=("b",)), [0.5])
