"""Answers of folds kept apart: their mean is that of what is stored, rounded once; how folds vote, and refusals."""

import numpy as np
import pytest

from maskwright.core.errors import RecipeError
from maskwright.core.recipe.load import build
from maskwright.core.recipe.votes import Group, leaves, voter, with_folds
from maskwright.core.stop import Stop
from maskwright.inference.predict import average
from maskwright.inference.store import Store, dequantise, quantise


@pytest.mark.parametrize("bits", [8, 16])
@pytest.mark.parametrize("folds", [1, 2, 3, 5])
def test_the_mean_of_folds_is_exact(tmp_path, bits, folds):
    rng, valid = np.random.default_rng(folds), np.ones((9, 7), bool)
    valid[0, :3] = False
    stores = [Store(tmp_path / str(fold)) for fold in range(folds)]
    for store in stores:
        store.write("a", rng.random((2, 9, 7)).astype(np.float32), valid, bits)
    target = Store(tmp_path / "mean")
    average(stores, ["a"], target, {"split": "test"}, Stop())
    mean = np.mean([dequantise(*store.read_quantised("a")).astype(np.float64) for store in stores], axis=0)
    found, there, scale = target.read_item("a")
    np.testing.assert_array_equal(found, np.ceil(np.round(mean * scale * folds) / folds - 0.5))
    np.testing.assert_array_equal(there, valid)
    assert target.facts("a") == {"split": "test"}
    assert found.dtype == quantise(np.zeros(1, np.float32), bits).dtype


def test_folds_stand_for_themselves_in_groups():
    group = Group(at_least=2, members={"a": Group(at_least=2, members=["m.folds", "n.fold1"]), "b": "m"})
    assert leaves(with_folds(group, 3)) == ("m.fold0", "m.fold1", "m.fold2", "n.fold1", "m")
    assert [voter(leaf) for leaf in ("m.fold12", "m")] == [("m", 12), ("m", None)]


@pytest.mark.parametrize(
    ("group", "said"),
    [
        ({"at_least": 1, "members": ["a.folds"]}, "a.fold0 votes, so write members.a.predict.keep_folds: true"),
        ({"at_least": 1, "members": ["b.fold7"]}, "no fold 7 of b; there are folds 0 to 1"),
        ({"rule": "best", "scores": "out_of_fold", "members": ["a", "b"]}, "of needs a class_column"),
        (
            {"threshold": 0.5, "scores": "out_of_fold", "members": {"a": "a", "c": {"at_least": 1, "members": ["b"]}}},
            "scores: out_of_fold are of members, and a group has none; write numbers",
        ),
    ],
)
def test_votes_that_cannot_be_held_are_refused_with_the_recipe(group, said):
    plain = {
        "name": "x",
        "task": {"kind": "binary", "classes": ["roof"]},
        "data": {
            "train": {"format": "folder", "images": "i", "masks": "m"},
            "test": {"format": "folder", "images": "t"},
        },
        "folds": {"count": 2},
        "members": {"a": {}, "b": {"predict": {"keep_folds": True}}},
        "output": [{"format": "vote", "of": {"format": "rle_csv"}, "group": group}],
    }
    with pytest.raises(RecipeError) as caught:
        build(plain)
    assert said in str(caught.value)
