"""The same counts as other tools and competitions score them: pooled or image by image, micro or macro, by name."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from maskwright.core.errors import InputError, unknown
from maskwright.scoring.counts import FIELDS, Counts
from maskwright.scoring.scores import Empty, per_class


@dataclass(frozen=True)
class Dialect:
    """One way to make a single number of many images' counts.

    Args:
        metric: a name from scores.METRICS.
        unit: pooled: all pixels together first; items: the score of each image, then their mean; cells: the
            scores of all images and classes in one mean.
        classes: macro: mean over classes; micro: all classes together as one.
        empty: what 0/0 is worth, where neither truth nor prediction has the class.
        foreground: class 0 does not count.
        says: who counts like that, and how, in words.
    """

    metric: str
    unit: Literal["pooled", "items", "cells"]
    classes: Literal["macro", "micro"]
    empty: Empty
    foreground: bool
    says: str


def translate(items: Sequence[Counts], name: str) -> float:
    """Return the score of some images in a dialect, in [0, 1]; nan where it does not exist.

    Args:
        items: counts of each image, of the same classes.
        name: a key of DIALECTS.

    Raises:
        InputError: there is no such dialect, or it leaves out class 0 and there is no other.
    """
    if name not in DIALECTS:
        raise unknown("dialect", name, DIALECTS, "--dialect")
    dialect = DIALECTS[name]
    if dialect.foreground and items and items[0].classes < 2:
        raise InputError(f"{name} leaves class 0 out and there is no other", where="--dialect", fix="choose another")
    rows = [_first(each, dialect) for each in items]
    if dialect.unit == "pooled":
        rows = [sum(rows[1:], rows[0])] if rows else []
    table = np.array([per_class(each, dialect.metric, dialect.empty) for each in rows], np.float64)
    if dialect.unit == "cells":
        return _mean(table.reshape(-1))
    return _mean(np.array([_mean(row) for row in table], np.float64))


def _first(counts: Counts, dialect: Dialect) -> Counts:
    """Leave class 0 out, and join the classes, where the dialect does."""
    fields = [getattr(counts, field)[1 if dialect.foreground else 0 :] for field in FIELDS]
    return Counts(*(values.sum(keepdims=True) if dialect.classes == "micro" else values for values in fields))


def _mean(values: NDArray[np.float64]) -> float:
    kept = values[~np.isnan(values)]
    return float(kept.mean()) if kept.size else float("nan")


DIALECTS: dict[str, Dialect] = {
    "maskwright": Dialect("iou", "pooled", "macro", "skip", False, "ours: pixels pooled, absent classes left out"),
    "mmseg": Dialect("iou", "pooled", "macro", "skip", False, "mmseg mIoU: nanmean over classes of pooled pixels"),
    "mmseg_dice": Dialect("dice", "pooled", "macro", "skip", False, "mmseg mDice"),
    "hf": Dialect("iou", "pooled", "macro", "skip", False, "Hugging Face evaluate mean_iou"),
    "torchmetrics": Dialect("iou", "pooled", "macro", "skip", False, "torchmetrics JaccardIndex, average macro"),
    "torchmetrics_dice": Dialect("dice", "items", "micro", "skip", False, "torchmetrics segmentation DiceScore"),
    "torchmetrics_dice_macro": Dialect("dice", "items", "macro", "skip", False, "DiceScore(average='macro')"),
    "smp_micro": Dialect("iou", "pooled", "micro", "one", False, "SMP iou_score reduction micro"),
    "smp_macro": Dialect("iou", "pooled", "macro", "one", False, "SMP macro: absent classes count as perfect"),
    "smp_micro_imagewise": Dialect("iou", "items", "micro", "one", False, "SMP micro-imagewise"),
    "smp_macro_imagewise": Dialect("iou", "cells", "macro", "one", False, "SMP macro-imagewise"),
    "sklearn": Dialect("iou", "pooled", "macro", "zero", False, "jaccard_score(labels=all, average='macro')"),
    "dacon_dice": Dialect(
        "dice", "items", "macro", "skip", False, "mean Dice of images; empty on both sides: left out"
    ),
    "kaggle_dice": Dialect("dice", "pooled", "micro", "skip", False, "one Dice of all pixels of all images"),
    "image_class_dice": Dialect("dice", "cells", "macro", "one", False, "mean over image x class (seed 003)"),
    "foreground_iou": Dialect("iou", "pooled", "macro", "skip", True, "mIoU without class 0"),
}
"""Name -> how it counts. tests/scoring/test_dialects.py holds them against the real libraries."""
