"""Votes of a run's members on their maps, said by the recipe: files of each and of the vote, against plain numpy."""

import json

import numpy as np
import pytest
import rasterio

from maskwright.core import rle
from maskwright.core.pickles import LabelBook

KEYS = [f"s{index}" for index in range(8)]
OUTPUT = [
    {"format": "map_vote", "file": "mean", "members": ["a", "b"], "rule": "mean", "threshold": 0.4},
    {"format": "map_vote", "file": "odd", "members": ["a", "b"], "rule": "low_variance", "threshold": 0.4},
    {"format": "map_vote", "of": "npz", "file": "soft.csv", "members": ["b", "a"], "rule": "soft", "thresholds": "own"},
    {
        "format": "map_vote",
        "of": "joblib",
        "file": "all.pkl",
        "members": ["a", "b"],
        "at_least": "all",
        "key_extension": ".tif",
    },
]


@pytest.fixture
def recipe(folder_set, write_recipe):
    member = folder_set["members"]["a"]
    member["train"]["epochs"] = 1
    member["predict"] = {"bits": 16}
    folder_set["members"]["b"] = {**member, "optimizer": {"lr": 0.01}}
    folder_set["decision"] = {"postprocess": "off", "thresholds": "fixed", "threshold": 0.45}
    folder_set["output"] = OUTPUT
    return write_recipe(folder_set)


def tiff(path):
    with rasterio.open(path) as file:
        assert file.count == 1
        return file.read(1)


def test_maps_and_dictionaries_vote_at_the_end_of_a_run(cli, tmp_path, recipe):
    code, out, err = cli("run", recipe)
    assert code == 0, err
    folder = tmp_path / "runs" / "tiny" / "output"
    threshold = (2 * json.loads((folder.parent / "decision.json").read_text())["fixed_edge"] - 1) / 510
    assert threshold == pytest.approx(0.45, abs=1 / 510)  # nothing is tuned, so it is everybody's own
    rows = dict(line.rsplit(",", 1) for line in (folder / "soft.csv").read_text().splitlines()[1:])
    books = {name: LabelBook(folder / "all_members" / f"{name}.pkl") for name in "ab"}
    book = LabelBook(folder / "all.pkl")
    assert list(book.names) == [f"{key}.tif" for key in KEYS]
    assert list(rows) == [f"{key}.png,block" for key in KEYS]
    for key in KEYS:
        maps = [tiff(folder / "mean_members" / name / f"{key}.tif") for name in "ab"]
        assert {each.dtype for each in maps} == {np.dtype("uint16")}
        chances = np.stack(maps) / 65535
        np.testing.assert_array_equal(tiff(folder / "mean" / f"{key}.tif"), 255 * (chances.mean(0) >= 0.4))
        least = np.argmin([each[each > 0].std() for each in chances])
        drop = chances[least].max() > 0.5 and chances.mean(0).max() < 0.9
        wanted = chances[1 - least] if drop else chances.mean(0)
        clear = np.abs(wanted - 0.4) > 1e-6
        np.testing.assert_array_equal(tiff(folder / "odd" / f"{key}.tif")[clear], 255 * (wanted >= 0.4)[clear])

        logits = [np.load(folder / "soft_members" / name / f"{key}.npz")["logits"] for name in "ba"]
        assert [(each.dtype, each.shape) for each in logits] == [(np.dtype("uint16"), (1, *maps[0].shape))] * 2
        np.testing.assert_array_equal(logits[0][0], maps[1].astype(int) * 10_000 // 65535)
        soft = logits[0][0].astype(int) + logits[1][0] >= 2 * threshold * 10_000
        assert rle.decode(rows[f"{key}.png,block"], soft.shape, "row", 1).tolist() == soft.astype(int).tolist()

        masks = [books[name].read(f"{key}.tif") for name in "ab"]
        for mask, chance in zip(masks, chances, strict=True):
            np.testing.assert_array_equal(mask, chance >= threshold)
        np.testing.assert_array_equal(book.read(f"{key}.tif"), masks[0] & masks[1])

    # the files are those of the command, which gives the same of them; nothing is done twice
    where = [folder / "odd_members" / name for name in "ab"]
    ask = ("vote", "--format", "maps", "--rule", "low_variance", "--threshold", "0.4", *where, "--output", "again")
    assert cli(*ask)[0] == 0
    for key in KEYS:
        np.testing.assert_array_equal(tiff(tmp_path / "again" / f"{key}.tif"), tiff(folder / "odd" / f"{key}.tif"))
    code, out, _ = cli("run", recipe)
    assert (code, "export: nothing to do" in out) == (0, True)


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"members": ["a", "c"]}, "output[0].members: no member 'c'; the recipe has a, b"),
        ({"members": ["a.folds"]}, "output[0].members: a.fold0 votes, so write members.a.predict.keep_folds: true"),
        ({"rule": "soft"}, "thresholds and rule: soft belong together; give both or neither"),
        ({"threshold": None}, "rule mean asks for threshold, and not for at_least"),
        ({"of": "joblib"}, "rule mean is of probabilities, and joblib holds masks; use vote"),
        ({"resize": [8, 8]}, "resize is for rule: low_variance; leave it out"),
        ({"file": "a/b"}, "file: 'a/b' must be a plain file name"),
    ],
)
def test_what_cannot_be_is_refused_before_any_work(cli, tmp_path, recipe, change, said):
    code, _, err = cli("run", recipe, f"output=[{json.dumps({**OUTPUT[0], **change})}]")
    assert (code, err.count("\n"), (tmp_path / "runs").exists()) == (2, 1, False)
    assert said in err
