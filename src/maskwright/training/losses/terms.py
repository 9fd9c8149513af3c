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
    mask: Tensor | None
    """float32 (B, H, W), 1 where valid; None where it is known that every pixel is."""

    @property
    def reduction(self) -> str:
        """How torch's losses are asked for, so that `total` can finish the sum."""
        return "sum" if self.mask is None else "none"

    def total(self, loss: Tensor) -> Tensor:
        """Add a loss up over the valid pixels; it was made with `reduction`, as (B, H, W) or (B, K, H, W)."""
        if self.mask is None:
            return loss
        return (loss * (self.mask if loss.ndim == 3 else self.mask.unsqueeze(1))).sum()

    def number(self) -> Tensor | float:
        """Return how many pixels are valid."""
        batch, _, height, width = self.logits.shape
        return float(batch * height * width) if self.mask is None else self.mask.sum()

    def hide(self, planes: Tensor) -> Tensor:
        """Put 0 where (B, K, H, W) planes are not valid."""
        return planes if self.mask is None else planes * self.mask.unsqueeze(1)


Sums = tuple[Tensor | float, ...]
"""What a term adds up: float32 scalars and (K,) vectors."""


class Term(Protocol):
    """A loss written as a function of sums, so that processes that share a batch can add theirs up."""

    def sums(self, pixels: Pixels) -> Sums:
        """Return additive sums over the valid pixels."""

    def value(self, sums: Sums) -> Tensor:
        """Return the loss, a scalar, from the sums of the whole batch."""


@dataclass(frozen=True)
class CrossEntropy:
    """Softmax cross entropy, mean over valid pixels."""

    planes: int

    def sums(self, pixels: Pixels) -> Sums:
        """Return (cross entropy, valid pixels)."""
        loss = functional.cross_entropy(pixels.logits, pixels.label, reduction=pixels.reduction)
        return pixels.total(loss), pixels.number()

    def value(self, sums: Sums) -> Tensor:
        """Return the mean; 0 without valid pixels."""
        return _mean(*sums)


@dataclass(frozen=True)
class BinaryCrossEntropy:
    """Sigmoid cross entropy, mean over valid pixels and planes."""

    planes: int

    def sums(self, pixels: Pixels) -> Sums:
        """Return (cross entropy, valid pixels x planes)."""
        loss = functional.binary_cross_entropy_with_logits(pixels.logits, pixels.label, reduction=pixels.reduction)
        return pixels.total(loss), pixels.number() * self.planes

    def value(self, sums: Sums) -> Tensor:
        """Return the mean; 0 without valid pixels."""
        return _mean(*sums)


@dataclass(frozen=True)
class Dice:
    """One minus soft Dice, pooled over the batch, mean over the classes that the batch's truth has.

    A class without a true pixel in the batch gives no gradient here: its overlap is 0 whatever is
    predicted, and cross entropy teaches its absence (as segmentation-models-pytorch does).
    Source: Milletari et al. 2016, V-Net, eq. 3, with plain sums in the denominator.
    """

    planes: int
    softmax: bool

    def sums(self, pixels: Pixels) -> Sums:
        """Return (overlap, predicted, true), each (K,)."""
        if self.softmax:
            probability = pixels.hide(pixels.logits.softmax(1))
            truth = pixels.hide(functional.one_hot(pixels.label, self.planes).movedim(-1, 1).float())
        else:
            probability = pixels.hide(pixels.logits.sigmoid())
            truth = pixels.hide(pixels.label)
        over = (0, 2, 3)
        return (probability * truth).sum(over), probability.sum(over), truth.sum(over)

    def value(self, sums: Sums) -> Tensor:
        """Return the mean over present classes; 0 where none is present."""
        overlap, predicted, true = (torch.as_tensor(part) for part in sums)
        present = true > 0
        loss = 1 - (2 * overlap + SMOOTH) / (predicted + true + SMOOTH)
        return _mean((loss * present).sum(), present.sum())


def _mean(total: Tensor | float, number: Tensor | float) -> Tensor:
    most = number.clamp_min(1) if isinstance(number, Tensor) else max(number, 1.0)
    mean = total / most
    assert isinstance(mean, Tensor)
    return mean
