"""Worthless choices must not be kept: simulated sets in which nothing can be gained.

The worst case is simulated: members that differ by 1 % of their noise, so that no weighting is really
better or worse than another, and probabilities whose best threshold is the fixed one.
"""

import pytest

from maskwright.core.progress import Silent
from maskwright.core.recipe.blocks import Decision as Block
from maskwright.ensembling.decide import decide

SETS = 60
BEST_AT_ONE_HALF = -0.03
"""Bias at which edge 128 has the highest IoU on 400 items of 24 x 24 (measured by this simulation)."""


def kept(simulate, block, **given):
    found = []
    for seed in range(SETS):
        scene = simulate(**{"seed": 1000 + seed, "shape": (12, 12), **given})
        found.append(decide(scene.oof, scene.task, block, Silent()).decision)
    return found


def test_weights_of_members_that_differ_by_chance_are_kept_in_5_percent_at_most(simulate):
    found = []
    for members, items, folds in ((2, 12, 2), (3, 30, 5), (5, 30, 3)):
        given = {"noises": (1.0,) * members, "common": 0.99, "items": items, "folds": folds}
        found += kept(simulate, Block(thresholds="fixed", temperatures="off"), **given)
    assert sum(decision.kept_weights for decision in found) <= 0.05 * len(found)
    assert sum(decision.evidence.choices[0].optimistic_gain > 0 for decision in found) > 0.5 * len(found)


@pytest.mark.parametrize(("kind", "items", "folds"), [("binary", 12, 2), ("multilabel", 30, 5)])
def test_thresholds_are_kept_in_5_percent_at_most_where_one_half_is_best(kind, items, folds, simulate):
    bias = [BEST_AT_ONE_HALF]
    found = kept(simulate, Block(), kind=kind, noises=(1.0,), biases=bias, items=items, folds=folds)
    assert sum(decision.kept_thresholds for decision in found) <= 0.05 * SETS
    assert all(decision.evidence.choices[0].optimistic_gain >= 0 for decision in found)


def test_a_member_of_noise_never_gets_more_than_a_crumb(simulate):
    found = kept(simulate, Block(thresholds="fixed"), noises=(0.8, 30.0), items=20, folds=4)
    assert all(decision.kept_weights for decision in found)
    assert max(decision.weights["m1"] for decision in found) <= 0.21


def test_a_planted_gain_is_kept_nearly_always(simulate):
    found = kept(simulate, Block(thresholds="fixed"), noises=(0.7, 1.4), items=20, folds=4)
    assert sum(decision.kept_weights for decision in found) >= 0.95 * SETS
    assert all(decision.shares["m0"] > decision.shares["m1"] for decision in found if decision.kept_weights)


@pytest.mark.parametrize(
    ("kind", "what"), [("binary", "temperatures"), ("multiclass", "temperatures"), ("multiclass", "factors")]
)
def test_no_later_choice_is_kept_by_chance(kind, what, simulate):
    """Members of one noise and classes that are seen as often as they are: nothing to calibrate or to weigh."""
    block = Block(blend="mean", thresholds="argmax" if kind == "multiclass" else "fixed", postprocess="off")
    given = {"kind": kind, "noises": (1.0, 1.0), "common": 0.5, "items": 20, "folds": 4, "shape": (10, 10)}
    given["even"] = True  # else the likeliest class is not what IoU wants
    found = kept(simulate, block, **given)
    choices = [choice for decision in found for choice in decision.evidence.choices if choice.what == what]
    assert sum(choice.kept for choice in choices) <= 0.05 * SETS
    assert choices
