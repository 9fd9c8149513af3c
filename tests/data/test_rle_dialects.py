"""Tables of run lengths in every dialect are read as an independent reader reads them, and written masks come back."""

import numpy as np
import pytest
from data_helpers import BINARY, PLANES, SCENES, picture, save
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from maskwright.core.errors import DataError, InputError
from maskwright.core.recipe.sources import RleCsvSource
from maskwright.data.sources.open import open_source

SHAPE = (5, 7)
DIALECT = st.fixed_dictionaries(
    {
        "order": st.sampled_from(["row", "column"]),
        "base": st.sampled_from([0, 1]),
        "rows": st.sampled_from(["image", "instance"]),
        "empty": st.sampled_from([("",), ("-1",), ("", "-1"), ("nan", "1 0")]),
    }
)


def read_plainly(text, order, base, empty):
    """Decode as the definition says, a pixel at a time: an independent reader."""
    mask = np.zeros(SHAPE, np.uint8)
    if text.strip() in empty:
        return mask
    numbers = [int(part) for part in text.split()]
    for start, length in zip(numbers[::2], numbers[1::2], strict=True):
        for place in range(start - base, start - base + length):
            row, column = divmod(place, SHAPE[1]) if order == "row" else divmod(place, SHAPE[0])[::-1]
            mask[row, column] = 1
    return mask


def write_plainly(mask, order, base):
    """Write the runs of a mask, a pixel at a time."""
    flat = mask.ravel() if order == "row" else mask.T.ravel()
    found, start = [], None
    for place, value in enumerate([*flat.tolist(), 0]):
        if value and start is None:
            start = place
        elif not value and start is not None:
            found += [start + base, place - start]
            start = None
    return " ".join(map(str, found))


def table(root, lines, header="ImageId,EncodedPixels", **options):
    save(root / "images" / "a.png", picture(1, *SHAPE))
    (root / "t.csv").write_text("\n".join([header, *lines]) + "\n")
    return RleCsvSource(images="images", table="t.csv", **{"order": "row", **options})


@given(dialect=DIALECT, ids=arrays(np.uint8, SHAPE, elements=st.integers(0, 3)))
def test_a_table_in_any_dialect_is_read_as_it_was_written(tmp_path_factory, dialect, ids):
    root = tmp_path_factory.getbasetemp() / "dialects"
    masks = [ids > 0] if dialect["rows"] == "image" else [ids == value for value in (1, 2, 3) if (ids == value).any()]
    texts = [write_plainly(mask, dialect["order"], dialect["base"]) for mask in masks]
    texts = [text or dialect["empty"][0] for text in texts] or [dialect["empty"][0]]
    label, valid = open_source(table(root, [f"a,{text}" for text in texts], **dialect), root, BINARY).read_label(
        "a", SHAPE, BINARY
    )
    np.testing.assert_array_equal(label, ids > 0)
    assert valid.all()
    plain = [read_plainly(text, dialect["order"], dialect["base"], dialect["empty"]) for text in texts]
    np.testing.assert_array_equal(label, np.maximum.reduce(plain))


@given(
    planes=arrays(np.uint8, (2, *SHAPE), elements=st.integers(0, 1)),
    order=st.sampled_from(["row", "column"]),
    by_id=st.booleans(),
)
def test_planes_of_a_multilabel_table_come_back(tmp_path_factory, planes, order, by_id):
    root = tmp_path_factory.getbasetemp() / "planes_rle"
    names = ["0", "1"] if by_id else PLANES.classes
    lines = [f"a,{name},{write_plainly(plane, order, 1)}" for name, plane in zip(names, planes, strict=True)]
    block = table(root, lines[::-1], "ImageId,c,EncodedPixels", class_column="c", order=order)
    np.testing.assert_array_equal(open_source(block, root, PLANES).read_label("a", SHAPE, PLANES)[0], planes)


@given(label=arrays(np.uint8, SHAPE, elements=st.integers(0, 2)))
def test_classes_of_a_multiclass_table_come_back(tmp_path_factory, label):
    root = tmp_path_factory.getbasetemp() / "classes_rle"
    lines = [
        f"a,{name},{write_plainly(label == value, 'row', 1)}" for value, name in enumerate(SCENES.classes) if value
    ]
    block = table(root, lines, "ImageId,c,EncodedPixels", class_column="c")
    found, valid = open_source(block, root, SCENES).read_label("a", SHAPE, SCENES)
    np.testing.assert_array_equal(found, label)
    assert valid.all()


def test_where_rows_of_two_classes_overlap_the_recipe_says_who_is_seen(tmp_path):
    lines = ["a,car,3 2", "a,road,1 6"]
    options = {"header": "ImageId,c,EncodedPixels", "class_column": "c"}
    for overlap, row in (("order", [1, 1, 1, 1, 1, 1, 0]), ("large_first", [1, 1, 2, 2, 1, 1, 0])):
        source = open_source(table(tmp_path, lines, overlap=overlap, **options), tmp_path, SCENES)
        label, valid = source.read_label("a", SHAPE, SCENES)
        assert label[0].tolist() == row
        assert valid.all()
    lines = ["a,background,1 7", "a,car,3 2"]
    label, valid = open_source(table(tmp_path, lines, overlap="order", **options), tmp_path, SCENES).read_label(
        "a", SHAPE, SCENES
    )
    assert label[0].tolist() == [0, 0, 2, 2, 0, 0, 0]
    assert valid.any(axis=1).tolist() == [True, False, False, False, False]


def test_further_columns_that_are_the_same_in_all_rows_of_an_image_are_attributes(tmp_path):
    save(tmp_path / "images" / "b.png", picture(2, *SHAPE))
    lines = ["a,1 1,p1,10", "a,3 1,p1,11", "b,1 1,p2,12"]
    block = table(tmp_path, lines, "ImageId,EncodedPixels,patient,area", rows="instance")
    source = open_source(block, tmp_path, BINARY)
    assert source.attributes("a") == {"patient": "p1"}
    assert source.attributes("b") == {"patient": "p2", "area": "12"}


def test_other_delimiters_are_found_and_said(tmp_path):
    block = table(tmp_path, ["a;1 3"], "ImageId;EncodedPixels")
    source = open_source(block, tmp_path, BINARY)
    assert source.notes == (f"{tmp_path}/t.csv: columns are separated by semicolons, as guessed from the header",)
    assert source.read_label("a", SHAPE, BINARY)[0].sum() == 3


@pytest.mark.parametrize("text", ["1", "1 2 3", "0 4", "1 0", "35 2", "1 -1", "x y", "1.5 2", "1 3 2 2"])
def test_malformed_runs_are_refused_as_such(tmp_path, text):
    source = open_source(table(tmp_path, [f"a,{text}"]), tmp_path, BINARY)
    with pytest.raises(InputError) as caught:
        source.read_label("a", SHAPE, BINARY)
    assert caught.value.kind == "bad_runs"
    assert str(caught.value).startswith(f"{tmp_path}/t.csv:2 (a): ")


def test_faults_of_rows_come_in_the_order_of_lines(tmp_path):
    block = table(tmp_path, ["z,1 1", "a", "a,1 1", "y,"])
    with pytest.raises(DataError) as caught:
        open_source(block, tmp_path, BINARY)
    assert [fault.partition(": ")[0] for fault in caught.value.faults] == [
        f"{tmp_path}/t.csv:{line}" for line in (2, 3, 5)
    ]
