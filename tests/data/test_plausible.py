"""Masks that lie on other pixels than their image's are suspected, with the reading that fits; right ones are not."""

import pickle

import numpy as np
import pytest
from clue_helpers import BLOBS, PLANES, STREET, blobs, make, street, textured

from maskwright.core.recipe.sources import RleCsvSource
from maskwright.data.audit.small import reduce
from maskwright.data.plausible import plausible
from maskwright.data.plausible.fit import fit, judge


def masks(change):
    return lambda index, image, label: (image, change(label))


def moved(label, down, right):
    out = np.zeros_like(label)
    height, width = label.shape
    out[down:, right:] = label[: height - down, : width - right]
    return out


def quarter(label):
    out = np.zeros_like(label)
    small = label[::2, ::2]
    out[: small.shape[0], : small.shape[1]] = small
    return out


def twice(label):
    return label.repeat(2, axis=0).repeat(2, axis=1)[: label.shape[0], : label.shape[1]]


def exchanged(label):
    out, side = np.zeros_like(label), min(label.shape)
    out[:side, :side] = label[:side, :side].T
    return out


def columns_read_as_rows(label):
    return label.T.reshape(label.shape)


def rows_read_as_columns(label):
    return label.reshape(label.T.shape).T


@pytest.mark.parametrize(("draw", "task"), [(blobs, BLOBS), (street, STREET)])
@pytest.mark.parametrize("count", [4, 8, 16])
def test_right_masks_are_not_suspected(draw, task, count):
    assert plausible.suspicions(make(draw, task, count), task) == []


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (np.fliplr, "mirrored left to right"),
        (np.flipud, "mirrored top to bottom"),
        (lambda label: label[::-1, ::-1], "turned by 180 degrees"),
        (lambda label: moved(label, 6, 0), "moved by about 6 pixels up"),
        (lambda label: moved(label, 0, 8), "moved by about 8 pixels left"),
        (quarter, "at twice the size"),
        (twice, "at half the size"),
        (exchanged, "with x and y exchanged"),
    ],
)
def test_masks_that_lie_elsewhere_are_suspected(change, words):
    (found,) = plausible.suspicions(make(blobs, BLOBS, 14, masks(change)), BLOBS)
    assert found.kind == "mask_geometry"
    assert words in found.what


def test_square_masks_may_be_turned():
    spoilt = make(blobs, BLOBS, 14, masks(np.rot90), width=48)
    (found,) = plausible.suspicions(spoilt, BLOBS, where="data.test")
    assert str(found) == (
        f"data.test: masks fit their images better turned by 90 degrees to the right in 14 of 14 items "
        f"(t = {found.facts['t']:.0f}); mend the masks, or how they were exported"
    )
    assert found.facts["fit_other"] > 5 * found.facts["fit"]


@pytest.mark.parametrize("width", [48, 64])
@pytest.mark.parametrize(
    ("change", "read", "true"), [(columns_read_as_rows, "row", "column"), (rows_read_as_columns, "column", "row")]
)
def test_run_lengths_in_the_other_order_are_suspected(change, read, true, width):
    block = RleCsvSource(images="images", table="table.csv", order=read)
    (found,) = plausible.suspicions(make(blobs, BLOBS, 12, masks(change), width=width), BLOBS, block)
    assert str(found) == (
        f"data.train: masks fit their images better read with order: {true} in 12 of 12 items "
        f"(t = {found.facts['t']:.0f}); set order: {true}"
    )
    assert found.kind == "run_order"


@pytest.mark.parametrize(("step", "side"), [(1, "before"), (-1, "after")])
def test_masks_of_the_neighbour_are_suspected(step, side):
    spoilt = make(blobs, BLOBS, 14, lambda index, image, _: (image, blobs((index + step) % 14)[1]))
    (found,) = plausible.suspicions(spoilt, BLOBS)
    assert found.kind == "mask_of_another"
    assert found.what == (
        f"images fit the mask of the item just {side} theirs better than their own in 14 of 14 items "
        f"(t = {found.facts['t']:.0f})"
    )


def test_masks_of_the_neighbour_from_the_middle_on_are_named():
    spoilt = make(blobs, BLOBS, 20, lambda index, image, _: (image, blobs(index if index < 13 else index + 1)[1]))
    (found,) = plausible.suspicions(spoilt, BLOBS)
    assert found.kind == "mask_of_another"
    assert found.keys == tuple(f"item{index}" for index in range(14, 20))
    assert found.what == (
        "'item14', 'item15', 'item16' and 3 more: "
        "the mask of the item just before theirs fits far better than their own"
    )


def test_masks_in_a_wild_order_are_suspected():
    spoilt = make(blobs, BLOBS, 24, lambda index, image, _: (image, blobs((7 * index + 3) % 24)[1]))
    (found,) = plausible.suspicions(spoilt, BLOBS)
    assert found.kind == "masks_unrelated"
    assert found.fix == "look at some overlays: masks may be joined to the wrong images, or drawn for other ones"


def test_noise_is_not_suspected_for_fitting_no_mask():
    noise = lambda index, image, label: (np.random.default_rng(index).integers(0, 255, image.shape, np.uint8), label)  # noqa: E731
    assert plausible.suspicions(make(blobs, BLOBS, 24, noise), BLOBS) == []


def test_single_mirrored_masks_are_named():
    spoilt = make(blobs, BLOBS, 20, lambda index, image, label: (image, label[:, ::-1] if index in (3, 7) else label))
    (found,) = plausible.suspicions(spoilt, BLOBS)
    assert found.keys == ("item03", "item07")
    assert str(found) == (
        "data.train: masks of 'item03', 'item07' fit far better mirrored left to right, unlike the others; "
        "look at them, and mend or drop them"
    )


def test_clues_are_small_and_travel():
    (clue,) = make(street, STREET, 1, height=200, width=300).values()
    assert len(pickle.dumps(clue)) < 32_000
    assert clue.shape == (200, 300)
    assert clue.image.shape == (64, 64, 4)
    assert pickle.loads(pickle.dumps(clue)).stats.tolist() == clue.stats.tolist()


def test_the_other_order_is_looked_up_pixel_by_pixel():
    label = np.random.default_rng(0).integers(0, 2, (64, 128)).astype(np.uint8)
    image = textured(label, np.array([[90, 110, 80], [200, 90, 70]], np.float32), 0)
    valid = np.ones(label.shape, bool)
    read = columns_read_as_rows(label)
    clue = plausible.describe(reduce(image, read, valid), BLOBS, read)
    assert (clue.orders[0] == label[:, 1::2]).all()
    read = rows_read_as_columns(label)
    clue = plausible.describe(reduce(image, read, valid), BLOBS, read)
    assert (clue.orders[1] == label[:, 1::2]).all()


def test_planes_become_parts_where_they_overlap():
    label = np.zeros((2, 64, 64), np.uint8)
    label[0, :32], label[1, :, :32] = 1, 1
    clue = plausible.describe(reduce(np.full((64, 64, 1), 9, np.uint8), label, np.ones((64, 64), bool)), PLANES, label)
    assert len(np.unique(clue.parts)) == 4
    assert clue.counts.tolist() == [2048, 2048]
    assert clue.overlap == (0.25, 0.25)
    assert (clue.image[..., 0] == clue.image[..., 2]).all()


def test_an_unlabelled_item_gives_clues_of_the_image_alone():
    image, _ = blobs(0)
    clue = plausible.describe(reduce(image, None, np.ones(image.shape[:2], bool)), BLOBS)
    assert clue.parts is None
    assert plausible.suspicions({"a": clue}, BLOBS) == []


def test_a_sample_keeps_neighbours_together():
    keys = [f"{index:05}" for index in range(10_000)]
    chosen = sorted(plausible.sample(keys, 80))
    assert len(chosen) == 80
    assert all(int(chosen[start + 7]) - int(chosen[start]) == 7 for start in range(0, 80, 8))
    assert plausible.sample(reversed(keys), 80) == set(chosen)
    assert plausible.sample(keys[:80], 80) == set(keys[:80])


def test_a_fit_is_the_information_of_the_parts():
    parts = np.zeros((64, 64), np.uint8)
    parts[:, 32:] = 1
    noise = np.random.default_rng(0).normal(0, 1, (64, 64, 1)).astype(np.float32)
    apart = noise + 2 * parts[:, :, None]  # variance 1 within, 1 between: half a log of two
    assert fit(apart, parts) == pytest.approx(0.5 * np.log(2), abs=0.02)
    assert fit(noise, parts) == pytest.approx(0, abs=0.002)
    assert fit(apart, np.zeros_like(parts)) == 0
    hidden = parts.copy()
    hidden[:, 10:] = 255
    assert fit(apart, hidden) == 0


def test_a_reading_must_be_better_in_most_items():
    own, other = np.full(20, 0.2), np.full(20, 0.2)
    other[:2] = 9
    assert not judge(own, other).believed
    assert judge(own, own * 1.5 + np.linspace(0, 0.01, 20)).believed
    assert not judge(own[:7], own[:7] * 1.5 + np.linspace(0, 0.01, 7)).believed
