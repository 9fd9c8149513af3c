"""What single augmentations promise beyond the contract: scales, symmetries, shares, words of refusal."""

import subprocess
import sys

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from maskwright.core.errors import InputError
from maskwright.core.grid import SYMMETRIES
from maskwright.data.augment.base import Setting
from maskwright.data.augment.colour import _turn_hue
from maskwright.data.augment.table import build, check
from maskwright.data.augment.warp import Rotate, _about_centre, affine
from maskwright.data.windows import Layers, turn

EXTRA = {"albumentations": {"name": "MotionBlur", "params": {"p": 1.0}}}
GEOMETRY = ("hflip", "vflip", "rot90", "transpose", "d4", "rotate", "scale_crop")
SYMMETRIC = ("hflip", "vflip", "rot90", "transpose", "d4")
LIGHT = ("brightness_contrast", "blur", "noise")


def always(name, **params):
    return build([{name: {"p": 1.0, **EXTRA.get(name, {}), **params}}])


def sample(height=24, width=24, bands=3, dtype=np.uint8, planes=None, seed=0):
    rng = np.random.default_rng(seed)
    image = rng.random((height, width, bands)) * (255 if dtype == np.uint8 else 1)
    valid = np.ones((height, width), bool)
    valid[:3, :5] = False
    label = rng.integers(0, 2, (height, width) if planes is None else (planes, height, width)).astype(np.uint8)
    label[..., ~valid] = 0
    return Layers(image.astype(dtype), label, valid)


@pytest.mark.parametrize("name", SYMMETRIC)
@pytest.mark.parametrize("planes", [None, 3])
def test_symmetries_move_image_and_label_exactly_alike(name, planes):
    given_ = sample(planes=planes)
    coloured = given_._replace(
        image=given_.label[:, :, None] * 9 if planes is None else np.moveaxis(given_.label, 0, -1) * 9
    )
    seen = set()
    for seed in range(60):
        image, label, valid = always(name)(*coloured, seed)
        np.testing.assert_array_equal(image, label[:, :, None] * 9 if planes is None else np.moveaxis(label, 0, -1) * 9)
        matches = [other for other in SYMMETRIES if np.array_equal(turn(coloured, other).label, label)]
        np.testing.assert_array_equal(turn(coloured, matches[0]).valid, valid)
        seen.update(matches)
    expected = {"rot90": {"identity", "rot90", "rot180", "rot270"}, "d4": set(SYMMETRIES)}.get(name, {name})
    assert seen == expected


@pytest.mark.parametrize("name", ["rot90", "transpose", "d4"])
def test_windows_that_are_not_square_keep_their_shape(name):
    for seed in range(20):
        assert always(name)(*sample(10, 20), seed)[0].shape == (10, 20, 3)


@pytest.mark.parametrize("name", ["rotate", "scale_crop"])
@pytest.mark.parametrize("bands", [1, 3, 6])
def test_warps_move_image_and_label_alike_and_what_comes_from_outside_does_not_count(name, bands):
    """On an image whose colour is its label, both agree wherever the label is the same all around."""
    rows, cols = np.ogrid[:64, :64]
    label = ((rows // 16 + cols // 16) % 3).astype(np.uint8)
    image = np.repeat(label[:, :, None], bands, 2).astype(np.float32) / 4
    checked = outside = 0
    for seed in range(12):
        moved, found, valid = always(name)(image, label, np.ones((64, 64), bool), seed)
        flat = np.zeros((64, 64), bool)
        around = np.stack([found[1 + r : 63 + r, 1 + c : 63 + c] for r in (-1, 0, 1) for c in (-1, 0, 1)])
        inside = np.stack([valid[1 + r : 63 + r, 1 + c : 63 + c] for r in (-1, 0, 1) for c in (-1, 0, 1)]).all(0)
        flat[1:63, 1:63] = (around == around[0]).all(0) & inside
        np.testing.assert_allclose(moved[flat], np.repeat(found[flat][:, None], bands, 1) / 4, atol=0.13)
        assert np.median(np.abs(moved[flat] - found[flat][:, None] / 4)) < 1e-6
        checked += flat.sum()
        outside += (~valid).sum()
        assert not found[~valid].any()
    assert checked > 12 * 64 * 64 / 3
    assert outside > 0


@pytest.mark.parametrize("name", LIGHT)
def test_light_and_noise_leave_label_and_valid_alone(name):
    given_ = sample()
    image, label, valid = always(name)(*given_, 1)
    assert label is given_.label
    assert valid is given_.valid
    assert (image != given_.image).any()


def test_brightness_and_contrast_suit_any_scale_of_a_band():
    rng = np.random.default_rng(0)
    image = np.stack([rng.normal(m, s, (40, 40)) for m, s in ((0.03, 0.01), (900, 80), (-5, 2))], 2).astype(np.float32)
    layers = Layers(image, np.zeros((40, 40), np.uint8), np.ones((40, 40), bool))
    gains, shifts = [], []
    for seed in range(200):
        found = always("brightness_contrast")(*layers, seed)[0]
        gain = found.std((0, 1)) / image.std((0, 1))
        shift = found.mean((0, 1)) / image.mean((0, 1)) - 1
        np.testing.assert_allclose(gain, gain[0], rtol=1e-3)  # the same share in every band
        np.testing.assert_allclose(shift, shift[0], atol=1e-3)
        gains.append(gain[0])
        shifts.append(shift[0])
    assert 0.8 <= min(gains) < 0.85
    assert 1.15 < max(gains) <= 1.2001
    assert -0.2001 <= min(shifts) < -0.15
    assert 0.15 < max(shifts) <= 0.2001


def test_8_bit_and_float_images_are_brightened_alike():
    given_ = sample(bands=6)
    for seed in range(5):
        eight = always("brightness_contrast")(*given_, seed)[0]
        real = always("brightness_contrast")(given_.image.astype(np.float32) / 255, *given_[1:], seed)[0] * 255
        np.testing.assert_allclose(eight, np.clip(real, 0, 255), atol=0.51)


def test_noise_is_a_share_of_each_bands_own_deviation():
    rng = np.random.default_rng(0)
    image = np.stack([rng.normal(0.1, 0.01, (80, 80)), rng.normal(500, 50, (80, 80))], 2).astype(np.float32)
    layers = Layers(image, np.zeros((80, 80), np.uint8), np.ones((80, 80), bool))
    found = build([{"noise": {"strength": [0.1, 0.1], "p": 1}}])(*layers, 0)[0]
    np.testing.assert_allclose((found - image).std((0, 1)), 0.1 * image.std((0, 1)), rtol=0.05)
    np.testing.assert_allclose((found - image).mean((0, 1)) / image.std((0, 1)), 0, atol=0.01)


def test_an_entry_is_applied_as_often_as_it_says():
    given_ = sample()
    changed = [(build([{"hflip": {"p": 0.3}}])(*given_, seed)[0] != given_.image).any() for seed in range(600)]
    assert 0.24 < np.mean(changed) < 0.36


@given(seed=st.integers(0, 2**62), height=st.integers(1, 300), width=st.integers(1, 300))
def test_the_source_window_has_the_scale_asked_for(seed, height, width):
    augmenter = build([{"hflip": {}}, {"scale_crop": {"scale": [0.5, 2.0]}}])
    rows, cols = augmenter.source_shape((height, width), seed)
    assert max(1, height // 2 - 1) <= rows <= 2 * height + 1
    assert abs(rows * width - cols * height) <= max(height, width) + 1
    assert augmenter.source_shape((height, width), seed) == (rows, cols)
    assert build([{"hflip": {}}]).source_shape((height, width), seed) == (height, width)


def test_an_item_is_brought_to_a_size_of_pixel_on_the_ground():
    exact = build([{"gsd_scale": {"to": 0.07}}])
    assert exact.source_shape((100, 80), 1, gsd=0.035) == (200, 160)
    assert exact.source_shape((100, 80), 1, gsd=0.14) == (50, 40)
    assert exact.source_shape((100, 80), 1) == (100, 80), "nobody knows the item's"
    drawn = build([{"gsd_scale": {"to": [0.1, 0.4]}}, {"scale_crop": {"scale": [2, 2]}}])
    sides = np.array([drawn.source_shape((1000, 1000), seed, gsd=0.2)[0] for seed in range(400)])
    assert 249 <= sides.min() < 300, "a pixel of 0.1 m, twice as large"
    assert 900 < sides.max() <= 1000
    some = build([{"gsd_scale": {"to": 0.1, "p": 0.25}}])
    assert 0.15 < np.mean([some.source_shape((10, 10), seed, gsd=0.2) == (5, 5) for seed in range(400)]) < 0.35
    assert refusal({"gsd_scale": {"to": [2, 1]}}) == (
        "[0].gsd_scale.to: a range is [low, high], got [2.0, 1.0]; see docs/reference"
    )


def test_scales_are_even_over_octaves():
    augmenter = build([{"scale_crop": {"scale": [0.5, 2.0]}}])
    sides = np.array([augmenter.source_shape((1000, 1000), seed)[0] for seed in range(800)])
    assert 0.44 < (sides < 1000).mean() < 0.56
    assert sides.min() < 520
    assert sides.max() > 1900


def test_a_window_of_the_source_shape_is_brought_to_size():
    augmenter = build([{"scale_crop": {"scale": [0.5, 0.5]}}])
    source = augmenter.source_shape((16, 12), 5)
    assert source == (32, 24)
    image, label, valid = augmenter(*sample(*source), 5, (16, 12))
    assert (image.shape, label.shape, valid.shape) == ((16, 12, 3), (16, 12), (16, 12))


def test_transforms_of_albumentations_carry_valid_and_planes():
    shift = {"name": "Affine", "params": {"translate_px": {"x": 6, "y": 0}, "p": 1.0}}
    given_ = sample(planes=3, dtype=np.float32, bands=14)
    image, label, valid = build([{"albumentations": shift}])(*given_, 0)
    np.testing.assert_array_equal(label[:, :, 6:], given_.label[:, :, :-6])
    np.testing.assert_allclose(image[:, 6:], given_.image[:, :-6], atol=1e-5)
    assert not valid[:, :6].any()
    assert not label[:, :, :6].any()


def test_a_transform_that_cannot_take_the_image_says_so():
    with pytest.raises(InputError) as caught:
        build([{"albumentations": {"name": "ToGray", "params": {"p": 1.0}}}])(*sample(bands=5), 0)
    assert str(caught.value).startswith("augment.albumentations: ToGray cannot transform 5 bands of uint8 (")
    assert str(caught.value).endswith("); choose another transform")


def refusal(*entries):
    with pytest.raises(InputError) as caught:
        check(entries, "r.yaml:members.a.augment")
    return str(caught.value).removeprefix("r.yaml:members.a.augment")


def test_unknown_names_and_parameters_are_refused_with_the_nearest():
    assert refusal({"hflip": {}}, {"hflp": {}}).startswith(
        "[1]: unknown augmentation 'hflp' (did you mean 'hflip'?); use one of: aerial, albumentations, blur, "
    )
    assert refusal({"stong": {}}).startswith("[0]: unknown augmentation 'stong' (did you mean 'strong'?); use one of: ")
    assert refusal({"strong": {"p": 0.5}}) == "[0]: preset strong takes no parameters; write strong alone"
    assert refusal({"one_of": {"of": [{"blur": {}}, {"nois": {}}]}}).startswith(
        "[0].one_of: of[1]: unknown augmentation 'nois' (did you mean 'noise'?); use one of: "
    )
    assert refusal({"one_of": {"of": ["blur", "mosaic"]}}) == (
        "[0].one_of: mosaic cannot be one of several; make it an entry of its own"
    )
    assert refusal({"coarse_dropout": {"holes": [5, 3]}}) == (
        "[0].coarse_dropout.holes: a range is [low, high], got [5, 3]; see docs/reference"
    )
    assert refusal({"rotate": {"limt": 5}}) == (
        "[0].rotate: unknown key 'limt' (did you mean 'limit'?); use one of: limit, p"
    )
    assert refusal({"rotate": {"limit": 999}}) == (
        "[0].rotate.limit: input should be less than or equal to 180, got 999; see docs/reference"
    )
    assert refusal({"scale_crop": {"scale": [2, 1]}}) == (
        "[0].scale_crop.scale: a range is [low, high], got [2.0, 1.0]; see docs/reference"
    )
    assert refusal({"hflip": {"p": 1.5}}).startswith("[0].hflip.p: input should be less than or equal to 1, got 1.5")
    assert refusal({"albumentations": {"name": "MotonBlur"}}) == (
        "[0].albumentations: albumentations has no image transform 'MotonBlur' (did you mean 'MotionBlur'?); "
        "see its documentation"
    )
    assert refusal({"albumentations": {"name": "MotionBlur", "params": {"size": 3}}}) == (
        "[0].albumentations: MotionBlur: Argument(s) 'size' are not valid for transform MotionBlur; "
        "see albumentations' documentation"
    )
    check([{"d4": {}}, {"scale_crop": {"scale": [0.8, 1.3]}}, {"noise": {"p": 0.2}}], "here")


def test_albumentations_is_imported_only_by_a_recipe_that_names_it():
    code = (
        "import sys; from maskwright.data.augment.table import build; "
        "build([{'d4': {}}, {'rotate': {}}, {'noise': {}}]); "
        "sys.exit(any(name in sys.modules for name in ('albumentations', 'cv2', 'torch')))"
    )
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


def test_turned_about_the_centre_as_opencv_turns():
    import cv2

    given_ = sample(31, 44, dtype=np.float32)
    rng = np.random.default_rng(0)
    angle = rng.uniform(-30, 30)
    expected = cv2.warpAffine(
        given_.image, cv2.getRotationMatrix2D((21.5, 15), angle, 1.0), (44, 31), borderMode=cv2.BORDER_REFLECT_101
    )
    turned = Rotate(limit=30).apply(given_, np.random.default_rng(0))
    np.testing.assert_allclose(turned.image, expected, atol=1e-3)


def test_a_picture_turned_by_45_degrees_loses_its_corners():
    layers = Layers(np.zeros((200, 200, 1), np.uint8), np.ones((200, 200), np.uint8), np.ones((200, 200), bool))
    turned = affine(layers, _about_centre((200, 200), 45, 1.0, (0.0, 0.0)))
    assert abs(turned.valid.mean() - 2 * (2**0.5 - 1)) < 0.01  # the octagon two squares share
    np.testing.assert_array_equal(turned.label, turned.valid)


@pytest.mark.parametrize("name", ["perspective", "grid_distortion"])
def test_zooms_and_stretches_bring_nothing_in_from_outside(name):
    given_ = sample(60, 80)._replace(valid=np.ones((60, 80), bool))
    assert all(always(name)(*given_, seed)[2].all() for seed in range(10))


@pytest.mark.parametrize("labels", ["ignore", "mirror"])
def test_padding_moves_the_picture_and_its_filling_counts_only_if_asked(labels):
    label = np.arange(48, dtype=np.uint8).reshape(6, 8)
    layers = Layers(label[:, :, None].astype(np.float32), label, np.ones((6, 8), bool))
    for mode, numpy_mode in (("mirror", "reflect"), ("wrap", "wrap")):
        expected = np.pad(label, ((5, 5), (7, 7)), numpy_mode)
        windows = {expected[r : r + 6, c : c + 8].tobytes(): (r - 5, c - 7) for r in range(11) for c in range(15)}
        for seed in range(12):
            image, found, valid = always("pad_crop", modes=[mode], labels=labels)(*layers, seed)
            assert image[:, :, 0].astype(np.uint8).tobytes() in windows
            np.testing.assert_array_equal(image[:, :, 0][valid], found[valid])
            assert valid.all() == (labels == "mirror" or np.array_equal(found, label))
            assert not found[~valid].any()


def test_a_constant_filling_never_counts():
    given_ = sample(30, 30)
    for seed in range(5):
        image, _, valid = always("pad_crop", modes=["constant"], labels="mirror", share=0.9)(*given_, seed)
        fills, counts = np.unique(image.reshape(-1, 3), axis=0, return_counts=True)
        assert not valid[(image == fills[counts.argmax()]).all(2)].any()


def test_hue_and_saturation_leave_grey_alone_and_turn_red_to_green():
    grey = np.repeat(np.arange(0, 256, dtype=np.uint8).reshape(16, 16, 1), 3, 2)
    layers = sample(16, 16)._replace(image=grey)
    moved = always("hue_saturation", hue=180, saturation=1)(*layers, 4)[0]
    assert np.abs(moved.astype(int) - grey).max() <= 1
    np.testing.assert_allclose(_turn_hue(120) @ [1, 0, 0], [0, 1, 0], atol=1e-12)
    np.testing.assert_allclose(_turn_hue(-120) @ [1, 0, 0], [0, 0, 1], atol=1e-12)


def test_colour_changes_only_the_bands_that_are_named():
    given_ = sample(bands=6, dtype=np.float32)
    image = build([{"hue_saturation": {"rgb": [5, 3, 2], "p": 1}}])(*given_, 0)[0]
    changed = (image != given_.image).any((0, 1))
    np.testing.assert_array_equal(changed, [False, True, True, False, True, False])
    with pytest.raises(InputError) as caught:
        build([{"photometric_distortion": {"rgb": [9, 2, 1]}}], setting=Setting(None, 6))
    assert str(caught.value) == (
        "augment[0].photometric_distortion: band 9 is named, the images have 6; count the bands from 1"
    )


def test_shuffled_float_bands_keep_the_scale_of_their_place():
    given_ = sample(40, 40, bands=5, dtype=np.float32)
    image = given_.image * np.array([1, 10, 100, 1000, 10000], np.float32)
    shuffled = always("channel_shuffle")(*given_._replace(image=image), 3)[0]
    np.testing.assert_allclose(shuffled.mean((0, 1)), image.mean((0, 1)), rtol=1e-3)
    np.testing.assert_allclose(shuffled.std((0, 1)), image.std((0, 1)), rtol=1e-3)
    eight = sample(40, 40, bands=5)
    moved = always("channel_shuffle")(*eight, 3)[0]
    assert sorted(band.tobytes() for band in np.moveaxis(moved, 2, 0)) == sorted(
        band.tobytes() for band in np.moveaxis(eight.image, 2, 0)
    )


def test_one_of_applies_exactly_one():
    given_ = sample()
    augmenter = build([{"one_of": {"of": ["hflip", {"vflip": {}}], "p": 1.0}}])
    seen = {augmenter(*given_, seed)[0].tobytes() for seed in range(20)}
    assert seen == {given_.image[:, ::-1].tobytes(), given_.image[::-1].tobytes()}


@given(seed=st.integers(0, 2**62), height=st.integers(4, 400), width=st.integers(4, 400))
def test_a_resized_crop_has_the_area_and_aspect_asked_for_or_fits_the_window(seed, height, width):
    augmenter = build([{"random_resized_crop": {"scale": [0.3, 0.3], "ratio": [0.8, 1.25]}}])
    rows, cols = augmenter.source_shape((height, width), seed)
    assert rows <= height
    assert cols <= width
    assert abs(rows * cols - 0.3 * height * width) <= height + width
    assert 0.8 - 2 / rows - 2 / cols <= (cols / width) / (rows / height) <= 1.25 + 3 / rows + 3 / cols


def test_choice_of_scales_takes_every_one():
    augmenter = build([{"random_choice_resize": {"ratios": [0.5, 1, 4]}}])
    assert {augmenter.source_shape((64, 32), seed) for seed in range(40)} == {(128, 64), (64, 32), (16, 8)}


def test_elastic_shifts_are_as_large_as_the_docs_say():
    rows = np.arange(256, dtype=np.float32)[:, None, None] + np.zeros((1, 256, 1), np.float32)
    layers = Layers(rows, np.zeros((256, 256), np.uint8), np.ones((256, 256), bool))
    for alpha, sigma in ((60, 6), (15, 2)):
        moved = always("elastic_transform", alpha=alpha, sigma=sigma)(*layers, 1)[0]
        shift = (moved - rows)[32:-32, 32:-32].std()
        assert 0.9 < shift / (0.163 * alpha / sigma) < 1.1


def test_motion_blur_keeps_the_sum_and_points_every_way():
    dot = np.zeros((31, 31, 1), np.float32)
    dot[15, 15] = 1
    layers = sample(31, 31, bands=1)._replace(image=dot)
    angles = []
    for seed in range(60):
        line = always("motion_blur", length=[7, 7])(*layers, seed)[0][:, :, 0]
        assert abs(line.sum() - 1) < 1e-5
        rows, cols = np.nonzero(line)
        assert np.hypot(*(np.ptp(rows), np.ptp(cols))) >= 5
        angles.append(np.arctan2(rows[-1] - rows[0], cols[-1] - cols[0]) % np.pi)
    assert np.histogram(angles, 4, (0, np.pi))[0].min() >= 5
