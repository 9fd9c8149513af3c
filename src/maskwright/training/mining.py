"""How hard each item was to learn in the epoch before: sums of errors that are exact, however they are added up."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn import functional

from maskwright.core.labels import Task
from maskwright.training.cluster import Cluster
from maskwright.training.parts import Part

UNIT = 1 << 20
"""Parts of 1 that errors are counted in: whole numbers add up to the same in any order, over any processes."""
MOST = 1000.0
"""Larger errors count as this."""


@torch.no_grad()
def item_errors(logits: Tensor, label: Tensor, valid: Tensor, task: Task) -> Tensor:
    """Return the mean cross entropy of each sample over its valid pixels, whatever the loss that is trained with.

    Args:
        logits: (B, K, H, W), any float type.
        label: int64 (B, H, W), for multilabel (B, K, H, W).
        valid: bool (B, H, W).
        task: gives the form of labels.

    Returns:
        float32 (B,); not a number where no pixel is valid.
    """
    logits = logits.float()
    if task.kind == "multiclass":
        each = functional.cross_entropy(logits, label, reduction="none")
    else:
        planes = label.unsqueeze(1) if label.ndim == 3 else label
        each = functional.binary_cross_entropy_with_logits(logits, planes.float(), reduction="none").mean(1)
    return torch.where(valid, each, 0.0).sum((1, 2)) / valid.sum((1, 2))


class Ledger(Part):
    """Errors of the items in this epoch and in the one before.

    Args:
        items: number of training items.
    """

    def __init__(self, items: int) -> None:
        self.last = np.full(items, np.nan)
        """Mean error of each item in the last epoch that drew it; not a number if none did."""
        self._sums = np.zeros((2, items), np.int64)
        self._mine = np.zeros((2, items), np.int64)

    def add(self, items: NDArray[np.int64], errors: NDArray[np.float32]) -> None:
        """Take in what this process saw; errors that are no number are passed over."""
        known = np.isfinite(errors)
        parts = np.rint(np.clip(errors[known].astype(np.float64), 0, MOST) * UNIT).astype(np.int64)
        np.add.at(self._mine[0], items[known], parts)
        np.add.at(self._mine[1], items[known], 1)

    def gather(self, cluster: Cluster) -> None:
        """Give each process the sums of all; all must call this together."""
        self._sums += cluster.total(torch.from_numpy(self._mine)).numpy()
        self._mine = np.zeros_like(self._mine)

    def after_epoch(self, _epoch: int) -> None:
        """Make the pooled means those of the last epoch, and begin anew."""
        sums, counts = self._sums
        drawn = counts > 0
        self.last[drawn] = sums[drawn] / counts[drawn] / UNIT
        self._sums = np.zeros_like(self._sums)

    def state_dict(self) -> dict[str, Tensor]:
        """Return what a crash-safe state must hold; gather first."""
        return {"sums": torch.from_numpy(self._sums), "last": torch.from_numpy(self.last)}

    def load_state_dict(self, tensors: Mapping[str, Tensor], /) -> None:
        """Go on from a state."""
        self._sums, self.last = tensors["sums"].numpy().copy(), tensors["last"].numpy().copy()
