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


def test_by_chance_alone_cleaning_is_hardly_ever_kept(simulate):
    """Truth and answers are noise, so pieces of any size are right as often as not."""
    kept = 0
    for seed in range(20):
        scene = simulate(items=16, shape=(16, 16), noises=(60.0,), seed=seed)
        decision = decide(scene.oof, scene.task, Block(thresholds="fixed"), Silent()).decision
        gain = next(each for each in decision.evidence.choices if each.what == "cleaning")
        kept += gain.kept and gain.honest_gain < 0.002
    assert kept <= 1
