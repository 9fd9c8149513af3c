import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from pydantic import ValidationError

from maskwright.core.errors import InputError
from maskwright.core.labels import Task, apply_value_map, default_palette, propose_map

BINARY = Task(kind="binary", classes=("roof",))
THREE = Task(kind="multiclass", classes=("background", "roof", "road"), ignore=255)
PLANES = Task(kind="multilabel", classes=("heart", "lung"))
DTYPES = [np.uint8, np.int8, np.uint16, np.int16, np.int32, np.uint32, np.int64, np.uint64]


@given(
    raws=st.dictionaries(
        st.integers(-(2**31), 2**31 - 1), st.integers(0, 2) | st.just("ignore"), min_size=1, max_size=9
    ),
    seed=st.integers(0, 999),
)
def test_a_value_map_replaces_each_value_and_ignore_becomes_not_valid(raws, seed):
    raw = np.random.default_rng(seed).choice(list(raws), (6, 5))
    task = THREE.model_copy(update={"ignore": None})
    labels, valid = apply_value_map(raw, task, raws, "m.png")
    expected = np.array([[-1 if raws[int(v)] == "ignore" else raws[int(v)] for v in row] for row in raw])
    assert (labels.dtype, valid.dtype) == (np.uint8, np.bool_)
    np.testing.assert_array_equal(valid, expected >= 0)
    np.testing.assert_array_equal(labels, np.where(expected >= 0, expected, 0))


@given(hnp.arrays(np.int64, (4, 6), elements=st.sampled_from([-1, 0, 1, 2, 3, 7, 2**40])))
def test_a_mask_with_any_undeclared_value_is_refused_and_any_other_is_kept(raw):
    if set(np.unique(raw)) <= {0, 1, 2}:
        np.testing.assert_array_equal(apply_value_map(raw, THREE, None, "m.png")[0], raw)
    else:
        with pytest.raises(InputError, match=r"^m\.png: label value -?\d+ covers \d+\.\d\d% of the mask"):
            apply_value_map(raw, THREE, None, "m.png")


@pytest.mark.parametrize("dtype", DTYPES)
def test_every_integer_type_at_the_end_of_its_range_maps_alike(dtype):
    info = np.iinfo(dtype)
    raw = np.array([[info.max, info.max - 1], [info.max - 2, info.max]], dtype)
    table = {int(info.max): 0, int(info.max) - 1: 1, int(info.max) - 2: "ignore"}
    labels, valid = apply_value_map(raw, BINARY, table, "m.png")
    assert labels.tolist() == [[0, 1], [0, 0]]
    assert valid.tolist() == [[True, True], [False, True]]
    ends = np.array([[info.min, info.max]], dtype)
    assert apply_value_map(ends, BINARY, {int(info.min): 1, int(info.max): 0}, "m.png")[0].tolist() == [[1, 0]]


def test_boolean_masks_are_zero_and_one():
    raw = np.array([[True, False, True]])
    assert apply_value_map(raw, BINARY, None, "m.png")[0].tolist() == [[1, 0, 1]]
    assert apply_value_map(np.ones((2, 2), bool), BINARY, {1: 0, 0: 1}, "m.png")[0].tolist() == [[0, 0], [0, 0]]


def test_task_ignore_is_not_valid_unless_the_map_says_otherwise():
    raw = np.array([[0, 2, 255]], np.uint8)
    labels, valid = apply_value_map(raw, THREE, None, "m.png")
    assert (labels.tolist(), valid.tolist()) == ([[0, 2, 0]], [[True, True, False]])
    assert apply_value_map(raw, THREE, {0: 0, 2: 1, 255: 2}, "m.png")[1].all()


def test_multilabel_planes_are_mapped_together():
    raw = np.stack([np.eye(3), np.zeros((3, 3))]).astype(np.uint8) * 255
    labels, valid = apply_value_map(raw, PLANES, {0: 0, 255: 1}, "m.png")
    assert labels.shape == valid.shape == (2, 3, 3)
    assert labels.sum() == 3


def test_an_empty_array_stays_empty():
    labels, valid = apply_value_map(np.zeros((0, 4), np.int32), THREE, None, "m.png")
    assert labels.shape == valid.shape == (0, 4)


FIX = "declare it, set task.ignore, or add values: "


@pytest.mark.parametrize(
    ("raw", "task", "message"),
    [
        (
            [[0, 255], [255, 0]],
            BINARY,
            f"m.png: label value 255 covers 50.00% of the mask but the task declares [0, 1]; {FIX}{{0: 0, 255: 1}}",
        ),
        (
            [[0, 64, 128, 128]],
            THREE,
            "m.png: label value 128 covers 50.00% of the mask (and 1 more: [64, 128]) "
            f"but the task declares [0, 1, 2, 255]; {FIX}{{0: 0, 64: 1, 128: 2}}",
        ),
        (
            [[0, 1, 2, 3, 3, 3, 255, 255]],
            THREE,
            "m.png: label value 3 covers 37.50% of the mask but the task declares [0, 1, 2, 255]; "
            f"{FIX}{{0: 0, 1: 1, 2: 2, 3: ignore, 255: ignore}}",
        ),
        (
            [[0, 10**6]],
            BINARY,
            "m.png: label value 1000000 covers 50.00% of the mask but the task declares [0, 1]; "
            f"{FIX}{{0: 0, 1000000: 1}}",
        ),
    ],
)
def test_undeclared_values_are_named_with_share_and_a_map_to_copy(raw, task, message):
    with pytest.raises(InputError) as caught:
        apply_value_map(np.array(raw), task, None, "m.png")
    assert str(caught.value) == message


def test_thousands_of_undeclared_values_are_summed_up_shortly():
    raw = np.arange(60_000, dtype=np.uint16).reshape(200, 300)
    with pytest.raises(InputError) as caught:
        apply_value_map(raw, BINARY, None, "m.png")
    assert len(str(caught.value)) < 400
    assert str(caught.value).endswith("10: 1, 11: 1, ...}")


def test_a_map_to_a_class_that_does_not_exist_is_refused():
    with pytest.raises(InputError) as caught:
        apply_value_map(np.zeros((2, 2), np.uint8), THREE, {0: 0, 9: 300}, "m.png")
    assert str(caught.value) == "m.png: 9 is mapped to 300, which is not one of [0, 1, 2]"


@given(st.lists(st.integers(-5, 300), min_size=1, max_size=6, unique=True), st.sampled_from([BINARY, THREE, PLANES]))
def test_a_proposed_map_of_few_values_is_one_that_the_task_takes(found, task):
    from ruamel.yaml import YAML

    table = YAML(typ="safe").load(propose_map(found, task))
    known = {key: value for key, value in table.items() if key in found}
    raw = np.array([sorted(known)])
    labels, _ = apply_value_map(raw, task.model_copy(update={"ignore": None}), known, "m.png")
    assert set(np.unique(labels)) <= set(task.values)


@pytest.mark.parametrize(
    ("task", "planes", "plane_names", "values", "value_names", "activation"),
    [
        (BINARY, 1, ("roof",), (0, 1), ("background", "roof"), "sigmoid"),
        (Task(kind="binary", classes=("ground", "roof")), 1, ("roof",), (0, 1), ("background", "roof"), "sigmoid"),
        (THREE, 3, THREE.classes, (0, 1, 2), THREE.classes, "softmax"),
        (PLANES, 2, PLANES.classes, (0, 1), ("background", "present"), "sigmoid"),
    ],
)
def test_the_task_says_planes_names_values_and_activation(task, planes, plane_names, values, value_names, activation):
    said = (task.planes, task.plane_names, task.values, task.value_names, task.activation)
    assert said == (planes, plane_names, values, value_names, activation)
    assert task.palette.shape == (planes, 3)
    assert task.palette.dtype == np.uint8


@pytest.mark.parametrize(
    ("given", "said"),
    [
        ({"kind": "binary", "classes": ("a", "b", "c")}, "a binary task has one foreground class, got 3 classes"),
        ({"kind": "multiclass", "classes": ("a",)}, "a multiclass task needs two classes or more; use kind: binary"),
        ({"kind": "multiclass", "classes": ("a", "a")}, "class names must be distinct, got 'a' more than once"),
        ({"kind": "multiclass", "classes": ("a", "b"), "ignore": 1}, "ignore: 1 is also the id of class 'b'"),
        ({"kind": "binary", "classes": ("a",), "ignore": 0}, "ignore: 0 is also the id of class 'background'"),
        ({"kind": "binary", "classes": ("a",), "colours": ((0, 0, 0),) * 2}, "2 colours for 1 classes"),
        ({"kind": "binary", "classes": ("a",), "colours": ((0, 0, 300),)}, "less than or equal to 255"),
        ({"kind": "binary", "classes": ()}, "at least 1 item"),
    ],
)
def test_a_task_that_contradicts_itself_is_refused(given, said):
    with pytest.raises(ValidationError) as caught:
        Task(**given)
    assert said in str(caught.value)


def test_colours_given_for_background_and_foreground_are_those_of_the_foreground():
    task = Task(kind="binary", classes=("ground", "roof"), colours=((1, 2, 3), (4, 5, 6)))
    assert task.palette.tolist() == [[4, 5, 6]]


@given(st.integers(1, 100), st.booleans())
def test_default_colours_differ_and_background_is_black(count, background):
    colours = default_palette(count, background=background)
    assert colours.shape == (count, 3)
    assert len({tuple(colour) for colour in colours.tolist()}) == count
    assert (colours[0] == 0).all() == background
