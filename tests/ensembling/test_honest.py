import numpy as np
import pytest
from scipy import stats

from maskwright.core.progress import Silent
from maskwright.data.folds.folds import FoldRow
from maskwright.ensembling.honest import Chooser, Gain, Plan, Procedure, compare, count_plans
from maskwright.ensembling.select import fixed_candidates
from maskwright.ensembling.settle import Setting
from maskwright.ensembling.tally import Tally
from maskwright.scoring.counts import Counts
from maskwright.scoring.measures import Measure
from maskwright.scoring.scores import score

POOLED = Measure()
PROCEDURES = [Procedure(w, t) for w in (False, True) for t in (False, True)]


def chooser_of(scene, measure=POOLED, rule="global"):
    candidates = fixed_candidates(len(scene.stores), "weighted")
    tally = Tally(scene.task, measure, candidates, scene.oof.folds)
    for item in map(scene.oof.read, scene.oof.entries):
        tally.add(item.entry.fold, tally.count(item.values, item.scale, item.label, item.valid))
    default = () if rule == "argmax" else (128,) * scene.task.planes
    return Chooser(tally, rule, default, lambda left_out: candidates)


def without(scene, fold):
    """The same scene with one fold's items thrown away."""
    scene.rows = [row for row in scene.rows if row.fold != fold]
    return scene


@pytest.mark.parametrize("procedure", PROCEDURES)
def test_what_a_fold_gets_is_chosen_as_if_its_items_did_not_exist(procedure, simulate):
    given = {"noises": (0.8, 1.4), "biases": [0.4, -0.2], "items": 12, "folds": 3}
    nested = chooser_of(simulate(**given)).nested(procedure)
    for fold in range(3):
        assert nested[fold] == chooser_of(without(simulate(**given), fold)).choose(procedure)


@pytest.mark.parametrize(
    ("kind", "rule"), [("binary", "global"), ("multilabel", "per_class"), ("multiclass", "argmax")]
)
@pytest.mark.parametrize("measure", [Measure(), Measure("f2", "image"), Measure("dice", "image", "one")])
def test_honest_and_optimistic_sums_are_those_of_the_answers_item_by_item(kind, rule, measure, simulate):
    scene = simulate(kind, noises=(0.8, 1.4), valid=0.9)
    chooser = chooser_of(scene, measure, rule)
    procedure = Procedure(True, rule != "argmax")
    (state,) = count_plans(scene.oof, [Plan(chooser.nested(procedure), chooser.choose(procedure))], Silent())
    np.testing.assert_allclose(measure.lift(state.honest).sum(0), chooser.honest(procedure), atol=1e-9)
    np.testing.assert_allclose(measure.lift(state.rosy).sum(0), chooser.optimistic(procedure), atol=1e-9)


def test_tuning_on_all_items_never_scores_below_the_default(simulate):
    for seed in range(5):
        chooser = chooser_of(simulate(seed=seed, biases=[0.3, -0.3]))
        scores = [Measure().score(chooser.optimistic(procedure)) for procedure in PROCEDURES]
        assert scores[0] <= scores[1] <= scores[3]
        assert scores[0] <= scores[2] <= scores[3]


def test_among_equals_the_plainest_candidate_is_chosen(simulate):
    scene = simulate()
    scene.stores["m1"].items = {
        key: (*scene.stores["m0"].items[key][:3], facts) for key, (*_, facts) in scene.stores["m1"].items.items()
    }
    assert chooser_of(scene).choose(Procedure(True, True)).shares == (1, 1)


def gain_of(scene, before, after, **given):
    return compare(np.array(before, np.int64), np.array(after, np.int64), scene.oof, Measure(), **given)


def test_a_gain_is_the_difference_of_pooled_scores_with_an_interval_around_it(simulate):
    scene = simulate(items=12)
    before = [[[60], [20], [20], [0]]] * 12
    after = [[[60 + index % 4], [20], [20 - index % 4], [0]] for index in range(12)]
    found = gain_of(scene, before, after)
    assert found.gain == pytest.approx(score(Counts(*np.sum(after, 0)), "iou") - 0.6)
    assert 0 < found.low < found.gain < found.high
    assert (found.units, found.folds, found.folds_better) == (12, 3, 3)
    assert found == gain_of(scene, before, after)


def test_the_interval_agrees_with_the_spread_of_fresh_data(simulate):
    scene, rng = simulate(items=60), np.random.default_rng(0)

    def fresh():
        tp = 50 + 10 * rng.normal(size=(2, 60)).astype(int)
        return [np.stack([part, 100 - part, 0 * part, 0 * part], 1)[..., None] for part in tp]

    widths = [found.high - found.low for found in (gain_of(scene, *fresh()) for _ in range(20))]
    spread = np.std([gain_of(scene, *fresh()).gain for _ in range(150)])
    assert np.mean(widths) == pytest.approx(2 * 2.576 * spread, rel=0.25)


def test_items_of_one_group_are_drawn_together(simulate):
    scene = simulate(items=24, folds=3)
    before = [[[50], [25], [25], [0]]] * 24
    after = [[[50 + (8 if index % 6 < 3 else -6)], [25], [25], [0]] for index in range(24)]
    alone = gain_of(scene, before, after)
    scene.rows = [FoldRow(row.key, f"g{index % 6}", row.fold) for index, row in enumerate(scene.rows)]
    together = gain_of(scene, before, after)
    assert together.units == 6
    assert together.gain == alone.gain
    assert together.high - together.low > 1.5 * (alone.high - alone.low)


@pytest.mark.parametrize(
    ("gain", "believed", "reason"),
    [
        ((0.02, 0.01, 0.03, 3, 3, 20), True, "better on 3 of 3 folds, 99 % interval +0.0100 to +0.0300"),
        ((0.0, 0.0, 0.0, 0, 3, 20), False, "no gain on folds that had no part in choosing"),
        ((0.02, -0.01, 0.03, 3, 3, 20), False, "the gain may be chance: 99 % interval -0.0100 to +0.0300"),
        ((0.02, 0.01, 0.03, 1, 2, 20), False, "better on only 1 of 2 folds"),
        (
            (0.02, 0.01, 0.03, 3, 3, 3),
            True,
            "better on 3 of 3 folds, 99 % interval +0.0100 to +0.0300 of 3 groups' gains",
        ),
        (
            (0.02, -1.0, 1.0, 2, 2, 2),
            False,
            "2 groups of items cannot tell a gain from chance; 3 are needed",
        ),
    ],
)
def test_a_gain_is_believed_only_with_every_kind_of_evidence(gain, believed, reason):
    found = Gain(*gain)
    assert found.believed is believed
    assert found.reason == reason


def test_settings_are_plain_values():
    assert Setting((1, 1), (128,)) == Setting((1, 1), (128,))


@pytest.mark.parametrize("groups", [3, 5, 7])
def test_few_groups_are_judged_by_student_s_t_of_their_gains(groups, simulate):
    scene, rng = simulate(items=21, folds=groups), np.random.default_rng(1)
    scene.rows = [FoldRow(row.key, f"g{row.fold}", row.fold) for row in scene.rows]
    tp = rng.integers(40, 60, (2, 21, 1))
    before, after = (np.stack([part, 100 - part, 0 * part, 0 * part], 1) for part in tp)
    found = gain_of(scene, before, after)
    group = np.arange(21) % groups
    gains = [
        (after[group == g, 0].sum() - before[group == g, 0].sum()) / (100 * (group == g).sum()) for g in range(groups)
    ]
    interval = stats.t.interval(0.99, groups - 1, np.mean(gains), stats.sem(gains))
    assert (found.low, found.high) == pytest.approx(interval, rel=1e-3)
    assert found.units == groups


def test_two_groups_are_never_believed(simulate):
    scene = simulate(items=12, folds=2)
    scene.rows = [FoldRow(row.key, f"g{row.fold}", row.fold) for row in scene.rows]
    found = gain_of(scene, [[[50], [50], [0], [0]]] * 12, [[[90], [10], [0], [0]]] * 12)
    assert found.gain == pytest.approx(0.4)
    assert not found.believed
