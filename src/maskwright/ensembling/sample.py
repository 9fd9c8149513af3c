"""Some pixels of every item, kept in memory for searches that would look at each pixel many times."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from maskwright.core.labels import Task
from maskwright.ensembling.oof import Item

SAMPLE_BYTES = 1 << 25
"""Memory for the pixels that searches look at; what they find is then counted on all pixels."""


@dataclass(frozen=True)
class Sample:
    """Some valid pixels of one item, or of several."""

    values: NDArray[np.uint16]
    """uint16 (M, K, N)."""
    scale: int
    label: NDArray[np.uint8]
    """uint8 (N,), or (K, N) for multilabel."""


Samples = Mapping[int, Sequence[Sample]]
"""Fold -> samples."""


def stride_of(pixels: int, task: Task, members: int) -> int:
    """Return of how many pixels one is kept."""
    cost = task.planes * (2 * members + 1)
    return max(1, -(-pixels * cost // SAMPLE_BYTES))


def draw(item: Item, stride: int) -> Sample:
    """Take one valid pixel of each `stride`, at a random place within, seeded by the item's key."""
    places = np.flatnonzero(item.valid)
    if stride > 1:
        rng = np.random.default_rng(list(item.entry.key.encode()))
        starts = np.arange(0, places.size, stride)
        places = places[np.minimum(starts + rng.integers(0, stride, starts.size), places.size - 1)]
    values = item.values.reshape(*item.values.shape[:2], -1)
    label = item.label.reshape(*item.label.shape[:-2], -1)
    return Sample(np.ascontiguousarray(values[:, :, places]), item.scale, np.ascontiguousarray(label[..., places]))


def joined(samples: Samples) -> dict[int, list[Sample]]:
    """Put the samples of one scale of each fold into one."""
    found: dict[int, list[Sample]] = {}
    for fold, drawn in samples.items():
        for scale in sorted({sample.scale for sample in drawn}):
            parts = [sample for sample in drawn if sample.scale == scale]
            values = np.concatenate([part.values for part in parts], axis=-1)
            label = np.concatenate([part.label for part in parts], axis=-1)
            found.setdefault(fold, []).append(replace(parts[0], values=values, label=label))
    return found
