import numpy as np
import pytest

from maskwright.core.errors import InputError, Interrupted
from maskwright.core.progress import Silent
from maskwright.core.stop import Stop
from maskwright.data.folds.folds import FoldRow
from maskwright.ensembling.oof import Entry, Labels, OutOfFold, StoredItems
from maskwright.inference.store import Store, dequantise


def refused(make):
    with pytest.raises(InputError) as caught:
        make()
    return str(caught.value)


def change(scene, key, facts):
    stored, valid, scale, old = scene.stores["m1"].items[key]
    scene.stores["m1"].items[key] = (stored, valid, scale, {**old, **facts})


def test_items_come_sorted_by_key_with_every_member_label_and_validity(simulate):
    scene = simulate(items=5, bits=(8, 16), valid=0.7)
    scene.rows.reverse()
    found = list(scene.oof)
    assert [key for key, *_ in found] == sorted(scene.labels)
    for key, fold, probabilities, label, valid in found:
        assert fold == {row.key: row.fold for row in scene.rows}[key]
        for name, store in scene.stores.items():
            stored, _, scale = store.read_item(key)
            assert np.abs(probabilities[name] - dequantise(stored, scale)).max() < 1e-7
        assert (label == scene.labels[key]).all()
        assert (valid == scene.valids[key]).all()


def test_a_pixel_counts_only_where_label_and_every_image_are_valid(simulate):
    scene = simulate(items=3, valid=0.7)
    stored, valid, scale, facts = scene.stores["m1"].items["i000"]
    holes = np.arange(valid.size).reshape(valid.shape) % 5 > 0
    scene.stores["m1"].items["i000"] = (stored, holes, scale, facts)
    item = scene.oof.read(scene.oof.entries[0])
    assert (item.valid == (scene.valids["i000"] & holes)).all()


def test_held_out_rows_are_left_out(simulate):
    scene = simulate(items=4)
    scene.rows.append(FoldRow("never", "never", -1))
    assert [entry.key for entry in scene.oof.entries] == ["i000", "i001", "i002", "i003"]


def test_items_of_another_fold_are_a_leak(simulate):
    scene = simulate(items=4)
    change(scene, "i001", {"folds": [0]})
    assert refused(lambda: scene.oof) == (
        "store/m1: item 'i001' of member 'm1' was predicted by the models of folds [0] but fold 1 held it out, "
        "so a model saw it in training; delete the folder and run maskwright predict"
    )


def test_items_by_all_folds_together_are_a_leak(simulate):
    scene = simulate(items=4)
    change(scene, "i002", {"folds": [0, 1, 2]})
    assert "was predicted by the models of folds [0, 1, 2] but fold 2 held it out" in refused(lambda: scene.oof)


def test_items_that_do_not_say_which_models_made_them_are_refused(simulate):
    scene = simulate(items=4)
    change(scene, "i002", {"folds": None})
    assert "was predicted by the models of folds None but fold 2 held it out" in refused(lambda: scene.oof)


def test_items_of_another_split_or_member_are_refused(simulate):
    scene = simulate(items=4)
    change(scene, "i000", {"split": "test"})
    assert refused(lambda: scene.oof) == (
        "store/m1: item 'i000' of member 'm1' is of the split 'test', not 'oof'; "
        "delete the folder and run maskwright predict"
    )
    change(scene, "i000", {"split": "oof", "member": "zz"})
    assert refused(lambda: scene.oof) == (
        "store/m1: item 'i000' is by member 'zz', not 'm1'; delete the folder and run maskwright predict"
    )


def test_missing_items_are_named_and_counted(simulate):
    scene = simulate(items=6)
    for key in ("i001", "i004", "i005"):
        del scene.stores["m1"].items[key]
    assert refused(lambda: scene.oof) == (
        "store/m1: member 'm1' has no probabilities of item 'i001' (and of 2 more); run maskwright predict"
    )


def test_a_group_in_two_folds_is_a_leak(simulate):
    scene = simulate(items=4)
    scene.rows = [row._replace(group="town") if row.key in ("i000", "i002") else row for row in scene.rows]
    assert refused(lambda: scene.oof) == (
        "folds.csv: group 'town' is in fold 0 (item 'i000') and in fold 2 (item 'i002'), "
        "so models saw part of it in training; run maskwright split and train again"
    )


def test_one_fold_is_not_enough(simulate):
    scene = simulate(items=3)
    scene.rows = scene.rows[:1]
    assert refused(lambda: scene.oof) == (
        "items of 1 fold, but deciding needs 2 or more; raise folds.count and split again"
    )


def test_members_of_different_shapes_are_refused(simulate):
    scene = simulate(items=3)
    stored, valid, scale, facts = scene.stores["m1"].items["i002"]
    scene.stores["m1"].items["i002"] = (stored[:, :-1], valid[:-1], scale, facts)
    assert refused(lambda: scene.oof) == (
        "store/m1: probabilities of item 'i002' by member 'm1' are (1, 7, 9), those of 'm0' are (1, 8, 9); "
        "delete the folder and run maskwright predict"
    )


def test_planes_of_another_task_are_refused(simulate, tasks):
    scene = simulate(items=3)
    scene.task = tasks["multilabel"]
    assert refused(lambda: scene.oof) == (
        "store/m0: probabilities of item 'i000' by member 'm0' are (1, 8, 9), the task asks for (3, 8, 9); "
        "delete the folder and run maskwright predict"
    )


def test_a_label_of_another_size_is_refused_when_it_is_read(simulate):
    scene = simulate(items=3)
    scene.labels["i000"] = scene.labels["i000"][:4]
    scene.valids["i000"] = np.ones((8, 9), bool)
    assert refused(lambda: list(scene.oof)) == (
        "the label of item 'i000' is (4, 9), its probabilities are (8, 9); run maskwright inspect and predict again"
    )


def test_held_out_items_must_be_of_their_split(simulate):
    scene = simulate(items=3)
    entries = [Entry(key, -1, key) for key in scene.labels]
    assert "is of the split 'oof', not 'holdout'" in refused(
        lambda: StoredItems(scene.stores, entries, scene.truth, "holdout", scene.task)
    )


def test_few_items_are_in_memory_at_a_time(simulate):
    scene = simulate(items=60)
    oof, begun = scene.oof, []
    for count, _ in enumerate(oof.each(lambda item: begun.append(item.entry.key), Silent(), "x"), 1):
        assert len(begun) - count <= 5


def test_a_fault_in_a_thread_reaches_the_caller(simulate):
    scene = simulate(items=9)
    oof = scene.oof
    del scene.stores["m0"].items["i004"]
    assert refused(lambda: list(oof.each(lambda item: None, Silent(), "x"))) == "no probabilities of item 'i004'"


def test_a_stop_ends_the_pass(simulate):
    stop = Stop()
    stop.signal_number = 15
    with pytest.raises(Interrupted) as caught:
        list(simulate(items=9).oof.each(lambda item: None, Silent(), "x", stop))
    assert str(caught.value) == "nothing is decided yet; run the same command again to go on"


def test_real_stores_serve_as_well(simulate, tmp_path):
    scene = simulate(items=4)
    real = {name: Store(tmp_path / name) for name in scene.stores}
    for name, store in scene.stores.items():
        for key, (stored, valid, _, facts) in store.items.items():
            real[name].write_quantised(key, stored, valid, facts)
    oof = OutOfFold(real, scene.rows, scene.truth, scene.task)
    for ours, theirs in zip(map(oof.read, oof.entries), map(scene.oof.read, scene.oof.entries), strict=True):
        assert (ours.values == theirs.values).all()
    real["m1"].path("i003").unlink()
    assert refused(lambda: OutOfFold(real, scene.rows, scene.truth, scene.task)) == (
        f"{tmp_path}/m1: member 'm1' has no probabilities of item 'i003'; run maskwright predict"
    )


@pytest.mark.parametrize("kind", ["binary", "multiclass", "multilabel"])
@pytest.mark.parametrize("valid", [1.0, 0.7])
def test_labels_are_read_once_and_are_the_same_from_memory(kind, valid, simulate):
    scene = simulate(kind, items=4, shape=(9, 13), valid=valid)
    reads = []

    def truth(key):
        reads.append(key)
        return scene.truth(key)

    labels = Labels(truth)
    for _ in range(3):
        for key in sorted(scene.labels):
            label, there = labels(key)
            assert label.dtype == np.uint8
            assert there.dtype == bool
            assert (label == scene.labels[key]).all()
            assert (there == scene.valids[key]).all()
            assert label.shape == scene.labels[key].shape
            assert there.shape == scene.valids[key].shape
    assert reads == sorted(scene.labels)


def test_labels_beyond_the_bound_are_read_each_time(simulate):
    scene = simulate(items=3, valid=0.7)
    reads = []

    def truth(key):
        reads.append(key)
        return scene.truth(key)

    labels = Labels(truth, most=10)
    for _ in range(2):
        assert (labels(min(scene.labels))[0] == scene.labels[min(scene.labels)]).all()
    assert len(reads) == 2
