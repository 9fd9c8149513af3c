"""Pictures of an item: thumbnail, label colours, overlay, error map; and how they become data URIs."""

from __future__ import annotations

import base64
import io
import math
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from maskwright.core.labels import Task, looks_background
from maskwright.output.report.facts import Case, Rgb

SIDE = 384
"""Longest side of a picture in the report, in pixels."""
_WORK_SIDE = 1536
"""Larger items are thinned to about this side before anything is drawn; four times SIDE keeps thin errors visible."""
_PERCENTILES = (2.0, 98.0)
_DARK, _BRIGHT, _MOST_GAIN = 96.0, 190.0, 8.0
FALSE_POSITIVE = (226, 55, 44)
FALSE_NEGATIVE = (38, 110, 230)
WRONG_CLASS = (214, 60, 205)
_MARK, _RIM = (255, 214, 0), (24, 24, 24)
_BYTES_FLOOR = 2_500
"""A picture is never squeezed below this many bytes."""
_LEAST_BYTES = 0.04
"""Bytes a pixel that even a smooth picture takes; a larger picture than the budget buys of them is not tried."""


def thumbnail(
    image: NDArray[np.generic], valid: NDArray[np.bool_] | None = None, bands: Sequence[int] | None = None
) -> Rgb:
    """Return an image as uint8 RGB (H, W, 3) of the same size.

    Args:
        image: (H, W, B); uint8 is taken as it is (only a very dark one is brightened), any other type is
            stretched from the 2nd to the 98th percentile of its finite valid pixels, the shown bands together.
        valid: bool (H, W); other pixels do not steer the stretch.
        bands: 0-based bands to show as red, green, blue; None: the first three, or the first one as grey.
    """
    picked = list(bands) if bands is not None else ([0, 1, 2] if image.shape[2] >= 3 else [0, 0, 0])
    shown = image[..., picked]
    if shown.dtype == np.uint8:
        return _lifted(np.ascontiguousarray(shown))
    values = shown.astype(np.float32)
    usable = np.isfinite(values)
    if valid is not None:
        usable &= valid[..., None]
    sample = values[usable]
    if sample.size == 0:
        return np.zeros(values.shape, np.uint8)
    low, high = np.percentile(sample[:: max(1, sample.size // 1_000_000)], _PERCENTILES)
    scale = 255.0 / max(float(high - low), 1e-12)
    stretched = np.nan_to_num((values - low) * scale, nan=0.0, posinf=255.0, neginf=0.0).clip(0, 255)
    return np.asarray(stretched.round(), np.uint8)


def _lifted(picture: Rgb) -> Rgb:
    """Brighten a picture that has next to nothing above a third of the range."""
    high = float(np.percentile(picture[:: max(1, picture.shape[0] // 512)], 99.5))
    if high >= _DARK:
        return picture
    gain = min(_MOST_GAIN, _BRIGHT / max(high, 1.0))
    return (picture * np.float32(gain)).clip(0, 255).astype(np.uint8)


def colour(label: NDArray[np.uint8], task: Task) -> Rgb:
    """Return a label in its colours, uint8 RGB (H, W, 3); planes that overlap are mixed evenly.

    Args:
        label: uint8 (H, W), multilabel (K, H, W).
        task: gives the palette; where nothing is, black.
    """
    if task.kind == "multiclass":
        painted: Rgb = task.palette[label]
        return painted
    planes = label[None] if task.kind == "binary" else label
    total = np.zeros((3, *planes.shape[1:]), np.uint16)  # 255 planes of 255 still fit
    for plane, row in zip(planes, task.palette.astype(np.uint16), strict=True):
        for place, tone in enumerate(row):
            total[place] += plane * tone
    depth = np.maximum(planes.sum(axis=0, dtype=np.uint16), 1).astype(np.float32)
    mixed: Rgb = np.empty((*planes.shape[1:], 3), np.uint8)
    for place, channel in enumerate(total):
        mixed[..., place] = (channel / depth).round()
    return mixed


def overlay(image: Rgb, label: NDArray[np.uint8], task: Task, strength: float = 0.5) -> Rgb:
    """Lay a label's colours over a greyed image, with a strong outline; background stays clear.

    Args:
        image: uint8 RGB (H, W, 3).
        label: uint8 (H, W), multilabel (K, H, W).
        task: gives the palette.
        strength: opacity of the colour, 0..1.
    """
    grey = _grey(image)
    colours = colour(label, task).astype(np.float32)
    present = foreground(label, task)
    amount = strength * present.astype(np.float32)
    amount[_outline(label, task) & present] = 0.95
    return _mix(grey, colours, amount)


def error_map(
    image: Rgb,
    truth: NDArray[np.uint8],
    predicted: NDArray[np.uint8],
    valid: NDArray[np.bool_],
    task: Task,
) -> Rgb:
    """Show what is wrong: red too much, blue missed, magenta wrong class, hatched where nothing counts.

    Right pixels are the image, grey and dimmed; right foreground is lighter. In a multilabel task a
    pixel with one class too many and another missed is magenta.

    Args:
        image: uint8 RGB (H, W, 3).
        truth: uint8 (H, W), multilabel (K, H, W).
        predicted: as truth.
        valid: bool (H, W), False where nothing counts.
        task: what labels mean; without a background class every error is a wrong class.
    """
    extra, missed, wrong = errors(truth, predicted, task)
    grey = _grey(image)
    lit = foreground(truth, task)[..., None] if _has_background(task) else np.ones((*valid.shape, 1), bool)
    base = np.where(lit, 70 + 0.6 * grey, 16 + 0.38 * grey).repeat(3, axis=2)
    for where, tone in ((extra, FALSE_POSITIVE), (missed, FALSE_NEGATIVE), (wrong, WRONG_CLASS)):
        base[where] = 0.12 * base[where] + 0.88 * np.array(tone, np.float32)
    period = max(4, round(max(valid.shape) / 48))
    diagonal = np.arange(valid.shape[0])[:, None] + np.arange(valid.shape[1])
    stripe = (diagonal % period) * 3 < period
    hatch = np.where(stripe, 168, 104).astype(np.float32)[..., None]
    return np.where(valid[..., None], base, 0.3 * grey + 0.7 * hatch).round().astype(np.uint8)


def errors(
    truth: NDArray[np.uint8], predicted: NDArray[np.uint8], task: Task
) -> tuple[NDArray[np.bool_], NDArray[np.bool_], NDArray[np.bool_]]:
    """Return three masks (H, W) that never overlap: too much, missed, wrong class."""
    if task.kind == "multilabel":
        extra = ((predicted == 1) & (truth == 0)).any(axis=0)
        missed = ((predicted == 0) & (truth == 1)).any(axis=0)
        return extra & ~missed, missed & ~extra, extra & missed
    differs = truth != predicted
    if not _has_background(task):
        return np.zeros_like(differs), np.zeros_like(differs), differs
    return differs & (truth == 0), differs & (predicted == 0), differs & (truth > 0) & (predicted > 0)


def error_kinds(task: Task) -> tuple[tuple[str, tuple[int, int, int]], ...]:
    """Return the kinds of error a task can have, in words, with their colours."""
    kinds = (("too much", FALSE_POSITIVE), ("missed", FALSE_NEGATIVE), ("wrong class", WRONG_CLASS))
    if task.kind == "binary":
        return kinds[:2]
    return (
        (*kinds[:2], ("both in one pixel", WRONG_CLASS))
        if task.kind == "multilabel"
        else (kinds if _has_background(task) else kinds[2:])
    )


def foreground(label: NDArray[np.uint8], task: Task) -> NDArray[np.bool_]:
    """Say where something is, bool (H, W); everywhere, if the task has no background class."""
    if task.kind == "multilabel":
        return np.asarray(label.any(axis=0))
    return label > 0 if _has_background(task) else np.ones(label.shape, bool)


def make_case(
    item: tuple[str, float | None, str],
    image: NDArray[np.generic],
    predicted: NDArray[np.uint8],
    task: Task,
    truth: NDArray[np.uint8] | None = None,
    valid: NDArray[np.bool_] | None = None,
) -> Case:
    """Draw one item for the report; the pictures are at most SIDE pixels long.

    Args:
        item: key, score of this item alone (None: unknown), a remark.
        image: (H, W, B) as read.
        predicted: the answer, uint8 (H, W), multilabel (K, H, W), at native size.
        task: what labels mean.
        truth: as predicted; None: unlabelled.
        valid: bool (H, W); None: all.
    """
    key, score, note = item
    step = max(1, max(image.shape[:2]) // _WORK_SIDE)
    image, predicted = image[::step, ::step], predicted[..., ::step, ::step]
    valid = np.ones(image.shape[:2], bool) if valid is None else valid[::step, ::step]
    base = thumbnail(image, valid)
    strength = 0.5 if _has_background(task) else 0.65
    answer = shrink(overlay(base, predicted, task, strength))
    if truth is None:
        return Case(key, score, shrink(base), answer, note=note)
    truth = truth[..., ::step, ::step]
    error = error_map(base, truth, predicted, valid, task)
    return Case(key, score, shrink(base), answer, shrink(overlay(base, truth, task, strength)), shrink(error), note)


def marked(picture: Rgb, mask: NDArray[np.uint8]) -> Rgb:
    """Draw an outline around a mask, outside of it, yellow on a dark rim so that it shows on any picture.

    Args:
        picture: uint8 RGB (H, W, 3).
        mask: uint8 (H, W) of 0 and 1.
    """
    import cv2

    thick = max(1, round(max(mask.shape) / 160))
    square = np.ones((3, 3), np.uint8)
    inner = cv2.dilate(mask, square, iterations=thick)
    outer = cv2.dilate(inner, square, iterations=thick)
    result = picture.copy()
    result[(outer == 1) & (inner == 0)] = _RIM
    result[(inner == 1) & (mask == 0)] = _MARK
    return result


def shrink(picture: Rgb, side: int = SIDE) -> Rgb:
    """Return a picture of at most `side` pixels in height and width, averaged; smaller ones as they are."""
    from PIL import Image

    height, width = picture.shape[:2]
    longest = max(height, width)
    if longest <= side:
        return picture
    size = max(1, round(width * side / longest)), max(1, round(height * side / longest))
    return np.asarray(Image.fromarray(picture).resize(size, Image.Resampling.BOX))


def data_uri(picture: Rgb, budget: int) -> str:
    """Return a picture as a data URI of about `budget` bytes at most.

    Args:
        picture: uint8 RGB (H, W, 3).
        budget: bytes of the encoded picture; quality, then size give way until it fits, down to a floor.
    """
    from PIL import Image, features

    kind, budget = "webp" if features.check("webp") else "jpeg", max(budget, _BYTES_FLOOR)
    whole = picture
    side, quality = max(32, min(SIDE, math.isqrt(round(budget / _LEAST_BYTES)))), 86 if budget > 30_000 else 74
    while True:
        picture = shrink(whole, side)
        stream = io.BytesIO()
        Image.fromarray(picture).save(stream, format=kind, quality=quality, **({"method": 2} if kind == "webp" else {}))
        if stream.tell() <= budget or (side <= 32 and quality <= 45):
            return f"data:image/{kind};base64,{base64.b64encode(stream.getvalue()).decode()}"
        over = budget / stream.tell()
        if over > 0.55 and quality > 60:
            quality = 60  # near enough that detail may stay
        else:
            side, quality = max(32, round(side * min(0.85, max(0.35, math.sqrt(over))))), 45 if side <= 32 else 60


def _has_background(task: Task) -> bool:
    return task.kind != "multiclass" or looks_background(task.classes[0])


def _grey(image: Rgb) -> NDArray[np.float32]:
    """Return luma (H, W, 1), 0..255; weights of ITU-R BT.601."""
    return (image.astype(np.float32) @ np.array([0.299, 0.587, 0.114], np.float32))[..., None]


def _mix(grey: NDArray[np.float32], colours: NDArray[np.float32], amount: NDArray[np.float32]) -> Rgb:
    mixed = (1 - amount[..., None]) * grey + amount[..., None] * colours
    return mixed.round().astype(np.uint8)


def _outline(label: NDArray[np.uint8], task: Task) -> NDArray[np.bool_]:
    """Return pixels whose right or lower, left or upper neighbour has another label; bool (H, W)."""
    planes = label if task.kind == "multilabel" else label[None]
    edge = np.zeros(planes.shape[1:], bool)
    down = (planes[:, 1:] != planes[:, :-1]).any(axis=0)
    right = (planes[:, :, 1:] != planes[:, :, :-1]).any(axis=0)
    edge[1:] |= down
    edge[:-1] |= down
    edge[:, 1:] |= right
    edge[:, :-1] |= right
    return edge
