"""How pixels become numbers: bands chosen, divided, normalised; the same in training and in prediction."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from maskwright.core.errors import InputError, RecipeError
from maskwright.core.expressions import read_formula
from maskwright.core.grid import Window
from maskwright.core.recipe.blocks import Data, Stretch
from maskwright.data.audit.fingerprint import Fingerprint
from maskwright.data.pixels.header import Pixels, Valid
from maskwright.data.pixels.windows import opened_windows
from maskwright.data.stretch import Levels, apply_levels, levels_of_image
from maskwright.data.windows import to_planes

MEANS = "means"
"""Entry of `derived` that stands for the mean of each band."""
SIDE, GRID = 128, 8
"""Levels of a scene are found from up to GRID x GRID windows of SIDE x SIDE pixels."""
MOST_PIXELS = 1 << 30
"""Of a picture that is no GeoTIFF; the audit applies data.max_pixels."""
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
    stretch: Stretch | None = None
    """How values are brought to 0..1 instead of divided."""
    low: tuple[float, ...] = ()
    """Of each band, for a stretch over the set."""
    high: tuple[float, ...] = ()
    names: tuple[str, ...] = ()
    """Of `bands`, for formulas."""
    derived: tuple[str, ...] = ()
    """Channels after the bands: `means`, or a formula of names."""

    @property
    def channels(self) -> int:
        """Channels that a model gets: bands and derived ones."""
        return len(self.bands) + sum(len(self.bands) if entry == MEANS else 1 for entry in self.derived)

    def __call__(self, image: Pixels, valid: Valid | None = None, where: str = "") -> NDArray[np.float32]:
        """Prepare one image.

        Args:
            image: (H, W, B) as read_image gives it.
            valid: (H, W), as read_image gives it; elsewhere the mean is put. None: all is valid.
            where: file, for the message.

        Returns:
            float32 (channels, H, W), contiguous.

        Raises:
            InputError: other bands or another dtype than the model was trained on.
        """
        return self.normalise(self.number(image, valid, where))

    def of_scene(self, path: Path) -> Preprocess:
        """Return how the parts of one file are prepared: with its own levels, for a stretch over scenes; else as this.

        Levels are found from all valid pixels of the file, or where it is large from those of an even grid of windows,
        about a million pixels. They are worked out once for each file.

        Args:
            path: the image file; any size if it is a GeoTIFF.

        Raises:
            InputError: the file cannot be read, or has other bands than the model was trained on.
        """
        if self.stretch is None or self.stretch.over != "scene":
            return self
        return _with_levels(self, path, path.stat().st_mtime_ns)

    def number(self, image: Pixels, valid: Valid | None = None, where: str = "") -> Pixels:
        """Do the first half, after which augmentation comes: choose bands, divide, put the mean where not valid.

        Returns:
            (H, W, len(bands)): uint8 as it is in the file, anything else float32 divided; stretched if it is so.
        """
        chosen = self._select(image, where)
        if self.stretch is not None:
            chosen = apply_levels(chosen, self._levels(chosen, valid, self.stretch))
        elif chosen.dtype != np.uint8:
            chosen = np.divide(chosen, np.float32(self.divide), dtype=np.float32, casting="unsafe")
        if valid is None or valid.all():
            return chosen
        mean = np.array(self.mean)
        filled = chosen.copy(order="K")
        filled[~valid] = np.rint(np.clip(mean * self.divide, 0, 255)) if chosen.dtype == np.uint8 else mean
        return filled

    def _levels(self, chosen: Pixels, valid: Valid | None, stretch: Stretch) -> Levels:
        assert stretch.over != "scene", "ask of_scene for the levels first"
        if stretch.over == "item":
            return levels_of_image(chosen, valid, stretch)
        return np.array([self.low, self.high], np.float32)

    def normalise(self, image: Pixels) -> NDArray[np.float32]:
        """Do the second half: take off the mean, divide by the deviation, add derived channels, channels first.

        Means are normalised as their bands are; formulas are of divided values and are left as they are.

        Args:
            image: what number gave, perhaps augmented.
        """
        mean, std = np.array(self.mean), np.array(self.std)
        factor = (1 / std / self.divide if image.dtype == np.uint8 else 1 / std).astype(np.float32)
        offset = (-mean / std).astype(np.float32)
        result = np.empty((self.channels, *image.shape[:2]), np.float32)
        planes = to_planes(image)
        for band, plane in enumerate(planes):
            np.multiply(plane, factor[band], out=result[band])
            result[band] += offset[band]
        place = len(planes)
        for entry in self.derived:
            if entry == MEANS:
                for band, plane in enumerate(planes):
                    result[place + band] = positive_mean(plane) * factor[band] + offset[band]
                place += len(planes)
            else:
                result[place] = self._formula(entry, planes)
                place += 1
        return result

    def selected(self, image: Pixels, where: str) -> Pixels:
        """Return the bands of an image (H, W, B) that the model gets, as they are in the file; see __call__."""
        return self._select(image, where)

    def _formula(self, text: str, planes: Sequence[Pixels]) -> NDArray[np.float32]:
        """Work out a formula on the values of the file, divided."""
        formula = read_formula(text, self.names)
        chosen = {name: planes[self.names.index(name)] for name in formula.names}
        return formula(
            {
                name: np.divide(plane, np.float32(self.divide), dtype=np.float32) if plane.dtype == np.uint8 else plane
                for name, plane in chosen.items()
            }
        )

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
        return {**asdict(self), "stretch": None if self.stretch is None else self.stretch.model_dump()}

    @classmethod
    def from_plain(cls, plain: Mapping[str, Any]) -> Preprocess:
        """Build it from to_plain's data, also after a trip through JSON.

        Raises:
            InputError: the data is of another version.
        """
        try:
            known = dict(plain)
            known |= {name: tuple(plain[name]) for name in ("bands", "mean", "std")}
            known |= {name: tuple(plain.get(name, ())) for name in ("names", "derived", "low", "high")}
            known["stretch"] = Stretch(**plain["stretch"]) if plain.get("stretch") else None
            return cls(**known)
        except (KeyError, TypeError) as error:
            raise InputError(
                f"preprocessing of another version ({error})", where="weights", fix="train again"
            ) from None


def preprocess_for(data: Data, fingerprint: Fingerprint) -> Preprocess:
    """Say how pixels become numbers for models trained on a set.

    Args:
        data: bands, divide, normalize, derived.
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
        stretch=data.stretch,
        low=fingerprint.low,
        high=fingerprint.high,
        names=data.used_names(fingerprint.bands) if data.derived else (),
        derived=_derived(data, fingerprint.bands),
    )


@lru_cache(maxsize=1024)
def _with_levels(ready: Preprocess, path: Path, stamp: int) -> Preprocess:
    """Return a preparation with the levels of one file; the stamp makes it forget a file that was changed."""
    stretch = ready.stretch
    assert stretch is not None, stamp
    with opened_windows(path, MOST_PIXELS) as raster:
        size = (min(SIDE, raster.shape[0]), min(SIDE, raster.shape[1]))
        places = [
            [round(place) for place in np.linspace(0, length - side, min(GRID, -(-length // side)))]
            for length, side in zip(raster.shape, size, strict=True)
        ]
        seen = []
        for row in places[0]:
            for col in places[1]:
                pixels, valid = raster.read(Window(row, col, *size))
                seen.append(ready.selected(pixels, str(path))[valid])
    low, high = levels_of_image(np.concatenate(seen)[np.newaxis], None, stretch)
    own = stretch.model_copy(update={"over": "set"})
    return replace(ready, stretch=own, low=tuple(low.tolist()), high=tuple(high.tolist()))


def _derived(data: Data, count: int) -> tuple[str, ...]:
    """Return `means` and the formulas, in order, each checked against the bands there are."""
    found: list[str] = []
    for entry in data.derived:
        if isinstance(entry, str):
            found.append(entry)
            continue
        for name, text in entry.items():
            try:
                found.append(read_formula(text, data.used_names(count)).text)
            except ValueError as error:
                what, _, fix = str(error).partition("; ")
                raise RecipeError(what, where=f"data.derived.{name}", fix=fix) from None
    return tuple(found)


def positive_mean(plane: Pixels) -> float:
    """Return the mean of a band's pixels above 0, and 0 if there are none: 0 is what many files have for no data."""
    some = plane > 0
    count = int(np.count_nonzero(some))
    return float(np.sum(plane, where=some, dtype=np.float64)) / count if count else 0.0
