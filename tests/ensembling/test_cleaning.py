import numpy as np
import pytest
from scipy import ndimage

from maskwright.core.progress import Silent
from maskwright.core.recipe.blocks import Decision as Block
from maskwright.ensembling.blend import Decision, answer, blend
from maskwright.ensembling.decide import decide
from maskwright.ensembling.items import score_items
from maskwright.inference.store import dequantise, quantise
from maskwright.scoring.counts import Counts, count
from maskwright.scoring.scores import score


def speckle(scene, rng, large=True):
    """Put large truths under the members of a scene, and single wrong pixels on their answers."""
    shape = next(iter(scene.valids.values())).shape
    for row in scene.rows:
        planes = [ndimage.gaussian_filter(rng.normal(size=shape), 5) > 0.01 for _ in range(scene.task.planes)]
        if scene.task.kind == "multiclass":
            label = np.argmax([ndimage.gaussian_filter(rng.normal(size=shape), 5) for _ in planes], 0).astype(np.uint8)
            truth = np.arange(scene.task.planes)[:, None, None] == label
        else:
            truth = np.stack(planes)
            label = truth.astype(np.uint8) if scene.task.kind == "multilabel" else truth[0].astype(np.uint8)
        scene.labels[row.key] = label
        for store in scene.stores.values():
            probability = np.where(truth, 0.8, 0.1)
            spots = rng.random(shape) < (0.03 if large else 0.0)
            probability[:, spots] = rng.random((scene.task.planes, int(spots.sum())))
            _, valid, _, facts = store.items[row.key]
            store.write(row.key, quantise(probability.astype(np.float32), 8), valid, facts)
    return scene


def answered(scene, decision):
    total = Counts.zero(scene.task.planes)
    for row in scene.rows:
        parts = {name: dequantise(*store.read_item(row.key)[::2]) for name, store in scene.stores.items()}
        label = answer(blend(parts, decision), decision, scene.task)
        total += count(scene.labels[row.key], label, scene.valids[row.key], scene.task)
    return score(total, decision.metric)


@pytest.mark.parametrize("kind", ["binary", "multiclass", "multilabel"])
def test_speckles_are_found_taken_away_and_worth_what_is_said(kind, simulate):
    scene = speckle(simulate(kind, items=12, shape=(48, 40), noises=(1.0,)), np.random.default_rng(1))
    decision = decide(scene.oof, scene.task, Block(), Silent()).decision
    assert max(decision.cleaning.least) >= 8
    choice = next(each for each in decision.evidence.choices if each.what == "cleaning")
    assert choice.kept
    assert "pieces < " in choice.outcome
    plain = decide(scene.oof, scene.task, Block(postprocess="off"), Silent()).decision
    assert plain.cleaning.nothing
    assert decision.evidence.honest > plain.evidence.honest
    assert decision.evidence.honest - plain.evidence.honest == pytest.approx(choice.honest_gain, abs=1e-12)
    assert decision.evidence.optimistic == pytest.approx(answered(scene, decision), abs=1e-12)
    assert Decision.from_plain(decision.to_plain()) == decision
    rows = score_items(scene.oof, decision, scene.task, Silent())
    total = Counts(*(np.sum([getattr(row, part) for row in rows], 0) for part in ("tp", "fp", "fn")),
                   np.zeros(scene.task.planes, np.int64))  # fmt: skip
    assert score(total, "iou") == pytest.approx(decision.evidence.optimistic)


def test_where_nothing_is_small_nothing_is_kept(simulate):
    for seed in range(6):
        scene = speckle(
            simulate(items=10, shape=(32, 32), noises=(1.0,), seed=seed), np.random.default_rng(seed), False
        )
        decision = decide(scene.oof, scene.task, Block(), Silent()).decision
        assert decision.cleaning.nothing


def spots(scene, rng, true):
    """Let truth and answer differ in small squares alone: those of the answer are true with the given chances.

    The left half is ground with pieces, the right half roof with holes; true and false squares are of the same sizes.
    """
    for row in scene.rows:
        label, said = np.zeros((32, 32), np.uint8), np.zeros((32, 32), np.uint8)
        label[:, 16:] = said[:, 16:] = 1
        for top, left in np.ndindex(4, 4):
            spot = np.s_[
                8 * top + 2 : 8 * top + 2 + rng.integers(1, 5), 8 * left + 2 : 8 * left + 2 + rng.integers(1, 5)
            ]
            if rng.random() < 0.6:
                said[spot] = left < 2
                label[spot] = said[spot] if rng.random() < true[left // 2] else label[spot]
        scene.labels[row.key] = label
        facts = {"member": "m0", "split": "oof", "folds": [row.fold]}
        scene.stores["m0"].write(
            row.key, np.where(said, 230, 25).astype(np.uint8)[None], np.ones((32, 32), bool), facts
        )
    return scene


def share_kept(simulate, true, runs):
    """Return in which share of the runs cleaning was kept."""
    found = []
    for seed in range(runs):
        scene = spots(simulate(items=16, folds=4, shape=(32, 32), noises=(1.0,)), np.random.default_rng(seed), true)
        choices = decide(scene.oof, scene.task, Block(thresholds="fixed"), Silent()).decision.evidence.choices
        found.append(next((each.kept for each in choices if each.what == "cleaning"), False))
    return sum(found) / runs


def test_where_no_size_is_worth_cleaning_it_is_kept_in_5_percent_at_most(simulate):
    """At an IoU of 0.93 a piece is worth keeping from 0.483 true on, and a hole from 0.517 on: nearly even chances."""
    assert share_kept(simulate, (0.5, 0.52), 40) <= 0.05


def test_a_planted_gain_of_cleaning_is_found(simulate):
    assert share_kept(simulate, (0.1, 0.1), 12) == 1


@pytest.mark.parametrize(("kind", "sxy"), [("binary", 0.8), ("multiclass", 1.5), ("multilabel", 0.8)])
def test_a_random_field_is_kept_where_held_out_items_say_so_and_worth_what_is_said(kind, sxy, simulate):
    from maskwright.core.recipe.crf import CrfChoice

    scene = speckle(simulate(kind, items=12, shape=(48, 40), noises=(1.0,)), np.random.default_rng(1))
    asked = CrfChoice(sxy=sxy)
    block = Block(crf=asked, postprocess="off")
    decision = decide(scene.oof, scene.task, block, Silent()).decision
    choice = next(each for each in decision.evidence.choices if each.what == "crf")
    assert choice.kept
    assert choice.outcome == f"gt_prob 0.78, sxy {sxy:g}, compat 3, 10 steps"
    assert decision.crf == asked.crf
    plain = decide(scene.oof, scene.task, Block(postprocess="off"), Silent()).decision
    assert decision.evidence.honest - plain.evidence.honest == pytest.approx(choice.honest_gain, abs=1e-12)
    assert decision.evidence.optimistic == pytest.approx(answered(scene, decision), abs=1e-12)
    assert Decision.from_plain(decision.to_plain()) == decision


def test_a_random_field_that_harms_is_left_out_unless_it_is_ordered(simulate):
    from maskwright.core.recipe.crf import CrfChoice

    scene = simulate(items=12, shape=(32, 32), noises=(0.3,))  # truths are single pixels, which it would wipe out
    asked = CrfChoice(sxy=5)
    assert decide(scene.oof, scene.task, Block(crf=asked), Silent()).decision.crf is None
    ordered = decide(scene.oof, scene.task, Block(crf=CrfChoice(sxy=5, keep="always")), Silent()).decision
    assert ordered.crf == asked.crf
    choice = next(each for each in ordered.evidence.choices if each.what == "crf")
    assert (choice.kept, choice.reason) == (True, "the recipe says so")
    assert choice.honest_gain < 0
