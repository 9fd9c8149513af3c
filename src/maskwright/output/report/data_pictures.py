"""Pictures of labelled items for the data pages: a label laid over its image, hatched where nothing counts."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from maskwright.core.labels import Task, looks_background
from maskwright.output.report.facts import Rgb
from maskwright.output.report.pictures import SIDE, colour, overlay, shrink, thumbnail

_WORK_SIDE = 1536
"""Larger items are thinned to about this side before anything is drawn."""


def label_pictures(
    image: NDArray[np.generic],
    label: NDArray[np.uint8] | None,
    valid: NDArray[np.bool_],
    task: Task,
    side: int = SIDE,
) -> tuple[Rgb, Rgb | None]:
    """Draw an item and its label, at most `side` pixels long.

    Args:
        image: (H, W, B) as read; the first three bands are shown.
        label: uint8 (H, W), multilabel (K, H, W); None: unlabelled.
        valid: bool (H, W), False where nothing counts.
        task: what labels mean.
        side: longest side in pixels.

    Returns:
        the image, and the label over it, hatched where nothing counts.
    """
    step = max(1, max(image.shape[:2]) // _WORK_SIDE)
    image, valid = image[::step, ::step], valid[::step, ::step]
    base = thumbnail(image, valid)
    if label is None:
        return shrink(base, side), None
    full = task.kind == "multiclass" and not looks_background(task.classes[0])
    over = overlay(base, label[..., ::step, ::step], task, 0.65 if full else 0.5)
    over[~valid] = base[~valid]
    return shrink(base, side), shrink(hatched(over, valid), side)


def seen_picture(picture: Rgb, label: NDArray[np.uint8], valid: NDArray[np.bool_], task: Task) -> Rgb:
    """Draw a window as a model sees it, its labels outlined and tinted, hatched where nothing counts."""
    planes = label if task.kind == "multilabel" else label[None]
    wide = max(1, round(max(valid.shape) / 160))
    edge = np.zeros(valid.shape, bool)
    for shifted in (1, wide):
        edge[shifted:] |= (planes[:, shifted:] != planes[:, :-shifted]).any(axis=0)
        edge[:, shifted:] |= (planes[:, :, shifted:] != planes[:, :, :-shifted]).any(axis=0)
    painted = colour(label, task)
    full = task.kind == "multiclass" and not looks_background(task.classes[0])
    there = label.any(axis=0) if task.kind == "multilabel" else valid.copy() if full else label > 0
    there &= valid
    tint = np.where(edge & there, 0.9, np.where(there, 0.22, 0.0)).astype(np.float32)[..., None]
    mixed = ((1 - tint) * picture + tint * painted).round().astype(np.uint8)
    return hatched(mixed, valid)


def hatched(picture: Rgb, valid: NDArray[np.bool_]) -> Rgb:
    """Dim and hatch what does not count."""
    if valid.all():
        return picture
    period = max(4, round(max(valid.shape) / 48))
    diagonal = np.arange(valid.shape[0])[:, None] + np.arange(valid.shape[1])
    hatch = np.where((diagonal % period) * 3 < period, 168, 104).astype(np.float32)[..., None]
    dimmed = (0.35 * picture + 0.65 * hatch).round().astype(np.uint8)
    return np.where(valid[..., None], picture, dimmed)


def sheet(rows: list[list[Rgb]], gap: int = 6) -> Rgb:
    """Return pictures of rows and columns on one white sheet, uint8 (H, W, 3)."""
    height = [max(picture.shape[0] for picture in row) for row in rows]
    columns = max(len(row) for row in rows)
    width = [max(row[at].shape[1] for row in rows if at < len(row)) for at in range(columns)]
    page = np.full((sum(height) + gap * (len(rows) + 1), sum(width) + gap * (columns + 1), 3), 255, np.uint8)
    top = gap
    for row, tall in zip(rows, height, strict=True):
        left = gap
        for picture, wide in zip(row, width, strict=False):
            page[top : top + picture.shape[0], left : left + picture.shape[1]] = picture
            left += wide + gap
        top += tall + gap
    return page


def png_bytes(picture: Rgb) -> bytes:
    """Return a picture as PNG."""
    import io

    from PIL import Image

    stream = io.BytesIO()
    Image.fromarray(picture).save(stream, format="png", optimize=False)
    return stream.getvalue()
