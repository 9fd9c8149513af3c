"""Any transform of albumentations by its own name; the only file that knows the library."""

from __future__ import annotations

import os
import warnings
from collections.abc import Mapping
from typing import Any

import numpy as np
from pydantic import Field, model_validator

from maskwright.core.errors import InputError, near, one_line
from maskwright.data.augment.base import Probability, Rng, Step
from maskwright.data.windows import Layers


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
