"""True and false positives and negatives of each class: integers that add up over images.

Only pixels where `valid` is true count, and every one of them exactly once in each class.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from maskwright.core.errors import InputError
from maskwright.core.labels import Task

Label = NDArray[np.uint8] | NDArray[np.bool_] | NDArray[np.integer[Any]]
Valid = NDArray[np.bool_]
FIELDS = ("tp", "fp", "fn", "tn")


@dataclass(frozen=True, eq=False)
class Counts:
    """Pixels of K classes, int64 (K,) each: found, wrongly found, missed, rightly left out."""

    tp: NDArray[np.int64]
    fp: NDArray[np.int64]
    fn: NDArray[np.int64]
    tn: NDArray[np.int64]

    def __post_init__(self) -> None:
        for field in FIELDS:
            object.__setattr__(self, field, np.array(getattr(self, field), np.int64).reshape(-1))
        assert len({getattr(self, field).size for field in FIELDS}) == 1, "counts of different numbers of classes"

    def __add__(self, other: Counts) -> Counts:
        """Return the counts of both sets of pixels together."""
        assert self.classes == other.classes, (self.classes, other.classes)
        return Counts(*(getattr(self, field) + getattr(other, field) for field in FIELDS))

    def __eq__(self, other: object) -> bool:
        """Say whether all numbers agree."""
        return isinstance(other, Counts) and self.to_plain() == other.to_plain()

    __hash__ = None  # type: ignore[assignment]

    @property
    def classes(self) -> int:
        """K, the number of classes counted."""
        return int(self.tp.size)

    @property
    def truth(self) -> NDArray[np.int64]:
        """Pixels of each class in the truth, int64 (K,)."""
        return self.tp + self.fn

    @property
    def predicted(self) -> NDArray[np.int64]:
        """Pixels of each class in the prediction, int64 (K,)."""
        return self.tp + self.fp

    @property
    def pixels(self) -> NDArray[np.int64]:
        """Pixels counted for each class, int64 (K,): all valid ones."""
        return self.tp + self.fp + self.fn + self.tn

    @property
    def stacked(self) -> NDArray[np.int64]:
        """tp, fp, fn, tn in one array, int64 (4, K)."""
        return np.stack([self.tp, self.fp, self.fn, self.tn])

    @classmethod
    def zero(cls, classes: int) -> Counts:
        """Return the counts of no pixels, for K classes."""
        return cls(*(np.zeros(classes, np.int64) for _ in FIELDS))

    @classmethod
    def from_confusion(cls, matrix: NDArray[np.int64]) -> Counts:
        """Return the counts in a confusion matrix, int64 (C, C), rows = truth."""
        hits = np.diagonal(matrix)
        missed, wrong = matrix.sum(axis=1) - hits, matrix.sum(axis=0) - hits
        return cls(hits, wrong, missed, matrix.sum() - hits - missed - wrong)

    def to_plain(self) -> dict[str, list[int]]:
        """Return plain lists for JSON."""
        return {field: getattr(self, field).tolist() for field in FIELDS}

    @classmethod
    def from_plain(cls, plain: dict[str, list[int]]) -> Counts:
        """Return what to_plain was made from."""
        return cls(*(np.array(plain[field], np.int64) for field in FIELDS))


def count(truth: Label, predicted: Label, valid: Valid | None, task: Task) -> Counts:
    """Count the right and wrong pixels of one image, or of any array of pixels.

    Args:
        truth: label as the task means it: (H, W) of 0/1 (binary), (H, W) of ids (multiclass),
            (K, H, W) of 0/1 (multilabel).
        predicted: the same for the prediction.
        valid: bool (H, W); None: all pixels count.
        task: says what the values mean.

    Returns:
        Counts of K = task.planes classes.

    Raises:
        InputError: multiclass, and a valid pixel holds an id that is not in the task.
    """
    from maskwright.scoring import kernels

    if task.kind == "multiclass":
        return Counts.from_confusion(confusion(truth, predicted, valid, len(task.classes)))
    if task.kind == "binary":
        truth, predicted = truth[np.newaxis], predicted[np.newaxis]
    assert len(truth) == task.planes, (truth.shape, task.planes)
    assert truth.shape == predicted.shape, (truth.shape, predicted.shape)
    assert valid is None or valid.shape == truth.shape[1:], (valid.shape, truth.shape)
    partly = valid is not None and not valid.all()
    counted = _valid_bytes(valid, truth.shape[1:]) if partly else np.empty(0, np.uint8)
    totals = np.zeros((task.planes, 4), np.int64)
    for true, said, row in zip(truth, predicted, totals, strict=True):
        kernels.count_overlap(_bytes(true), _bytes(said), counted, row)
    both, true, said, pixels = totals.T
    return Counts(both, said - both, true - both, pixels - true - said + both)


def confusion(truth: Label, predicted: Label, valid: Valid | None, classes: int) -> NDArray[np.int64]:
    """Count how often each true class was predicted as each class.

    Args:
        truth: class ids 0..C-1, any shape; whatever stands where valid is false is ignored.
        predicted: class ids 0..C-1, same shape.
        valid: bool, same shape; None: all pixels count.
        classes: C, 1..256.

    Returns:
        int64 (C, C), rows = truth, columns = prediction; the sum is the number of valid pixels.

    Raises:
        InputError: a valid pixel holds an id that is not below C.
    """
    from maskwright.scoring import kernels

    assert 1 <= classes <= 256, classes
    assert truth.shape == predicted.shape, (truth.shape, predicted.shape)
    true, said, counted = _bytes(truth), _bytes(predicted), _valid_bytes(valid, truth.shape)
    bits = max(kernels.NARROW, (classes - 1).bit_length())
    lanes = kernels.LANES if bits <= kernels.LANED else 1
    table = np.zeros(lanes * 4**bits, np.int64)
    seen = kernels.count_pairs(true, said, counted, bits, table)
    matrix = np.empty(classes * classes, np.int64)
    if kernels.gather_pairs(seen, bits, table, classes, matrix):
        return _recounted(true, said, counted, classes)
    return matrix.reshape(classes, classes)


def _recounted(
    truth: NDArray[np.uint8], predicted: NDArray[np.uint8], valid: NDArray[np.uint8], classes: int
) -> NDArray[np.int64]:
    """Count again without what stands at pixels that do not count; refuse ids that are wrong elsewhere."""
    truth, predicted = np.where(valid, truth, np.uint8(0)), np.where(valid, predicted, np.uint8(0))
    for name, values in (("truth", truth), ("prediction", predicted)):
        if values.size and int(values.max()) >= classes:
            raise InputError(
                f"class id {int(values.max())} in the {name}, but the ids of {classes} classes end at {classes - 1}",
                fix="map label values to class ids first",
            )
    return confusion(truth, predicted, valid.view(np.bool_), classes)


def _bytes(array: Label) -> NDArray[np.uint8]:
    """Return ids as flat bytes, without a copy where that is possible."""
    if array.dtype not in (np.uint8, np.bool_):
        if array.size and (int(array.min()) < 0 or int(array.max()) > 255):
            raise InputError(
                f"class ids reach from {int(array.min())} to {int(array.max())}, outside 0..255",
                fix="map label values to class ids first",
            )
        array = array.astype(np.uint8)
    return np.ascontiguousarray(array).reshape(-1).view(np.uint8)


def _valid_bytes(valid: Valid | None, shape: tuple[int, ...]) -> NDArray[np.uint8]:
    if valid is None:
        return np.ones(math.prod(shape), np.uint8)
    assert valid.dtype == np.bool_, valid.dtype
    assert valid.shape == shape, (valid.shape, shape)
    return np.ascontiguousarray(valid).reshape(-1).view(np.uint8)
