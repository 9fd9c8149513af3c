"""Dense conditional random field on labels: mean-field inference with exact sums, Gaussian and by colour.

The model is that of Kraehenbuehl and Koltun 2011 (arXiv:1210.5644) as it is commonly run on labels: unary costs from
how sure a pixel is of its label, Potts costs between pixels, kernels normalised symmetrically, a pixel its own
neighbour too. Where others approximate sums on a lattice, here each is exact but for weights below REST.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from maskwright.core.labels import Task
from maskwright.core.recipe.crf import Crf

REST = 1e-7
"""Weights of the space kernel below this are left out."""
Label = NDArray[np.uint8]
Planes = NDArray[np.float64]


@dataclass(frozen=True)
class Colour:
    """The usual second kernel: near in space and alike in colour."""

    image: NDArray[np.uint8]
    """(H, W, 3)."""
    sxy: float = 8.0
    """Standard deviation in pixels. The work of a step grows with its square: (6 sxy)^2 neighbours a pixel."""
    srgb: float = 13.0
    """Standard deviation of each colour, 0..255."""
    compat: float = 10.0
    """How much neighbours of another class cost."""


def refine(label: Label, crf: Crf, classes: int = 2, colour: Colour | None = None) -> Label:
    """Return labels after mean-field inference, uint8 (H, W); ties go to the lowest class.

    Args:
        label: uint8 (H, W) of class ids below `classes`.
        crf: how sure labels are, and the Gaussian kernel.
        classes: how many there are.
        colour: the kernel that also looks at colours; None: neighbours count by distance alone.
    """
    assert label.ndim == 2, label.shape
    if (label == label.flat[0]).all():
        return label  # every neighbour agrees
    found = np.unique(label)
    sure, other = math.log(crf.gt_prob), math.log((1 - crf.gt_prob) / (classes - 1))
    # a class that no pixel has stays alike everywhere: one plane stands for all of those
    absent = classes - len(found)
    unary = np.where(label == found[:, None, None], sure, other)
    if absent:
        unary = np.concatenate([unary, np.full((1, *label.shape), other)])
    counts = np.array([1.0] * len(found) + [float(absent)] * (absent > 0))[:, None, None]
    messages = [_Near(counts, label.shape, crf).message, *([] if colour is None else [_Alike(colour).message])]
    belief = _softmax(unary, counts)
    for _ in range(crf.steps):
        scores = unary.copy()
        for message in messages:
            scores += message(belief)
        belief = _softmax(scores, counts)
    return np.ascontiguousarray(found[belief[: len(found)].argmax(0)])


def smoothed(label: Label, crf: Crf | None, task: Task) -> Label:
    """Refine an answer of any task: classes together, planes that overlap each by itself.

    Args:
        label: uint8 (H, W), or (K, H, W) for multilabel.
        crf: what is done; None: nothing.
        task: what is predicted.
    """
    if crf is None:
        return label
    if task.kind == "multilabel":
        return np.stack([refine(plane, crf) for plane in label])
    return refine(label, crf, 2 if task.kind == "binary" else task.planes)


def in_words(crf: Crf) -> str:
    """Say what is done."""
    return f"gt_prob {crf.gt_prob:g}, sxy {crf.sxy:g}, compat {crf.compat:g}, {crf.steps} steps"


def _softmax(scores: Planes, counts: Planes) -> Planes:
    """Return beliefs (n, H, W); a plane that stands for several classes has the belief of one of them."""
    top = np.exp(scores - scores.max(0))
    return np.asarray(top / (top * counts).sum(0))


class _Near:
    """Messages by distance: a separable Gaussian, nothing beyond the border."""

    def __init__(self, counts: Planes, shape: tuple[int, ...], crf: Crf) -> None:
        reach = math.ceil(crf.sxy * math.sqrt(-2 * math.log(REST)))
        self.weights = np.exp(-0.5 * (np.arange(-reach, reach + 1) / crf.sxy) ** 2)
        self.compat, self.counts = crf.compat, counts
        self.norm = 1 / np.sqrt(self._sum(np.ones(shape)))
        self.everyone = self.compat * self.norm * self._sum(self.norm)

    def message(self, belief: Planes) -> Planes:
        """Return what neighbours say for each class, (n, H, W); the last is what the others leave of everyone."""
        found = np.stack([self.compat * self.norm * self._sum(self.norm * plane) for plane in belief[:-1]])
        rest = (self.everyone - (found * self.counts[:-1]).sum(0)) / self.counts[-1]
        return np.concatenate([found, rest[None]])

    def _sum(self, plane: Planes) -> Planes:
        import cv2

        found = cv2.sepFilter2D(plane, cv2.CV_64F, self.weights, self.weights, borderType=cv2.BORDER_CONSTANT)
        return np.asarray(found, np.float64)


class _Alike:
    """Messages by distance and colour: every neighbour within reach, one by one."""

    def __init__(self, colour: Colour) -> None:
        reach = math.ceil(3 * colour.sxy)
        self.near = np.exp(-0.5 * (np.arange(reach + 1) / colour.sxy) ** 2)
        most = math.ceil(-2 * colour.srgb**2 * math.log(REST))
        self.alike = np.exp(-0.5 * np.arange(min(most, 3 * 255**2) + 1) / colour.srgb**2)
        self.image, self.compat = np.ascontiguousarray(colour.image), colour.compat
        ones = np.ones((1, *self.image.shape[:2]))
        self.norm = 1 / np.sqrt(self._sum(ones)[0])

    def message(self, belief: Planes) -> Planes:
        """Return what neighbours say for each class, (n, H, W)."""
        return np.asarray(self.compat * self.norm * self._sum(self.norm * belief))

    def _sum(self, planes: Planes) -> Planes:
        from maskwright.ensembling import crf_kernels as kernels

        result = np.empty(planes.shape, np.float64)
        kernels.sum_alike(np.ascontiguousarray(planes), self.image, self.near, self.alike, result)
        return result
