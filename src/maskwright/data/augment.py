"""The augmentations: one table from name to step, each seeded by its sample and true to image, label and valid.

An image comes as it is in the file if that is 8 bit, else as float32 already divided, with any number
of bands. What geometry brings in from outside mirrors the image, and there valid is False and the
label 0. Light and noise are measured in each band's own mean and deviation, so they suit reflectances
and elevations as they suit photographs.

albumentations is known to this file alone, and imported when a recipe names one of its transforms.
"""

from __future__ import annotations

import math
import os
import warnings
from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from statistics import NormalDist
from typing import Annotated, Any

import numpy as np
from numpy.typing import NDArray
from pydantic import AfterValidator, Field, ValidationError, model_validator

from maskwright.core.errors import InputError, near, one_line, unknown
from maskwright.core.grid import SYMMETRIES, SYMMETRY, Shape
from maskwright.core.recipe.base import Block
from maskwright.data.header import Pixels, Valid
from maskwright.data.sampling import crop_window, sample_seed
from maskwright.data.sources.base import Label
from maskwright.data.windows import CV2_CHANNELS, Layers, by_bands, cut, map_layers, resize, turn, with_bands

Rng = np.random.Generator
Entry = Mapping[str, Mapping[str, Any]]


def _ascending(pair: tuple[float, float]) -> tuple[float, float]:
    if pair[0] > pair[1]:
        raise ValueError(f"a range is [low, high], got [{pair[0]}, {pair[1]}]")
    return pair


Probability = Annotated[float, Field(ge=0, le=1)]
Positive = Annotated[float, Field(gt=0, le=1000)]
Range = Annotated[tuple[Positive, Positive], AfterValidator(_ascending)]


class Step(Block, ABC):
    """One augmentation with its parameters."""

    p: Probability = 0.5
    """How often it is applied."""

    @abstractmethod
    def apply(self, layers: Layers, rng: Rng) -> Layers:
        """Transform one sample; `rng` is the only source of chance."""


class HFlip(Step):
    """Swap left and right."""

    def apply(self, layers: Layers, rng: Rng) -> Layers:
        """Transform one sample."""
        return turn(layers, "hflip")


class VFlip(Step):
    """Swap top and bottom."""

    def apply(self, layers: Layers, rng: Rng) -> Layers:
        """Transform one sample."""
        return turn(layers, "vflip")


class Transpose(Step):
    """Swap rows and columns; windows that are not square are left alone."""

    def apply(self, layers: Layers, rng: Rng) -> Layers:
        """Transform one sample."""
        return turn(layers, "transpose" if layers.shape[0] == layers.shape[1] else "identity")


class Rot90(Step):
    """Turn by 0, 90, 180 or 270 degrees, equally often; by 0 or 180 where the window is not square."""

    p: Probability = 1.0

    def apply(self, layers: Layers, rng: Rng) -> Layers:
        """Transform one sample."""
        return turn(layers, _draw(("identity", "rot90", "rot180", "rot270"), layers.shape, rng))


class D4(Step):
    """Apply one of the eight symmetries of the square, equally often; of the four that fit if it is no square."""

    p: Probability = 1.0

    def apply(self, layers: Layers, rng: Rng) -> Layers:
        """Transform one sample."""
        return turn(layers, _draw(SYMMETRIES, layers.shape, rng))


def _draw(names: Sequence[str], shape: Shape, rng: Rng) -> str:
    fits = [name for name in names if shape[0] == shape[1] or not SYMMETRY[name].swap]
    return fits[int(rng.integers(len(fits)))]


class Rotate(Step):
    """Turn about the centre by up to `limit` degrees either way."""

    limit: float = Field(default=20.0, gt=0, le=180)

    def apply(self, layers: Layers, rng: Rng) -> Layers:
        """Transform one sample."""
        import cv2

        height, width = layers.shape
        angle = rng.uniform(-self.limit, self.limit)
        matrix = cv2.getRotationMatrix2D(((width - 1) / 2, (height - 1) / 2), angle, 1.0)
        mirror: dict[str, Any] = {"flags": cv2.INTER_LINEAR, "borderMode": cv2.BORDER_REFLECT_101}
        nothing: dict[str, Any] = {"flags": cv2.INTER_NEAREST, "borderMode": cv2.BORDER_CONSTANT, "borderValue": 0}
        return map_layers(
            layers,
            lambda pixels: cv2.warpAffine(pixels, matrix, (width, height), **mirror),
            lambda plane: cv2.warpAffine(plane, matrix, (width, height), **nothing),
        )


class ScaleCrop(Step):
    """Enlarge by a factor in `scale` (2: things look twice as large), every octave equally often.

    The training window is cut that much smaller or larger from the image and brought to its size, so
    this comes before all other steps, wherever it stands in the list.
    """

    scale: Range = (0.5, 2.0)
    p: Probability = 1.0

    def draw(self, rng: Rng) -> float:
        """Return the factor of one sample."""
        low, high = (math.log(value) for value in self.scale)
        factor = math.exp(rng.uniform(low, high))
        return factor if rng.random() < self.p else 1.0

    def apply(self, layers: Layers, rng: Rng) -> Layers:
        """Do nothing: the window was cut and resized before."""
        return layers


class BrightnessContrast(Step):
    """Move each band's mean by up to `brightness` of itself, and stretch about it by up to `contrast`."""

    brightness: float = Field(default=0.2, ge=0, le=1)
    contrast: float = Field(default=0.2, ge=0, le=1)

    def apply(self, layers: Layers, rng: Rng) -> Layers:
        """Transform one sample; all bands by the same shares."""
        import cv2

        gain = 1 + rng.uniform(-self.contrast, self.contrast)
        mean = _band_stats(layers.image)[0]
        shift = mean * (1 + rng.uniform(-self.brightness, self.brightness) - gain)
        if layers.image.dtype != np.uint8:
            image = np.ascontiguousarray(layers.image) * np.float32(gain)
            rows = image.reshape(image.shape[0], -1)
            rows += np.tile(shift.astype(np.float32), image.shape[1])  # long rows add twice as fast as short bands
            return layers._replace(image=image)
        table = np.clip(np.rint(np.arange(256)[:, None] * gain + shift), 0, 255).astype(np.uint8)
        if len(mean) <= CV2_CHANNELS:
            return layers._replace(image=with_bands(cv2.LUT(np.ascontiguousarray(layers.image), table[None])))
        bands = enumerate(cv2.split(np.ascontiguousarray(layers.image)))
        return layers._replace(image=cv2.merge([cv2.LUT(band, table[:, place].copy()) for place, band in bands]))


class Blur(Step):
    """Blur by a Gaussian whose standard deviation, in pixels, lies in `sigma`."""

    sigma: Range = (0.3, 1.5)
    p: Probability = 0.3

    def apply(self, layers: Layers, rng: Rng) -> Layers:
        """Transform one sample."""
        import cv2

        sigma = rng.uniform(*self.sigma)
        return layers._replace(image=by_bands(lambda pixels: cv2.GaussianBlur(pixels, (0, 0), sigma), layers.image))


class Noise(Step):
    """Add Gaussian noise whose deviation, as a share of each band's own deviation, lies in `strength`."""

    strength: Range = (0.02, 0.15)
    p: Probability = 0.3

    def apply(self, layers: Layers, rng: Rng) -> Layers:
        """Transform one sample."""
        sigma = rng.uniform(*self.strength) * _band_stats(layers.image)[1]
        table = _normal_table()
        noisy = table[rng.integers(0, len(table), layers.image.shape, np.uint16)]
        noisy *= sigma.astype(np.float32)
        noisy += layers.image
        if layers.image.dtype == np.uint8:
            noisy = np.clip(np.rint(noisy, out=noisy), 0, 255, out=noisy).astype(np.uint8)
        return layers._replace(image=noisy)


@lru_cache(maxsize=1)
def _normal_table() -> NDArray[np.float32]:
    """Return 4096 quantiles of the normal distribution, float32: indexing them is twice as fast as drawing."""
    normal = NormalDist()
    return np.array([normal.inv_cdf((place + 0.5) / 4096) for place in range(4096)], np.float32)


def _band_stats(image: Pixels) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Return mean and standard deviation of each band, float64 (B,)."""
    import cv2

    mean, std = cv2.meanStdDev(np.ascontiguousarray(image))
    return mean[:, 0], std[:, 0]


class Albumentations(Step):
    """Any pixel or geometry transform of albumentations by its own name, e.g. MotionBlur.

    Float images must lie in 0..1, which many of them clip to. `valid` goes along as a mask, so where
    a transform fills with 0 (their default) it becomes False.
    """

    name: str
    params: dict[str, Any] = Field(default_factory=dict)
    """The transform's own arguments, its p among them."""
    p: Probability = 1.0
    _transform: Any = None

    @model_validator(mode="after")
    def _known(self) -> Albumentations:
        self._transform = _album(self.name, self.params)
        return self

    def apply(self, layers: Layers, rng: Rng) -> Layers:
        """Transform one sample, seeded from `rng`."""
        self._transform.set_random_seed(int(rng.integers(2**31)))
        flat, label = layers.image.shape[2] == 1, layers.label
        try:
            done = self._transform(
                image=np.ascontiguousarray(layers.image[:, :, 0] if flat else layers.image),
                mask=np.ascontiguousarray(label if label.ndim == 2 else np.moveaxis(label, 0, -1)),
                valid=np.ascontiguousarray(layers.valid).view(np.uint8),
            )
        except Exception as error:
            raise InputError(
                f"{self.name} cannot transform {layers.image.shape[2]} bands of {layers.image.dtype} ({error})",
                where="augment.albumentations",
                fix="choose another transform",
            ) from error
        image, mask, valid = done["image"], done["mask"], done["valid"] != 0
        image = (image[:, :, None] if flat else image).astype(layers.image.dtype, copy=False)
        return Layers(image, (mask if label.ndim == 2 else np.moveaxis(mask, -1, 0)) * valid, valid)


def _album(name: str, params: Mapping[str, Any]) -> Any:
    """Make a transform of albumentations.

    Raises:
        ValueError: it has no such transform, or that takes no such parameters.
    """
    os.environ.setdefault("NO_ALBUMENTATIONS_UPDATE", "1")  # else it asks the network at import
    import albumentations

    kind = getattr(albumentations, name, None)
    fits = (albumentations.ImageOnlyTransform, albumentations.DualTransform)
    if not (isinstance(kind, type) and issubclass(kind, fits)):
        names = [other for other in dir(albumentations) if other[0].isupper()]
        raise ValueError(f"albumentations has no image transform '{name}'{near(name, names)}; see its documentation")
    with warnings.catch_warnings():
        warnings.simplefilter("error")  # wrong arguments are only warned of
        try:
            transform = kind(**params)
        except (TypeError, ValueError, Warning) as error:
            raise ValueError(f"{name}: {one_line(str(error))}; see albumentations' documentation") from None
    transform.add_targets({"valid": "mask"})
    return transform


@dataclass(frozen=True)
class Augmenter:
    """Steps in order. The same seed gives the same result, whatever was done before and wherever.

    Args:
        steps: as build makes them.
    """

    steps: tuple[Step, ...]

    def source_shape(self, size: Shape, seed: int) -> Shape:
        """Return the (height, width) to cut from an image so that, resized to `size`, it is scaled as drawn."""
        rng = np.random.default_rng(sample_seed(seed, 0, -3))
        factor = math.prod(step.draw(rng) for step in self.steps if isinstance(step, ScaleCrop))
        return max(1, round(size[0] / factor)), max(1, round(size[1] / factor))

    def __call__(
        self, image: Pixels, label: Label, valid: Valid, seed: int, size: Shape | None = None
    ) -> tuple[Pixels, Label, Valid]:
        """Transform one sample.

        Args:
            image: (H, W, B) uint8, or float32 already divided.
            label: uint8 (H, W) or (K, H, W), 0 where not valid.
            valid: bool (H, W).
            seed: of the sample; all chance comes from it.
            size: (h, w) of the result, if the layers are a window of `source_shape(size, seed)`; None: a
                window of that shape is cut at a random place here, and brought back to the layers' size.

        Returns:
            the same triple with the same dtypes; arrays may be views of those given.

        Raises:
            InputError: a transform cannot take such an image.
        """
        layers = Layers(image, label, valid)
        if size is None:
            size = layers.shape
            source = self.source_shape(size, seed)
            if source != size:
                layers = cut(layers, crop_window(seed, 0, 0, size, source))
        layers = resize(layers, size)
        rng = np.random.default_rng(sample_seed(seed, 0, -4))
        for step in self.steps:
            if rng.random() < step.p:
                layers = step.apply(layers, rng)
        return layers.image, layers.label, layers.valid


def build(entries: Sequence[Entry], where: str = "augment") -> Augmenter:
    """Make the augmenter a recipe describes.

    Args:
        entries: one `{name: parameters}` each, in order.
        where: recipe key for messages.

    Raises:
        InputError: an unknown name or parameter, or a value out of range.
    """
    return Augmenter(tuple(_step(entry, f"{where}[{place}]") for place, entry in enumerate(entries)))


def check(entries: Sequence[Entry], where: str) -> None:
    """Refuse what build would refuse, before any data is read."""
    build(entries, where)


def _step(entry: Entry, where: str) -> Step:
    ((name, params),) = entry.items()
    if name not in TABLE:
        raise unknown("augmentation", name, TABLE, where)
    try:
        return TABLE[name].model_validate(dict(params))
    except ValidationError as error:
        detail = error.errors(include_url=False)[0]
        what, _, fix = str(detail["msg"]).removeprefix("Value error, ").partition("; ")
        key = ".".join([name, *(str(part) for part in detail["loc"])])
        if detail["type"] not in ("unknown_key", "value_error", "missing"):
            what = f"{what[0].lower()}{what[1:]}, got {detail['input']!r}"
        raise InputError(what, where=f"{where}.{key}", fix=fix or "see docs/reference") from None


TABLE: dict[str, type[Step]] = {
    "hflip": HFlip,
    "vflip": VFlip,
    "rot90": Rot90,
    "transpose": Transpose,
    "d4": D4,
    "rotate": Rotate,
    "scale_crop": ScaleCrop,
    "brightness_contrast": BrightnessContrast,
    "blur": Blur,
    "noise": Noise,
    "albumentations": Albumentations,
}
"""Name in the recipe -> step. Each takes p, and its own fields as parameters."""
