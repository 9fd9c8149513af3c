"""The diagnosis beside the same numbers made by numpy and scikit-learn from dequantised probabilities."""

import numpy as np
import pytest
from sklearn.calibration import calibration_curve
from sklearn.metrics import matthews_corrcoef

from maskwright.core.errors import InputError
from maskwright.core.progress import Silent
from maskwright.core.recipe.blocks import Decision as Block
from maskwright.ensembling import diagnosis
from maskwright.ensembling.chance import gap, spread
from maskwright.ensembling.decide import decide
from maskwright.ensembling.diagnosis import BINS, diagnose, read_diagnosis, write_diagnosis
from maskwright.scoring.counts import Counts
from maskwright.scoring.measures import Measure
from maskwright.scoring.scores import score


@pytest.fixture(params=["binary", "multiclass", "multilabel"])
def scene(request, simulate):
    return simulate(request.param, noises=(0.8, 1.2, 1.0), common=0.4, biases=[-0.5, 0.1, 0.3], valid=0.9, bits=(8, 16))


def looked(scene):
    """Return (planes of) blended probabilities, truth, and each member's answers, valid pixels only."""
    blends, truths, answers, keys = [], [], [], []
    for key, _, members, label, valid in scene.oof:
        stack = np.stack(list(members.values()))
        blend = stack.mean(0, dtype=np.float64)
        planes = label if scene.task.kind == "multilabel" else label[None]
        if scene.task.kind == "multiclass":
            own, planes = stack.argmax(1)[:, None], label[None]
        else:
            own = (stack >= 0.5).astype(int)
        blends.append(blend[:, valid])
        truths.append(planes[:, valid])
        answers.append(own[..., valid])
        keys.append(key)
    return blends, truths, answers, keys


def equal_weights(scene):
    return decide(scene.oof, scene.task, Block(blend="mean", temperatures="off"), Silent())


def test_reliability_is_that_of_the_blend(scene):
    found = diagnose(scene.oof, equal_weights(scene), scene.task, Silent())
    blends, truths, _, _ = looked(scene)
    p, truth = np.concatenate(blends, 1), np.concatenate(truths, 1)
    if scene.task.kind == "multiclass":
        top, right = p.max(0), p.argmax(0) == truth[0]
        wanted = [("", top, right)] + [(n, p[k], truth[0] == k) for k, n in enumerate(scene.task.classes)]
    else:
        wanted = [(name, p[k], truth[k] == 1) for k, name in enumerate(scene.task.plane_names)]
    assert [row.name for row in found.reliability] == [name for name, _, _ in wanted]
    for row, (_, said, true) in zip(found.reliability, wanted, strict=True):
        assert sum(row.pixels) == said.size
        assert sum(row.true) == true.sum()
        place = np.minimum((said * BINS).astype(int), BINS - 1)
        near = np.abs(said * BINS - np.rint(said * BINS)) < 1e-4  # float32 may put these one step beside
        moved = np.abs(np.bincount(place, minlength=BINS) - np.array(row.pixels)).sum()
        assert moved <= 2 * near.sum()
        filled = [k for k in range(BINS) if row.pixels[k]]
        share, mean = calibration_curve(true, said, n_bins=BINS)
        if not near.any():
            assert [row.true[k] / row.pixels[k] for k in filled] == pytest.approx(share, abs=1e-12)
            assert [row.mean[k] for k in filled] == pytest.approx(mean, abs=1e-5)
        assert row.bias == pytest.approx(said.mean() - true.mean(), abs=1e-6)
        gaps = [abs(row.mean[k] * row.pixels[k] - row.true[k]) for k in filled]
        assert row.error == pytest.approx(sum(gaps) / said.size, abs=1e-5)


def test_members_errors_are_counted_in_pairs(scene):
    found = diagnose(scene.oof, equal_weights(scene), scene.task, Silent())
    _, truths, answers, _ = looked(scene)
    truth = np.concatenate([t.ravel() for t in truths])
    own = np.concatenate([a.reshape(3, -1) for a in answers], 1)
    wrong = own != truth
    assert [row.wrong for row in found.members] == wrong.sum(1).tolist()
    assert found.pixels == truth.size
    assert [(pair.first, pair.second) for pair in found.pairs] == [("m0", "m1"), ("m0", "m2"), ("m1", "m2")]
    for pair, (one, two) in zip(found.pairs, [(0, 1), (0, 2), (1, 2)], strict=True):
        assert pair.together == (wrong[one] & wrong[two]).sum()
        assert pair.differ == (own[one] != own[two]).sum()
        assert pair.correlation == pytest.approx(matthews_corrcoef(wrong[one], wrong[two]), abs=1e-9)


def test_entropy_and_disagreement_are_those_of_each_item(scene):
    found = diagnose(scene.oof, equal_weights(scene), scene.task, Silent())
    blends, _, answers, keys = looked(scene)
    assert list(found.items) == keys
    for p, own, key in zip(blends, answers, keys, strict=True):
        sure = np.clip(p, 1e-12, 1)
        if scene.task.kind == "multiclass":
            entropy = (-p * np.log(sure)).sum(0).mean() / np.log(4)
        else:
            no = np.clip(1 - p, 1e-12, 1)
            entropy = (-p * np.log2(sure) - (1 - p) * np.log2(no)).mean()
        assert found.items[key].entropy == pytest.approx(entropy, abs=2e-3)
        assert found.items[key].disagreement == pytest.approx((own != own[0]).any(0).mean(), abs=1e-6)


def test_a_large_item_is_looked_at_on_a_grid(scene, monkeypatch):
    whole = diagnose(scene.oof, equal_weights(scene), scene.task, Silent())
    monkeypatch.setattr(diagnosis, "MOST_PIXELS", 20)
    some = diagnose(scene.oof, equal_weights(scene), scene.task, Silent())
    assert 0 < some.pixels < whole.pixels / 2
    assert some.honest == whole.honest, "scores are made of all pixels"


def test_the_interval_holds_the_honest_score_and_needs_eight_groups(scene, simulate):
    decided = decide(scene.oof, scene.task, Block(), Silent())
    found = diagnose(scene.oof, decided, scene.task, Silent())
    assert found.honest.low < decided.decision.evidence.honest < found.honest.high
    assert (found.honest.level, found.honest.units) == (0.95, 12)
    few = simulate("binary", items=7)
    assert diagnose(few.oof, decide(few.oof, few.task, Block(), Silent()), few.task, Silent()).honest is None


def test_counts_of_items_add_up_to_the_honest_score(scene):
    decided = decide(scene.oof, scene.task, Block(), Silent())
    found = diagnose(scene.oof, decided, scene.task, Silent())
    tp, fp, fn = (np.sum([getattr(row, name) for row in found.items.values()], axis=0) for name in ("tp", "fp", "fn"))
    honest = decided.decision.evidence.honest
    assert score(Counts(tp, fp, fn, np.zeros_like(tp)), "iou") == pytest.approx(honest, abs=1e-12)


def test_it_survives_its_file_and_a_damaged_one_is_refused_in_one_line(scene, tmp_path):
    found = diagnose(scene.oof, equal_weights(scene), scene.task, Silent())
    path = tmp_path / "diagnosis.json"
    write_diagnosis(path, found)
    assert read_diagnosis(path) == found
    path.write_text('{"pixels": "many"}')
    with pytest.raises(InputError) as caught:
        read_diagnosis(path)
    assert str(caught.value) == f"{path}: not a diagnosis of this version; run maskwright decide"


def test_a_single_member_and_a_perfect_one_give_no_pairs_and_no_correlation(simulate):
    alone = simulate("binary", noises=(0.5,))
    found = diagnose(alone.oof, equal_weights(alone), alone.task, Silent())
    assert found.pairs == ()
    assert all(row.disagreement == 0 for row in found.items.values())
    perfect = simulate("binary", noises=(0.0, 1.0))
    assert diagnose(perfect.oof, equal_weights(perfect), perfect.task, Silent()).pairs[0].correlation is None


def counts_of(rng, items, hit):
    tp = rng.binomial(100, hit, (items, 1))
    fn = 100 - tp
    fp = rng.poisson(20, (items, 1))
    return np.stack([tp, fp, fn, np.full_like(tp, 800)], 1)


def test_spread_and_gap_are_pooled_scores_with_intervals_that_hold_them():
    rng = np.random.default_rng(0)
    worse, better = counts_of(rng, 40, 0.7), counts_of(rng, 40, 0.8)
    groups = [f"g{index // 2}" for index in range(40)]
    one = spread(worse, groups, Measure())
    assert one.units == 20
    assert one.value == pytest.approx(score(Counts(*worse.sum(0)), "iou"))
    assert one.low < one.value < one.high
    both = gap(worse, better, groups, Measure())
    assert both.value == pytest.approx(score(Counts(*better.sum(0)), "iou") - one.value)
    assert 0 < both.low < both.value < both.high
    same = gap(worse, worse, groups, Measure())
    assert (same.value, same.low, same.high) == (0, 0, 0)
    assert spread(worse, ["a"] * 40, Measure()) is None


def test_the_interval_covers_the_truth_about_as_often_as_it_says():
    covered = 0
    for seed in range(200):
        found = spread(
            counts_of(np.random.default_rng(seed), 40, 0.75), [str(i) for i in range(40)], Measure("recall"), seed
        )
        covered += found.low <= 0.75 <= found.high
    assert 178 <= covered <= 199  # 95 % of 200, less what a percentile bootstrap of 40 is known to lack
