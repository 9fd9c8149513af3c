"""Labels that are probabilities: 8-bit planes, from which plain labels are made, and which plain labels can become."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from maskwright.core.errors import InputError
from maskwright.core.labels import Task

Planes = NDArray[np.uint8]
Valid = NDArray[np.bool_]
ONE = 255
"""What stands for probability 1."""
ROUNDING = 8
"""Steps of 255 that probabilities of all classes may miss 1 by, for up to eight classes: each may be rounded down."""


def to_bytes(raw: NDArray[Any], where: Path) -> Planes:
    """Bring a mask of probabilities to 8 bits.

    Args:
        raw: (H, W), 8 or 16 bits, whose largest number is probability 1; or bool.
        where: its file.

    Raises:
        InputError: another type.
    """
    if raw.dtype == np.bool_:
        return raw.astype(np.uint8) * np.uint8(ONE)
    if raw.dtype == np.uint8:
        return raw
    if raw.dtype == np.uint16:
        return ((raw.astype(np.uint32) * ONE + 32767) // 65535).astype(np.uint8)
    raise InputError(
        f"a mask of probabilities has 8 or 16 bits without sign, this one is {raw.dtype}",
        where=where,
        fix="save it so that 255 (or 65535) is probability 1",
        kind="no_probabilities",
    )


def known(planes: Planes, task: Task, where: Path | str) -> Valid:
    """Return where probabilities say something, bool (H, W); those of a multiclass task must add up to 1 or be all 0.

    Args:
        planes: (K, H, W).
        task: what is predicted.
        where: a file of the item for the message.

    Raises:
        InputError: they add up to something else, with the first place.
    """
    if task.kind != "multiclass":
        return np.ones(planes.shape[1:], bool)
    total = planes.sum(0, dtype=np.int32)
    off = (abs(total - ONE) > max(ROUNDING, task.planes)) & (total > 0)
    if off.any():
        row, column = (int(place[0]) for place in np.nonzero(off))
        raise InputError(
            f"probabilities of the classes add up to {total[row, column] / ONE:.2f} at row {row}, column {column}",
            where=where,
            fix="they must add up to 1, or be 0 for all classes where nothing is known",
            kind="no_probabilities",
        )
    there: Valid = total > 0
    return there


def harden(planes: Planes, task: Task) -> NDArray[np.uint8]:
    """Return the plain label: the likeliest class, or 1 at probability 0.5 and above.

    Args:
        planes: (K, H, W).
        task: what is predicted.

    Returns:
        uint8 (H, W), or (K, H, W) for multilabel.
    """
    if task.kind == "multiclass":
        likeliest: NDArray[np.uint8] = planes.argmax(0).astype(np.uint8)
        return likeliest
    there = (planes > ONE // 2).view(np.uint8)
    return there[0] if task.kind == "binary" else there


def soften(label: NDArray[np.uint8], task: Task) -> Planes:
    """Return a plain label as certain probabilities, (K, H, W); see harden."""
    if task.kind == "multiclass":
        classes = np.arange(task.planes, dtype=np.uint8)[:, None, None]
        label = (label[None] == classes).view(np.uint8)
    planes: Planes = (label if label.ndim == 3 else label[None]) * np.uint8(ONE)
    return planes


def to_floats(planes: Planes, task: Task) -> NDArray[np.float32]:
    """Return probabilities, float32 (K, H, W); those of a multiclass task add up to 1, or are all 0."""
    total = np.maximum(planes.sum(0, dtype=np.float32), 1) if task.kind == "multiclass" else np.float32(ONE)
    floats: NDArray[np.float32] = planes.astype(np.float32) / total
    return floats
