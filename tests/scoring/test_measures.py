"""What holds for every score, each way of pooling and each worth of an absent class, in one contract."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from maskwright.core.labels import Task
from maskwright.scoring.counts import Counts, count
from maskwright.scoring.measures import Measure
from maskwright.scoring.scores import METRICS, f_name, mean_over_items, per_class, score

NAMES = [*METRICS, "f1.5"]
ITEMS = st.lists(st.lists(st.tuples(*[st.integers(0, 50)] * 4), min_size=3, max_size=3), min_size=1, max_size=6).map(
    lambda rows: np.array(rows, np.int64).transpose(0, 2, 1)
)


@pytest.mark.parametrize("per", ["pooled", "image"])
@pytest.mark.parametrize("empty", ["skip", "one", "zero"])
@given(metric=st.sampled_from(NAMES), items=ITEMS)
def test_sums_add_up_to_the_score_of_all_images(per, empty, metric, items):
    measure = Measure(metric, per, empty)
    lifted = measure.lift(items)
    assert lifted.shape == (len(items), 4 if per == "pooled" else 2, 3)
    for one, sums in zip(items, lifted, strict=True):
        np.testing.assert_array_equal(measure.lift(one), sums)
    found = measure.classes(lifted.sum(0))
    if per == "pooled":
        wanted = per_class(Counts(*items.sum(0)), metric, empty)
    else:
        table = np.array([per_class(Counts(*one), metric, empty) for one in items])
        there = ~np.isnan(table)
        wanted = np.where(there.any(0), np.where(there, table, 0).sum(0) / np.maximum(there.sum(0), 1), np.nan)
    np.testing.assert_allclose(found, wanted, atol=1e-12)
    assert (np.isnan(found) | ((found >= 0) & (found <= 1 + 1e-12))).all()
    mean = measure.score(lifted.sum(0))
    kept = wanted[~np.isnan(wanted)]
    assert np.isnan(mean) if not kept.size else mean == pytest.approx(kept.mean())
    chosen = Measure(metric, per, empty, (1,)).score(lifted.sum(0))
    assert chosen == pytest.approx(wanted[1], nan_ok=True)


@given(items=ITEMS)
def test_an_image_alone_scores_what_the_plain_functions_say(items):
    for one in items:
        for metric in NAMES:
            assert Measure(metric).item(one) == pytest.approx(score(Counts(*one), metric), nan_ok=True)
    one_class = items[:, :, :1]
    found = Measure("dice", "image", "one").score(Measure("dice", "image", "one").lift(one_class).sum(0))
    assert found == pytest.approx(mean_over_items([Counts(*one) for one in one_class], "dice", "one"))


@pytest.mark.parametrize("kind", ["binary", "multiclass", "multilabel"])
@pytest.mark.parametrize("metric", NAMES)
def test_scores_know_perfect_wrong_and_ignored_pixels(kind, metric):
    rng = np.random.default_rng(0)
    task = Task(kind=kind, classes=("a",) if kind == "binary" else ("a", "b", "c"))
    shape = (3, 9, 8) if kind == "multilabel" else (9, 8)
    truth = rng.integers(0, 3 if kind == "multiclass" else 2, shape).astype(np.uint8)
    other = (truth + 1) % (3 if kind == "multiclass" else 2)
    valid = rng.random((9, 8)) < 0.7
    assert Measure(metric).item(count(truth, truth, valid, task).stacked) == 1
    wrong = Measure(metric).item(count(truth, other, valid, task).stacked)
    assert wrong == 0 if metric != "accuracy" or kind != "multiclass" else 0 < wrong < 0.5
    spoilt = np.where(valid, truth, other).astype(np.uint8)  # wrong only where it does not count
    assert Measure(metric).item(count(truth, spoilt, valid, task).stacked) == 1
    nothing = count(truth, truth, np.zeros((9, 8), bool), task).stacked
    assert np.isnan(Measure(metric, "image").score(Measure(metric, "image").lift(nothing)))


@pytest.mark.parametrize(
    ("measure", "name"),
    [
        (Measure(), "iou"),
        (Measure("f2", "image"), "f2 (mean over images)"),
        (Measure("dice", "image", "one", (0,)), "dice (mean over images, absent classes count 1, some classes only)"),
    ],
)
def test_measures_have_names(measure, name):
    assert measure.name == name


def test_f_scores_are_named_by_their_beta():
    assert [f_name(beta) for beta in (1, 2, 0.5, 1.5)] == ["dice", "f2", "f0.5", "f1.5"]
