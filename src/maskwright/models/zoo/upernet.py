"""UPerNet's head as mmsegmentation trains it (Xiao et al. 2018, arXiv:1807.10221)."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Annotated, Any

import torch
from pydantic import Field
from torch import Tensor, nn

from maskwright.core.recipe.base import Block
from maskwright.models.zoo.own import Segmenter, need_maps
from maskwright.models.zoo.parts import ConvNorm, head, resized


class UperOptions(Block):
    """What the head is made of."""

    channels: int = Field(default=512, ge=1)
    """Of all its maps."""
    pools: tuple[Annotated[int, Field(ge=1)], ...] = Field(default=(1, 2, 3, 6), min_length=1)
    """Sides that the deepest map is pooled to."""
    dropout: Annotated[float, Field(ge=0, lt=1)] = 0.1
    """Share of channels dropped before the last layer in training."""


class UperDecoder(nn.Module):
    """Pooled context on the deepest map, a pyramid downward, all maps fused at the finest size.

    Args:
        maps: channels of the encoder's maps, finest first.
        options: widths.
    """

    def __init__(self, maps: Sequence[int], options: UperOptions) -> None:
        super().__init__()
        wide = options.channels
        self.pools = nn.ModuleList(
            [nn.Sequential(nn.AdaptiveAvgPool2d(side), ConvNorm(maps[-1], wide, 1)) for side in options.pools]
        )
        self.bottleneck = ConvNorm(maps[-1] + len(options.pools) * wide, wide, 3)
        self.laterals = nn.ModuleList([ConvNorm(channels, wide, 1) for channels in maps[:-1]])
        self.smooths = nn.ModuleList([ConvNorm(wide, wide, 3) for _ in maps[:-1]])
        self.fuse = ConvNorm(len(maps) * wide, wide, 3)

    def forward(self, maps: Sequence[Tensor]) -> Tensor:
        """Return (B, channels, h, w) at the finest map's size."""
        deepest = maps[-1]
        pooled = [resized(pool(deepest), deepest) for pool in self.pools]
        levels = [lateral(each) for lateral, each in zip(self.laterals, maps[:-1], strict=True)]
        levels.append(self.bottleneck(torch.cat([deepest, *pooled], 1)))
        for place in range(len(levels) - 1, 0, -1):
            levels[place - 1] = levels[place - 1] + resized(levels[place], levels[place - 1])
        smoothed = [smooth(each) for smooth, each in zip(self.smooths, levels[:-1], strict=True)]
        whole = [smoothed[0], *(resized(each, smoothed[0]) for each in [*smoothed[1:], levels[-1]])]
        fused: Tensor = self.fuse(torch.cat(whole, 1))
        return fused


def make_upernet(encoder: Any, options: UperOptions, planes: int) -> nn.Module:
    """Join encoder and head.

    Raises:
        ValueError: the encoder has one map alone.
    """
    need_maps(encoder, 2)
    decoder = UperDecoder(encoder.out_channels, options)
    return Segmenter(encoder, decoder, head(options.channels, planes, options.dropout))


def stages(decoder: nn.Module) -> list[nn.Module]:
    """Return the maps of the pyramid that deep supervision can look at, finest first."""
    smooths: Any = decoder.smooths
    return [*list(smooths)[1:], decoder.bottleneck]
