"""The table of all augmentations, and what applies them to a sample, seeded by it, true to image, label and valid."""

from __future__ import annotations

import math
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from pydantic import Field, ValidationError, field_validator, model_validator

from maskwright.core.errors import InputError, unknown
from maskwright.core.grid import Shape
from maskwright.core.recipe.presets import PRESETS
from maskwright.data.augment.album import Albumentations
from maskwright.data.augment.base import Entry, Mix, Others, Rng, Setting, Step
from maskwright.data.augment.blur import Blur, Compression, Downscale, MedianBlur, MotionBlur
from maskwright.data.augment.colour import (
    ChannelDropout,
    ChannelShuffle,
    HueSaturation,
    PhotometricDistortion,
    RgbShift,
    ToGray,
)
from maskwright.data.augment.erase import CoarseDropout, GridMask, MaskDropout
from maskwright.data.augment.light import BrightnessContrast, Clahe, Equalize, Gamma, Sharpen
from maskwright.data.augment.mix import CopyPaste, CutMix, Mosaic
from maskwright.data.augment.noise import IsoNoise, MultiplicativeNoise, Noise
from maskwright.data.augment.pad import PadCrop
from maskwright.data.augment.scale import GsdScale, RandomChoiceResize, RandomResizedCrop, Scale, ScaleCrop
from maskwright.data.augment.symmetric import D4, HFlip, Rot90, Transpose, VFlip
from maskwright.data.augment.warp import (
    ElasticTransform,
    GridDistortion,
    OpticalDistortion,
    Perspective,
    Rotate,
    ShiftScaleRotate,
)
from maskwright.data.pixels.header import Pixels, Valid
from maskwright.data.sampling import crop_window, sample_seed
from maskwright.data.sources.base import Label
from maskwright.data.windows import Layers, cut, resize


class OneOf(Step):
    """Apply one of the entries in `of`, equally often, whatever its own p."""

    of: tuple[dict[str, dict[str, Any]], ...] = Field(min_length=1)
    """Entries as in the list itself, e.g. [blur, {median_blur: {size: [3, 3]}}]; none that scales or mixes items."""
    _steps: tuple[Step, ...] = ()

    @field_validator("of", mode="before")
    @classmethod
    def _bare_names(cls, given: Any) -> Any:
        if not isinstance(given, list | tuple):
            return given
        return tuple({entry: {}} if isinstance(entry, str) else entry for entry in given)

    @model_validator(mode="after")
    def _known(self) -> OneOf:
        self._steps = tuple(_step(entry, f"of[{place}]") for place, entry in enumerate(self.of))
        for entry, step in zip(self.of, self._steps, strict=True):
            if isinstance(step, Mix | Scale):
                raise ValueError(f"{next(iter(entry))} cannot be one of several; make it an entry of its own")
        return self

    def fit(self, setting: Setting) -> Step:
        """Make each entry ready."""
        ready = self.model_copy()
        ready._steps = tuple(step.fit(setting) for step in self._steps)
        return ready

    def apply(self, layers: Layers, rng: Rng) -> Layers:
        """Transform one sample."""
        return self._steps[int(rng.integers(len(self._steps)))].apply(layers, rng)


@dataclass(frozen=True)
class Augmenter:
    """Steps in order. The same seed gives the same result, whatever was done before and wherever.

    Args:
        steps: as build makes them.
    """

    steps: tuple[Step, ...]

    @property
    def mixes(self) -> bool:
        """Whether it needs other items."""
        return any(isinstance(step, Mix) for step in self.steps)

    @property
    def by_gsd(self) -> bool:
        """Whether it goes by the metres of a pixel."""
        return any(isinstance(step, GsdScale) for step in self.steps)

    def source_shape(self, size: Shape, seed: int, gsd: float | None = None) -> Shape:
        """Return the (height, width) to cut from an image so that, resized to `size`, it is scaled as drawn.

        Args:
            size: (h, w) of the result.
            seed: of the sample.
            gsd: metres of a pixel of the item on the ground, if somebody knows.
        """
        return self._source_shape(size, np.random.default_rng(sample_seed(seed, 0, -3)), gsd)

    def _source_shape(self, size: Shape, rng: Rng, gsd: float | None = None) -> Shape:
        drawn = [step.factors(rng, gsd) for step in self.steps if isinstance(step, Scale)]
        rows, cols = math.prod(pair[0] for pair in drawn), math.prod(pair[1] for pair in drawn)
        return max(1, round(size[0] / rows)), max(1, round(size[1] / cols))

    def __call__(
        self,
        image: Pixels,
        label: Label,
        valid: Valid,
        seed: int,
        size: Shape | None = None,
        others: Others | None = None,
    ) -> tuple[Pixels, Label, Valid]:
        """Transform one sample.

        Args:
            image: (H, W, B) uint8, or float32 already divided.
            label: uint8 (H, W) or (K, H, W), 0 where not valid.
            valid: bool (H, W).
            seed: of the sample; all chance comes from it.
            size: (h, w) of the result, if the layers are a window of `source_shape(size, seed)`; None: a
                window of that shape is cut at a random place here, and brought back to the layers' size.
            others: gives windows of other items, at their own scale; needed if `mixes`.

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
            if rng.random() >= step.p:
                continue
            if isinstance(step, Mix):
                assert others is not None, "a step that mixes items needs others"
                layers = step.mix(layers, rng, self._scaled(others))
            else:
                layers = step.apply(layers, rng)
        return layers.image, layers.label, layers.valid

    def _scaled(self, others: Others) -> Others:
        """Give windows of other items scaled as this training scales its own."""

        def window(rng: Rng, shape: Shape, classes: Collection[int] = ()) -> Layers:
            return resize(others(rng, self._source_shape(shape, rng), classes), shape)

        return window


def build(entries: Sequence[Entry], where: str = "augment", setting: Setting | None = None) -> Augmenter:
    """Make the augmenter a recipe describes.

    Args:
        entries: one `{name: parameters}` each, in order.
        where: recipe key for messages.
        setting: what is known of the training.

    Raises:
        InputError: an unknown name or parameter, a value out of range, or what does not suit the task or the bands.
    """
    steps = []
    for place, entry in enumerate(entries):
        step = _step(entry, f"{where}[{place}]")
        try:
            steps.append(step.fit(setting or Setting()))
        except ValueError as error:
            what, _, fix = str(error).partition("; ")
            raise InputError(what, where=f"{where}[{place}].{next(iter(entry))}", fix=fix) from None
    return Augmenter(tuple(steps))


def check(entries: Sequence[Entry], where: str, setting: Setting | None = None) -> None:
    """Refuse what build would refuse, before any data is read."""
    build(entries, where, setting)


def _step(entry: Entry, where: str) -> Step:
    ((name, params),) = entry.items()
    if name in PRESETS and name not in TABLE:
        raise InputError(f"preset {name} takes no parameters", where=where, fix=f"write {name} alone")
    if name not in TABLE:
        raise unknown("augmentation", name, [*TABLE, *PRESETS], where)
    try:
        return TABLE[name].model_validate(dict(params or {}))
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
    "transpose": Transpose,
    "rot90": Rot90,
    "d4": D4,
    "scale_crop": ScaleCrop,
    "random_choice_resize": RandomChoiceResize,
    "random_resized_crop": RandomResizedCrop,
    "gsd_scale": GsdScale,
    "rotate": Rotate,
    "shift_scale_rotate": ShiftScaleRotate,
    "perspective": Perspective,
    "elastic_transform": ElasticTransform,
    "grid_distortion": GridDistortion,
    "optical_distortion": OpticalDistortion,
    "pad_crop": PadCrop,
    "brightness_contrast": BrightnessContrast,
    "gamma": Gamma,
    "clahe": Clahe,
    "equalize": Equalize,
    "sharpen": Sharpen,
    "hue_saturation": HueSaturation,
    "photometric_distortion": PhotometricDistortion,
    "rgb_shift": RgbShift,
    "channel_shuffle": ChannelShuffle,
    "channel_dropout": ChannelDropout,
    "to_gray": ToGray,
    "blur": Blur,
    "motion_blur": MotionBlur,
    "median_blur": MedianBlur,
    "downscale": Downscale,
    "compression": Compression,
    "noise": Noise,
    "multiplicative_noise": MultiplicativeNoise,
    "iso_noise": IsoNoise,
    "coarse_dropout": CoarseDropout,
    "grid_mask": GridMask,
    "mask_dropout": MaskDropout,
    "mosaic": Mosaic,
    "cutmix": CutMix,
    "copy_paste": CopyPaste,
    "one_of": OneOf,
    "albumentations": Albumentations,
}
"""Name in the recipe -> step. Each takes p, and its own fields as parameters."""
