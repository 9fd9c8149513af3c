"""What every term of a loss gets and gives: pixels after `ignore` was handled, and sums that add up over processes."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

from torch import Tensor
from torch.nn import functional

from maskwright.models.heads import Queries

SMALL = 1e-12
"""Smaller than any count or weight, so that a sum over nothing becomes 0 and not nan."""


@dataclass(frozen=True)
class Pixels:
    """A batch after `ignore` was handled: what is not valid has mask 0, label 0 and logits 0."""

    logits: Tensor
    """float32 (B, K, H, W)."""
    label: Tensor
    """int64 (B, H, W) of class ids for multiclass, else float32 (B, K, H, W) of 0 and 1."""
    mask: Tensor | None
    """float32 (B, H, W), 1 where valid; None where it is known that every pixel is."""
    soft: Tensor | None = None
    """float32 (B, K, H, W) of probabilities where the truth is given so, 0 where not valid; `label` is then the
    likeliest class, or planes at 0.5 and above."""
    queries: tuple[Queries, ...] = ()
    """What the queries of a mask transformer say, layer by layer; empty where the network has none, or predicts."""
    extent: tuple[int, int] | None = None
    """Height and width that images were padded to below and right, which masks of queries cover."""

    @property
    def reduction(self) -> str:
        """How torch's losses are asked for, so that `total` can finish the sum."""
        return "sum" if self.mask is None else "none"

    def total(self, loss: Tensor) -> Tensor:
        """Add a loss up over the valid pixels; it was made with `reduction`, as (B, H, W) or (B, K, H, W)."""
        return loss if self.mask is None else self.total_of(loss)

    def total_of(self, values: Tensor) -> Tensor:
        """Add (B, H, W) or (B, K, H, W) values up over the valid pixels."""
        if self.mask is None:
            return values.sum()
        return (values * (self.mask if values.ndim == 3 else self.mask.unsqueeze(1))).sum()

    def number(self) -> Tensor | float:
        """Return how many pixels are valid."""
        batch, _, height, width = self.logits.shape
        return float(batch * height * width) if self.mask is None else self.mask.sum()

    def truth(self) -> Tensor:
        """Return the truth as float32 (B, K, H, W) of 0 and 1, all 0 where not valid."""
        if self.label.ndim == self.logits.ndim:
            return self.hide(self.label)
        hot = functional.one_hot(self.label, self.logits.shape[1]).movedim(-1, 1)
        return self.hide(hot.to(self.logits.dtype))

    def belief(self) -> Tensor:
        """Return the truth as probabilities, float32 (B, K, H, W), all 0 where not valid."""
        return self.truth() if self.soft is None else self.soft

    def compared(self, classes: Sequence[int] | None, *, softmax: bool) -> tuple[Tensor, Tensor]:
        """Return answer and truth, each (B, K, H, W) or of some classes alone; the truth is 0 where not valid.

        Args:
            classes: planes that are meant; None: all.
            softmax: one class a pixel; else planes by sigmoid.
        """
        probability, truth = self.logits.softmax(1) if softmax else self.logits.sigmoid(), self.truth()
        if classes is None:
            return probability, truth
        return probability[:, list(classes)], truth[:, list(classes)]

    def hide(self, planes: Tensor) -> Tensor:
        """Put 0 where (B, K, H, W) planes are not valid."""
        return planes if self.mask is None else planes * self.mask.unsqueeze(1)


Sums = tuple[Tensor | float, ...]
"""What a term adds up: float32 scalars and (K,) vectors."""


class Term(Protocol):
    """A loss written as a function of sums, so that processes that share a batch can add theirs up.

    A term whose attribute `additive` is true gives two sums, (total, number), its value is their ratio, and the
    truth alone decides the number: then batches that are accumulated can share one number, that of all of them.
    """

    def sums(self, pixels: Pixels) -> Sums:
        """Return additive sums over the valid pixels."""

    def value(self, sums: Sums) -> Tensor:
        """Return the loss, a scalar, from the sums of the whole batch."""


def presence(logits: Tensor, pixels: Pixels) -> Pixels:
    """Return a batch of images of one pixel: whether each class has a valid pixel at all.

    Args:
        logits: float32 (B, K), of the presence of each plane.
        pixels: the windows; one without a valid pixel says nothing.
    """
    batch, planes = logits.shape
    if pixels.label.ndim == 3:
        number = pixels.label + 1 if pixels.mask is None else (pixels.label + 1) * (pixels.mask > 0)
        found = logits.new_zeros(batch, planes + 1).scatter_(1, number.flatten(1), 1.0)[:, 1:]
    else:
        found = pixels.truth().amax((2, 3))
    seen = None if pixels.mask is None else pixels.mask.amax((1, 2))[:, None, None]
    if seen is not None:
        logits = logits.masked_fill(seen[:, 0] == 0, 0.0)
    return Pixels(logits[:, :, None, None], found[:, :, None, None], seen)


def mean(total: Tensor | float, number: Tensor | float) -> Tensor:
    """Return total / number, and 0 where there is nothing to divide."""
    most = number.clamp_min(SMALL) if isinstance(number, Tensor) else max(number, SMALL)
    result = total / most
    assert isinstance(result, Tensor)
    return result
