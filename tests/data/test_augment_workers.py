"""All augmentations through the data loader: the same samples with 0, 1 and 2 workers."""

import multiprocessing

import numpy as np
import pytest
import torch
from augment_helpers import EXTRA
from data_helpers import SCENES, picture, save
from torch.utils.data import DataLoader

from maskwright.core.recipe.sources import FolderSource
from maskwright.data.augment.table import TABLE
from maskwright.data.dataset import TrainSet, TrainSpec, collate, worker_init
from maskwright.data.preprocess import Preprocess
from maskwright.data.sources.open import open_source

TICKETS = [[(0, index), (1, index)] for index in range(6)]


@pytest.fixture
def source(tmp_path):
    for place, (height, width) in enumerate([(20, 30), (31, 17), (8, 8), (25, 25)]):
        label = np.random.default_rng(place).integers(0, 3, (height, width)).astype(np.uint8).repeat(2, 0).repeat(2, 1)
        label[0, 0] = 255
        save(tmp_path / "images" / f"{place}.png", picture(place, 2 * height, 2 * width))
        save(tmp_path / "masks" / f"{place}.png", label)
    return open_source(FolderSource(images="images", masks="masks"), tmp_path, SCENES)


def batches(source, workers):
    spec = TrainSpec(
        source=source,
        keys=source.keys,
        task=SCENES,
        preprocess=Preprocess((0, 1, 2), 255.0, (0.5, 0.5, 0.5), (0.25, 0.25, 0.25)),
        crop_shape=(32, 32),
        augment=tuple({name: {**EXTRA.get(name, {}), "p": 0.4}} for name in TABLE),
        max_pixels=10**6,
        seed=5,
        draws=6,
    )
    loader = DataLoader(
        TrainSet(spec),
        batch_sampler=TICKETS,
        collate_fn=collate,
        num_workers=workers,
        worker_init_fn=worker_init if workers else None,
        multiprocessing_context=multiprocessing.get_context("fork") if workers else None,
        generator=torch.Generator(),
    )
    return list(loader)


def test_a_recipe_of_all_entries_gives_the_same_samples_whatever_the_number_of_workers(source):
    alone = batches(source, 0)
    for workers in (1, 2):
        for one, two in zip(alone, batches(source, workers), strict=True):
            for name in one:
                assert torch.equal(one[name], two[name]), (workers, name)
    first, last = alone[0]["image"], alone[-1]["image"]
    assert not torch.equal(first[0], first[1])
    assert not torch.equal(first, last)
