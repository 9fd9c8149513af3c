"""Samples are pure functions of their ticket, cover what they should, and carry what counts."""

import math
import multiprocessing
import pickle

import numpy as np
import pytest
import torch
from data_helpers import BINARY, PLANES, SCENES, picture, save
from torch.utils.data import DataLoader

from maskwright.core.errors import InputError
from maskwright.core.recipe.sources import FolderSource, RleCsvSource
from maskwright.data.cache.cache import CacheSpec
from maskwright.data.dataset import (
    Preprocess,
    Sample,
    TrainSet,
    TrainSpec,
    ValidSet,
    collate,
    ground_sizes,
    read_item,
    worker_init,
)
from maskwright.data.items import Item, ItemCache
from maskwright.data.sampling import order
from maskwright.data.sources.open import open_source

PREPARE = Preprocess((0, 1, 2), 255.0, (0.5,) * 3, (0.25,) * 3)
AUGMENT = ({"d4": {}}, {"scale_crop": {}}, {"rotate": {}}, {"brightness_contrast": {}}, {"noise": {"p": 1.0}})
LIMIT = 10_000


@pytest.fixture
def coloured(tmp_path):
    """Images of several sizes whose red is 60 times the label; the label's corner is ignored."""
    for place, (height, width) in enumerate([(20, 30), (31, 17), (8, 8), (25, 25)]):
        label = np.random.default_rng(place).integers(0, 3, (height, width)).astype(np.uint8)
        image = picture(place, height, width)
        image[:, :, 0] = label * 60
        label[0, 0] = 255
        save(tmp_path / "images" / f"{place}.png", image)
        save(tmp_path / "masks" / f"{place}.png", label)
    return open_source(FolderSource(images="images", masks="masks"), tmp_path, SCENES)


def train_set(source, crop=(16, 16), augment=(), draws=12, seed=3, task=SCENES, **more):
    return TrainSet(TrainSpec(source, source.keys, task, PREPARE, crop, augment, LIMIT, seed, draws, **more))


def equal(one: Sample, two: Sample) -> bool:
    return all(torch.equal(torch.as_tensor(one[name]), torch.as_tensor(two[name])) for name in one)


def test_a_sample_has_the_promised_kinds(coloured):
    for augment in ((), AUGMENT):
        one = train_set(coloured, augment=augment)[(0, 0)]
        assert (one["image"].dtype, one["image"].shape) == (torch.float32, (3, 16, 16))
        assert (one["label"].dtype, one["label"].shape) == (torch.int64, (16, 16))
        assert (one["valid"].dtype, one["valid"].shape) == (torch.bool, (16, 16))
        assert isinstance(one["index"], int)
        assert one["image"].is_contiguous()
        assert one["label"].is_contiguous()
        assert one["valid"].is_contiguous()


def test_image_label_and_valid_belong_together(coloured):
    """The red band still tells the label after cutting, turning and padding."""
    samples = train_set(coloured, augment=({"d4": {}},), draws=40)
    outside = 0
    for index in range(40):
        one = samples[(0, index)]
        red = ((one["image"][0] * 0.25 + 0.5) * 255 / 60).round().to(torch.int64)
        assert torch.equal(red[one["valid"]], one["label"][one["valid"]])
        assert not one["label"][~one["valid"]].any()
        outside += int((~one["valid"]).sum() > 16)
    assert outside  # the 8 x 8 image in a 16 x 16 window


def test_a_ticket_gives_the_same_sample_in_any_order_and_process(coloured):
    samples, others = (
        train_set(coloured, augment=AUGMENT),
        train_set(coloured, augment=AUGMENT, cache=CacheSpec(memory=0)),
    )
    tickets = [(epoch, index) for epoch in range(2) for index in range(12)]
    forward = {ticket: samples[ticket] for ticket in tickets}
    for ticket in reversed(tickets):
        assert equal(others[ticket], forward[ticket])
    assert not equal(forward[(0, 0)], forward[(1, 0)])
    assert not equal(train_set(coloured, augment=AUGMENT, seed=4)[(0, 0)], forward[(0, 0)])
    copied = pickle.loads(pickle.dumps(samples))
    assert copied._items.cache.held == 0
    assert equal(copied[(1, 5)], forward[(1, 5)])


def test_workers_make_the_same_samples(coloured):
    samples = train_set(coloured, augment=AUGMENT)
    tickets = [[(0, index), (1, index)] for index in range(6)]
    loader = DataLoader(
        samples,
        batch_sampler=tickets,
        collate_fn=collate,
        num_workers=2,
        worker_init_fn=worker_init,
        multiprocessing_context=multiprocessing.get_context("fork"),
        generator=torch.Generator(),
    )
    for batch, pair in zip(loader, tickets, strict=True):
        for place, ticket in enumerate(pair):
            assert torch.equal(batch["image"][place], samples[ticket]["image"])


def test_every_draw_takes_the_item_the_order_names(coloured):
    samples = train_set(coloured, draws=9)
    for epoch in range(2):
        drawn = [samples[(epoch, index)]["index"] for index in range(9)]
        assert drawn == order(3, epoch, 4, 9).tolist()
    assert len(samples) == 9


def test_whole_images_keep_their_size_also_when_scaled(coloured):
    shapes = {(20, 30), (31, 17), (8, 8), (25, 25)}
    for augment in ((), ({"scale_crop": {}}, {"d4": {}})):
        samples = train_set(coloured, crop=None, augment=augment, draws=4)
        assert {tuple(samples[(0, index)]["valid"].shape) for index in range(4)} == shapes


def test_validation_covers_every_pixel_once(coloured):
    for crop in ((16, 16), (7, 40), None):
        windows = ValidSet(coloured, coloured.keys, SCENES, PREPARE, crop, LIMIT)
        counts = np.zeros((4, 3), int)
        for place in range(len(windows)):
            one = windows[place]
            assert crop is None or one["valid"].shape == crop
            counts[one["index"]] += np.bincount(one["label"][one["valid"]].numpy(), minlength=3)
        for index, key in enumerate(coloured.keys):
            item = read_item(coloured, key, SCENES, LIMIT)
            assert counts[index].tolist() == np.bincount(item.label[item.valid], minlength=3).tolist()
    assert ValidSet(coloured, (), SCENES, PREPARE, None, LIMIT).__len__() == 0


def test_validation_sees_what_prediction_sees(coloured):
    windows = ValidSet(coloured, coloured.keys, SCENES, PREPARE, None, LIMIT)
    for place, key in enumerate(coloured.keys):
        item = read_item(coloured, key, SCENES, LIMIT)
        np.testing.assert_array_equal(windows[place]["image"].numpy(), PREPARE(item.image, item.seen))


def test_planes_are_stacked_as_they_are(tmp_path):
    save(tmp_path / "images" / "a.png", picture(1))
    (tmp_path / "t.csv").write_text("ImageId,c,EncodedPixels\na,lung,1 3\na,heart,2 5\n")
    block = RleCsvSource(images="images", table="t.csv", class_column="c", order="row")
    source = open_source(block, tmp_path, PLANES)
    one = train_set(source, crop=None, task=PLANES, augment=({"hflip": {"p": 1}},), draws=1)[(0, 0)]
    assert one["label"].shape == (2, 12, 16)
    assert one["label"].dtype == torch.int64
    assert one["label"][0, 0].flip(0)[:4].tolist() == [1, 1, 1, 0]


def test_smaller_samples_are_padded_where_nothing_counts():
    def made(height, width, index, planes=()):
        return Sample(
            image=torch.ones(3, height, width),
            label=torch.ones(*planes, height, width, dtype=torch.int64),
            valid=torch.ones(height, width, dtype=torch.bool),
            index=index,
            log_size=0.0,
        )

    batch = collate([made(4, 6, 7), made(5, 3, 9)])
    assert batch["image"].shape == (2, 3, 5, 6)
    assert batch["index"].tolist() == [7, 9]
    assert batch["valid"].sum((1, 2)).tolist() == [24, 15]
    assert batch["label"].sum((1, 2)).tolist() == [24, 15]
    assert batch["image"][1, :, :, 3:].abs().max() == 0
    assert collate([made(4, 4, 0, (2,)), made(4, 5, 1, (2,))])["label"].shape == (2, 2, 4, 5)
    assert torch.equal(collate([made(4, 4, 0)])["image"][0], torch.ones(3, 4, 4))


def test_pixels_the_image_hides_do_not_count_and_hold_the_mean(tmp_path):
    rgba = picture(1, bands=4)
    rgba[:, :, 3] = 255
    rgba[:4, :, 3] = 0
    save(tmp_path / "images" / "a.png", rgba)
    save(tmp_path / "masks" / "a.png", np.ones((12, 16), np.uint8))
    source = open_source(FolderSource(images="images", masks="masks"), tmp_path, BINARY)
    one = train_set(source, crop=None, task=BINARY, draws=1)[(0, 0)]
    assert one["valid"].sum() == 8 * 16
    assert one["label"].sum() == 8 * 16
    assert one["image"][:, :4].abs().max() < 0.02
    item = read_item(source, "a", BINARY, LIMIT)
    assert not item.label[:4].any()
    assert not item.image.flags.writeable


def test_an_image_unlike_the_training_set_is_refused_by_name(coloured, tmp_path):
    save(tmp_path / "images" / "9.png", picture(1, bands=4)[:, :, :2].repeat(2, 2)[:, :, :4])
    prepare = Preprocess((0, 1, 2), 65535.0, (0.5,) * 3, (0.25,) * 3, file_bands=3, dtype="uint16")
    samples = TrainSet(TrainSpec(coloured, coloured.keys, SCENES, prepare, None, (), LIMIT, 0, 4))
    with pytest.raises(InputError) as caught:
        samples[(0, 0)]
    assert str(caught.value).endswith(
        ".png: holds uint8 values, the model was made for uint16; give images on the scale of the training set"
    )


def test_the_cache_keeps_the_last_items_within_its_limit():
    reads = []

    def read(key):
        reads.append(key)
        array = np.zeros((10, 10), np.uint8)
        return Item(key, array[:, :, None], array, array.astype(bool), array.astype(bool))

    size = read("x").bytes
    cache = ItemCache(read, limit=2 * size)
    reads.clear()
    for key in "abab" + "c" + "b" + "a":
        assert cache.read(key).key == key
    assert reads == ["a", "b", "c", "a"]
    assert cache.held == 2 * size
    none = ItemCache(read, limit=0)
    none.read("a")
    assert none.held == 0


def test_samples_say_how_large_their_pixels_are_if_asked(coloured):
    augment = ({"scale_crop": {"scale": [2.0, 2.0]}},)
    asked = train_set(coloured, augment=augment, crop=(6, 8), sizes=True)
    assert asked[0, 0]["log_size"] == pytest.approx(-math.log(2))  # half a pixel of the image
    assert train_set(coloured, augment=augment, crop=(6, 8))[0, 0]["log_size"] == 0

    class Ground:
        def __init__(self, *sizes):
            self.known = sizes

        def attributes(self, key):
            size = self.known[int(key)]
            return {} if size is None else {"gsd": size}

    assert ground_sizes(Ground("0.5", "2"), ("0", "1")) == [0.5, 2.0]
    assert ground_sizes(Ground(None, "?"), ("0", "1")) == [1.0, 1.0]
    first, second = ground_sizes(Ground("0.07", None), ("0", "1"))
    assert first == 0.07
    assert math.isnan(second)


def test_items_are_brought_to_one_size_before_windows_are_cut(coloured):
    """Images and validity by OpenCV, labels by the nearest pixel; scored windows cover the new size once."""
    import cv2

    windows = ValidSet(coloured, coloured.keys, SCENES, PREPARE, (8, 8), LIMIT, None, (16, 24))
    assert len(windows) == 4 * 2 * 3
    whole = ValidSet(coloured, coloured.keys, SCENES, PREPARE, None, LIMIT, None, (16, 24))
    for place, key in enumerate(coloured.keys):
        item, sample = read_item(coloured, key, SCENES, LIMIT), whole[place]
        assert sample["label"].shape == sample["valid"].shape == (16, 24)
        native = cv2.resize(item.label, (24, 16), interpolation=cv2.INTER_NEAREST_EXACT)
        there = sample["valid"].numpy()
        np.testing.assert_array_equal(sample["label"].numpy()[there], native[there])
    drawn = train_set(coloured, crop=None, resize=(16, 24))[(0, 0)]
    assert drawn["image"].shape == (3, 16, 24)
