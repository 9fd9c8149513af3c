"""What a head is asked about a batch: every pixel, what windows have, how large their pixels are."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn import functional

from maskwright.training.losses.terms import Pixels, Sums, mean, presence

NEAR = 0.1
"""A tenth of the size: nearer predictions of the logarithm are not pulled as hard."""
See = Callable[[Tensor, Pixels, Tensor | None], Pixels]
"""From a head's logits, the main head's pixels and (B,) log sizes, to what the head's terms compare."""


@dataclass(frozen=True)
class View:
    """A question that heads answer."""

    see: See
    logits: Callable[[Pixels], tuple[int, ...]]
    """From the main head's pixels to the shape of a head's logits."""


def pixelwise(logits: Tensor, main: Pixels, sizes: Tensor | None) -> Pixels:
    """Ask what the main head is asked."""
    del sizes
    return Pixels(_counted(logits, main), main.label, main.mask, main.soft)


def classes_there(logits: Tensor, main: Pixels, sizes: Tensor | None) -> Pixels:
    """Ask of each plane whether the window has it: (B, K) logits."""
    del sizes
    return presence(logits, main)


def anything(logits: Tensor, main: Pixels, sizes: Tensor | None) -> Pixels:
    """Ask of each pixel whether it is anything: (B, 1, H, W) logits; class 0 of a multiclass task is nothing."""
    del sizes
    soft = None
    if main.soft is not None:
        some = 1 - main.soft[:, :1] if main.label.ndim == 3 else main.soft.amax(1, keepdim=True)
        soft = main.hide(some)
    return Pixels(_counted(logits, main), _something(main), main.mask, soft)


def anything_there(logits: Tensor, main: Pixels, sizes: Tensor | None) -> Pixels:
    """Ask whether the window has anything: (B, 2) logits; one without valid pixels says nothing."""
    del sizes
    found = _something(main).amax((1, 2, 3)).long()
    seen = None if main.mask is None else main.mask.amax((1, 2))[:, None, None]
    if seen is not None:
        logits = logits.masked_fill(seen[:, 0] == 0, 0.0)
    return Pixels(logits[:, :, None, None], found[:, None, None], seen)


def log_size(logits: Tensor, main: Pixels, sizes: Tensor | None) -> Pixels:
    """Ask for the logarithm of the size of the window's pixels: (B, 1); nan where it is not known."""
    del main
    known = torch.full_like(logits[:, 0], torch.nan) if sizes is None else sizes.to(logits.dtype)
    seen = known.isfinite()
    logits = logits.masked_fill(~seen[:, None], 0.0)
    truth = torch.where(seen, known, torch.zeros_like(known))
    return Pixels(logits[:, :, None, None], truth[:, None, None, None], seen.to(logits.dtype)[:, None, None])


def _counted(logits: Tensor, main: Pixels) -> Tensor:
    """Put 0 where logits do not count."""
    return logits if main.mask is None else logits.masked_fill(main.mask.unsqueeze(1) == 0, 0.0)


def _something(main: Pixels) -> Tensor:
    """Return (B, 1, H, W) of 0 and 1, 0 where not valid."""
    if main.label.ndim == 3:
        return (main.label > 0).to(main.logits.dtype).unsqueeze(1)
    return main.hide(main.label).amax(1, keepdim=True)


@dataclass(frozen=True)
class Distance:
    """Mean distance of numbers from the truth, squared where it is smaller than NEAR (Huber 1964)."""

    additive = True

    def sums(self, pixels: Pixels) -> Sums:
        """Return (sum of distances, number of known ones)."""
        loss = functional.huber_loss(pixels.logits, pixels.label, reduction="none", delta=NEAR) / NEAR
        return pixels.total_of(loss), pixels.number()

    def value(self, sums: Sums) -> Tensor:
        """Return the mean; 0 if none is known."""
        return mean(*sums)


VIEWS: Mapping[str, View] = {
    "anything": View(anything, lambda main: (len(main.logits), 1, *main.logits.shape[2:])),
    "anything_there": View(anything_there, lambda main: (len(main.logits), 2)),
    "classes_there": View(classes_there, lambda main: (len(main.logits), main.logits.shape[1])),
    "log_size": View(log_size, lambda main: (len(main.logits), 1)),
    "pixels": View(pixelwise, lambda main: tuple(main.logits.shape)),
}
"""Name in an addend -> the question."""
