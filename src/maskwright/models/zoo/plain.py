"""The encoder of the first U-Net with batch norm: two convolutions at each level, the finest at the image's size."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field
from torch import Tensor, nn
from torch.nn import functional

from maskwright.core.recipe.base import Block

Width = Annotated[int, Field(ge=1, le=8192)]


class PlainOptions(Block):
    """Sizes of the encoder `plain`: two convolutions at each level, as in the first U-Net."""

    widths: tuple[Width, ...] = Field(default=(64, 128, 256, 512, 1024), min_length=2, max_length=7)
    """Channels of each level, from the image's own size; each next level has half the sides."""


class Plain(nn.Module):
    """The encoder of the first U-Net with batch norm; its finest map has the image's size.

    Args:
        options: sizes.
        bands: C of the image.
    """

    def __init__(self, options: PlainOptions, bands: int) -> None:
        super().__init__()
        self.out_channels = options.widths
        self.strides = tuple(2**level for level in range(len(options.widths)))
        before = (bands, *options.widths[:-1])
        self.levels = nn.ModuleList(
            nn.Sequential(ConvNorm(old, new), ConvNorm(new, new))
            for old, new in zip(before, options.widths, strict=True)
        )

    def forward(self, image: Tensor) -> list[Tensor]:
        """Return the maps of all levels, finest first."""
        found: list[Tensor] = []
        for level in self.levels:
            found.append(level(functional.max_pool2d(found[-1], 2) if found else image))
        return found


class ConvNorm(nn.Module):
    """A 3 x 3 convolution, batch norm, ReLU."""

    def __init__(self, old: int, new: int) -> None:
        super().__init__()
        self.conv = nn.Conv2d(old, new, 3, padding=1)
        self.norm = nn.BatchNorm2d(new)
        nn.init.kaiming_normal_(self.conv.weight)

    def forward(self, x: Tensor) -> Tensor:
        """Return a map of the same size."""
        return functional.relu(self.norm(self.conv(x)), inplace=True)
