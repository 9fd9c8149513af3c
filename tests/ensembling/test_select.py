import math
from itertools import product

import pytest

from maskwright.ensembling.select import exchange, fixed_candidates, greedy, needs_search, reduced, uniform


def test_equal_shares_come_first_then_each_member_alone():
    for members in (1, 2, 3, 4, 6):
        found = fixed_candidates(members, "weighted")
        assert found[0] == uniform(members)
        if members > 1:
            assert [sum(shares) for shares in found[1 : members + 1]] == [1] * members


def test_two_members_are_weighted_in_tenths_and_three_in_quarters():
    tenths = sorted(a / (a + b) for a, b in fixed_candidates(2, "weighted"))
    assert tenths == pytest.approx([part / 10 for part in range(11)])
    three = fixed_candidates(3, "weighted")
    assert len(three) == 15 + 1
    assert all(4 % sum(shares) == 0 for shares in three if shares != (1, 1, 1))


def test_a_blend_has_one_name():
    assert reduced((2, 4, 0)) == (1, 2, 0)
    for members in (2, 3):
        found = fixed_candidates(members, "weighted")
        assert len(set(found)) == len(found)
        assert all(math.gcd(*shares) == 1 for shares in found)


def test_more_members_are_selected_and_the_mean_is_never_searched():
    assert [needs_search(members, "weighted") for members in (1, 2, 3, 4, 5)] == [False, False, False, True, True]
    assert not needs_search(9, "mean")
    assert fixed_candidates(3, "mean") == ((1, 1, 1), (1, 0, 0), (0, 1, 0), (0, 0, 1))


def test_greedy_finds_the_blend_that_is_best_on_each_path_and_measures_before_it_asks():
    targets = {None: (0.5, 0.3, 0.2, 0.0), 3: (0.0, 0.0, 0.5, 0.5)}
    measured = set()

    def measure(new):
        assert not measured & set(new)
        measured.update(new)

    def score(shares, path):
        assert shares in measured
        total = sum(shares)
        return -sum((share / total - goal) ** 2 for share, goal in zip(shares, targets[path], strict=True))

    assert greedy(4, [None, 3], measure, score) == {None: (5, 3, 2, 0), 3: (0, 0, 1, 1)}


def test_greedy_takes_a_score_that_does_not_exist_for_the_worst():
    assert greedy(4, [None], lambda new: None, lambda shares, path: math.nan if shares[0] else 0.5)[None][0] == 0


def test_exchange_finds_the_best_of_all_blends_in_twentieths():
    targets = {None: (0.52, 0.27, 0.21, 0.0), 2: (0.05, 0.0, 0.4, 0.55)}
    measured, asked = {(1, 1, 1, 1)}, []

    def measure(new):
        assert not measured & set(new)
        measured.update(new)

    def score(shares, path):
        assert shares in measured
        asked.append(shares)
        total = sum(shares)
        return -sum((share / total - goal) ** 2 for share, goal in zip(shares, targets[path], strict=True))

    found = exchange(dict.fromkeys(targets, (1, 1, 1, 1)), measure, score)
    for path in targets:
        everything = [shares for shares in product(range(21), repeat=4) if sum(shares) == 20]
        measured.update(reduced(shares) for shares in everything)
        assert score(found[path], path) == max(score(reduced(shares), path) for shares in everything)
    assert len(set(asked[: -2 * len(everything)])) < 200  # of 1,771


def test_exchange_never_gives_up_a_better_beginning():
    begun = {None: (3, 1, 2, 1)}  # is in no grid of twentieths
    found = exchange(begun, lambda new: None, lambda shares, path: float(shares == (3, 1, 2, 1)))
    assert found == begun
