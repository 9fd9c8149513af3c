"""Every dialect beside the real library, or beside the formula its documentation gives, on generated and real masks.

Real masks: camvid, where the folder that MASKWRIGHT_DATA names holds it (train/, trainannot/, ... as published).
"""

import os
from pathlib import Path

import numpy as np
import pytest
import segmentation_models_pytorch.metrics as smp
import torch
from PIL import Image
from sklearn.metrics import accuracy_score, f1_score, jaccard_score
from torchmetrics.classification import BinaryJaccardIndex, MulticlassJaccardIndex, MultilabelJaccardIndex
from torchmetrics.segmentation import DiceScore, MeanIoU

from maskwright.core.labels import Task
from maskwright.scoring.counts import count
from maskwright.scoring.dialects import DIALECTS, FAMILIES, dialects_of, translate

VOID = 255
TASKS = {
    "multiclass": Task(kind="multiclass", classes=("a", "b", "c", "d"), ignore=VOID),
    "multilabel": Task(kind="multilabel", classes=("a", "b", "c"), ignore=VOID),
    "binary": Task(kind="binary", classes=("a",), ignore=VOID),
}
pytestmark = pytest.mark.filterwarnings("ignore:DiceScore metric currently defaults")


def generated(kind, seed, absent):
    """Truths, predictions (N, H, W) or (N, K, H, W) and valid (N, H, W); with `absent` some class occurs nowhere."""
    rng, task = np.random.default_rng(seed), TASKS[kind]
    if kind == "multiclass":
        top = 3 if absent else 4
        truth = rng.integers(0, top, (5, 12, 10)).astype(np.uint8)
        guess = np.where(rng.random(truth.shape) < 0.3, rng.integers(0, top, truth.shape), truth).astype(np.uint8)
        for array in (truth, guess):
            array[0][array[0] == 2] = 0
        guess[guess == 1] = 1 if seed != 1 else 2  # never predicted: precision 0/0
    else:
        truth = (rng.random((5, task.planes, 12, 10)) < 0.4).astype(np.uint8)
        guess = truth ^ (rng.random(truth.shape) < 0.2)
        if absent:
            truth[:, -1], guess[:, -1] = 0, 0
        truth[0, 0], guess[0, 0] = 0, 0
        truth[1, 0] = 0
        if kind == "binary":
            truth, guess = truth[:, 0], guess[:, 0]
    return truth, guess.astype(np.uint8), rng.random((5, 12, 10)) < 0.85


def camvid():
    """Twelve real labels of 11 classes and void, and the next frame's label as the prediction."""
    root = Path(os.environ.get("MASKWRIGHT_DATA", "")) / "camvid" / "valannot"
    if "MASKWRIGHT_DATA" not in os.environ or not root.is_dir():
        pytest.skip("MASKWRIGHT_DATA names no folder that holds camvid")
    labels = np.stack([np.array(Image.open(path))[::3, ::3] for path in sorted(root.iterdir())[:13]])
    truth, guess = labels[:-1], labels[1:].copy()
    guess[guess == 11] = 0
    return truth, guess, truth != 11


def counts_of(truth, guess, valid, task):
    return [count(*three, task) for three in zip(truth, guess, valid, strict=True)]


def indexed(truth, guess, valid, classes):
    """What the tools document for a multiclass set, each by its own library or by the formula of its pages."""
    marked = np.where(valid, truth, VOID)
    said, true = torch.from_numpy(guess).long(), torch.from_numpy(marked).long()
    flat = truth[valid], guess[valid]
    labels = range(classes)
    stats = smp.get_stats(said, true, mode="multiclass", num_classes=classes, ignore_index=VOID)
    found = {
        f"smp_{prefix}{reduction.replace('-', '_')}": score(*stats, reduction=reduction).item()
        for prefix, score in (("", smp.iou_score), ("f1_", smp.f1_score))
        for reduction in ("micro", "macro", "micro-imagewise", "macro-imagewise")
    }
    for name, average in (("torchmetrics", "macro"), ("torchmetrics_micro", "micro"), ("torchmetrics_weighted",) * 2):
        index = MulticlassJaccardIndex(classes, average=average.split("_")[-1], ignore_index=VOID)
        found[name] = index(said, true).item()
    for name, average in (("sklearn", "macro"), ("sklearn_micro", "micro"), ("sklearn_weighted", "weighted")):
        found[name] = jaccard_score(*flat, labels=labels, average=average, zero_division=0.0)
    found["sklearn_f1"] = f1_score(*flat, labels=labels, average="macro", zero_division=0.0)
    found["kaggle_dice"] = f1_score(*flat, average="micro")
    return found | mmseg(*flat, classes)


def mmseg(true, said, classes):
    """The formulas of mmseg's IoUMetric (1.2.2) and of evaluate's mean_iou (0.4), which was made from it.

    Neither is installed here: mmseg needs compiled mmcv, evaluate.load fetches its script from the network.
    """
    hit = np.bincount(true[true == said], minlength=classes).astype(float)
    area, answered = np.bincount(true, minlength=classes), np.bincount(said, minlength=classes)
    with np.errstate(invalid="ignore"):
        iou, dice = hit / (area + answered - hit), 2 * hit / (area + answered)
        precision, recall = hit / answered, hit / area
        found = {
            "mmseg": np.nanmean(iou),
            "mmseg_acc": np.nanmean(recall),
            "mmseg_aacc": hit.sum() / area.sum(),
            "mmseg_dice": np.nanmean(dice),
            "mmseg_fscore": np.nanmean(2 * precision * recall / (precision + recall)),
            "mmseg_precision": np.nanmean(precision),
        }
    assert found["mmseg_aacc"] == pytest.approx(accuracy_score(true, said))
    theirs = {"hf": "mmseg", "hf_mean_accuracy": "mmseg_acc", "hf_overall_accuracy": "mmseg_aacc"}
    return found | {ours: found[name] for ours, name in theirs.items()}


def onehot(truth, guess, classes):
    """What torchmetrics' segmentation scores say; they know no ignore index."""
    said, true = torch.from_numpy(guess).long(), torch.from_numpy(truth).long()
    return {
        "torchmetrics_mean_iou": MeanIoU(classes, input_format="index")(said, true).item(),
        "torchmetrics_dice": DiceScore(classes, average="micro", input_format="index")(said, true).item(),
        "torchmetrics_dice_macro": DiceScore(classes, average="macro", input_format="index")(said, true).item(),
        "torchmetrics_dice_global": DiceScore(
            classes, average="macro", input_format="index", aggregation_level="global"
        )(said, true).item(),
    }


def compare(items, wanted, kind):
    for name, value in wanted.items():
        assert translate(items, name, kind) == pytest.approx(value, rel=1e-5), name


@pytest.mark.parametrize("absent", [False, True])
@pytest.mark.parametrize("seed", range(3))
def test_multiclass_dialects_are_the_numbers_of_the_real_libraries(seed, absent):
    truth, guess, valid = generated("multiclass", seed, absent)
    wanted = indexed(truth, guess, valid, 4)
    compare(counts_of(truth, guess, valid, TASKS["multiclass"]), wanted, "multiclass")
    everywhere = np.ones_like(valid)
    unmasked = onehot(truth, guess, 4)
    compare(counts_of(truth, guess, everywhere, TASKS["multiclass"]), unmasked, "multiclass")
    ours = {"maskwright", "foreground_iou", "dacon_dice", "image_class_dice"}
    assert wanted.keys() | unmasked.keys() | ours == DIALECTS.keys(), "a dialect without a test"


def test_real_masks_have_the_same_numbers_in_all_dialects():
    truth, guess, valid = camvid()
    task = Task(kind="multiclass", classes=tuple("abcdefghijk"), ignore=11)
    compare(counts_of(truth, guess, valid, task), indexed(truth, guess, valid, 11), "multiclass")


@pytest.mark.parametrize("absent", [False, True])
@pytest.mark.parametrize("seed", range(3))
def test_multilabel_dialects_are_the_numbers_of_the_real_libraries(seed, absent):
    truth, guess, _ = generated("multilabel", seed, absent)
    said, true = torch.from_numpy(guess).long(), torch.from_numpy(truth).long()
    stats = smp.get_stats(said, true, mode="multilabel")
    rows = truth.transpose(0, 2, 3, 1).reshape(-1, 3), guess.transpose(0, 2, 3, 1).reshape(-1, 3)
    wanted = {
        "torchmetrics": MultilabelJaccardIndex(3, average="macro")(said, true).item(),
        "torchmetrics_micro": MultilabelJaccardIndex(3, average="micro")(said, true).item(),
        "torchmetrics_weighted": MultilabelJaccardIndex(3, average="weighted")(said, true).item(),
        "torchmetrics_dice": DiceScore(3, average="micro")(said, true).item(),
        "torchmetrics_dice_macro": DiceScore(3, average="macro")(said, true).item(),
        "sklearn": jaccard_score(*rows, average="macro", zero_division=0.0),
        "sklearn_weighted": jaccard_score(*rows, average="weighted", zero_division=0.0),
        "sklearn_f1": f1_score(*rows, average="macro", zero_division=0.0),
        "smp_macro": smp.iou_score(*stats, reduction="macro").item(),
        "smp_micro_imagewise": smp.iou_score(*stats, reduction="micro-imagewise").item(),
        "smp_macro_imagewise": smp.iou_score(*stats, reduction="macro-imagewise").item(),
        "smp_f1_macro_imagewise": smp.f1_score(*stats, reduction="macro-imagewise").item(),
        # the formula of seed 003: (2 hits + 1e-4) / (true + said + 1e-4) of each image and class, one mean
        "image_class_dice": np.mean(
            (2 * (truth & guess).sum((2, 3)) + 1e-4) / (truth.sum((2, 3)) + guess.sum((2, 3)) + 1e-4)
        ),
    }
    everywhere = np.ones((5, 12, 10), bool)
    compare(counts_of(truth, guess, everywhere, TASKS["multilabel"]), wanted, "multilabel")


@pytest.mark.parametrize("seed", range(3))
def test_binary_dialects_count_background_where_the_library_does(seed):
    truth, guess, valid = generated("binary", seed, False)
    marked = torch.from_numpy(np.where(valid, truth, VOID)).long()
    stats = smp.get_stats(torch.from_numpy(guess).long() * torch.from_numpy(valid).long(),
                          torch.from_numpy(truth * valid).long()[:, None][:, 0], mode="binary")  # fmt: skip
    flat = truth[valid], guess[valid]
    each = [(t[v], g[v]) for t, g, v in zip(truth, guess, valid, strict=True)]
    dice = [2 * (t & g).sum() / (t.sum() + g.sum()) for t, g in each if t.any() or g.any()]
    assert len(dice) == 4
    wanted = {
        "torchmetrics": BinaryJaccardIndex(ignore_index=VOID)(torch.from_numpy(guess).long(), marked).item(),
        "sklearn": jaccard_score(*flat, average="binary"),
        "sklearn_f1": f1_score(*flat, average="binary"),
        "kaggle_dice": f1_score(*flat, average="binary"),
        "smp_micro": smp.iou_score(*stats, reduction="micro").item(),
        "smp_micro_imagewise": smp.iou_score(*stats, reduction="micro-imagewise").item(),
        "foreground_iou": jaccard_score(*flat, average="binary"),
        "dacon_dice": np.mean(dice),  # the formula of the DACON 236092 page: empty on both sides is left out
        **mmseg(*flat, 2),
    }
    compare(counts_of(truth, guess, valid, TASKS["binary"]), wanted, "binary")


def test_evaluate_gives_the_numbers_of_its_own_documentation():
    """The example in the documentation of evaluate's mean_iou: 10 labels, 255 ignored."""
    pairs = [
        ([[1, 2], [3, 4], [5, 255]], [[0, 3], [5, 4], [6, 255]]),
        ([[2, 7], [9, 2], [3, 6]], [[1, 7], [9, 2], [3, 6]]),
        ([[2, 2, 3], [8, 2, 4], [3, 255, 2]], [[1, 2, 2], [8, 2, 1], [3, 255, 1]]),
    ]
    task = Task(kind="multiclass", classes=tuple("abcdefghij"), ignore=VOID)
    items = []
    for said, true in pairs:
        label = np.array(true, np.uint8)
        items.append(count(label, np.array(said, np.uint8), label != VOID, task))
    assert translate(items, "hf") == pytest.approx(0.4775)
    assert translate(items, "hf_mean_accuracy") == pytest.approx(0.5916666666666666)
    assert translate(items, "hf_overall_accuracy") == pytest.approx(0.5263157894736842)


def test_a_tool_s_name_asks_for_all_of_its_dialects():
    assert dialects_of("hf") == ("hf", "hf_mean_accuracy", "hf_overall_accuracy")
    assert dialects_of("smp_macro") == ("smp_macro",)
    assert dialects_of("kaggle") == ("kaggle_dice",)
    assert {name for names in FAMILIES.values() for name in names} == DIALECTS.keys() - {
        "maskwright",
        "foreground_iou",
    }
