"""Samples whose colour is their label, other items to mix in, and an augmenter that always applies one entry."""

import numpy as np

from maskwright.core.labels import Task
from maskwright.data.augment.base import Setting
from maskwright.data.augment.others import OtherItems
from maskwright.data.augment.table import build
from maskwright.data.windows import Layers

TASK = Task(kind="multiclass", classes=("background", "road", "car", "tree"), ignore=255)
MANY = Task(kind="multilabel", classes=("lung", "heart", "rib"))
EXTRA = {
    "clahe": {"tiles": 2},
    "albumentations": {"name": "MotionBlur", "params": {"p": 1.0}},
    "one_of": {"of": [{"blur": {}}, {"rotate": {"limit": 40}}]},
}
COLOURS = np.random.default_rng(8).permutation(np.linspace(3, 250, 112)).reshape(8, 14).astype(np.uint8)
"""One of 14 bands for each value: no two share a band's value, and no mixture of two is a third."""


def needs_rgb(name, bands):
    """The one entry that has to be told which bands are red, green and blue."""
    return name == "hue_saturation" and bands != 3


def always(name, bands=3, task=None, **params):
    given = {"p": 1.0, **EXTRA.get(name, {}), **params}
    if needs_rgb(name, bands):
        given["rgb"] = [3, 2, 1]
    return build([{name: given}], setting=Setting(task, bands))


def coloured(height=40, width=56, bands=3, dtype=np.uint8, planes=None, seed=0):
    """Blocks of 8 pixels, each of one value (one set of planes); every pixel has the colour of its value."""
    rng = np.random.default_rng(seed)
    values = rng.integers(0, 4 if bands > 1 else 2, (height // 8 + 1, width // 8 + 1)).repeat(8, 0).repeat(8, 1)
    values = values[:height, :width].astype(np.uint8)
    label = values if planes is None else ((values[None] >> np.arange(planes)[:, None, None]) & 1).astype(np.uint8)
    valid = np.ones((height, width), bool)
    valid[:3, 5:11] = False
    label = label * valid
    image = colours(bands)[values] if dtype == np.uint8 else colours(bands)[values].astype(np.float32) / 256
    return Layers(image, label, valid)


def colours(bands):
    """Return the colour of each value, uint8 (8, bands); two extremes for one band, where mixtures lie between."""
    return COLOURS[:, :bands] if bands > 1 else np.array([[10], [240]] * 4, np.uint8)


def others(bands=3, dtype=np.uint8, planes=None):
    """Three more items of other sizes."""
    items = [coloured(30 + 9 * n, 80 - 11 * n, bands, dtype, planes, seed=n + 1) for n in range(3)]
    return OtherItems(3, items.__getitem__)


def run(augmenter, layers, seed, size=None):
    bands, planes = layers.image.shape[2], None if layers.label.ndim == 2 else len(layers.label)
    found = augmenter(*layers, seed, size, others(bands, layers.image.dtype, planes))
    return Layers(*found)
