"""Prefixes, folders inside a path and lone names make keys, and what fits none is left aside and said."""

import numpy as np
import pytest
from data_helpers import BINARY, picture, save
from hypothesis import given
from hypothesis import strategies as st

from maskwright.core.errors import DataError
from maskwright.core.files import stored_name
from maskwright.core.recipe.sources import FolderSource
from maskwright.data.sources.listing import Naming
from maskwright.data.sources.open import open_source

MASK = np.ones((12, 16), np.uint8)


def make(root, images=(), masks=()):
    for name in images:
        save(root / f"{name}.png", picture(1))
    for name in masks:
        save(root / f"{name}.png", MASK)


def keys(root, **options):
    source = open_source(FolderSource(**options), root, BINARY)
    for key in source.keys:
        assert source.read_label(key, (12, 16), BINARY)[0].all()
    return source.keys


def faults_of(root, **options):
    with pytest.raises(DataError) as caught:
        open_source(FolderSource(**options), root, BINARY)
    return list(caught.value.faults)


def test_prefixes_are_no_part_of_the_key(tmp_path):
    make(tmp_path, ["all/s/img_1", "all/img_2"], ["all/s/mask_1", "all/mask_2"])
    assert keys(tmp_path, images="all", masks="all", image_prefix="img_", mask_prefix="mask_") == ("2", "s/1")


def test_prefix_and_suffix_together(tmp_path):
    make(tmp_path, ["i/a_1_x", "i/b_1_x"], ["m/1.m"])
    options = {"image_prefix": "a_", "image_suffix": "_x", "mask_suffix": ".m"}
    source = open_source(FolderSource(images="i", masks="m", **options), tmp_path, BINARY)
    assert source.keys == ("1",)


def test_a_folder_inside_the_path_is_no_part_of_the_key(tmp_path):
    make(tmp_path, ["one/images/a", "one/images/b", "two/images/deep/a"], ["one/masks/a", "one/masks/b"])
    make(tmp_path, [], ["two/masks/deep/a"])
    make(tmp_path, ["two/preview"])
    options = {"images": ".", "masks": ".", "image_folder": "images", "mask_folder": "masks"}
    source = open_source(FolderSource(**options), tmp_path, BINARY)
    assert source.keys == ("one/a", "one/b", "two/deep/a")
    assert source.notes == (f"{tmp_path}: 1 images that are not below a folder 'images' are left aside",)
    assert source.image_path("two/deep/a") == tmp_path / "two/images/deep/a.png"
    assert source.label_path("two/deep/a") == tmp_path / "two/masks/deep/a.png"


def test_the_innermost_folder_of_that_name_is_taken_out():
    naming = Naming(folder="images")
    assert naming.key("images/images/a.png") == "images/a"
    assert naming.key("images.png") is None
    assert naming.key("x_images/a.png") is None
    assert Naming(folder="x/images").key("s/x/images/a.png") == "s/a"


def test_names_alone_may_be_the_keys(tmp_path):
    make(tmp_path, ["images/day1/a", "images/day2/b"], ["masks/a", "masks/b"])
    assert faults_of(tmp_path, images="images", masks="masks") == [
        f"{tmp_path}/masks: no mask has the key of an image: images are named like 'day1/a', masks like 'a'; "
        "set key: name if files are told apart by their names alone, or image_folder and mask_folder"
    ]
    assert keys(tmp_path, images="images", masks="masks", key="name") == ("a", "b")
    make(tmp_path, ["images/day2/a"])
    assert faults_of(tmp_path, images="images", masks="masks", key="name") == [
        f"{tmp_path}/images: day1/a.png and day2/a.png have one key 'a'; keep one of them, or set key: path"
    ]


def test_when_nothing_joins_prefixes_are_proposed(tmp_path):
    make(tmp_path, ["i/img-1", "i/img-2"], ["m/seg-1", "m/seg-2"])
    assert faults_of(tmp_path, images="i", masks="m") == [
        f"{tmp_path}/m: no mask has the key of an image: images are named like 'img-1', masks like 'seg-1'; "
        "set image_prefix: img- and mask_prefix: seg-"
    ]
    assert keys(tmp_path, images="i", masks="m", image_prefix="img-", mask_prefix="seg-") == ("1", "2")


def test_names_without_the_prefix_are_left_aside_and_counted(tmp_path):
    make(tmp_path, ["i/img_1", "i/thumb_1", "i/img_"], ["m/1"])
    source = open_source(FolderSource(images="i", masks="m", image_prefix="img_"), tmp_path, BINARY)
    assert source.notes == (f"{tmp_path}/i: 2 images whose names do not begin with 'img_' are left aside",)


SAFE = st.text("ab_-. \u00e9", min_size=1, max_size=6).filter(lambda text: text.strip(". ") == text and text)


@given(name=SAFE, above=st.lists(SAFE, max_size=2), naming=st.tuples(*[st.sampled_from(["", "x_", "yy"])] * 3))
def test_a_key_is_found_again_in_every_name_made_of_it(name, above, naming):
    prefix, suffix, folder = naming
    key = "/".join([*above, name])
    path = "/".join([*above, *([folder] if folder else []), f"{prefix}{name}{suffix}.png"])
    assert Naming(suffix, prefix, folder).key(path) == key
    assert Naming(suffix, prefix, folder, name_only=True).key(path) == name


@given(st.lists(st.text(min_size=1).filter(lambda text: "/" not in text), min_size=1, max_size=3))
def test_stored_names_are_one_to_one_enough_to_be_found(parts):
    assert "/" not in stored_name(parts[0])
    assert stored_name("/".join(parts)).count("/") == len(parts) - 1
