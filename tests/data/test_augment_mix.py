"""Erasing and mixing: what the label says is what the recipe says, and pasted pixels bring their own label."""

import numpy as np
import pytest
from augment_helpers import MANY, TASK, always, coloured, colours, others, run

from maskwright.core.errors import InputError
from maskwright.core.labels import Task
from maskwright.data.augment.base import Setting
from maskwright.data.augment.erase import pieces
from maskwright.data.augment.mix import paste, rarer_half
from maskwright.data.augment.others import OtherItems
from maskwright.data.augment.table import build
from maskwright.data.windows import Layers


def blocks():
    """A background with a car of 6 x 5, a car of 3 x 3 (too small to be an object) and a tree of 20 x 20 pixels."""
    label = np.zeros((60, 70), np.uint8)
    label[5:11, 7:12], label[30:33, 40:43], label[35:55, 10:30] = 2, 2, 3
    return Layers(colours(3)[label], label, np.ones((60, 70), bool))


def refusal(entry, task, bands=3):
    with pytest.raises(InputError) as caught:
        build([entry], setting=Setting(task, bands))
    return str(caught.value)


@pytest.mark.parametrize("name", ["coarse_dropout", "grid_mask"])
@pytest.mark.parametrize("fill", ["mean", "noise", 7.0])
@pytest.mark.parametrize("bands", [3, 5])
def test_holes_are_filled_as_asked_and_the_label_stays_unless_asked(name, fill, bands):
    given = coloured(60, 64, bands)
    image, label, valid = run(always(name, bands, fill=fill), given, 2)
    hole = (image != given.image).any(2)
    assert 0.02 < hole.mean() < 0.5
    np.testing.assert_array_equal(label, given.label)
    np.testing.assert_array_equal(valid, given.valid)
    filled = image[hole].astype(float)
    if fill == 7.0:
        assert (filled == 7).all()
    elif fill == "mean":
        assert (filled == filled[0]).all()
        assert np.abs(filled[0] - given.image.mean((0, 1))).max() < 12
    else:
        assert (filled.std(0) > 20).all()


@pytest.mark.parametrize("name", ["coarse_dropout", "grid_mask"])
def test_holes_may_count_no_more_or_become_a_class(name):
    given = coloured(60, 64)
    kept = run(always(name, fill=7), given, 2)
    hole = (kept.image == 7).all(2)
    ignored = run(always(name, fill=7, mask_fill="ignore"), given, 2)
    np.testing.assert_array_equal(ignored.valid, given.valid & ~hole)
    np.testing.assert_array_equal(ignored.label, given.label * ~hole)
    for named in ("car", 2):
        car = run(always(name, task=TASK, fill=7, mask_fill=named), given, 2)
        np.testing.assert_array_equal(car.label[hole], 2 * given.valid[hole])
        np.testing.assert_array_equal(car.label[~hole], given.label[~hole])
        np.testing.assert_array_equal(car.valid, given.valid)


def test_planes_in_a_hole_become_one_class_or_none():
    given = coloured(60, 64, planes=3)
    hole = (run(always("coarse_dropout", fill=7), given, 2).image == 7).all(2)
    heart = run(always("coarse_dropout", task=MANY, fill=7, mask_fill="heart"), given, 2)
    np.testing.assert_array_equal(heart.label[:, hole], np.outer([0, 1, 0], given.valid[hole]))
    nothing = run(always("coarse_dropout", task=MANY, fill=7, mask_fill="background"), given, 2)
    assert not nothing.label[:, hole].any()
    np.testing.assert_array_equal(nothing.valid, given.valid)


def test_whole_objects_are_erased_from_image_and_label():
    given, gone = blocks(), set()
    for seed in range(30):
        image, label, valid = run(always("mask_dropout", task=TASK, fill=7), given, seed)
        hole = (image == 7).all(2)
        np.testing.assert_array_equal(hole, ~valid)
        assert not label[hole].any()
        np.testing.assert_array_equal(label[~hole], given.label[~hole])
        car, tree = hole[5:11, 7:12], hole[35:55, 10:30]
        assert car.all() == car.any()
        assert tree.all() == tree.any()
        assert hole.sum() == car.sum() + tree.sum()  # nothing but whole objects, and not the small one
        gone.add((bool(car.any()), bool(tree.any())))
    assert gone == {(True, False), (False, True), (True, True)}


def test_which_objects_are_erased_can_be_said():
    given = blocks()
    for seed in range(8):
        label = run(always("mask_dropout", task=TASK, classes=["car"], least=1, mask_fill="road"), given, seed).label
        assert ((label == 1) <= (given.label == 2)).all()
        assert (label == 1).any()
        whole = run(always("mask_dropout", task=TASK, largest=0.05), given, seed)
        assert (whole.label == 3).sum() == 400


def test_an_erased_object_never_keeps_its_label_or_silently_becomes_a_class():
    assert refusal({"mask_dropout": {"mask_fill": "keep"}}, TASK) == (
        "augment[0].mask_dropout: an erased object cannot keep its label; set mask_fill: ignore, or a class"
    )
    assert refusal({"mask_dropout": {"mask_fill": "raod"}}, TASK) == (
        "augment[0].mask_dropout: the task has no class 'raod' (did you mean 'road'?); "
        "use one of: background, road, car, tree"
    )
    assert refusal({"mask_dropout": {"classes": [9]}}, TASK) == (
        "augment[0].mask_dropout: the task has no class '9'; use one of: background, road, car, tree"
    )
    assert refusal({"copy_paste": {"classes": ["hart"]}}, MANY) == (
        "augment[0].copy_paste: the task has no class 'hart' (did you mean 'heart'?); use one of: lung, heart, rib"
    )
    assert not build([{"mask_dropout": {"p": 1}}])(*blocks(), 0)[2].all()


def test_a_mosaic_shows_four_items_and_each_part_keeps_its_label():
    given = coloured(64, 48)
    item = [Layers(np.full((80, 80, 3), 10 * n, np.uint8), np.full((80, 80), n, np.uint8), np.ones((80, 80), bool))
            for n in range(1, 4)]  # fmt: skip
    meets = set()
    for seed in range(20):
        image, label, valid = always("mosaic")(*given, seed, None, OtherItems(3, item.__getitem__))
        foreign = (image == image[:, :, :1]).all(2)
        np.testing.assert_array_equal(image[foreign][:, 0], 10 * label[foreign])
        own = np.argwhere(~foreign)
        (top, left), (bottom, right) = own.min(0), own.max(0) + 1
        np.testing.assert_array_equal(image[top:bottom, left:right], given.image[top:bottom, left:right])
        np.testing.assert_array_equal(valid[top:bottom, left:right], given.valid[top:bottom, left:right])
        meets.add((int(top), int(left), int(bottom), int(right)))
    assert len(meets) > 10
    assert len({(top == 0, left == 0) for top, left, _, _ in meets}) == 4  # its own part may be any corner


def test_a_pasted_object_brings_image_label_and_valid():
    under = coloured(60, 70, seed=5)
    under.valid[5:8] = False
    for planes in (None, 3):
        base = coloured(60, 70, planes=planes, seed=5)
        other = coloured(60, 70, planes=planes, seed=6)._replace(valid=np.ones((60, 70), bool))
        region = np.zeros((60, 70), bool)
        region[4:20, 10:40] = True
        for blend in (0, 1.5):
            found = paste(base, other, region, blend)
            np.testing.assert_array_equal(found.label[..., region], other.label[..., region])
            np.testing.assert_array_equal(found.label[..., ~region], base.label[..., ~region])
            assert found.valid[region].all()
            np.testing.assert_array_equal(found.image[8:16, 16:34], other.image[8:16, 16:34])
            np.testing.assert_array_equal(found.image[30:], base.image[30:])
            assert np.array_equal(found.image[region], other.image[region]) == (not blend)


def test_only_objects_of_the_wanted_classes_are_pasted_and_they_are_looked_for():
    empty = Layers(np.zeros((60, 70, 3), np.uint8), np.zeros((60, 70), np.uint8), np.ones((60, 70), bool))
    items, pasted = [empty, blocks(), blocks()], 0
    for seed in range(20):
        augmenter = always("copy_paste", task=TASK, classes=["car"], scale=[1.0, 1.0], blend=0)
        label = augmenter(*empty, seed, None, OtherItems(3, items.__getitem__))[1]
        assert set(np.unique(label)) <= {0, 2}
        assert (label == 2).sum() <= 30  # the small car is no object
        pasted += label.any()
    assert pasted >= 17  # by chance alone a third of the items would show none


def test_the_rarer_half_of_the_classes_is_pasted_unless_others_are_named():
    assert rarer_half(TASK, (900, 50, 5, 20)) == (2, 3)
    assert rarer_half(TASK, (900, 50, 0, 20)) == (3,)
    assert rarer_half(MANY, (9, 3, 4)) == (1, 2)
    assert rarer_half(Task(kind="binary", classes=("roof",)), (90, 3)) == (1,)
    (step,) = build([{"copy_paste": {}}], setting=Setting(TASK, 3, (900, 50, 5, 20))).steps
    assert step.classes == (2, 3)
    (step,) = build([{"copy_paste": {"classes": ["road", 3]}}], setting=Setting(TASK, 3, (900, 50, 5, 20))).steps
    assert step.classes == (1, 3)


def test_pieces_are_connected_and_of_the_size_asked_for():
    found = pieces(blocks(), (2, 3), np.random.default_rng(0), most=300, least=10)
    assert [(piece.value, piece.box) for piece in found] == [(2, (slice(5, 11), slice(7, 12)))]
    assert len(pieces(blocks(), (2, 3), np.random.default_rng(0), most=400)) == 3


def test_windows_of_other_items_hold_a_wanted_class_and_may_be_larger_than_the_item():
    rng = np.random.default_rng(0)
    source = OtherItems(1, lambda number: blocks())
    for _ in range(30):
        window = source(rng, (9, 9), (2,))
        assert window.shape == (9, 9)
        assert (window.label == 2).any()
    wide = source(rng, (100, 90))
    assert wide.valid.sum() == 60 * 70
    assert source(rng, (20, 20), (1,)).shape == (20, 20)  # no road anywhere: any window
    assert others()(rng, (16, 16)).shape == (16, 16)
