"""Rules on probability maps equal plain numpy, from files to files."""

from fractions import Fraction
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from maskwright.core import rle
from maskwright.core.errors import InputError
from maskwright.core.progress import Silent
from maskwright.ensembling import votes_maps
from maskwright.workflows.vote_maps import MapPlan, run_maps

SEEDS = st.integers(0, 2**32 - 1)


@settings(max_examples=60, deadline=None)
@given(SEEDS, st.integers(1, 9))
def test_soft_votes_do_not_overflow(seed: int, members: int) -> None:
    chance = np.random.default_rng(seed)
    maps = list(chance.integers(0, 10_001, (members, 13, 17)).astype(np.uint16))
    thresholds = [round(float(value), 2) for value in chance.uniform(0.03, 1, members)]
    total = np.sum([one.astype(np.int64) for one in maps], axis=0)
    need = sum(round(value * 100) for value in thresholds) * 100
    assert (votes_maps.soft(maps, thresholds, 10_000) == (total >= need)).all()
    maps[0][:] = 10_000
    assert votes_maps.soft([maps[0]] * 8, [1.0] * 8, 10_000).all()


@settings(max_examples=60, deadline=None)
@given(SEEDS, st.integers(1, 9))
def test_means_are_exact(seed: int, members: int) -> None:
    chance = np.random.default_rng(seed)
    maps = list(chance.integers(0, 256, (members, 9, 11)).astype(np.uint8))
    weights = [Fraction(int(value), 10) for value in chance.integers(1, 9, members)]
    threshold = float(chance.choice([0.54, 0.5, 1 / 3, 1.0]))
    answer = votes_maps.mean(maps, weights, threshold, 255)
    for place in np.ndindex(answer.shape):
        said = sum(w * int(one[place]) for w, one in zip(weights, maps, strict=True)) / (255 * sum(weights))
        assert answer[place] == (float(said) >= threshold)


def naive_low_variance(maps: list[np.ndarray], threshold: float) -> np.ndarray:
    stack = np.stack([one / 255 for one in maps]).astype(np.float32).astype(np.float64)
    mean = stack.mean(0)
    spread = [one[one > 0].std() if (one > 0).any() else np.inf for one in stack]
    least = int(np.argmin(spread))
    if len(maps) > 1 and spread[least] < np.inf and stack[least].max() > 0.5 and mean.max() < 0.9:
        mean = stack[[n for n in range(len(maps)) if n != least]].mean(0)
    return mean >= threshold


@settings(max_examples=80, deadline=None)
@given(SEEDS, st.integers(1, 6))
def test_the_member_that_varies_least(seed: int, members: int) -> None:
    chance = np.random.default_rng(seed)
    maps = [(chance.random((10, 12)) * chance.choice([0, 80, 150, 255])).astype(np.uint8) for _ in range(members)]
    maps[0][maps[0] > 0] = chance.choice([100, 200])  # no deviation at all
    assert (votes_maps.low_variance(maps, 0.54, 255) == naive_low_variance(maps, 0.54)).all()


def test_the_odd_member_is_left_out_only_where_it_alone_is_sure() -> None:
    sure, dull = np.full((4, 4), 200, np.uint8), np.zeros((4, 4), np.uint8)
    dull[0] = (10, 60, 90, 120)
    assert not votes_maps.low_variance([sure, dull, dull], 0.3, 255)[1:].any()
    assert votes_maps.mean([sure, dull, dull], [Fraction(1)] * 3, 0.25, 255).all()
    bright = np.array([[255, 0, 250, 255]] * 4, np.uint8)  # the mean reaches .9, so all count
    assert votes_maps.low_variance([np.full((4, 4), 250, np.uint8), bright], 0.9, 255)[:, 0].all()
    larger = votes_maps.low_variance([sure] * 2, 0.7, 255, resize=(2, 2))
    assert larger.shape == (4, 4)
    assert larger.all()


@pytest.fixture
def folders(tmp_path: Path) -> dict[str, np.ndarray]:
    chance = np.random.default_rng(1)
    found = {}
    for member in ("b1", "b2", "b3"):
        for item in ("aa", "sub/bb"):
            found[member, item] = chance.integers(0, 256, (8, 9)).astype(np.uint8)
            path = tmp_path / member / f"{item}.tif"
            path.parent.mkdir(parents=True, exist_ok=True)
            Image.fromarray(found[member, item]).save(path)
    return found


def test_folders_of_maps(tmp_path: Path, folders: dict[tuple[str, str], np.ndarray]) -> None:
    members = ["b1", "b2", "b3"]
    plan = {"format": "maps", "members": members, "output": "out", "rule": "low_variance", "threshold": 0.54}
    run_maps(MapPlan.model_validate(plan), tmp_path, Silent())
    for item in ("aa", "sub/bb"):
        with Image.open(tmp_path / "out" / f"{item}.tif") as picture:
            assert picture.mode == "L"
            written = np.array(picture)
        assert set(np.unique(written)) <= {0, 255}
        assert ((written > 0) == naive_low_variance([folders[name, item] for name in members], 0.54)).all()
    plan = {"format": "maps", "members": members, "output": "hard", "rule": "vote", "at_least": "all"}
    run_maps(MapPlan.model_validate(plan), tmp_path, Silent())
    with Image.open(tmp_path / "hard" / "aa.tif") as picture:
        assert ((np.array(picture) > 0) == np.all([folders[name, "aa"] > 0 for name in members], axis=0)).all()


def test_folders_that_differ_are_refused(tmp_path: Path, folders: dict[tuple[str, str], np.ndarray]) -> None:
    plan = MapPlan(format="maps", members={"a": "b1", "b": "b2"}, output="out", threshold=0.5)
    (tmp_path / "b2" / "aa.tif").rename(tmp_path / "b2" / "ab.tif")
    with pytest.raises(InputError, match=r"no file for 'aa' .2 items are not in both"):
        run_maps(plan, tmp_path, Silent())
    (tmp_path / "b2" / "ab.tif").unlink()
    Image.fromarray(folders["b1", "aa"][:4]).save(tmp_path / "b2" / "aa.tif")
    with pytest.raises(InputError, match=r"4 x 9 of uint8, but .*aa.tif has 8 x 9 of uint8"):
        run_maps(plan, tmp_path, Silent())
    assert not (tmp_path / "out").exists()


def test_soft_votes_on_npz(tmp_path: Path) -> None:
    """The files of SEEDS 003.2: uint16, probability times 10,000, one plane a class."""
    chance, classes = np.random.default_rng(2), ("finger-1", "Ulna")
    planes = {name: chance.integers(0, 10_001, (2, 6, 7)).astype(np.uint16) for name in ("m1", "m2")}
    for name, array in planes.items():
        (tmp_path / name).mkdir()
        np.savez_compressed(tmp_path / name / "image1.npz", logits=array)
    thresholds = {"m1": [0.4, 0.55], "m2": 0.5}
    plan = {"format": "npz", "members": ["m1", "m2"], "output": "soft.csv", "rule": "soft", "classes": classes}
    run_maps(MapPlan.model_validate({**plan, "thresholds": thresholds}), tmp_path, Silent())
    lines = (tmp_path / "soft.csv").read_text().splitlines()
    total = planes["m1"].astype(int) + planes["m2"]
    wanted = [
        f"image1.png,{name},{rle.encode((total[n] >= need).astype(np.uint8))}"
        for n, (name, need) in enumerate(zip(classes, (9000, 10_500), strict=True))
    ]
    assert lines == ["image_name,class,rle", *wanted]
    (tmp_path / "m2" / "image1.npz").write_bytes(b"PK\x03\x04 no zip")
    with pytest.raises(InputError, match="no npz with an array 'logits'"):
        run_maps(MapPlan.model_validate({**plan, "thresholds": thresholds}), tmp_path, Silent())
