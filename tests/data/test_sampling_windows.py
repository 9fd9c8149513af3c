"""Where a window lies: around what it is aimed at, by its seed alone, and not all of one class."""

import pickle

import numpy as np
import pytest
from data_helpers import BINARY, PLANES, SCENES
from hypothesis import given
from hypothesis import strategies as st

from maskwright.core.errors import InputError
from maskwright.core.recipe.members import Sampling
from maskwright.data import places as places_module
from maskwright.data.places import (
    Places,
    Spots,
    check,
    drawn_classes,
    holding,
    largest_share,
    object_middles,
    pixel_of,
    row_ends,
)
from maskwright.data.sampling import ANYWHERE, OBJECT, crop_window, sample_seed
from maskwright.data.windows import Layers

SEEDS = range(300)


def layers_of(label, valid=None):
    label = np.asarray(label, np.uint8)
    shape = label.shape[-2:]
    valid = np.ones(shape, bool) if valid is None else valid
    return Layers(np.zeros((*shape, 3), np.uint8), label * valid, valid)


@pytest.fixture
def scene():
    """A road along one side, a car of 3 x 4 pixels, the rest background; a corner does not count."""
    label = np.zeros((40, 60), np.uint8)
    label[:, 50:] = 1
    label[8:11, 20:24] = 2
    valid = np.ones((40, 60), bool)
    valid[:5, :5] = False
    return layers_of(label, valid)


def test_without_a_rule_windows_are_what_they_always_were(scene):
    places = Places(Sampling())
    for index in range(50):
        wanted = crop_window(3, 1, index, scene.shape, (16, 16))
        assert places.window("a", scene, ANYWHERE, sample_seed(3, 1, index), (16, 16)) == wanted


def test_windows_are_drawn_around_spots_as_often_as_their_share_says(scene):
    places = Places(Sampling(), spots={"a": Spots(0.75, ((0.25, 0.5), (0.875, 0.25)))})
    plain = Places(Sampling())
    near = [0, 0, 0]
    for seed in range(2000):
        window = places.window("a", scene, ANYWHERE, seed, (8, 8))
        assert window.clip(scene.shape) == window
        middle = np.array([window.row + 4, window.col + 4])
        hits = [np.abs(middle - spot).max() <= 2 for spot in ((10, 30), (35, 15))]
        near[hits.index(True) if any(hits) else 2] += 1
        for key, aim in (("b", ANYWHERE), ("a", 2)):
            assert places.window(key, scene, aim, seed, (8, 8)) == plain.window(key, scene, aim, seed, (8, 8))
    assert near[0] == pytest.approx(750, abs=90)  # and what lies there by chance
    assert near[1] == pytest.approx(750, abs=90)


@pytest.mark.parametrize("aim", [0, 1, 2, OBJECT])
@pytest.mark.parametrize("size", [(16, 16), (50, 20), (64, 80)])
def test_windows_show_what_they_are_aimed_at_and_stay_inside(scene, aim, size):
    places = Places(Sampling(windows="objects"), (2,))
    for seed in SEEDS:
        window = places.window("a", scene, aim, seed, size)
        assert window.shape == size
        for start, side, length in zip((window.row, window.col), size, scene.shape, strict=True):
            low, high = sorted((0, length - side))
            assert low <= start <= high
        rows, cols = window.clip(scene.shape).slices
        seen = scene.label[rows, cols][scene.valid[rows, cols]]
        assert (2 if aim == OBJECT else aim) in seen


def test_a_window_depends_on_item_aim_and_seed_alone(scene, monkeypatch):
    sampling = Sampling(windows="balanced", max_class_share=0.8)
    first = Places(sampling, (1, 2))
    other = layers_of(np.random.default_rng(1).integers(0, 3, (30, 30)))
    asked = [(aim, seed) for aim in (ANYWHERE, OBJECT, 0, 1, 2) for seed in range(20)]
    wanted = [first.window("a", scene, *one, (16, 16)) for one in asked]
    monkeypatch.setattr(places_module, "REMEMBERED", 100)
    again = Places(sampling, (1, 2))
    for one, window in zip(reversed(asked), reversed(wanted), strict=True):
        again.window("b", other, *one, (16, 16))
        assert again.window("a", scene, *one, (16, 16)) == window
    assert len(again._known) == 1
    assert pickle.loads(pickle.dumps(again)).window("a", scene, *asked[7], (16, 16)) == wanted[7]


def test_every_pixel_of_a_class_is_aimed_at_equally_often(scene):
    ends = row_ends(scene, 0)
    where = np.argwhere((scene.label == 0) & scene.valid)
    assert ends[-1] == len(where)
    assert [pixel_of(scene, 0, ends, number) for number in range(len(where))] == [tuple(place) for place in where]


def test_planes_are_aimed_at_each_on_its_own():
    label = np.zeros((2, 20, 20), np.uint8)
    label[0, 3, 4], label[1, 15:17, 9] = 1, 1
    layers = layers_of(label)
    assert pixel_of(layers, 1, row_ends(layers, 1), 1) == (16, 9)
    assert object_middles(layers, (0, 1)).tolist() == [[3, 4], [16, 9]]
    assert largest_share(layers, crop_window(0, 0, 0, (20, 20), (20, 20))) == 397 / 400


@given(
    shape=st.tuples(st.integers(1, 30), st.integers(1, 30)),
    size=st.tuples(st.integers(1, 30), st.integers(1, 30)),
    data=st.data(),
)
def test_a_window_that_holds_a_pixel_does(shape, size, data):
    place = tuple(data.draw(st.integers(0, length - 1)) for length in shape)
    window = holding(place, shape, size, np.random.default_rng(data.draw(st.integers(0, 99))))
    assert window.shape == size
    for at, start, side, length in zip(place, (window.row, window.col), size, shape, strict=True):
        assert start <= at < start + side
        assert min(0, length - side) <= start <= max(0, length - side)


def test_objects_are_found_one_by_one_and_lie_near_the_middle(scene):
    label = scene.label.copy()
    label[30:33, 30:33] = 2
    label[33, 33] = 2  # touches by a corner
    label[37, 3] = 1
    two = layers_of(label)
    assert object_middles(two, (2,)).tolist() == [[9, 22], [32, 32]]
    assert object_middles(two, (1, 2)).tolist() == [[20, 55], [37, 3], [9, 22], [32, 32]]
    assert object_middles(two, ()).shape == (0, 2)
    still = Places(Sampling(windows="objects", jitter=0), (2,))
    drawn = [still.window("a", two, OBJECT, seed, (10, 10)) for seed in SEEDS]
    assert {(window.row, window.col) for window in drawn} == {(4, 17), (27, 27)}
    assert sum(window.row == 4 for window in drawn) == pytest.approx(150, abs=40)
    moved = Places(Sampling(windows="objects", jitter=0.3), (2,))
    rows = {moved.window("a", scene, OBJECT, seed, (10, 10)).row for seed in SEEDS}
    assert rows == set(range(1, 8))


def test_an_item_without_what_is_aimed_at_gives_any_window():
    empty = layers_of(np.zeros((20, 20)))
    places = Places(Sampling(windows="objects"), (1,))
    for aim in (1, 2, OBJECT):
        assert places.window(str(aim), empty, aim, sample_seed(0, 0, 4), (8, 8)) == crop_window(
            0, 0, 4, (20, 20), (8, 8)
        )


def test_windows_of_one_class_are_drawn_anew(scene):
    def shares(limit, tries):
        places = Places(Sampling(max_class_share=limit, tries=tries))
        return [largest_share(scene, places.window("a", scene, ANYWHERE, seed, (16, 16))) for seed in SEEDS]

    free, once, often = shares(None, 10), shares(0.75, 1), shares(0.75, 10)
    assert once == free
    assert np.mean(np.array(free) > 0.75) > 0.6
    assert np.mean(np.array(often) > 0.75) < 0.3
    assert all(late <= early for late, early in zip(often, free, strict=True) if late > 0.75)


def test_shares_are_of_pixels_that_count():
    valid = np.zeros((10, 10), bool)
    everything = crop_window(0, 0, 0, (10, 10), (10, 10))
    assert largest_share(layers_of(np.zeros((10, 10)), valid), everything) == 1.0
    valid[0, :4] = True
    label = np.zeros((10, 10))
    label[0, 0] = 3
    assert largest_share(layers_of(label, valid), everything) == 0.75


def test_classes_are_those_named_or_those_that_suit_the_rule():
    assert drawn_classes(Sampling(windows="balanced"), SCENES) == (0, 1, 2)
    assert drawn_classes(Sampling(windows="objects"), SCENES) == (1, 2)
    assert drawn_classes(Sampling(windows="balanced"), BINARY) == (0, 1)
    assert drawn_classes(Sampling(windows="objects"), BINARY) == (1,)
    assert drawn_classes(Sampling(windows="balanced"), PLANES) == (0, 1)
    assert drawn_classes(Sampling(windows="balanced", classes=("car",)), SCENES) == (2,)
    with pytest.raises(InputError) as caught:
        check(Sampling(windows="objects", classes=("cars",)), SCENES, "r.yaml:members.a.sampling")
    assert str(caught.value) == (
        "r.yaml:members.a.sampling.classes: the task has no class 'cars' (did you mean 'car'?); use one of: "
        "background, road, car"
    )


def test_classes_without_a_rule_that_draws_them_are_refused():
    with pytest.raises(ValueError, match="classes are drawn by balanced and objects; windows is hard"):
        Sampling(windows="hard", classes=("car",))
