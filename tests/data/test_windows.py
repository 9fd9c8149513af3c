"""Windows show the image, mirrored past its edges, and count only what lies inside."""

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from maskwright.core.grid import SYMMETRIES, Window
from maskwright.data.windows import Layers, by_bands, cut, resize, turn


def layers(height, width, bands=3, planes=None, dtype=np.uint8):
    rng = np.random.default_rng(height * 100 + width)
    valid = rng.random((height, width)) < 0.8
    label = rng.integers(0, 4, (height, width) if planes is None else (planes, height, width)).astype(np.uint8)
    label[..., ~valid] = 0
    image = (rng.random((height, width, bands)) * 200).astype(dtype)
    return Layers(image, label, valid)


@given(
    shape=st.tuples(st.integers(1, 12), st.integers(1, 12)),
    corner=st.tuples(st.integers(-11, 11), st.integers(-11, 11)),
    size=st.tuples(st.integers(1, 20), st.integers(1, 20)),
    bands=st.sampled_from([1, 3, 5]),
    planes=st.sampled_from([None, 2]),
)
def test_a_cut_equals_numpys_reflected_padding(shape, corner, size, bands, planes):
    window = Window(*corner, *size)
    inside = window.clip(shape)
    if inside.height < 1 or inside.width < 1:
        return
    given_, far = layers(*shape, bands, planes), 32
    found = cut(given_, window)
    where = (slice(corner[0] + far, corner[0] + far + size[0]), slice(corner[1] + far, corner[1] + far + size[1]))
    zeros = ((far, far), (far, far))
    label = np.pad(given_.label, (((0, 0),) if planes else ()) + zeros)
    np.testing.assert_array_equal(found.label, label[(..., *where)])
    np.testing.assert_array_equal(found.valid, np.pad(given_.valid, zeros)[where])
    assert found.image.shape == (*size, bands)
    rows = slice(inside.row - corner[0], inside.row - corner[0] + inside.height)
    cols = slice(inside.col - corner[1], inside.col - corner[1] + inside.width)
    np.testing.assert_array_equal(found.image[rows, cols], given_.image[inside.slices])
    part = given_.image[inside.slices]
    before = (rows.start, cols.start)
    pads = [(b, s - b - n) for b, s, n in zip(before, size, part.shape[:2], strict=True)]
    np.testing.assert_array_equal(found.image, np.pad(part, [*pads, (0, 0)], mode="reflect"))


def test_a_cut_inside_copies_nothing():
    given_ = layers(8, 9)
    assert np.shares_memory(cut(given_, Window(1, 2, 3, 4)).image, given_.image)


@given(size=st.tuples(st.integers(1, 30), st.integers(1, 30)), bands=st.sampled_from([1, 3, 4, 6, 13]))
def test_resizing_keeps_kinds_and_labels_stay_declared_and_0_where_not_valid(size, bands):
    for planes, dtype in ((None, np.uint8), (3, np.float32)):
        found = resize(layers(11, 7, bands, planes, dtype), size)
        assert found.image.shape == (*size, bands)
        assert found.image.dtype == dtype
        assert found.label.shape == (size if planes is None else (3, *size))
        assert found.valid.dtype == bool
        assert found.label.max(initial=0) <= 3
        assert not found.label[..., ~found.valid].any()


def test_resizing_keeps_pixels_where_they_were():
    """A 2x enlargement of 2x2 blocks is exact for nearest pixels: no half-pixel shift."""
    label = np.arange(16, dtype=np.uint8).reshape(4, 4)
    found = resize(Layers(label[:, :, None].astype(np.float32), label, np.ones((4, 4), bool)), (8, 8))
    np.testing.assert_array_equal(found.label, np.kron(label, np.ones((2, 2), np.uint8)))
    ramp = np.arange(40, dtype=np.float32)[None, :, None].repeat(40, 0)
    small = resize(Layers(ramp, np.zeros((40, 40), np.uint8), np.ones((40, 40), bool)), (10, 10)).image[5, :, 0]
    np.testing.assert_allclose(small, np.arange(10) * 4 + 1.5, atol=1e-4)  # the centre of each 4 pixels
    same = resize(layers(5, 5), (5, 5))
    np.testing.assert_array_equal(same.image, layers(5, 5).image)


def test_turns_move_image_label_and_valid_alike():
    original = layers(6, 9, planes=2)
    coloured = original._replace(image=np.moveaxis(original.label, 0, -1))
    for name in SYMMETRIES:
        turned = turn(coloured, name)
        np.testing.assert_array_equal(turned.image, np.moveaxis(turned.label, 0, -1))
        assert turned.valid.sum() == original.valid.sum()


def test_functions_see_all_bands_in_order():
    image = layers(5, 6, 11).image
    np.testing.assert_array_equal(by_bands(lambda part: part + 1, image), image + 1)
