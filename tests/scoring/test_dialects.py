import cv2
import numpy as np
import pytest
import segmentation_models_pytorch.metrics as smp
import torch
from sklearn.metrics import f1_score, jaccard_score
from torchmetrics.classification import MulticlassJaccardIndex
from torchmetrics.segmentation import DiceScore

from maskwright.core.errors import InputError
from maskwright.core.labels import Task
from maskwright.scoring.boundary import band, count_boundary
from maskwright.scoring.counts import count
from maskwright.scoring.dialects import DIALECTS, translate
from maskwright.scoring.scores import per_class

CLASSES = 4
TASK = Task(kind="multiclass", classes=("a", "b", "c", "d"))


def images(seed, number=5, absent=False):
    """Truths and predictions; with `absent` class d occurs nowhere and class c not in every image."""
    rng = np.random.default_rng(seed)
    top = CLASSES - 1 if absent else CLASSES
    truth = rng.integers(0, top, (number, 12, 10)).astype(np.uint8)
    truth[0][truth[0] == 2] = 0
    wrong = rng.random(truth.shape) < 0.3
    guess = np.where(wrong, rng.integers(0, top, truth.shape), truth).astype(np.uint8)
    guess[0][guess[0] == 2] = 0
    return truth, guess


def counted(truth, guess):
    everywhere = np.ones(truth.shape[1:], bool)
    return [count(one, two, everywhere, TASK) for one, two in zip(truth, guess, strict=True)]


def smp_score(truth, guess, reduction):
    stats = smp.get_stats(
        torch.from_numpy(guess).long(), torch.from_numpy(truth).long(), mode="multiclass", num_classes=CLASSES
    )
    return smp.iou_score(*stats, reduction=reduction).item()


@pytest.mark.filterwarnings("ignore:DiceScore metric currently defaults")
@pytest.mark.parametrize("absent", [False, True])
@pytest.mark.parametrize("seed", range(3))
def test_dialects_are_the_numbers_of_the_real_libraries(seed, absent):
    truth, guess = images(seed, absent=absent)
    items = counted(truth, guess)
    tensors = torch.from_numpy(guess).long(), torch.from_numpy(truth).long()
    wanted = {
        "torchmetrics": MulticlassJaccardIndex(CLASSES)(*tensors).item(),
        "torchmetrics_dice": DiceScore(CLASSES, average="micro", input_format="index")(*tensors).item(),
        "torchmetrics_dice_macro": DiceScore(CLASSES, average="macro", input_format="index")(*tensors).item(),
        "smp_micro": smp_score(truth, guess, "micro"),
        "smp_macro": smp_score(truth, guess, "macro"),
        "smp_micro_imagewise": smp_score(truth, guess, "micro-imagewise"),
        "smp_macro_imagewise": smp_score(truth, guess, "macro-imagewise"),
        "sklearn": jaccard_score(
            truth.ravel(), guess.ravel(), labels=range(CLASSES), average="macro", zero_division=0.0
        ),
        "kaggle_dice": f1_score(truth.ravel(), guess.ravel(), average="micro"),
    }
    for name, value in wanted.items():
        assert translate(items, name) == pytest.approx(value, rel=1e-5), name


def test_mmseg_is_a_nanmean_over_classes_of_pooled_pixels():
    truth, guess = images(1, absent=True)
    hit = np.bincount(truth[truth == guess], minlength=CLASSES)
    union = np.bincount(truth.ravel(), minlength=CLASSES) + np.bincount(guess.ravel(), minlength=CLASSES) - hit
    with np.errstate(invalid="ignore"):
        wanted = np.nanmean(hit / union)
    for name in ("mmseg", "hf", "maskwright"):
        assert translate(counted(truth, guess), name) == pytest.approx(wanted)


def test_one_pair_of_images_has_four_different_miou():
    """The fixture of docs/reference/scores.md."""
    truth = np.array([[[0, 0, 0, 1]], [[0, 0, 2, 2]]], np.uint8)
    guess = np.array([[[0, 0, 1, 1]], [[0, 0, 0, 2]]], np.uint8)
    items = counted(truth, guess)
    found = {name: round(translate(items, name), 4) for name in ("mmseg", "smp_macro", "smp_micro", "sklearn")}
    assert found == {"mmseg": 0.5556, "smp_macro": 0.6667, "smp_micro": 0.6, "sklearn": 0.4167}


def test_images_empty_on_both_sides_are_left_out_or_perfect():
    task = Task(kind="binary", classes=("a",))
    everywhere = np.ones((2, 2), bool)
    nothing, corner = np.zeros((2, 2), np.uint8), np.array([[1, 0], [0, 0]], np.uint8)
    both = np.array([[1, 1], [0, 0]], np.uint8)
    items = [count(nothing, nothing, everywhere, task), count(corner, both, everywhere, task)]
    assert translate(items, "dacon_dice") == pytest.approx(2 / 3)
    assert translate(items, "image_class_dice") == pytest.approx((1 + 2 / 3) / 2)
    assert translate(items, "kaggle_dice") == pytest.approx(2 / 3)


def test_a_dialect_without_the_background_leaves_class_0_out():
    truth, guess = images(2)
    items = counted(truth, guess)
    assert translate(items, "foreground_iou") == pytest.approx(per_class(sum(items[1:], items[0]), "iou")[1:].mean())
    with pytest.raises(InputError) as caught:
        translate([count(np.zeros((1, 1), np.uint8), np.zeros((1, 1), np.uint8), np.ones((1, 1), bool),
                         Task(kind="binary", classes=("a",)))], "foreground_iou")  # fmt: skip
    assert str(caught.value) == "--dialect: foreground_iou leaves class 0 out and there is no other; choose another"


def test_an_unknown_dialect_is_refused():
    with pytest.raises(InputError) as caught:
        translate([], "mmsegg")
    assert str(caught.value).startswith(
        "--dialect: unknown dialect 'mmsegg' (did you mean 'mmseg'?); use one of: dacon"
    )


def test_no_images_have_no_score():
    assert all(np.isnan(translate([], name)) for name in DIALECTS)


@pytest.mark.parametrize("width", [1, 2, 3])
def test_the_band_is_what_erosion_takes_away(width):
    rng = np.random.default_rng(width)
    mask = cv2.blur(rng.random((40, 31)).astype(np.float32), (7, 7)) > 0.5
    padded = np.pad(mask, 1).astype(np.uint8)
    eroded = cv2.erode(padded, np.ones((3, 3), np.uint8), iterations=width)[1:-1, 1:-1] > 0
    assert (band(mask, width) == (mask & ~eroded)).all()


def test_boundary_counts_are_those_of_the_bands():
    truth, guess = np.zeros((50, 50), np.uint8), np.zeros((50, 50), np.uint8)
    truth[10:30, 10:30] = 1
    guess[10:30, 12:32] = 1
    everywhere = np.ones((50, 50), bool)
    counts = count_boundary(truth, guess, everywhere, Task(kind="binary", classes=("a",)))
    bands = [band(mask > 0, 1) for mask in (truth, guess)]
    assert per_class(counts, "iou")[0] == pytest.approx((bands[0] & bands[1]).sum() / (bands[0] | bands[1]).sum())
    assert per_class(count_boundary(truth, truth, everywhere, Task(kind="binary", classes=("a",))), "iou")[0] == 1


def test_what_does_not_count_is_no_outline():
    truth = np.ones((20, 20), np.uint8)
    valid = np.ones((20, 20), bool)
    valid[:, :10] = False
    counts = count_boundary(truth, truth, valid, Task(kind="binary", classes=("a",)))
    assert counts.tp[0] == 10 * 20 - 9 * 18
