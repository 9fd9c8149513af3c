"""Folds of whole places: blocks, scenes and clusters, with a buffer, measured on the ground."""

import itertools
from dataclasses import replace
from pathlib import Path

import pytest
from data_helpers import BINARY
from geo import EAST, NORTH, UTM, affine, box, joined, scene, write_geojson, write_tiff

from maskwright.core.errors import InputError
from maskwright.core.grid import Grid, Window
from maskwright.core.recipe.folds import Folds
from maskwright.data.audit.fingerprint import Fingerprint, ItemRecord
from maskwright.data.folds.folds import TRAIN_ONLY, assign, train_keys
from maskwright.data.folds.ground import fold_ground, placed_groups, plots_of
from maskwright.data.ground import Near, ground_of

SIDE = 50


def record(key: str, ground=None, foreground: int = 10) -> ItemRecord:
    plane, corners = ("", ()) if ground is None else ground
    return ItemRecord(key, f"{key}.tif", SIDE, SIDE, 3, "uint8", 1, key, (90, foreground), 100, plane, corners)


def town(rows: int = 8, cols: int = 8, crs: str = UTM) -> Fingerprint:
    grid = Grid(crs, (1.0, 0.0, EAST, 0.0, -1.0, NORTH), (rows * SIDE, cols * SIDE))
    records = [
        record(f"t/{row}_{col}", ground_of(grid.window(Window(row * SIDE, col * SIDE, SIDE, SIDE)), "t"), row)
        for row, col in itertools.product(range(rows), range(cols))
    ]
    return Fingerprint(tuple(records), 3, "uint8", 255.0, (0.5,) * 3, (0.2,) * 3, (90, 10), ())


def spatial(**more) -> Folds:
    return Folds(**{"kind": "spatial", "count": 2, "spatial": more or None})


def test_blocks_stay_whole_and_touch_no_training_item_within_the_buffer() -> None:
    print_ = town()
    folds = spatial(size=100, buffer=30)
    rows = assign(print_, folds, BINARY)
    assert {row.fold for row in rows} == {0, 1}
    assert len({row.group for row in rows}) == 16
    for name in {row.group for row in rows}:
        members = [row for row in rows if row.group == name]
        assert len(members) == 4
        assert len({row.fold for row in members}) == 1
    near = Near(plots_of(print_))
    for fold in (0, 1):
        held = [row.key for row in rows if row.fold == fold]
        kept = train_keys(rows, fold, print_, folds)
        assert not near.within(held, 29.9) & set(kept)
        assert 0 < len(kept) < 64 - len(held)


def test_the_ground_of_folds_is_measured() -> None:
    print_ = town()
    folds = spatial(size=200, buffer=60)
    rows = assign(print_, folds, BINARY)
    scored = {fold: [row.key for row in rows if row.fold == fold] for fold in (0, 1)}
    kept = {fold: train_keys(rows, fold, print_, folds) for fold in (0, 1)}
    found = fold_ground(print_, scored, kept)
    assert [one.fold for one in found] == [0, 1]
    for one in found:
        assert one.scored == pytest.approx(80_000, rel=2e-3)
        assert one.shared == 0
        assert one.distance == pytest.approx(100, rel=2e-3)  # two items of 50 m lie nearer than 60 m


def test_a_size_is_chosen_that_gives_about_four_blocks_a_fold() -> None:
    rows = assign(town(), spatial(), BINARY)
    assert 6 <= len({row.group for row in rows}) <= 12


def test_clusters_are_compact_and_the_same_each_time() -> None:
    print_ = town(4, 4)
    found = placed_groups(print_, spatial(unit="cluster", clusters=4).spatial, 2, None)
    assert found == placed_groups(print_, spatial(unit="cluster", clusters=4).spatial, 2, None)
    assert len(set(found.values())) == 4
    corner = {found[f"t/{row}_{col}"] for row, col in ((0, 0), (0, 1), (1, 0))}
    assert len(corner) == 1


def test_scenes_are_held_out_whole(tmp_path: Path) -> None:
    for place in range(4):
        write_tiff(tmp_path / "images" / f"s{place}.tif", scene(place), affine(col=64 * place))
    write_geojson(tmp_path / "labels.geojson", [box(0, 0, 256, 30)])
    source, _ = joined(tmp_path, chip=32)
    records = tuple(record(key, source.ground(key)) for key in source.keys)
    print_ = replace(town(), items=records)
    rows = assign(print_, spatial(unit="scene"), BINARY, source)
    assert {row.group for row in rows} == {"s0", "s1", "s2", "s3"}
    rows = assign(print_, spatial(unit="scene", buffer=10), BINARY, source)
    for fold in (0, 1):
        held = {row.key for row in rows if row.fold == fold}
        assert not held & Near(plots_of(print_)).within(
            train_keys(rows, fold, print_, spatial(unit="scene", buffer=10)), 5
        )


def test_extra_chips_train_only_where_nothing_is_scored(tmp_path: Path) -> None:
    write_tiff(tmp_path / "images" / "town.tif", scene(0, 128, 128))
    write_geojson(tmp_path / "labels.geojson", [box(0, 0, 64, 128)])
    source, _ = joined(tmp_path, chip=32, scales=[2], chip_overlap=0.5)
    print_ = replace(town(), items=tuple(record(key, source.ground(key)) for key in source.keys))
    for folds in (spatial(size=64), Folds(kind="stratified", count=2)):
        rows = assign(print_, folds, BINARY, source)
        assert {row.key for row in rows if row.fold != TRAIN_ONLY} == {k for k in source.keys if source.scored(k)}
        near = Near(plots_of(print_))
        for fold in (0, 1):
            held = [row.key for row in rows if row.fold == fold]
            assert not near.within(held, 0) & set(train_keys(rows, fold, print_, folds))


def test_a_given_file_that_tears_one_ground_apart_is_refused(tmp_path: Path) -> None:
    grid = Grid(UTM, (1.0, 0.0, EAST, 0.0, -1.0, NORTH), (100, 50))
    names = {"a": 0, "b": 40, "c": 90, "d": 300}
    records = tuple(record(name, ground_of(grid.window(Window(row, 0, 50, 50)), "t")) for name, row in names.items())
    print_ = replace(town(), items=records)
    (tmp_path / "folds.csv").write_text("key,fold\na,0\nb,1\nc,0\nd,1\n", encoding="utf-8")
    with pytest.raises(InputError) as caught:
        assign(print_, Folds(kind="given", count=2, file="folds.csv"), BINARY, None, tmp_path)
    assert str(caught.value) == (
        "folds.csv: 1 pair of images that show the same split apart: 'a' ~ 'b' (same ground); put each pair into one "
        "fold, or set folds.duplicates: drop (they are left out of training) or ignore"
    )
    rows = assign(print_, Folds(kind="given", count=2, file="folds.csv", duplicates="drop"), BINARY, None, tmp_path)
    assert train_keys(rows, 0, print_, Folds(kind="given", count=2, file="folds.csv", duplicates="drop")) == ("d",)


def test_items_without_a_place_are_refused() -> None:
    print_ = replace(town(), items=tuple(record(name) for name in "abcd"))
    with pytest.raises(InputError) as caught:
        assign(print_, spatial(size=10), BINARY)
    assert str(caught.value) == (
        "folds.spatial: nobody knows where item 'a' (and 3 more) lies on the ground; give format: scenes with "
        "coordinates, or choose unit: scene"
    )
    with pytest.raises(InputError) as caught:
        assign(print_, spatial(unit="scene"), BINARY)
    assert str(caught.value) == "folds.spatial.unit: item 'a' is of no scene; give format: scenes"


def test_settings_that_do_not_go_together_are_refused() -> None:
    for given, told in (
        ({"kind": "plain", "spatial": {}}, "spatial is for kind: spatial, given or holdout; kind is plain"),
        ({"kind": "spatial", "spatial": {"unit": "scene", "size": 5}}, "size is of blocks; unit is scene"),
        ({"kind": "spatial", "spatial": {"clusters": 5}}, "clusters is for unit: cluster; unit is block"),
    ):
        with pytest.raises(ValueError, match=told):
            Folds(**given)


def test_old_fingerprints_are_read() -> None:
    plain = town(1, 1).to_plain()
    assert Fingerprint.from_plain(plain) == town(1, 1)
    for name in ("plane", "corners"):
        del plain["items"][0][name]
    assert Fingerprint.from_plain(plain).items[0].ground is None
