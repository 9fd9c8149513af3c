"""Images that show the same thing are found whatever was done to them, and nothing else is."""

import pickle

import cv2
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from maskwright.data.audit.small import reduce
from maskwright.data.leaks import search as similar_search
from maskwright.data.leaks import similar
from maskwright.data.leaks.kernels import BLUR, DOUBT, FLOOR, likeness


def texture(seed, height=160, width=200):
    """A scene of 60 grey blocks and discs on soft noise, uint8 (H, W, 3)."""
    rng = np.random.default_rng(seed)
    soft = cv2.GaussianBlur(rng.normal(0, 60, (height, width)).astype(np.float32), (0, 0), 4)
    image = np.clip(128 + 4 * soft, 0, 255).astype(np.uint8)
    for _ in range(60):
        row, col = (int(rng.integers(0, side)) for side in (height, width))
        size, shade = int(rng.integers(4, 22)), int(rng.integers(0, 256))
        if rng.random() < 0.5:
            cv2.rectangle(image, (col, row), (col + size, row + int(rng.integers(4, 22))), shade, -1)
        else:
            cv2.circle(image, (col, row), size // 2 + 2, shade, -1)
    return np.repeat(image[:, :, None], 3, axis=2)


def describe(image):
    return similar.describe(reduce(image, None, np.ones(image.shape[:2], bool)))


def jpeg(image, quality=40):
    return cv2.imdecode(cv2.imencode(".jpg", image, [cv2.IMWRITE_JPEG_QUALITY, quality])[1], cv2.IMREAD_COLOR)


def scaled(image, factor):
    return cv2.resize(image, None, fx=factor, fy=factor, interpolation=cv2.INTER_AREA)


def symmetry(image, number):
    turned = image.swapaxes(0, 1) if number & 4 else image
    return np.ascontiguousarray(turned[:: -1 if number & 1 else 1, :: -1 if number & 2 else 1])


SCENES = {f"{seed:02d}": texture(seed) for seed in range(10)}
KNOWN = {key: describe(image) for key, image in SCENES.items()}
PLANTS = {
    "equal": ("copy", lambda image: image.copy()),
    "recompressed": ("copy", jpeg),
    "half its size": ("copy", lambda image: scaled(image, 0.5)),
    "twice its size": ("copy", lambda image: scaled(image, 2)),
    "brighter": ("copy", lambda image: cv2.convertScaleAbs(image, alpha=0.7, beta=70)),
    "squeezed": ("copy", lambda image: cv2.resize(image, (160, 160))),
    **{f"turned {n}": ("turned", lambda image, n=n: symmetry(image, n)) for n in range(1, 8)},
    "turned and recompressed": ("turned", lambda image: jpeg(symmetry(image, 6))),
    "a crop": ("overlap", lambda image: image[20:150, 30:190]),
    "a crop enlarged": ("overlap", lambda image: cv2.resize(image[20:150, 30:190], (200, 160))),
    "a crop mirrored": ("overlap", lambda image: np.ascontiguousarray(image[20:150, 190:30:-1])),
    "the left half": ("overlap", lambda image: image[:, :100]),
}


@pytest.mark.parametrize("everything", [True, False], ids=["small set", "large set"])
@pytest.mark.parametrize("kind", PLANTS)
def test_every_plant_is_found_and_nothing_else(kind, everything, monkeypatch):
    if not everything:  # as in sets of thousands, where marks are looked up
        monkeypatch.setattr(similar_search, "ALL_PAIRS", 0)
    how, change = PLANTS[kind]
    plants = {key: describe(np.ascontiguousarray(change(image))) for key, image in SCENES.items()}
    found = similar.pairs(KNOWN, plants)
    assert sorted((pair.a, pair.b) for pair in found) == [(key, key) for key in sorted(SCENES)]
    assert {pair.how for pair in found} == {how}
    assert all(0.75 <= pair.score <= 1 for pair in found)


def test_different_scenes_and_neighbouring_tiles_make_no_pair():
    assert similar.pairs(KNOWN) == []
    tiles = {}
    for seed in range(4):
        wide = texture(seed, 160, 400)
        tiles |= {f"{seed} left": describe(wide[:, :200]), f"{seed} right": describe(wide[:, 200:])}
    assert similar.pairs(tiles) == []


@pytest.mark.parametrize("share", [0.5, 0.35])
def test_tiles_that_overlap_are_found_in_one_set(share):
    tiles = {}
    for seed in range(6):
        wide = texture(seed, 256, 512)
        first = int(256 * (1 - share))
        tiles |= {f"{seed}a": describe(wide[:, :256]), f"{seed}b": describe(wide[:, first : first + 256])}
    found = similar.pairs(tiles)
    assert sorted((pair.a, pair.b, pair.how) for pair in found) == [(f"{n}a", f"{n}b", "overlap") for n in range(6)]


def test_crops_of_a_large_photo_share_levels_though_they_are_reduced_differently():
    photo = cv2.resize(texture(3, 256, 256), (1024, 1024), interpolation=cv2.INTER_CUBIC)
    found = similar.pairs({"photo": describe(photo)}, {"crop": describe(photo[100:900, 150:950])})
    assert [(pair.a, pair.b, pair.how) for pair in found] == [("photo", "crop", "overlap")]


def test_many_copies_of_one_image_hang_together(monkeypatch):
    monkeypatch.setattr(similar_search, "ALL_PAIRS", 0)
    crops = {f"c{n:02d}": describe(SCENES["00"][n : n + 120, n : n + 150]) for n in range(30)}
    joined = {"c00"}
    pairs = similar.pairs(KNOWN | crops)
    for _ in pairs:
        joined |= {key for pair in pairs if {pair.a, pair.b} & joined for key in pair[:2]}
    assert joined == {*crops, "00"}


@pytest.mark.parametrize("shape", [(1, 1, 3), (3, 400, 1), (40, 40, 3), (256, 256, 1)])
def test_tiny_and_flat_images_show_nothing(shape):
    flat = {str(shade): describe(np.full(shape, shade, np.uint8)) for shade in (0, 7, 250)}
    assert similar.pairs(flat) == []
    assert similar.pairs({"0": flat["0"]}) == []
    assert similar.pairs({}, flat) == []
    assert similar.pairs(flat, {}) == []


def test_a_description_is_small_and_the_order_of_pairs_is_fixed():
    assert all(len(pickle.dumps(one)) < 8500 for one in KNOWN.values())
    both = KNOWN | {f"{key} again": describe(jpeg(SCENES[key])) for key in ("03", "01", "02")}
    found = similar.pairs(both)
    assert found == similar.pairs(dict(reversed(both.items())))
    assert {(pair.a, pair.b) for pair in found} == {(key, f"{key} again") for key in ("01", "02", "03")}
    assert [pair.score for pair in found] == sorted((pair.score for pair in found), reverse=True)


@settings(max_examples=20, deadline=None)
@given(seed=st.integers(0, 1000), number=st.integers(0, 7))
def test_marks_turn_with_the_image(seed, number):
    """Most marks of a turned image read the very same: their frame turns with them."""
    image = texture(seed, 128, 128)
    here, there = describe(image), describe(symmetry(image, number))
    same = {tuple(word) for word in here.words.tolist()} & {tuple(word) for word in there.words.tolist()}
    assert len(same) > 0.5 * len(here.words)


def details(image):
    """Brightness less the mean of the 9 x 9 pixels around that are inside."""
    count = cv2.boxFilter(np.ones_like(image), -1, (9, 9), normalize=False, borderType=cv2.BORDER_CONSTANT)
    return image - cv2.boxFilter(image, -1, (9, 9), normalize=False, borderType=cv2.BORDER_CONSTANT) / count


def test_likeness_is_the_least_correlation_of_details():
    one, other = (texture(seed, 64, 64)[:, :, 0].astype(np.float32) for seed in (1, 2))
    other = 0.6 * one + 0.4 * other
    room = np.empty((4 * 65, 65), np.float32)
    p, q = details(one).astype(float), details(other).astype(float)
    floor = FLOOR * p.size
    correlation = (p * q).sum() / np.sqrt(((p * p).sum() + floor) * ((q * q).sum() + floor))
    many = (p * p).sum() * (q * q).sum() / (p * p * q * q).sum()
    expected = np.tanh(np.arctanh(correlation) - DOUBT / np.sqrt(many / BLUR))
    assert likeness(one, other, np.array([1.0, 0, 0, 0, 1, 0]), 0.1, room) == pytest.approx(expected, abs=1e-3)
    assert likeness(one, other, np.array([1.0, 0, 60, 0, 1, 0]), 0.1, room) == -2
    mirrored = np.ascontiguousarray(one[:, ::-1])
    assert likeness(one, mirrored, np.array([1.0, 0, 0, 0, -1, 63]), 0.1, room) > 0.99
