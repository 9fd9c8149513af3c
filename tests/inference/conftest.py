"""Tiny networks, pictures on disk and a source of them."""

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from maskwright.core.labels import Task
from maskwright.core.recipe.members import Predict
from maskwright.data.preprocess import Preprocess
from maskwright.data.sources.base import Defaults
from maskwright.inference.predict import PredictJob
from maskwright.inference.store import Store
from maskwright.models.adapt import SegModel

PREPROCESS = Preprocess(bands=(0, 1, 2), divide=128.0, mean=(1.0,) * 3, std=(1.0,) * 3)
TASKS = {
    "binary": Task(kind="binary", classes=("roof",)),
    "multiclass": Task(kind="multiclass", classes=("ground", "roof", "road")),
    "multilabel": Task(kind="multilabel", classes=("roof", "shadow")),
}


class TinyNet(torch.nn.Module):
    """Two convolutions: asymmetric, so that a wrong inverse shows, and 5 pixels wide."""

    def __init__(self, planes):
        super().__init__()
        self.encoder = torch.nn.Conv2d(3, 4, 3, padding=1)
        self.head = torch.nn.Conv2d(4, planes, 3, padding=1)

    def forward(self, image):
        return self.head(self.encoder(image).relu()) * 4


class Gossip(TinyNet):
    """The answer for one image leans on all that share its batch, as real kernels do in the last bit."""

    def forward(self, image):
        return super().forward(image) + image.mean() * len(image)


@dataclass
class Pictures(Defaults):
    """A source of unlabelled pictures."""

    folder: Path
    keys: tuple[str, ...]

    def image_path(self, key):
        return self.folder / f"{key}.png"


@pytest.fixture
def make_model():
    """Make a network with random weights; gossip=True: one whose answers depend on the batch."""

    def make(planes=1, seed=0, stride=1, gossip=False):
        torch.manual_seed(seed)
        return SegModel((Gossip if gossip else TinyNet)(planes), stride, stride).eval()

    return make


@pytest.fixture
def tasks():
    return TASKS


@pytest.fixture
def pictures(tmp_path):
    """Make pictures of given sizes: a.png, b.png, ..."""

    def make(*shapes, alpha=()):
        rng = np.random.default_rng(5)
        keys = tuple(chr(ord("a") + index) for index in range(len(shapes)))
        (tmp_path / "images").mkdir(exist_ok=True)
        for key, shape in zip(keys, shapes, strict=True):
            pixels = rng.integers(0, 256, (*shape, 4 if key in alpha else 3), np.uint8)
            if key in alpha:
                pixels[..., 3] = 255 * (pixels[..., 3] > 99)
            Image.fromarray(pixels).save(tmp_path / "images" / f"{key}.png")
        return Pictures(tmp_path / "images", keys)

    return make


@pytest.fixture
def job(pictures):
    """Make a job on pictures of given sizes."""

    def make(*shapes, task="binary", alpha=(), **predict):
        source = pictures(*shapes, alpha=alpha)
        facts = {"member": "m", "split": "oof", "folds": [0], "recipe": "r"}
        return PredictJob(Predict(**predict), TASKS[task], source, source.keys, PREPROCESS, 10**6, facts)

    return make


@pytest.fixture
def store(tmp_path):
    return Store(tmp_path / "store")
