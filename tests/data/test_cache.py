"""Decoded items on disk: the same as decoded, whole or not there, never stale, within their bytes."""

import mmap
import os
import pickle
import shutil

import numpy as np
import pytest
from data_helpers import BINARY, SCENES, data_block, picture, save
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from maskwright.core.recipe.blocks import Cache
from maskwright.core.recipe.sources import FolderSource
from maskwright.data.audit.fingerprint import take
from maskwright.data.cache import cache as cache_module
from maskwright.data.cache import choice as cache_choice
from maskwright.data.cache.cache import CacheSpec, DiskCache, fitting, load, on_disk, open_cache, store, tidy
from maskwright.data.cache.choice import Use, amount, choose, item_bytes, span
from maskwright.data.dataset import Preprocess, TrainSet, TrainSpec, ValidSet
from maskwright.data.items import Item, ItemCache, read_item
from maskwright.data.sources.open import open_source

PREPARE = Preprocess((0, 1, 2), 255.0, (0.5,) * 3, (0.25,) * 3)
LIMIT = 10_000


@pytest.fixture
def source(folder_set):
    block, root = folder_set()
    return open_source(block, root, BINARY)


def item_of(seed, shape=(9, 7), bands=3, dtype=np.uint8, planes=(), *, whole=True):
    rng = np.random.default_rng(seed)
    valid = np.ones(shape, bool) if whole else rng.random(shape) < 0.5
    label = rng.integers(0, 2, (*planes, *shape)).astype(np.uint8) * valid
    return Item("k", rng.integers(0, 200, (*shape, bands)).astype(dtype), label, valid, valid)


def same(one, two):
    for name in ("image", "label", "valid", "seen"):
        before, after = getattr(one, name), getattr(two, name)
        assert after.dtype == before.dtype
        np.testing.assert_array_equal(after, before)
        assert not after.flags.writeable


@pytest.fixture
def reads(source):
    """A function that decodes, and the keys it was asked for."""
    asked = []

    def read(key):
        asked.append(key)
        return read_item(source, key, BINARY, LIMIT)

    return read, asked


def disk(folder, source, **more):
    return CacheSpec(folder=folder, salt="s", keys=frozenset(source.keys), **more)


@pytest.mark.parametrize("dtype", [np.uint8, np.float32])
@pytest.mark.parametrize("whole", [True, False])
@pytest.mark.parametrize(("bands", "planes"), [(1, ()), (3, (2,)), (14, ())])
def test_what_is_stored_is_what_is_mapped(tmp_path, dtype, whole, bands, planes):
    item = item_of(1, bands=bands, dtype=dtype, planes=planes, whole=whole)
    assert store(tmp_path / "new" / "a.item", item)
    found = load(tmp_path / "new" / "a.item", "k")
    same(item, found)
    assert isinstance(found.image.base, mmap.mmap)
    assert [path.name for path in (tmp_path / "new").iterdir()] == ["a.item"]
    assert load(tmp_path / "new" / "a.item", "another") is None


@given(image=hnp.arrays(np.float32, hnp.array_shapes(min_dims=3, max_dims=3, max_side=6)))
def test_any_image_comes_back_bit_for_bit(tmp_path_factory, image):
    path = tmp_path_factory.mktemp("one") / "a.item"
    plane = np.zeros(image.shape[:2], np.uint8)
    store(path, Item("k", image, plane, plane == 0, plane == 0))
    assert load(path, "k").image.tobytes() == image.tobytes()


@given(place=st.integers(0, 10**6), bit=st.integers(0, 7))
def test_any_changed_bit_is_noticed(tmp_path_factory, place, bit):
    path = tmp_path_factory.mktemp("one") / "a.item"
    store(path, item_of(1, shape=(4, 4), whole=False))
    data = bytearray(path.read_bytes())
    data[place % len(data)] ^= 1 << bit
    path.write_bytes(data)
    found = load(path, "k")
    assert found is None


@pytest.mark.parametrize("left", [0, 1, 15, 16, 40, 1000, 1200])
def test_a_file_that_lost_its_end_is_none(tmp_path, left):
    store(tmp_path / "a.item", item_of(1))
    data = (tmp_path / "a.item").read_bytes()
    (tmp_path / "a.item").write_bytes(data[:left])
    assert load(tmp_path / "a.item", "k") is None
    assert load(tmp_path / "a.item", "k", check=False) is None


def test_items_are_decoded_once_by_all_processes_together(tmp_path, source, reads):
    read, asked = reads
    spec = disk(tmp_path / "c", source)
    first, second = DiskCache(read, source, spec), DiskCache(read, source, spec)
    for cache in (first, second, first, pickle.loads(pickle.dumps(DiskCache(len, source, spec)))):
        for key in source.keys:
            same(read_item(source, key, BINARY, LIMIT), cache.read(key))
    assert asked == list(source.keys)
    assert len(list((tmp_path / "c").iterdir())) == 4


def test_a_changed_file_is_decoded_again(tmp_path, source, reads):
    read, asked = reads
    spec = disk(tmp_path / "c", source)
    for key in "aab":
        DiskCache(read, source, spec).read(key)
    for path in (source.image_path("a"), source.label_path("a")):
        seen = path.stat()
        os.utime(path, ns=(seen.st_atime_ns, seen.st_mtime_ns + 1))
        DiskCache(read, source, spec).read("a")
    save(source.image_path("a"), picture(77))
    assert (DiskCache(read, source, spec).read("a").image == picture(77)).all()
    assert "".join(asked) == "abaaa"
    DiskCache(read, source, disk(tmp_path / "c", source)).read("b")
    DiskCache(read, source, CacheSpec(folder=tmp_path / "c", salt="other", keys=spec.keys)).read("b")
    assert "".join(asked) == "abaaab"


def test_a_damaged_file_is_decoded_again_and_mended(tmp_path, source, reads):
    read, asked = reads
    spec = disk(tmp_path / "c", source)
    DiskCache(read, source, spec).read("a")
    path = spec.file(source, "a")
    data = bytearray(path.read_bytes())
    data[-1] ^= 1
    path.write_bytes(data)
    for _ in range(2):
        same(read_item(source, "a", BINARY, LIMIT), DiskCache(read, source, spec).read("a"))
    assert asked == ["a", "a"]


def test_what_is_mapped_stays_though_its_file_goes(tmp_path, source, reads):
    read, _ = reads
    cache = DiskCache(read, source, disk(tmp_path / "c", source))
    cache.read("a")
    item = cache.read("a")
    shutil.rmtree(tmp_path / "c")
    same(read_item(source, "a", BINARY, LIMIT), item)
    same(read_item(source, "a", BINARY, LIMIT), cache.read("a"))


def test_few_files_are_open_at_once(tmp_path, source, reads, monkeypatch):
    monkeypatch.setattr(cache_module, "MAPS", 2)
    cache = DiskCache(reads[0], source, disk(tmp_path / "c", source))
    for _ in range(3):
        for key in source.keys:
            cache.read(key)
    assert list(cache._maps) == ["c", "d"]


def test_a_full_disk_stops_the_writing_and_nothing_else(tmp_path, source, reads, monkeypatch):
    read, asked = reads

    def full(*_given):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("pathlib.Path.replace", full)
    cache = DiskCache(read, source, disk(tmp_path / "c", source))
    for key in "aab":
        cache.read(key)
    assert asked == ["a", "a", "b"]
    assert list((tmp_path / "c").iterdir()) == []
    assert not cache._writes


def test_items_beyond_the_bound_are_kept_in_memory(tmp_path, source, reads):
    read, asked = reads
    cache = DiskCache(read, source, CacheSpec(folder=tmp_path / "c", salt="s", keys=frozenset("a")))
    for key in "abcabc":
        cache.read(key)
    assert asked == ["a", "b", "c", "a"][:3]
    assert len(list((tmp_path / "c").iterdir())) == 1


def test_a_missing_image_is_named_as_without_a_cache(tmp_path, source, reads):
    source.image_path("a").unlink()
    with pytest.raises(Exception, match=r"a\.png"):
        DiskCache(reads[0], source, disk(tmp_path / "c", source)).read("a")


def test_what_does_not_belong_to_the_set_is_swept(tmp_path, source, reads):
    spec = disk(tmp_path / "c", source)
    cache = DiskCache(reads[0], source, spec)
    for key in source.keys:
        cache.read(key)
    kept = {path.name for path in spec.folder.iterdir()}
    dead = os.fork()
    if not dead:
        os._exit(0)
    os.waitpid(dead, 0)
    for name in ("0123.item", f".0123.item.{dead}.partial", f".0123.item.{os.getpid()}.partial", "notes.txt"):
        (spec.folder / name).write_bytes(b"x")
    tidy(spec, source)
    assert {path.name for path in spec.folder.iterdir()} - kept == {f".0123.item.{os.getpid()}.partial", "notes.txt"}
    tidy(CacheSpec(folder=spec.folder, salt="s", keys=frozenset("ab")), source)
    assert len(list(spec.folder.glob("*.item"))) == 2
    tidy(CacheSpec(), source)
    tidy(CacheSpec(folder=tmp_path / "none"), source)


@given(sizes=st.lists(st.integers(1, 100), min_size=1, max_size=30), limit=st.integers(0, 500))
def test_what_is_kept_fits(sizes, limit):
    named = [(str(place), size) for place, size in enumerate(sizes)]
    kept = fitting(named, limit)
    assert sum(size for key, size in named if key in kept) <= limit
    assert fitting(list(reversed(named)), limit) == kept
    if sum(sizes) <= limit:
        assert len(kept) == len(sizes)


def use_of(source, task=BINARY, passes=50.0):
    print_, _ = take(source, task, data_block(source.image_path("a").parent.parent), Quiet())[:2]
    return Use(source, print_.items, task, PREPARE, LIMIT, passes)


class Quiet:
    def task(self, _name, _total, _done=0):
        return self

    def __enter__(self):
        return self

    def __exit__(self, *_error):
        return None

    def advance(self, _count=1, _note=""):
        return None

    say = warn = advance


def test_files_are_no_larger_than_reckoned(tmp_path, source, reads):
    use = use_of(source)
    spec = disk(tmp_path / "c", source)
    cache = DiskCache(reads[0], source, spec)
    for record in use.records:
        cache.read(record.key)
        size = spec.file(source, record.key).stat().st_size
        assert size <= item_bytes(record, use) <= size + 4096 + 12 * 16


def test_the_choice_is_made_by_bytes_time_and_passes(tmp_path, source, monkeypatch):
    use = use_of(source)

    def made(kind="auto", **more):
        spec, told = choose(Cache(kind=kind, **more), use, tmp_path / "no" / "run", "salt")
        where = "disk" if spec.folder else "memory"
        return where, spec.memory, len(spec.keys), told

    assert made() == ("memory", 256 << 20, 0, "")
    assert made("off") == ("memory", 0, 0, "decode cache: off")
    assert made("memory", size="2GB") == (
        "memory",
        2 * 10**9,
        0,
        "decode cache: up to 2 GB of memory in each process",
    )
    assert made("disk") == ("disk", 256 << 20, 4, "decode cache: 19.5 kB on disk for 4 of 4 items")
    assert made("disk", size=10_000)[2:] == (2, "decode cache: 9.73 kB on disk for 2 of 4 items")
    monkeypatch.setattr(cache_choice, "CACHE_BYTES", 1000)
    monkeypatch.setattr(cache_choice, "time_to_read", lambda _use: 0.025)
    assert made() == (
        "disk",
        256 << 20,
        4,
        "decode cache: 19.5 kB on disk for 4 of 4 items; saves about 5 s (decoding takes 25.0 ms an item, 50 passes)",
    )
    monkeypatch.setattr(cache_choice, "time_to_read", lambda _use: 1e-9)
    assert made() == (
        "memory",
        256 << 20,
        0,
        "decode cache: memory only; 19.5 kB on disk for 4 of 4 items would not pay (decoding takes 0.0 ms an item, "
        "50 passes)",
    )
    monkeypatch.setattr(cache_choice.shutil, "disk_usage", lambda _path: shutil._ntuple_diskusage(10**6, 0, 10_900))
    assert made("disk")[2] == 2


def test_decoding_is_timed_on_a_few_items(source, monkeypatch):
    use = use_of(source)
    asked = []
    monkeypatch.setattr(cache_choice, "read_item", lambda _source, key, *_more: asked.append(key))
    assert cache_choice.time_to_read(use) >= 0
    assert asked == ["a", "c", "d"]


@pytest.mark.parametrize(
    ("given", "wanted"), [("4GB", 4 * 10**9), ("1.5 mb", 1_500_000), ("900", 900), (12, 12), ("7 b", 7), ("2 TB", 2e12)]
)
def test_sizes_are_read_as_people_write_them(given, wanted):
    assert Cache(size=given).size == wanted


@pytest.mark.parametrize("given", ["much", "-4GB", -1, "4 GBB", None])
def test_other_sizes_are_refused(given):
    with pytest.raises(ValueError, match="size"):
        Cache(size=given)


def test_amounts_and_times_are_said_in_words():
    assert [amount(size) for size in (900, 2_500_000, 3.21e9)] == ["0.9 kB", "2.5 MB", "3.21 GB"]
    assert [span(seconds) for seconds in (5, 600, 8000)] == ["5 s", "10 min", "2.2 h"]


@pytest.mark.parametrize("crop", [(16, 16), None])
def test_samples_are_the_same_from_disk_memory_or_files(tmp_path, crop):
    rng = np.random.default_rng(0)
    for place, (height, width) in enumerate([(20, 30), (31, 17), (8, 8)]):
        rgba = picture(place, height, width, 4)
        rgba[:, :, 3] = 255 * (rng.random((height, width)) < 0.8)
        save(tmp_path / "images" / f"{place}.png", rgba)
        save(tmp_path / "masks" / f"{place}.png", rng.integers(0, 3, (height, width)).astype(np.uint8))
    source = open_source(FolderSource(images="images", masks="masks"), tmp_path, SCENES)
    specs = [CacheSpec(), CacheSpec(memory=0), on_disk(CacheSpec(), tmp_path / "c", "s", frozenset("012"))]
    augment = ({"d4": {}}, {"scale_crop": {}}, {"mosaic": {"p": 0.5}})
    made = [
        TrainSet(TrainSpec(source, source.keys, SCENES, PREPARE, crop, augment, LIMIT, 3, 9, spec)) for spec in specs
    ]
    held = [ValidSet(source, source.keys, SCENES, PREPARE, crop, LIMIT, spec) for spec in specs]
    tickets = [(epoch, index) for epoch in range(3) for index in range(9)]
    for sets, asked in ((made, tickets), (held, range(len(held[0])))):
        for ticket in asked:
            wanted = sets[0][ticket]
            for other in sets[1:]:
                for name, value in other[ticket].items():
                    assert np.array_equal(np.asarray(value), np.asarray(wanted[name])), (ticket, name)
    assert isinstance(made[0]._items.cache, ItemCache)
    assert isinstance(made[2]._items.cache, DiskCache)
    assert len(made[2]._items.cache._maps) == 3


def test_open_cache_takes_disk_only_with_a_folder(source, reads, tmp_path):
    assert isinstance(open_cache(reads[0], source, CacheSpec()), ItemCache)
    assert isinstance(open_cache(reads[0], source, disk(tmp_path, source)), DiskCache)
