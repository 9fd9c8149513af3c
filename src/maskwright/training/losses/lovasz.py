"""The Lovasz losses: Jaccard itself as a convex function of the errors, by softmax and by hinge."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn import functional

from maskwright.training.losses.terms import Pixels, Sums, mean

AWAY = -1e4
"""Error of a pixel that does not count: sorted behind all others, and worth nothing."""


@dataclass(frozen=True)
class LovaszSoftmax:
    """Lovasz extension of the Jaccard loss of each present class, on softmax (or sigmoid) probabilities.

    Source: Berman et al. 2018, The Lovasz-softmax loss, eq. 11.

    Args:
        softmax: one class a pixel; else planes by sigmoid.
        per_image: each image by itself; else all pixels that a process holds are one image.
        classes: planes that the mean is over; None: all.
    """

    softmax: bool
    per_image: bool = False
    classes: tuple[int, ...] | None = None

    @property
    def additive(self) -> bool:
        """Whether single images are what is averaged, so that the truth alone decides over how many."""
        return self.per_image

    def sums(self, pixels: Pixels) -> Sums:
        """Return (losses of present classes, how many they are)."""
        probability, truth = pixels.compared(self.classes, softmax=self.softmax)
        errors = pixels.hide((truth - probability).abs())
        truth, errors = _rows(truth, self.per_image), _rows(errors, self.per_image)
        losses = _extension(errors, truth, errors)
        present = truth.sum(1) > 0
        return (losses * present).sum(), present.sum().float()

    def value(self, sums: Sums) -> Tensor:
        """Return the mean over present classes (and images)."""
        return mean(*sums)


@dataclass(frozen=True)
class LovaszHinge:
    """Lovasz extension of the Jaccard loss on hinge errors 1 - logit * sign, plane by plane.

    Sources: Berman et al. 2018, eq. 8; with `elu` ELU(error) + 1 in the place of max(error, 0), which keeps a
    gradient where a pixel is right (SEEDS 002.4).

    Args:
        elu: see above.
        per_image: each image by itself; else all pixels that a process holds are one image.
    """

    elu: bool = False
    per_image: bool = True

    @property
    def additive(self) -> bool:
        """Whether single images are what is averaged, so that the truth alone decides over how many."""
        return self.per_image

    def sums(self, pixels: Pixels) -> Sums:
        """Return (losses of planes, how many they are)."""
        truth = pixels.truth()
        errors = 1 - pixels.logits * (2 * truth - 1)
        if pixels.mask is not None:
            errors = errors.masked_fill(pixels.mask.unsqueeze(1) == 0, AWAY)
        truth, errors = _rows(truth, self.per_image), _rows(errors, self.per_image)
        losses = _extension(errors, truth, functional.elu(errors) + 1 if self.elu else functional.relu(errors))
        there = (errors > AWAY).any(1)
        return (losses * there).sum(), there.sum().float()

    def value(self, sums: Sums) -> Tensor:
        """Return the mean over planes (and images)."""
        return mean(*sums)


def _rows(planes: Tensor, per_image: bool) -> Tensor:
    """Return (rows, pixels): a row for each plane, and for each image if they are apart."""
    return planes.flatten(2).flatten(0, 1) if per_image else planes.transpose(0, 1).flatten(1)


def _extension(errors: Tensor, truth: Tensor, cost: Tensor) -> Tensor:
    """Return the Lovasz extension of each row: costs in the order of errors, times what each adds to the loss.

    Args:
        errors: (R, N), sorts the pixels.
        truth: (R, N) of 0 and 1.
        cost: (R, N), what is summed.
    """
    place = errors.detach().argsort(dim=1, descending=True, stable=True)
    with torch.no_grad():
        ordered = truth.gather(1, place)
        total = ordered.sum(1, keepdim=True)
        loss = 1 - (total - ordered.cumsum(1)) / (total + (1 - ordered).cumsum(1))
        steps = torch.cat([loss[:, :1], loss[:, 1:] - loss[:, :-1]], 1)
    return (cost.gather(1, place) * steps).sum(1)
