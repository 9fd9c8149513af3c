"""The dense field on labels against the plain definition: a matrix of all pairs of pixels."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from maskwright.core.errors import InputError
from maskwright.core.labels import Task
from maskwright.core.recipe.crf import Colours, Crf
from maskwright.ensembling import crf_rows
from maskwright.ensembling.crf import colours_of, reach, refine, smoothed


def naive(label, crf, classes, image=None):
    """Mean field with the whole matrix of pairs: U of labels, Potts, symmetric normalisation, argmax."""
    height, width = label.shape
    places = np.stack(np.mgrid[:height, :width], -1).reshape(-1, 2).astype(float)
    apart = ((places[:, None] - places[None]) ** 2).sum(-1)
    pairs = [(crf.compat, np.exp(-apart / (2 * crf.sxy**2)))]
    if image is not None:
        colour, flat = crf.colours, image.reshape(-1, 3).astype(float)
        tones = ((flat[:, None] - flat[None]) ** 2).sum(-1)
        within = np.abs(places[:, None] - places[None]).max(-1) <= np.ceil(3 * colour.sxy)
        kernel = np.exp(-apart / (2 * colour.sxy**2) - tones / (2 * colour.srgb**2)) * within
        pairs.append((colour.compat, kernel))
    unary = np.full((classes, label.size), -np.log((1 - crf.gt_prob) / (classes - 1)))
    unary[label.reshape(-1), np.arange(label.size)] = -np.log(crf.gt_prob)
    normed = [(weight, k / np.sqrt(np.outer(k.sum(1), k.sum(1)))) for weight, k in pairs]
    belief = np.exp(-unary) / np.exp(-unary).sum(0)
    for _ in range(crf.steps):
        scores = -unary + sum(weight * belief @ kernel for weight, kernel in normed)
        scores = np.exp(scores - scores.max(0))
        belief = scores / scores.sum(0)
    return belief.argmax(0).reshape(label.shape), np.sort(belief, 0)


@given(
    seed=st.integers(0, 2**16),
    shape=st.tuples(st.integers(2, 14), st.integers(2, 14)),
    classes=st.integers(2, 5),
    sxy=st.sampled_from([0.6, 1.0, 3.0]),
    gt_prob=st.sampled_from([0.55, 0.76, 0.78]),
    steps=st.integers(1, 10),
)
def test_it_is_the_mean_field_of_all_pairs(seed, shape, classes, sxy, gt_prob, steps):
    rng = np.random.default_rng(seed)
    label = rng.integers(0, rng.integers(2, classes + 1), shape).astype(np.uint8)
    crf = Crf(sxy=sxy, gt_prob=gt_prob, steps=steps)
    wanted, belief = naive(label, crf, classes)
    clear = (belief[-1] - belief[-2] > 1e-6).reshape(shape)
    found = refine(label, crf, classes)
    np.testing.assert_array_equal(found[clear], wanted[clear])
    assert found.dtype == np.uint8


@pytest.mark.parametrize("seed", range(6))
def test_colours_hold_labels_at_their_edges(seed):
    rng = np.random.default_rng(seed)
    image = rng.integers(0, 256, (12, 15, 3), dtype=np.uint8)
    image[:, :7] //= 8
    label = rng.integers(0, 3, (12, 15)).astype(np.uint8)
    crf = Crf(steps=3, colours=Colours(sxy=1.5, srgb=20.0, compat=4.0))
    wanted, belief = naive(label, crf, 3, image)
    clear = (belief[-1] - belief[-2] > 1e-5).reshape(label.shape)
    np.testing.assert_array_equal(refine(label, crf, 3, image)[clear], wanted[clear])


def test_colours_are_of_8_bits_and_grey_counts_thrice():
    grey = np.arange(6, dtype=np.uint8).reshape(2, 3, 1)
    assert (colours_of(grey, "a.png") == grey).all()
    assert colours_of(np.zeros((2, 3, 4), np.uint8), "a.png").shape == (2, 3, 3)
    with pytest.raises(InputError) as caught:
        colours_of(grey.astype(np.uint16), "a.tif")
    assert str(caught.value) == (
        "a.tif: is of uint16, and the random field knows colours of 0 to 255; "
        "leave decision.crf.colours out, or give 8-bit images"
    )


@pytest.mark.parametrize("seed", range(3))
@pytest.mark.parametrize("colours", [None, Colours(sxy=1, srgb=90)])
def test_blocks_of_a_raster_have_the_answers_of_the_whole(seed, colours, monkeypatch):
    monkeypatch.setattr(crf_rows, "SIDES", (32, 16))
    rng = np.random.default_rng(seed)
    crf = Crf(gt_prob=0.55, sxy=0.8, compat=6, steps=2, colours=colours)
    shape, classes = (90, 113), 4
    image = rng.integers(0, 256, (*shape, 3), dtype=np.uint8)
    label = (rng.integers(0, classes, shape) * (rng.random(shape) < 0.2)).astype(np.uint8)
    label[20:60, 40:70] = 3
    label[:, 100:] = 1
    known = np.ones(shape, bool)
    known[50:, :45] = False
    label[~known] = 255
    blocks = crf_rows.Blocks.fitting(crf, classes, 1 << 21)
    assert (blocks.side, blocks.around) == (32, reach(crf))
    assert crf_rows.Blocks.fitting(crf, classes, 1 << 10) is None

    def look(window):
        return np.ascontiguousarray(image[window.slices])

    given = (label[start : start + 7] for start in range(0, shape[0], 7))
    made = list(crf_rows.refined_rows(given, shape, blocks, crf, classes, 255, look))
    whole = refine(label, crf, classes, image, known)
    np.testing.assert_array_equal(np.concatenate(made), whole)
    assert (whole[~known] == 255).all()
    assert (whole != label).mean() > 0.02
    # what has no data has no say: the same where it is cut away
    right = refine(np.ascontiguousarray(label[:, 45:]), crf, classes, np.ascontiguousarray(image[:, 45:]))
    np.testing.assert_array_equal(right[50 + reach(crf) :], whole[50 + reach(crf) :, 45:])


def test_specks_go_and_what_is_large_stays():
    label = np.zeros((64, 64), np.uint8)
    label[10:40, 12:50] = 1
    specked = label.copy()
    specked[50, 50] = 1
    specked[20, 20] = 0
    found = refine(specked, Crf())
    assert found[50, 50] == 0
    assert found[20, 20] == 1
    assert (found != label).mean() < 0.01
    np.testing.assert_array_equal(refine(np.ones((5, 6), np.uint8), Crf()), np.ones((5, 6)))
    both = smoothed(np.stack([specked, label]), Crf(), Task(kind="multilabel", classes=("a", "b")))
    np.testing.assert_array_equal(both[0], found)
