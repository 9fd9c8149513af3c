import cv2
import numpy as np
import pytest
from scipy import ndimage

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


def test_one_pair_of_images_has_six_different_miou():
    """The fixture of docs/reference/scores.md."""
    truth = np.array([[[0, 0, 0, 1]], [[0, 0, 2, 2]]], np.uint8)
    guess = np.array([[[0, 0, 1, 1]], [[0, 0, 0, 2]]], np.uint8)
    items = counted(truth, guess)
    names = ("mmseg", "torchmetrics_mean_iou", "smp_micro", "smp_macro", "smp_macro_imagewise", "sklearn")
    found = {name: round(translate(items, name), 4) for name in names}
    assert found == {
        "mmseg": 0.5556,
        "torchmetrics_mean_iou": 0.5833,
        "smp_micro": 0.6,
        "smp_macro": 0.6667,
        "smp_macro_imagewise": 0.7917,
        "sklearn": 0.4167,
    }


def test_images_empty_on_both_sides_are_left_out_or_perfect():
    task = Task(kind="binary", classes=("a",))
    everywhere = np.ones((2, 2), bool)
    nothing, corner = np.zeros((2, 2), np.uint8), np.array([[1, 0], [0, 0]], np.uint8)
    both = np.array([[1, 1], [0, 0]], np.uint8)
    items = [count(nothing, nothing, everywhere, task), count(corner, both, everywhere, task)]
    assert translate(items, "dacon_dice") == pytest.approx(2 / 3)
    assert translate(items, "image_class_dice") == pytest.approx((1 + 2 / 3) / 2, abs=1e-5)
    assert translate(items, "kaggle_dice") == pytest.approx(2 / 3)


def test_a_dialect_without_the_background_leaves_class_0_out():
    truth, guess = images(2)
    items = counted(truth, guess)
    assert translate(items, "foreground_iou") == pytest.approx(per_class(sum(items[1:], items[0]), "iou")[1:].mean())
    binary = count(truth[0] > 1, guess[0] > 1, None, Task(kind="binary", classes=("a",)))
    assert translate([binary], "foreground_iou", "binary") == pytest.approx(per_class(binary, "iou")[0])
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


def by_distance(mask, valid, width):
    """The band as Cheng et al. 2021 define it: pixels of the mask not farther than `width` from what is outside it.

    Steps go along rows, columns and diagonals; the image's edge is outside, what does not count is neither.
    """
    inside = np.pad(mask | ~valid, 1)
    return (ndimage.distance_transform_cdt(inside, "chessboard")[1:-1, 1:-1] <= width) & mask & valid


@pytest.mark.parametrize("kind", ["binary", "multiclass", "multilabel"])
@pytest.mark.parametrize("share", [0.02, 0.05])
def test_boundary_iou_agrees_with_distances_to_the_outline(kind, share):
    rng = np.random.default_rng(7)
    task = Task(kind=kind, classes=("a",) if kind == "binary" else ("a", "b", "c"))
    planes = 1 if kind == "binary" else 3

    def smooth():
        depth = np.stack([ndimage.gaussian_filter(rng.normal(size=(60, 44)), 5) for _ in range(planes)])
        return depth.argmax(0) if kind == "multiclass" else (depth > 0).reshape(-1, 60, 44)

    truth, guess = (smooth().astype(np.uint8) for _ in range(2))
    valid = ndimage.gaussian_filter(rng.normal(size=(60, 44)), 3) < 0.05
    width = max(1, round(share * np.hypot(60, 44)))
    if kind == "multiclass":
        masks = [[label == index for index in range(3)] for label in (truth, guess)]
    else:
        masks = [list(label > 0) for label in (truth, guess)]
    bands = [[by_distance(mask, valid, width) for mask in each] for each in masks]
    wanted = [(one & two).sum() / (one | two).sum() for one, two in zip(*bands, strict=True)]
    if kind == "binary":
        truth, guess = truth[0], guess[0]
    found = count_boundary(truth, guess, valid, task, share)
    np.testing.assert_allclose(per_class(found, "iou"), wanted)
    assert (found.pixels == valid.sum()).all()


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
