"""A list of suspicious labels lowers how often items are drawn, part by part, and leaves folds alone."""

import numpy as np
import pytest
from PIL import Image

from maskwright.core.errors import InputError
from maskwright.core.progress import Silent
from maskwright.core.recipe.load import build
from maskwright.core.runs import RunFolder
from maskwright.core.stop import Stop
from maskwright.workflows.avoiding import avoided
from maskwright.workflows.reading import drawn_keys, weights_of
from maskwright.workflows.session import Session


@pytest.fixture
def opened(tmp_path):
    """Open a recipe of two tiers with a list of suspects."""
    for tier in ("one", "two"):
        for part in ("images", "masks"):
            (tmp_path / tier / part).mkdir(parents=True)
            for name in ("a", "b", "c"):
                Image.fromarray(np.zeros((8, 8), np.uint8)).save(tmp_path / tier / part / f"{name}.png")
    (tmp_path / "suspects.csv").write_text("rank,key,score\n1,b,0.9\n2,a,0.6\n3,c,0.1\n")

    def session(**suspects):
        folder = {"format": "folder", "images": "{}/images", "masks": "{}/masks"}
        parts = {tier: {key: value.format(tier) for key, value in folder.items()} for tier in ("one", "two")}
        parts["two"] |= {"role": "train_only", "weight": 0.5}
        train = {"format": "merge", "parts": parts}
        data = {"root": str(tmp_path), "train": train, "suspects": {"list": "suspects.csv", **suspects}}
        recipe = build({"name": "t", "task": {"kind": "binary", "classes": ["x"]}, "data": data}, where="r.yaml")
        return Session(recipe, tmp_path, RunFolder(tmp_path / "run"), Silent(), Stop())

    return session


def test_suspects_of_a_part_are_drawn_less_or_never(opened):
    session = opened(part="two", weight=0.1)
    keys = session.train_source.keys
    assert avoided(session) == {"two/a": 0.1, "two/b": 0.1}
    assert drawn_keys(session, keys, 0) == keys
    assert weights_of(session, keys, 0) == (1, 1, 1, 0.05, 0.05, 0.5)
    session = opened(part="two", above=0.7)
    assert drawn_keys(session, keys, 0) == ("one/a", "one/b", "one/c", "two/a", "two/c")


def test_a_list_of_other_items_and_one_that_leaves_nothing_are_refused(opened):
    with pytest.raises(InputError, match=r"none of its 3 keys is an item of data.train, such as 'b'; give the list"):
        avoided(opened())
    with pytest.raises(InputError, match="all 2 items that fold 1 trains on are suspicious"):
        drawn_keys(opened(part="one"), ("one/a", "one/b"), 1)
