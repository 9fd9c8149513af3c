import itertools

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from maskwright.core.progress import Silent
from maskwright.ensembling.choose import above
from maskwright.ensembling.select import fixed_candidates
from maskwright.ensembling.tally import Tally
from maskwright.ensembling.thresholds import best_edges, counts_at, curves, edge_of, edge_value
from maskwright.scoring.counts import Counts
from maskwright.scoring.measures import Measure
from maskwright.scoring.scores import per_class, score

KINDS = ("binary", "multiclass", "multilabel")


def filled(scene, candidates, metric="iou", per="pooled", empty="skip"):
    tally = Tally(scene.task, Measure(metric, per, empty), candidates, scene.oof.folds)
    for item in map(scene.oof.read, scene.oof.entries):
        tally.add(item.entry.fold, tally.count(item.values, item.scale, item.label, item.valid))
    return tally


def all_pixels(scene, folds):
    """Concatenate what the code under test never concatenates: (M, K, N) units of 1/65535 and truth (K, N)."""
    units, truths = [], []
    for row in scene.rows:
        if row.fold in folds:
            valid, label = scene.valids[row.key], scene.labels[row.key]
            parts = [store.read_item(row.key) for store in scene.stores.values()]
            units.append(
                np.stack([(stored.astype(np.int64) * (65535 // scale))[:, valid] for stored, _, scale in parts])
            )
            if scene.task.kind == "multiclass":
                label = np.arange(4).reshape(-1, 1, 1) == label
            truths.append(label.reshape(-1, *valid.shape)[:, valid])
    return np.concatenate(units, 2), np.concatenate(truths, 1).astype(bool)


def brute_force(scene, shares, folds, edges):
    units, truth = all_pixels(scene, folds)
    total = np.tensordot(np.array(shares), units, 1)
    if scene.task.kind == "multiclass":
        said = np.arange(4).reshape(-1, 1) == total.argmax(0)
    else:  # exact: total / (65535 A) >= (2b - 1) / 510, cross-multiplied
        said = total * 510 >= (2 * np.array(edges).reshape(-1, 1) - 1) * 65535 * sum(shares)
    return Counts(*((a & b).sum(1) for a, b in ((truth, said), (~truth, said), (truth, ~said), (~truth, ~said))))


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("bits", [(8,), (16,), (8, 16)])
@pytest.mark.parametrize("members", [1, 2, 3])
def test_tallies_equal_brute_force_on_all_pixels_for_every_candidate(kind, bits, members, simulate):
    scene = simulate(kind, noises=[0.7 + 0.3 * index for index in range(members)], bits=bits, valid=0.8, items=6)
    candidates = fixed_candidates(members, "weighted")
    tally = filled(scene, candidates)
    some_edges = [()] if kind == "multiclass" else [(e,) * scene.task.planes for e in (1, 2, 77, 127, 128, 129, 255)]
    for shares, edges, folds in itertools.product(candidates, some_edges, ([0], [0, 1, 2])):
        assert tally.counts(shares, folds, edges) == brute_force(scene, shares, folds, edges)


@pytest.mark.parametrize("metric", ["iou", "dice", "f0.5", "f2", "accuracy"])
def test_tuned_thresholds_are_the_best_of_all_255_by_brute_force(metric, simulate):
    scene = simulate("multilabel", noises=(1.2,), biases=(0.4,), items=6)
    tally = filled(scene, [(1,)], metric)
    table = np.array([per_class(brute_force(scene, (1,), [0, 1, 2], (e,) * 3), metric) for e in range(1, 256)])
    own = tally.tuned((1,), [0, 1, 2], "per_class", (128,) * 3)
    assert [table[edge - 1, plane] for plane, edge in enumerate(own)] == table.max(0).tolist()
    one = tally.tuned((1,), [0, 1, 2], "global", (128,) * 3)
    assert len(set(one)) == 1
    assert table[one[0] - 1].mean() == pytest.approx(table.mean(1).max(), abs=1e-12)


def test_curves_are_the_scores_at_each_edge(simulate):
    scene = simulate("multilabel", noises=(1.0,), items=6)
    bins = filled(scene, [(1,)]).pooled((1,), [0, 1, 2])
    drawn = curves(bins, Measure("dice"))
    assert np.isnan(drawn[:, 0]).all()
    for edge in (1, 90, 255):
        assert drawn[:, edge].tolist() == per_class(counts_at(bins, (edge,) * 3), "dice").tolist()


@given(st.integers(0, 65535 * 7), st.integers(1, 7), st.integers(1, 255))
def test_bins_and_comparison_agree_at_every_edge(total, parts, edge):
    from fractions import Fraction

    from maskwright.ensembling.tally import _lookup

    total = min(total, 65535 * parts)
    _, lookup = _lookup((parts,), 65535)
    exact = Fraction(total, 65535 * parts) >= Fraction(2 * edge - 1, 510)
    assert (lookup[total] >= edge) == exact
    assert bool(above(np.array([[total]]), 65535 * parts, (edge,))[0, 0]) == exact


def test_an_8_bit_probability_is_its_own_bin():
    from maskwright.ensembling.tally import _lookup

    assert (_lookup((1,), 255)[1][:256] == np.arange(256)).all()
    assert (_lookup((1,), 65535)[1][np.arange(256) * 257] == np.arange(256)).all()


@given(st.floats(0.001, 0.999))
def test_an_edge_decides_8_bit_probabilities_as_its_threshold_does(threshold):
    bins = np.arange(256)
    assert ((bins >= edge_of(threshold)) == (bins / 255 >= threshold)).all() or edge_of(threshold) in (1, 255)


def test_one_half_is_an_edge_exactly():
    assert edge_of(0.5) == 128
    assert edge_value(128) == 0.5
    assert [edge_of(edge_value(edge)) for edge in range(1, 256)] == list(range(1, 256))


def tuned(bins, rule, default):
    return best_edges(curves(bins, Measure()), bins[:, 1].sum(-1) > 0, Measure(), rule, default)


def test_among_equal_thresholds_the_one_nearest_to_the_default_wins():
    bins = np.zeros((1, 2, 256), np.int64)
    bins[0, 0, 10], bins[0, 1, 200] = 5, 5
    assert tuned(bins, "global", (128,)) == (128,)
    assert tuned(bins, "global", (220,)) == (200,)
    assert tuned(bins, "global", (3,)) == (11,)


def test_a_class_that_is_never_true_keeps_the_default():
    bins = np.zeros((2, 2, 256), np.int64)
    bins[0, 0, 10], bins[0, 1, 50], bins[1, 0, 90] = 5, 5, 7
    assert tuned(bins, "per_class", (128, 128)) == (50, 128)


def test_a_tie_of_classes_goes_to_the_lowest_id(simulate):
    scene = simulate("multiclass", items=3)
    for store in scene.stores.values():
        for key, (stored, *rest) in store.items.items():
            store.items[key] = (np.full_like(stored, 63), *rest)
    tally = filled(scene, fixed_candidates(2, "weighted"))
    for shares in tally.candidates:
        matrix = tally.pooled(shares, [0, 1, 2])
        assert matrix[:, 0].sum() == matrix.sum()


def test_members_of_another_tally_are_taken_over(simulate):
    scene = simulate(items=6)
    both, one, other = (filled(scene, some) for some in ([(1, 1), (1, 2)], [(1, 1)], [(1, 1), (1, 2)]))
    one.take(other)
    assert one.candidates == both.candidates
    assert (one.pooled((1, 2), [0, 2]) == both.pooled((1, 2), [0, 2])).all()


def test_memory_of_a_tally_does_not_depend_on_the_number_of_items(simulate):
    sizes = [sum(table.nbytes for table in filled(simulate(items=n), [(1, 1)])._tables.values()) for n in (3, 30)]
    assert sizes[0] == sizes[1] == 3 * 2 * 256 * 8


def test_score_is_the_mean_over_classes_of_pooled_pixels(simulate):
    scene = simulate("multilabel", items=6)
    tally = filled(scene, [(1, 1)])
    expected = score(brute_force(scene, (1, 1), [1], (100, 128, 140)), "iou")
    assert tally.score((1, 1), [1], (100, 128, 140)) == pytest.approx(expected, abs=1e-12)


def test_every_item_is_read_once_in_a_pass(simulate):
    scene = simulate(items=7)
    oof = scene.oof
    assert [entry.key for entry, _ in oof.each(lambda item: None, Silent(), "x")] == sorted(scene.labels)
    assert all(sorted(store.reads) == sorted(scene.labels) for store in scene.stores.values())


@pytest.mark.parametrize("empty", ["skip", "one", "zero"])
@pytest.mark.parametrize("kind", KINDS)
def test_means_over_images_are_tuned_and_scored_as_by_brute_force(kind, empty, simulate):
    scene = simulate(kind, noises=(1.2, 0.9), biases=(0.4, -0.3), items=7, valid=0.8)
    for key in list(scene.labels)[:2]:
        scene.labels[key] = scene.labels[key] * 0
    measure, rows = Measure("dice", "image", empty), scene.rows
    tally = filled(scene, [(1, 2)], "dice", "image", empty)

    def items(edges):
        found = []
        for row in rows:
            scene.rows = [row]
            found.append(brute_force(scene, (1, 2), [row.fold], edges).stacked)
        return measure.lift(np.array(found)).sum(0)

    if kind == "multiclass":
        assert tally.score((1, 2), [0, 1, 2], ()) == pytest.approx(measure.score(items(())))
        return
    planes = scene.task.planes
    table = np.array([measure.classes(items((edge,) * planes)) for edge in range(1, 256, 6)])
    curve = tally.curve((1, 2), [0, 1, 2])
    np.testing.assert_allclose(curve[:, 1::6].T, table)
    one = tally.tuned((1, 2), [0, 1, 2], "global", (128,) * planes)
    assert measure.over_classes(table).max() <= tally.score((1, 2), [0, 1, 2], one) + 1e-12
    own = tally.tuned((1, 2), [0, 1, 2], "per_class", (128,) * planes)
    assert tally.score((1, 2), [0, 1, 2], own) == pytest.approx(np.nanmax(curve, 1).mean())
