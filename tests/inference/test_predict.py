import dataclasses
import itertools
import shutil

import numpy as np
import pytest
from PIL import Image

from maskwright.core.errors import InputError, Interrupted, StorageError
from maskwright.core.progress import Silent
from maskwright.core.stop import Stop
from maskwright.inference.forward import Forward, Machine
from maskwright.inference.predict import group_keys, predict_image, predict_items
from maskwright.inference.store import Store, quantise

SIZES = [(12, 20), (12, 20), (9, 9), (12, 20), (9, 9), (12, 20)]


class StopAfter(Stop):
    """Ask to stop at the n-th look."""

    def __init__(self, looks):
        super().__init__()
        self.left = looks

    def check(self, saved):
        self.left -= 1
        if self.left <= 0:
            self.signal_number = 15
        super().check(saved)


def contents(store):
    return {key: store.path(key).read_bytes() for key in tuple(store.keys())}


@pytest.mark.parametrize("window", ["whole", 8, (32, 16)])
@pytest.mark.parametrize("task", ["binary", "multiclass"])
def test_stored_items_equal_single_images_at_native_size(window, task, job, store, make_model):
    work = job(*SIZES, task=task, window=window, bits=16, tta=("hflip",))
    models = [make_model(work.task.planes, seed) for seed in range(2)]
    assert predict_items(models, work, store, Silent(), Stop()) == len(SIZES)
    assert store.keys() == work.keys
    for key, shape in zip(work.keys, SIZES, strict=True):
        pixels = np.asarray(Image.open(work.source.image_path(key)))
        alone = predict_image(models, work.preprocess(pixels), work.predict, work.task, "cpu")
        assert store.shape(key) == (work.task.planes, *shape)
        assert np.abs(store.read(key) - alone).max() < 1e-4
        assert store.facts(key) == work.facts
        assert store.valid(key).all()


def test_transparent_pixels_are_stored_as_not_valid(job, store, make_model):
    work = job((6, 7), (6, 7), alpha=("b",))
    predict_items([make_model()], work, store, Silent(), Stop())
    alpha = np.asarray(Image.open(work.source.image_path("b")))[..., 3]
    assert store.valid("a").all()
    assert (store.valid("b") == (alpha > 0)).all()


def test_images_of_another_kind_than_in_training_are_refused_by_file(job, store, make_model):
    work = job((6, 7))
    work = dataclasses.replace(work, preprocess=dataclasses.replace(work.preprocess, dtype="uint16"))
    with pytest.raises(InputError) as caught:
        predict_items([make_model()], work, store, Silent(), Stop())
    assert str(caught.value).startswith(f"{work.source.image_path('a')}: holds uint8 values")


def test_a_rerun_makes_nothing_and_reads_nothing(job, store, make_model):
    work = job(*SIZES)
    predict_items([make_model()], work, store, Silent(), Stop())
    shutil.rmtree(work.source.folder)
    assert predict_items([make_model()], work, store, Silent(), Stop()) == 0


def test_equal_sizes_share_a_pass_and_the_groups_depend_on_the_keys_alone(job, tasks, make_model):
    work = job(*SIZES, batch_size=3)
    forward = Forward([make_model()], tasks["binary"], (), Machine("cpu"))
    assert group_keys(work, forward) == [("a", "b", "d"), ("f",), ("c", "e")]
    windows = dataclasses.replace(work, predict=work.predict.model_copy(update={"window": 8}))
    assert group_keys(windows, forward) == [(key,) for key in "abcdef"]


@pytest.mark.parametrize("window", ["whole", 8])
def test_bytes_are_equal_whatever_was_missing_before(window, job, tmp_path, make_model):
    # Gossip answers differently for every batch, so any change of company would show
    work, model = job(*SIZES, window=window, batch_size=2), make_model(gossip=True)
    twin = Store(tmp_path / "twin")
    predict_items([model], work, twin, Silent(), Stop())
    wanted = contents(twin)
    for count in (1, 2, 5):
        for lost in itertools.combinations(work.keys, count):
            for key in lost:
                twin.path(key).unlink()
            assert predict_items([model], work, twin, Silent(), Stop()) == count
            assert contents(twin) == wanted


def test_company_does_change_the_gossips_answer(job, tmp_path, make_model):
    work, model = job(*SIZES, batch_size=2), make_model(gossip=True)
    alone = dataclasses.replace(work, predict=work.predict.model_copy(update={"batch_size": 1}))
    stores = Store(tmp_path / "pairs"), Store(tmp_path / "alone")
    predict_items([model], work, stores[0], Silent(), Stop())
    predict_items([model], alone, stores[1], Silent(), Stop())
    assert contents(stores[0]) != contents(stores[1])


@pytest.mark.parametrize("window", ["whole", 8])
def test_a_stop_at_every_point_leaves_whole_items_and_the_same_bytes_after_resuming(window, job, tmp_path, make_model):
    work, model = job(*SIZES, window=window, batch_size=2), make_model(gossip=True)
    twin, patient = Store(tmp_path / "twin"), StopAfter(10**6)
    predict_items([model], work, twin, Silent(), patient)
    wanted, looks = contents(twin), 10**6 - patient.left
    assert looks >= 3
    for look in range(1, looks + 1):
        store = Store(tmp_path / f"stopped{look}")
        with pytest.raises(Interrupted) as stopped:
            predict_items([model], work, store, Silent(), StopAfter(look))
        there = contents(store)
        assert stopped.value.exit_code == 143
        assert str(stopped.value) == f"{len(there)} of 6 items are predicted; run the same command again to go on"
        assert there.items() <= wanted.items()
        assert predict_items([model], work, store, Silent(), Stop()) == 6 - len(there)
        assert contents(store) == wanted


def test_the_last_bit_of_a_real_convolution_survives_any_resume(job, tmp_path, make_model):
    work, model = job(*[(33, 47)] * 5, batch_size=3, bits=16), make_model()
    twin = Store(tmp_path / "twin")
    predict_items([model], work, twin, Silent(), Stop())
    wanted = contents(twin)
    for key in work.keys:
        twin.path(key).unlink()
        predict_items([model], work, twin, Silent(), Stop())
        assert contents(twin) == wanted


def test_a_disk_that_fails_stops_the_run_and_keeps_what_was_written(job, store, make_model, monkeypatch):
    work, written = job(*SIZES), []
    real = store.write_quantised

    def third_fails(key, *rest):
        if len(written) == 2:
            raise StorageError("No space left on device", where=store.path(key))
        real(key, *rest)
        written.append(key)

    monkeypatch.setattr(store, "write_quantised", third_fails)
    with pytest.raises(StorageError, match="No space left on device"):
        predict_items([make_model()], work, store, Silent(), Stop())
    assert sorted(written) == list(store.keys())
    monkeypatch.undo()
    assert predict_items([make_model()], work, store, Silent(), Stop()) == 4


def test_a_truncated_image_is_refused_by_name(job, store, make_model):
    work = job(*SIZES, window=8)
    path = work.source.image_path("c")
    path.write_bytes(path.read_bytes()[:-60])
    with pytest.raises(InputError) as caught:
        predict_items([make_model()], work, store, Silent(), Stop())
    assert str(caught.value).startswith(f"{path}: ")
    assert set(store.keys()) == {"a", "b"}


def test_a_real_source_and_a_real_network_go_all_the_way(tmp_path):
    from maskwright.core.labels import Task
    from maskwright.core.recipe.members import Model, Predict
    from maskwright.core.recipe.sources import FolderSource
    from maskwright.data.preprocess import Preprocess
    from maskwright.data.sources.open import open_source
    from maskwright.inference.predict import PredictJob
    from maskwright.models.build import build_model

    task = Task(kind="multiclass", classes=("a", "b"))
    (tmp_path / "images" / "sub").mkdir(parents=True)
    rng = np.random.default_rng(0)
    for name in ("one", "sub/two"):
        Image.fromarray(rng.integers(0, 256, (40, 70, 3), np.uint8)).save(tmp_path / "images" / f"{name}.png")
    source = open_source(FolderSource(images="images"), tmp_path, task)
    models = [build_model(Model(encoder="resnet18"), 3, 2) for _ in range(2)]
    preprocess = Preprocess((0, 1, 2), 255.0, (0.5,) * 3, (0.3,) * 3)
    for window in ("whole", 32):
        store = Store(tmp_path / f"store-{window}")
        work = PredictJob(Predict(window=window, tta=("hflip",)), task, source, source.keys, preprocess, 10**6, {})
        assert predict_items(models, work, store, Silent(), Stop()) == 2
        assert store.keys() == ("one", "sub/two")
        np.testing.assert_allclose(store.read("sub/two").sum(0), 1, atol=2 / 255)


def test_quantised_bands_equal_the_quantised_whole(job, store, make_model):
    work = job((50, 30), window=16, batch_size=1)
    predict_items([make_model()], work, store, Silent(), Stop())
    pixels = np.asarray(Image.open(work.source.image_path("a")))
    whole = predict_image([make_model()], work.preprocess(pixels), work.predict, work.task, "cpu")
    assert (store.read_quantised("a")[0] == quantise(whole)).all()
