"""Simulated members: truth, noisy probabilities of it, and stores in memory."""

from dataclasses import dataclass, field

import numpy as np
import pytest

from maskwright.core.errors import InputError
from maskwright.core.labels import Task
from maskwright.data.folds.folds import FoldRow
from maskwright.ensembling.oof import OutOfFold
from maskwright.inference.store import quantise

TASKS = {
    "binary": Task(kind="binary", classes=("roof",)),
    "multiclass": Task(kind="multiclass", classes=("ground", "roof", "road", "tree")),
    "multilabel": Task(kind="multilabel", classes=("roof", "shadow", "wet")),
}


@dataclass
class MemoryStore:
    """What OutOfFold asks of a Store, without a disk."""

    folder: str
    items: dict = field(default_factory=dict)
    reads: list = field(default_factory=list)

    def write(self, key, stored, valid, facts):
        self.items[key] = (stored, valid, 255 if stored.dtype == np.uint8 else 65535, facts)

    def keys(self):
        return tuple(sorted(self.items))

    def describe(self, key):
        return self.items[key][0].shape, self.items[key][3]

    def shape(self, key):
        return self.items[key][0].shape

    def read_item(self, key):
        if key not in self.items:
            raise InputError(f"no probabilities of item '{key}'")
        self.reads.append(key)
        return self.items[key][:3]


@dataclass
class Scene:
    """Everything a test needs about one simulated data set."""

    task: Task
    stores: dict
    rows: list
    labels: dict
    valids: dict

    def truth(self, key):
        return self.labels[key], self.valids[key]

    @property
    def oof(self):
        return OutOfFold(self.stores, self.rows, self.truth, self.task, "hash")


def random_label(task, shape, rng, share=0.4, even=False):
    if task.kind == "multiclass":
        return rng.choice(4, size=shape, p=[0.25] * 4 if even else [0.5, 0.25, 0.15, 0.1]).astype(np.uint8)
    planes = (task.planes, *shape) if task.kind == "multilabel" else shape
    return (rng.random(planes) < share).astype(np.uint8)


def probabilities(label, task, noise, bias):
    """Logits of +-1 plus noise (K, H, W) and bias, through the task's activation."""
    if task.kind == "multiclass":
        logits = 2.0 * (np.arange(4).reshape(-1, 1, 1) == label) + noise
        logits[0] += bias
        grown = np.exp(logits - logits.max(0))
        return (grown / grown.sum(0)).astype(np.float32)
    planes = label if task.kind == "multilabel" else label[None]
    return (0.5 + 0.5 * np.tanh(2.0 * planes - 1 + noise + bias)).astype(np.float32)


@pytest.fixture
def tasks():
    return TASKS


@pytest.fixture
def simulate():
    """Make a scene: one noise level (and bias) for each member; `common` is the share of noise that all have."""
    defaults = {
        "biases": None,
        "items": 12,
        "folds": 3,
        "shape": (8, 9),
        "seed": 0,
        "bits": (8,),
        "valid": 1.0,
        "even": False,
    }

    def make(kind="binary", noises=(1.0, 1.0), common=0.0, **given):
        assert given.keys() <= defaults.keys(), given
        biases, items, folds, shape, seed, bits, valid, even = {**defaults, **given}.values()
        rng, task = np.random.default_rng(seed), TASKS[kind]
        names = [f"m{index}" for index in range(len(noises))]
        scene = Scene(task, {name: MemoryStore(f"store/{name}") for name in names}, [], {}, {})
        for index in range(items):
            key, fold = f"i{index:03d}", index % folds
            label = random_label(task, shape, rng, rng.uniform(0.2, 0.6), even)
            scene.labels[key], scene.valids[key] = label, rng.random(shape) < valid
            scene.rows.append(FoldRow(key, key, fold))
            hard = np.exp(0.5 * rng.normal())  # some items are harder than others, for every member
            planes = (task.planes, *shape)
            same = rng.normal(size=planes)
            for place, (name, noise) in enumerate(zip(names, noises, strict=True)):
                bias = (biases or [0.0] * len(noises))[place]
                own = common**0.5 * same + (1 - common) ** 0.5 * rng.normal(size=planes)
                made = probabilities(label, task, noise * hard * own, bias)
                facts = {"member": name, "split": "oof", "folds": [fold], "recipe": "hash"}
                scene.stores[name].write(key, quantise(made, bits[place % len(bits)]), np.ones(shape, bool), facts)
        return scene

    return make
