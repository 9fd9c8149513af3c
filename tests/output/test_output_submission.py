"""Submissions: every dialect decodes to what was given, and the sample submission is obeyed."""

import csv

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from maskwright.core.errors import InputError
from maskwright.core.labels import Task
from maskwright.core.recipe.outputs import RleCsvOutput
from maskwright.output.submission import instances, write_rle_csv

BINARY = Task(kind="binary", classes=("roof",))
MULTICLASS = Task(kind="multiclass", classes=("background", "road", "tree"))
MULTILABEL = Task(kind="multilabel", classes=("heart", "lung"))
MASKS = arrays(np.uint8, st.tuples(st.integers(1, 9), st.integers(1, 9)), elements=st.integers(0, 1))


def rows_of(path):
    with path.open(newline="") as stream:
        return list(csv.reader(stream))


def decoded(text, shape, order, base, empty):
    """Decode by the definition, without our own code."""
    flat = np.zeros(shape[0] * shape[1], np.uint8)
    numbers = [] if text == empty else [int(number) for number in text.split()]
    for start, length in zip(numbers[::2], numbers[1::2], strict=True):
        flat[start - base : start - base + length] = 1
    return flat.reshape(shape, order="C" if order == "row" else "F")


def pieces_by_flood(mask):
    """Find 8-connected pieces by the definition, in row-major order of first pixels."""
    left = {tuple(spot) for spot in np.argwhere(mask).tolist()}
    found = []
    for row, col in np.argwhere(mask).tolist():
        if (row, col) not in left:
            continue
        piece, edge = np.zeros_like(mask), [(row, col)]
        left.discard((row, col))
        while edge:
            r, c = edge.pop()
            piece[r, c] = 1
            near = {(r + dr, c + dc) for dr in (-1, 0, 1) for dc in (-1, 0, 1)} & left
            left -= near
            edge += near
        found.append(piece)
    return found


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    st.lists(MASKS, min_size=1, max_size=4),
    st.sampled_from(["row", "column"]),
    st.sampled_from([0, 1]),
    st.sampled_from(["", "-1", "1 0"]),
)
def test_rows_of_images_decode_in_every_dialect(tmp_path, masks, order, base, empty):
    block = RleCsvOutput(order=order, base=base, empty=empty, key_extension=".png")
    found = {f"k{index}": mask for index, mask in enumerate(masks)}
    facts = write_rle_csv(tmp_path / "s.csv", block, BINARY, sorted(found), found.__getitem__, None)
    head, *rows = rows_of(tmp_path / "s.csv")
    assert head == ["ImageId", "EncodedPixels"]
    assert [row[0] for row in rows] == [f"{key}.png" for key in sorted(found)]
    for (_, text), mask in zip(rows, masks, strict=True):
        np.testing.assert_array_equal(decoded(text, mask.shape, order, base, empty), mask)
    assert (facts.items, facts.rows) == (len(masks), len(masks))
    assert facts.empty_rows == sum(not mask.any() for mask in masks)


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(MASKS, st.sampled_from(["row", "column"]))
def test_rows_of_instances_are_the_connected_pieces_in_reading_order(tmp_path, mask, order):
    block = RleCsvOutput(rows="instance", order=order, empty="-1")
    write_rle_csv(tmp_path / "s.csv", block, BINARY, ["a"], lambda key: mask)
    rows = rows_of(tmp_path / "s.csv")[1:]
    expected = pieces_by_flood(mask) or [np.zeros_like(mask)]
    assert len(rows) == len(expected)
    for (key, text), piece in zip(rows, expected, strict=True):
        assert key == "a"
        np.testing.assert_array_equal(decoded(text, mask.shape, order, 1, "-1"), piece)


def test_many_instances_are_found_in_reading_order_on_a_larger_mask():
    mask = (np.random.default_rng(5).random((90, 130)) < 0.2).astype(np.uint8)
    for ours, theirs in zip(instances(mask), pieces_by_flood(mask), strict=True):
        np.testing.assert_array_equal(ours, theirs)


def test_multiclass_writes_each_class_but_the_background():
    label = np.array([[0, 1, 1], [2, 0, 1]], np.uint8)
    assert lines(MULTICLASS, {"a": label}) == ["ImageId,Class,EncodedPixels", "a,road,2 2 6 1", "a,tree,4 1"]


def test_multiclass_without_a_background_writes_every_class():
    task = Task(kind="multiclass", classes=("sky", "road"))
    label = np.array([[0, 1, 1]], np.uint8)
    assert lines(task, {"a": label}) == ["ImageId,Class,EncodedPixels", "a,sky,1 1", "a,road,2 2"]


def test_multilabel_writes_overlapping_planes_and_empty_ones():
    label = np.array([[[1, 1]], [[0, 1]]], np.uint8)
    both = {"a": label, "b": np.zeros_like(label)}
    assert lines(MULTILABEL, both)[1:] == ["a,heart,1 2", "a,lung,2 1", "b,heart,", "b,lung,"]


@pytest.fixture(autouse=True)
def _in_tmp(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)


def lines(task, found, sample=None, **block):
    """Write a submission with class rows and return its lines; the sample is given as text."""
    from pathlib import Path

    out = Path("out.csv")
    block = RleCsvOutput(class_column=None if task.kind == "binary" else "Class", **block)
    path = None
    if sample is not None:
        path = Path("sample.csv")
        path.write_text(sample)
    asked = []
    facts = write_rle_csv(out, block, task, list(found), lambda key: asked.append(key) or found[key], path)
    assert sorted(asked) == sorted(found), "each label is asked for once"
    lines.notes = facts.notes
    return out.read_text().split("\n")[:-1]


MASK = np.array([[0, 1, 1]], np.uint8)
EMPTY = np.zeros((1, 3), np.uint8)
TWO = {"a": MASK, "b": EMPTY}


def test_the_order_and_the_columns_of_the_sample_are_kept():
    sample = "EncodedPixels,ImageId\n,b.png\n1 1,a.png\n"
    assert lines(BINARY, TWO, sample, key_extension=".png") == ["EncodedPixels,ImageId", ",b.png", "2 2,a.png"]


def test_instances_follow_the_sample_which_may_repeat_an_id():
    found = {"a": np.array([[1, 0, 1]], np.uint8), "b": EMPTY}
    sample = "ImageId,EncodedPixels\nb,\na,1 1\na,1 1\na,1 1\n"
    assert lines(BINARY, found, sample, rows="instance")[1:] == ["b,", "a,1 1", "a,3 1"]


def test_class_rows_follow_the_sample_even_when_it_goes_class_by_class_and_by_id():
    found = {"a": np.array([[0, 1, 2]], np.uint8), "b": np.array([[2, 2, 0]], np.uint8)}
    sample = "ImageId,Class,EncodedPixels\nb,2,\na,2,\na,1,\nb,1,\n"
    assert lines(MULTICLASS, found, sample)[1:] == ["b,2,1 2", "a,2,3 1", "a,1,2 1", "b,1,"]
    assert lines.notes == ()


def test_a_class_that_the_sample_never_names_is_left_out_and_said():
    found = {"a": np.array([[0, 1, 2]], np.uint8)}
    assert lines(MULTICLASS, found, "ImageId,Class,EncodedPixels\na,tree,\n")[1:] == ["a,tree,3 1"]
    assert lines.notes == ("classes left out because sample.csv does not name them: road",)


def test_a_sample_with_uneven_classes_gives_its_ids_each_with_every_class():
    found = {"a": np.array([[0, 1, 2]], np.uint8), "b": np.array([[2, 2, 0]], np.uint8)}
    sample = "ImageId,Class,EncodedPixels\nb,tree,\na,road,\n"
    assert lines(MULTICLASS, found, sample)[1:] == ["b,road,", "b,tree,1 2", "a,road,2 1", "a,tree,3 1"]
    assert lines.notes == (
        "sample.csv names other classes for other ids; its order of ids was kept, each with every class",
    )


def refusal(*args, **kwargs):
    with pytest.raises(InputError) as caught:
        lines(*args, **kwargs)
    return str(caught.value)


def test_another_header_is_refused():
    assert refusal(BINARY, TWO, "id,rle\na,\nb,\n") == (
        "sample.csv:1: the sample submission has columns id,rle but the recipe writes ImageId,EncodedPixels; "
        "set key_column, rle_column and class_column of the output to the sample's"
    )


def test_missing_and_extra_ids_are_one_message_with_counts_and_three_names():
    sample = "ImageId,EncodedPixels\n" + "".join(f"m{index},\n" for index in range(5)) + "a,\n"
    assert refusal(BINARY, TWO, sample) == (
        "sample.csv: 5 ids (m0, m1, m2, ...) of the sample submission have no prediction, and 1 id (b) of ours has no "
        "row in the sample submission; check data.test, key_extension and key_column; every id of the sample needs "
        "one item"
    )


def test_an_id_twice_is_refused_unless_rows_are_instances():
    assert refusal(BINARY, TWO, "ImageId,EncodedPixels\na,\nb,\na,\n") == (
        "sample.csv:4: id 'a' stands in two rows of the sample submission; "
        "set rows: instance, or class_column, or mend the sample"
    )


def test_an_id_and_class_twice_is_refused():
    found = {"a": np.array([[0, 1, 2]], np.uint8)}
    assert refusal(MULTICLASS, found, "ImageId,Class,EncodedPixels\na,road,\na,1,\n") == (
        "sample.csv:3: id 'a' and class 'road' stand in two rows of the sample submission; mend the sample"
    )


def test_an_unknown_class_gets_the_nearest_name():
    found = {"a": np.array([[0, 1, 2]], np.uint8)}
    assert refusal(MULTICLASS, found, "ImageId,Class,EncodedPixels\na,raod,\n") == (
        "sample.csv:2: unknown class 'raod' (did you mean 'road'?); use one of: background, road, tree"
    )


def test_a_ragged_row_is_refused_with_its_line():
    assert refusal(BINARY, TWO, "ImageId,EncodedPixels\na\nb,\n") == (
        "sample.csv:2: 1 cells below a header of 2; mend the row"
    )


def test_a_missing_sample_is_refused(tmp_path):
    with pytest.raises(InputError) as caught:
        write_rle_csv(tmp_path / "s.csv", RleCsvOutput(), BINARY, ["a"], TWO.__getitem__, tmp_path / "no.csv")
    assert str(caught.value) == f"{tmp_path}/no.csv: no such file or folder; check the path"


def test_a_long_cell_in_the_sample_is_read_and_the_csv_limit_is_put_back():
    before = csv.field_size_limit()
    sample = "ImageId,EncodedPixels\na,\nb," + "1 1 " * 60_000 + "\n"
    assert lines(BINARY, TWO, sample)[1:] == ["a,2 2", "b,"]
    assert csv.field_size_limit() == before


def test_a_failure_on_the_way_leaves_the_old_file_and_no_partial_one(tmp_path):
    out = tmp_path / "s.csv"
    out.write_text("old")

    def label_of(key):
        if key == "b":
            raise InputError("no probabilities", where=key)
        return MASK

    with pytest.raises(InputError):
        write_rle_csv(out, RleCsvOutput(), BINARY, ["a", "b"], label_of)
    assert out.read_text() == "old"
    assert [path.name for path in tmp_path.iterdir()] == ["s.csv"]


def test_names_that_are_not_utf8_come_back_as_the_same_bytes(tmp_path):
    key = b"caf\xe9".decode("utf-8", "surrogateescape")
    write_rle_csv(tmp_path / "s.csv", RleCsvOutput(), BINARY, [key], lambda _: MASK)
    assert (tmp_path / "s.csv").read_bytes() == b"ImageId,EncodedPixels\ncaf\xe9,2 2\n"
