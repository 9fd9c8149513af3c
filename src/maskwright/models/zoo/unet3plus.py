"""UNet3+ of SEEDS 003: every map of its decoder looks at all maps of the encoder and at all deeper ones of its own."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional

from maskwright.core.recipe.base import Block
from maskwright.models.zoo.own import Segmenter, need_maps
from maskwright.models.zoo.plain import ConvNorm, Width


class Unet3PlusOptions(Block):
    """Sizes of UNet3+'s decoder."""

    channels: Width | None = None
    """Of what each map gives to each other; null: as many as the encoder's finest map has."""


class Node(nn.Module):
    """One map of the decoder: what all others say, brought to its size, then mixed."""

    def __init__(self, sources: Sequence[int], channels: int) -> None:
        super().__init__()
        self.sources = nn.ModuleList(ConvNorm(given, channels) for given in sources)
        mixed = len(sources) * channels
        self.fuse = ConvNorm(mixed, mixed)

    def forward(self, maps: Sequence[Tensor], size: tuple[int, int]) -> Tensor:
        """Return (B, len(maps) x channels, *size)."""
        heard = [source(_sized(each, size)) for source, each in zip(self.sources, maps, strict=True)]
        found: Tensor = self.fuse(torch.cat(heard, 1))
        return found


class Unet3PlusDecoder(nn.Module):
    """Full-scale skip connections (Huang et al. 2020, arXiv:2004.08790).

    Args:
        maps: channels of the encoder's maps, finest first; at least two.
        channels: what each map gives to each other.
    """

    def __init__(self, maps: Sequence[int], channels: int) -> None:
        super().__init__()
        count = len(maps)
        self.out_channels = count * channels
        self.nodes = nn.ModuleList(
            Node([*maps[: place + 1], *[self.out_channels] * (count - place - 2), maps[-1]], channels)
            for place in range(count - 1)
        )

    def forward(self, maps: Sequence[Tensor]) -> Tensor:
        """Return the finest map; maps have sides that halve exactly."""
        made = [maps[-1]]
        for place in reversed(range(len(maps) - 1)):
            size = (maps[place].shape[-2], maps[place].shape[-1])
            made.insert(0, self.nodes[place]([*maps[: place + 1], *made], size))
        return made[0]


def _sized(each: Tensor, size: tuple[int, int]) -> Tensor:
    """Pool a finer map's maxima, or interpolate a coarser map."""
    height, width = each.shape[-2:]
    if (height, width) == size:
        return each
    if height > size[0]:
        return functional.max_pool2d(each, height // size[0], ceil_mode=True)
    return functional.interpolate(each, size=size, mode="bilinear", align_corners=False)


def make_unet3plus(encoder: Any, options: Unet3PlusOptions, planes: int) -> nn.Module:
    """Join encoder, decoder and head.

    Raises:
        ValueError: the encoder has one map alone.
    """
    need_maps(encoder, 2)
    decoder = Unet3PlusDecoder(encoder.out_channels, options.channels or encoder.out_channels[0])
    return Segmenter(encoder, decoder, nn.Conv2d(decoder.out_channels, planes, 3, padding=1))


def multiple(encoder: Any, options: Unet3PlusOptions) -> int:
    """Return what sides must divide by for maps to halve exactly: 16 for five levels, as in the original."""
    del options
    return int(max(encoder.strides))


def stages(decoder: nn.Module) -> list[nn.Module]:
    """Return the decoder's maps that deep supervision can look at: all but the finest."""
    nodes = decoder.nodes
    assert isinstance(nodes, nn.ModuleList)
    return list(nodes)[1:]
