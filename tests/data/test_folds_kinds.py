"""Every kind of split keeps its promises: groups whole, nothing near a scored item in its training."""

from itertools import pairwise
from types import SimpleNamespace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import ValidationError

from maskwright.core.errors import InputError
from maskwright.core.labels import Task
from maskwright.core.recipe.folds import Folds
from maskwright.data.audit.fingerprint import Fingerprint, ItemRecord
from maskwright.data.folds.folds import HOLDOUT, TRAIN_ONLY, FoldRow, assign, proving_rows, train_keys

PLANES = Task(kind="multilabel", classes=("a", "b", "c", "d", "e"))


def fingerprint(pixels, keys=None, duplicates=(), similar=()):
    """A set of items of 10,000 pixels with given counts for each class."""
    keys = keys or [f"{place:04d}" for place in range(len(pixels))]
    items = tuple(
        ItemRecord(key, f"{key}.png", 100, 100, 3, "uint8", 1, key, tuple(int(count) for count in counts), 10_000)
        for key, counts in zip(keys, pixels, strict=True)
    )
    totals = tuple(int(sum(column)) for column in zip(*pixels, strict=True))
    near = tuple((a, b, "copy", 0.9) for a, b in similar)
    return Fingerprint(items, 3, "uint8", 255.0, (0.5,) * 3, (0.2,) * 3, totals, duplicates, (), near)


def binary(count, keys=None, seed=0, **more):
    roof = np.random.default_rng(seed).integers(0, 5000, count)
    return fingerprint([(10_000 - value, value) for value in roof], keys, **more)


def source(attributes=None, train_only=()):
    return SimpleNamespace(
        attributes=lambda key: (attributes or {}).get(key, {}), scored=lambda key: key not in train_only
    )


def refusal(set_, folds, *arguments):
    with pytest.raises(InputError) as caught:
        assign(set_, folds, *arguments)
    return str(caught.value)


def homes(rows):
    return {row.key: row.fold for row in rows}


# -- kinds


@settings(max_examples=60, deadline=None)
@given(
    count=st.integers(12, 60),
    sites=st.integers(6, 12),
    folds=st.integers(2, 4),
    seed=st.integers(0, 30),
    kind=st.sampled_from(["plain", "stratified", "grouped", "stratified_grouped", "holdout", "all"]),
    by=st.sampled_from(["auto", "coverage", "rarest", "classes"]),
    holdout=st.sampled_from([0.0, 0.2]),
    data=st.data(),
)
def test_every_item_is_dealt_once_and_what_is_alike_stays_together(count, sites, folds, seed, kind, by, holdout, data):
    grouped = kind in ("grouped", "stratified_grouped")
    keys = [f"site{place % sites:02d}_{place:03d}" for place in range(count)]
    near = data.draw(st.lists(st.tuples(st.sampled_from(keys[:6]), st.sampled_from(keys[:6])), max_size=3))
    set_ = binary(count, keys, seed, similar=[tuple(sorted(pair)) for pair in near if pair[0] != pair[1]])
    one = kind in ("holdout", "all")
    block = Folds(
        kind=kind, seed=seed, by=by, holdout=holdout, group="^(site..)" if grouped else None,
        **({} if one else {"count": folds}),
    )  # fmt: skip
    try:
        rows = assign(set_, block)
    except InputError as error:
        assert "show the same thing leave" in str(error)  # noqa: PT017
        return
    assert [row.key for row in rows] == keys
    home = homes(rows)
    parts = {TRAIN_ONLY} if kind == "all" else {0, TRAIN_ONLY} if kind == "holdout" else set(range(folds))
    assert set(home.values()) == parts | ({HOLDOUT} if holdout else set())
    for a, b, _, _ in set_.similar:
        assert home[a] == home[b]
    if grouped:
        sites_of = {}
        for row in rows:
            sites_of.setdefault(row.key[:6], set()).add(row.fold)
        assert all(len(there) == 1 for there in sites_of.values())
    for fold in range(block.count):
        trained = set(train_keys(rows, fold, set_, block))
        assert trained == {row.key for row in rows if row.fold not in (fold, HOLDOUT)}


def spread(rows, present, folds=5):
    """Mean over classes of the standard deviation of each fold's count, relative to its share."""
    counts = np.array([sum(present[row.key] for row in rows if row.fold == fold) for fold in range(folds)])
    return float((counts.std(axis=0) / counts.mean(axis=0)).mean())


@pytest.mark.parametrize("grouped", [False, True])
def test_multilabel_folds_share_every_class_better_than_plain_ones(grouped):
    plain, iterative = [], []
    for seed in range(8):
        rng = np.random.default_rng(seed)
        present = rng.random((150, 5)) < [0.5, 0.3, 0.15, 0.1, 0.06]
        keys = [f"p{rng.integers(0, 40):02d}_{place:03d}" for place in range(150)]
        set_ = fingerprint(present * 100, keys)
        there = dict(zip(keys, present.astype(int), strict=True))
        group = "^(p..)" if grouped else None
        kind = "grouped" if grouped else "stratified"
        iterative.append(spread(assign(set_, Folds(kind=kind, group=group, seed=seed), PLANES), there))
        if grouped:  # the same groups, dealt by size alone
            flat = fingerprint(np.zeros((150, 5)), keys)
            plain.append(spread(assign(flat, Folds(kind=kind, group=group, seed=seed)), there))
        else:
            plain.append(spread(assign(set_, Folds(kind="plain", seed=seed)), there))
    assert np.mean(iterative) < 0.5 * np.mean(plain)


def test_by_coverage_counts_all_foreground_and_by_rarest_only_one_class():
    pixels = [(9000 - 40 * place, 40 * place, 1000 if place in (3, 4) else 0) for place in range(20)]
    set_ = fingerprint(pixels)
    rarest = homes(assign(set_, Folds(count=2)))
    assert rarest["0003"] != rarest["0004"]
    coverage = assign(set_, Folds(count=2, by="coverage"))
    sums = [sum(sum(pixels[int(row.key)][1:]) for row in coverage if row.fold == fold) for fold in (0, 1)]
    assert abs(sums[0] - sums[1]) < 0.05 * sum(sums)


def test_one_split_gets_its_share_and_the_rest_trains_only():
    set_ = binary(40)
    rows = assign(set_, Folds(kind="holdout", share=0.25, holdout=0.1))
    sizes = {fold: sum(row.fold == fold for row in rows) for fold in (0, HOLDOUT, TRAIN_ONLY)}
    assert sum(sizes.values()) == 40
    assert abs(sizes[0] - 10) <= 1
    assert abs(sizes[HOLDOUT] - 4) <= 1
    pieces = proving_rows(rows, Folds(kind="holdout"))
    assert {row.fold for row in pieces if row.key in {r.key for r in rows if r.fold == 0}} == {0, 1, 2, 3, 4}
    assert [row for row in pieces if row.fold < 0] == [row for row in rows if row.fold < 0]
    two = Folds(count=2)
    assert proving_rows(assign(set_, two), two) == assign(set_, two)


def test_pieces_of_one_validation_set_keep_groups_whole():
    keys = [f"{site}{place}" for site in "abcdefgh" for place in range(3)]
    block = Folds(kind="holdout", share=0.5, group="^(.)")
    pieces = proving_rows(assign(binary(24, keys), block), block)
    homes_of = {}
    for row in pieces:
        homes_of.setdefault(row.group, set()).add(row.fold)
    assert all(len(there) == 1 for there in homes_of.values())


# -- groups


def test_groups_come_from_a_column_a_field_or_a_folder():
    keys = [f"{city}/{flight}/{number}" for city in ("x", "y") for flight in ("1", "2") for number in range(3)]
    set_ = binary(12, keys)
    facts = {key: {"patient": key[0] + key[-1]} for key in keys}
    by_column = assign(set_, Folds(kind="grouped", count=3, group={"column": "patient"}), None, source(facts))
    assert {row.group for row in by_column} == {"x0", "x1", "x2", "y0", "y1", "y2"}
    by_field = assign(set_, Folds(kind="grouped", count=3, group={"field": "patient"}), None, source(facts))
    assert by_field == by_column
    outer = assign(set_, Folds(kind="grouped", count=2, group={"folder": 0}))
    assert {row.group for row in outer} == {"x", "y"}
    inner = assign(set_, Folds(kind="grouped", count=2, group={"folder": -1}))
    assert {row.group for row in inner} == {"x/1", "x/2", "y/1", "y/2"}
    by_key = assign(set_, Folds(kind="grouped", count=2, group={"key": "^(.)"}))
    assert {row.group for row in by_key} == {"x", "y"}


def test_items_without_a_group_are_refused():
    set_ = binary(4, ["a/1", "a/2", "b/3", "b/4"])
    facts = source({key: {"patient": "p", "empty": ""} for key in ("a/1", "a/2", "b/3", "b/4")})
    by = {kind: Folds(kind="grouped", count=2, group={kind: "patiend"}) for kind in ("column", "field")}
    assert refusal(set_, by["column"], None, facts) == (
        "folds.group.column: item 'a/1' has no column 'patiend' (did you mean 'patient'?); it has: empty, patient; "
        "name a column that every item has"
    )
    assert refusal(set_, by["field"], None, source()) == (
        "folds.group.field: item 'a/1' has no field 'patiend'; the source gives no fields; "
        "name a field that every item has"
    )
    assert refusal(set_, Folds(kind="grouped", count=2, group={"column": "empty"}), None, facts) == (
        "folds.group.column: the column 'empty' of item 'a/1' is empty; fill it"
    )
    assert refusal(set_, Folds(kind="grouped", count=2, group={"folder": 1})) == (
        "folds.group.folder: key 'a/1' lies in 1 folders, so none has number 1; "
        "count from 0, the outermost, or from -1, the innermost"
    )


# -- images that show the same thing


def test_near_duplicates_stay_together_unless_told_otherwise():
    set_ = binary(10, similar=[("0000", "0001"), ("0001", "0002"), ("0007", "0009")])
    for kind in ("plain", "stratified"):
        rows = {row.key: row for row in assign(set_, Folds(kind=kind, count=3))}
        assert rows["0000"].fold == rows["0001"].fold == rows["0002"].fold
        assert {rows[key].group for key in ("0000", "0001", "0002")} == {"0000"}
        assert rows["0007"].group == rows["0009"].group == "0007"
    alone = assign(set_, Folds(count=3, duplicates="ignore"))
    assert all(row.group == row.key for row in alone)
    assert alone == assign(binary(10), Folds(count=3))


def test_dropped_duplicates_are_in_no_training_that_they_would_leak_into():
    set_ = binary(10, similar=[("0000", "0001"), ("0001", "0002")], duplicates=(("0003", "0004", "0005"),))
    block = Folds(kind="plain", count=5, duplicates="drop", holdout=0.2)
    rows = assign(set_, block)
    home = homes(rows)
    groups = [{"0000", "0001"}, {"0001", "0002"}, {"0003", "0004", "0005"}]
    for fold in range(5):
        trained = set(train_keys(rows, fold, set_, block))
        held = {key for key, there in home.items() if there in (fold, HOLDOUT)}
        near = {key for pair in groups if pair & held for key in pair}
        assert trained == set(home) - held - near
    ignored = Folds(kind="plain", count=5, duplicates="ignore", holdout=0.2)
    assert len(train_keys(rows, 0, set_, ignored)) == sum(row.fold not in (0, HOLDOUT) for row in rows)


def test_pairs_that_part_are_refused_with_their_names(tmp_path):
    set_ = binary(4, list("abcd"), similar=[("a", "b"), ("c", "d")])
    (tmp_path / "mine.csv").write_text("key,fold\na,0\nb,1\nc,0\nd,0\n")
    mine = Folds(kind="given", file="mine.csv", count=2)
    assert refusal(set_, mine, None, None, tmp_path) == (
        "mine.csv: 1 pair of images that show the same split apart: 'a' ~ 'b' (copy); put each pair into one fold, "
        "or set folds.duplicates: drop (they are left out of training) or ignore"
    )
    ignoring = mine.model_copy(update={"duplicates": "ignore"})
    assert homes(assign(set_, ignoring, None, None, tmp_path)) == {"a": 0, "b": 1, "c": 0, "d": 0}
    apart = binary(6, list("abcdef"), duplicates=(("a", "b", "c", "d"),))
    grouped = Folds(kind="grouped", group="(.)", count=6, duplicates="refuse")
    assert refusal(apart, grouped) == (
        "folds.duplicates: 6 pairs of images that show the same split apart: 'a' ~ 'b' (equal), 'a' ~ 'c' (equal), "
        "'a' ~ 'd' (equal), 'b' ~ 'c' (equal) and 2 more; group them, or choose together"
    )


def test_a_chain_of_duplicates_that_leaves_too_few_groups_says_so():
    keys = [f"{place:02d}" for place in range(9)]
    chain = binary(9, keys, similar=list(pairwise(keys[:8])))
    assert refusal(chain, Folds(count=3)) == (
        "folds.count: images that show the same thing leave 2 groups of items for 3 folds; the largest holds 8 of 9 "
        "items; lower folds.count, or set folds.duplicates: drop"
    )
    assert refusal(binary(1), Folds(kind="holdout")) == ("folds.count: 1 items for folds.kind: holdout; add items")


# -- items that only train


def test_items_that_only_train_are_never_scored_and_leave_where_they_leak():
    keys = ["a1", "a2", "b1", "b2", "c1", "c2", "x", "y", "a9"]
    set_ = binary(9, keys, similar=[("b1", "x")])
    block = Folds(kind="grouped", count=3, group="^(.)")
    rows = assign(set_, block, None, source(train_only={"x", "y", "a9"}))
    home = homes(rows)
    assert [home[key] for key in ("x", "y", "a9")] == [TRAIN_ONLY] * 3
    for fold in range(3):
        trained = train_keys(rows, fold, set_, block)
        assert "y" in trained
        assert ("x" in trained) == (home["b1"] != fold)  # shows what b1 shows
        assert ("a9" in trained) == (home["a1"] != fold)  # is of the group of a1
    near_only = binary(9, keys, similar=[("x", "y")])
    assert homes(assign(near_only, block, None, source(train_only={"x", "y", "a9"})))["x"] == TRAIN_ONLY


def test_a_fold_without_anything_to_train_on_is_refused():
    set_ = binary(2, ["a", "b"], similar=[("a", "b")])
    assert refusal(set_, Folds(kind="plain", count=2, duplicates="drop")) == (
        "folds: fold 0 has nothing to train on: all other items show what it is scored on, or are held out; "
        "choose folds.duplicates: together, or make the fold smaller"
    )


# -- the user's own folds

KEY = "a key is the image's path below its folder without the suffix"
RANGE = "give 0 to 1 (folds.count is 2), -1 for hold-out or -2 for training alone"


def test_given_folds_are_taken_as_they_are(tmp_path):
    (tmp_path / "mine.csv").write_bytes(b"\xef\xbb\xbfkey,who,fold\nb,me,1\na,me,0\nc,you,-1\nd,you,-2\ne,me,1\n")
    rows = assign(binary(5, list("abcde")), Folds(kind="given", file="mine.csv", count=2), None, None, tmp_path)
    assert rows == tuple(FoldRow(key, key, fold) for key, fold in zip("abcde", (0, 1, -1, -2, 1), strict=True))
    only = assign(
        binary(5, list("abcde")),
        Folds(kind="given", file="mine.csv", count=2),
        None,
        source(train_only={"e"}),
        tmp_path,
    )
    assert homes(only)["e"] == TRAIN_ONLY


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("key,fold\na,0\n", f"says nothing of item 'b'; give every key once; {KEY}"),
        ("key,fold\na,0\nb,1\nz,1\n", "names 'z', which is no item; take it out"),
        ("key,fold\na,0\nb,0\n", "no item is in fold 1 of folds 0 to 1; mend it, or folds.count"),
        ("name,fold\na,0\n", "has no columns key and fold; begin it with the line key,fold"),
        ("key,fold\na,0\na,1\n", ":3: key 'a' occurs twice; give every key once"),
        ("key,fold\na,0\nb,2\n", f":3: '2' is no fold; {RANGE}"),
        ("key,fold\na,0\nb,one\n", f":3: 'one' is no fold; {RANGE}"),
    ],
)  # fmt: skip
def test_faulty_folds_of_the_user_are_refused(tmp_path, text, expected):
    path = tmp_path / "mine.csv"
    path.write_text(text)
    said = refusal(binary(2, ["a", "b"]), Folds(kind="given", file="mine.csv", count=2), None, None, tmp_path)
    assert said == f"{path}{'' if expected.startswith(':') else ': '}{expected}"


def test_given_folds_that_tear_a_group_apart_are_refused(tmp_path):
    (tmp_path / "mine.csv").write_text("key,fold\na1,0\na2,1\n")
    block = Folds(kind="given", file="mine.csv", count=2, group="^(.)")
    assert refusal(binary(2, ["a1", "a2"]), block, None, None, tmp_path) == (
        f"{tmp_path / 'mine.csv'}: group 'a' is torn apart: 'a1' is in fold 0, 'a2' in fold 1; "
        "put each group into one fold, or leave folds.group out"
    )


# -- the block


@pytest.mark.parametrize(
    ("block", "expected"),
    [
        ({"kind": "grouped"}, "kind: grouped and group: REGEX go together; give both or neither"),
        ({"kind": "plain", "group": "(.)"}, "kind: grouped and group: REGEX go together; give both or neither"),
        ({"kind": "given"}, "kind: given and file: CSV go together; give both or neither"),
        ({"file": "a.csv"}, "kind: given and file: CSV go together; give both or neither"),
        ({"count": 1}, "count must be 2 or more, or choose kind: holdout"),
        ({"kind": "holdout", "count": 5}, "kind: holdout trains once; leave count out"),
        ({"kind": "all", "count": 2}, "kind: all trains once; leave count out"),
        ({"kind": "given", "file": "a.csv", "holdout": 0.1}, "holdout is not for kind: given; write -1 into the file"),
        ({"kind": "holdout", "share": 0.6, "holdout": 0.5}, "share and holdout leave nothing to train on; lower one"),
        ({"kind": "grouped", "group": {"key": "(.)", "folder": 1}}, "give exactly one of key, column, field, folder"),
        ({"kind": "given", "file": "/a.csv"}, "'/a.csv' must lie below data.root; set data.root"),
    ],
)  # fmt: skip
def test_blocks_that_make_no_sense_are_refused(block, expected):
    with pytest.raises(ValidationError) as caught:
        Folds(**block)
    assert expected in str(caught.value)


def test_kinds_that_train_once_need_no_count():
    assert Folds(kind="holdout").count == Folds(kind="all").count == 1
    assert Folds.model_validate(Folds(kind="holdout").model_dump()) == Folds(kind="holdout")
