"""The settings of each loss as a recipe gives them, and the term they make for a task."""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import dataclass
from typing import Annotated, Literal

from pydantic import Field, field_validator

from maskwright.core.errors import InputError, unknown
from maskwright.core.labels import Task
from maskwright.core.recipe.base import Block
from maskwright.training.losses.boundary import Boundary
from maskwright.training.losses.difficulty import Difficulty
from maskwright.training.losses.lovasz import LovaszHinge, LovaszSoftmax
from maskwright.training.losses.mask_set import MaskSet, SetWeights
from maskwright.training.losses.overlap import Overlap
from maskwright.training.losses.pixelwise import BinaryCrossEntropy, CrossEntropy, Divergence, Focal, HardPixels
from maskwright.training.losses.terms import Term

BETA = 0.9
"""Of effective numbers: with it a class beyond about twenty images weighs as if it had twenty."""
MOST = 50.0
"""No class weighs more than this many times the mean; a class of ten pixels would else be all there is."""

Weight = Annotated[float, Field(gt=0, le=1e6)]
Smoothing = Annotated[float, Field(ge=0, lt=1)]


@dataclass(frozen=True)
class Frequency:
    """How often the classes occur in the training items."""

    pixels: tuple[int, ...]
    """Valid pixels of each class; for planes those inside each."""
    images: tuple[int, ...]
    """Images that have the class."""
    total: int
    """Valid pixels of all images."""

    def of_anything(self, task: Task) -> Frequency:
        """Return how often there is anything: all classes but the first, or all planes, as if none overlapped."""
        first = 1 if task.kind == "multiclass" else 0
        pixels = min(sum(self.pixels[first:]), self.total)
        return Frequency((pixels,), (max(self.images[first:], default=0),), self.total)


class Options(Block, ABC):
    """What all losses have."""

    weight: float = Field(default=1.0, gt=0, le=1e6)
    """Weight in the sum of losses."""

    @abstractmethod
    def term(self, task: Task, frequency: Frequency | None = None) -> Term:
        """Make the term for a task."""

    def refuse(self, task: Task, where: str) -> None:
        """Refuse settings that contradict the task."""


class _Weighted(Options):
    """A cross entropy."""

    smoothing: Smoothing = 0.0
    """Label smoothing: this share of the truth is spread evenly over all classes."""
    class_weights: tuple[Weight, ...] | Literal["none", "inverse", "effective"] = "none"
    """Given, one for each class; inverse: by pixels (for planes outside / inside); effective: by the effective
    number of images (Cui et al. 2019, beta .9). Their mean is 1, and none is above 50 times it."""

    def refuse(self, task: Task, where: str) -> None:
        """Refuse weights that are not one for each class."""
        if isinstance(self.class_weights, tuple) and len(self.class_weights) != task.planes:
            raise InputError(
                f"{len(self.class_weights)} weights for {task.planes} classes",
                where=f"{where}.class_weights",
                fix=f"give one for each of {', '.join(task.plane_names)}",
            )

    def weights(self, task: Task, frequency: Frequency | None) -> tuple[float, ...] | None:
        """Return the weight of each class or plane, or None for all alike."""
        if self.class_weights == "none":
            return None
        if isinstance(self.class_weights, tuple):
            return self.class_weights
        assert frequency is not None, "class weights that follow the data, and no data"
        if self.class_weights == "effective":
            return _even([(1 - BETA) / (1 - BETA**images) if images else 0.0 for images in frequency.images])
        if task.kind == "multiclass":
            return _even([1 / pixels if pixels else 0.0 for pixels in frequency.pixels])
        ratios = [(frequency.total - pixels) / pixels if pixels else 1.0 for pixels in frequency.pixels]
        return tuple(min(max(ratio, 1 / MOST), MOST) for ratio in ratios)


def _even(weights: list[float]) -> tuple[float, ...]:
    """Bring the mean of the weights of present classes to 1 and cut off extremes; absent classes weigh 1."""
    there = [weight for weight in weights if weight > 0]
    mean = sum(there) / max(len(there), 1)
    return tuple(min(weight / mean, MOST) if weight > 0 else 1.0 for weight in weights)


class CrossEntropyOptions(_Weighted):
    """Softmax cross entropy."""

    def term(self, task: Task, frequency: Frequency | None = None) -> Term:
        """Make the term."""
        return CrossEntropy(self.smoothing, self.weights(task, frequency))


class BinaryCrossEntropyOptions(_Weighted):
    """Sigmoid cross entropy of each plane; a class weight is that of the inside against 1 outside."""

    def term(self, task: Task, frequency: Frequency | None = None) -> Term:
        """Make the term."""
        return BinaryCrossEntropy(self.smoothing, self.weights(task, frequency))


class FocalOptions(Options):
    """Cross entropy in which pixels that are right already count little (Lin et al. 2017)."""

    gamma: float = Field(default=2.0, ge=0, le=10)
    """How little; 0 is cross entropy."""
    alpha: float | None = Field(default=None, gt=0, lt=1)
    """Weight of foreground (all classes but 0) against 1 - alpha of the rest; None: all alike."""

    def term(self, task: Task, frequency: Frequency | None = None) -> Term:
        """Make the term."""
        return Focal(task.kind == "multiclass", self.gamma, self.alpha)


class HardPixelsOptions(Options):
    """Cross entropy of the hardest pixels alone (online hard example mining)."""

    keep: float = Field(default=0.25, gt=0, le=1)
    """Share of the pixels that counts, the hardest."""
    skip: float = Field(default=0.0, ge=0, lt=1)
    """Share of those, the very hardest, that does not, as wrong labels look just so."""
    threshold: float | None = Field(default=None, gt=0, lt=1)
    """Pixels whose true class is less probable than this count in any case."""

    def term(self, task: Task, frequency: Frequency | None = None) -> Term:
        """Make the term."""
        return HardPixels(task.kind == "multiclass", self.keep, self.skip, self.threshold)


class DifficultyOptions(Options):
    """Cross entropy in which classes count by how badly they did in the last validation (CDB, Sinha et al. 2020)."""

    smoothing: Smoothing = 0.0
    """Label smoothing: this share of the truth is spread evenly over all classes."""
    tau: float | Literal["dynamic"] = "dynamic"
    """Power of the difficulty 1 - IoU that is the weight; dynamic: the larger, the more unequal the classes are."""

    @field_validator("tau")
    @classmethod
    def _positive(cls, tau: float | str) -> float | str:
        if isinstance(tau, float) and not 0 <= tau <= 10:
            raise ValueError(f"tau is dynamic or from 0 (all alike) to 10, got {tau}")
        return tau

    def term(self, task: Task, frequency: Frequency | None = None) -> Term:
        """Make the term."""
        tau = None if isinstance(self.tau, str) else self.tau
        return Difficulty(task.kind == "multiclass", task.planes, self.smoothing, tau)


class DivergenceOptions(Options):
    """Kullback-Leibler divergence from labels that are probabilities (encoding: soft); of others, cross entropy."""

    def term(self, task: Task, frequency: Frequency | None = None) -> Term:
        """Make the term."""
        return Divergence(task.kind == "multiclass")


class _Planes(Options):
    """A loss that is a mean over classes."""

    classes: tuple[str, ...] | None = Field(default=None, min_length=1)
    """Names of the classes that the mean is over, e.g. all but background; None: all."""

    def refuse(self, task: Task, where: str) -> None:
        """Refuse classes that the task does not have."""
        for name in self.classes or ():
            if name not in task.plane_names:
                raise unknown("class", name, task.plane_names, f"{where}.classes")

    def planes(self, task: Task) -> tuple[int, ...] | None:
        """Return the planes that are meant, None for all."""
        if self.classes is None:
            return None
        return tuple(place for place, name in enumerate(task.plane_names) if name in self.classes)


class _Region(_Planes):
    """A loss of regions."""

    per_image: bool = False
    """Each image by itself, and the mean over images; else the batch is one image."""


class _Smooth(_Region):
    """A loss of regions that is a ratio."""

    smooth: float | None = Field(default=None, gt=0, le=1e9)
    """Added above and below, in (2 overlap + smooth) / (predicted + true + smooth), for others in (overlap + smooth) /
    (... + smooth); classes that the truth lacks count too then, and small smooth makes them count more. None: they do
    not."""


class DiceOptions(_Smooth):
    """One minus soft Dice, mean over the classes that the truth has (Milletari et al. 2016)."""

    def term(self, task: Task, frequency: Frequency | None = None) -> Term:
        """Make the term."""
        half = None if self.smooth is None else self.smooth / 2
        softmax, planes = task.kind == "multiclass", self.planes(task)
        return Overlap(softmax, per_image=self.per_image, classes=planes, smooth=half)


class JaccardOptions(_Smooth):
    """One minus soft IoU, mean over the classes that the truth has."""

    def term(self, task: Task, frequency: Frequency | None = None) -> Term:
        """Make the term."""
        softmax, planes = task.kind == "multiclass", self.planes(task)
        return Overlap(softmax, 1.0, 1.0, per_image=self.per_image, classes=planes, smooth=self.smooth)


class TverskyOptions(_Smooth):
    """Dice with unequal weights of what is too much and what is missing (Salehi et al. 2017)."""

    alpha: float = Field(default=0.3, ge=0, le=1)
    """Weight of false positives."""
    beta: float = Field(default=0.7, ge=0, le=1)
    """Weight of false negatives."""

    def term(self, task: Task, frequency: Frequency | None = None) -> Term:
        """Make the term."""
        return self.overlap(task, 1.0)

    def overlap(self, task: Task, gamma: float) -> Overlap:
        """Make the term of a power."""
        softmax, planes = task.kind == "multiclass", self.planes(task)
        return Overlap(softmax, self.alpha, self.beta, gamma, self.per_image, planes, self.smooth)


class FocalTverskyOptions(TverskyOptions):
    """Tversky loss to the power 1 / gamma (Abraham and Khan 2018)."""

    gamma: float = Field(default=4 / 3, ge=1, le=10)
    """Above 1 classes that are hard to get right count more."""

    def term(self, task: Task, frequency: Frequency | None = None) -> Term:
        """Make the term."""
        return self.overlap(task, self.gamma)


class LovaszOptions(_Region):
    """Jaccard itself on probabilities, made convex (Lovasz softmax, Berman et al. 2018)."""

    def term(self, task: Task, frequency: Frequency | None = None) -> Term:
        """Make the term."""
        return LovaszSoftmax(task.kind == "multiclass", self.per_image, self.planes(task))


class LovaszHingeOptions(Options):
    """Jaccard itself on hinge errors of logits, made convex (Berman et al. 2018)."""

    elu: bool = False
    """ELU(error) + 1 in the place of max(error, 0), which keeps a gradient where a pixel is right."""
    per_image: bool = True
    """Each image by itself, and the mean over images; else the batch is one image."""

    def term(self, task: Task, frequency: Frequency | None = None) -> Term:
        """Make the term."""
        return LovaszHinge(self.elu, self.per_image)


class MaskSetOptions(Options):
    """The set loss of Mask2Former: queries are matched to true masks (Cheng et al. 2022, arXiv:2112.01527)."""

    classes: float = Field(default=2.0, gt=0, le=1000)
    """Weight of the cross entropy of classes, in the loss and in the matching."""
    masks: float = Field(default=5.0, gt=0, le=1000)
    """Weight of the cross entropy of mask points, in both."""
    dice: float = Field(default=5.0, gt=0, le=1000)
    """Weight of Dice on mask points, in both."""
    nothing: float = Field(default=0.1, gt=0, le=1)
    """How much queries without a mask count in the cross entropy of classes."""
    points: int = Field(default=12_544, ge=1, le=1_000_000)
    """Points of each mask that are compared (112 x 112)."""
    oversample: float = Field(default=3.0, ge=1, le=100)
    """How many times as many are drawn, of which the least certain are kept."""
    importance: float = Field(default=0.75, ge=0, le=1)
    """Share of points that are kept for being uncertain."""

    def term(self, task: Task, frequency: Frequency | None = None) -> Term:
        """Make the term."""
        fields = self.model_dump(exclude={"weight"})
        return MaskSet(task.kind, SetWeights(**fields))


class BoundaryOptions(_Planes):
    """Each wrong pixel costs its distance to the true outline (Kervadec et al. 2019); use it beside another."""

    def term(self, task: Task, frequency: Frequency | None = None) -> Term:
        """Make the term."""
        return Boundary(task.kind == "multiclass", self.planes(task))
