"""What raster masks seem to hold: values, colours, instances; told from a spread of files, for a first recipe."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from maskwright.core.errors import InputError, MaskwrightError
from maskwright.data.pixels.pictures import opened
from maskwright.data.pixels.rasters import read_header, read_image, read_mask_and_nodata

PEEKED, READ = 6, 60
"""Files that are looked at to tell masks from images, and to learn the masks' values."""
MOST_PIXELS = 64_000_000
FEW = 40
"""Distinct values up to which a picture may be a mask."""
FLAT = 0.85
"""Share of neighbouring pixels that are equal in a mask, at least."""
SOFT = 0.02
"""Share of in-between values up to which a mask of 0 and 255 counts as blurred at its edges."""
Encoding = Literal["index", "rgb", "instances"]


@dataclass
class Masks:
    """What a spread of masks holds."""

    values: Counter[int] = field(default_factory=Counter)
    """Raw value -> pixels."""
    files: Counter[int] = field(default_factory=Counter)
    """Raw value -> masks it occurs in."""
    colours: Counter[tuple[int, int, int]] = field(default_factory=Counter)
    """Of masks with three channels."""
    palette: Mapping[int, tuple[int, int, int]] = field(default_factory=dict)
    """Of palette masks: value -> colour."""
    nodata: int | None = None
    deep: bool = False
    """More than 8 bits."""
    read: int = 0
    counted: int = 0
    """Masks whose values are 0, 1, 2, ... without a gap, as numbered objects are."""
    unread: list[str] = field(default_factory=list)


@dataclass(frozen=True)
class MaskGuess:
    """A task and how the masks say it."""

    kind: Literal["binary", "multiclass"]
    classes: tuple[str, ...]
    encoding: Encoding = "index"
    values: Mapping[int, int | str] | None = None
    ignore: int | None = None
    colours: tuple[tuple[int, int, int], ...] | None = None
    palette: Mapping[str, tuple[int, int, int]] | None = None
    said: tuple[str, ...] = ()
    """What was guessed from what, a sentence each."""


def spread(items: Sequence[Any], most: int) -> list[Any]:
    """Return at most so many, evenly spread, first and last among them."""
    if len(items) <= most:
        return list(items)
    return [items[round(place)] for place in np.linspace(0, len(items) - 1, most)]


def looks_like_mask(paths: Sequence[Path], flat: float = FLAT) -> float:
    """Return the share of some pictures that look like masks: few values, and so many neighbouring pixels equal."""
    votes = []
    for path in spread(paths, PEEKED):
        try:
            image, _ = read_image(path, MOST_PIXELS)
        except MaskwrightError:
            continue
        votes.append(_flat(image, flat))
    return float(np.mean(votes)) if votes else 0.0


def _flat(image: NDArray[Any], flat: float) -> bool:
    if image.shape[2] > 3 or image.dtype.kind == "f":
        return False
    code = image[:, :, 0].astype(np.int64)
    for band in range(1, image.shape[2]):
        code = code * 256 + image[:, :, band]
    few = len(np.unique(code[:: max(1, code.shape[0] // 128)])) <= (FEW if image.dtype == np.uint8 else 4000)
    same = float((code[:, 1:] == code[:, :-1]).mean()) if code.shape[1] > 1 else 1.0
    return few and same >= flat


def measure_masks(paths: Sequence[Path]) -> Masks:
    """Read a spread of masks and count their values or colours."""
    found = Masks()
    for path in spread(paths, READ):
        try:
            if read_header(path, MOST_PIXELS).bands == 3 and not _take_palette(found, path):
                _take_colours(found, path)
            else:
                _take_values(found, path)
        except InputError as error:
            found.unread.append(str(error))
    return found


def _take_values(found: Masks, path: Path) -> None:
    raw, nodata = read_mask_and_nodata(path, MOST_PIXELS)
    values, counts = np.unique(raw, return_counts=True)
    found.deep |= raw.dtype.itemsize > 1 and raw.dtype.kind == "u"
    found.read += 1
    found.nodata = nodata if nodata is not None else found.nodata
    low, high = int(values[0]), int(values[-1])
    found.counted += len(values) > 2 and low in (0, 1) and len(values) >= 0.9 * (high - low + 1)
    for value, count in zip(values.tolist()[:5000], counts.tolist(), strict=False):
        found.values[int(value)] += count
        found.files[int(value)] += 1


def _take_palette(found: Masks, path: Path) -> bool:
    """Take a palette mask, whose indices are the values; say whether it is one."""
    if path.suffix.lower() not in (".png", ".gif", ".bmp"):
        return False
    with opened(path, MOST_PIXELS) as picture:
        flat = picture.getpalette("RGB") if picture.mode == "P" else None
    if flat is None:
        return False
    if not found.palette:
        found.palette = {at // 3: (flat[at], flat[at + 1], flat[at + 2]) for at in range(0, len(flat) - 2, 3)}
    _take_values(found, path)
    return True


def _take_colours(found: Masks, path: Path) -> None:
    image, _ = read_image(path, MOST_PIXELS)
    found.read += 1
    code = image.astype(np.int64) @ np.array([65536, 256, 1])
    values, counts = np.unique(code, return_counts=True)
    for value, count in zip(values.tolist()[:2000], counts.tolist(), strict=False):
        found.colours[(value >> 16, value >> 8 & 255, value & 255)] += count


def guess_masks(
    found: Masks, named: Mapping[tuple[int, int, int], str] | None, names: Sequence[str]
) -> MaskGuess | None:
    """Say what task a spread of masks speaks of.

    Args:
        found: what measure_masks counted.
        named: colour -> class, from a list of classes beside the masks.
        names: class names in order of their ids, from such a list; may be empty.
    """
    if found.colours and sum(found.colours.values()) > sum(found.values.values()):
        return _by_colour(found, named or {})
    values = {value for value in found.values if value != found.nodata or value in (0, 1)}
    if not values or (min(values) < 0 and len(values) > FEW):
        return None
    if len(values) > FEW and found.counted >= 0.5 * max(found.read, 1):
        said = f"{found.read} masks hold up to {max(values)} numbers without gaps: one for each object, not for a class"
        return MaskGuess("binary", (names[-1] if names else "object",), "instances", said=(said,))
    if len(values) > FEW:
        return _soft(found, names)
    return _by_value(found, sorted(values), names)


def _by_value(found: Masks, values: list[int], names: Sequence[str]) -> MaskGuess:
    shown = ", ".join(str(value) for value in values)
    said = [f"masks hold the values {shown} ({found.read} read)"]
    if found.nodata is not None and found.nodata not in (0, 1):
        said.append(f"the masks' own nodata value {found.nodata} does not count")
    if len(values) == 1:
        values = sorted({0, values[0] or 1})
        said.append("only one value occurs in what was read")
    if len(values) == 2 and (255 not in values or values[0] == 0):
        one = names[-1] if 1 <= len(names) <= 2 else "foreground"
        low, high = values
        plain = (low, high) == (0, 1)
        if not plain:
            said.append(f"{low} is taken for background and {high} for the class")
        return MaskGuess("binary", (one,), values=None if plain else {low: 0, high: 1}, said=tuple(said))
    ignore = 255 if values[-1] == 255 and len(values) > 2 else None
    kept = [value for value in values if value != ignore]
    if ignore is not None:
        said.append("255 beside small numbers is taken for 'does not count' (task.ignore)")
    if kept == [0, 1]:
        return MaskGuess(
            "binary", (names[-1] if 1 <= len(names) <= 2 else "foreground",), ignore=ignore, said=tuple(said)
        )
    if max(kept) <= 253 and max(kept) < 3 * len(kept) + 3:  # ids that are nearly all there
        classes, remark = _class_names(max(kept) + 1, names)
        said.append(remark)
        colours = tuple(found.palette[value] for value in range(len(classes))) if _fits(found, len(classes)) else None
        return MaskGuess("multiclass", classes, ignore=ignore, colours=colours, said=tuple(said))
    classes, remark = _class_names(len(kept), names)
    said += [remark, "the values are no ids, so they are mapped in their order (data.train.values)"]
    mapped: dict[int, int | str] = {value: place for place, value in enumerate(kept)}
    return MaskGuess("multiclass", classes, values=mapped, ignore=ignore, said=tuple(said))


def _fits(found: Masks, count: int) -> bool:
    colours = [found.palette.get(value) for value in range(count)]
    return None not in colours and len(set(colours)) == count


def _class_names(count: int, names: Sequence[str]) -> tuple[tuple[str, ...], str]:
    if len(names) == count:
        return tuple(names), f"{count} class names were found in a list"
    if len(names) == count + 1:
        return tuple(names[:count]), f"{count} of {count + 1} listed class names are used; the last never occurs"
    less = "" if not names else f" (a list of {len(names)} names was found, which does not fit)"
    return tuple(f"class_{place}" for place in range(count)), f"the {count} classes have no names yet{less}"


def _soft(found: Masks, names: Sequence[str]) -> MaskGuess:
    """Guess masks of many grey values: 0 and 255 with shades between, or something else."""
    total = sum(found.values.values())
    ends = (found.values[0] + found.values[255]) / max(total, 1)
    said = [f"masks hold {len(found.values)} values"]
    if ends >= 1 - SOFT:
        said.append("nearly all pixels are 0 or 255: shades between are slips of resizing or JPEG; save them clean")
    else:
        said.append("that is too many for classes; check whether these are masks")
    one = names[-1] if 1 <= len(names) <= 2 else "foreground"
    return MaskGuess("binary", (one,), values={0: 0, 255: 1}, said=tuple(said))


def _by_colour(found: Masks, named: Mapping[tuple[int, int, int], str]) -> MaskGuess | None:
    total = sum(found.colours.values())
    kept = sorted(colour for colour, count in found.colours.items() if count >= total * 1e-6 or colour in named)
    if len(kept) > FEW * 2:
        return None
    said = [f"masks hold {len(found.colours)} colours ({found.read} read)"]
    if set(kept) == {(0, 0, 0), (255, 255, 255)}:
        said.append("black is taken for background and white for the class")
        palette = {"background": (0, 0, 0), "foreground": (255, 255, 255)}
        return MaskGuess("binary", ("foreground",), "rgb", palette=palette, said=tuple(said))
    if named:
        absent = [colour for colour in kept if colour not in named]
        kept = list(named)
        said.append(f"{len(named)} classes and colours were found in a list")
        if absent:
            said.append(f"colours without a class: {', '.join(str(list(colour)) for colour in absent[:6])}")
    classes = tuple(
        named.get(colour, "background" if colour == (0, 0, 0) else f"class_{place}")
        for place, colour in enumerate(kept)
    )
    if not named:
        said.append("the classes have no names yet; they stand in the order of their colours")
    return MaskGuess(
        "multiclass",
        classes,
        "rgb",
        colours=tuple(kept),
        palette=dict(zip(classes, kept, strict=True)),
        said=tuple(said),
    )
