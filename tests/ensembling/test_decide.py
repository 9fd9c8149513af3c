import tracemalloc

import numpy as np
import pytest

from maskwright.core.errors import InputError, Interrupted
from maskwright.core.progress import Silent
from maskwright.core.recipe.blocks import Decision as Block
from maskwright.core.stop import Stop
from maskwright.ensembling import sample as module
from maskwright.ensembling.blend import Decision, answer, blend
from maskwright.ensembling.decide import decide, resolve_rule
from maskwright.ensembling.honest import Procedure
from maskwright.ensembling.search import Rules, measure_candidates
from maskwright.inference.store import dequantise
from maskwright.scoring.counts import Counts, count
from maskwright.scoring.measures import Measure
from maskwright.scoring.scores import score


def made(scene, **block):
    plain = {"postprocess": "off", "temperatures": "off", "class_weights": "off"}
    return decide(scene.oof, scene.task, Block(**{**plain, **block}), Silent()).decision


def answered(scene, decision, fold=None):
    """The score of the decision's own answers, by the functions that write the masks."""
    total = Counts.zero(scene.task.planes)
    for row in scene.rows:
        if fold is None or row.fold == fold:
            parts = {name: dequantise(*store.read_item(row.key)[::2]) for name, store in scene.stores.items()}
            label = answer(blend(parts, decision), decision, scene.task)
            total += count(scene.labels[row.key], label, scene.valids[row.key], scene.task)
    return score(total, decision.metric)


@pytest.mark.parametrize("kind", ["binary", "multiclass", "multilabel"])
@pytest.mark.parametrize("members", [1, 2, 3, 5])
@pytest.mark.parametrize("metric", ["iou", "dice"])
def test_the_optimistic_score_is_that_of_the_answers_written(kind, members, metric, simulate):
    scene = simulate(kind, noises=[0.6 + 0.3 * index for index in range(members)], biases=[-0.4] * members, valid=0.9)
    decision = made(scene, metric=metric)
    assert decision.evidence.optimistic == pytest.approx(answered(scene, decision), abs=1e-12)
    assert decision.evidence.items == 12
    assert decision.evidence.pixels == sum(int(valid.sum()) for valid in scene.valids.values())
    assert decision.recipe == "hash"
    assert Decision.from_plain(decision.to_plain()) == decision


def test_rules_follow_the_task(tasks):
    rules = {kind: resolve_rule(task, "auto") for kind, task in tasks.items()}
    assert rules == {"binary": "global", "multilabel": "per_class", "multiclass": "argmax"}
    assert resolve_rule(tasks["binary"], "fixed") == "fixed"


def test_a_planted_threshold_is_found_kept_and_honest(simulate):
    scene = simulate(noises=(1.0,), biases=[-0.7], items=30)
    decision = made(scene)
    evidence = decision.evidence
    assert decision.kept_thresholds
    assert decision.thresholds[0] < 0.4
    assert evidence.default + 0.02 < evidence.honest <= evidence.optimistic


def test_the_honest_score_is_that_of_fresh_items_and_the_optimistic_one_is_above_it(simulate):
    planted = {"kind": "multilabel", "noises": (1.0,), "biases": [-0.9], "shape": (6, 6)}
    found = [made(simulate(items=16, seed=seed, **planted)) for seed in range(24)]
    assert all(decision.kept_thresholds for decision in found)
    fresh = simulate(items=300, seed=99, **planted)
    truth = [answered(fresh, decision) for decision in found]
    bias = np.array([[each.evidence.honest, each.evidence.optimistic] for each in found]) - np.array(truth)[:, None]
    assert abs(bias[:, 0].mean()) < 3 * bias[:, 0].std() / np.sqrt(len(found))
    assert (bias[:, 1] > bias[:, 0]).mean() > 0.8


def test_planted_weights_are_found_and_a_noise_member_is_dropped(simulate):
    scene = simulate(noises=(0.8, 30.0), items=30, shape=(24, 24), seed=1)
    decision = made(scene, thresholds="fixed")
    assert decision.kept_weights
    assert decision.shares == {"m0": 1, "m1": 0}
    assert decision.evidence.honest > decision.evidence.default + 0.1
    (choice,) = decision.evidence.choices
    assert (choice.what, choice.kept, choice.outcome) == ("weights", True, "m0 1.00, m1 0.00")
    assert choice.low > 0
    assert choice.folds_better == choice.folds == 3


def test_members_that_complete_each_other_are_blended_and_beat_the_best_of_them(simulate):
    decision = made(simulate(noises=(1.0, 1.0, 1.1), items=30))
    assert min(decision.shares.values()) > 0
    assert decision.evidence.honest > max(member.tuned_honest for member in decision.evidence.members) + 0.02


def test_many_members_are_searched_for_without_the_noise(simulate):
    scene = simulate(noises=(0.8, 30.0, 0.9, 30.0, 0.8, 30.0), items=30)
    decision = made(scene, thresholds="fixed")
    assert decision.kept_weights
    assert sum(decision.shares[name] for name in ("m1", "m3", "m5")) <= 0.1 * decision.total  # by luck two twentieths
    assert min(decision.shares[name] for name in ("m0", "m2", "m4")) > 0
    assert decision.total <= 20


def test_greedy_selection_on_few_sampled_pixels_still_counts_all_of_them(simulate, monkeypatch):
    scene = simulate(noises=(0.8, 30.0, 0.9, 30.0), items=30, shape=(16, 16), valid=0.8, seed=2)
    monkeypatch.setattr(module, "SAMPLE_BYTES", 16_000)
    decision = made(scene, thresholds="fixed")
    assert module.stride_of(scene.oof.pixels, scene.task, 4) == -(-30 * 256 * 9 // 16_000) == 5
    assert decision.evidence.pixels == sum(int(valid.sum()) for valid in scene.valids.values())
    assert decision.evidence.optimistic == pytest.approx(answered(scene, decision), abs=1e-12)
    assert decision.shares["m1"] + decision.shares["m3"] <= 0.1 * decision.total  # by luck one draw of ten


@pytest.mark.parametrize(("kind", "rule"), [("binary", "global"), ("multiclass", "argmax")])
def test_greedy_choices_for_a_fold_do_not_depend_on_its_items(kind, rule, simulate):
    default = () if rule == "argmax" else (128,)
    choices = []
    for spoilt in (False, True):
        scene = simulate(kind, noises=(0.8, 0.9, 1.0, 1.4), items=16, folds=4)
        for key, (stored, valid, scale, facts) in scene.stores["m0"].items.items():
            if spoilt and facts["folds"] == [2]:
                scene.stores["m0"].items[key] = (255 - stored, valid, scale, facts)
        rules = Rules(rule, default)
        chooser, _ = measure_candidates(scene.oof, Block(), Measure(), rules, Silent(), None)
        tuned = Procedure(True, rule != "argmax")
        choices.append((chooser.choose(tuned, left_out=2), chooser.choose(tuned, left_out=1)))
    assert choices[0][0] == choices[1][0]
    assert choices[0][1] != choices[1][1]


def test_nothing_tuned_is_kept_as_the_recipe_says(simulate):
    scene = simulate(items=6)
    decision = made(scene, thresholds="fixed", blend="mean", threshold=0.35)
    assert decision.shares == {"m0": 1, "m1": 1}
    assert decision.edges == (90,)
    assert decision.evidence.choices == ()
    assert not decision.kept_weights
    assert not decision.kept_thresholds
    assert decision.evidence.honest == decision.evidence.optimistic == decision.evidence.default


def test_blend_mean_still_scores_each_member_alone(simulate):
    evidence = made(simulate(noises=(0.8, 30.0), items=30), blend="mean").evidence
    assert [choice.what for choice in evidence.choices] == ["thresholds"]
    good, bad = evidence.members
    assert good.fixed > bad.fixed + 0.2


def test_scores_of_members_are_their_own(simulate):
    scene = simulate(noises=(0.9, 1.2), biases=[-0.3, 0.3], items=12)
    evidence = made(scene).evidence
    for name, member in zip(scene.stores, evidence.members, strict=True):
        lone = simulate(noises=(0.9, 1.2), biases=[-0.3, 0.3], items=12)
        lone.stores = {name: lone.stores[name]}
        alone = made(lone).evidence
        assert member.name == name
        assert member.fixed == alone.default
        assert alone.members[0] == member
        assert member.tuned_honest <= member.tuned_optimistic


def test_thresholds_are_tried_again_where_the_mean_hid_their_gain(simulate):
    # m0 wants a low threshold, but a mean with a member biased the other way does not
    scene = simulate(noises=(0.7, 6.0), biases=[-0.9, 5.5], items=30)
    decision = made(scene)
    assert [choice.what for choice in decision.evidence.choices] in (
        ["thresholds", "weights"],
        ["weights", "thresholds"],
    )
    assert decision.kept_weights
    assert decision.kept_thresholds


def test_folds_and_classes_are_told(simulate):
    scene = simulate("multilabel", items=12)
    evidence = made(scene).evidence
    assert [(fold.fold, fold.items) for fold in evidence.folds] == [(0, 4), (1, 4), (2, 4)]
    assert [row.name for row in evidence.classes] == ["roof", "shadow", "wet"]
    assert np.mean([row.iou for row in evidence.classes]) == pytest.approx(evidence.honest)
    for plane, row in enumerate(evidence.classes):
        assert row.support == sum(int(label[plane].sum()) for label in scene.labels.values())
        assert len(row.curve) == 255


def test_a_confusion_matrix_is_told_for_classes(simulate):
    scene = simulate("multiclass", noises=(0.5,), items=12)
    decision = made(scene)
    matrix = np.array(decision.evidence.confusion)
    assert score(Counts.from_confusion(matrix), "iou") == pytest.approx(decision.evidence.optimistic)
    assert decision.edges == decision.thresholds == ()
    assert decision.evidence.classes[0].curve == ()


def test_equal_inputs_give_equal_decisions_whatever_the_order_of_rows(simulate):
    one, other = simulate(noises=(1.0, 1.1, 0.9, 1.2)), simulate(noises=(1.0, 1.1, 0.9, 1.2))
    other.rows.reverse()
    assert made(one).to_plain() == made(other).to_plain()


def test_choices_are_said(simulate):
    said = []

    class Told(Silent):
        def say(self, text):
            said.append(text)

    scene = simulate(noises=(0.8, 30.0), items=30, shape=(24, 24), seed=1)
    decide(scene.oof, scene.task, Block(thresholds="fixed", postprocess="off", temperatures="off"), Told())
    assert len(said) == 1
    assert said[0].startswith("decide: weights m0 1.00, m1 0.00 kept: better on 3 of 3 folds, 99 % interval +0.")


def test_a_class_that_is_nowhere_leaves_a_score_that_is_not_defined(simulate):
    scene = simulate(items=9)
    scene.labels = {key: label * 0 for key, label in scene.labels.items()}
    for store in scene.stores.values():
        store.items = {key: (stored * 0, *rest) for key, (stored, *rest) in store.items.items()}
    evidence = made(scene).evidence
    assert evidence.honest is None
    assert evidence.classes[0].iou is None
    assert not any(choice.kept for choice in evidence.choices)


def test_a_stop_is_heard(simulate):
    stop = Stop()
    stop.signal_number = 2
    scene = simulate()
    with pytest.raises(Interrupted):
        decide(scene.oof, scene.task, Block(), Silent(), stop)


def test_a_damaged_item_is_refused(simulate):
    scene = simulate()
    oof = scene.oof
    del scene.stores["m1"].items["i003"]
    with pytest.raises(InputError, match="no probabilities of item 'i003'"):
        decide(oof, scene.task, Block(), Silent())


def test_memory_does_not_grow_with_pixels(simulate):
    def peak(side):
        scene = simulate(noises=(1.0, 1.0, 1.0), items=60, shape=(side, side))
        made(scene)  # compiled and cached
        tracemalloc.start()
        try:
            made(scene)
            return tracemalloc.get_traced_memory()[1]
        finally:
            tracemalloc.stop()

    pixels = 60 * (128**2 - 16**2)  # held at once, one byte of each would be a million more
    assert peak(128) - peak(16) < pixels
