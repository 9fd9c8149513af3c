"""The boundary loss: each wrong pixel costs as much as it lies away from the true outline."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import cv2
import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from maskwright.training.losses.terms import Pixels, Sums, mean


@dataclass(frozen=True)
class Boundary:
    """Probability in the wrong place times its distance to the true outline, mean over pixels and planes.

    Distances are shares of the longer side. Planes without an outline in an image cost nothing there. It is
    meant beside another loss, as it says little where truth and prediction lie far apart. Source: Kervadec
    et al. 2019, Boundary loss, eq. 5, with what the truth itself would cost taken off, so that 0 is the least.

    Args:
        softmax: one class a pixel; else planes by sigmoid.
        classes: planes that the mean is over; None: all.
    """

    softmax: bool
    classes: tuple[int, ...] | None = None

    additive: ClassVar[bool] = True

    def sums(self, pixels: Pixels) -> Sums:
        """Return (cost, valid pixels x planes)."""
        probability, truth = pixels.compared(self.classes, softmax=self.softmax)
        away = torch.from_numpy(_distances(truth.detach().cpu().numpy())).to(probability.device)
        return pixels.total_of((probability - truth).abs() * away), pixels.number() * probability.shape[1]

    def value(self, sums: Sums) -> Tensor:
        """Return the mean; 0 without valid pixels."""
        return mean(*sums)


def _distances(truth: NDArray[np.float32]) -> NDArray[np.float32]:
    """Return how far each pixel lies from the outline, as a share of the longer side; 0 where there is none."""
    found = np.zeros(truth.shape, np.float32)
    for place in np.ndindex(truth.shape[:2]):
        plane = truth[place].astype(np.uint8)
        if 0 < plane.sum() < plane.size:
            inside, outside = (cv2.distanceTransform(part, cv2.DIST_L2, 5) for part in (plane, 1 - plane))
            found[place] = (inside + outside - 0.5) / max(plane.shape)
    return found
