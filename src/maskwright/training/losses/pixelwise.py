"""Losses of single pixels: cross entropies with smoothing and class weights, divergence, focal, hard pixels (OHEM)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor
from torch.nn import functional

from maskwright.training.losses.terms import Pixels, Sums, mean


@dataclass(frozen=True)
class CrossEntropy:
    """Softmax cross entropy, mean over valid pixels, each counting as much as its true class weighs.

    Where the truth is soft it is what the probabilities are compared with.

    Args:
        smoothing: share of the truth that is spread evenly over all classes.
        weights: of each class, or None: all alike.
    """

    smoothing: float = 0.0
    weights: tuple[float, ...] | None = None

    additive: ClassVar[bool] = True

    def sums(self, pixels: Pixels) -> Sums:
        """Return (weighted cross entropy, sum of weights)."""
        weight = None if self.weights is None else pixels.logits.new_tensor(self.weights)
        truth = pixels.label if pixels.soft is None else pixels.soft
        loss = functional.cross_entropy(
            pixels.logits, truth, weight=weight, reduction=pixels.reduction, label_smoothing=self.smoothing
        )
        if weight is None:
            return pixels.total(loss), pixels.number()
        counted = weight[truth] if pixels.soft is None else (truth * weight[:, None, None]).sum(1)
        return pixels.total(loss), pixels.total_of(counted)

    def value(self, sums: Sums) -> Tensor:
        """Return the weighted mean; 0 without valid pixels."""
        return mean(*sums)


@dataclass(frozen=True)
class BinaryCrossEntropy:
    """Sigmoid cross entropy, mean over valid pixels and planes; soft truth is taken as it is.

    Args:
        smoothing: truth is moved this far towards one half.
        weights: how much more a pixel inside counts than one outside, for each plane; None: as much.
    """

    smoothing: float = 0.0
    weights: tuple[float, ...] | None = None

    additive: ClassVar[bool] = True

    def sums(self, pixels: Pixels) -> Sums:
        """Return (cross entropy, valid pixels x planes)."""
        truth = pixels.label if pixels.soft is None else pixels.soft
        if self.smoothing:
            truth = truth * (1 - self.smoothing) + 0.5 * self.smoothing
        inside = None if self.weights is None else pixels.logits.new_tensor(self.weights)[:, None, None]
        loss = functional.binary_cross_entropy_with_logits(
            pixels.logits, truth, pos_weight=inside, reduction=pixels.reduction
        )
        return pixels.total(loss), pixels.number() * pixels.logits.shape[1]

    def value(self, sums: Sums) -> Tensor:
        """Return the mean; 0 without valid pixels."""
        return mean(*sums)


@dataclass(frozen=True)
class Divergence:
    """Kullback-Leibler divergence of the answer from the truth, mean over valid pixels (and planes).

    For labels that are probabilities, such as those of a teacher (SEEDS 004.4): 0 where both agree, and the
    gradient of cross entropy. On plain labels it is cross entropy.

    Args:
        softmax: one class a pixel; else planes by sigmoid.
    """

    softmax: bool

    additive: ClassVar[bool] = True

    def sums(self, pixels: Pixels) -> Sums:
        """Return (divergence, valid pixels x planes)."""
        truth = pixels.belief()
        own = torch.special.xlogy(truth, truth)
        if self.softmax:
            loss = (own - truth * pixels.logits.log_softmax(1)).sum(1)
            return pixels.total_of(loss), pixels.number()
        cross = functional.binary_cross_entropy_with_logits(pixels.logits, truth, reduction="none")
        loss = cross + own + torch.special.xlogy(1 - truth, 1 - truth)
        return pixels.total_of(loss), pixels.number() * pixels.logits.shape[1]

    def value(self, sums: Sums) -> Tensor:
        """Return the mean; 0 without valid pixels."""
        return mean(*sums)


@dataclass(frozen=True)
class Focal:
    """Cross entropy in which pixels that are right already count little: (1 - p)^gamma times it.

    Source: Lin et al. 2017, Focal loss for dense object detection, eq. 5; for softmax p is the probability
    of the true class, and the mean is over valid pixels (and planes).

    Args:
        softmax: one class a pixel; else planes by sigmoid.
        gamma: 0 is cross entropy.
        alpha: sigmoid: weight of the inside against 1 - alpha of the outside. None: none. The outside of
            softmax is class 0.
    """

    softmax: bool
    gamma: float = 2.0
    alpha: float | None = None

    additive: ClassVar[bool] = True

    def sums(self, pixels: Pixels) -> Sums:
        """Return (focal loss, valid pixels x planes)."""
        logits, label = pixels.logits, pixels.label
        if self.softmax:
            loss = functional.cross_entropy(logits, label, reduction="none")
            inside: Tensor = (label > 0).to(logits.dtype)
        else:
            loss = functional.binary_cross_entropy_with_logits(logits, label, reduction="none")
            inside = label
        loss = loss * (-torch.expm1(-loss)).clamp_min(1e-8) ** self.gamma
        if self.alpha is not None:
            loss = loss * (inside * self.alpha + (1 - inside) * (1 - self.alpha))
        return pixels.total_of(loss), pixels.number() * (1 if self.softmax else logits.shape[1])

    def value(self, sums: Sums) -> Tensor:
        """Return the mean; 0 without valid pixels."""
        return mean(*sums)


@dataclass(frozen=True)
class HardPixels:
    """Cross entropy of the pixels that are hardest, online hard example mining.

    Each process picks among its own pixels.

    Args:
        softmax: one class a pixel; else planes by sigmoid.
        keep: share of the valid pixels (and planes) that counts, the hardest.
        skip: share of those, the very hardest, that does not: wrong labels look just so (SEEDS 004: .667, .1).
        threshold: pixels whose true class is less probable than this count in any case; None: none.
    """

    softmax: bool
    keep: float = 0.25
    skip: float = 0.0
    threshold: float | None = None

    def sums(self, pixels: Pixels) -> Sums:
        """Return (cross entropy of the pixels picked, their number)."""
        if self.softmax:
            loss = functional.cross_entropy(pixels.logits, pixels.label, reduction="none")
            there = None if pixels.mask is None else pixels.mask > 0
        else:
            loss = functional.binary_cross_entropy_with_logits(pixels.logits, pixels.label, reduction="none")
            there = None if pixels.mask is None else (pixels.mask > 0).unsqueeze(1).expand_as(loss)
        flat = loss.reshape(-1) if there is None else loss[there]
        count = max(round(self.keep * flat.numel()), min(flat.numel(), 1))
        with torch.no_grad():
            ordered = flat.sort(descending=True).values
            low = ordered[count - 1] if count else torch.zeros((), device=flat.device)
            first = int(self.skip * count)
            high = ordered[first] if first else torch.full((), torch.inf, device=flat.device)
            if self.threshold is not None:
                low = low.minimum(-torch.log(torch.tensor(self.threshold, device=flat.device)))
            picked = (flat >= low) & (flat <= high)
        return (flat * picked).sum(), picked.sum().float()

    def value(self, sums: Sums) -> Tensor:
        """Return the mean; 0 without valid pixels."""
        return mean(*sums)
