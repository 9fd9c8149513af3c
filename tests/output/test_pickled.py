"""The dictionary of labels: joblib, pickle and our own reader find what was given, and nothing else is read."""

import pickle

import joblib
import numpy as np
import pytest

from maskwright.core.errors import InputError
from maskwright.output import pickled
from maskwright.output.pickled import read_back, write_dictionary

NAMES = ("test_img_7.tif", "sub/ä b.tif", "empty.tif")


def labels():
    rng = np.random.default_rng(0)
    shapes = (256, 256), (3, 5, 7), (1, 1)
    return {name: rng.integers(0, 2, shape, np.uint8) for name, shape in zip(NAMES, shapes, strict=True)}


def written(path):
    given = labels()
    write_dictionary(path, NAMES, given.__getitem__)
    return given


@pytest.mark.parametrize("load", [joblib.load, lambda path: pickle.loads(path.read_bytes())])
def test_what_joblib_and_pickle_read_is_what_was_given(tmp_path, load):
    given = written(tmp_path / "y_pred.pkl")
    found = load(tmp_path / "y_pred.pkl")
    assert list(found) == list(NAMES)
    for name, label in found.items():
        assert type(label) is np.ndarray
        assert label.dtype == np.uint8
        assert label.flags.writeable
        assert label.flags.owndata or label.base is not None
        np.testing.assert_array_equal(label, given[name])


def test_a_label_that_is_no_row_of_memory_is_written_as_it_looks(tmp_path):
    label = np.arange(6, dtype=np.uint8).reshape(2, 3).T
    write_dictionary(tmp_path / "a.pkl", ["a"], lambda _: label)
    np.testing.assert_array_equal(joblib.load(tmp_path / "a.pkl")["a"], label)


def test_a_disk_that_lies_leaves_no_file(tmp_path, monkeypatch):
    monkeypatch.setattr(pickled, "read_back", lambda _: {})
    with pytest.raises(InputError, match="does not read back as it was written"):
        written(tmp_path / "y.pkl")
    assert list(tmp_path.iterdir()) == []


class Evil:
    def __reduce__(self):
        return (print, ("it ran",))


@pytest.mark.parametrize("content", [pickle.dumps({"a": Evil()}), b"", b"\x80\x04", b"no pickle"])
def test_nothing_else_is_read_back_and_nothing_runs(tmp_path, capsys, content):
    (tmp_path / "y.pkl").write_bytes(content)
    with pytest.raises(InputError, match="no dictionary of labels"):
        read_back(tmp_path / "y.pkl")
    assert capsys.readouterr().out == ""
