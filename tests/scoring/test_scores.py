import json
import math
import warnings
from functools import partial

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from sklearn import metrics as sk

from maskwright.core import rle
from maskwright.core.errors import InputError
from maskwright.core.labels import Task
from maskwright.scoring.counts import Counts, confusion, count
from maskwright.scoring.scores import METRICS, mean_over_items, per_class, pixel_accuracy, pooled, score, summary

CLASSES = 4
MULTICLASS = Task(kind="multiclass", classes=("a", "b", "c", "d"))
LABELS = hnp.arrays(np.uint8, (6, 7), elements=st.integers(0, CLASSES - 1))
COUNTS = st.lists(st.tuples(*[st.integers(0, 10**9)] * 4), min_size=1, max_size=5).map(
    lambda rows: Counts(*(np.array(column) for column in zip(*rows, strict=True)))
)
SKLEARN = {
    "iou": sk.jaccard_score,
    "dice": sk.f1_score,
    "precision": sk.precision_score,
    "recall": sk.recall_score,
    "f0.5": partial(sk.fbeta_score, beta=0.5),
    "f2": partial(sk.fbeta_score, beta=2),
}


@pytest.mark.parametrize("metric", SKLEARN)
@given(truth=LABELS, predicted=LABELS)
def test_scores_of_classes_agree_with_scikit_learn(metric, truth, predicted):
    options = {"labels": range(CLASSES), "zero_division": 0}
    flat = truth.ravel(), predicted.ravel()
    counts = count(truth, predicted, None, MULTICLASS)
    ours = per_class(counts, metric, empty="zero")
    np.testing.assert_allclose(ours, SKLEARN[metric](*flat, average=None, **options), atol=1e-12)
    assert score(counts, metric, empty="zero") == pytest.approx(SKLEARN[metric](*flat, average="macro", **options))
    assert pooled(counts, metric) == pytest.approx(SKLEARN[metric](*flat, average="micro", **options))
    assert pixel_accuracy(counts) == pytest.approx(sk.accuracy_score(*flat))


@pytest.fixture(scope="module")
def classification():
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        from torchmetrics.functional import classification
    return classification


@given(truth=LABELS, predicted=LABELS, valid=hnp.arrays(np.bool_, (6, 7)))
def test_scores_agree_with_torchmetrics_and_its_ignore_index(classification, truth, predicted, valid):
    import torch

    marked = torch.from_numpy(np.where(valid, truth, 255).astype(np.int64))
    options = {"num_classes": CLASSES, "ignore_index": 255}
    said = torch.from_numpy(predicted.astype(np.int64))
    theirs = classification.multiclass_confusion_matrix(said, marked, **options)
    np.testing.assert_array_equal(confusion(truth, predicted, valid, CLASSES), theirs.numpy())
    counts = count(truth, predicted, valid, MULTICLASS)
    table = {
        "iou": classification.multiclass_jaccard_index,
        "dice": classification.multiclass_f1_score,
        "precision": classification.multiclass_precision,
        "recall": classification.multiclass_recall,
    }
    for metric, function in table.items():
        each = function(said, marked, average=None, **options).numpy()
        np.testing.assert_allclose(per_class(counts, metric, empty="zero"), each, atol=1e-6)
        if valid.any():
            mean = function(said, marked, average="macro", **options).item()
            assert score(counts, metric, empty="skip") == pytest.approx(mean, abs=1e-6)


@given(hnp.arrays(np.bool_, (9, 13)), hnp.arrays(np.bool_, (9, 13)))
def test_binary_iou_agrees_with_pycocotools_on_our_run_lengths(truth, predicted):
    from pycocotools import mask as coco

    def stored(mask):
        starts, lengths = rle.runs(mask, "column")
        gaps = starts - np.concatenate([[0], (starts + lengths)[:-1]])[: starts.size]
        counts = np.stack([gaps, lengths], axis=1).ravel().tolist()
        return coco.frPyObjects({"size": list(mask.shape), "counts": [*counts, mask.size - sum(counts)]}, *mask.shape)

    counts = count(truth, predicted, None, Task(kind="binary", classes=("roof",)))
    assert counts.truth == [coco.area(stored(truth))]
    assert counts.predicted == [coco.area(stored(predicted))]
    theirs = coco.iou([stored(predicted)], [stored(truth)], [0])[0, 0]
    assert score(counts, "iou", empty="zero") == pytest.approx(theirs)


@given(COUNTS, st.sampled_from(sorted(METRICS)))
def test_scores_are_shares_and_empty_classes_follow_the_policy(counts, metric):
    absent = (counts.tp + counts.fp + counts.fn) == 0
    for empty, value in (("skip", math.nan), ("one", 1.0), ("zero", 0.0)):
        values = per_class(counts, metric, empty)
        assert (np.isnan(values) | ((values >= 0) & (values <= 1))).all()
        if metric != "accuracy":
            np.testing.assert_array_equal(values[absent], np.full(absent.sum(), value))
        assert not np.isnan(values[~absent]).any()


@given(COUNTS)
def test_dice_and_iou_say_the_same_in_two_scales(counts):
    iou, dice = per_class(counts, "iou"), per_class(counts, "dice")
    np.testing.assert_allclose(dice, 2 * iou / (1 + iou), rtol=1e-9, equal_nan=True)


def test_the_policy_for_empty_classes_by_hand():
    counts = Counts(np.array([5, 0, 0]), np.array([1, 0, 2]), np.array([2, 0, 0]), np.array([10, 18, 16]))
    np.testing.assert_array_equal(per_class(counts, "iou"), [5 / 8, math.nan, 0])
    assert score(counts, "iou") == pytest.approx(5 / 16)
    assert score(counts, "iou", "one") == pytest.approx((5 / 8 + 1 + 0) / 3)
    assert score(counts, "iou", "zero") == pytest.approx(5 / 24)
    assert per_class(counts, "recall", "one").tolist() == [5 / 7, 1, 0]
    assert math.isnan(score(Counts.zero(2), "iou"))
    assert math.isnan(pooled(Counts.zero(2), "accuracy"))
    assert math.isnan(pixel_accuracy(Counts.zero(2)))


def test_pixel_accuracy_of_one_class_counts_background_too():
    assert pixel_accuracy(Counts(np.array([3]), np.array([1]), np.array([2]), np.array([4]))) == 0.7


def test_mean_over_items_weighs_each_image_alike():
    small, large = Counts(*([np.array([1])] * 3), np.array([0])), Counts(np.array([98]), *([np.array([1])] * 3))
    nothing = Counts(*([np.array([0])] * 3), np.array([9]))
    assert mean_over_items([small, large], "iou") == pytest.approx((1 / 3 + 0.98) / 2)
    assert mean_over_items([small, nothing], "iou") == pytest.approx((1 / 3 + 1) / 2)
    assert mean_over_items([small, nothing], "iou", empty="skip") == pytest.approx(1 / 3)
    assert math.isnan(mean_over_items([], "iou"))


def test_unknown_metric_is_refused_with_the_nearest_name():
    with pytest.raises(InputError) as caught:
        score(Counts.zero(1), "diec")
    assert str(caught.value) == (
        "unknown metric 'diec' (did you mean 'dice'?); use one of: accuracy, dice, f0.5, f2, iou, precision, recall"
    )


def test_summary_is_json_with_every_score_and_count():
    counts = Counts(np.array([5, 0]), np.array([1, 0]), np.array([2, 0]), np.array([10, 18]))
    plain = json.loads(json.dumps(summary(counts, ("roof", "road")), allow_nan=False))
    assert plain["pixels"] == 18
    assert plain["mean"]["iou"] == plain["classes"]["roof"]["iou"] == 5 / 8
    assert plain["classes"]["road"]["iou"] is None
    assert [plain["classes"]["roof"][field] for field in ("tp", "fp", "fn", "tn")] == [5, 1, 2, 10]
    assert set(METRICS) == set(plain["mean"])
    assert summary(Counts.zero(1), ("x",))["mean"]["dice"] is None
