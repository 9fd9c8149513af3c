"""Whether labels can belong to their images: small clues of each item, and what looks wrong over a whole set.

Nothing here knows the truth. Every test compares what the recipe says with one definite other reading (mirrored,
the next image's mask, classes exchanged, ...) over many items, and speaks only if that reading fits clearly better.
Figures on real sets, and what cannot be found: docs/explain/mutations.md.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from maskwright.core.labels import Task
from maskwright.core.recipe.sources import Source as SourceBlock
from maskwright.data.audit.small import Small
from maskwright.data.findings import Finding
from maskwright.data.plausible.fit import misfits
from maskwright.data.plausible.form import check_recipe, form, inverted
from maskwright.data.plausible.names import unlike_names
from maskwright.data.plausible.shift import features
from maskwright.data.plausible.swap import exchanged, mixed_channels

__all__ = ["Clues", "between", "check_recipe", "describe", "sample", "suspicions"]

GRID = 64
"""Rows and columns of the tiny copies; every item is brought to this square, whatever its shape."""
HIDDEN = 255
"""Value of pixels that do not count in `Clues.parts`; class ids end at 253."""
ITEMS = 600
"""Items of a large set that clues are worth taking of."""


@dataclass(frozen=True)
class Clues:
    """What is kept of one item: about 25 KB with a label, 17 KB without."""

    image: NDArray[np.uint8]
    """(64, 64, 4): red, green and blue (equal if there is one band), and the local contrast."""
    stats: NDArray[np.float32]
    """Numbers of the image alone, as `shift.features` makes them."""
    shape: tuple[int, int]
    """(height, width) of the item itself."""
    parts: NDArray[np.uint8] | None
    """(64, 64) class ids, for multilabel numbers of the combinations of planes; 255: does not count. None: no label."""
    orders: tuple[NDArray[np.uint8], NDArray[np.uint8]] | None
    """`parts` if run lengths that were read row by row had meant columns, and the reverse; None: square, or unknown."""
    counts: NDArray[np.int64]
    """(K,) tiny pixels of each value of the task, or of each plane."""
    means: NDArray[np.float32]
    """(K, 6) mean bands, contrast, row and column (0..255) of each; nan where there are none."""
    spread: NDArray[np.float32]
    """(6, 6) covariance of the same numbers over the whole item."""
    hidden: float
    """Share of pixels that do not count."""
    lines: tuple[int, ...]
    """For the left, right, top and bottom border: pixels that gain, lose and (one line inside) change foreground."""
    pieces: tuple[int, int]
    """Connected pieces of foreground and of background, binary only."""
    overlap: tuple[float, float]
    """Share of pixels in no plane and in two or more, multilabel only."""


def sample(keys: Iterable[str], limit: int = ITEMS) -> frozenset[str]:
    """Choose the items of a large set that clues are taken of: runs of eight neighbours, spread by a hash.

    Args:
        keys: of all items.
        limit: about how many.
    """
    ordered = sorted(keys)
    if len(ordered) <= limit:
        return frozenset(ordered)
    runs = [ordered[start : start + 8] for start in range(0, len(ordered), 8)]
    runs.sort(key=lambda run: hashlib.blake2b(run[0].encode(), digest_size=8).digest())
    return frozenset(key for run in runs[: limit // 8] for key in run)


def describe(small: Small, task: Task, label: NDArray[np.uint8] | None = None, levels: Sequence[float] = ()) -> Clues:
    """Reduce an item to its clues; about 1 ms for a small copy of 256 pixels, more with many planes.

    Args:
        small: its small copy.
        task: gives kind and classes.
        label: the label at native size, (H, W) or (K, H, W): for the borders and for the order of run lengths.
        levels: means of the item's bands as stored, if the small copy was stretched.
    """
    import cv2

    grey = cv2.cvtColor(small.image, cv2.COLOR_RGB2GRAY) if small.image.shape[2] == 3 else small.image[:, :, 0]
    contrast = cv2.morphologyEx(grey, cv2.MORPH_GRADIENT, np.ones((3, 3), np.uint8))
    colour = small.image if small.image.shape[2] == 3 else grey
    tiny_bands = [cv2.resize(part, (GRID, GRID), interpolation=cv2.INTER_AREA) for part in (colour, contrast)]
    image = cv2.merge(tiny_bands if colour.ndim == 3 else [tiny_bands[0]] * 3 + tiny_bands[1:])
    rows, cols = _places(small.valid.shape[0]), _places(small.valid.shape[1])
    valid = small.valid[rows[:, None], cols]
    shape = (small.height, small.width)
    stats = features(image, valid, shape, levels)
    if small.label is None:
        nothing = np.zeros((0, 0), np.float32)
        return Clues(image, stats, shape, None, None, np.zeros(0, np.int64), nothing, nothing, 0.0, (), (0, 0), (0, 0))
    tiny = small.label[..., rows[:, None], cols]
    counts, means, spread = _classes(image, tiny, valid, len(task.classes) if tiny.ndim == 3 else len(task.values))
    return Clues(
        image=image,
        stats=stats,
        shape=shape,
        parts=_parts(tiny, valid),
        orders=None if label is None or shape[0] == shape[1] else _orders(label, valid),
        counts=counts,
        means=means,
        spread=spread,
        hidden=float(1 - valid.mean()),
        lines=() if label is None else _lines(label),
        pieces=(_pieces(tiny), _pieces(1 - tiny)) if task.kind == "binary" else (0, 0),
        overlap=_overlap(tiny, valid) if tiny.ndim == 3 else (0, 0),
    )


def suspicions(
    clues: Mapping[str, Clues], task: Task, block: SourceBlock | None = None, where: str = "data.train"
) -> list[Finding]:
    """Return what looks wrong with the labels of a set, the strongest reading of each kind.

    Args:
        clues: of each item (or of a sample) by key.
        task: gives kind and class names.
        block: the source's block of the recipe, for advice in its own words.
        where: the recipe key that the findings name.
    """
    labelled = {key: clue for key, clue in sorted(clues.items()) if clue.parts is not None}
    found = mixed_channels(clues, where)
    if not labelled:
        return found
    shape = form(labelled, task, block, where)
    found += shape
    if any(finding.kind in ("classes_shifted", "run_base") for finding in shape):
        return found  # what is wrong there shows up in all that follows
    misfit = misfits(labelled, block, where)
    if any(not finding.keys for finding in misfit):
        return found + misfit  # nothing else can be told from masks that lie elsewhere
    swaps = inverted(labelled, task, where) or exchanged(labelled, task, where)
    return found + misfit + (swaps or unlike_names(labelled, task, where))


def between(train: Mapping[str, Clues], test: Mapping[str, Clues], task: Task) -> list[Finding]:
    """Return what looks as if training and test set were made by different rules: classes or channels exchanged.

    Args:
        train: clues by key.
        test: likewise; labels are looked at if both sets have them.
        task: gives kind and class names.
    """
    both = {**{f"train/{key}": clue for key, clue in train.items()}, **{f"test/{key}": c for key, c in test.items()}}
    found = mixed_channels(both, "data.test", side="test/")
    labelled = {key: clue for key, clue in sorted(both.items()) if clue.parts is not None}
    if len({key.split("/", 1)[0] for key in labelled}) == 2:
        found += exchanged(labelled, task, "data.test", side="test/")
    return found


def _places(length: int) -> NDArray[np.intp]:
    return ((np.arange(GRID) + 0.5) * (length / GRID)).astype(np.intp)


def _parts(tiny: NDArray[np.uint8], valid: NDArray[np.bool_]) -> NDArray[np.uint8]:
    """Return one number a pixel; combinations of planes are numbered within the item."""
    if tiny.ndim == 3:
        packed = np.packbits(tiny.reshape(len(tiny), -1), axis=0)
        code = np.zeros(packed.shape[1], np.uint64)
        for row in packed:
            code = code * np.uint64(0x100000001B3) + row
        tiny = np.minimum(np.unique(code, return_inverse=True)[1], HIDDEN - 1).astype(np.uint8).reshape(GRID, GRID)
    return np.where(valid, tiny, np.uint8(HIDDEN))


def _orders(label: NDArray[np.uint8], valid: NDArray[np.bool_]) -> tuple[NDArray[np.uint8], NDArray[np.uint8]]:
    """Look up what the other reading of the run lengths would give at the tiny places."""
    height, width = label.shape[-2:]
    rows, cols = _places(height)[:, None], _places(width)[None, :]
    flat = cols * height + rows
    as_columns = label[..., flat // width, flat % width]
    flat = rows * width + cols
    as_rows = label[..., flat % height, flat // height]
    everywhere = np.ones_like(valid)
    return _parts(as_columns, everywhere), _parts(as_rows, everywhere)


def _classes(
    image: NDArray[np.uint8], tiny: NDArray[np.uint8], valid: NDArray[np.bool_], classes: int
) -> tuple[NDArray[np.int64], NDArray[np.float32], NDArray[np.float32]]:
    """Return pixels and mean features of each class, and the covariance over the item."""
    cube = np.empty((GRID, GRID, 6), np.float32)
    cube[..., :4], cube[..., 4], cube[..., 5] = image, RAMP[:, None], RAMP
    values = cube.reshape(-1, 6)
    seen = values if valid.all() else values[valid.reshape(-1)]
    spread = _covariance(seen)
    if tiny.ndim == 3:
        member = (tiny.astype(bool) & valid).reshape(classes, -1).astype(np.float32)
        counts, sums = member.sum(1).astype(np.int64), member @ values
    else:
        ids = np.where(valid, tiny, classes).reshape(-1)
        counts = np.bincount(ids, minlength=classes + 1)[:classes].astype(np.int64)
        sums = np.stack([np.bincount(ids, column, classes + 1)[:classes] for column in values.T], axis=1)
    with np.errstate(invalid="ignore", divide="ignore"):
        return counts, (sums / counts[:, None]).astype(np.float32), spread


def _covariance(values: NDArray[np.float32]) -> NDArray[np.float32]:
    centred = values - values.mean(axis=0)
    spread: NDArray[np.float32] = centred.T @ centred / max(len(values), 1)
    return spread


def _lines(label: NDArray[np.uint8]) -> tuple[int, ...]:
    """Count, at each border, where the outermost line has foreground the next lacks, and the reverse, and the inner."""
    if min(label.shape[-2:]) < 8:
        return ()
    lines: list[tuple[NDArray[Any], ...]] = []
    for one in (label, label[..., ::-1]):
        lines.append(tuple(_some(one[..., index]) for index in range(3)))
    for one in (label, label[..., ::-1, :]):
        lines.append(tuple(_some(one[..., index, :]) for index in range(3)))
    counted = ((first & ~second, second & ~first, second ^ third) for first, second, third in lines)
    return tuple(int(np.count_nonzero(part)) for border in counted for part in border)


def _some(line: NDArray[np.uint8]) -> NDArray[np.bool_]:
    some: NDArray[np.bool_] = line != 0
    return some if line.ndim == 1 else np.logical_or.reduce(some)


def _pieces(mask: NDArray[np.uint8]) -> int:
    import cv2

    sizes = cv2.connectedComponentsWithStats(np.ascontiguousarray(mask))[2][1:, cv2.CC_STAT_AREA]
    return int(np.count_nonzero(sizes >= 2))


def _overlap(tiny: NDArray[np.uint8], valid: NDArray[np.bool_]) -> tuple[float, float]:
    planes = tiny.sum(axis=0, dtype=np.int64)[valid]
    return (float((planes == 0).mean()), float((planes > 1).mean())) if planes.size else (0.0, 0.0)


RAMP = (np.arange(GRID) * (256 / GRID)).astype(np.float32)
"""Place of a tiny row or column on 0..255, the scale of the bands."""
