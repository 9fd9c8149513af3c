"""Doubts of labels: what was changed on purpose is found, what is only hard or thin is not."""

import numpy as np
import pytest

from maskwright.core.labels import Task
from maskwright.ensembling.doubts import (
    BINS,
    balanced,
    best_shift,
    doubt,
    gather,
    layer_names,
    layers,
    margin_bin,
    nothing,
    rarity,
)

ONE = Task(kind="binary", classes=("cell",))
MANY = Task(kind="multiclass", classes=("background", "road", "car"))
PLANES = Task(kind="multilabel", classes=("lung", "heart"))


def discs(seed=0, size=96, count=5, radius=7):
    """Return a label (size, size) of discs that do not touch, and their masks."""
    rng = np.random.default_rng(seed)
    rows, cols = np.mgrid[:size, :size]
    found = []
    while len(found) < count:
        row, col = rng.integers(radius + 2, size - radius - 2, 2)
        disc = (rows - row) ** 2 + (cols - col) ** 2 <= radius**2
        grown = (rows - row) ** 2 + (cols - col) ** 2 <= (radius + 5) ** 2
        if not any((grown & other).any() for other in found):
            found.append(disc)
    return np.any(found, axis=0).astype(np.uint8), found


def sure_of(label, planes, sure=0.9):
    """Return probabilities (planes, H, W) of models that see a label, blurred at its edges."""
    import cv2

    hot = np.stack([(label == value).astype(np.float32) for value in range(planes)])
    soft = np.stack([cv2.GaussianBlur(plane, (0, 0), 1.2) for plane in hot])
    return ((sure - 1 / planes) * soft + (1 - sure) / (planes - 1) * (1 - soft) + soft / planes).astype(np.float32)


def looked(probability, label, task, valid=None, usual=None):
    """Doubt a label where most are like `usual` (None: right where the models say so)."""
    valid = np.ones(label.shape[-2:], bool) if valid is None else valid
    if usual is None:
        usual = probability.argmax(0) if task.kind == "multiclass" else np.rint(probability).astype(np.uint8)
    usual = usual.astype(np.uint8).reshape(label.shape)
    norms = [gather(layer).norm() for layer in layers(probability, usual, np.ones_like(valid), task)]
    found = layers(probability, label, valid, task)
    return [doubt(layer, norm, nothing(task)) for layer, norm in zip(found, norms, strict=True)]


def binary(label):
    return sure_of(label, 2)[1:]


def test_a_right_label_is_hardly_doubted_and_a_foreign_one_wholly():
    label, _ = discs()
    other, _ = discs(seed=5)
    (right,) = looked(binary(label), label, ONE)
    (foreign,) = looked(binary(label), other, ONE)
    assert right.score < 0.05
    assert not [region for region in right.regions if region.score > 0.3]
    assert foreign.score > 0.4  # it overlaps a little


def test_a_dropped_object_is_a_region_where_models_see_something():
    label, masks = discs()
    left = label * ~masks[2]
    (found,) = looked(binary(label), left.astype(np.uint8), ONE)
    first, *others = found.regions
    assert (first.given, first.likely) == (0, 1)
    assert first.score > 0.6
    row, col, height, width = first.box
    assert masks[2][row : row + height, col : col + width].sum() >= 0.9 * masks[2].sum()
    assert all(region.score < 0.3 for region in others)
    names = layer_names(ONE)[0]
    assert (names[first.given], names[first.likely]) == ("background", "cell")


def test_a_spurious_object_and_a_swapped_class_are_regions_of_their_own():
    label, masks = discs()
    extra = label.copy()
    extra[2:16, 2:16] |= 1
    (found,) = looked(binary(label), extra, ONE)
    assert (found.regions[0].given, found.regions[0].likely) == (1, 0)
    road = label.copy()
    road[masks[0]] = 2
    wrong = road.copy()
    wrong[masks[3]] = 2
    (found,) = looked(sure_of(road, 3), wrong, MANY)
    assert (found.regions[0].given, found.regions[0].likely) == (2, 1)
    assert found.regions[0].score > 0.5


def test_two_opinions_of_an_edge_are_no_region_but_a_shift_is_told():
    label, _ = discs(radius=9)
    moved = np.roll(label, (5, -3), (0, 1))
    (edge,) = looked(binary(label), np.roll(label, 1, 0), ONE)
    assert all(region.score < 0.35 for region in edge.regions)
    assert edge.shift is None
    (found,) = looked(binary(label), moved, ONE)
    assert found.shift == (-5, 3)
    assert found.score > edge.score
    (inverted,) = looked(binary(label), 1 - label, ONE)
    assert inverted.shift is None
    assert inverted.score > found.score


def test_a_shift_is_found_on_items_that_are_averaged_down():
    label, _ = discs(size=96, radius=9)
    large = label.repeat(12, 0).repeat(12, 1)
    (layer,) = layers(binary(large), np.roll(large, 24, 1), np.ones(large.shape, bool), ONE)
    shift, gain = best_shift(balanced(layer.probability, np.ones(2)), layer, 0)
    assert shift is not None
    assert abs(shift[0]) <= 2
    assert shift[1] == pytest.approx(-24, abs=2)
    assert gain > 0.1


def test_models_that_are_unsure_everywhere_say_little():
    label, masks = discs()
    left = (label * ~masks[1]).astype(np.uint8)
    sure = looked(binary(label), left, ONE)[0]
    wavering = np.full((1, *label.shape), 0.5, np.float32) + 0.02 * (binary(label) - 0.5)
    unsure = looked(wavering, left, ONE, usual=label)[0]
    assert 0.05 < sure.score < 0.25  # one of five, seen with p of 0.9
    assert unsure.score < 0.05
    assert max((region.score for region in unsure.regions), default=0) < 0.2


def test_planes_are_doubted_one_by_one_and_what_is_not_valid_is_not():
    lung, masks = discs()
    heart, _ = discs(seed=3)
    probability = np.concatenate([binary(lung), binary(heart)])
    label = np.stack([lung * ~masks[0], heart]).astype(np.uint8)
    first, second = looked(probability, label, PLANES)
    assert first.regions[0].score > 0.6
    assert not [region for region in second.regions if region.score > 0.3]
    assert layer_names(PLANES) == (("no lung", "lung"), ("no heart", "heart"))
    valid = ~masks[0]
    first, _ = looked(probability, label * valid, PLANES, valid)
    assert not [region for region in first.regions if region.score > 0.5]


def test_a_class_that_models_are_never_sure_of_is_not_suspected_everywhere():
    label, masks = discs()
    label[masks[0]] = 2
    shy = sure_of(label, 3)
    shy[2] *= 0.4
    shy[1] += sure_of(label, 3)[2] * 0.6
    (layer,) = layers(shy, label, np.ones(label.shape, bool), MANY)
    norm = gather(layer).norm()
    found = doubt(layer, norm, 0)
    assert norm.trust[2] < 0.45
    assert not [region for region in found.regions if region.given == 2 and region.score > 0.3]


def test_a_contradiction_is_rare_where_few_labels_of_the_class_are_contradicted_as_surely():
    margins = np.zeros((3, BINS), np.int64)
    margins[0, 0], margins[0, margin_bin(0.8)] = 99, 1  # a class that is known
    margins[1, margin_bin(0.8)] = 100  # one that is always taken for another; the third has no pixel
    found = rarity(margins)
    assert found[0, margin_bin(0.8)] == pytest.approx(0.9)
    assert found[0, margin_bin(0.9)] == 1
    assert found[0, 0] == found[1, margin_bin(0.8)] == found[1, 0] == 0
    assert (found[2] == 1).all()
    assert (np.diff(found, axis=1) >= 0).all()
    assert (margin_bin(-0.2), margin_bin(1.0)) == (0, BINS - 1)
