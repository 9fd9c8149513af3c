"""Folds are balanced, repeatable, and never pull apart what belongs together."""

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from maskwright.core.errors import InputError
from maskwright.core.recipe.folds import Folds
from maskwright.data.audit.fingerprint import Fingerprint, ItemRecord
from maskwright.data.folds.folds import HOLDOUT, FoldRow, assign, read_folds, write_folds


def fingerprint(shares, keys=None, duplicates=()):
    keys = keys or [f"{place:04d}" for place in range(len(shares))]
    items = tuple(
        ItemRecord(key, f"{key}.png", 100, 100, 3, "uint8", 1, key, (10_000 - round(s * 1e4), round(s * 1e4)), 10_000)
        for key, s in zip(keys, shares, strict=True)
    )
    totals = tuple(int(sum(item.pixels[kind] for item in items)) for kind in range(2))
    return Fingerprint(items, 3, "uint8", 255.0, (0.5,) * 3, (0.2,) * 3, totals, duplicates, ())


def skewed(count, seed=0):
    rng = np.random.default_rng(seed)
    return np.where(rng.random(count) < 0.3, 0, rng.beta(1, 5, count))


@given(
    count=st.integers(6, 120),
    folds=st.integers(2, 6),
    seed=st.integers(0, 50),
    kind=st.sampled_from(["plain", "stratified"]),
    holdout=st.sampled_from([0.0, 0.1, 0.3]),
)
def test_every_item_is_dealt_once_and_sizes_are_even(count, folds, seed, kind, holdout):
    if count < folds + 1:
        return
    rows = assign(fingerprint(skewed(count, seed)), Folds(kind=kind, count=folds, seed=seed, holdout=holdout))
    assert [row.key for row in rows] == [f"{place:04d}" for place in range(count)]
    sizes = np.bincount([row.fold for row in rows if row.fold >= 0], minlength=folds)
    held = sum(row.fold == HOLDOUT for row in rows)
    assert sizes.min() >= 1
    assert sizes.max() - sizes.min() <= 2
    assert abs(held - max(holdout * count, holdout > 0)) <= 3
    assert (held > 0) == (holdout > 0)
    assert len(sizes) == folds


def test_the_seed_alone_decides():
    set_ = fingerprint([place * 37 % 101 / 101 if place % 3 else 0.0 for place in range(80)])
    first, again, other = (assign(set_, Folds(seed=seed)) for seed in (1, 1, 2))
    assert first == again
    assert first != other
    # Computed by this code on 2026-11-21; a change would shift every user's folds.
    assert "".join(str(row.fold) for row in first[:20]) == GOLDEN


GOLDEN = "42320243200003131230"


def test_stratified_folds_have_like_foreground_and_beat_scikit_learn():
    from sklearn.model_selection import StratifiedKFold

    share = skewed(200, 3)
    ours = np.array([row.fold for row in assign(fingerprint(share), Folds(seed=5))])
    bins = np.digitize(share, np.quantile(share[share > 0], [0.25, 0.5, 0.75])) + (share > 0)
    theirs = np.zeros(200, int)
    for fold, (_, held) in enumerate(StratifiedKFold(5, shuffle=True, random_state=5).split(share, bins)):
        theirs[held] = fold

    def spread(folds):
        return np.ptp([share[folds == fold].mean() for fold in range(5)])

    assert spread(ours) < 0.1 * share.mean()
    assert spread(ours) <= spread(theirs)
    empties = [int((share[ours == fold] == 0).sum()) for fold in range(5)]
    assert max(empties) - min(empties) <= 1


def test_multiclass_is_stratified_by_the_rarest_class_that_occurs():
    items = []
    for place in range(20):
        rare = 500 if place < 5 else 0
        items.append(ItemRecord(f"{place:02d}", "", 100, 100, 3, "uint8", 1, "", (9000 - rare, 1000, rare, 0), 10_000))
    set_ = replace(fingerprint([0.1]), items=tuple(items), class_pixels=(177_500, 20_000, 2_500, 0))
    rows = assign(set_, Folds(count=5))
    assert sorted(row.fold for row in rows[:5]) == [0, 1, 2, 3, 4]


def test_groups_stay_together_and_folds_stay_even():
    rng = np.random.default_rng(0)
    keys = [f"site{site:02d}_{place:03d}" for place, site in enumerate(np.sort(rng.integers(0, 25, 150)))]
    rows = assign(fingerprint(skewed(150), keys), Folds(kind="grouped", count=5, group=r"^(site\d+)_", holdout=0.1))
    home = {}
    for row in rows:
        assert row.group == row.key.split("_")[0]
        assert home.setdefault(row.group, row.fold) == row.fold
    sizes = np.bincount([row.fold for row in rows if row.fold >= 0])
    assert sizes.max() - sizes.min() <= 8


def test_equal_images_share_a_group_whatever_the_kind():
    twins = (("0001", "0007", "0009"), ("0002", "0003"))
    for kind in ("plain", "stratified"):
        rows = {row.key: row for row in assign(fingerprint(skewed(12), duplicates=twins), Folds(kind=kind, count=3))}
        for group in twins:
            assert {rows[key].fold for key in group} == {rows[group[0]].fold}
            assert {rows[key].group for key in group} == {group[0]}
        assert rows["0000"].group == "0000"


def test_equal_images_join_their_groups():
    keys = [f"{site}_{place}" for site in "abcd" for place in range(3)]
    set_ = fingerprint(skewed(12), keys, duplicates=(("a_0", "c_2"),))
    rows = assign(set_, Folds(kind="grouped", count=2, group="^(.)_"))
    assert {row.group for row in rows} == {"a", "b", "d"}
    assert len({row.fold for row in rows if row.key[0] in "ac"}) == 1


def test_unlabelled_or_empty_sets_are_dealt_all_the_same():
    set_ = replace(fingerprint([0.0] * 9), class_pixels=())
    assert np.bincount([row.fold for row in assign(set_, Folds(count=3))]).tolist() == [3, 3, 3]


def test_a_tiny_hold_out_is_not_empty():
    rows = assign(fingerprint(skewed(10)), Folds(count=2, holdout=0.01))
    assert sum(row.fold == HOLDOUT for row in rows) == 1


def refusal(set_, **folds):
    with pytest.raises(InputError) as caught:
        assign(set_, Folds(**folds))
    return str(caught.value)


def test_too_few_items_or_groups_and_expressions_that_do_not_match_are_refused():
    few = fingerprint([0.1, 0.2, 0.3])
    assert refusal(few, count=4) == "folds.count: 3 items for 4 folds; add items, or lower folds.count"
    assert refusal(few, count=3, holdout=0.1) == (
        "folds.count: 3 items for 3 folds and a hold-out; add items, or lower folds.count"
    )
    grouped = fingerprint([0.1] * 4, ["a_1", "a_2", "b_1", "b_2"])
    assert refusal(grouped, kind="grouped", group="^(.)", count=3) == (
        "folds.count: 2 groups of items for 3 folds; lower folds.count, or make smaller groups"
    )
    assert refusal(grouped, kind="grouped", group="^(x)", count=2) == (
        "folds.group: '^(x)' does not match key 'a_1'; mend the expression"
    )


def test_folds_are_written_and_read_back(tmp_path):
    rows = (FoldRow("a,b", "g", 0), FoldRow('c"d', "g", -1), FoldRow("é/f", "é/f", 12))
    write_folds(tmp_path / "folds.csv", rows)
    assert read_folds(tmp_path / "folds.csv") == rows
    assert (tmp_path / "folds.csv").read_text(encoding="utf-8").splitlines()[0] == "key,group,fold"


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("key,group,fold\na,a,x\n", "not readable (invalid literal for int() with base 10: 'x')"),
        ("key,group,fold\na,a\n", "not readable (not enough values to unpack (expected 3, got 2))"),
        ("key,fold\n", "the header is not key,group,fold"),
        ("", "the header is not key,group,fold"),
        ("key,group,fold\na,a,0\na,a,1\n", "key 'a' occurs twice"),
    ],
)
def test_damaged_folds_are_refused(tmp_path, text, expected):
    path = tmp_path / "folds.csv"
    path.write_text(text)
    with pytest.raises(InputError) as caught:
        read_folds(path)
    assert str(caught.value) == f"{path}: {expected}; run split again"
    path.unlink()
    with pytest.raises(InputError) as caught:
        read_folds(path)
    assert str(caught.value) == f"{path}: no such file or folder; check the path"
