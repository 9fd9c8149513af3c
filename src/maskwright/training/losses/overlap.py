"""Losses of how regions overlap: Dice, Jaccard, Tversky and focal Tversky, over the batch or image by image."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from maskwright.training.losses.terms import Pixels, Sums, mean

SMOOTH = 1e-5
"""Keeps a ratio defined where neither truth nor prediction has a pixel; too small to move anything else."""


@dataclass(frozen=True)
class Overlap:
    """One minus overlap / (overlap + false_positive * predicted alone + false_negative * true alone).

    Halves give Dice, ones Jaccard, others Tversky. The mean is over the classes that the truth has, in the
    batch or in each image: a class without a true pixel gives no gradient here, as its overlap is 0
    whatever is predicted, and cross entropy teaches its absence (as segmentation-models-pytorch does).
    Sources: Milletari et al. 2016, V-Net, eq. 3 with plain sums in the denominator; Salehi et al. 2017,
    Tversky loss, eq. 3; Abraham and Khan 2018, focal Tversky, eq. 4.

    Args:
        softmax: one class a pixel; else planes by sigmoid.
        false_positive: weight of what is predicted and not true.
        false_negative: weight of what is true and not predicted.
        gamma: the loss is raised to 1 / gamma; above 1 classes that are nearly right count little less.
        per_image: each image by itself, and the mean over images; else the batch is one image.
        classes: planes that the mean is over; None: all.
        smooth: added to overlap and denominator; classes without a true pixel then count as well, and are taught to
            stay away. None: next to nothing, and they do not.
    """

    softmax: bool
    false_positive: float = 0.5
    false_negative: float = 0.5
    gamma: float = 1.0
    per_image: bool = False
    classes: tuple[int, ...] | None = None
    smooth: float | None = None

    @property
    def additive(self) -> bool:
        """Whether single images are what is averaged, so that the truth alone decides over how many."""
        return self.per_image

    def sums(self, pixels: Pixels) -> Sums:
        """Return (overlap, predicted, true), each (K,); per image (losses, how many)."""
        shown, truth = pixels.compared(self.classes, softmax=self.softmax)
        probability = pixels.hide(shown)
        over = (2, 3) if self.per_image else (0, 2, 3)
        sums = (probability * truth).sum(over), probability.sum(over), truth.sum(over)
        return self._losses(*sums) if self.per_image else sums

    def value(self, sums: Sums) -> Tensor:
        """Return the mean over present classes; 0 where none is present."""
        return mean(*(sums if self.per_image else self._losses(*(torch.as_tensor(part) for part in sums))))

    def _losses(self, overlap: Tensor, predicted: Tensor, true: Tensor) -> tuple[Tensor, Tensor]:
        """Return the sum of the losses of what is present, and how many they are."""
        false = self.false_positive * (predicted - overlap) + self.false_negative * (true - overlap)
        smooth = SMOOTH / 2 if self.smooth is None else self.smooth
        loss = 1 - (overlap + smooth) / (overlap + false + smooth)
        if self.gamma != 1:
            loss = loss.clamp_min(1e-8) ** (1 / self.gamma)
        present = true > 0 if self.smooth is None else torch.ones_like(true, dtype=torch.bool)
        return (loss * present).sum(), present.sum().float()
