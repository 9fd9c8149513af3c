"""PNG masks: what is read back is what was given."""

from pathlib import Path, PurePosixPath

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from maskwright.core.errors import InputError
from maskwright.core.labels import Task
from maskwright.output.masks import mask_paths, write_mask

BINARY = Task(kind="binary", classes=("roof",))
MULTICLASS = Task(kind="multiclass", classes=("background", "road", "tree"))
MULTILABEL = Task(kind="multilabel", classes=("left lung", "tube/line"))


def labels(high, shape=(7, 11), seed=0):
    return np.random.default_rng(seed).integers(0, high, shape, dtype=np.uint8)


@pytest.mark.parametrize(("task", "high"), [(BINARY, 2), (MULTICLASS, 3)])
def test_ids_come_back_as_palette_indices_at_native_size(tmp_path, task, high):
    label = labels(high)
    (path,) = write_mask(tmp_path, "sub/img_1", label, task, None)
    assert path == tmp_path / "sub" / "img_1.png"
    with Image.open(path) as picture:
        assert picture.mode == "P"
        assert picture.format == "PNG"
        np.testing.assert_array_equal(np.asarray(picture), label)


def test_palette_shows_black_and_the_class_colour_of_a_binary_task(tmp_path):
    task = Task(kind="binary", classes=("roof",), colours=((10, 200, 30),))
    (path,) = write_mask(tmp_path, "a", np.array([[0, 1]], np.uint8), task, None)
    with Image.open(path) as picture:
        np.testing.assert_array_equal(np.asarray(picture.convert("RGB")), [[[0, 0, 0], [10, 200, 30]]])


def test_palette_is_the_task_palette_of_a_multiclass_task(tmp_path):
    (path,) = write_mask(tmp_path, "a", np.array([[0, 1, 2]], np.uint8), MULTICLASS, None)
    with Image.open(path) as picture:
        np.testing.assert_array_equal(np.asarray(picture.convert("RGB"))[0], MULTICLASS.palette)


def test_a_value_map_gives_a_grey_mask_of_those_values(tmp_path):
    label = labels(3)
    (path,) = write_mask(tmp_path, "a", label, MULTICLASS, {0: 9, 1: 255, 2: 0})
    with Image.open(path) as picture:
        assert picture.mode == "L"
        np.testing.assert_array_equal(np.asarray(picture), np.array([9, 255, 0], np.uint8)[label])


def test_multilabel_writes_one_black_and_white_mask_a_class(tmp_path):
    label = labels(2, (2, 5, 6))
    paths = write_mask(tmp_path, "p/x", label, MULTILABEL, None)
    assert paths == [tmp_path / "p" / "x" / "left lung.png", tmp_path / "p" / "x" / "tube%2Fline.png"]
    for path, plane in zip(paths, label, strict=True):
        with Image.open(path) as picture:
            assert picture.mode == "L"
            np.testing.assert_array_equal(np.asarray(picture), plane * 255)


def test_equal_labels_give_equal_bytes_and_nothing_else_is_left(tmp_path):
    label = labels(2, (64, 64))
    first, second = (write_mask(tmp_path / name, "a", label, BINARY, None)[0] for name in ("one", "two"))
    assert first.read_bytes() == second.read_bytes()
    assert [path.name for path in (tmp_path / "one").iterdir()] == ["a.png"]


def test_a_folder_in_the_place_of_the_mask_is_refused_by_name_and_leaves_no_partial(tmp_path):
    (tmp_path / "sub" / "a.png").mkdir(parents=True)
    with pytest.raises(InputError) as caught:
        write_mask(tmp_path, "sub/a", labels(2), BINARY, None)
    assert str(caught.value) == (
        f"{tmp_path}/sub/a.png: Is a directory: in the way of what is to be read or written; move it"
    )
    assert [path.name for path in (tmp_path / "sub").iterdir()] == ["a.png"]


KEYS = st.lists(st.text(min_size=1, max_size=12), min_size=2, max_size=2, unique=True)


@given(KEYS, st.sampled_from([BINARY, MULTILABEL]))
def test_keys_get_different_paths_below_the_folder(keys, task):
    folder = Path("masks")
    one, two = (mask_paths(folder, key, task) for key in keys)
    assert not set(one) & set(two)
    for path in one + two:
        assert path.is_relative_to(folder)
        assert ".." not in PurePosixPath(path).parts
        assert "\0" not in str(path)
