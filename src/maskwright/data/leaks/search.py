"""From descriptions to pairs: likely ones by sorted marks and by thumbnails, then the proof of each."""

from __future__ import annotations

import itertools
import os
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

OCTAVE = 3
"""Levels in which size halves."""
if TYPE_CHECKING:
    from maskwright.data.leaks.similar import Description

Numbers = NDArray[np.int64]
LEAST_COPY = 0.8
"""Correlation of details from which whole images count as the same (docs/explain/leaks.md)."""
LEAST_OVERLAP = 0.75
"""The same for a part."""
ALL_PAIRS = 20_000
"""Up to so many pairs each is looked at; of larger sets only those that share marks."""
VOTES = 3
"""Pairs of marks that must be alike, and agree on one shift, before two images are looked at."""
MOST_MATES = 8
"""Likely mates that are looked at for each image, those with most votes first."""
APART = 14
"""Bits of 128 in which marks may differ to vote."""
NEAREST = 4
"""Thumbnails nearest to each that are looked at."""
NEAR = 0.75
"""Least correlation of thumbnails, symmetries left out of account."""
TINY = 16
WAVES = 6
"""Rows and columns of cosines that thumbnails are compared by."""
BLOCK = 2048
MARKS_AT_ONCE = 1 << 18
"""Marks whose neighbours are sought at once, for the sake of memory."""


class Crowd(NamedTuple):
    """The marks of many items in one table."""

    words: NDArray[np.uint64]
    """(N, 2)"""
    marks: NDArray[np.float64]
    """(N, 5): row, column in pixels of the image, level, number of the symmetry, size of the level's pixel."""
    owners: Numbers
    """(N,): item of each mark."""
    starts: Numbers
    """(I + 1,): where each item's marks begin."""
    sizes: NDArray[np.float64]
    """(I, 2): height and width of each image."""
    thumbs: NDArray[np.float32]
    """(I, 64, 64)"""


def search(
    train: Mapping[str, Description], other: Mapping[str, Description] | None
) -> list[tuple[str, str, str, float]]:
    """Do the work of similar.pairs."""
    keys = [*sorted(train), *sorted(other or ())]
    split = -1 if other is None else len(train)
    found = [*(train[key] for key in sorted(train)), *((other or {})[key] for key in sorted(other or ()))]
    if len(found) < 2 or split in (0, len(found)):
        return []
    crowd = _gather(found)
    rows = _prove_wholes(_likely_wholes(crowd.thumbs, split), crowd)
    sure = {(one, two) for one, two, _, _ in rows}
    first, second = (len(found), len(found)) if split < 0 else (split, len(found) - split)
    few = first * second <= ALL_PAIRS
    likely = _all_pairs(len(found), split) if few else _likely_overlaps(crowd, split)
    left = [pair for pair in likely.tolist() if tuple(pair) not in sure]
    rows += _prove_overlaps(np.array(left, np.int64).reshape(-1, 2), crowd)
    rows.sort(key=lambda row: (-round(row[3], 6), row[0], row[1]))
    return [(keys[one], keys[two], how, round(score, 4)) for one, two, how, score in rows]


def _all_pairs(count: int, split: int) -> Numbers:
    pairs = np.stack(np.triu_indices(count, 1), axis=1).astype(np.int64)
    return pairs if split < 0 else pairs[(pairs[:, 0] < split) & (pairs[:, 1] >= split)]


def _gather(found: Sequence[Description]) -> Crowd:
    words = np.concatenate([one.words for one in found])
    counts = [len(one.words) for one in found]
    owners = np.repeat(np.arange(len(found)), counts)
    sizes = np.array([[one.height, one.width] for one in found], np.float64)
    places = np.concatenate([one.places for one in found]).astype(np.float64)
    marks = np.empty((len(words), 5))
    marks[:, :2] = (places[:, :2] + 0.5) / 256 * sizes[owners] - 0.5
    marks[:, 2:4] = places[:, 2:]
    marks[:, 4] = 2 ** (places[:, 2] / OCTAVE - 1)
    thumbs = np.stack([one.thumb for one in found]).astype(np.float32)
    return Crowd(words, marks, owners, np.cumsum([0, *counts]).astype(np.int64), sizes, thumbs)


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


def _prove_wholes(pairs: Numbers, crowd: Crowd) -> list[tuple[int, int, str, float]]:
    import cv2

    from maskwright.data.leaks.proof import prove_wholes

    tiny = np.stack([cv2.resize(thumb, (TINY, TINY), interpolation=cv2.INTER_AREA) for thumb in crowd.thumbs])
    tiny -= tiny.mean(axis=(1, 2), keepdims=True)
    found = _shared(pairs, lambda part, out: prove_wholes(part, crowd.thumbs, tiny, out))
    return [
        (int(one), int(two), "turned" if row[1] else "copy", float(row[0]))
        for (one, two), row in zip(pairs, found, strict=True)
        if row[0] >= LEAST_COPY
    ]


def _likely_overlaps(crowd: Crowd, split: int) -> Numbers:
    """Return pairs of images that share marks which agree on one shift, int64 (P, 2)."""
    from maskwright.data.leaks.proof import count_votes

    count, total = len(crowd.sizes), max(len(crowd.words), 1)
    both = _distinct(_like_marks(crowd, split))
    alike = np.stack([both // total, both % total], axis=1)
    items = crowd.owners[alike[:, 0]] * count + crowd.owners[alike[:, 1]]
    order = np.argsort(items, kind="stable")
    items = items[order]
    starts = np.flatnonzero(np.diff(items, prepend=-1))
    votes = np.zeros(len(starts), np.int64)
    count_votes(np.ascontiguousarray(alike[order]), np.append(starts, len(items)), crowd.marks, votes)
    good = votes >= VOTES
    codes = items[starts[good]]
    return _best_voted(np.stack([codes // count, codes % count], axis=1), votes[good])


def _like_marks(crowd: Crowd, split: int) -> Numbers:
    """Return pairs of marks that are alike, the first times the number of marks plus the second."""
    from maskwright.data.leaks.kernels import MOST_TAKEN, neighbours

    total = len(crowd.words)
    parts = [np.zeros(0, np.int64)]
    room = np.empty((MOST_TAKEN * min(total, MARKS_AT_ONCE), 2), np.int64)
    for table in range(4):
        keys = crowd.words[:, table % 2]
        keys = np.ascontiguousarray(keys if table < 2 else (keys << np.uint64(32)) | (keys >> np.uint64(32)))
        order = np.argsort(keys, kind="stable")
        keys = keys[order]
        for start in range(0, total, MARKS_AT_ONCE):
            size = neighbours(keys[start:], order[start:], crowd.words, crowd.owners, split, APART, room)
            parts.append(room[:size, 0] * total + room[:size, 1])
    return np.concatenate(parts)


def _distinct(numbers: Numbers) -> Numbers:
    """Return sorted numbers once each; numpy's unique takes 20 times as long for millions."""
    ordered = np.sort(numbers)
    return ordered[np.diff(ordered, prepend=-1) > 0]


def _best_voted(pairs: Numbers, votes: Numbers) -> Numbers:
    """Keep of each image's mates those with most votes."""
    keep = np.zeros(len(pairs), bool)
    for side in (0, 1):
        order = np.lexsort((-votes, pairs[:, side]))
        mine = pairs[order, side]
        keep[order[np.arange(len(order)) - np.searchsorted(mine, mine) < MOST_MATES]] = True
    return pairs[keep]


def _prove_overlaps(pairs: Numbers, crowd: Crowd) -> list[tuple[int, int, str, float]]:
    from maskwright.data.leaks.proof import prove_overlaps

    words, marks, starts, sizes, thumbs = crowd.words, crowd.marks, crowd.starts, crowd.sizes, crowd.thumbs
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
            for start, stop in itertools.pairwise(edges)
            if stop > start
        ]:
            future.result()
    return out
