"""What every augmentation is: a block of parameters that changes one sample, all chance from one generator."""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from statistics import NormalDist
from typing import Annotated, Any, Protocol, TypeVar

import numpy as np
from numpy.typing import NDArray
from pydantic import AfterValidator, Field

from maskwright.core.errors import near
from maskwright.core.grid import Shape
from maskwright.core.labels import Task, looks_background
from maskwright.core.recipe.base import Block
from maskwright.data.pixels.header import Pixels, Valid
from maskwright.data.windows import CV2_CHANNELS, Layers, by_bands, for_cv2, from_planes, to_planes, with_bands

Rng = np.random.Generator
Floats = NDArray[np.floating[Any]]
Entry = Mapping[str, Mapping[str, Any]]
T = TypeVar("T", int, float)


def ascending(pair: tuple[T, T]) -> tuple[T, T]:
    """Refuse a range whose ends are swapped."""
    if pair[0] > pair[1]:
        raise ValueError(f"a range is [low, high], got [{pair[0]}, {pair[1]}]")
    return pair


Probability = Annotated[float, Field(ge=0, le=1)]
Share = Annotated[float, Field(ge=0, le=1)]
Shares = Annotated[tuple[Share, Share], AfterValidator(ascending)]
Positive = Annotated[float, Field(gt=0, le=1000)]
Range = Annotated[tuple[Positive, Positive], AfterValidator(ascending)]
Count = Annotated[int, Field(ge=1, le=10_000)]
Counts = Annotated[tuple[Count, Count], AfterValidator(ascending)]
Odd = Annotated[int, Field(ge=3, le=99)]
Odds = Annotated[tuple[Odd, Odd], AfterValidator(ascending)]


@dataclass(frozen=True)
class Setting:
    """What an augmentation may know about the training it is part of; None: not known yet."""

    task: Task | None = None
    bands: int | None = None
    """Bands of the images it will get."""
    pixels: tuple[int, ...] | None = None
    """Pixels of each value of the task (each plane, for multilabel) in the training set."""
    soft: bool = False
    """Whether labels are planes of probabilities."""


class Step(Block, ABC):
    """One augmentation with its parameters."""

    p: Probability = 0.5
    """How often it is applied."""

    @abstractmethod
    def apply(self, layers: Layers, rng: Rng) -> Layers:
        """Transform one sample; `rng` is the only source of chance, and the arrays given stay as they are."""

    def fit(self, setting: Setting) -> Step:
        """Return the step made ready for a training: class names become ids.

        Raises:
            ValueError: it does not suit the task or the number of bands.
        """
        del setting
        return self


def refuse_soft(setting: Setting, what: str, instead: str) -> None:
    """Refuse a step that labels of probabilities do not suit.

    Raises:
        ValueError: what it does with labels, and what to do.
    """
    if setting.soft:
        raise ValueError(f"{what}, but labels are probabilities (encoding: soft); {instead}")


class Others(Protocol):
    """Where samples that mix items find another one."""

    def __call__(self, rng: Rng, shape: Shape, classes: Collection[int] = ()) -> Layers:
        """Return a window of another item.

        Args:
            rng: the only source of chance.
            shape: (height, width) of the window.
            classes: label values (planes, for multilabel) one of which should be seen in it; it may be tried in vain.
        """


class Mix(Step):
    """An augmentation that takes pixels from other items."""

    def apply(self, layers: Layers, rng: Rng) -> Layers:
        """Never called: mixing needs other items."""
        raise AssertionError("an Augmenter calls mix")

    @abstractmethod
    def mix(self, layers: Layers, rng: Rng, others: Others) -> Layers:
        """Transform one sample; `others` gives windows of other items at the training's scale."""


def class_ids(names: Sequence[str | int], task: Task | None) -> tuple[int, ...]:
    """Turn class names or ids into label values; planes for multilabel.

    Raises:
        ValueError: the task has no such class.
    """
    if task is None:
        return tuple(name for name in names if isinstance(name, int))
    known: dict[str, int] = {str(name): place for place, name in enumerate(task.value_names)}
    if task.kind == "multilabel":
        known = {name: place for place, name in enumerate(task.plane_names)}
    elif task.kind == "binary" and len(task.classes) == 2:
        known = {**known, task.classes[0]: 0}
    found = []
    for name in names:
        if name not in known and name not in known.values():
            raise ValueError(f"the task has no class '{name}'{near(str(name), known)}; use one of: {', '.join(known)}")
        found.append(known[name] if isinstance(name, str) else name)
    return tuple(found)


def foreground(task: Task) -> tuple[int, ...]:
    """Return the label values (planes) that stand for something: all but a background."""
    if task.kind == "multilabel":
        return tuple(range(task.planes))
    return tuple(
        value for value, name in zip(task.values, task.value_names, strict=True) if value or not looks_background(name)
    )


def each_band(function: Callable[[Pixels, int], Pixels], image: Pixels) -> Pixels:
    """Apply a function to each band, given as contiguous (H, W) with its number; (H, W, B) comes back."""
    return from_planes([function(plane, number) for number, plane in enumerate(to_planes(image))])


def band_stats(image: Pixels) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Return mean and standard deviation of each band, float64 (B,), of 64 rows and columns or more, evenly spread."""
    every = [max(1, side // 64) for side in image.shape[:2]]
    some = np.ascontiguousarray(image[:: every[0], :: every[1]])
    if image.shape[2] <= CV2_CHANNELS:
        import cv2

        mean, std = cv2.meanStdDev(some)
        return mean[:, 0], std[:, 0]
    bands = np.ascontiguousarray(some.reshape(-1, image.shape[2]).T, np.float64)
    return bands.mean(1), bands.std(1)


def scale_bands(image: Pixels, gain: Floats, shift: Floats) -> Pixels:
    """Multiply each band by its gain (B,) and add its shift (B,)."""
    import cv2

    if image.shape[2] == 3:
        return with_bands(cv2.transform(for_cv2(image), np.column_stack([np.diag(gain), shift])))
    return each_band(lambda plane, number: cv2.transform(plane, np.array([[gain[number], shift[number]]])), image)


def look_up(image: Pixels, table: NDArray[np.uint8]) -> Pixels:
    """Replace each value of an 8-bit image by its entry in the table (256,)."""
    import cv2

    return by_bands(lambda pixels: cv2.LUT(pixels, table), image)


def span(image: Pixels) -> NDArray[np.float64]:
    """Return what counts as the whole range of each band: 255 for 8 bit, else four of its deviations."""
    if image.dtype == np.uint8:
        return np.full(image.shape[2], 255.0)
    return 4 * band_stats(image)[1]


def like(values: Floats, image: Pixels) -> Pixels:
    """Give float values the dtype of an image, rounded and clipped if that is 8 bit; may write into them."""
    if image.dtype != np.uint8:
        return values.astype(np.float32, copy=False)
    np.rint(values, out=values)
    return np.clip(values, 0, 255, out=values).astype(np.uint8)


def normal(rng: Rng, shape: tuple[int, ...]) -> NDArray[np.float32]:
    """Draw from the normal distribution, float32, in 4096 steps: a table is seven times as fast as drawing."""
    count = math.prod(shape)
    bits = rng.integers(0, 2**64, -(-count // 4), np.uint64).view(np.uint16)[:count]
    return _normal_table().take(bits & 4095).reshape(shape)


def grain(rng: Rng, image: Pixels, deviation: Floats) -> NDArray[np.float32]:
    """Draw noise for an image, float32 (H, W, B), of a standard deviation for each band (B,)."""
    height, width, bands = image.shape
    if bands <= CV2_CHANNELS:
        noise = normal(rng, (height, width, bands))
    else:
        noise = normal(rng, (bands, height, width)).transpose(1, 2, 0)
    return scale_bands(noise, deviation, np.zeros(bands))


def added(image: Pixels, change: NDArray[np.float32]) -> Pixels:
    """Add a change, float32 (H, W, B), which may be written to, to an image; rounded and clipped if that is 8 bit."""
    import cv2

    if image.dtype == np.uint8 and image.shape[2] <= CV2_CHANNELS:
        return with_bands(cv2.add(for_cv2(image), change, None, None, cv2.CV_8U))
    change += image
    return like(change, image)


@lru_cache(maxsize=1)
def _normal_table() -> NDArray[np.float32]:
    """Return 4096 quantiles of the normal distribution, float32."""
    distribution = NormalDist()
    return np.array([distribution.inv_cdf((place + 0.5) / 4096) for place in range(4096)], np.float32)


def forget(layers: Layers, region: Valid) -> Layers:
    """Let a region count no more: label 0, valid False."""
    valid = layers.valid & ~region
    return layers._replace(label=layers.label * valid, valid=valid)
