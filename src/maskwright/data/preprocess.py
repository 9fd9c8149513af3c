"""How pixels become numbers: bands chosen, divided, normalised; the same in training and in prediction."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from maskwright.core.errors import InputError, RecipeError
from maskwright.core.recipe.blocks import Data
from maskwright.data.audit.fingerprint import Fingerprint
from maskwright.data.pixels.header import Pixels, Valid
from maskwright.data.windows import to_planes

IMAGENET = ((0.485, 0.456, 0.406), (0.229, 0.224, 0.225))
"""Mean and standard deviation of ImageNet in RGB divided by 255 (torchvision, models/_presets)."""


@dataclass(frozen=True)
class Preprocess:
    """From an image as it is in the file to what a model takes. It is stored with the weights."""

    bands: tuple[int, ...]
    """Bands of the file, from 0, in the order the model gets them."""
    divide: float
    mean: tuple[float, ...]
    """Of each band, after dividing."""
    std: tuple[float, ...]
    file_bands: int | None = None
    """Bands every file must have; None: enough for `bands`. Grey files serve where 3 are expected."""
    dtype: str | None = None
    """dtype every file must have; None: any."""

    def __call__(self, image: Pixels, valid: Valid | None = None, where: str = "") -> NDArray[np.float32]:
        """Prepare one image.

        Args:
            image: (H, W, B) as read_image gives it.
            valid: (H, W), as read_image gives it; elsewhere the mean is put. None: all is valid.
            where: file, for the message.

        Returns:
            float32 (len(bands), H, W), contiguous.

        Raises:
            InputError: other bands or another dtype than the model was trained on.
        """
        return self.normalise(self.number(image, valid, where))

    def number(self, image: Pixels, valid: Valid | None = None, where: str = "") -> Pixels:
        """Do the first half, after which augmentation comes: choose bands, divide, put the mean where not valid.

        Returns:
            (H, W, len(bands)): uint8 as it is in the file, anything else float32 divided.
        """
        chosen = self._select(image, where)
        if chosen.dtype != np.uint8:
            chosen = np.divide(chosen, np.float32(self.divide), dtype=np.float32, casting="unsafe")
        if valid is None or valid.all():
            return chosen
        mean = np.array(self.mean)
        filled = chosen.copy()
        filled[~valid] = np.rint(np.clip(mean * self.divide, 0, 255)) if chosen.dtype == np.uint8 else mean
        return filled

    def normalise(self, image: Pixels) -> NDArray[np.float32]:
        """Do the second half: take off the mean, divide by the deviation, bands first.

        Args:
            image: what number gave, perhaps augmented.
        """
        mean, std = np.array(self.mean), np.array(self.std)
        factor = (1 / std / self.divide if image.dtype == np.uint8 else 1 / std).astype(np.float32)
        offset = (-mean / std).astype(np.float32)
        result = np.empty((image.shape[2], *image.shape[:2]), np.float32)
        for band, plane in enumerate(to_planes(image)):
            np.multiply(plane, factor[band], out=result[band])
            result[band] += offset[band]
        return result

    def _select(self, image: Pixels, where: str) -> Pixels:
        have, wanted = image.shape[2], self.file_bands
        if have == 1 and max(self.bands) > 0 and wanted in (None, 3):
            image, have = np.broadcast_to(image, (*image.shape[:2], 3)), 3
        if have <= max(self.bands) or (wanted is not None and have != wanted):
            raise InputError(
                f"has {image.shape[2]} bands, the model was made for {wanted or max(self.bands) + 1}",
                where=where or "image",
                fix="give images with the bands of the training set",
            )
        if self.dtype is not None and str(image.dtype) != self.dtype:
            raise InputError(
                f"holds {image.dtype} values, the model was made for {self.dtype}",
                where=where or "image",
                fix="give images on the scale of the training set",
            )
        return image if self.bands == tuple(range(have)) else image[:, :, list(self.bands)]

    def to_plain(self) -> dict[str, Any]:
        """Return plain data for JSON."""
        return asdict(self)

    @classmethod
    def from_plain(cls, plain: Mapping[str, Any]) -> Preprocess:
        """Build it from to_plain's data, also after a trip through JSON.

        Raises:
            InputError: the data is of another version.
        """
        try:
            known = dict(plain)
            known |= {name: tuple(plain[name]) for name in ("bands", "mean", "std")}
            return cls(**known)
        except (KeyError, TypeError) as error:
            raise InputError(
                f"preprocessing of another version ({error})", where="weights", fix="train again"
            ) from None


def preprocess_for(data: Data, fingerprint: Fingerprint) -> Preprocess:
    """Say how pixels become numbers for models trained on a set.

    Args:
        data: bands, divide, normalize.
        fingerprint: of the labelled items.

    Raises:
        RecipeError: normalize: imagenet for other than three bands.
    """
    bands = tuple(band - 1 for band in data.bands or range(1, fingerprint.bands + 1))
    mean, std = fingerprint.mean, fingerprint.std
    if data.normalize == "none":
        mean, std = (0.0,) * len(bands), (1.0,) * len(bands)
    if data.normalize == "imagenet":
        if len(bands) != 3:
            raise RecipeError(
                f"imagenet is for 3 bands, {len(bands)} are used",
                where="data.normalize",
                fix="set data.bands, or normalize: dataset",
            )
        mean, std = IMAGENET
    return Preprocess(
        bands=bands,
        divide=fingerprint.divide,
        mean=mean,
        std=std,
        file_bands=None if data.bands else fingerprint.bands,
        dtype=fingerprint.dtype,
    )
