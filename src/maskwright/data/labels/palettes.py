"""Turn a mask of colours into class ids, and explain colours that no class has."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from maskwright.core.errors import InputError
from maskwright.core.labels import IGNORE, UNDECLARED

Rgb = tuple[int, int, int]
Meaning = tuple[str, int]
"""Name of a class and its id, or ignore and IGNORE."""
NEAR = 12
"""Largest step in one channel that counts as noise. Of CamVid's masks in colours, saved as JPEG of quality 75 to 95,
99 % of the changed pixels are within it, of masks resized with smoothing 36 to 88 % (measured 2026-11-21)."""
BETWEEN = 10.0
"""Distance from the line between two colours, in steps of 0..255, within which a colour may be a mix of them."""
MOSTLY = 0.9
MOST_COLOURS = 256
"""Undeclared colours that are looked at, the most frequent first."""


def classify(
    rgb: NDArray[np.uint8], opaque: NDArray[np.bool_], meanings: Mapping[Rgb, Meaning], where: str
) -> tuple[NDArray[np.uint8], NDArray[np.bool_]]:
    """Replace colours by class ids.

    Args:
        rgb: uint8 (H, W, 3).
        opaque: bool (H, W); other pixels do not count, whatever colour they have.
        meanings: colour -> class.
        where: file name for the message.

    Returns:
        labels uint8 (H, W), 0 where not valid; valid bool (H, W).

    Raises:
        InputError: a colour that no class has, with its share and the nearest declared one.
    """
    from maskwright.data.labels.palette_kernels import name_colours

    codes = np.array([_code(colour) for colour in meanings], np.int64)
    values = np.array([value for _, value in meanings.values()], np.uint8)
    label = np.empty(opaque.shape, np.uint8)
    unknown = name_colours(np.ascontiguousarray(rgb).reshape(-1), codes, values, label.reshape(-1), UNDECLARED)
    if unknown and ((label == UNDECLARED) & opaque).any():
        raise _undeclared(rgb[(label == UNDECLARED) & opaque], label.size, meanings, where)
    valid = (label != IGNORE) & opaque
    label[~valid] = 0
    return label, valid


def _code(colour: Rgb) -> int:
    return colour[0] << 16 | colour[1] << 8 | colour[2]


def _undeclared(pixels: NDArray[np.uint8], size: int, meanings: Mapping[Rgb, Meaning], where: str) -> InputError:
    """Build the message for colours that no class has, from their pixels (N, 3)."""
    wide = pixels.astype(np.int64)
    codes, counts = np.unique(wide[:, 0] << 16 | wide[:, 1] << 8 | wide[:, 2], return_counts=True)
    order = np.argsort(-counts, kind="stable")[:MOST_COLOURS]
    found = np.stack([codes[order] >> 16, codes[order] >> 8 & 255, codes[order] & 255], axis=1)
    known = np.array(list(meanings))
    steps = np.abs(found[:, None] - known[None]).max(axis=2)
    nearest = known[np.argmin(((found[:, None] - known[None]) ** 2).sum(axis=2), axis=1)]
    weights = counts[order]
    worst, match = found[0].tolist(), tuple(nearest[0].tolist())
    more = f" (and {len(codes) - 1} more colours, {len(pixels) / size:.2%} together)" if len(codes) > 1 else ""
    what = (
        f"colour {worst} covers {weights[0] / size:.2%} of the mask{more} but no class has it; "
        f"nearest is {list(match)}, '{meanings[match][0]}'"
    )
    noisy = float(weights[steps.min(axis=1) <= NEAR].sum() / weights.sum())
    mixed = float(weights[_between(found, known)].sum() / weights.sum())
    reason, fix = "", "add it to palette, or map it to ignore"
    if noisy >= MOSTLY:
        reason = "all are close to declared colours, as in a mask that was a JPEG"
        fix = "save masks without loss, as PNG"
    elif mixed >= MOSTLY and len(codes) > 2:
        reason = "they lie between declared colours, as smoothed (antialiased) or resized edges do"
        fix = "draw and resize masks with nearest neighbour, without smoothing"
    what += f"; {reason}" if reason else ""
    top = {",".join(map(str, colour)): int(count) for colour, count in zip(found.tolist(), weights, strict=True)}
    facts: dict[str, Any] = {"colours": top, "distinct": len(codes), "pixels": size, "unknown": len(pixels)}
    facts |= {"noisy": noisy, "mixed": mixed, "reason": reason}
    return InputError(what, where=where, fix=fix, kind="undeclared_colour", facts=facts)


def _between(found: NDArray[np.int64], known: NDArray[np.int64]) -> NDArray[np.bool_]:
    """Say which colours (N, 3) lie near the straight line between two of the known ones (M, 3)."""
    near = np.zeros(len(found), bool)
    for first in range(len(known)):
        for second in range(first):
            line = (known[second] - known[first]).astype(float)
            away = found - known[first]
            place = np.clip(away @ line / max(line @ line, 1.0), 0, 1)
            near |= np.linalg.norm(away - place[:, None] * line, axis=1) <= BETWEEN
    return near
