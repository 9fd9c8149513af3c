"""The same counts as other tools and competitions score them: pooled or image by image, micro or macro, by name."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from maskwright.core.errors import InputError, unknown
from maskwright.core.labels import TaskKind
from maskwright.scoring.counts import FIELDS, Counts
from maskwright.scoring.scores import Empty, nan_mean, ratio

Floats = NDArray[np.float64]


@dataclass(frozen=True)
class Dialect:
    """One way to make a single number of many images' counts.

    Args:
        metric: a name from scores.METRICS.
        unit: pooled: all pixels together first; items: the score of each image, then their mean; cells: the
            scores of all images and classes in one mean.
        classes: macro: mean over classes; micro: all classes together as one; weighted: mean over classes
            weighted by their pixels in the truth.
        empty: what a class scores that neither truth nor prediction has.
        says: who counts like that, and how, in words.
        lone: what 0/0 is worth where only one side has the class: precision of what was never predicted, recall
            of what never occurs.
        hits: a class without a single hit has no score, because it is made of a precision and a recall of 0.
        first: whether class 0 counts, the background of a binary task included.
        planes: `empty` for binary and multilabel tasks, where it differs.
        smooth: added above and below the line.
    """

    metric: str
    unit: Literal["pooled", "items", "cells"]
    classes: Literal["macro", "micro", "weighted"]
    empty: Empty
    says: str
    lone: Literal["zero", "skip"] = "zero"
    hits: bool = False
    first: Literal["always", "never", "unless binary"] = "unless binary"
    planes: Empty | None = None
    smooth: float = 0.0


def translate(items: Sequence[Counts], name: str, kind: TaskKind | None = None) -> float:
    """Return the score of some images in a dialect, in [0, 1]; nan where it does not exist.

    Args:
        items: counts of each image, of the same classes.
        name: a key of DIALECTS.
        kind: of task. binary: the one class counted is the foreground, and what is not is background.

    Raises:
        InputError: there is no such dialect, or it leaves out class 0 and there is no other.
    """
    if name not in DIALECTS:
        raise unknown("dialect", name, DIALECTS, "--dialect")
    dialect = DIALECTS[name]
    if dialect.first == "never" and kind != "binary" and items and items[0].classes < 2:
        raise InputError(f"{name} leaves class 0 out and there is no other", where="--dialect", fix="choose another")
    rows = [_counted(each, dialect, kind) for each in items]
    if dialect.unit == "pooled":
        rows = [sum(rows[1:], rows[0])] if rows else []
    table = np.array([_scores(each, dialect, kind) for each in rows], np.float64)
    if dialect.unit == "cells":
        return nan_mean(table.reshape(-1))
    if dialect.classes == "weighted":
        pairs = zip(table, rows, strict=True)
        return nan_mean(np.array([_weighted(row, counts.truth) for row, counts in pairs], np.float64))
    return nan_mean(np.array([nan_mean(row) for row in table], np.float64))


def dialects_of(name: str) -> tuple[str, ...]:
    """Return the dialects that a name asks for: one, or all of a tool.

    Raises:
        InputError: it is neither.
    """
    if name in FAMILIES:
        return FAMILIES[name]
    if name not in DIALECTS:
        raise unknown("dialect", name, sorted({*DIALECTS, *FAMILIES}), "--dialect")
    return (name,)


def _counted(counts: Counts, dialect: Dialect, kind: TaskKind | None) -> Counts:
    """Leave class 0 out, put background before a lone foreground, and join the classes, where the dialect does."""
    if kind == "binary" and dialect.first == "always":
        pairs = zip((counts.tn, counts.fn, counts.fp, counts.tp), (getattr(counts, f) for f in FIELDS), strict=True)
        counts = Counts(*(np.concatenate(pair) for pair in pairs))
    start = 1 if dialect.first == "never" and kind != "binary" else 0
    fields = [getattr(counts, field)[start:] for field in FIELDS]
    return Counts(*(values.sum(keepdims=True) if dialect.classes == "micro" else values for values in fields))


def _scores(counts: Counts, dialect: Dialect, kind: TaskKind | None) -> Floats:
    """Return the score of each class that is left, float64 (K,)."""
    above, below = (part + dialect.smooth for part in ratio(dialect.metric)(counts))
    if dialect.hits:
        below = np.where(counts.tp > 0, below, 0)
    empty = dialect.planes if dialect.planes is not None and kind in ("binary", "multilabel") else dialect.empty
    lone = np.nan if dialect.lone == "skip" else 0.0
    worth = {"skip": np.nan, "one": 1.0, "zero": 0.0}[empty]
    values = np.where(counts.tp + counts.fp + counts.fn > 0, lone, worth)
    return np.divide(above, below, out=values, where=below > 0)


def _weighted(scores: Floats, truth: NDArray[np.int64]) -> float:
    there = ~np.isnan(scores)
    if not there.any():
        return float("nan")
    return float((np.where(there, scores, 0.0) * truth).sum() / truth.sum()) if truth.sum() else 0.0


DIALECTS: dict[str, Dialect] = {
    "maskwright": Dialect("iou", "pooled", "macro", "skip", "ours: pixels pooled, absent classes left out"),
    "foreground_iou": Dialect("iou", "pooled", "macro", "skip", "mIoU without class 0", first="never"),
    "mmseg": Dialect(
        "iou", "pooled", "macro", "skip", "mmseg mIoU: nanmean over classes of pooled pixels", first="always"
    ),
    "mmseg_acc": Dialect("recall", "pooled", "macro", "skip", "mmseg mAcc", lone="skip", first="always"),
    "mmseg_aacc": Dialect("recall", "pooled", "micro", "skip", "mmseg aAcc: share of right pixels", first="always"),
    "mmseg_dice": Dialect("dice", "pooled", "macro", "skip", "mmseg mDice", first="always"),
    "mmseg_fscore": Dialect(
        "dice",
        "pooled",
        "macro",
        "skip",
        "mmseg mFscore: classes without a hit are left out, as 0/0 of precision and recall",
        lone="skip",
        hits=True,
        first="always",
    ),
    "mmseg_precision": Dialect("precision", "pooled", "macro", "skip", "mmseg mPrecision", lone="skip", first="always"),
    "hf": Dialect("iou", "pooled", "macro", "skip", "Hugging Face evaluate mean_iou", first="always"),
    "hf_mean_accuracy": Dialect(
        "recall", "pooled", "macro", "skip", "evaluate mean_accuracy", lone="skip", first="always"
    ),
    "hf_overall_accuracy": Dialect("recall", "pooled", "micro", "skip", "evaluate overall_accuracy", first="always"),
    "torchmetrics": Dialect(
        "iou", "pooled", "macro", "skip", "torchmetrics JaccardIndex, average macro", planes="zero"
    ),
    "torchmetrics_micro": Dialect("iou", "pooled", "micro", "zero", "JaccardIndex(average='micro')"),
    "torchmetrics_weighted": Dialect("iou", "pooled", "weighted", "zero", "JaccardIndex(average='weighted')"),
    "torchmetrics_mean_iou": Dialect("iou", "cells", "macro", "skip", "torchmetrics segmentation MeanIoU"),
    "torchmetrics_dice": Dialect("dice", "items", "micro", "skip", "torchmetrics segmentation DiceScore"),
    "torchmetrics_dice_macro": Dialect("dice", "items", "macro", "skip", "DiceScore(average='macro')"),
    "torchmetrics_dice_global": Dialect(
        "dice", "pooled", "macro", "skip", "DiceScore(average='macro', aggregation_level='global')"
    ),
    "smp_micro": Dialect("iou", "pooled", "micro", "skip", "SMP iou_score reduction micro"),
    "smp_macro": Dialect("iou", "pooled", "macro", "one", "SMP macro: absent classes count as perfect"),
    "smp_micro_imagewise": Dialect("iou", "items", "micro", "one", "SMP micro-imagewise"),
    "smp_macro_imagewise": Dialect("iou", "cells", "macro", "one", "SMP macro-imagewise"),
    "smp_f1_micro": Dialect("dice", "pooled", "micro", "skip", "SMP f1_score reduction micro"),
    "smp_f1_macro": Dialect("dice", "pooled", "macro", "one", "SMP f1_score macro"),
    "smp_f1_micro_imagewise": Dialect("dice", "items", "micro", "one", "SMP f1_score micro-imagewise"),
    "smp_f1_macro_imagewise": Dialect("dice", "cells", "macro", "one", "SMP f1_score macro-imagewise"),
    "sklearn": Dialect("iou", "pooled", "macro", "zero", "jaccard_score(labels=all, average='macro')"),
    "sklearn_micro": Dialect("iou", "pooled", "micro", "zero", "jaccard_score(labels=all, average='micro')"),
    "sklearn_weighted": Dialect("iou", "pooled", "weighted", "zero", "jaccard_score(labels=all, average='weighted')"),
    "sklearn_f1": Dialect("dice", "pooled", "macro", "zero", "f1_score(labels=all, average='macro')"),
    "dacon_dice": Dialect("dice", "items", "macro", "skip", "mean Dice of images; empty on both sides: left out"),
    "kaggle_dice": Dialect("dice", "pooled", "micro", "skip", "one Dice of all pixels of all images"),
    "image_class_dice": Dialect(
        "dice", "cells", "macro", "one", "mean over image x class, empty on both sides: 1 (seed 003)", smooth=1e-4
    ),
}
"""Name -> how it counts. tests/scoring/test_dialects.py holds them against the real libraries."""

FAMILIES: dict[str, tuple[str, ...]] = {
    tool: tuple(name for name in DIALECTS if name == tool or name.startswith(f"{tool}_"))
    for tool in ("mmseg", "hf", "torchmetrics", "smp", "sklearn", "dacon", "kaggle", "image_class")
}
"""Tool -> all of its dialects."""
