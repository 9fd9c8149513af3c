"""The contract of every augmentation, tried on all entries of the table: a new one gets these tests for nothing."""

import numpy as np
import pytest
from augment_helpers import EXTRA, always, coloured, colours, needs_rgb, others, run

from maskwright.core.errors import InputError
from maskwright.data.augment.base import Mix, Setting
from maskwright.data.augment.erase import Erase
from maskwright.data.augment.table import TABLE, build

ENTRIES = [pytest.param(name, id=name) for name in TABLE]
MODULE = {name: step.__module__.rpartition(".")[2] for name, step in TABLE.items()}
MOVES = [name for name in TABLE if MODULE[name] in ("symmetric", "scale", "warp", "pad", "mix")]
STILL = [name for name in TABLE if MODULE[name] in ("light", "colour", "blur", "noise")]
RANGED = ("gamma", "photometric_distortion", "rgb_shift", "iso_noise", "to_gray", "compression", "clahe", "equalize")
RANGED += ("channel_shuffle",)
"""For these the range counts: 0..255 for 8 bit, what is there for float."""
NO_CHOICE = ("hflip", "vflip", "transpose", "equalize", "to_gray", "gsd_scale")
"""What has one answer for a sample; gsd_scale has none for one whose size on the ground nobody knows."""
KINDS = [(bands, dtype, planes) for bands in (1, 3, 4, 14) for dtype in (np.uint8, np.float32) for planes in (None, 3)]


def same(one, two):
    return all(np.array_equal(x, y) for x, y in zip(one, two, strict=True))


def test_every_entry_belongs_to_a_family_with_a_contract():
    rest = {name for name in TABLE if name not in MOVES + STILL}
    assert rest == {"albumentations", "one_of", *(name for name in TABLE if issubclass(TABLE[name], Erase))}
    assert all(MODULE[name] == "mix" for name in TABLE if issubclass(TABLE[name], Mix))


@pytest.mark.parametrize("bands", [1, 3, 4, 14])
@pytest.mark.parametrize("name", ENTRIES)
def test_any_number_of_bands_and_planes_keeps_kinds_and_shapes_and_the_input_is_left_alone(name, bands):
    if needs_rgb(name, bands) and bands == 1:
        pytest.skip("has a test of its own")
    for many, dtype, planes in KINDS:
        if many != bands:
            continue
        augmenter = always(name, bands)
        for seed, shape in enumerate([(40, 56), (33, 33), (9, 20)]):
            given = coloured(*shape, bands, dtype, planes)
            kept = [array.copy() for array in given]
            for array in given:
                array.flags.writeable = False
            image, label, valid = run(augmenter, given, seed)
            assert (image.dtype, label.dtype, valid.dtype) == (dtype, np.uint8, bool)
            assert (image.shape, label.shape, valid.shape) == tuple(array.shape for array in kept)
            assert not label[..., ~valid].any()
            assert set(np.unique(label)) <= set(np.unique(coloured(96, 96, bands, dtype, planes).label))
            assert np.isfinite(image).all()
            assert same(given, kept)


@pytest.mark.parametrize("name", ENTRIES)
def test_the_same_seed_gives_the_same_sample_whatever_was_done_before(name):
    one, two = always(name), always(name)
    given = coloured()._replace(image=np.random.default_rng(0).integers(0, 256, (40, 56, 3)).astype(np.uint8))
    first = [run(one, given, seed) for seed in range(6)]
    again = [run(two, given, seed) for seed in reversed(range(6))][::-1]
    assert all(same(a, b) for a, b in zip(first, again, strict=True))
    if name not in NO_CHOICE:
        assert not all(same(a, first[0]) for a in first)


@pytest.mark.parametrize("name", ENTRIES)
def test_probability_0_changes_nothing(name):
    augmenter = build([{name: {**EXTRA.get(name, {}), "p": 0.0}}])
    given = coloured()
    assert all(same(run(augmenter, given, seed), given) for seed in range(3))


@pytest.mark.parametrize("dtype", [np.uint8, np.float32])
@pytest.mark.parametrize("bands", [1, 3, 14])
@pytest.mark.parametrize("name", MOVES)
def test_what_moves_pixels_moves_image_and_label_alike(name, bands, dtype):
    """A pixel that still has exactly the colour of a value has that value: to the pixel, edges included."""
    scale, exact, all_pixels = 1 if dtype == np.uint8 else 256, 0, 0
    for seed in range(6):
        for planes in (None, 2):
            given = coloured(64, 64 if seed % 2 else 80, bands, dtype, planes, seed=seed)
            image, label, valid = run(always(name, bands), given, seed)
            values = label if planes is None else label[0] + 2 * label[1]
            if bands == 1:
                values = values % 2
            pure = np.abs(image[:, :, None] - colours(bands)[None, None].astype(np.float32) / scale).max(3) < 1e-4
            for value in range(2 if bands == 1 else 4):
                wrong = pure[:, :, value] & valid & (values != value)
                assert not wrong.any(), (seed, planes, value, np.argwhere(wrong)[:5])
            exact += int((pure[:, :, : 2 if bands == 1 else 4].any(2) & valid).sum())
            all_pixels += int(valid.sum())
    assert exact > 0.45 * all_pixels  # else nothing was tested
    assert all_pixels > 6 * 2 * 64 * 64 / 4


@pytest.mark.parametrize("name", STILL)
def test_light_colour_blur_and_noise_leave_label_and_valid_alone_and_change_the_image(name):
    for bands, dtype in ((3, np.uint8), (14, np.float32)):
        given, changed = coloured(bands=bands, dtype=dtype), 0
        for seed in range(4):
            image, label, valid = run(always(name, bands), given, seed)
            assert label is given.label
            assert valid is given.valid
            changed += (image != given.image).any()
        assert changed >= 2


@pytest.mark.parametrize("name", [name for name in STILL if name not in RANGED])
def test_8_bit_and_float_images_look_alike_afterwards(name):
    given = coloured(bands=3)
    for seed in range(4):
        eight = run(always(name), given, seed).image.astype(float)
        real = run(always(name), given._replace(image=given.image.astype(np.float32) / 255), seed).image * 255
        gap = np.abs(eight - np.clip(real, 0, 255))
        assert np.median(gap) <= 1.01


@pytest.mark.parametrize("bands", [1, 2, 4])
def test_hue_needs_three_colours_or_their_names(bands):
    with pytest.raises(InputError) as caught:
        build([{"hue_saturation": {}}], setting=Setting(None, bands))
    fix = "name them, e.g. rgb: [3, 2, 1], or leave it out" if bands > 2 else "leave it out"
    word = "band" if bands == 1 else "bands"
    assert str(caught.value) == (
        f"augment[0].hue_saturation: needs red, green and blue, the images have {bands} {word}; {fix}"
    )


def test_steps_that_mix_say_so_and_get_other_items():
    for name in TABLE:
        assert always(name).mixes == issubclass(TABLE[name], Mix)
    with pytest.raises(AssertionError, match="needs others"):
        always("mosaic")(*coloured(), 0)


def test_other_items_are_scaled_as_the_item_itself():
    sizes = []

    def other(rng, shape, classes=()):
        sizes.append(shape)
        return others()(rng, shape, classes)

    augmenter = build([{"scale_crop": {"scale": [0.5, 0.5]}}, {"cutmix": {"area": [0.25, 0.25], "p": 1.0}}])
    augmenter(*coloured(64, 64), 3, (32, 32), other)
    assert sizes == [(32, 32)]
