"""Votes on dictionaries of masks that joblib and pickle wrote."""

import pickle

import joblib
import numpy as np
import pytest
from cli_helpers import tree
from hypothesis import given
from hypothesis import strategies as st

from maskwright.core.errors import InputError
from maskwright.core.pickles import LabelBook
from maskwright.output.pickled import write_dictionary


def masks(seed, count=5, shape=(7, 9)):
    rng = np.random.default_rng(seed)
    return {f"test_img_{index}.tif": rng.integers(0, 2, shape).astype(np.uint8) for index in range(count)}


@pytest.mark.parametrize("least", ["all", "2"])
def test_snapshots_of_wildfire_vote(cli, tmp_path, least):
    members = [masks(seed) for seed in range(3)]
    shuffled = dict(reversed(members[1].items()))
    joblib.dump(members[0], tmp_path / "e10.pkl")
    (tmp_path / "e20.pkl").write_bytes(pickle.dumps(shuffled))
    write_dictionary(tmp_path / "e30.pkl", tuple(members[2]), members[2].__getitem__)
    files = ("e10.pkl", "e20.pkl", "e30.pkl", "--format", "joblib", "--output", "y_pred.pkl")
    code, out, _ = cli("vote", "--at-least", least, *files)
    assert (code, out) == (0, "y_pred.pkl: 5 items of 3 members, rule vote\n")
    voted = joblib.load(tmp_path / "y_pred.pkl")
    assert list(voted) == list(members[0])
    for name, mask in voted.items():
        total = sum(member[name].astype(int) for member in members)
        np.testing.assert_array_equal(mask, total >= (3 if least == "all" else 2))
        assert mask.dtype == np.uint8


@given(
    seed=st.integers(0, 99),
    protocol=st.integers(2, 5),
    kind=st.sampled_from(["u1", "?", "<i8", ">i4", "<u2"]),
    columns=st.booleans(),
    byway=st.sampled_from(["joblib", "pickle"]),
)
def test_what_numpy_wrote_is_found_without_a_call(tmp_path_factory, seed, protocol, kind, columns, byway):
    order = "F" if columns else "C"
    wanted = {
        name: np.asarray(mask.astype(kind), order=order) for name, mask in masks(seed, 3, (5, seed % 7 + 1)).items()
    }
    path = tmp_path_factory.mktemp("books") / "a.pkl"
    if byway == "joblib":
        joblib.dump(wanted, path, protocol=protocol)
    else:
        path.write_bytes(pickle.dumps(wanted, protocol=protocol))
    book = LabelBook(path)
    assert book.names == tuple(wanted)
    for name, mask in wanted.items():
        found = book.read(name)
        np.testing.assert_array_equal(found, mask)
        assert found.dtype == mask.dtype


class Evil:
    def __reduce__(self):
        return (open, ("ran", "w"))


@pytest.mark.parametrize(
    ("what", "said"),
    [
        ({"a": Evil()}, "'a' is no array"),
        ({"a": np.zeros(2, object)}, ""),
        ({"a": np.zeros((2, 2), np.float32)}, "numbers of type float32"),
        ({3: np.zeros((2, 2), np.uint8)}, "a key is no text but int"),
        ([1, 2], "opcode"),
        ("text", "it holds something else"),
    ],
)
def test_anything_else_is_refused_and_nothing_runs(cli, tmp_path, what, said):
    (tmp_path / "a.pkl").write_bytes(pickle.dumps(what))
    joblib.dump(masks(0), tmp_path / "b.pkl")
    before = tree(tmp_path)
    code, _, err = cli("vote", "--at-least", "1", "a.pkl", "b.pkl", "--format", "joblib", "--output", "y.pkl")
    assert (code, tree(tmp_path)) == (2, before)
    assert said in err
    assert err.startswith("error: a.pkl: no dictionary of labels (")
    assert err.count("\n") == 1


def test_cut_off_compressed_and_other_names(cli, tmp_path):
    joblib.dump(masks(0), tmp_path / "a.pkl")
    whole = (tmp_path / "a.pkl").read_bytes()
    for length in range(0, len(whole) - 1, 7):
        (tmp_path / "cut.pkl").write_bytes(whole[:length])
        with pytest.raises(InputError, match="no dictionary of labels"):
            LabelBook(tmp_path / "cut.pkl")
    joblib.dump(masks(0), tmp_path / "cut.pkl", compress=3)
    with pytest.raises(InputError, match="compressed, or no pickle"):
        LabelBook(tmp_path / "cut.pkl")
    joblib.dump(masks(1, 4), tmp_path / "b.pkl")
    code, _, err = cli("vote", "--at-least", "1", "a.pkl", "b.pkl", "--format", "joblib", "--output", "y.pkl")
    assert (code, (tmp_path / "y.pkl").exists()) == (2, False)
    assert "b.pkl: no mask of 'test_img_4.tif' (1 names are not in both a.pkl and b.pkl)" in err
