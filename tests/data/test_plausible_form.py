"""Counts that contradict the task, names that contradict the pixels, and recipes that contradict themselves."""

import cv2
import numpy as np
import pytest
from clue_helpers import BLOBS, PLANES, STREET, blobs, kinds, make, street, textured
from data_helpers import data_block

from maskwright.core.labels import Task
from maskwright.core.recipe.sources import FolderSource, RleCsvSource
from maskwright.data.plausible import plausible
from maskwright.data.plausible.form import check_recipe


def table(*ids):
    look_up = np.arange(256, dtype=np.uint8)
    look_up[: len(ids)] = ids
    return lambda index, image, label: (image, look_up[label])


def test_classes_that_contradict_their_names_are_suspected():
    (found,) = plausible.suspicions(make(street, STREET, 12, table(2, 1, 0, 3)), STREET)
    assert found.kind == "class_names"
    assert str(found) == (
        "data.train: 'sky' should be above 'building', but is not in 12 of 12 items "
        f"(t = {found.facts['t']:.0f}); check the order of task.classes, and whether label values are shifted by one"
    )


@pytest.mark.parametrize("turn", [1, 2, 3])
def test_classes_off_by_some_are_suspected(turn):
    ids = [(index + turn) % 4 for index in range(4)]
    assert kinds(plausible.suspicions(make(street, STREET, 12, table(*ids)), STREET)) == ["class_names"]


def test_greener_walls_than_trees_are_suspected():
    (found,) = plausible.suspicions(make(street, STREET, 24, table(0, 3, 2, 1)), STREET)
    assert found.what.startswith("'tree' should be greener than 'building', but is not in ")


def test_a_sky_less_blue_than_trees_may_be_bgr():
    (found,) = plausible.suspicions(make(street, STREET, 24, lambda _, image, label: (image[..., ::-1], label)), STREET)
    assert found.what.startswith("'sky' should be bluer than 'tree', but is not in ")
    assert found.fix == "look whether the files are BGR, and whether task.classes is in order"


@pytest.mark.parametrize("names", [("sky", "car sign", "non-road", "trees shadow"), ("a", "b", "c", "d")])
def test_names_that_promise_nothing_contradict_nothing(names):
    task = STREET.model_copy(update={"classes": names})
    assert "class_names" not in kinds(plausible.suspicions(make(street, task, 12, table(1, 0, 3, 2)), task))


def test_label_values_one_too_low_are_suspected():
    (found,) = plausible.suspicions(make(street, STREET, 12, table(255, 0, 1, 2)), STREET)
    hidden = found.facts["hidden"]
    assert str(found) == (
        f"data.train: class 'tree' (3) never occurs, while {hidden:.0%} of the pixels do not count: "
        "label values may be shifted by one against task.classes; "
        "compare the values of a mask with task.classes, task.ignore and values"
    )
    assert found.kind == "classes_shifted"


def test_an_absent_class_alone_is_not_a_shift():
    merged = plausible.suspicions(make(street, STREET, 12, table(0, 1, 2, 1)), STREET)
    assert "classes_shifted" not in kinds(merged)


def test_planes_that_share_no_pixel_are_suspected():
    planes = lambda _, image, label: (image, np.stack([label == 0, label != 0]).astype(np.uint8))  # noqa: E731
    (found,) = plausible.suspicions(make(blobs, PLANES, 12, planes), PLANES)
    assert str(found) == (
        "data.train: every pixel of 12 items is in exactly one of the 2 planes (100.0%); "
        "use kind: multiclass, unless planes may overlap elsewhere"
    )
    over = lambda _, image, label: (image, np.stack([label >= 0, label != 0]).astype(np.uint8))  # noqa: E731
    assert plausible.suspicions(make(blobs, PLANES, 12, over), PLANES) == []


@pytest.mark.parametrize(("base", "step"), [(0, 1), (1, -1)])
def test_run_lengths_of_the_other_base_are_suspected(base, step):
    block = RleCsvSource(images="images", table="table.csv", order="row", base=base)
    flat = lambda _, image, label: (image, np.roll(label.reshape(-1), step).reshape(label.shape))  # noqa: E731
    (found,) = plausible.suspicions(make(blobs, BLOBS, 16, flat), BLOBS, block)
    border = "left" if step > 0 else "right"
    assert found.kind == "run_base"
    assert found.what.startswith(f"the {border} line of pixels does not continue the masks in ")
    assert found.fix == f"set base: {1 - base}"
    wrong = block.model_copy(update={"base": 1 - base})
    (found,) = plausible.suspicions(make(blobs, BLOBS, 16, flat), BLOBS, wrong)
    assert found.fix == "look for an offset of one pixel in how the masks were flattened"


def many(seed, height=96, width=96):
    """Draw a dozen blobs that touch nothing."""
    chance = np.random.default_rng(seed)
    label = np.zeros((height, width), np.uint8)
    for row in range(12, height - 8, 24):
        for col in range(12, width - 8, 24):
            cv2.circle(label, (col + int(chance.integers(-3, 4)), row), int(chance.integers(4, 7)), 1, -1)
    return textured(label, np.array([[90, 110, 80], [200, 90, 70]], np.float32), seed), label


def test_some_inverted_masks_are_named():
    invert = lambda index, image, label: (image, 1 - label if index in (1, 4, 9) else label)  # noqa: E731
    (found,) = plausible.suspicions(make(many, BLOBS, 16, invert), BLOBS)
    assert str(found) == (
        "data.train: masks of 'item01', 'item04', 'item09' look inverted: 'blob' is the ground, and the rest in many "
        "pieces; look at them, and invert those"
    )
    assert (found.kind, found.keys) == ("inverted_items", ("item01", "item04", "item09"))


def test_dark_objects_beside_light_ones_are_not_inverted():
    lights = lambda index, image, label: (255 - image if index % 3 else image, label)  # noqa: E731
    assert plausible.suspicions(make(many, BLOBS, 16, lights), BLOBS) == []


def test_a_recipe_without_contradiction_is_left_alone(tmp_path):
    assert check_recipe(STREET, data_block(tmp_path, normalize="imagenet")) == []
    assert check_recipe(BLOBS, data_block(tmp_path, bands=(3, 2, 1), normalize="imagenet"), bands=13) == []
    mapped = FolderSource(images="images", masks="masks", values={0: 0, 1: 1, 2: 2, 3: 3, 255: "ignore"})
    assert check_recipe(STREET, data_block(tmp_path, source=mapped)) == []


def test_kinds_that_say_more_than_needed_are_noted(tmp_path):
    two = Task(kind="multiclass", classes=("background", "roof"))
    assert [str(found) for found in check_recipe(two, data_block(tmp_path))] == [
        "task.kind: two classes, of which 'background' is the background: a binary task with one plane too many; "
        "use kind: binary, unless the second plane is wanted"
    ]
    one = Task(kind="multilabel", classes=("roof",))
    assert [str(found) for found in check_recipe(one, data_block(tmp_path))] == [
        "task.kind: multilabel with 'roof' alone is a binary task; use kind: binary"
    ]


def test_blue_first_with_imagenet_is_suspected(tmp_path):
    data = data_block(tmp_path, bands=(3, 2, 1), normalize="imagenet")
    assert [str(found) for found in check_recipe(BLOBS, data, bands=3)] == [
        "data.bands: [3, 2, 1] gives blue first, but ImageNet's means and weights expect red first; "
        "leave data.bands out if the files are RGB; keep it if they are stored as BGR"
    ]


def test_ignore_as_a_class_is_suspected(tmp_path):
    task = STREET.model_copy(update={"ignore": None})
    mapped = FolderSource(images="images", masks="masks", values={0: 0, 1: 1, 2: 2, 255: 3})
    assert [str(found) for found in check_recipe(task, data_block(tmp_path, source=mapped))] == [
        "data.train.values: 255 is mapped to 'tree'; it mostly marks pixels that do not count; "
        "map 255 to ignore, unless it is a class"
    ]
