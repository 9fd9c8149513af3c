"""Run lengths in text, 2048 x 2048: ours beside the notebook numpy that everybody copies and pycocotools.

Floors: of encoding one read pass over the mask (numpy count_nonzero), of decoding one memset of it.
pycocotools only knows column order, so in row order it is given the transposed view, which costs nothing.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from pycocotools import mask as coco

from bench.common import Row, contest, row
from maskwright.core.rle import decode, encode

SIDE = 2048
Mask = NDArray[np.uint8]


def blobs(side: int, sigma: float, seed: int) -> Mask:
    """Smooth random shapes that cover half of a square: normal noise, low-passed in Fourier space."""
    noise = np.random.default_rng(seed).standard_normal((side, side))
    rows, cols = np.fft.fftfreq(side)[:, None], np.fft.rfftfreq(side)[None]
    kept = np.exp(-2 * (np.pi * sigma) ** 2 * (rows**2 + cols**2))
    return (np.fft.irfft2(np.fft.rfft2(noise) * kept, s=(side, side)) > 0).astype(np.uint8)


def notebook_encode(mask: Mask, order: str) -> str:
    pixels = mask.flatten() if order == "row" else mask.T.flatten()
    pixels = np.concatenate([[0], pixels, [0]])
    runs = np.where(pixels[1:] != pixels[:-1])[0] + 1
    runs[1::2] -= runs[::2]
    return " ".join(str(x) for x in runs)


def notebook_decode(text: str, shape: tuple[int, int], order: str) -> Mask:
    numbers = text.split()
    starts, lengths = (np.asarray(part, dtype=int) for part in (numbers[::2], numbers[1::2]))
    starts -= 1
    flat = np.zeros(shape[0] * shape[1], dtype=np.uint8)
    for low, high in zip(starts, starts + lengths, strict=True):
        flat[low:high] = 1
    return flat.reshape(shape) if order == "row" else flat.reshape(shape[::-1]).T


def coco_encode(mask: Mask, order: str) -> str:
    """Encode, unpack COCO's six-bit counts with numpy, and write them as text."""
    packed = coco.encode(mask.T if order == "row" else np.asfortranarray(mask))["counts"]
    parts = np.frombuffer(packed, np.uint8).astype(np.int64) - 48
    last = (parts & 0x20) == 0
    first = np.concatenate([[True], last[:-1]])
    begin = np.flatnonzero(first)
    place = np.arange(parts.size) - np.repeat(begin, np.diff(np.append(begin, parts.size)))
    counts = np.add.reduceat((parts & 0x1F) << (5 * place), begin)
    negative = (parts[last] & 0x10) != 0
    counts -= np.where(negative, np.int64(1) << (5 * (place[last] + 1)), 0)
    counts[1::2] = np.cumsum(counts[1::2])
    counts[2::2] = np.cumsum(counts[2::2])
    ends = np.cumsum(counts)
    runs = np.stack([ends[:-1:2] + 1, counts[1::2]], axis=1).ravel()
    return " ".join(map(str, runs.tolist()))


def coco_decode(text: str, shape: tuple[int, int], order: str) -> Mask:
    runs = np.array(text.split(), dtype=np.int64).reshape(-1, 2)
    ends = runs.sum(axis=1) - 1
    gaps = runs[:, 0] - 1 - np.concatenate([[0], ends[:-1]])
    counts = [*np.stack([gaps, runs[:, 1]], axis=1).ravel().tolist(), shape[0] * shape[1] - int(ends[-1])]
    size = list(shape[::-1] if order == "row" else shape)
    mask = coco.decode(coco.frPyObjects({"size": size, "counts": counts}, *size))
    return mask.T if order == "row" else mask


def rows() -> list[Row]:
    """Measure encoding and decoding in both orders."""
    mask = blobs(SIDE, 32, seed=0)
    flags, target = mask.view(np.bool_), np.empty_like(mask)
    found = []
    for order, goals in (("row", (6.5, 7.0)), ("column", (None, None))):
        text = encode(mask, order)
        assert text == notebook_encode(mask, order) == coco_encode(mask, order)
        for read in (decode(text, mask.shape, order, 1), coco_decode(text, mask.shape, order)):
            assert (read == mask).all()
        note = f"{text.count(' ') // 2 + 1} runs"
        times = contest(
            {
                "ours": lambda order=order: encode(mask, order),
                "floor": lambda: np.count_nonzero(flags),
                "notebook numpy": lambda order=order: notebook_encode(mask, order),
                "pycocotools + text": lambda order=order: coco_encode(mask, order),
            }
        )
        found.append(row(f"RLE encode, {order} order", times, target=goals[0], note=note))
        times = contest(
            {
                "ours": lambda text=text, order=order: decode(text, mask.shape, order, 1),
                "floor": lambda: target.fill(1),
                "notebook numpy": lambda text=text, order=order: notebook_decode(text, mask.shape, order),
                "pycocotools + text": lambda text=text, order=order: coco_decode(text, mask.shape, order),
            }
        )
        found.append(row(f"RLE decode, {order} order", times, target=goals[1], note=note))
    return found
