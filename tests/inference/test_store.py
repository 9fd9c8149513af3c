import errno
import os

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from safetensors.numpy import load_file

from maskwright.core.errors import InputError, StorageError
from maskwright.core.grid import Window
from maskwright.inference.store import Store, dequantise, quantise

FACTS = {"member": "a", "split": "oof", "folds": [1], "recipe": "abc"}


def item(planes=2, height=5, width=11, seed=0):
    rng = np.random.default_rng(seed)
    return rng.random((planes, height, width), np.float32), rng.random((height, width)) > 0.3


@pytest.fixture
def store(tmp_path):
    return Store(tmp_path / "probabilities")


@pytest.mark.parametrize("bits", [8, 16])
def test_every_stored_value_comes_back_as_itself(bits):
    every = np.arange(1 << bits, dtype=np.uint8 if bits == 8 else np.uint16)
    assert (quantise(dequantise(every, (1 << bits) - 1), bits) == every).all()


@given(st.lists(st.floats(0, 1, width=32), min_size=1, max_size=50), st.sampled_from([8, 16]))
def test_quantising_is_off_by_half_a_step_at_most_and_keeps_order(values, bits):
    scale = (1 << bits) - 1
    array = np.array(sorted(values), np.float32)
    stored = quantise(array, bits)
    assert (np.diff(stored.astype(int)) >= 0).all()
    assert np.abs(dequantise(stored, scale).astype(float) - array).max() <= 0.5 / scale + 1e-7


def test_sums_that_miss_one_by_a_rounding_are_cut():
    assert quantise(np.array([1.0000002, -1e-9], np.float32)).tolist() == [255, 0]


@pytest.mark.parametrize("bits", [8, 16])
def test_what_is_written_is_read(store, bits):
    probabilities, valid = item()
    store.write("sub/one", probabilities, valid, bits, FACTS)
    stored, scale = store.read_quantised("sub/one")
    assert (stored == quantise(probabilities, bits)).all()
    assert scale == (1 << bits) - 1
    assert (store.read("sub/one") == dequantise(stored, scale)).all()
    assert (store.valid("sub/one") == valid).all()
    assert store.facts("sub/one") == FACTS
    assert store.shape("sub/one") == (2, 5, 11)


@given(st.integers(0, 4), st.integers(0, 10), st.data(), st.sampled_from([8, 16]))
def test_a_window_equals_that_part_of_the_whole(tmp_path_factory, row, col, data, bits):
    store = Store(tmp_path_factory.mktemp("window"))
    probabilities, valid = item()
    store.write("k", probabilities, valid, bits)
    window = Window(row, col, data.draw(st.integers(1, 5 - row)), data.draw(st.integers(1, 11 - col)))
    assert (store.read("k", window) == store.read("k")[(slice(None), *window.slices)]).all()


@given(st.integers(1, 20), st.integers(1, 20), st.integers(0, 3))
def test_validity_of_any_shape_comes_back(tmp_path_factory, height, width, seed):
    store = Store(tmp_path_factory.mktemp("valid"))
    valid = np.random.default_rng(seed).random((height, width)) > 0.5
    store.write("k", np.zeros((1, height, width), np.float32), valid)
    assert (store.valid("k") == valid).all()


def test_keys_are_found_by_their_names_and_partial_files_are_not_items(store):
    assert store.keys() == ()
    for key in ("b", "a/x y", ".hidden", "ä%2F", "c.safetensors"):
        store.write(key, *item())
    (store.folder / ".b.safetensors.123.partial").write_bytes(b"half")
    assert store.keys() == (".hidden", "a/x y", "b", "c.safetensors", "ä%2F")
    assert store.has("a/x y")
    assert not store.has("a")


def test_equal_content_gives_equal_bytes_in_any_folder(tmp_path):
    for name in ("one", "two"):
        Store(tmp_path / name).write("k", *item(), 16, FACTS)
    assert Store(tmp_path / "one").path("k").read_bytes() == Store(tmp_path / "two").path("k").read_bytes()


@pytest.mark.parametrize("bits", [8, 16])
def test_the_safetensors_library_reads_the_same_arrays(store, bits):
    probabilities, valid = item()
    store.write("k", probabilities, valid, bits, FACTS)
    arrays = load_file(store.path("k"))
    assert (arrays["probability"] == quantise(probabilities, bits)).all()
    assert (np.unpackbits(arrays["valid"], axis=1, count=11) == valid).all()
    store.write("all", probabilities, np.ones((5, 11), bool), bits)
    assert sorted(load_file(store.path("all"))) == ["probability"]


def refused(store, key="k"):
    with pytest.raises(InputError) as caught:
        store.read(key)
    return str(caught.value)


def test_a_missing_item_is_named(store):
    assert refused(store) == f"{store.folder}: no probabilities of item 'k'; run maskwright predict"
    with pytest.raises(InputError, match="no probabilities of item 'k'"):
        store.facts("k")


@pytest.mark.parametrize("keep", [0, 5, 100, -1])
def test_a_truncated_file_is_refused_by_name(store, keep):
    store.write("k", *item())
    path = store.path("k")
    whole = path.read_bytes()
    path.write_bytes(whole[:keep])
    reason = f"{len(whole) - 1} bytes instead of {len(whole)}" if keep == -1 else "its header is not readable"
    advice = "delete the file and run maskwright predict"
    assert refused(store) == f"{path}: damaged probabilities ({reason}); {advice}"


def test_one_flipped_bit_is_noticed(store):
    store.write("k", *item())
    data = bytearray(store.path("k").read_bytes())
    data[-3] ^= 1
    store.path("k").write_bytes(data)
    assert "damaged probabilities (its check sum does not match)" in refused(store)


def test_a_length_beyond_all_memory_is_refused(store):
    store.write("k", *item())
    store.path("k").write_bytes(b"\xff" * 8 + store.path("k").read_bytes()[8:])
    assert "its header is not readable" in refused(store)
    with pytest.raises(InputError, match="its header is not readable"):
        store.facts("k")


def test_a_renamed_file_is_refused(store):
    store.write("k", *item())
    store.path("k").rename(store.path("other"))
    assert "damaged probabilities (it holds item 'k', not 'other')" in refused(store, "other")


def test_a_full_disk_leaves_the_old_file_and_says_so(store, monkeypatch):
    store.write("k", *item())
    before = store.path("k").read_bytes()

    def full(_handle):
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(StorageError) as caught:
        store.write("k", *item(seed=1))
    assert str(caught.value) == f"{store.path('k')}: No space left on device; free some space and run again"
    assert store.path("k").read_bytes() == before
    assert [path.name for path in store.folder.iterdir()] == ["k.safetensors"]


def test_a_file_is_summed_once_and_again_when_it_has_changed(store, monkeypatch):
    store.write("k", *item())
    before = store.read("k")
    with monkeypatch.context() as patch:
        patch.setattr("maskwright.inference.store.zlib.crc32", lambda data, value=0: -1)
        assert (store.read("k") == before).all()
    data = bytearray(store.path("k").read_bytes())
    data[-3] ^= 1
    store.path("k").write_bytes(data)
    assert "damaged probabilities (its check sum does not match)" in refused(store)
