"""Which item and which window comes next: pure functions of (seed, epoch, index), whoever asks and when."""

from __future__ import annotations

import hashlib

import numpy as np
from numpy.typing import NDArray

from maskwright.core.grid import Shape, Window


def sample_seed(seed: int, epoch: int, index: int) -> int:
    """Return a 63-bit number that differs for every triple: BLAKE2b, the same on every machine and version.

    Args:
        seed: of the run.
        epoch: any integer.
        index: any integer.
    """
    digest = hashlib.blake2b(f"{seed},{epoch},{index}".encode(), digest_size=8).digest()
    return int.from_bytes(digest, "little") >> 1


def order(seed: int, epoch: int, items: int, draws: int) -> NDArray[np.int64]:
    """Return which item each draw of an epoch takes.

    Over all epochs the draws walk through one permutation of the items after another, so every item
    is drawn equally often to within one, also when an epoch is shorter than the set.

    Args:
        seed: of the run.
        epoch: from 0.
        items: number of items, >= 1.
        draws: draws in an epoch, >= 0.

    Returns:
        int64 (draws,) in 0..items-1.
    """
    assert items >= 1, "no items to draw"
    place = epoch * draws + np.arange(draws, dtype=np.int64)
    rounds = place // items
    result = np.empty(draws, np.int64)
    for lap in np.unique(rounds):
        shuffled = np.random.default_rng(sample_seed(seed, int(lap), -1)).permutation(items)
        mine = rounds == lap
        result[mine] = shuffled[place[mine] % items]
    return result


def crop_window(seed: int, epoch: int, index: int, shape: Shape, size: Shape) -> Window:
    """Return a random window, every place equally likely.

    Args:
        seed: of the run.
        epoch: of the draw.
        index: of the draw in its epoch.
        shape: (H, W) of the image in pixels.
        size: (h, w) of the window; where it is larger than the image, the image lies at a random place in it.
    """
    rng = np.random.default_rng(sample_seed(sample_seed(seed, epoch, index), 0, -2))
    row, col = (int(rng.integers(min(0, n - side), max(0, n - side) + 1)) for n, side in zip(shape, size, strict=True))
    return Window(row, col, *size)
