"""SegFormer's head in its two published ways: with a norm on each map (mmsegmentation), and without (its authors)."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Annotated, Any

import torch
from pydantic import Field
from torch import Tensor, nn

from maskwright.core.recipe.base import Block
from maskwright.models.zoo.own import Segmenter, need_maps
from maskwright.models.zoo.parts import ConvNorm, head, resized


class SegformerOptions(Block):
    """What the head is made of."""

    channels: int = Field(default=256, ge=1)
    """Of all its maps (256 for B0 to B5 in mmsegmentation)."""
    dropout: Annotated[float, Field(ge=0, lt=1)] = 0.1
    """Share of channels dropped before the last layer in training."""


class SegformerDecoder(nn.Module):
    """A 1 x 1 convolution on each map, all brought to the finest size and fused by another one.

    Args:
        maps: channels of the encoder's maps, finest first.
        options: widths.
    """

    def __init__(self, maps: Sequence[int], options: SegformerOptions) -> None:
        super().__init__()
        self.levels = nn.ModuleList([ConvNorm(channels, options.channels, 1) for channels in maps])
        self.fuse = ConvNorm(len(maps) * options.channels, options.channels, 1)

    def forward(self, maps: Sequence[Tensor]) -> Tensor:
        """Return (B, channels, h, w) at the finest map's size."""
        levels = [level(each) for level, each in zip(self.levels, maps, strict=True)]
        fused: Tensor = self.fuse(torch.cat([resized(each, levels[0]) for each in levels], 1))
        return fused


class PlainDecoder(nn.Module):
    """A linear layer on each map, all brought to the finest size, the coarsest first, and fused with a norm.

    Args:
        maps: channels of the encoder's maps, finest first.
        options: widths.
    """

    def __init__(self, maps: Sequence[int], options: SegformerOptions) -> None:
        super().__init__()
        self.levels = nn.ModuleList([nn.Conv2d(channels, options.channels, 1) for channels in maps])
        self.fuse = ConvNorm(len(maps) * options.channels, options.channels, 1)

    def forward(self, maps: Sequence[Tensor]) -> Tensor:
        """Return (B, channels, h, w) at the finest map's size."""
        levels = [level(each) for level, each in zip(self.levels, maps, strict=True)]
        fused: Tensor = self.fuse(torch.cat([resized(each, levels[0]) for each in reversed(levels)], 1))
        return fused


def make_plain(encoder: Any, options: SegformerOptions, planes: int) -> nn.Module:
    """Join encoder and the authors' head, which transformers carries.

    Raises:
        ValueError: the encoder has one map alone.
    """
    need_maps(encoder, 2)
    decoder = PlainDecoder(encoder.out_channels, options)
    return Segmenter(encoder, decoder, head(options.channels, planes, options.dropout))


def make_segformer(encoder: Any, options: SegformerOptions, planes: int) -> nn.Module:
    """Join encoder and head.

    Raises:
        ValueError: the encoder has one map alone.
    """
    need_maps(encoder, 2)
    decoder = SegformerDecoder(encoder.out_channels, options)
    return Segmenter(encoder, decoder, head(options.channels, planes, options.dropout))


def stages(decoder: nn.Module) -> list[nn.Module]:
    """Return the levels that deep supervision can look at, but for the finest."""
    levels: Any = decoder.levels
    return list(levels)[1:]
