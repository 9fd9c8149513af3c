"""Confusion matrix and overlap counts: ours beside torchmetrics and numpy, with the floor of one pass.

Floors: of the confusion matrix one pass over truth and prediction (numpy count_nonzero of both); of
the overlap counts a compiled loop that adds up truth, prediction and both at once.
"""

from __future__ import annotations

import warnings

import numba
import numpy as np
import torch
from numpy.typing import NDArray

from bench.bench_rle import blobs
from bench.common import Row, contest, row
from maskwright.core.labels import Task
from maskwright.scoring.counts import confusion, count

CLASSES, SIDE = 11, 512
PLANES, LARGE = 29, 2048
Labels = NDArray[np.uint8]


def regions(seed: int) -> tuple[Labels, Labels]:
    """Smooth regions of 11 classes, and a prediction that is a little off: 13 pixels a run, as in CamVid (17)."""
    chance = np.random.default_rng(seed)
    rows, cols = np.fft.fftfreq(SIDE)[:, None], np.fft.rfftfreq(SIDE)[None]
    kept = np.exp(-2 * (np.pi * 16) ** 2 * (rows**2 + cols**2))
    fields = [np.fft.irfft2(np.fft.rfft2(chance.standard_normal((SIDE, SIDE))) * kept) for _ in range(CLASSES)]
    truth = np.argmax(fields, axis=0).astype(np.uint8)
    return truth, np.roll(truth, (3, 2), axis=(0, 1))


def noise(seed: int) -> tuple[Labels, Labels]:
    """Independent random classes at every pixel."""
    truth, predicted = np.random.default_rng(seed).integers(0, CLASSES, (2, SIDE, SIDE)).astype(np.uint8)
    return truth, predicted


@numba.njit(nogil=True)
def fused(truth: Labels, predicted: Labels) -> tuple[int, int, int]:
    both = true = said = 0
    for index in range(truth.size):
        both += truth[index] & predicted[index]
        true += truth[index]
        said += predicted[index]
    return both, true, said


def torch_confusion() -> object:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        from torchmetrics.functional.classification import multiclass_confusion_matrix
    return multiclass_confusion_matrix


def confusion_row(name: str, truth: Labels, predicted: Labels, target: float) -> Row:
    valid = np.ones(truth.shape, np.bool_)
    theirs = torch_confusion()
    wide = torch.from_numpy(predicted.astype(np.int64)), torch.from_numpy(truth.astype(np.int64))

    def bincount(dtype: type) -> Labels:
        pairs = truth.astype(dtype, copy=False) * dtype(CLASSES) + predicted.astype(dtype, copy=False)
        return np.bincount(pairs.ravel(), minlength=CLASSES**2).reshape(CLASSES, CLASSES)

    ours = confusion(truth, predicted, valid, CLASSES)
    assert (ours == bincount(np.uint8)).all()
    assert (ours == theirs(*wide, num_classes=CLASSES).numpy()).all()
    flags = truth.view(np.bool_), predicted.view(np.bool_)
    contestants = {
        "ours": lambda: confusion(truth, predicted, valid, CLASSES),
        "floor": lambda: (np.count_nonzero(flags[0]), np.count_nonzero(flags[1])),
        "torchmetrics": lambda: theirs(*wide, num_classes=CLASSES),
        "torchmetrics unvalidated": lambda: theirs(*wide, num_classes=CLASSES, validate_args=False),
        "bincount int64": lambda: bincount(np.int64),
        "bincount uint8": lambda: bincount(np.uint8),
    }
    return row(
        name, contest(contestants), target=target, note=f"{SIDE}x{SIDE} uint8, {CLASSES} classes, valid folded in"
    )


def overlap_row() -> Row:
    one = blobs(LARGE, 32, seed=1)
    truth = np.stack([np.roll(one, 7 * plane, axis=1) for plane in range(PLANES)])
    predicted = np.roll(truth, 5, axis=2)
    task = Task(kind="multilabel", classes=tuple(f"class {plane}" for plane in range(PLANES)))
    valid = np.ones((LARGE, LARGE), np.bool_)
    flags = truth.view(np.bool_), predicted.view(np.bool_)

    def numpy_counts() -> list[tuple[int, int, int]]:
        pairs = zip(*flags, strict=True)
        return [(np.count_nonzero(t & p), np.count_nonzero(t), np.count_nonzero(p)) for t, p in pairs]

    def floor() -> list[tuple[int, int, int]]:
        return [fused(t.ravel(), p.ravel()) for t, p in zip(truth, predicted, strict=True)]

    counts = count(truth, predicted, valid, task)
    assert list(zip(counts.tp, counts.truth, counts.predicted, strict=True)) == numpy_counts() == floor()
    contestants = {
        "ours": lambda: count(truth, predicted, valid, task),
        "floor": floor,
        "numpy & + count_nonzero": numpy_counts,
        "numpy product": lambda: [(t * p).sum() for t, p in zip(truth, predicted, strict=True)],
    }
    times = contest(contestants, rounds=11)
    return row("overlap counts (Dice)", times, target=1.2, note=f"{PLANES} planes of {LARGE}x{LARGE}")


def rows() -> list[Row]:
    """Measure the confusion matrix on regions and on noise, and the overlap of planes."""
    torch.set_num_threads(1)
    return [
        confusion_row("confusion matrix, regions", *regions(seed=0), target=5),
        confusion_row("confusion matrix, noise", *noise(seed=0), target=10),
        overlap_row(),
    ]
