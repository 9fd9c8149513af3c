import numpy as np
import pytest
from scipy import ndimage

from maskwright.ensembling import clean_kernels
from maskwright.ensembling.clean import AREAS, HOLES, Cleaning, best, clean, counts_of, measure
from maskwright.scoring.counts import Counts, count
from maskwright.scoring.measures import Measure
from maskwright.scoring.scores import score


def spotty(task, seed, shape=(40, 37)):
    """Smooth noise: pieces and holes of many sizes."""
    rng = np.random.default_rng(seed)
    values = np.stack([ndimage.gaussian_filter(rng.normal(size=shape), 1.2) for _ in range(task.planes)])
    truths = np.stack([ndimage.gaussian_filter(rng.normal(size=shape), 3) for _ in range(task.planes)])
    valid = rng.random(shape) < 0.9
    if task.kind == "multiclass":
        return values.argmax(0).astype(np.uint8), values, truths.argmax(0).astype(np.uint8), valid
    label, truth = (values > 0).astype(np.uint8), (truths > 0).astype(np.uint8)
    return (label, values, truth, valid) if task.kind == "multilabel" else (label[0], values, truth[0], valid)


def stacked(counts):
    return np.stack([counts.tp, counts.fp, counts.fn, counts.tn])


def random_cleaning(task, rng):
    least = tuple(int(rng.choice(AREAS[:7])) for _ in range(task.planes))
    holes = () if task.kind == "multiclass" else tuple(int(rng.choice(HOLES[:4])) for _ in range(task.planes))
    return Cleaning(least=least, holes=holes)


@pytest.mark.parametrize("kind", ["binary", "multiclass", "multilabel"])
@pytest.mark.parametrize("seed", range(4))
def test_tables_count_what_cleaning_answers(kind, seed, tasks):
    task = tasks[kind]
    label, values, truth, valid = spotty(task, seed)
    table = measure(label, values, truth, valid, task)
    base = stacked(count(truth, label, valid, task))
    rng = np.random.default_rng(seed)
    for cleaning in (Cleaning(), *(random_cleaning(task, rng) for _ in range(4))):
        cleaned = clean(label, cleaning, task, values)
        assert cleaned.dtype == np.uint8
        assert (counts_of(table, base, cleaning, task) == stacked(count(truth, cleaned, valid, task))).all()


@pytest.mark.parametrize("seed", range(3))
def test_planes_are_cleaned_as_scipy_does(seed, tasks):
    task = tasks["binary"]
    label, values, _, _ = spotty(task, seed)
    cleaned = clean(label, Cleaning(least=(32,)), task, values)
    pieces, number = ndimage.label(label, structure=np.ones((3, 3)))
    sizes = ndimage.sum(label, pieces, range(1, number + 1))
    assert (cleaned == np.isin(pieces, 1 + np.flatnonzero(sizes >= 32))).all()
    filled = clean(label, Cleaning(holes=(4096,)), task, values)
    assert (filled == ndimage.binary_fill_holes(label)).all()


def test_a_small_piece_goes_to_the_next_likeliest_class(tasks):
    task = tasks["multiclass"]
    values = np.zeros((4, 5, 5))
    values[0] = 2
    values[3, 2, 2] = 3
    values[1, 2, 2] = 2.5
    label = values.argmax(0).astype(np.uint8)
    assert label[2, 2] == 3
    cleaned = clean(label, Cleaning(least=(0, 0, 0, 8)), task, values)
    assert cleaned[2, 2] == 1
    assert (cleaned == 0).sum() == 24
    assert clean(label, Cleaning(least=(0, 8, 0, 0)), task, values)[2, 2] == 3


@pytest.mark.parametrize("kind", ["binary", "multiclass", "multilabel"])
def test_the_best_sizes_are_no_worse_than_any_other_one(kind, tasks):
    task = tasks[kind]
    label, values, truth, valid = spotty(task, 7)
    table = measure(label, values, truth, valid, task)
    base = stacked(count(truth, label, valid, task))
    found = best(table, base, Measure("iou"), task)
    top = score(Counts(*counts_of(table, base, found, task)), "iou")
    assert top >= score(Counts(*base), "iou")
    if kind == "binary":
        for least in AREAS:
            for hole in HOLES:
                other = counts_of(table, base, Cleaning(least=(least,), holes=(hole,)), task)
                assert top >= score(Counts(*other), "iou")


def test_words_name_what_is_done():
    assert Cleaning().in_words(("a",)) == "nothing"
    assert Cleaning(least=(0, 16), holes=(64, 0)).in_words(("a", "b")) == "b pieces < 16 px, a holes <= 64 px"


@pytest.mark.parametrize("straight", [-1, 0])
@pytest.mark.parametrize("classes", [2, 3, 7])
@pytest.mark.parametrize("shape", [(40, 37), (1, 9), (9, 1), (1, 1)])
def test_pieces_of_all_classes_are_numbered_as_scipy_does(classes, shape, straight):
    rng = np.random.default_rng(classes)
    for grain in (0.0, 1.0):
        values = ndimage.gaussian_filter(rng.normal(size=(classes, *shape)), (0, grain, grain))
        label = values.argmax(0).astype(np.uint8)
        numbers = np.empty(shape, np.int32)
        areas, kinds = clean_kernels.number_classes(label, numbers, straight)
        assert (areas == np.bincount(numbers.ravel())).all()
        assert (kinds[numbers] == label).all()
        found = 0
        for kind in range(classes):
            pieces, number = ndimage.label(label == kind, structure=None if kind == straight else np.ones((3, 3)))
            found += number
            pairs = np.unique(np.stack([pieces[label == kind], numbers[label == kind]]), axis=1)
            assert pairs.shape[1] == number
        assert found == areas.size


@pytest.mark.parametrize("dtype", [np.int32, np.int64, np.float64])
def test_the_second_class_is_the_best_of_the_others_and_the_lowest_among_equals(dtype):
    rng = np.random.default_rng(0)
    values = rng.integers(0, 4, (5, 3000)).astype(dtype)
    label = rng.integers(0, 5, 3000).astype(np.uint8)
    second = np.empty(3000, np.uint8)
    clean_kernels.second_classes(values, label, second)
    others = values.astype(np.float64)
    others[label, np.arange(3000)] = -np.inf
    assert (second == others.argmax(0)).all()
