"""Make targets from maps of objects: where two touch, and how far inside each pixel lies."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
from numpy.typing import NDArray

Ids = NDArray[np.integer]
Label = NDArray[np.uint8]
INSIDE, BORDER = 1, 2
NONE = 65535
"""Stands for no object while the lowest id around a pixel is looked for."""
MOST_BOXES = 1 << 20
"""Maps with larger ids are numbered anew first."""


def touching(ids: Ids, width: int) -> Label:
    """Return 0 background, 1 inside of an object, 2 touching border: near two objects at once.

    A pixel is border if the square of 2 width + 1 pixels around it holds pixels of two objects, be it
    inside of one of them or in the gap between. Idea: the touching-border channel of the winners of the
    Data Science Bowl 2018 ([ods.ai] topcoders), who set it off from the inside in the same way.

    Args:
        ids: (H, W), 0 for background, a number > 0 for each object.
        width: half the side of the square, in pixels.
    """
    import cv2

    known = ids.astype(np.uint16 if ids.size == 0 or int(ids.max()) < NONE else np.float64)
    square = np.ones((2 * width + 1, 2 * width + 1), np.uint8)
    highest = cv2.dilate(known, square)
    none = np.array(NONE if known.dtype == np.uint16 else np.inf, known.dtype)
    lowest = cv2.erode(np.where(known == 0, none, known), square)
    label: Label = (known != 0).astype(np.uint8) * np.uint8(INSIDE)
    label[(highest > 0) & (lowest < highest)] = BORDER
    return label


def levels(ids: Ids, count: int) -> Label:
    """Return 0 background, 1 the rim of an object, ..., count its core.

    The level of a pixel is count times its Euclidean distance to the nearest pixel that is not of the
    object, over the largest such distance in the object, rounded up: every object has a core, large
    ones and small ones alike. The edge of the image is no edge of an object.

    Args:
        ids: (H, W), 0 for background, a number > 0 for each object.
        count: levels, 1..253.
    """
    import cv2

    label = np.zeros(ids.shape, np.uint8)
    for value, rows, columns in _boxes(ids):
        inside = ids[rows, columns] == value
        if inside.all():  # the object is the whole image
            label[rows, columns] = count
            continue
        distance = cv2.distanceTransform(inside.view(np.uint8), cv2.DIST_L2, cv2.DIST_MASK_PRECISE)
        share = distance[inside] / distance.max()
        label[rows, columns][inside] = np.ceil(share * count - 1e-5).clip(1, count)
    return label


def _boxes(ids: Ids) -> Iterator[tuple[int, slice, slice]]:
    """Yield each id with the rows and columns it lies in, and one more on each side that the image has."""
    from maskwright.data.labels.instance_kernels import find_boxes

    height, width = ids.shape
    values, places = None, ids
    if ids.size and int(ids.max()) > MOST_BOXES:
        values, places = np.unique(np.concatenate([np.zeros(1, ids.dtype), ids.reshape(-1)]), return_inverse=True)
        places = places[1:]
    count = int(places.max()) + 1 if ids.size else 0
    boxes = np.tile(np.array([height, -1, width, -1]), count)
    find_boxes(np.ascontiguousarray(places, dtype=np.int64).reshape(-1), width, boxes)
    for place, (top, bottom, left, right) in enumerate(boxes.reshape(-1, 4).tolist()):
        if bottom >= 0:
            rows, columns = slice(max(top - 1, 0), min(bottom + 2, height)), slice(max(left - 1, 0), right + 2)
            yield place if values is None else int(values[place]), rows, columns
