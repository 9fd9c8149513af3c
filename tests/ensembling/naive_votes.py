"""Votes as anybody would write them, pixel by pixel in fractions, and submission files in many hands."""

from __future__ import annotations

import csv
import random
from collections.abc import Mapping, Sequence
from fractions import Fraction
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

Mask = NDArray[np.uint8]
HEADERS = {
    "dacon": ("img_id", "mask_rle"),
    "kaggle": ("ImageId", "EncodedPixels"),
    "hand-bone": ("image_name", "class", "rle"),
    "rle": ("x", "y"),
}
EMPTY = {"dacon": "-1", "kaggle": "", "hand-bone": "", "rle": ""}


def runs_of(mask: Mask, format: str) -> list[tuple[int, int]]:
    """Start, from 1, and length of each run of a mask."""
    flat = (mask.T if format == "kaggle" else mask).reshape(-1).tolist()
    found, begin = [], None
    for place, value in enumerate([*flat, 0]):
        if value and begin is None:
            begin = place
        elif not value and begin is not None:
            found.append((begin + 1, place - begin))
            begin = None
    return found


def text_of(mask: Mask, format: str) -> str:
    return " ".join(f"{start} {length}" for start, length in runs_of(mask, format)) or EMPTY[format]


def odd_text_of(mask: Mask, format: str, chance: random.Random) -> str:
    """The same mask as other programs might write it: cut runs, any order, white space, either empty text."""
    runs = []
    for start, length in runs_of(mask, format):
        cut = chance.randrange(length) if chance.random() < 0.3 else 0
        runs += [(start, cut), (start + cut, length - cut)] if cut else [(start, length)]
    if chance.random() < 0.3:
        chance.shuffle(runs)
    if not runs:
        return chance.choice(["", "-1", " "])
    space = chance.choice([" ", "  ", " \t"])
    return chance.choice(["", " "]) + space.join(f"{a}{space}{b}" for a, b in runs) + chance.choice(["", " "])


def write(path: Path, header: Sequence[str], rows: Mapping[tuple[str, ...], str], chance: random.Random) -> Path:
    """Write rows in any order, with any line ends and quotation marks."""
    ids = list(rows)
    if chance.random() < 0.6:
        chance.shuffle(ids)
    quoting = chance.choice([csv.QUOTE_MINIMAL, csv.QUOTE_ALL])
    with path.open("w", encoding=chance.choice(["utf-8", "utf-8-sig"]), newline="") as stream:
        writer = csv.writer(stream, lineterminator=chance.choice(["\n", "\r\n"]), quoting=quoting)
        writer.writerow(header)
        for key in ids:
            writer.writerow([*key, rows[key]])
    if chance.random() < 0.3:
        path.write_bytes(path.read_bytes().rstrip(b"\r\n"))
    return path


def weighted(masks: Sequence[Mask], weights: Sequence[Fraction], threshold: float) -> Mask:
    """Each pixel: the weights of those that set it, over all weights, reach the threshold."""
    out, total = np.zeros_like(masks[0]), sum(weights)
    known: dict[tuple[int, ...], bool] = {}
    for place in np.ndindex(out.shape):
        votes = tuple(int(mask[place]) for mask in masks)
        if votes not in known:
            said = sum((weight for vote, weight in zip(votes, weights, strict=True) if vote), Fraction(0))
            known[votes] = float(said / total) >= threshold
        out[place] = known[votes]
    return out


def counted(masks: Sequence[Mask], least: int) -> Mask:
    return (np.sum([mask.astype(int) for mask in masks], axis=0) >= least).astype(np.uint8)


def heaviest(maps: Sequence[Mask], weights: Sequence[Fraction]) -> Mask:
    """Each pixel: a dictionary of class and weight; the largest weight, then the lowest class."""
    out = np.zeros_like(maps[0])
    for place in np.ndindex(out.shape):
        sums: dict[int, Fraction] = {}
        for one, weight in zip(maps, weights, strict=True):
            sums[int(one[place])] = sums.get(int(one[place]), Fraction(0)) + weight
        out[place] = min(sums, key=lambda kind: (-sums[kind], kind))
    return out
