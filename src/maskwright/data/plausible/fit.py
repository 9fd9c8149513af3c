"""Whether masks lie on their own images: the mask as it is against mirrored, turned, moved, resized, another item's.

How well a mask fits is the share of the image's variation in colour and contrast that its parts explain: the
Gaussian mutual information 0.5 * (log det T - log det W) in nats a pixel, T and W the covariances in all and within
the parts (Wilks 1932, Certain generalizations in the analysis of variance).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, NamedTuple

import numpy as np
from numpy.typing import NDArray

from maskwright.core.recipe.sources import RleCsvSource
from maskwright.core.recipe.sources import Source as SourceBlock
from maskwright.data.findings import Finding, some

if TYPE_CHECKING:
    from maskwright.data.plausible.plausible import Clues

HIDDEN = 255
LEAST = 8
"""Items with two parts or more below which a set is not judged."""
FIRST, MOST, PROMISING = 48, 160, 6
"""Items that all readings are tried on, items that the most promising are confirmed on, and how many those are."""
STUDENT, BETTER, RATIO, FLOOR = 5.0, 0.65, 1.2, 0.02
"""A reading is believed if it fits better by this t, in this share of items, by this factor, with this fit in nats.
Measured 2026-11-21: on seven correct real sets the nearest reading has a factor of 1.13 (docs/explain/mutations.md)."""
LONE, LONE_SHARE = 0.15, 0.4
"""One item is named if another reading is better by this much, and by this share of the set's median fit."""
UNRELATED, SMOOTH = 2.0, 0.5
"""Masks are called unrelated below this t against far items' masks, if neighbouring tiny pixels are alike by this.
Measured 2026-11-21: 4.0 or more on seven correct real sets."""
STEPS = (1, 2, 4, 8)
"""Moves tried, in tiny pixels (of 64)."""

Parts = NDArray[np.uint8]
Pixels = NDArray[np.float32]


class Reading(NamedTuple):
    """One other way to read the masks."""

    words: str
    """What the masks would have to be."""
    fix: str
    kind: str
    turn: Callable[[Parts], Parts]
    square: bool = False
    """It makes sense for square images alone."""


class Verdict(NamedTuple):
    """How a reading compares with the masks as they are."""

    student: float
    better: float
    own: float
    other: float
    items: int

    @property
    def believed(self) -> bool:
        """Whether the reading is clearly the better one."""
        ratio = (self.other + 0.01) / (self.own + 0.01)
        return (
            self.items >= LEAST
            and self.student >= STUDENT + max(0.0, 2 - self.items / 16)
            and self.better >= BETTER
            and ratio >= RATIO
            and self.other >= FLOOR
        )


def misfits(clues: Mapping[str, Clues], block: SourceBlock | None, where: str) -> list[Finding]:
    """Return the reading that fits a whole set clearly better than its masks as they are, or the items it fits.

    Args:
        clues: labelled items by key, sorted.
        block: the source's block, for advice in its own words.
        where: recipe key of the set.
    """
    keys = [key for key, clue in clues.items() if _telling(clue)]
    if len(keys) < LEAST:
        return []
    whole = _Set(keys, [clues[key] for key in keys])
    first = _spread(len(keys), FIRST)
    readings = _readings(whole, block)
    base = whole.fits(first, lambda index: whole.parts[index])
    tried = {name: whole.fits(first, _bound(whole, reading)) for name, reading in readings.items()}
    tried |= {f"item{step}": whole.fits(first, whole.other(step)) for step in NEIGHBOURS}
    promising = sorted(tried, key=lambda name: -float(tried[name].mean()))[:PROMISING]
    more = _spread(len(keys), MOST)
    own = base if len(more) == len(first) else whole.fits(more, lambda index: whole.parts[index])
    believed: list[tuple[float, str, Verdict]] = []
    for name in promising:
        reading = _bound(whole, readings[name]) if name in readings else whole.other(int(name[4:]))
        fits = tried[name] if len(more) == len(first) else whole.fits(more, reading)
        if not judge(own, fits).believed:
            continue
        verdict = judge(whole.fits(more, whole.where(reading)), fits)  # over the same pixels, if it hides some
        if verdict.believed:
            believed.append((verdict.other - verdict.own, name, verdict))
    if believed:
        _, name, verdict = max(believed)
        return [_say(name, readings, verdict, where)]
    return _unrelated(whole, more, own, where) or _lone(whole, readings, where)


def judge(own: NDArray[np.float64], other: NDArray[np.float64]) -> Verdict:
    """Compare two readings over the same items.

    Args:
        own: fit of the masks as they are, nats a pixel.
        other: fit of the other reading.
    """
    gain = other - own
    error = float(gain.std(ddof=1)) / len(gain) ** 0.5 if len(gain) > 1 else np.inf
    student = float(gain.mean()) / max(error, 1e-9)
    return Verdict(student, float((gain > 0).mean()), float(own.mean()), float(other.mean()), len(gain))


def fit(image: Pixels, parts: Parts) -> float:
    """Return how much of an image's variation a partition explains, in nats a pixel.

    Args:
        image: (h, w, F) features, float32.
        parts: (h, w) numbers of the parts; 255: left out.
    """
    values, numbers = image.reshape(-1, image.shape[2]), parts.reshape(-1)
    counts = np.bincount(numbers, minlength=HIDDEN + 1)[:HIDDEN]
    present = np.flatnonzero(counts)
    total = int(counts.sum())
    if len(present) < 2 or total < len(numbers) // 16:
        return 0.0
    member = (numbers == present.astype(np.uint8)[:, None]).astype(np.float32)
    sums = (member @ values).astype(np.float64)
    mean = sums.sum(axis=0) / total
    apart = sums / counts[present, None] - mean
    seen = values if total == len(numbers) else values[numbers != HIDDEN]
    spread = (seen.T @ seen).astype(np.float64) / total - np.outer(mean, mean) + 1e-3 * np.eye(len(mean))
    explained = (apart * counts[present, None]).T @ apart / total
    whole, rest = np.linalg.slogdet(np.stack([spread, spread - explained]))[1]
    return float(0.5 * (whole - rest))


class _Set:
    """Items as the readings need them: whitened features and parts, in the order of keys."""

    def __init__(self, keys: Sequence[str], clues: Sequence[Clues]) -> None:
        self.keys = keys
        self.clues = clues
        self.images = [_whiten(clue.image) for clue in clues]
        self.parts: list[Parts] = [clue.parts for clue in clues if clue.parts is not None]
        self.square = sum(clue.shape[0] == clue.shape[1] for clue in clues) >= 0.9 * len(clues)

    def fits(self, chosen: Sequence[int], parts: Callable[[int], Parts]) -> NDArray[np.float64]:
        return np.array([fit(self.images[index], parts(index)) for index in chosen])

    def where(self, reading: Callable[[int], Parts]) -> Callable[[int], Parts]:
        """Give each image its own mask, but only where the reading has something to say."""
        return lambda index: np.where(reading(index) == HIDDEN, np.uint8(HIDDEN), self.parts[index])

    def other(self, step: int) -> Callable[[int], Parts]:
        """Give each image the mask of the item so many places on."""
        return lambda index: self.parts[(index + step) % len(self.parts)]


def _telling(clue: Clues) -> bool:
    """Whether a mask says anything: two parts, neither of a few pixels only."""
    if clue.parts is None:
        return False
    counts = np.bincount(clue.parts.reshape(-1), minlength=HIDDEN + 1)[:HIDDEN]
    return int((counts >= 6).sum()) >= 2


def _spread(count: int, limit: int) -> list[int]:
    return sorted(set(np.linspace(0, count - 1, min(count, limit)).round().astype(int).tolist()))


def _whiten(image: NDArray[np.uint8]) -> Pixels:
    values = image.reshape(-1, image.shape[2]).astype(np.float32)
    values -= values.mean(axis=0)
    spread = values.T @ values / len(values) + 4 * np.eye(values.shape[1], dtype=np.float32)
    size, axes = np.linalg.eigh(spread)
    whitened: Pixels = (values @ (axes / np.sqrt(size))).reshape(image.shape).astype(np.float32)
    return whitened


def _bound(whole: _Set, reading: Reading) -> Callable[[int], Parts]:
    if reading.words == EXCHANGED.words and not whole.square:
        return lambda index: _exchanged(whole.parts[index], whole.clues[index].shape)
    if reading.kind == "run_order":
        side = 0 if "column" in reading.words else 1
        return lambda index: (whole.clues[index].orders or (whole.parts[index].T,) * 2)[side]
    return lambda index: reading.turn(whole.parts[index])


def _readings(whole: _Set, block: SourceBlock | None) -> dict[str, Reading]:
    """Choose the readings that make sense for a set."""
    found = {name: reading for name, reading in READINGS.items() if whole.square or not reading.square}
    for step in STEPS:
        for down, right in ((0, 1), (0, -1), (1, 0), (-1, 0), (1, 1), (-1, -1), (1, -1), (-1, 1)):
            found[f"move {down * step} {right * step}"] = _move(whole, down * step, right * step)
    if isinstance(block, RleCsvSource):
        found.pop("transposed", None)
        for order in ("column", "row"):
            if block.order != order and (whole.square or any(clue.orders for clue in whole.clues)):
                words = f"read with order: {order}"
                found[order] = Reading(words, f"set order: {order}", "run_order", lambda parts: parts.T)
    return found


def _move(whole: _Set, down: int, right: int) -> Reading:
    height, width = (float(np.median([clue.shape[side] for clue in whole.clues])) for side in (0, 1))
    rows, cols = round(abs(down) * height / 64), round(abs(right) * width / 64)
    ways = [f"{rows} pixels {'down' if down > 0 else 'up'}"] * (down != 0)
    ways += [f"{cols} pixels {'right' if right > 0 else 'left'}"] * (right != 0)
    words = f"moved by about {' and '.join(ways)}"
    fix = "look for an offset between images and masks (crop, pad, registration)"
    return Reading(words, fix, "mask_geometry", lambda parts: _moved(parts, down, right))


def _moved(parts: Parts, down: int, right: int) -> Parts:
    out = np.full_like(parts, HIDDEN)
    height, width = parts.shape
    out[max(0, down) : height + min(0, down), max(0, right) : width + min(0, right)] = parts[
        max(0, -down) : height + min(0, -down), max(0, -right) : width + min(0, -right)
    ]
    return out


def _exchanged(parts: Parts, shape: tuple[int, int]) -> Parts:
    """Exchange x and y of native pixels; what leaves the image is hidden."""
    height, width = shape
    centres = (np.arange(len(parts)) + 0.5) / len(parts)
    rows, cols = centres * width / height * len(parts), centres * height / width * len(parts)
    inside = (rows < len(parts))[None, :] & (cols < len(parts))[:, None]
    last = len(parts) - 1
    places = np.minimum(rows, last).astype(np.intp)[None, :], np.minimum(cols, last).astype(np.intp)[:, None]
    return np.where(inside, parts[places], np.uint8(HIDDEN))


def _grown(parts: Parts) -> Parts:
    """Blow the top left quarter up to the whole."""
    half = np.arange(len(parts)) // 2
    return parts[half[:, None], half]


def _shrunk(parts: Parts) -> Parts:
    """Draw the whole into the top left quarter."""
    out = np.full_like(parts, HIDDEN)
    half = len(parts) // 2
    out[:half, :half] = parts[::2, ::2]
    return out


def _say(name: str, readings: Mapping[str, Reading], verdict: Verdict, where: str) -> Finding:
    facts = {
        "reading": name,
        "t": round(verdict.student, 1),
        "fit": round(verdict.own, 4),
        "fit_other": round(verdict.other, 4),
        "items": verdict.items,
    }
    better = f"in {round(verdict.better * verdict.items)} of {verdict.items} items (t = {verdict.student:.0f})"
    if name in readings:
        reading = readings[name]
        what = f"masks fit their images better {reading.words} {better}"
        return Finding(reading.kind, where, what, reading.fix, (), facts)
    what = f"images fit the mask {_places(int(name[4:]))} better than their own {better}"
    fix = "look for a file that is missing or too much on one side, and join by name"
    return Finding("mask_of_another", where, what, fix, (), facts)


def _places(step: int) -> str:
    side = "after" if step > 0 else "before"
    return f"of the item just {side} theirs" if abs(step) == 1 else f"{abs(step)} items {side} theirs"


def _lone(whole: _Set, readings: Mapping[str, Reading], where: str) -> list[Finding]:
    """Name single items whose mask fits far better in another reading, where most masks fit well as they are."""
    chosen = _spread(len(whole.keys), MOST)
    own = whole.fits(chosen, lambda index: whole.parts[index])
    need = max(LONE, LONE_SHARE * float(np.median(own)))
    if float(np.median(own)) < 0.5 * LONE:
        return []
    weak = [place for place in range(len(chosen)) if own[place] < float(np.median(own))]
    whole_only = ("transposed",) if not whole.square else ()  # what leaves the image makes a single fit look better
    ways = {
        name: _bound(whole, reading)
        for name, reading in readings.items()
        if name in LONE_READINGS and name not in whole_only
    }
    ways |= {f"item{step}": whole.other(step) for step in NEIGHBOURS}
    found: dict[str, list[str]] = {}
    for place in weak:
        fits = {name: fit(whole.images[chosen[place]], way(chosen[place])) for name, way in ways.items()}
        best = max(fits, key=lambda name: fits[name])
        if fits[best] - own[place] > need:
            found.setdefault(best, []).append(whole.keys[chosen[place]])
    found = {name: keys for name, keys in found.items() if len(keys) >= (3 if name.startswith("item") else 1)}
    if not found:
        return []
    name = max(sorted(found), key=lambda name: len(found[name]))
    return [_name_items(name, found[name], readings, where)]


def _unrelated(whole: _Set, chosen: Sequence[int], own: NDArray[np.float64], where: str) -> list[Finding]:
    """Suspect a set whose masks fit their images no better than masks of far items do."""
    if len(chosen) < 2 * LEAST or np.median([_smooth(whole.clues[index].image) for index in chosen]) < SMOOTH:
        return []
    count = len(whole.parts)
    others = [whole.fits(chosen, whole.other(max(3, round(count * part)))) for part in (0.23, 0.41, 0.67)]
    verdict = judge(np.mean(others, axis=0), own)
    # a few items that kept their mask by chance raise t, but not the share of items
    if verdict.student >= (UNRELATED if verdict.better >= 0.5 else 2 * UNRELATED):
        return []
    what = (
        f"masks fit their images no better than masks of other items ({verdict.other:.3f} against {verdict.own:.3f} "
        f"nats a pixel, t = {verdict.student:.1f} over {verdict.items} items)"
    )
    fix = "look at some overlays: masks may be joined to the wrong images, or drawn for other ones"
    facts = {"t": round(verdict.student, 2), "fit": round(verdict.other, 4), "fit_other": round(verdict.own, 4)}
    return [Finding("masks_unrelated", where, what, fix, (), facts)]


def _smooth(image: NDArray[np.uint8]) -> float:
    """Return how alike neighbouring pixels are, -1..1: pure noise cannot fit any mask."""
    green = image[..., 1].astype(np.float32) - float(image[..., 1].mean())
    return float((green[:, 1:] * green[:, :-1]).mean() / max(float((green**2).mean()), 1e-6))


def _name_items(name: str, keys: Sequence[str], readings: Mapping[str, Reading], where: str) -> Finding:
    facts = {"reading": name, "items": len(keys)}
    if name in readings:
        what = f"masks of {some(keys, 3)} fit far better {readings[name].words}, unlike the others"
        return Finding(readings[name].kind, where, what, "look at them, and mend or drop them", tuple(keys), facts)
    what = f"{some(keys, 3)}: the mask {_places(int(name[4:]))} fits far better than their own"
    fix = "look for a file that is missing or too much on one side, and join by name"
    return Finding("mask_of_another", where, what, fix, tuple(keys), facts)


NEIGHBOURS = (1, -1, 2, -2)
"""Steps in the order of keys after which another item's mask is tried."""
MEND = "mend the masks, or how they were exported"
EXCHANGED = Reading("with x and y exchanged", MEND, "mask_geometry", lambda parts: parts.T)
READINGS: dict[str, Reading] = {
    "hflip": Reading("mirrored left to right", MEND, "mask_geometry", lambda parts: parts[:, ::-1]),
    "vflip": Reading("mirrored top to bottom", MEND, "mask_geometry", lambda parts: parts[::-1]),
    "rot180": Reading("turned by 180 degrees", MEND, "mask_geometry", lambda parts: parts[::-1, ::-1]),
    "transposed": EXCHANGED,
    "rot90": Reading("turned by 90 degrees to the left", MEND, "mask_geometry", np.rot90, True),
    "rot270": Reading(
        "turned by 90 degrees to the right", MEND, "mask_geometry", lambda parts: np.rot90(parts, 3), True
    ),
    "anti": Reading(
        "mirrored across the other diagonal", MEND, "mask_geometry", lambda parts: parts[::-1, ::-1].T, True
    ),
    "grown": Reading("at twice the size", "draw them at the images' size", "mask_geometry", _grown),
    "shrunk": Reading("at half the size", "draw them at the images' size", "mask_geometry", _shrunk),
}
"""Name -> reading; moves, orders of run lengths and other items' masks are added for each set."""
LONE_READINGS = ("hflip", "vflip", "rot180", "transposed", "rot90", "rot270", "anti")
"""Readings that single items are tried with."""
