"""Differences paired by fold and seed: known values, and how often a null change is believed over simulated tables."""

import numpy as np
import pytest
from scipy import stats

from maskwright.scoring.paired import compare_paired, holm

FOLDS, SEEDS, ARMS = 5, 3, 6


def null_tables(rng, tables, folds=FOLDS, seeds=SEEDS, arms=ARMS):
    """Scores as trainings give them when no arm changes anything: unchanged (T, 1, F, S) and arms (T, A, F, S).

    Folds and seeds have their own level, which pairing takes away. Each training has luck of its own, with the tails of
    a t of 3 degrees of freedom; each arm suits each fold a little, and half of that is shared by all folds by as
    much as Nadeau and Bengio reckon with (1 / folds), since their training sets overlap.
    """
    level = 0.8 + 0.05 * rng.standard_normal((tables, 1, folds, 1)) + 0.01 * rng.standard_normal((tables, 1, 1, seeds))
    luck = 0.01 * rng.standard_t(3, (tables, arms + 1, folds, seeds))
    own = np.sqrt(1 - 1 / folds) * rng.standard_normal((tables, arms, folds, 1))
    shared = np.sqrt(1 / folds) * rng.standard_normal((tables, arms, 1, 1))
    return level + luck[:, :1], level + luck[:, 1:] + 0.01 * (own + shared)


def wrong_share(ratio, seed=7, tables=2000, **shape):
    unchanged, changed = null_tables(np.random.default_rng(seed), tables, **shape)
    found = compare_paired(changed - unchanged, ratio)
    return float((holm(found.p) <= 0.05).any(-1).mean())


@pytest.mark.parametrize(("folds", "seeds"), [(5, 3), (5, 1), (3, 3), (10, 2), (2, 2)])
def test_null_changes_are_believed_in_five_percent_of_tables_at_most(folds, seeds):
    assert wrong_share(1 / (folds - 1), folds=folds, seeds=seeds) <= 0.05


def test_a_single_null_change_too():
    assert wrong_share(1 / (FOLDS - 1), arms=1) <= 0.05


def test_a_change_that_counts_is_believed():
    unchanged, changed = null_tables(np.random.default_rng(3), 200)
    changed[:, 0] += 0.08
    found = compare_paired(changed - unchanged, 1 / (FOLDS - 1))
    assert (holm(found.p)[:, 0] <= 0.05).mean() > 0.8
    assert (found.low[:, 0] > 0).mean() > 0.9


def test_without_overlap_it_is_the_paired_t_over_means_of_folds():
    rng = np.random.default_rng(0)
    before, after = rng.normal(0.7, 0.1, (6, 4)), rng.normal(0.72, 0.1, (6, 4))
    found = compare_paired(after - before, 0.0)
    known = stats.ttest_rel(after.mean(1), before.mean(1))
    assert found.p == pytest.approx(known.pvalue)
    low, high = known.confidence_interval(0.95)
    assert (float(found.low), float(found.high)) == pytest.approx((low, high))


def test_nothing_is_nothing_and_one_fold_tells_nothing():
    assert float(compare_paired(np.zeros((4, 2)), 0.25).p) == 1
    assert np.isnan(compare_paired(np.ones((1, 9)), 0.25).p)


def test_holm_by_hand():
    # ranked .01 .02 .03 .5: times 4, 3, 2, 1; never falling
    assert holm([0.03, 0.01, 0.5, 0.02]).tolist() == pytest.approx([0.06, 0.04, 0.5, 0.06])
    assert np.isnan(holm([np.nan, 0.01])[0])
    assert holm([np.nan, 0.01])[1] == pytest.approx(0.02)
