"""Run-length tables join by key, paint exactly, and every bad row is named with its line."""

from pathlib import Path

import numpy as np
import pytest
from data_helpers import BINARY, PLANES, SCENES, picture, save
from hypothesis import given
from hypothesis import strategies as st

from maskwright.core import rle
from maskwright.core.errors import DataError, InputError
from maskwright.core.recipe.sources import RleCsvSource
from maskwright.data.sources.open import open_source

SHAPE = (12, 16)


def table(root: Path, text: str, names: str = "abc", **options):
    for place, name in enumerate(names):
        save(root / "images" / f"{name}.png", picture(place))
    (root / "t.csv").write_text(text, encoding="utf-8")
    return RleCsvSource(images="images", table="t.csv", **{"order": "row", **options})


def faults_of(block, root, task=BINARY):
    with pytest.raises(DataError) as caught:
        open_source(block, root, task)
    return list(caught.value.faults)


def painted(*runs):
    flat = np.zeros(SHAPE[0] * SHAPE[1], np.uint8)
    for start, length in runs:
        flat[start - 1 : start - 1 + length] = 1
    return flat.reshape(SHAPE)


def test_names_join_with_and_without_suffix_and_order_of_rows(tmp_path):
    block = table(tmp_path, "ImageId,EncodedPixels\nc.png,-1\na,1 3 20 2\n./b.jpg,\n")
    source = open_source(block, tmp_path, BINARY)
    assert source.keys == ("a", "b", "c")
    label, valid = source.read_label("a", SHAPE, BINARY)
    np.testing.assert_array_equal(label, painted((1, 3), (20, 2)))
    assert valid.all()
    assert not source.read_label("b", SHAPE, BINARY)[0].any()
    assert not source.read_label("c", SHAPE, BINARY)[0].any()
    assert source.label_path("a") == tmp_path / "t.csv"
    assert source.labelled


def test_keys_below_a_folder_and_a_byte_order_mark(tmp_path):
    save(tmp_path / "images" / "sub" / "a.png", picture(1))
    (tmp_path / "t.csv").write_bytes("\ufeffImageId,EncodedPixels\r\nsub\\a.png,1 1\r\n".encode())
    block = RleCsvSource(images="images", table="t.csv", order="row")
    assert open_source(block, tmp_path, BINARY).keys == ("sub/a",)


def test_instance_rows_are_joined_and_may_overlap(tmp_path):
    text = "ImageId,EncodedPixels\na,1 3\na,3 3\nb,-1\nc,5 1\n"
    block = table(tmp_path, text, rows="instance")
    label, _ = open_source(block, tmp_path, BINARY).read_label("a", SHAPE, BINARY)
    np.testing.assert_array_equal(label, painted((1, 5)))
    assert faults_of(block.model_copy(update={"rows": "image"}), tmp_path) == [
        f"{tmp_path}/t.csv:3: a second row of 'a', the first is line 2; "
        "keep one, or set rows: instance if each row is an object"
    ]


def test_column_order_and_base_0(tmp_path):
    block = table(tmp_path, "ImageId,EncodedPixels\na,0 13\n", names="a", order="column", base=0)
    label, _ = open_source(block, tmp_path, BINARY).read_label("a", SHAPE, BINARY)
    assert label[:, 0].all()
    assert label[0, 1] == 1
    assert label.sum() == 13


def test_multilabel_planes_by_name_or_id_and_their_missing_rows(tmp_path):
    text = "ImageId,kind,EncodedPixels\na,lung,1 3\na,1,2 4\nb,heart,-1\n"
    block = table(tmp_path, text, names="ab", class_column="kind")
    assert faults_of(block, tmp_path, PLANES) == [
        f"{tmp_path}/images/b.png: no row in t.csv for 'lung'; add them, or set missing_mask: background"
    ]
    source = open_source(block.model_copy(update={"missing_mask": "background"}), tmp_path, PLANES)
    label, valid = source.read_label("a", SHAPE, PLANES)
    np.testing.assert_array_equal(label, np.stack([painted((1, 3)), painted((2, 4))]))
    assert valid.all()
    assert source.read_label("b", SHAPE, PLANES)[0].shape == (2, *SHAPE)


def test_multiclass_pixels_without_a_run_are_background(tmp_path):
    block = table(tmp_path, "ImageId,c,EncodedPixels\na,road,1 3\na,car,9 2\n", names="a", class_column="c")
    label, valid = open_source(block, tmp_path, SCENES).read_label("a", SHAPE, SCENES)
    np.testing.assert_array_equal(label, painted((1, 3)) + 2 * painted((9, 2)))
    assert valid.all()


def test_multiclass_pixels_without_a_run_do_not_count_once_class_0_has_runs(tmp_path):
    text = "ImageId,c,EncodedPixels\na,road,1 3\na,background,4 2\n"
    block = table(tmp_path, text, names="a", class_column="c")
    source = open_source(block, tmp_path, SCENES)
    assert source.notes == (
        f"{tmp_path}/t.csv: pixels without a run do not count, since 'background' has runs of its own",
    )
    label, valid = source.read_label("a", SHAPE, SCENES)
    np.testing.assert_array_equal(label, painted((1, 3)))
    np.testing.assert_array_equal(valid, painted((1, 5)) != 0)


def test_one_pixel_in_two_classes_is_refused(tmp_path):
    block = table(tmp_path, "ImageId,c,EncodedPixels\na,road,1 3\na,car,3 2\n", names="a", class_column="c")
    with pytest.raises(InputError) as caught:
        open_source(block, tmp_path, SCENES).read_label("a", SHAPE, SCENES)
    assert str(caught.value) == (
        f"{tmp_path}/t.csv: 'car' and 'road' share 1 pixels of 'a', but a multiclass task has one class a pixel; "
        "mend the rows, set overlap: order or large_first, or use kind: multilabel"
    )


def test_every_bad_row_is_named_with_its_line(tmp_path):
    text = (
        "ImageId,c,EncodedPixels\n"
        "a,road,1 1\n"
        "zebra,road,1 1\n"
        "../../etc/passwd,road,1 1\n"
        "/etc/passwd,road,1 1\n"
        "http://x/a.png,road,1 1\n"
        "a,rod,1 1\n"
        "a,road,2 2\n"
        "a,road\n"
        "c,road,1 1\n"
    )
    block = table(tmp_path, text, class_column="c")
    start = f"{tmp_path}/t.csv"
    leaves = "leaves the data folder; use names below data.root"
    assert faults_of(block, tmp_path, SCENES) == [
        f"{start}:3: no image 'zebra' in {tmp_path}/images; add it, or take the row away",
        f"{start}:4: name '../../etc/passwd' {leaves}",
        f"{start}:5: name '/etc/passwd' {leaves}",
        f"{start}:6: name 'http://x/a.png' {leaves}",
        f"{start}:7: class 'rod' (did you mean 'road'?) is none of background, road, car; "
        "use these names or ids 0 to 2",
        f"{start}:8: a second row of 'a' for class 'road', the first is line 2; "
        "keep one, or set rows: instance if each row is an object",
        f"{start}:9: 2 cells, the header has 3; mend the row",
        f"{tmp_path}/images/b.png: no row in t.csv; add it, or set missing_mask: background",
    ]


def test_missing_rows_may_mean_background(tmp_path):
    block = table(tmp_path, "ImageId,EncodedPixels\na,1 1\n", missing_mask="background")
    source = open_source(block, tmp_path, BINARY)
    assert source.keys == ("a", "b", "c")
    assert source.notes == (f"{tmp_path}/t.csv: 2 of 3 images have no row and count as background",)
    assert not source.read_label("c", SHAPE, BINARY)[0].any()


def test_a_table_without_the_columns_is_refused_with_what_it_holds(tmp_path):
    block = table(tmp_path, "image_id,EncodedPixel,EncodedPixel\na,1 1,2\n", names="a", rle_column="EncodedPixel")
    assert faults_of(block, tmp_path) == [
        f"{tmp_path}/t.csv:1: no column 'ImageId' (did you mean 'image_id'?), the header holds "
        "'image_id', 'EncodedPixel', 'EncodedPixel'; set key_column, or mend the header",
        f"{tmp_path}/t.csv:1: two columns 'EncodedPixel', the header holds "
        "'image_id', 'EncodedPixel', 'EncodedPixel'; set rle_column, or mend the header",
    ]


def test_files_that_are_no_csv_are_refused(tmp_path):
    block = table(tmp_path, "", names="a")
    assert faults_of(block, tmp_path)[0].startswith(
        f"{tmp_path}/t.csv:1: no column 'ImageId', the header holds nothing"
    )
    (tmp_path / "t.csv").write_bytes(b"ImageId,EncodedPixels\nna\xefve,1 1\n")
    assert faults_of(block, tmp_path) == [
        f"{tmp_path}/t.csv: not UTF-8 text (invalid continuation byte); save the table as UTF-8 CSV"
    ]
    (tmp_path / "t.csv").write_text('ImageId,EncodedPixels\na,1 1\nb,"1 1\n')
    assert f"{tmp_path}/t.csv:3: not valid CSV (unexpected end of data); mend the line" in faults_of(block, tmp_path)
    (tmp_path / "t.csv").unlink()
    assert faults_of(block, tmp_path) == [f"{tmp_path}/t.csv: no such file or folder; check the path"]


def test_runs_that_leave_the_image_name_table_line_and_key(tmp_path):
    block = table(tmp_path, "ImageId,EncodedPixels\na,1 1 190 9\n", names="a")
    with pytest.raises(InputError) as caught:
        open_source(block, tmp_path, BINARY).read_label("a", SHAPE, BINARY)
    assert str(caught.value) == (
        f"{tmp_path}/t.csv:2 (a): run 2 (190 9) ends past the last of the 12 x 16 = 192 pixels; "
        "check order and base, and the size of the image"
    )


def test_very_long_fields_are_read(tmp_path):
    save(tmp_path / "images" / "a.png", np.zeros((600, 600, 3), np.uint8))
    mask = np.zeros((600, 600), np.uint8)
    mask[::2, ::2] = 1
    text = rle.encode(mask, "row", 1)
    assert len(text) > 131_072
    (tmp_path / "t.csv").write_text(f"ImageId,EncodedPixels\na,{text}\n")
    block = RleCsvSource(images="images", table="t.csv", order="row")
    found, _ = open_source(block, tmp_path, BINARY).read_label("a", (600, 600), BINARY)
    np.testing.assert_array_equal(found, mask)


@pytest.mark.parametrize("order", ["row", "column"])
def test_an_order_that_is_not_named_is_guessed_and_said(tmp_path, order):
    lines = ["ImageId,EncodedPixels"]
    masks = {}
    for name in "abcd":
        rng = np.random.default_rng(ord(name))
        mask = np.zeros((24, 40), np.uint8)
        top, left = rng.integers(2, 10), rng.integers(2, 12)
        mask[top : top + 9, left : left + 20] = 1
        save(tmp_path / "images" / f"{name}.png", picture(1, 24, 40))
        lines.append(f"{name},{rle.encode(mask, order, 1)}")
        masks[name] = mask
    (tmp_path / "t.csv").write_text("\n".join(lines) + "\n")
    source = open_source(RleCsvSource(images="images", table="t.csv"), tmp_path, BINARY)
    assert source.notes[0].startswith(f"{tmp_path}/t.csv: order {order} was guessed (confidence ")
    assert source.notes[0].endswith(f"); write order: {order} to fix it")
    for name, mask in masks.items():
        np.testing.assert_array_equal(source.read_label(name, (24, 40), BINARY)[0], mask)


@given(seed=st.integers(0, 99), order=st.sampled_from(["row", "column"]), base=st.sampled_from([0, 1]))
def test_what_was_encoded_is_read_back(tmp_path_factory, seed, order, base):
    root = tmp_path_factory.getbasetemp() / f"{order}{base}"
    mask = (np.random.default_rng(seed).random(SHAPE) < 0.3).astype(np.uint8)
    block = table(root, f"ImageId,EncodedPixels\na,{rle.encode(mask, order, base)}\n", "a", order=order, base=base)
    np.testing.assert_array_equal(open_source(block, root, BINARY).read_label("a", SHAPE, BINARY)[0], mask)
