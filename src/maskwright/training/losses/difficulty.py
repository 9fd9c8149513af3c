"""Class-wise difficulty balanced loss (CDB): classes count by how badly they did in the last validation."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn import functional

from maskwright.scoring.counts import Counts
from maskwright.training.losses.pixelwise import CrossEntropy
from maskwright.training.losses.terms import Pixels, Sums, mean

BIAS = 0.01
"""Keeps the inequality of classes finite where one has no hit at all (SEEDS 001.4)."""


class Difficulty:
    """Cross entropy with weights difficulty^tau, where the difficulty of a class is 1 - its IoU in validation.

    All classes are alike until the first validation. A class that neither truth nor answer had keeps its
    difficulty. The mean of the weights is 1. Source: Sinha et al. 2020, Class-wise difficulty-balanced loss,
    eq. 1-4, with IoU in the place of accuracy and the inequality as SEEDS 001.4 has it.

    Args:
        softmax: one class a pixel; else planes by sigmoid, weighted as wholes.
        planes: K.
        smoothing: share of the truth that is spread evenly over all classes.
        tau: power of the difficulty; None: sigmoid((1 - least difficulty) / (1 - largest + 0.01)).
    """

    additive = True

    def __init__(self, softmax: bool, planes: int, smoothing: float = 0.0, tau: float | None = None) -> None:
        self.softmax, self.smoothing, self.tau = softmax, smoothing, tau
        self.difficulty = np.ones(planes)
        self.weights = self._balance()

    def sums(self, pixels: Pixels) -> Sums:
        """Return (weighted cross entropy, sum of weights)."""
        if self.softmax:
            return CrossEntropy(self.smoothing, self.weights).sums(pixels)
        truth = pixels.belief() * (1 - self.smoothing) + 0.5 * self.smoothing
        weight = pixels.logits.new_tensor(self.weights)[:, None, None]
        loss = functional.binary_cross_entropy_with_logits(pixels.logits, truth, weight, reduction="none")
        return pixels.total_of(loss), pixels.number() * pixels.logits.shape[1]

    def value(self, sums: Sums) -> Tensor:
        """Return the weighted mean; 0 without valid pixels."""
        return mean(*sums)

    def after_validation(self, counts: Counts) -> None:
        """Take in how each class did; all processes must be given the same counts."""
        union = counts.tp + counts.fp + counts.fn
        seen = union > 0
        self.difficulty[seen] = 1 - counts.tp[seen] / union[seen]
        self.weights = self._balance()

    def state_dict(self) -> dict[str, Tensor]:
        """Return what a crash-safe state must hold."""
        return {"difficulty": torch.from_numpy(self.difficulty.copy())}

    def load_state_dict(self, tensors: Mapping[str, Tensor]) -> None:
        """Go on from a state."""
        self.difficulty = tensors["difficulty"].numpy().copy()
        self.weights = self._balance()

    def _balance(self) -> tuple[float, ...]:
        weights: NDArray[np.float64] = self.difficulty ** self._power()
        total = weights.sum()
        return tuple((weights * (len(weights) / total)).tolist()) if total > 0 else (1.0,) * len(weights)

    def _power(self) -> float:
        if self.tau is not None:
            return self.tau
        inequality = (1 - self.difficulty.min()) / (1 - self.difficulty.max() + BIAS)
        return float(1 / (1 + np.exp(-inequality)))
