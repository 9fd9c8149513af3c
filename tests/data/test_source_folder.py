"""Images and masks in folders are joined by key, and every way in which they do not join is named."""

import os

import numpy as np
import pytest
from data_helpers import BINARY, SCENES, picture, save
from hypothesis import given
from hypothesis import strategies as st

from maskwright.core.errors import DataError, InputError
from maskwright.core.recipe.sources import FolderSource
from maskwright.data.sources.base import limit_keys, limited
from maskwright.data.sources.open import join_source, open_source


def faults_of(block, root, task=BINARY):
    with pytest.raises(DataError) as caught:
        open_source(block, root, task)
    return list(caught.value.faults)


def test_keys_are_paths_without_suffix_sorted_and_joined_whatever_the_suffix(tmp_path):
    mask = np.zeros((12, 16), np.uint8)
    for name, suffix in (("b/2", "png"), ("b/10", "JPG"), ("a", "bmp")):
        save(tmp_path / "images" / f"{name}.{suffix}", picture(1))
        save(tmp_path / "masks" / f"{name}.png", mask)
    source = open_source(FolderSource(images="images", masks="masks"), tmp_path, BINARY)
    assert source.keys == ("a", "b/10", "b/2")
    assert source.labelled
    assert source.notes == ()
    assert source.image_path("b/10") == tmp_path / "images/b/10.JPG"
    assert source.label_path("b/10") == tmp_path / "masks/b/10.png"


def test_values_are_mapped_and_ignored_ones_do_not_count(folder_set):
    block, root = folder_set("a")
    raw = np.zeros((12, 16), np.uint8)
    raw[0, 0], raw[0, 1], raw[0, 2] = 255, 128, 7
    save(root / "masks" / "a.png", raw)
    block = block.model_copy(update={"values": {0: 0, 255: 1, 128: "ignore", 7: 0}})
    label, valid = open_source(block, root, BINARY).read_label("a", (12, 16), BINARY)
    assert label[0, :3].tolist() == [1, 0, 0]
    assert valid[0, :3].tolist() == [True, False, True]
    assert label.dtype == np.uint8


def test_a_missing_mask_is_refused_unless_it_means_background(folder_set):
    block, root = folder_set("ab")
    (root / "masks" / "b.png").unlink()
    assert faults_of(block, root) == [
        f"{root}/images/b.png: no mask of key 'b' in {root}/masks; add it, or set missing_mask: background"
    ]
    source = open_source(block.model_copy(update={"missing_mask": "background"}), root, BINARY)
    assert source.keys == ("a", "b")
    assert source.label_path("b") is None
    assert source.notes == ("1 of 2 images have no mask and count as background",)
    label, valid = source.read_label("b", (12, 16), BINARY)
    assert not label.any()
    assert valid.all()


def test_all_faults_of_a_join_come_at_once(folder_set):
    block, root = folder_set("abcd")
    (root / "masks" / "b.png").unlink()
    save(root / "masks" / "x.png", np.zeros((12, 16), np.uint8))
    save(root / "images" / "c.jpg", picture(3))
    save(root / "images" / "D.png", picture(3))
    save(root / "masks" / "D.png", np.zeros((12, 16), np.uint8))
    assert faults_of(block, root) == [
        f"{root}/images: c.jpg and c.png have one key 'c'; keep one of them",
        f"{root}/images: keys 'D' and 'd' differ only in case; rename one, some disks see one file",
        f"{root}/masks: keys 'D' and 'd' differ only in case; rename one, some disks see one file",
        f"{root}/images/b.png: no mask of key 'b' in {root}/masks; add it, or set missing_mask: background",
        f"{root}/masks/x.png: no image of key 'x' in {root}/images; add it, or take the mask away",
    ]


def test_suffixes_are_no_part_of_the_key_and_one_folder_can_hold_both(tmp_path):
    for name in ("a", "b"):
        save(tmp_path / "all" / f"{name}_img.png", picture(1))
        save(tmp_path / "all" / f"{name}_mask.png", np.ones((12, 16), np.uint8))
    for image_suffix in ("_img", ""):
        block = FolderSource(images="all", masks="all", image_suffix=image_suffix, mask_suffix="_mask")
        if image_suffix:
            assert open_source(block, tmp_path, BINARY).keys == ("a", "b")
        else:
            assert len(faults_of(block, tmp_path)) == 1  # keys a_img and a: nothing joins
    with pytest.raises(DataError) as caught:
        open_source(FolderSource(images="all", masks="all"), tmp_path, BINARY)
    assert str(caught.value) == (
        f"{tmp_path}/all: images and masks are in one folder and nothing tells them apart; set mask_suffix, e.g. _mask"
    )


def test_when_nothing_joins_one_line_proposes_the_suffixes(tmp_path):
    for name in ("a1", "b2"):
        save(tmp_path / "images" / f"{name}_sat.jpg", picture(1))
        save(tmp_path / "masks" / f"{name}_mask.png", np.ones((12, 16), np.uint8))
    assert faults_of(FolderSource(images="images", masks="masks"), tmp_path) == [
        f"{tmp_path}/masks: no mask has the key of an image: images are named like 'a1_sat', masks like 'a1_mask'; "
        "set image_suffix: _sat and mask_suffix: _mask"
    ]
    block = FolderSource(images="images", masks="masks", image_suffix="_sat", mask_suffix="_mask")
    assert open_source(block, tmp_path, BINARY).keys == ("a1", "b2")


def test_masks_below_the_images_are_no_images(tmp_path):
    save(tmp_path / "a.png", picture(1))
    save(tmp_path / "masks" / "a.png", np.ones((12, 16), np.uint8))
    assert open_source(FolderSource(images=".", masks="masks"), tmp_path, BINARY).keys == ("a",)


def test_an_unlabelled_folder_and_files_left_aside(tmp_path):
    save(tmp_path / "images" / "a.png", picture(1))
    (tmp_path / "images" / "notes.txt").write_text("x")
    (tmp_path / "images" / ".DS_Store").write_text("x")
    (tmp_path / "images" / "._a.png").write_text("x")
    source = open_source(FolderSource(images="images"), tmp_path, BINARY)
    assert (source.keys, source.labelled, source.label_path("a")) == (("a",), False, None)
    assert source.notes == (
        f"{tmp_path}/images: 1 files that are no images (.png, .jpg, .jpeg, .gif, .bmp, .tif, .tiff) are left aside",
    )


def test_absent_and_empty_folders(tmp_path):
    assert faults_of(FolderSource(images="images"), tmp_path) == [
        f"{tmp_path}/images: no such folder; check data.root and the folder's name"
    ]
    (tmp_path / "images").mkdir()
    assert faults_of(FolderSource(images="images"), tmp_path) == [
        f"{tmp_path}/images: no images; check the folder and image_suffix"
    ]


def test_links_may_not_lead_out(tmp_path):
    outside, root = tmp_path / "outside", tmp_path / "root"
    save(outside / "secret.png", picture(1))
    save(root / "images" / "a.png", picture(1))
    save(root / "store" / "b.png", picture(2))
    (root / "images" / "b.png").symlink_to(root / "store" / "b.png")
    assert open_source(FolderSource(images="images"), root, BINARY).keys == ("a", "b")
    (root / "images" / "c.png").symlink_to(outside / "secret.png")
    (root / "images" / "d").symlink_to(outside)
    (root / "images" / "e.png").symlink_to(root / "nowhere.png")
    assert faults_of(FolderSource(images="images"), root) == [
        f"{root}/images/c.png: a link that leads out of the data folder; copy the file, or set data.root above both",
        f"{root}/images/d: a link to a folder is not followed; put the folder itself there",
        f"{root}/images/e.png: a link that leads nowhere; mend or delete it",
    ]


def test_names_that_cannot_be_written_are_refused(tmp_path):
    images = tmp_path / "images"
    save(images / "a.png", picture(1))
    os.link(images / "a.png", os.fsencode(images) + b"/\xff.png")
    os.link(images / "a.png", images / "x\ny.png")
    assert faults_of(FolderSource(images="images"), tmp_path) == [
        f"{images}/x\\ny.png: the file name holds control characters; rename the file",
        f"{images}/\\udcff.png: the file name is not UTF-8; rename the file",
    ]


def test_composed_and_decomposed_letters_are_one_key(tmp_path):
    save(tmp_path / "images" / "caf\u00e9.png", picture(1))
    save(tmp_path / "masks" / "cafe\u0301.png", np.ones((12, 16), np.uint8))
    assert open_source(FolderSource(images="images", masks="masks"), tmp_path, BINARY).keys == ("caf\u00e9",)


def test_a_mask_of_another_size_is_refused(folder_set):
    block, root = folder_set("a")
    with pytest.raises(InputError) as caught:
        open_source(block, root, BINARY).read_label("a", (12, 15), BINARY)
    assert str(caught.value) == (
        f"{root}/masks/a.png: the mask has 12 x 16 pixels (height x width), its image 12 x 15; make both the same size"
    )


def test_a_tiffs_nodata_is_ignored_only_where_it_means_nothing_else(tmp_path):
    from test_rasters import write_tiff

    save(tmp_path / "images" / "a.png", picture(1, 1, 3))
    (tmp_path / "masks").mkdir()
    block = FolderSource(images="images", masks="masks")
    write_tiff(tmp_path / "masks" / "a.tif", np.array([[[0, 1, -1]]], np.int16), nodata=-1)
    label, valid = open_source(block, tmp_path, BINARY).read_label("a", (1, 3), BINARY)
    assert (label.tolist(), valid.tolist()) == ([[0, 1, 0]], [[True, True, False]])
    write_tiff(tmp_path / "masks" / "a.tif", np.array([[[0, 1, 2]]], np.uint8), nodata=0)
    label, valid = open_source(block, tmp_path, SCENES).read_label("a", (1, 3), SCENES)
    assert (label.tolist(), valid.all()) == ([[0, 1, 2]], True)


def test_what_joins_is_returned_beside_the_faults(folder_set):
    block, root = folder_set("ab")
    (root / "masks" / "b.png").unlink()
    source, faults = join_source(block, root, BINARY)
    assert source is not None
    assert source.keys == ("a",)
    assert len(faults) == 1


def test_a_limited_source_says_how_much_is_used(folder_set):
    block, root = folder_set("abcd")
    source = open_source(block, root, BINARY)
    few = limited(source, ["d", "a"])
    assert few.keys == ("a", "d")
    assert few.notes == ("2 of 4 items are used",)
    assert few.image_path("d") == source.image_path("d")
    assert few.label_path("d") == source.label_path("d")
    assert few.labelled
    np.testing.assert_array_equal(few.read_label("a", (12, 16), BINARY)[0], source.read_label("a", (12, 16), BINARY)[0])
    assert limited(source, source.keys) is source


@given(count=st.integers(1, 60), limit=st.integers(1, 60))
def test_limited_keys_are_evenly_spread(count, limit):
    keys = [f"{place:03d}" for place in range(count)]
    chosen = limit_keys(keys[::-1], limit)
    assert len(set(chosen)) == len(chosen) == min(count, limit)
    assert list(chosen) == sorted(chosen)
    assert chosen[0] == keys[0]
    if limit > 1:
        assert chosen[-1] == keys[-1]
        steps = np.diff([int(key) for key in chosen])
        assert len(steps) == 0 or steps.max() - steps.min() <= 1
