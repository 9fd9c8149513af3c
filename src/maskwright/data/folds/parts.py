"""What a row of folds.csv says of an item."""

from __future__ import annotations

from typing import NamedTuple

HOLDOUT = -1
"""Fold of items that are kept out of all folds."""
TRAIN_ONLY = -2
"""Fold of items that every model is trained on and none is scored on."""


class FoldRow(NamedTuple):
    """Where one item went."""

    key: str
    group: str
    """Items of one group are in one fold; the item's own key if it is alone."""
    fold: int
    """0 .. count - 1, HOLDOUT or TRAIN_ONLY."""
