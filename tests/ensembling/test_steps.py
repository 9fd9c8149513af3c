"""Temperatures, weights of classes and priority: searched as by brute force, applied as counted, kept if worth it."""

from itertools import product

import numpy as np
import pytest

from maskwright.core.progress import Silent
from maskwright.core.recipe.blocks import Decision as Block
from maskwright.ensembling.blend import Decision, answer, blend
from maskwright.ensembling.choose import FACTOR_ONE, FACTORS, STEPS, temperature_of
from maskwright.ensembling.decide import decide
from maskwright.ensembling.factors import search
from maskwright.ensembling.honest import Plan
from maskwright.ensembling.items import final_setting
from maskwright.ensembling.search import Rules, measure_candidates
from maskwright.ensembling.settle import Setting, count_setting
from maskwright.ensembling.temperatures import heat
from maskwright.inference.store import dequantise, quantise
from maskwright.scoring.counts import Counts, count
from maskwright.scoring.measures import Measure


def settled(scene, **block):
    plain = {"postprocess": "off", "temperatures": "off", "class_weights": "off"}
    return decide(scene.oof, scene.task, Block(**{**plain, **block}), Silent()).decision


def written(scene, row, decision):
    """The answer as export makes it."""
    parts = {name: dequantise(*store.read_item(row.key)[::2]) for name, store in scene.stores.items()}
    return answer(blend(parts, decision), decision, scene.task)


def total_of(scene, decision):
    counts = [
        count(scene.labels[r.key], written(scene, r, decision), scene.valids[r.key], scene.task) for r in scene.rows
    ]
    return np.stack([each.stacked for each in counts])


def choice_of(decision, what):
    return next((each for each in decision.evidence.choices if each.what == what), None)


def unfair(scene, factor, plane=0):
    """Make every member see too much of one class."""
    for store in scene.stores.values():
        for key, (stored, *rest) in store.items.items():
            values = stored.astype(np.float64)
            values[plane] *= factor
            store.items[key] = (quantise((values / values.sum(0)).astype(np.float32), 8), *rest)
    return scene


@pytest.mark.parametrize("kind", ["binary", "multiclass", "multilabel"])
@pytest.mark.parametrize("bits", [(8,), (16,), (8, 16)])
def test_whatever_a_setting_holds_what_is_written_is_what_was_counted(kind, bits, simulate):
    scene = simulate(kind, noises=(1.0, 1.2, 0.8), items=3, bits=bits, shape=(20, 21), valid=0.9)
    planes = scene.task.planes
    plain = settled(scene)
    for steps, rank in product(((0, 0, 0), (3, -2, 8), (-8, 0, 1)), ((), (2, 0), (1,))):
        if kind == "binary" and rank:
            continue
        made = plain.model_copy(
            update={
                "shares": dict(zip(scene.stores, (3, 1, 2), strict=True)),
                "temperature_steps": {n: s for n, s in zip(scene.stores, steps, strict=True) if s},
                "priority": rank,
                "edges": () if kind == "multiclass" else tuple(range(100, 100 + planes)),
                "factors": FACTORS[5 : 5 + planes] if kind == "multiclass" else (),
            }
        )
        made = Decision.from_plain(made.to_plain())
        for row, item in zip(scene.rows, map(scene.oof.read, scene.oof.entries), strict=True):
            said = written(scene, row, made)
            counted = count_setting(item, final_setting(made), scene.task)
            assert Counts(*counted) == count(item.label, said, item.valid, scene.task)
            if kind == "multilabel" and len(rank) > 1:
                assert said[list(rank)].sum(0).max() == 1


@pytest.mark.parametrize("per", ["pooled", "image"])
def test_planted_weights_of_classes_are_found_kept_and_worth_what_is_said(per, simulate):
    scene = unfair(simulate("multiclass", noises=(0.9, 1.0), items=24, shape=(20, 20)), 3.0)
    decision = settled(scene, class_weights="auto", per=per)
    choice = choice_of(decision, "factors")
    assert choice.kept
    assert choice.honest_gain > 0.01
    assert min(decision.factors[1:]) > FACTOR_ONE == decision.factors[0]
    measure = Measure("iou", per)
    assert decision.evidence.optimistic == pytest.approx(measure.score(measure.lift(total_of(scene, decision)).sum(0)))
    plain = settled(scene, per=per)
    assert decision.evidence.honest - plain.evidence.honest == pytest.approx(choice.honest_gain, abs=1e-12)


def test_factors_are_the_best_that_changing_one_class_can_reach(tasks):
    rng = np.random.default_rng(0)
    label = rng.integers(0, 4, 500).astype(np.uint8)
    units = (1000 * rng.dirichlet([1.0] * 4, 500).T + 700 * (np.arange(4)[:, None] == label)).astype(np.int32)
    units[2] //= 2
    units[:, :40] = units[0, :40]  # ties
    measure = Measure("iou")

    def value(factors, priority=()):
        products = units * np.array(factors)[:, None]
        order = [*priority, *(kind for kind in range(4) if kind not in priority)]
        said = np.array(order)[products[order].argmax(0)].astype(np.uint8)
        return measure.item(count(label, said, None, tasks["multiclass"]).stacked)

    for priority in ((), (3, 1)):
        found = search([(units, label)], measure, tasks["multiclass"], priority)
        best = value(found, priority)
        assert best > value((FACTOR_ONE,) * 4, priority)
        for kind in range(1, 4):
            others = [(*found[:kind], factor, *found[kind + 1 :]) for factor in FACTORS]
            assert best == pytest.approx(max(value(each, priority) for each in others))


@pytest.mark.parametrize("kind", ["binary", "multilabel", "multiclass"])
def test_temperatures_are_those_of_the_least_log_loss(kind, simulate):
    """One member is far too sure of itself, the other one far too unsure."""
    scene = simulate(kind, noises=(0.7, 0.7), items=12, shape=(16, 16), bits=(16,))
    planted = dict(zip(scene.stores, (0.4, 2.5), strict=True))
    for name, store in scene.stores.items():
        for key, (stored, valid, _, facts) in store.items.items():
            chances = np.clip(stored / 65535, 1e-4, 1 - 1e-4) ** (1 / planted[name])
            if kind == "multiclass":
                chances = chances / chances.sum(0)
            else:
                other = np.clip(1 - stored / 65535, 1e-4, 1 - 1e-4) ** (1 / planted[name])
                chances = chances / (chances + other)
            store.write(key, quantise(chances.astype(np.float32), 16), valid, facts)
    default = () if kind == "multiclass" else (128,) * scene.task.planes
    rules = Rules("argmax" if kind == "multiclass" else "per_class", default)
    chooser, samples = measure_candidates(scene.oof, Block(), Measure(), rules, Silent(), None)
    setting = Setting((1, 1), default)
    plan = heat(scene.oof, chooser, samples, Plan(dict.fromkeys(range(3), setting), setting), False, Silent(), None)

    def loss(name, temperature, folds):
        total = 0.0
        for row in scene.rows:
            if row.fold in folds:
                chances = np.clip(scene.stores[name].read_item(row.key)[0] / 65535, 0.25 / 255, 1 - 0.25 / 255)
                label = scene.labels[row.key]
                if kind == "multiclass":
                    powers = chances ** (1 / temperature)
                    true = np.take_along_axis(powers / powers.sum(0), label[None].astype(int), 0)
                else:
                    one, other = chances ** (1 / temperature), (1 - chances) ** (1 / temperature)
                    true = np.where(label > 0, one, other) / (one + other)
                total -= np.log(true).sum()
        return total

    for fold, found in ((None, plan.final), (1, plan.nested[1])):
        folds = {0, 1, 2} - {fold}
        for name, step in zip(scene.stores, found.temperatures, strict=True):
            losses = [loss(name, temperature_of(each), folds) for each in STEPS]
            assert losses[list(STEPS).index(step)] <= min(losses) * 1.002  # from bins, or sampled pixels
    sure, unsure = plan.final.temperatures
    assert sure > unsure + 4


def test_a_planted_gain_by_temperatures_is_kept(simulate):
    """A member that is too sure of itself drowns the better one."""
    scene = simulate(noises=(0.8, 1.6), items=24, shape=(20, 20))
    for key, (stored, valid, _, facts) in scene.stores["m1"].items.items():
        chances = np.clip(stored / 255, 0.004, 0.996)
        sure = chances**8 / (chances**8 + (1 - chances) ** 8)
        scene.stores["m1"].write(key, quantise(sure.astype(np.float32), 8), valid, facts)
    decision = settled(scene, blend="mean", thresholds="fixed", temperatures="auto")
    choice = choice_of(decision, "temperatures")
    assert choice.kept
    assert decision.temperature_steps["m1"] > 4
    measure = Measure("iou")
    assert decision.evidence.optimistic == pytest.approx(measure.score(measure.lift(total_of(scene, decision)).sum(0)))
    assert decision.to_plain()["temperatures"]["m1"] == temperature_of(decision.temperature_steps["m1"])


def test_one_member_gets_no_temperature(simulate):
    assert choice_of(settled(simulate(noises=(1.0,)), temperatures="auto"), "temperatures") is None


def test_the_class_that_is_named_first_wins_where_several_are_answered(simulate):
    scene = simulate("multilabel", noises=(0.8,), items=12)
    free = settled(scene)
    decision = settled(scene, priority=("wet", "roof"))
    assert decision.priority == (2, 0)
    for row in scene.rows:
        said, other = (
            written(scene, row, each) for each in (decision, free.model_copy(update={"edges": decision.edges}))
        )
        assert said[[0, 2]].sum(0).max() == 1
        assert (said[2] == other[2]).all()
        assert (said[1] == other[1]).all()
    measure = Measure("iou")
    assert decision.evidence.optimistic == pytest.approx(measure.score(measure.lift(total_of(scene, decision)).sum(0)))


@pytest.mark.parametrize("kind", ["binary", "multiclass", "multilabel"])
@pytest.mark.parametrize(
    ("block", "measure"),
    [
        ({"metric": "dice", "per": "image"}, Measure("dice", "image")),
        ({"metric": "dice", "per": "image", "empty": "one"}, Measure("dice", "image", "one")),
        ({"metric": "fbeta", "beta": 2.5}, Measure("f2.5")),
        ({"metric": "accuracy"}, Measure("accuracy")),
        ({"metric": "iou", "classes": ("roof",)}, Measure("iou", planes=(0,))),
    ],
)
def test_any_score_can_be_decided_by_and_is_what_the_files_score(kind, block, measure, simulate):
    scene = simulate(kind, noises=(0.8, 1.3), biases=[-0.5, 0.2], valid=0.9)
    if "classes" in block and kind == "multiclass":
        measure = Measure("iou", planes=(1,))
    decision = settled(scene, postprocess="auto", temperatures="auto", class_weights="auto", **block)
    assert decision.measure == measure
    counts = total_of(scene, decision)
    assert decision.evidence.optimistic == pytest.approx(measure.score(measure.lift(counts).sum(0)), abs=1e-12)
    again = Decision.from_plain(decision.to_plain())
    assert again == decision


def test_a_threshold_follows_the_score_it_is_chosen_by(simulate):
    """F2 wants more found, F0.5 fewer wrong ones."""
    edges = {}
    for beta in (0.5, 1, 2):
        scene = simulate(noises=(1.6,), items=24, shape=(16, 16))
        edges[beta] = settled(scene, metric="fbeta", beta=beta).evidence.members[0].edges[0]
    assert edges[2] < edges[1] < edges[0.5]
