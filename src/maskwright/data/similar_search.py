"""From descriptions to pairs: likely ones by sorted marks and by thumbnails, then the proof of each."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

if TYPE_CHECKING:
    from maskwright.data.similar import Description

Numbers = NDArray[np.int64]
LEAST_COPY = 0.8
"""Correlation of details from which whole images count as the same (docs/explain/leaks.md)."""
LEAST_OVERLAP = 0.75
"""The same for a part."""
VOTES = 2
"""Pairs of marks that must be alike before two images are looked at."""
MOST_MATES = 24
"""Likely mates that are looked at for each image, those with most votes first."""
APART = 20
"""Bits of 128 in which marks may differ to vote."""
NEAREST = 6
"""Thumbnails nearest to each that are looked at."""
NEAR = 0.75
"""Least correlation of thumbnails, symmetries left out of account."""
TINY = 16
WAVES = 6
"""Rows and columns of cosines that thumbnails are compared by."""
BLOCK = 2048


def search(
    train: Mapping[str, Description], other: Mapping[str, Description] | None
) -> list[tuple[str, str, str, float]]:
    """Do the work of similar.pairs."""
    keys = [*sorted(train), *sorted(other or ())]
    split = -1 if other is None else len(train)
    found = [*(train[key] for key in sorted(train)), *((other or {})[key] for key in sorted(other or ()))]
    if len(found) < 2:
        return []
    thumbs = np.stack([one.thumb for one in found]).astype(np.float32)
    wholes = _prove_wholes(_likely_wholes(thumbs, split), thumbs)
    sure = {(one, two) for one, two, _, _ in wholes}
    likely = np.array([pair for pair in map(tuple, _likely_overlaps(found, split)) if pair not in sure]).reshape(-1, 2)
    rows = wholes + _prove_overlaps(likely.astype(np.int64), found, thumbs)
    rows.sort(key=lambda row: (-round(row[3], 6), row[0], row[1]))
    return [(keys[one], keys[two], how, round(score, 4)) for one, two, how, score in rows]


def _likely_wholes(thumbs: NDArray[np.float32], split: int) -> Numbers:
    """Return pairs of images whose thumbnails are near each other under some symmetry, int64 (P, 2)."""
    import cv2

    waves = np.empty((len(thumbs), WAVES * WAVES), np.float32)
    for place, thumb in enumerate(thumbs):
        cosines = np.abs(cv2.dct(cv2.resize(thumb, (32, 32), interpolation=cv2.INTER_AREA))[:WAVES, :WAVES])
        cosines[0, 0] = 0  # brightness
        waves[place] = np.stack([np.minimum(cosines, cosines.T), np.maximum(cosines, cosines.T)])[
            np.tri(WAVES, dtype=np.int64), np.arange(WAVES)[:, None], np.arange(WAVES)
        ].ravel()
    waves /= np.maximum(np.linalg.norm(waves, axis=1, keepdims=True), 1e-3)
    first = np.arange(len(waves)) if split < 0 else np.arange(split)
    second = first if split < 0 else np.arange(split, len(waves))
    pairs = []
    for start in range(0, len(first), BLOCK):
        rows = first[start : start + BLOCK]
        alike = waves[rows] @ waves[second].T
        if split < 0:
            alike[np.arange(len(rows)), rows] = -1
        nearest = min(NEAREST, alike.shape[1] - 1)
        top = np.argpartition(-alike, nearest, axis=1)[:, : max(nearest, 1)]
        good = np.take_along_axis(alike, top, axis=1) >= NEAR
        pairs.append(np.stack([np.repeat(rows, good.sum(axis=1)), second[top[good]]], axis=1))
    return np.unique(np.sort(np.concatenate(pairs), axis=1), axis=0).astype(np.int64)


def _prove_wholes(pairs: Numbers, thumbs: NDArray[np.float32]) -> list[tuple[int, int, str, float]]:
    import cv2

    from maskwright.data.similar_proof import prove_wholes

    tiny = np.stack([cv2.resize(thumb, (TINY, TINY), interpolation=cv2.INTER_AREA) for thumb in thumbs])
    tiny -= tiny.mean(axis=(1, 2), keepdims=True)
    found = _shared(pairs, lambda part, out: prove_wholes(part, thumbs, tiny, out))
    return [
        (int(one), int(two), "turned" if row[1] else "copy", float(row[0]))
        for (one, two), row in zip(pairs, found, strict=True)
        if row[0] >= LEAST_COPY
    ]


def _likely_overlaps(found: Sequence[Description], split: int) -> Numbers:
    """Return pairs of images that share marks, int64 (P, 2)."""
    from maskwright.data.similar_kernels import neighbours

    words = np.concatenate([one.words for one in found])
    owners = np.repeat(np.arange(len(found)), [len(one.words) for one in found])
    if not len(words):
        return np.zeros((0, 2), np.int64)
    parts = []
    room = np.empty((8 * len(words), 2), np.int64)
    for table in range(4):
        keys = words[:, table % 2]
        keys = np.ascontiguousarray(keys if table < 2 else (keys << np.uint64(32)) | (keys >> np.uint64(32)))
        order = np.argsort(keys, kind="stable")
        count = neighbours(keys[order], order, words, owners, split, APART, room)
        parts.append(room[:count, 0] * len(words) + room[:count, 1])
    marks = np.unique(np.concatenate(parts))
    items = owners[marks // len(words)] * len(found) + owners[marks % len(words)]
    codes, votes = np.unique(items, return_counts=True)
    codes, votes = codes[votes >= VOTES], votes[votes >= VOTES]
    pairs = np.stack([codes // len(found), codes % len(found)], axis=1)
    return _best_voted(pairs, votes, len(found))


def _best_voted(pairs: Numbers, votes: Numbers, count: int) -> Numbers:
    """Keep of each image's mates those with most votes."""
    keep = np.zeros(len(pairs), bool)
    for side in (0, 1):
        order = np.lexsort((-votes, pairs[:, side]))
        mine = pairs[order, side]
        rank = np.arange(len(order)) - np.searchsorted(mine, mine)
        keep[order[rank < MOST_MATES]] = True
    del count
    return pairs[keep]


def _prove_overlaps(
    pairs: Numbers, found: Sequence[Description], thumbs: NDArray[np.float32]
) -> list[tuple[int, int, str, float]]:
    from maskwright.data.similar_proof import prove_overlaps

    words = np.concatenate([one.words for one in found])
    starts = np.cumsum([0, *(len(one.words) for one in found)]).astype(np.int64)
    sizes = np.array([[one.height, one.width] for one in found], np.float64)
    places = np.concatenate([one.places for one in found]).astype(np.float64)
    owners = np.repeat(np.arange(len(found)), np.diff(starts))
    marks = np.empty((len(words), 5))
    marks[:, :2] = (places[:, :2] + 0.5) / 256 * sizes[owners] - 0.5
    marks[:, 2:4] = places[:, 2:]
    marks[:, 4] = 2 ** (places[:, 2] / 3)
    rows = _shared(pairs, lambda part, out: prove_overlaps(part, thumbs, words, marks, starts, sizes, out))
    return [
        (int(one), int(two), "overlap", float(row[0]))
        for (one, two), row in zip(pairs, rows, strict=True)
        if row[0] >= LEAST_OVERLAP
    ]


def _shared(pairs: Numbers, work: Callable[[Numbers, NDArray[np.float64]], Any]) -> NDArray[np.float64]:
    """Let every processor judge some of the pairs; return (P, 8)."""
    out = np.full((len(pairs), 8), -2.0)
    workers = len(os.sched_getaffinity(0))
    edges = np.linspace(0, len(pairs), 4 * workers + 1).astype(int)
    with ThreadPoolExecutor(workers) as pool:
        for future in [
            pool.submit(work, np.ascontiguousarray(pairs[start:stop]), out[start:stop])
            for start, stop in zip(edges[:-1], edges[1:], strict=True)
            if stop > start
        ]:
            future.result()
    return out
