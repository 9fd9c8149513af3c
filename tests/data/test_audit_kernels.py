"""The compiled passes of the audit against numpy: counts of bytes, sums of bands, the small copy."""

import numpy as np
import pytest

from maskwright.core.labels import Task, apply_value_map
from maskwright.data.audit import digests
from maskwright.data.audit.measure import Moments
from maskwright.data.audit.small import reduce


@pytest.mark.parametrize("size", [0, 1, 7, 8, 9, 4099])
@pytest.mark.parametrize("smooth", [False, True])
def test_tally_counts_as_numpy_does(size: int, smooth: bool) -> None:
    values = np.random.default_rng(size).integers(0, 256, size, dtype=np.uint8)
    if smooth:
        values = np.repeat(values, 21)
    np.testing.assert_array_equal(digests.tally(values), np.bincount(values, minlength=256))


@pytest.mark.parametrize("shape", [(1, 1, 1), (33, 7, 3), (70_000, 2, 4)])
def test_sums_of_bands_are_exact(shape: tuple[int, int, int]) -> None:
    image = np.full(shape, 255, np.uint8)
    image[::3] = np.random.default_rng(0).integers(0, 256, image[::3].shape, dtype=np.uint8)
    wide = image.astype(np.int64)
    sums, squares = digests.sums_of(image)
    np.testing.assert_array_equal(sums, wide.sum((0, 1)))
    np.testing.assert_array_equal(squares, (wide**2).sum((0, 1)))


def test_moments_of_bytes_and_of_masked_bytes() -> None:
    chance = np.random.default_rng(1)
    image, valid = chance.integers(0, 256, (40, 50, 3), dtype=np.uint8), np.ones((40, 50), bool)
    for known in (valid, chance.random((40, 50)) < 0.7):
        found, values = Moments.of(image, known), image[known].astype(np.float64)
        np.testing.assert_allclose(found.mean, values.mean(0), rtol=1e-12)
        np.testing.assert_allclose(found.squares, ((values - values.mean(0)) ** 2).sum(0), rtol=1e-9)


@pytest.mark.parametrize(("height", "width"), [(1024, 512), (768, 1024), (300, 700), (257, 256)])
def test_the_small_label_is_the_nearest_pixel(height: int, width: int) -> None:
    label = np.random.default_rng(2).integers(0, 9, (height, width), dtype=np.uint8)
    small = reduce(np.zeros((height, width, 3), np.uint8), label, np.ones((height, width), bool))
    assert small.label is not None
    rows, cols = (
        np.minimum(((np.arange(short) + 0.5) * (long / short)).astype(int), long - 1)
        for long, short in zip((height, width), small.label.shape, strict=True)
    )
    np.testing.assert_array_equal(small.label, label[rows[:, None], cols])


def test_labels_that_need_no_map_are_a_copy() -> None:
    raw = np.array([[0, 1], [2, 2]], np.uint8)
    raw.flags.writeable = False
    labels, valid = apply_value_map(raw, Task(kind="multiclass", classes=("a", "b", "c")), None, "m.png")
    labels[0, 0] = 2
    assert raw[0, 0] == 0
    assert valid.all()
