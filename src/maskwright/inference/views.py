"""An image at several sizes: what a network is shown of it, and how answers come back and become one."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from torch import Tensor
from torch.nn import functional

from maskwright.core.grid import Shape
from maskwright.core.recipe.predicting import Predict

SLACK = 1e-4
"""By how much a sum of votes may miss its number: weights of an enlargement add up to 1 but for a rounding."""


@dataclass(frozen=True)
class Views:
    """Sizes at which an image is answered; none: its own."""

    scales: tuple[float, ...] = ()
    """Of both sides."""
    sizes: tuple[Shape, ...] = ()
    """(height, width), whatever the image's is."""
    votes: float | None = None
    """Labels are added up and must reach this; None: probabilities are averaged."""
    models: float | None = None
    """Share of models whose labels must say so; None: their probabilities are averaged."""

    @classmethod
    def of(cls, predict: Predict) -> Views:
        """Return what a recipe asks for."""
        return cls(predict.scales, predict.size_shapes, predict.votes, predict.model_votes)

    def shapes(self, shape: Shape) -> list[Shape]:
        """Return what an image of a shape is brought to, one after another; sides are rounded, and at least 1."""
        scaled = [(max(1, round(shape[0] * scale)), max(1, round(shape[1] * scale))) for scale in self.scales]
        return [*scaled, *self.sizes] or [shape]

    def answer(self, batch: Tensor, ask: Callable[[Tensor], Tensor]) -> Tensor:
        """Return one answer to a batch of images, (B, K, H, W).

        Images and probabilities are brought to sizes bilinearly, without smoothing, as the five teams did. With votes
        each view's label is taken above one half (ties do not count), enlarged as numbers, and summed (SEEDS 000.6).

        Args:
            batch: float (B, C, H, W).
            ask: from images (B, C, h, w) to probabilities (B, K, h, w).
        """
        shape: Shape = (batch.shape[-2], batch.shape[-1])
        shapes = self.shapes(shape)
        total: Tensor | None = None
        for view in shapes:
            found = ask(_brought(batch, view))
            found = found if self.votes is None else (found > 0.5).to(found.dtype)
            found = _brought(found, shape)
            total = found if total is None else total.add_(found)
        assert total is not None
        if self.votes is not None:
            return (total >= self.votes - SLACK).to(total.dtype)
        return total / len(shapes) if len(shapes) > 1 else total


AS_THEY_ARE = Views()
"""Every image at its own size."""


def _brought(image: Tensor, shape: Shape) -> Tensor:
    """Return (B, C, H, W) at another size; the same tensor where it has that size."""
    if (image.shape[-2], image.shape[-1]) == shape:
        return image
    return functional.interpolate(image, size=shape, mode="bilinear", align_corners=False)
