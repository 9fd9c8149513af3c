"""From item and window to a sample for the model; the only file of this room that knows torch."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, TypedDict

import numpy as np
import torch
from torch import Tensor
from torch.utils.data import Dataset

from maskwright.core.grid import Shape, Window, partition, whole
from maskwright.core.labels import Task
from maskwright.data.augment import table as augment
from maskwright.data.augment.base import Setting
from maskwright.data.augment.others import OtherItems
from maskwright.data.cache.cache import CacheSpec, open_cache
from maskwright.data.items import Item, read_item
from maskwright.data.labels.soft import harden, to_floats
from maskwright.data.places import Places, Spots
from maskwright.data.preprocess import Preprocess, preprocess_for
from maskwright.data.sampling import Lots, sample_seed
from maskwright.data.sources.base import Source
from maskwright.data.windows import Layers, cut
from maskwright.data.windows import resize as brought_to

__all__ = [
    "Batch",
    "Item",
    "Preprocess",
    "Sample",
    "TrainSet",
    "TrainSpec",
    "ValidSet",
    "collate",
    "preprocess_for",
    "read_item",
    "worker_init",
]

Ticket = tuple[int, int]
"""(epoch, index): one draw of a training."""


class Sample(TypedDict):
    """One window, ready for the model."""

    image: Tensor
    """float32 (B bands, h, w), normalised."""
    label: Tensor
    """int64 (h, w), or (K, h, w) for multilabel; float32 (K, h, w) if labels are probabilities; 0 where not valid."""
    valid: Tensor
    """bool (h, w)."""
    index: int
    """Number of the item among the keys."""
    log_size: float
    """Natural logarithm of how large a pixel is: in metres if the item has an attribute gsd, in pixels of the image if
    no item has; nan: not known; 0 where nobody asks."""


class Batch(TypedDict):
    """Samples of one size on a new first axis."""

    image: Tensor
    label: Tensor
    valid: Tensor
    index: Tensor
    """int64 (N,)."""
    log_size: Tensor
    """float32 (N,)."""


@dataclass(frozen=True)
class TrainSpec:
    """All that the samples of one training depend on."""

    source: Source
    keys: tuple[str, ...]
    task: Task
    preprocess: Preprocess
    crop_shape: Shape | None
    """(height, width) of the random windows; None: whole images."""
    augment: Sequence[Mapping[str, Mapping[str, Any]]]
    """Entries of the recipe, see data/augment/table.py."""
    max_pixels: int
    seed: int
    draws: int
    """Samples in an epoch."""
    cache: CacheSpec = field(default_factory=CacheSpec)
    """Where decoded items are kept."""
    lots: Lots | None = None
    """Which item each draw takes; None: all alike."""
    classes: tuple[int, ...] = ()
    """Label values (planes, for multilabel) whose objects the rule `objects` draws."""
    pixels: tuple[int, ...] | None = None
    """Valid pixels of each value (plane) in all items, which say what copy_paste counts as rare; None: unknown."""
    sizes: bool = False
    """Whether samples say how large their pixels are."""
    resize: Shape | None = None
    """(height, width) that items are brought to first; None: their own."""
    spots: Mapping[str, Spots] = field(default_factory=dict)
    """Key -> where windows of this item are drawn more often."""


class _Items:
    """Items with their pixels made numbers, read through a cache."""

    def __init__(
        self,
        source: Source,
        task: Task,
        preprocess: Preprocess,
        max_pixels: int,
        cache: CacheSpec,
        *,
        soft: bool = False,
        resize: Shape | None = None,
    ) -> None:
        assert source.labelled, "training and validation need labels"
        self.source, self.task, self.preprocess, self.max_pixels = source, task, preprocess, max_pixels
        self.soft, self.resize = soft, resize
        # what is kept on disk was settled for plain labels at their own size, which all members share
        apart = soft or resize is not None
        self.cache = open_cache(self._read, source, replace(cache, folder=None) if apart else cache)

    def _read(self, key: str) -> Item:
        item = read_item(self.source, key, self.task, self.max_pixels, soft=self.soft)
        path = self.source.image_path(key)
        image = self.preprocess.of_scene(path).number(item.image, item.seen, str(path))
        if self.resize is None or item.label is None:
            return replace(item, image=image, seen=item.valid)
        layers = brought_to(Layers(image, item.label, item.valid), self.resize)
        return replace(item, image=layers.image, label=layers.label, valid=layers.valid, seen=layers.valid)

    def layers(self, key: str) -> Layers:
        """Return the layers of an item at full size; they must not be written to."""
        item = self.cache.read(key)
        assert item.label is not None, key
        return Layers(item.image, item.label, item.valid)

    def plain(self, layers: Layers) -> Layers:
        """Return layers whose label is a plain one."""
        return layers._replace(label=harden(layers.label, self.task)) if self.soft else layers

    def sample(self, layers: Layers, index: int, log_size: float = 0.0) -> Sample:
        """Normalise what was cut, and turn it into tensors."""
        return Sample(
            image=torch.from_numpy(self.preprocess.normalise(layers.image)),
            label=torch.from_numpy(
                to_floats(layers.label, self.task) if self.soft else layers.label.astype(np.int64, order="C")
            ),
            valid=torch.from_numpy(layers.valid.copy(order="C")),
            index=index,
            log_size=log_size,
        )


class TrainSet(Dataset[Sample]):
    """Augmented random windows, indexed by (epoch, index) tickets: the same ticket, the same sample, anywhere.

    Labels are probabilities if the source has some.

    Where items are drawn by their errors, the sample depends on what `lots` has learnt too.

    Args:
        spec: see TrainSpec.
    """

    def __init__(self, spec: TrainSpec) -> None:
        self.spec = spec
        soft = spec.source.soft
        self._items = _Items(
            spec.source, spec.task, spec.preprocess, spec.max_pixels, spec.cache, soft=soft, resize=spec.resize
        )
        setting = Setting(spec.task, len(spec.preprocess.bands), spec.pixels, soft)
        self._augmenter = augment.build(spec.augment, setting=setting)
        self.lots = spec.lots or Lots(spec.seed, len(spec.keys), spec.draws)
        self._places = Places(self.lots.sampling, spec.classes, spec.spots)
        self._others = OtherItems(len(spec.keys), self._numbered)
        self._grounds = ground_sizes(spec.source, spec.keys) if spec.sizes else []

    def __len__(self) -> int:
        return self.spec.draws

    def _numbered(self, index: int) -> Layers:
        return self._items.layers(self.spec.keys[index])

    def __getitem__(self, ticket: Ticket) -> Sample:
        epoch, index = ticket
        spec = self.spec
        items, aims = self.lots.picks(epoch, index, 1)
        drawn, aim = int(items[0]), int(aims[0])
        key = spec.keys[drawn]
        layers = self._items.layers(key)
        seed = sample_seed(spec.seed, epoch, index)
        size = spec.crop_shape or layers.shape
        looked = self._items.plain(layers) if self._places.looks else layers
        gsd = gsd_of(spec.source, key) if self._augmenter.by_gsd else None
        source = self._augmenter.source_shape(size, seed, gsd)
        window = self._places.window(key, looked, aim, seed, source)
        result = self._augmenter(*cut(layers, window), seed, size, self._others)
        return self._items.sample(Layers(*result), drawn, self._log_size(drawn, window.shape, size))

    def _log_size(self, drawn: int, cut_shape: Shape, size: Shape) -> float:
        """Return the logarithm of the size of a sample's pixels, by the window it was cut from."""
        if not self.spec.sizes:
            return 0.0
        zoom = math.sqrt(cut_shape[0] * cut_shape[1] / (size[0] * size[1]))
        return math.log(self._grounds[drawn] * zoom)


def gsd_of(source: Source, key: str) -> float | None:
    """Return the metres that a pixel of an item measures on the ground, from its attribute gsd; None: nobody knows."""
    try:
        metres = float(source.attributes(key).get("gsd", "nan"))
    except ValueError:
        return None
    return metres if 0 < metres < math.inf else None


class ValidSet(Dataset[Sample]):
    """Every pixel of some items exactly once, in windows that meet but do not overlap.

    Args:
        source: labelled.
        keys: some of its keys.
        task: gives classes, values and ignore.
        preprocess: as in training.
        crop_shape: (height, width) of the windows; None: whole images.
        max_pixels: larger images are refused.
        cache: where decoded items are kept.
        resize: (height, width) that items are brought to first; None: their own.
    """

    def __init__(
        self,
        source: Source,
        keys: Sequence[str],
        task: Task,
        preprocess: Preprocess,
        crop_shape: Shape | None,
        max_pixels: int,
        cache: CacheSpec | None = None,
        resize: Shape | None = None,
    ) -> None:
        self.keys = tuple(keys)
        self._items = _Items(source, task, preprocess, max_pixels, cache or CacheSpec(), resize=resize)
        self._windows: list[tuple[int, Window]] = []
        for index, key in enumerate(self.keys):
            shape = resize or source.read_header(key, max_pixels).shape
            found = [whole(shape)] if crop_shape is None else partition(shape, crop_shape)
            self._windows += [(index, window) for window in found]

    def __len__(self) -> int:
        return len(self._windows)

    def __getitem__(self, place: int) -> Sample:
        index, window = self._windows[place]
        return self._items.sample(cut(self._items.layers(self.keys[index]), window), index)


def ground_sizes(source: Source, keys: Sequence[str]) -> list[float]:
    """Return how large the pixels of items are.

    Args:
        source: whose attribute gsd says it, in metres; scenes have it, and tables with such a column.
        keys: some of its keys.

    Returns:
        of each item; nan where it has no such number and another has, 1 where no item has.
    """
    found = []
    for key in keys:
        try:
            size = float(source.attributes(key).get("gsd", "nan"))
        except ValueError:
            size = math.nan
        found.append(size if size > 0 and math.isfinite(size) else math.nan)
    return [1.0] * len(found) if all(map(math.isnan, found)) else found


def collate(samples: Sequence[Sample]) -> Batch:
    """Stack samples; smaller ones are padded below and right with the mean, where nothing counts.

    Args:
        samples: at least one; sizes may differ.
    """
    height = max(sample["valid"].shape[0] for sample in samples)
    width = max(sample["valid"].shape[1] for sample in samples)

    def stack(tensors: Sequence[Tensor]) -> Tensor:
        first = tensors[0]
        if all(tensor.shape == first.shape for tensor in tensors):
            return torch.stack(list(tensors))
        result = first.new_zeros((len(tensors), *first.shape[:-2], height, width))
        for place, tensor in enumerate(tensors):
            result[place, ..., : tensor.shape[-2], : tensor.shape[-1]] = tensor
        return result

    return Batch(
        image=stack([sample["image"] for sample in samples]),
        label=stack([sample["label"] for sample in samples]),
        valid=stack([sample["valid"] for sample in samples]),
        index=torch.tensor([sample["index"] for sample in samples], dtype=torch.int64),
        log_size=torch.tensor([sample["log_size"] for sample in samples], dtype=torch.float32),
    )


def worker_init(number: int) -> None:
    """Keep a data worker to one thread, so that workers do not fight for processors."""
    import cv2

    del number
    torch.set_num_threads(1)
    cv2.setNumThreads(0)
