"""Dense conditional random field on labels: mean-field inference with exact sums, Gaussian and by colour.

The model is that of Kraehenbuehl and Koltun 2011 (arXiv:1210.5644) as it is commonly run on labels: unary costs from
how sure a pixel is of its label, Potts costs between pixels, kernels normalised symmetrically, a pixel its own
neighbour too. Where others approximate sums on a lattice, here each is exact but for weights below REST.
"""

from __future__ import annotations

import math
from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

from maskwright.core.errors import InputError
from maskwright.core.labels import Task
from maskwright.core.recipe.crf import Colours, Crf

REST = 1e-7
"""Weights of the space kernel below this are left out."""
Label = NDArray[np.uint8]
Planes = NDArray[np.float64]
Look = Callable[[], NDArray[np.uint8]]
"""Gives the colours of an item, (H, W, 3)."""


def refine(
    label: Label, crf: Crf, classes: int = 2, image: Label | None = None, known: NDArray[np.bool_] | None = None
) -> Label:
    """Return labels after mean-field inference, uint8 (H, W); ties go to the lowest class.

    Args:
        label: uint8 (H, W) of class ids below `classes`.
        crf: how sure labels are, and the kernels.
        classes: how many there are.
        image: (H, W, 3), where crf.colours are wanted.
        known: bool (H, W); other pixels have no say, and keep their label. None: all.
    """
    assert label.ndim == 2, label.shape
    found = np.unique(label if known is None else label[known])
    if len(found) < 2:
        return label  # every neighbour agrees
    sure, other = math.log(crf.gt_prob), math.log((1 - crf.gt_prob) / (classes - 1))
    # a class that no pixel has stays alike everywhere: one plane stands for all of those
    absent = classes - len(found)
    unary = np.where(label == found[:, None, None], sure, other)
    if absent:
        unary = np.concatenate([unary, np.full((1, *label.shape), other)])
    counts = np.array([1.0] * len(found) + [float(absent)] * (absent > 0))[:, None, None]
    there = np.ones(label.shape) if known is None else known.astype(np.float64)
    messages = [_Near(counts, there, crf).message]
    if crf.colours is not None:
        assert image is not None, "colours are looked at, and there are none"
        messages.append(_Alike(image, there, crf.colours).message)
    belief = _softmax(unary, counts)
    for _ in range(crf.steps):
        scores = unary.copy()
        for message in messages:
            scores += message(belief)
        belief = _softmax(scores, counts)
    refined = found[belief[: len(found)].argmax(0)]
    return np.ascontiguousarray(refined if known is None else np.where(known, refined, label))


def reach(crf: Crf) -> int:
    """Return how many pixels away another one can matter to an answer: as far as messages of all steps are carried."""
    alike = 0 if crf.colours is None else _Alike.reach(crf.colours)
    return (crf.steps + 1) * max(_Near.reach(crf), alike)  # one more, since what is near a neighbour weighs it


def smoothed(label: Label, crf: Crf | None, task: Task, look: Look | None = None) -> Label:
    """Refine an answer of any task: classes together, planes that overlap each by itself.

    Args:
        label: uint8 (H, W), or (K, H, W) for multilabel.
        crf: what is done; None: nothing.
        task: what is predicted.
        look: gives the colours, where crf.colours are wanted.
    """
    if crf is None:
        return label
    image = None if crf.colours is None or look is None else look()
    if task.kind == "multilabel":
        return np.stack([refine(plane, crf, 2, image) for plane in label])
    return refine(label, crf, 2 if task.kind == "binary" else task.planes, image)


def colours_of(pixels: NDArray[np.generic], where: str) -> Label:
    """Return what the kernel of colours looks at: the first three bands, or the only one three times, uint8 (H, W, 3).

    Args:
        pixels: (H, W, B).
        where: names the image, for the message.

    Raises:
        InputError: not of 8 bits.
    """
    if pixels.dtype != np.uint8:
        what = f"is of {pixels.dtype}, and the random field knows colours of 0 to 255"
        raise InputError(what, where=where, fix="leave decision.crf.colours out, or give 8-bit images")
    shown = pixels[:, :, :3] if pixels.shape[2] >= 3 else np.repeat(pixels[:, :, :1], 3, 2)
    return np.ascontiguousarray(shown, np.uint8)


def in_words(crf: Crf) -> str:
    """Say what is done."""
    said = f"gt_prob {crf.gt_prob:g}, sxy {crf.sxy:g}, compat {crf.compat:g}, {crf.steps} steps"
    if crf.colours is None:
        return said
    colours = crf.colours
    return f"{said}, colours sxy {colours.sxy:g}, srgb {colours.srgb:g}, compat {colours.compat:g}"


def _softmax(scores: Planes, counts: Planes) -> Planes:
    """Return beliefs (n, H, W); a plane that stands for several classes has the belief of one of them."""
    top = np.exp(scores - scores.max(0))
    return np.asarray(top / (top * counts).sum(0))


def _norm(sums: Planes, there: Planes) -> Planes:
    """Return the square roots that kernels are divided by, as factors: 0 where nobody has a say."""
    return np.divide(there, np.sqrt(sums), out=np.zeros_like(sums), where=there > 0)


class _Near:
    """Messages by distance: a separable Gaussian, nothing beyond the border."""

    def __init__(self, counts: Planes, there: Planes, crf: Crf) -> None:
        reach = self.reach(crf)
        self.weights = np.exp(-0.5 * (np.arange(-reach, reach + 1) / crf.sxy) ** 2)
        self.compat, self.counts = crf.compat, counts
        self.norm = _norm(self._sum(there), there)
        self.everyone = self.compat * self.norm * self._sum(self.norm)

    @staticmethod
    def reach(crf: Crf) -> int:
        """Return how many pixels away a neighbour counts."""
        return math.ceil(crf.sxy * math.sqrt(-2 * math.log(REST)))

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

    def __init__(self, image: Label, there: Planes, colours: Colours) -> None:
        self.near = np.exp(-0.5 * (np.arange(self.reach(colours) + 1) / colours.sxy) ** 2)
        most = math.ceil(-2 * colours.srgb**2 * math.log(REST))
        self.alike = np.exp(-0.5 * np.arange(min(most, 3 * 255**2) + 1) / colours.srgb**2)
        self.image, self.compat = np.ascontiguousarray(image), colours.compat
        assert self.image.shape == (*there.shape, 3), (self.image.shape, there.shape)
        self.norm = _norm(self._sum(there[None])[0], there)

    @staticmethod
    def reach(colours: Colours) -> int:
        """Return how many pixels away, along each axis, a neighbour counts."""
        return math.ceil(3 * colours.sxy)

    def message(self, belief: Planes) -> Planes:
        """Return what neighbours say for each class, (n, H, W)."""
        return np.asarray(self.compat * self.norm * self._sum(self.norm * belief))

    def _sum(self, planes: Planes) -> Planes:
        from maskwright.ensembling import crf_kernels as kernels

        result = np.empty(planes.shape, np.float64)
        kernels.sum_alike(np.ascontiguousarray(planes), self.image, self.near, self.alike, result)
        return result
