"""Scenes are the same for the same seed, their masks are exact, and their tables agree with them."""

import csv

import numpy as np
import pytest
from data_helpers import BINARY, data_block
from PIL import Image

from maskwright.core.labels import Task
from maskwright.core.progress import Silent
from maskwright.core.recipe.sources import FolderSource, RleCsvSource
from maskwright.data.audit import audit
from maskwright.data.sources.open import open_source
from maskwright.data.synthetic.synthetic import BUILDING, CLASSES, render, write_scenes


def test_a_scene_is_a_function_of_seed_and_number():
    image, ids = render(1, 2, 64)
    assert (image.shape, image.dtype, ids.shape, ids.dtype) == ((64, 64, 3), np.uint8, (64, 64), np.uint8)
    again = render(1, 2, 64)
    np.testing.assert_array_equal(image, again[0])
    np.testing.assert_array_equal(ids, again[1])
    assert (render(1, 3, 64)[0] != image).any()
    assert (render(2, 2, 64)[0] != image).any()


def test_scenes_hold_all_classes_in_sensible_shares():
    share = np.mean([np.bincount(render(5, number, 96)[1].ravel(), minlength=4) / 96**2 for number in range(8)], axis=0)
    assert 0.03 < share[1] < 0.3
    assert 0.03 < share[2] < 0.3
    assert 0.003 < share[3] < 0.3


def test_binary_scenes_come_as_masks_and_as_run_lengths_that_agree(tmp_path):
    write_scenes(tmp_path, 3, 48, seed=4)
    folder = FolderSource(images="images", masks="masks", values={0: 0, 255: 1})
    table = RleCsvSource(
        images="images", table="labels_rle.csv", key_column="img_id", rle_column="mask_rle", order="row"
    )
    one, two = open_source(folder, tmp_path, BINARY), open_source(table, tmp_path, BINARY)
    assert one.keys == two.keys == ("scene_0000", "scene_0001", "scene_0002")
    for number, key in enumerate(one.keys):
        label = one.read_label(key, (48, 48), BINARY)[0]
        np.testing.assert_array_equal(label, two.read_label(key, (48, 48), BINARY)[0])
        np.testing.assert_array_equal(label, render(4, number, 48)[1] == BUILDING)
    audit.check(one, BINARY, data_block(tmp_path, folder), Silent())
    with (tmp_path / "sample_submission.csv").open(newline="") as handle:
        assert list(csv.reader(handle)) == [["img_id", "mask_rle"], *([key, "-1"] for key in one.keys)]


def test_multiclass_scenes_have_a_row_for_each_class(tmp_path):
    task = Task(kind="multiclass", classes=CLASSES)
    write_scenes(tmp_path, 2, 48, seed=4, kind="multiclass")
    table = RleCsvSource(
        images="images",
        table="labels_rle.csv",
        key_column="img_id",
        rle_column="mask_rle",
        class_column="class",
        order="row",
    )
    source = open_source(table, tmp_path, task)
    for number, key in enumerate(source.keys):
        label, valid = source.read_label(key, (48, 48), task)
        np.testing.assert_array_equal(label, np.asarray(Image.open(tmp_path / "masks" / f"{key}.png")))
        np.testing.assert_array_equal(label, render(4, number, 48)[1])
        assert valid.all()


@pytest.mark.parametrize("size", [16, 33])
def test_odd_and_small_sizes_are_rendered(size):
    for number in range(6):
        assert render(9, number, size)[0].shape == (size, size, 3)


def test_files_are_the_same_twice(tmp_path):
    for name in ("a", "b"):
        write_scenes(tmp_path / name, 1, 32, seed=0)
    files = sorted(path.relative_to(tmp_path / "a") for path in (tmp_path / "a").rglob("*.*"))
    assert len(files) == 4
    for file in files:
        assert (tmp_path / "a" / file).read_bytes() == (tmp_path / "b" / file).read_bytes()
