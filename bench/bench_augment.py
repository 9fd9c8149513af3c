"""Augmentation of 1024 x 1024 images to 512 x 512 with their masks, one thread: ours beside albumentations.

Two recipes: crop, D4, brightness, normalise to planes; and flip, scale-crop, brightness, motion blur, dropout, each
but the scale-crop every other time. Floor: the same steps written by hand for one image, drawing nothing by chance.
albumentations gives no mask of what came in from outside, and rows of pixels where the model wants planes.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from bench.common import Row, contest, row
from maskwright.data.augment.table import Augmenter, build
from maskwright.data.preprocess import Preprocess
from maskwright.data.sampling import crop_window, sample_seed
from maskwright.data.windows import Layers, cut

os.environ["NO_ALBUMENTATIONS_UPDATE"] = "1"
SIDE, CROP = 1024, 512
FLOAT_LEAST = 45 / 26
"""45 images of 14 bands a second were asked for where albumentations made 26 (PERFORMANCE.md)."""
Image = NDArray[Any]


def item(bands: int, dtype: type) -> Layers:
    """Return smooth noise and a mask of five values."""
    rng = np.random.default_rng(0)
    planes = [cv2.GaussianBlur(rng.random((SIDE, SIDE), np.float32), (0, 0), 3) for _ in range(bands)]
    image = np.stack(planes, 2)
    image = (image * 255).astype(np.uint8) if dtype is np.uint8 else image
    label = rng.integers(0, 5, (SIDE // 32, SIDE // 32)).astype(np.uint8).repeat(32, 0).repeat(32, 1)
    return Layers(image, label, np.ones((SIDE, SIDE), bool))


def ours(given: Layers, augmenter: Augmenter, finish: Callable[[Image], Image]) -> Callable[[], Image]:
    """Return a contestant that makes one more sample each time it is called."""
    draws = iter(range(10**9))

    def call() -> Image:
        seed = sample_seed(0, 0, next(draws))
        window = crop_window(seed, 0, 0, given.shape, augmenter.source_shape((CROP, CROP), seed))
        return finish(augmenter(*cut(given, window), seed, (CROP, CROP))[0])

    return call


def theirs(given: Layers, steps: list[Any]) -> Callable[[], Image]:
    import albumentations

    composed = albumentations.Compose(steps, seed=0)
    return lambda: composed(image=given.image, mask=given.label)["image"]


def normalised(bands: int, dtype: type) -> tuple[Row, ...]:
    """Crop, D4, brightness, normalise."""
    import albumentations as A

    given = item(bands, dtype)
    mean, std = (0.5,) * bands, (0.25,) * bands
    prepare = Preprocess(tuple(range(bands)), 255.0 if dtype is np.uint8 else 1.0, mean, std)
    augmenter = build([{"d4": {}}, {"brightness_contrast": {"p": 1.0}}])
    steps = [A.RandomCrop(CROP, CROP), A.D4(p=1), A.RandomBrightnessContrast(p=1)]
    steps.append(A.Normalize(mean, std, max_pixel_value=prepare.divide))
    gain = np.float32(1.1)

    def floor() -> Image:
        window = np.ascontiguousarray(given.image[100 : 100 + CROP, 50 : 50 + CROP])
        planes = np.empty((bands, CROP, CROP), np.float32)
        for band, plane in enumerate(planes):
            np.multiply(cv2.rotate(window[:, :, band], cv2.ROTATE_90_CLOCKWISE), gain, out=plane)
        np.ascontiguousarray(np.rot90(given.label[100 : 100 + CROP, 50 : 50 + CROP]))
        return planes

    times = contest(
        {"ours": ours(given, augmenter, prepare.normalise), "floor": floor, "albumentations": theirs(given, steps)},
        rounds=21,
        least=0.05,
    )
    return (row(f"crop, D4, brightness, normalise; {_named(bands, dtype)}", times, least=1.0),)


def scaled(bands: int, dtype: type) -> tuple[Row, ...]:
    """Flip, scale-crop, brightness, motion blur, dropout."""
    import albumentations as A

    given = item(bands, dtype)
    names = ("hflip", "brightness_contrast", "motion_blur", "coarse_dropout")
    augmenter = build([{"scale_crop": {"scale": [0.5, 2.0]}}, *({name: {"p": 0.5}} for name in names)])
    steps = [
        A.HorizontalFlip(p=0.5),
        A.RandomSizedCrop((256, 768), (CROP, CROP), p=1),  # uniform sides whose mean is that of ours
        A.RandomBrightnessContrast(p=0.5),
        A.MotionBlur((3, 7), p=0.5),
        A.CoarseDropout((3, 5), (0.1, 0.2), (0.1, 0.2), p=0.5),
    ]

    def floor() -> Image:
        window = given.image[100:700, 50:650]
        cv2.resize(given.label[100:700, 50:650], (CROP, CROP), interpolation=cv2.INTER_NEAREST)
        return cv2.resize(window, (CROP, CROP), interpolation=cv2.INTER_LINEAR)

    times = contest(
        {"ours": ours(given, augmenter, lambda image: image), "floor": floor, "albumentations": theirs(given, steps)},
        rounds=21,
        least=0.1,
    )
    least = FLOAT_LEAST if bands == 14 else 1.0
    name = f"flip, scale-crop, brightness, blur, dropout; {_named(bands, dtype)}"
    return (row(name, times, least=least, note=f"{1 / times['ours']:.0f} a second"),)


def _named(bands: int, dtype: type) -> str:
    return f"{bands} bands of {np.dtype(dtype)}"


def rows() -> list[Row]:
    """Measure both recipes on 8-bit RGB and on 14 float bands."""
    threads = cv2.getNumThreads()
    cv2.setNumThreads(1)
    try:
        kinds = ((3, np.uint8), (14, np.float32))
        return [found for work in (normalised, scaled) for bands, dtype in kinds for found in work(bands, dtype)]
    finally:
        cv2.setNumThreads(threads)
