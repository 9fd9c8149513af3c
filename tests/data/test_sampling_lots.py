"""Which item is drawn: weights are kept, rules take their share, and nothing depends on who asks."""

import pickle

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from maskwright.core.recipe.members import Sampling
from maskwright.data.sampling import ANYWHERE, OBJECT, Lots, chance, hardness, order, sample_seed

PIXELS = np.array([[90, 10, 0], [100, 0, 0], [60, 0, 40], [50, 49, 1], [100, 0, 0]])


def as_it_was(seed, epoch, items, draws):
    """The order of maskwright 0.1, on which finished runs depend."""
    place = epoch * draws + np.arange(draws, dtype=np.int64)
    rounds = place // items
    result = np.empty(draws, np.int64)
    for lap in np.unique(rounds):
        shuffled = np.random.default_rng(sample_seed(seed, int(lap), -1)).permutation(items)
        mine = rounds == lap
        result[mine] = shuffled[place[mine] % items]
    return result


@given(seed=st.integers(0, 99), epoch=st.integers(0, 5), items=st.integers(1, 40), draws=st.integers(0, 100))
def test_where_all_are_alike_the_order_is_what_it_always_was(seed, epoch, items, draws):
    wanted = as_it_was(seed, epoch, items, draws)
    assert order(seed, epoch, items, draws).tolist() == wanted.tolist()
    even = Lots(seed, items, draws, weights=[0.3] * items)
    assert even.items(epoch, 0, draws).tolist() == wanted.tolist()


RULES = {
    "uniform": Sampling(),
    "balanced": Sampling(windows="balanced", p=0.6),
    "rare": Sampling(windows="balanced", class_odds="inverse_sqrt"),
    "objects": Sampling(windows="objects", p=0.6),
    "hard": Sampling(windows="hard", p=0.6),
}


@pytest.mark.parametrize("name", RULES)
@pytest.mark.parametrize("weights", [None, [1, 2, 0, 1, 0.5]])
def test_a_draw_depends_on_its_index_alone(name, weights):
    def made():
        lots = Lots(7, 5, 60, weights, RULES[name], PIXELS, (1, 2))
        lots.learn(np.array([0.1, 0.2, 0.9, np.nan, 3.0]))
        return lots

    items, aims = made().picks(3, 0, 60)
    asked = made()
    for index in reversed(range(60)):
        assert asked.picks(3, index, 1) == (items[index], aims[index])
    again = pickle.loads(pickle.dumps(asked))
    np.testing.assert_array_equal(again.items(3, 20, 30), items[20:50])
    assert made().items(2, 0, 60).tolist() != items.tolist()
    assert Lots(8, 5, 60, weights, RULES[name], PIXELS, (1, 2)).items(3, 0, 60).tolist() != items.tolist()
    if weights is not None:
        assert 2 not in items


@pytest.mark.parametrize("weights", [[1, 2, 0, 1, 0.5], [0, 0, 1, 0, 0], [1e-9, 1, 1, 1, 1], [3, 1, 1, 1, 0]])
def test_items_are_drawn_as_often_as_they_weigh(weights):
    laps = 400
    drawn = Lots(1, 5, 5 * laps, weights).items(0, 0, 5 * laps)
    shares = np.array(weights) / sum(weights)
    counts = np.bincount(drawn, minlength=5)
    # in each lap the number of times is rounded up or down: a deviation of at most half per lap
    assert (np.abs(counts - shares * 5 * laps) <= 4 * 0.5 * np.sqrt(laps)).all()
    for lap in drawn.reshape(laps, 5):
        times = np.bincount(lap, minlength=5)
        assert (times >= np.floor(shares * 5 - 1e-9)).all()
        assert (times <= np.ceil(shares * 5 + 1e-9)).all()


def test_few_items_and_a_million_draws_cost_what_is_asked_for():
    lots = Lots(0, 3, 10**6)
    dealt = []
    real = lots._lap
    lots._lap = lambda lap: dealt.append(lap) or real(lap)
    assert len(lots.items(500, 10**6 - 40, 40)) == 40
    assert len(dealt) <= 15  # of the 333,334 in the epoch
    assert len(lots._laps) <= 4


def test_balanced_draws_classes_then_items_that_have_them():
    lots = Lots(0, 5, 20_000, None, Sampling(windows="balanced", p=0.5), PIXELS, (0, 1, 2))
    items, aims = lots.picks(0, 0, 20_000)
    by_rule = aims != ANYWHERE
    assert by_rule.mean() == pytest.approx(0.5, abs=0.015)
    for value in range(3):
        mine = aims == value
        assert mine.sum() / by_rule.sum() == pytest.approx(1 / 3, abs=0.02)
        assert set(items[mine]) == set(np.flatnonzero(PIXELS[:, value]))
        shares = np.bincount(items[mine], minlength=5)[PIXELS[:, value] > 0] / mine.sum()
        assert shares == pytest.approx(1 / len(shares), abs=0.04)
    np.testing.assert_array_equal(items[~by_rule], order(0, 0, 5, 20_000)[~by_rule])


def test_rare_classes_are_drawn_by_one_over_the_root_of_their_pixels():
    lots = Lots(0, 5, 20_000, None, Sampling(windows="balanced", p=1, class_odds="inverse_sqrt"), PIXELS, (0, 1, 2))
    aims = lots.picks(0, 0, 20_000)[1]
    wanted = 1 / np.sqrt(PIXELS.sum(0))
    assert np.bincount(aims) / 20_000 == pytest.approx(wanted / wanted.sum(), abs=0.015)


def test_objects_take_items_that_show_something():
    items, aims = Lots(0, 5, 500, None, Sampling(windows="objects", p=1), PIXELS, (1, 2)).picks(0, 0, 500)
    assert set(aims) == {OBJECT}
    assert set(items) == {0, 2, 3}


def test_a_class_that_nobody_has_is_left_out_and_without_any_class_all_is_uniform():
    pixels = np.array([[4, 0], [3, 0]])
    aims = Lots(0, 2, 50, None, Sampling(windows="balanced", p=1), pixels, (0, 1)).picks(0, 0, 50)[1]
    assert set(aims) == {0}
    for windows in ("balanced", "objects"):
        lots = Lots(0, 2, 50, None, Sampling(windows=windows, p=1), pixels, (1,))
        items, aims = lots.picks(0, 0, 50)
        assert set(aims) == {ANYWHERE}
        assert items.tolist() == order(0, 0, 2, 50).tolist()


def test_an_item_of_no_weight_is_not_drawn_for_its_classes():
    lots = Lots(0, 5, 300, [1, 1, 0, 1, 1], Sampling(windows="balanced", p=1), PIXELS, (2,))
    assert set(lots.items(0, 0, 300)) == {3}


def test_hard_items_are_drawn_more_once_errors_are_known():
    lots = Lots(0, 4, 20_000, None, Sampling(windows="hard", p=0.5))
    assert lots.items(0, 0, 100).tolist() == order(0, 0, 4, 20_000)[:100].tolist()
    errors = np.array([0.5, 0.5, 2.0, np.nan])
    lots.learn(errors)
    shares = np.bincount(lots.items(1, 0, 20_000)) / 20_000
    hard = hardness(errors)
    assert shares == pytest.approx(0.5 * 0.25 + 0.5 * hard / hard.sum(), abs=0.015)
    lots.learn(None)
    assert lots.items(1, 0, 9).tolist() == order(0, 1, 4, 20_000)[:9].tolist()


def test_hardness_is_coarse_bounded_and_never_no_number():
    assert hardness(np.array([1.0, 1.0, np.nan])).tolist() == [1, 1, 1]
    assert hardness(np.array([np.nan, np.nan])).tolist() == [1, 1]
    assert hardness(np.zeros(3)).tolist() == [1, 1, 1]
    errors = np.array([0.0, 1.0, 1.0, 1e9])
    assert hardness(errors).max() <= 8
    assert hardness(errors).min() >= 1 / 8
    one = np.random.default_rng(0).uniform(0.1, 5, 1000)
    assert (hardness(one) == hardness(one * (1 + 1e-7))).all()


@given(seed=st.integers(0, 2**40), first=st.integers(0, 2**40), count=st.integers(1, 20))
def test_chance_is_in_range_and_by_place_alone(seed, first, count):
    numbers = chance(seed, 0, -5, first, count)
    assert ((numbers >= 0) & (numbers < 1)).all()
    assert chance(seed, 0, -5, first + count - 1, 1)[0] == numbers[-1]
    assert chance(seed, 1, -5, first, 1)[0] != numbers[0]
    assert chance(seed, 0, -6, first, 1)[0] != numbers[0]


def test_chance_is_even_and_neighbours_know_nothing_of_each_other():
    numbers = chance(3, 0, -5, 0, 100_000)
    assert numbers.mean() == pytest.approx(0.5, abs=0.005)
    assert np.bincount((numbers * 10).astype(int)) / 100_000 == pytest.approx(0.1, abs=0.005)
    assert abs(np.corrcoef(numbers[1:], numbers[:-1])[0, 1]) < 0.02
    assert abs(np.corrcoef(numbers, chance(3, 0, -6, 0, 100_000))[0, 1]) < 0.02
