"""The terms of a loss: what each adds up over valid pixels, and what it makes of the totals."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

import torch
from torch import Tensor
from torch.nn import functional

SMOOTH = 1e-5
"""Keeps Dice defined where neither truth nor prediction has a pixel; too small to move anything else."""


@dataclass(frozen=True)
class Pixels:
    """A batch after `ignore` was handled: what is not valid has mask 0, label 0 and logits 0."""

    logits: Tensor
    """float32 (B, K, H, W)."""
    label: Tensor
    """int64 (B, H, W) of class ids for multiclass, else float32 (B, K, H, W) of 0 and 1."""
    mask: Tensor
    """float32 (B, H, W), 1 where valid."""


class Term(Protocol):
    """A loss written as a function of sums, so that processes that share a batch can add theirs up."""

    def sums(self, pixels: Pixels) -> Tensor:
        """Return additive sums over the valid pixels, float32 (N,)."""

    def value(self, sums: Tensor) -> Tensor:
        """Return the loss, a scalar, from the sums of the whole batch."""


@dataclass(frozen=True)
class CrossEntropy:
    """Softmax cross entropy, mean over valid pixels."""

    planes: int

    def sums(self, pixels: Pixels) -> Tensor:
        """Return (cross entropy, valid pixels)."""
        loss = functional.cross_entropy(pixels.logits, pixels.label, reduction="none")
        return torch.stack([(loss * pixels.mask).sum(), pixels.mask.sum()])

    def value(self, sums: Tensor) -> Tensor:
        """Return the mean; 0 without valid pixels."""
        return sums[0] / sums[1].clamp_min(1)


@dataclass(frozen=True)
class BinaryCrossEntropy:
    """Sigmoid cross entropy, mean over valid pixels and planes."""

    planes: int

    def sums(self, pixels: Pixels) -> Tensor:
        """Return (cross entropy, valid pixels x planes)."""
        loss = functional.binary_cross_entropy_with_logits(pixels.logits, pixels.label, reduction="none")
        return torch.stack([(loss * pixels.mask.unsqueeze(1)).sum(), pixels.mask.sum() * self.planes])

    def value(self, sums: Tensor) -> Tensor:
        """Return the mean; 0 without valid pixels."""
        return sums[0] / sums[1].clamp_min(1)


@dataclass(frozen=True)
class Dice:
    """One minus soft Dice, pooled over the batch, mean over the classes that the batch's truth has.

    A class without a true pixel in the batch gives no gradient here: its overlap is 0 whatever is
    predicted, and cross entropy teaches its absence (as segmentation-models-pytorch does).
    Source: Milletari et al. 2016, V-Net, eq. 3, with plain sums in the denominator.
    """

    planes: int
    softmax: bool

    def sums(self, pixels: Pixels) -> Tensor:
        """Return (overlap, predicted, true), each with K entries, in one row."""
        mask = pixels.mask.unsqueeze(1)
        if self.softmax:
            probability = pixels.logits.softmax(1) * mask
            truth = functional.one_hot(pixels.label, self.planes).movedim(-1, 1) * mask
        else:
            probability = pixels.logits.sigmoid() * mask
            truth = pixels.label * mask
        over = (0, 2, 3)
        return torch.cat([(probability * truth).sum(over), probability.sum(over), truth.sum(over)])

    def value(self, sums: Tensor) -> Tensor:
        """Return the mean over present classes; 0 where none is present."""
        overlap, predicted, true = sums.view(3, self.planes)
        present = true > 0
        loss = 1 - (2 * overlap + SMOOTH) / (predicted + true + SMOOTH)
        mean: Tensor = (loss * present).sum() / present.sum().clamp_min(1)
        return mean
