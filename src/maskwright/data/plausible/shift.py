"""How far test images differ from training images, and in what: a classifier that tries to tell them apart."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from maskwright.data.findings import Finding

if TYPE_CHECKING:
    from maskwright.data.plausible.plausible import Clues

FOLDS = 5
"""Parts of the cross-validation."""
LEAST = 8
"""Images of each set below which nothing is said."""
SHRINK = 0.3
"""How far the classifier's covariance is drawn to its diagonal at least; further where images are few."""
TOLD = 0.75
"""A difference is told if the score less two standard errors is above this."""
DRIVERS = 4
"""Most features that are named."""
LEVELS = 16
"""Bands whose stored means are compared."""


@dataclass(frozen=True)
class Driver:
    """One feature in which the sets differ."""

    name: str
    words: str
    """How the test images are, compared with the training images."""
    score: float
    """Share of pairs that this feature alone orders, 0.5..1."""
    train: float
    """Median over the training images."""
    test: float
    """Median over the test images."""


@dataclass(frozen=True)
class Shift:
    """How well training and test images can be told apart."""

    score: float
    """Area under the ROC curve out of fold: 0.5 alike, 1 always told apart."""
    error: float
    """Its standard error (Hanley, McNeil 1982)."""
    items: tuple[int, int]
    """Images of the training and of the test set."""
    drivers: tuple[Driver, ...]
    """The features that tell most, strongest first, none twice."""
    findings: tuple[Finding, ...] = ()

    def to_plain(self) -> dict[str, Any]:
        """Return plain data for audit.json."""
        return {
            "score": round(self.score, 4),
            "error": round(self.error, 4),
            "items": list(self.items),
            "drivers": [
                {
                    "name": driver.name,
                    "words": driver.words,
                    "score": round(driver.score, 4),
                    "train": round(driver.train, 4),
                    "test": round(driver.test, 4),
                }
                for driver in self.drivers
            ],
        }


def compare(train: Mapping[str, Clues], test: Mapping[str, Clues]) -> Shift | None:
    """Try to tell test images from training images.

    Args:
        train: clues by key.
        test: likewise.

    Returns:
        the score with what drives it; None if a set has fewer than 8 images or they differ in bands.
    """
    if min(len(train), len(test)) < LEAST:
        return None
    keys = [*(f"train/{key}" for key in sorted(train)), *(f"test/{key}" for key in sorted(test))]
    rows = [*(train[key].stats for key in sorted(train)), *(test[key].stats for key in sorted(test))]
    if len({len(row) for row in rows}) != 1:
        return None
    values = np.stack(rows).astype(np.float64)
    late = np.arange(len(keys)) >= len(train)
    score = area(_out_of_fold(_steady(values), late, keys), late)
    error = _error(score, int(late.sum()), int((~late).sum()))
    found = Shift(max(score, 0.5), error, (len(train), len(test)), _drivers(values, late))
    return found if score - 2 * error < TOLD else Shift(**{**found.__dict__, "findings": (_say(found),)})


def features(
    image: NDArray[np.uint8], valid: NDArray[np.bool_], shape: tuple[int, int], levels: Sequence[float] = ()
) -> NDArray[np.float32]:
    """Describe an image in numbers, for `compare`.

    Args:
        image: (h, w, 4) tiny copy: red, green, blue, local contrast.
        valid: (h, w) pixels that count.
        shape: (height, width) of the image itself.
        levels: means of the bands as stored, for images that are not 8 bit.
    """
    seen = image.reshape(-1, 4) if valid.all() or not valid.any() else image[valid]
    values = seen.astype(np.float32)
    mean = values.mean(axis=0)
    centred = values - mean
    cov = centred.T @ centred / len(values)
    deviation = np.sqrt(np.maximum(np.diag(cov), 0.25))
    red, green, blue = seen[:, 0], seen[:, 1], seen[:, 2]
    light = np.bincount((values[:, :3].sum(axis=1) / 3).astype(np.intp), minlength=256) / len(values)
    tones = np.arange(256)
    middle = float(light @ tones)
    spread = float(light @ (tones - middle) ** 2) ** 0.5
    low, median, high = np.searchsorted(np.cumsum(light), (0.05, 0.5, 0.95))
    shares = light.reshape(32, 8).sum(axis=1)
    height, width = shape
    half = len(image) // 2
    numbers = [
        middle, spread, low, median, high,
        mean[0] - mean[2], 2 * mean[1] - mean[0] - mean[2],
        float((np.maximum(np.maximum(red, green), blue) - np.minimum(np.minimum(red, green), blue)).mean()),
        cov[0, 1] / (deviation[0] * deviation[1]), cov[1, 2] / (deviation[1] * deviation[2]),
        mean[3], mean[3] / (spread + 4), deviation[3],
        -(shares[shares > 0] * np.log2(shares[shares > 0])).sum(),
        shares[0], shares[-1], float(image[:half, :, 1].mean()) - float(image[half:, :, 1].mean()),
        np.log2(height * width), np.log2(width / height), 1 - valid.mean(),
    ]  # fmt: skip
    return np.array([*numbers, *levels[:LEVELS]], np.float32)


def area(scores: NDArray[np.float64], late: NDArray[np.bool_]) -> float:
    """Return the share of pairs that the scores order rightly, ties counted half.

    Args:
        scores: (N,) higher for the second set.
        late: (N,) which belong to the second set.
    """
    _, place, counts = np.unique(scores, return_inverse=True, return_counts=True)
    ranks = (np.cumsum(counts) - (counts - 1) / 2)[place]
    many, few = int(late.sum()), int((~late).sum())
    assert min(many, few) > 0, "both sets have items"
    return float((ranks[late].sum() - many * (many + 1) / 2) / (many * few))


def _steady(values: NDArray[np.float64]) -> NDArray[np.float64]:
    """Bring features to one scale by their median and quartiles, cut outliers, and add squares."""
    low, middle, high = np.quantile(values, (0.25, 0.5, 0.75), axis=0)
    scale = np.maximum((high - low) / 1.35, np.maximum(0.05 * values.std(axis=0), 1e-6))
    scaled = np.clip((values - middle) / scale, -5, 5)
    return np.concatenate([scaled, scaled**2 / 5], axis=1)


def _out_of_fold(values: NDArray[np.float64], late: NDArray[np.bool_], keys: Sequence[str]) -> NDArray[np.float64]:
    """Score each image by a linear discriminant that has not seen it; ranks are made comparable fold by fold."""
    order = sorted(range(len(keys)), key=lambda index: hashlib.blake2b(keys[index].encode(), digest_size=8).digest())
    fold = np.empty(len(keys), np.intp)
    for group in (False, True):  # both sets are spread evenly over the folds
        members = [index for index in order if late[index] == group]
        fold[members] = np.arange(len(members)) % FOLDS
    scores = np.zeros(len(keys))
    for part in range(FOLDS):
        out = fold == part
        early, second = values[~out & ~late], values[~out & late]
        spread = np.cov(np.r_[early - early.mean(axis=0), second - second.mean(axis=0)].T)
        shrink = max(SHRINK, len(spread) / (len(spread) + len(values) / 2))
        spread = (1 - shrink) * spread + shrink * np.diag(np.diag(spread)) + 1e-3 * np.eye(len(spread))
        direction = np.linalg.solve(spread, second.mean(axis=0) - early.mean(axis=0))
        middle = (second.mean(axis=0) + early.mean(axis=0)) / 2
        scores[out] = (values[out] - middle) @ direction
    return scores


def _error(score: float, many: int, few: int) -> float:
    """Return the standard error of an area. Source: Hanley, McNeil 1982, Radiology 143, equation 2."""
    first, second = score / (2 - score), 2 * score**2 / (1 + score)
    spread = score * (1 - score) + (many - 1) * (first - score**2) + (few - 1) * (second - score**2)
    return float(max(spread, 0.0) / (many * few)) ** 0.5 if spread > 0 else 0.5 / min(many, few)


def _drivers(values: NDArray[np.float64], late: NDArray[np.bool_]) -> tuple[Driver, ...]:
    """Pick the features that tell most alone, passing over those that say what a stronger one says."""
    names = [*FEATURES, *(f"band_{index + 1}" for index in range(values.shape[1] - len(FEATURES)))]
    found: list[tuple[float, int, float]] = []
    for index in range(len(names)):
        signed = area(values[:, index], late)
        found.append((max(signed, 1 - signed), index, signed))
    chosen: list[int] = []
    drivers: list[Driver] = []
    for score, index, signed in sorted(found, key=lambda entry: (-entry[0], entry[1])):
        if score < 0.65 or len(drivers) == DRIVERS:
            break
        if any(_alike(values[:, index], values[:, other]) for other in chosen):
            continue
        chosen.append(index)
        medians = float(np.median(values[~late, index])), float(np.median(values[late, index]))
        drivers.append(Driver(names[index], _words(names[index], signed > 0.5), score, *medians))
    return tuple(drivers)


def _alike(first: NDArray[np.float64], second: NDArray[np.float64]) -> bool:
    if first.std() < 1e-9 or second.std() < 1e-9:
        return False
    return abs(float(np.corrcoef(first, second)[0, 1])) > 0.8


def _words(name: str, more: bool) -> str:
    if name in FEATURES:
        return FEATURES[name][0 if more else 1]
    return f"{'higher' if more else 'lower'} values in band {name.removeprefix('band_')}"


def _say(shift: Shift) -> Finding:
    named = [
        f"{driver.words} (alone {driver.score:.2f}; median {driver.test:.4g}, training {driver.train:.4g})"
        for driver in shift.drivers[:3]
    ]
    differs = ", ".join(named) or "a mixture of features"
    what = (
        f"test images differ from training images: a classifier tells them apart with AUC {shift.score:.2f} "
        f"(0.5 = alike); {differs}"
    )
    fix = "expect a lower score on them, augment in that direction, or hold out items that look like them"
    facts = {"score": round(shift.score, 4), "error": round(shift.error, 4)}
    return Finding("test_shift", "data.test", what, fix, (), facts)


FEATURES: dict[str, tuple[str, str]] = {
    "brightness": ("brighter", "darker"),
    "contrast": ("more contrast", "less contrast"),
    "dark_end": ("lighter shadows", "deeper shadows"),
    "middle": ("lighter middle tones", "darker middle tones"),
    "bright_end": ("brighter lights", "duller lights"),
    "warmth": ("redder", "bluer"),
    "greenness": ("greener", "less green"),
    "saturation": ("more colourful", "less colourful"),
    "red_green": ("red and green more alike", "red and green less alike"),
    "green_blue": ("green and blue more alike", "green and blue less alike"),
    "detail": ("more fine detail", "less fine detail"),
    "sharpness": ("sharper or noisier", "smoother or blurred"),
    "detail_spread": ("detail more uneven", "detail more even"),
    "entropy": ("more different tones", "fewer different tones"),
    "black": ("more black", "less black"),
    "white": ("more white", "less white"),
    "top_bottom": ("lighter above", "lighter below"),
    "size": ("more pixels", "fewer pixels"),
    "aspect": ("wider", "taller"),
    "hidden": ("more hidden pixels", "fewer hidden pixels"),
}
"""Feature -> words for more and for less of it, in the order of `features`."""
