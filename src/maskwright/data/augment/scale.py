"""Scale: how large a window is cut from the image before it is brought to the training's size."""

from __future__ import annotations

import math
from abc import abstractmethod
from typing import Annotated

from pydantic import Field, field_validator

from maskwright.data.augment.base import Positive, Probability, Range, Rng, Shares, Step, ascending
from maskwright.data.windows import Layers

Metres = Annotated[float, Field(gt=0, le=1000)]


class Scale(Step):
    """An augmentation of scale. The window is cut accordingly, so it comes before all others, wherever it stands."""

    p: Probability = 1.0

    @abstractmethod
    def draw(self, rng: Rng) -> tuple[float, float]:
        """Return by how much rows and columns are enlarged, where it is applied."""

    def factors(self, rng: Rng, gsd: float | None = None) -> tuple[float, float]:
        """Return by how much the rows and columns of one sample are enlarged, p counted in.

        Args:
            rng: gives the chance.
            gsd: metres of a pixel of the item on the ground; None: nobody knows.
        """
        del gsd
        drawn = self.draw(rng)
        return drawn if rng.random() < self.p else (1.0, 1.0)

    def apply(self, layers: Layers, rng: Rng) -> Layers:
        """Do nothing: the window was cut and resized before."""
        return layers


class ScaleCrop(Scale):
    """Enlarge by a factor in `scale` (2: things look twice as large), every octave equally often.

    The training window is cut that much smaller or larger from the image and brought to its size, so
    this comes before all other steps, wherever it stands in the list.
    """

    scale: Range = (0.5, 2.0)

    def draw(self, rng: Rng) -> tuple[float, float]:
        """Return by how much rows and columns are enlarged."""
        low, high = (math.log(value) for value in self.scale)
        factor = math.exp(rng.uniform(low, high))
        return factor, factor


class RandomChoiceResize(Scale):
    """Enlarge by one of the `ratios`, equally often; as scale_crop, it comes before all other steps.

    mmseg's RandomChoiceResize with scales 512, 614, ... 2048 of images of 512 is ratios 1.0, 1.2, ... 4.0.
    """

    ratios: tuple[Positive, ...] = Field(default=(0.5, 0.75, 1.0, 1.25, 1.5, 1.75, 2.0), min_length=1)

    def draw(self, rng: Rng) -> tuple[float, float]:
        """Return by how much rows and columns are enlarged."""
        factor = self.ratios[int(rng.integers(len(self.ratios)))]
        return factor, factor


class RandomResizedCrop(Scale):
    """Cut a share `scale` of the window's area, of aspect `ratio` (width to height), and bring it to size.

    As scale_crop, it comes before all other steps. With crop: whole the share is of the whole image.
    """

    scale: Shares = (0.5, 1.0)
    ratio: Range = (0.75, 1.3333)

    def draw(self, rng: Rng) -> tuple[float, float]:
        """Return by how much rows and columns are enlarged: the side that would be cut too long is cut whole."""
        area = max(rng.uniform(*self.scale), 1e-4)
        low, high = (math.log(value) for value in self.ratio)
        ratio = math.exp(rng.uniform(low, high))
        return max(1.0, math.sqrt(ratio / area)), max(1.0, math.sqrt(1 / (ratio * area)))


class GsdScale(Scale):
    """Bring an item to a pixel of `to` metres, or of a size drawn between two, each octave equally often.

    Items know theirs by the attribute `gsd`: those of scenes do, and those of a CSV with such a column. Others, and
    those that are mixed in, stay as they are. As scale_crop, it comes before all other steps. (SEEDS 004.5: to 0.07.)
    """

    to: Metres | tuple[Metres, Metres] = (0.05, 0.3)

    @field_validator("to")
    @classmethod
    def _in_order(cls, to: float | tuple[float, float]) -> float | tuple[float, float]:
        return ascending(to) if isinstance(to, tuple) else to

    def draw(self, rng: Rng) -> tuple[float, float]:
        """Return one over the metres that a pixel shall have."""
        low, high = (self.to, self.to) if isinstance(self.to, float) else self.to
        factor = 1 / math.exp(rng.uniform(math.log(low), math.log(high)))
        return factor, factor

    def factors(self, rng: Rng, gsd: float | None = None) -> tuple[float, float]:
        """Return by how much the rows and columns of one sample are enlarged, p counted in."""
        drawn = self.draw(rng)
        if rng.random() >= self.p or gsd is None:
            return 1.0, 1.0
        return drawn[0] * gsd, drawn[1] * gsd
