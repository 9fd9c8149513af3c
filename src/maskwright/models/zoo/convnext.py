"""ConvNeXt (Liu et al. 2022, arXiv:2201.03545) with a norm on each map, as detectors use it."""

from __future__ import annotations

from typing import Annotated

import torch
from pydantic import Field
from timm.layers import DropPath
from torch import Tensor, nn

from maskwright.core.recipe.base import Block
from maskwright.models.zoo.swin import Four, Mlp

EPS = 1e-6
"""Of its norms, as published."""


class ConvNextOptions(Block):
    """What a ConvNeXt encoder is made of."""

    dims: Four = (96, 192, 384, 768)
    """Channels of each map."""
    depths: Four = (3, 3, 9, 3)
    """Blocks in each stage."""
    drop_path: Annotated[float, Field(ge=0, lt=1)] = 0.4
    """Share of skipped blocks in training, at the last; it rises from 0 at the first."""
    scale: float = Field(default=1e-6, gt=0)
    """What layer scales begin at."""


class ChannelNorm(nn.LayerNorm):
    """A layer norm over the channels of (B, C, h, w)."""

    def __init__(self, channels: int) -> None:
        super().__init__(channels, eps=EPS)

    def forward(self, maps: Tensor) -> Tensor:
        """Return maps of the same shape."""
        return super().forward(maps.permute(0, 2, 3, 1)).permute(0, 3, 1, 2)


class ConvNext(nn.Module):
    """Maps at strides 4, 8, 16, 32, each normed; sizes that do not divide are cut off below and right.

    Args:
        options: depths and widths.
        bands: C of the image.
    """

    def __init__(self, options: ConvNextOptions, bands: int) -> None:
        super().__init__()
        self.out_channels = options.dims
        self.strides = (4, 8, 16, 32)
        self.stem = nn.Sequential(nn.Conv2d(bands, options.dims[0], 4, 4), ChannelNorm(options.dims[0]))
        total = sum(options.depths)
        rates = iter([options.drop_path * index / max(total - 1, 1) for index in range(total)])
        stages: list[Stage] = []
        before = options.dims[0]
        for stage, (channels, depth) in enumerate(zip(options.dims, options.depths, strict=True)):
            drops = [next(rates) for _ in range(depth)]
            stages.append(Stage(before if stage else None, channels, drops, options.scale))
            before = channels
        self.stages = nn.ModuleList(stages)
        self.norms = nn.ModuleList([ChannelNorm(channels) for channels in options.dims])
        self.apply(_begin)

    def forward(self, image: Tensor) -> list[Tensor]:
        """Return normed maps (B, C, h, w) of an image (B, bands, H, W), finest first."""
        maps = self.stem(image)
        found = []
        for stage, norm in zip(self.stages, self.norms, strict=True):
            maps = stage(maps)
            found.append(norm(maps))
        return found


class Stage(nn.Module):
    """A step down, but for the first stage, and blocks."""

    def __init__(self, before: int | None, channels: int, drops: list[float], scale: float) -> None:
        super().__init__()
        self.downsample = nn.Sequential()
        if before is not None:
            self.downsample = nn.Sequential(ChannelNorm(before), nn.Conv2d(before, channels, 2, 2))
        self.blocks = nn.ModuleList([ConvNextBlock(channels, drop, scale) for drop in drops])

    def forward(self, maps: Tensor) -> Tensor:
        """Return maps after all blocks."""
        maps = self.downsample(maps)
        for block in self.blocks:
            maps = block(maps)
        return maps


class ConvNextBlock(nn.Module):
    """A 7 x 7 convolution of each channel, a norm, an MLP and a learned scale, with a way past them."""

    def __init__(self, channels: int, drop: float, scale: float) -> None:
        super().__init__()
        self.conv_dw = nn.Conv2d(channels, channels, 7, padding=3, groups=channels)
        self.norm = nn.LayerNorm(channels, eps=EPS)
        self.mlp = Mlp(channels, 4 * channels)
        self.gamma = nn.Parameter(torch.full((channels,), scale))
        self.drop_path = DropPath(drop)

    def forward(self, maps: Tensor) -> Tensor:
        """Return maps of the same shape."""
        answer = self.gamma * self.mlp(self.norm(self.conv_dw(maps).permute(0, 2, 3, 1)))
        result: Tensor = maps + self.drop_path(answer.permute(0, 3, 1, 2))
        return result


def _begin(module: nn.Module) -> None:
    if isinstance(module, nn.Conv2d | nn.Linear):
        nn.init.trunc_normal_(module.weight, std=0.02)
        if module.bias is not None:
            nn.init.zeros_(module.bias)
