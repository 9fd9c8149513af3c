"""DeepLab as it began: a dilated network and one wide convolution (v1), or a sum of them at several dilations (v2)."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Annotated, Any

import torch
from pydantic import Field
from torch import Tensor, nn
from torch.nn import functional

from maskwright.core.recipe.base import Block
from maskwright.models.zoo.own import Segmenter

Rate = Annotated[int, Field(ge=1, le=64)]


class LargeFovOptions(Block):
    """Sizes of DeepLab v1's head."""

    channels: int = Field(default=1024, ge=1, le=8192)
    """Of its two hidden maps."""
    rate: Rate = 12
    """Dilation of its first convolution."""
    dropout: float = Field(default=0.5, ge=0, lt=1)
    """Share of hidden channels that is dropped in training."""


class AsppSumOptions(Block):
    """Sizes of DeepLab v2's head."""

    rates: tuple[Rate, ...] = Field(default=(6, 12, 18, 24), min_length=1, max_length=16)
    """Dilations of the convolutions that are added up."""
    scales: tuple[Annotated[float, Field(gt=0, le=4)], ...] = Field(default=(1.0,), min_length=1, max_length=8)
    """Sizes at which one and the same network sees each image, in training too; the largest logit of each class counts
    at each place. [0.5, 0.75, 1] as published."""


class LargeFov(nn.Module):
    """A dilated and a 1 x 1 convolution on the deepest map (Chen et al. 2015, arXiv:1412.7062, LargeFOV)."""

    def __init__(self, maps: Sequence[int], options: LargeFovOptions) -> None:
        super().__init__()
        self.out_channels = options.channels
        self.fc6 = nn.Conv2d(maps[-1], options.channels, 3, padding=options.rate, dilation=options.rate)
        self.fc7 = nn.Conv2d(options.channels, options.channels, 1)
        self.dropout = options.dropout

    def forward(self, maps: Sequence[Tensor]) -> Tensor:
        """Return the last hidden map."""
        x = maps[-1]
        for layer in (self.fc6, self.fc7):
            x = functional.dropout(functional.relu(layer(x)), self.dropout, self.training)
        return x


class Deepest(nn.Module):
    """Takes the deepest map as it is."""

    def forward(self, maps: Sequence[Tensor]) -> Tensor:
        """Return the last of the maps."""
        return maps[-1]


class AsppSum(nn.Module):
    """Convolutions at several dilations whose answers are added up (Chen et al. 2017, arXiv:1606.00915)."""

    def __init__(self, channels: int, planes: int, options: AsppSumOptions) -> None:
        super().__init__()
        self.convs = nn.ModuleList(
            nn.Conv2d(channels, planes, 3, padding=rate, dilation=rate) for rate in options.rates
        )
        for weight in self.convs.parameters():
            if weight.ndim == 4:
                nn.init.normal_(weight, std=0.01)

    def forward(self, x: Tensor) -> Tensor:
        """Return logits (B, K, h, w)."""
        return torch.stack([conv(x) for conv in self.convs]).sum(0)


class ScaleMax(Segmenter):
    """A network that sees an image at several sizes and takes the largest logits (arXiv:1606.00915, section 3.1).

    Args:
        encoder: gives maps, finest first.
        decoder: from those to one map.
        head: from that to logits of the same size.
        scales: of the image's sides.
    """

    def __init__(self, encoder: nn.Module, decoder: nn.Module, head: nn.Module, scales: Sequence[float]) -> None:
        super().__init__(encoder, decoder, head)
        self.scales = tuple(scales)

    def coarse(self, image: Tensor) -> Tensor:
        """Return the maximum over scales of logits, at the size of the largest scale's map."""
        height, width = image.shape[-2:]
        found = []
        for scale in sorted(self.scales, reverse=True):
            size = max(1, round(height * scale)), max(1, round(width * scale))
            seen = image if scale == 1 else functional.interpolate(image, size=size, mode="bilinear")
            found.append(super().coarse(seen))
        largest = (found[0].shape[-2], found[0].shape[-1])
        brought = [found[0], *(functional.interpolate(each, size=largest, mode="bilinear") for each in found[1:])]
        return torch.stack(brought).amax(0)


def make_deeplabv1(encoder: Any, options: LargeFovOptions, planes: int) -> nn.Module:
    """Join a dilated encoder and the head of v1."""
    decoder = LargeFov(encoder.out_channels, options)
    return Segmenter(encoder, decoder, nn.Conv2d(decoder.out_channels, planes, 1))


def make_deeplabv2(encoder: Any, options: AsppSumOptions, planes: int) -> nn.Module:
    """Join a dilated encoder and the head of v2."""
    head = AsppSum(encoder.out_channels[-1], planes, options)
    if options.scales == (1.0,):
        return Segmenter(encoder, Deepest(), head)
    return ScaleMax(encoder, Deepest(), head, options.scales)
