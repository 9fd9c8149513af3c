"""Object-contextual representations: every pixel is told what the regions it belongs to look like; made for HRNet."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from pydantic import Field
from torch import Tensor, nn
from torch.nn import functional

from maskwright.core.recipe.base import Block
from maskwright.models.heads import Outputs


class OcrOptions(Block):
    """Sizes of the head; the defaults are those of the paper on HRNet."""

    channels: int = Field(default=512, ge=8, le=4096)
    """Of pixels' and regions' representations."""
    keys: int = Field(default=256, ge=8, le=4096)
    """Of what pixels and regions are compared in."""
    dropout: float = Field(default=0.05, ge=0, lt=1)
    """Share of channels of the result that is dropped in training."""


class ConvNorm(nn.Sequential):
    """A convolution, batch norm and ReLU."""

    def __init__(self, old: int, new: int, side: int = 1) -> None:
        conv = nn.Conv2d(old, new, side, padding=side // 2, bias=False)
        super().__init__(conv, nn.BatchNorm2d(new), nn.ReLU(inplace=True))


class OcrDecoder(nn.Module):
    """From maps to pixels' representations with those of their regions (Yuan et al. 2020, arXiv:1909.11065).

    Args:
        maps: channels of the encoder's maps, finest first.
        options: sizes.
        planes: K.
    """

    def __init__(self, maps: Sequence[int], options: OcrOptions, planes: int) -> None:
        super().__init__()
        wide, channels, keys = sum(maps), options.channels, options.keys
        self.regions = nn.Sequential(ConvNorm(wide, wide), nn.Conv2d(wide, planes, 1))
        self.pixels = ConvNorm(wide, channels, 3)
        self.query = nn.Sequential(ConvNorm(channels, keys), ConvNorm(keys, keys))
        self.key = nn.Sequential(ConvNorm(channels, keys), ConvNorm(keys, keys))
        self.value = ConvNorm(channels, keys)
        self.up = ConvNorm(keys, channels)
        self.mix = nn.Sequential(ConvNorm(2 * channels, channels), nn.Dropout2d(options.dropout))

    def forward(self, maps: Sequence[Tensor]) -> tuple[Tensor, Tensor]:
        """Return representations (B, C, h, w) at the first map's size, and coarse logits (B, K, h, w) of regions."""
        size = maps[0].shape[-2:]
        x = torch.cat([maps[0], *(_enlarged(each, size) for each in maps[1:])], 1)
        logits = self.regions(x)
        pixels = self.pixels(x)
        regions = gather(pixels, logits)
        # as (B, positions, C); there are always two regions at least, so batch norm has something to average over
        query, key, value = (
            each.flatten(2).transpose(1, 2) for each in (self.query(pixels), self.key(regions), self.value(regions))
        )
        found = functional.scaled_dot_product_attention(query, key, value)
        context = self.up(found.transpose(1, 2).reshape(len(found), -1, *size))
        return self.mix(torch.cat([context, pixels], 1)), logits


def gather(pixels: Tensor, logits: Tensor) -> Tensor:
    """Return the mean representation of each region, weighed by how much each pixel belongs to it.

    Args:
        pixels: (B, C, h, w).
        logits: (B, K, h, w); one plane alone makes two regions, itself and what it is not.

    Returns:
        (B, C, K, 1), or (B, C, 2, 1).
    """
    planes = torch.cat([-logits, logits], 1) if logits.shape[1] == 1 else logits
    weights = planes.flatten(2).softmax(2)
    return torch.bmm(pixels.flatten(2), weights.transpose(1, 2)).unsqueeze(3)


class Ocr(nn.Module):
    """Encoder, decoder and head, with the coarse answer that regions come from."""

    head_names = ("regions",)
    """What it gives beside the main logits in training: (B, K, H, W) of regions."""

    def __init__(self, encoder: nn.Module, decoder: nn.Module, channels: int, planes: int) -> None:
        super().__init__()
        self.encoder, self.decoder = encoder, decoder
        self.segmentation_head = nn.Conv2d(channels, planes, 1)

    def outputs(self, image: Tensor) -> Outputs:
        """Return logits (B, K, H, W) of head and regions."""
        size = image.shape[-2:]
        found, regions = self.decoder(self.encoder(image))
        logits = _enlarged(self.segmentation_head(found), size)
        return Outputs(logits, {"regions": _enlarged(regions, size)})

    def forward(self, image: Tensor) -> Tensor:
        """Return logits (B, K, H, W)."""
        found, _ = self.decoder(self.encoder(image))
        return _enlarged(self.segmentation_head(found), image.shape[-2:])


def make_ocr(encoder: Any, options: OcrOptions, planes: int) -> nn.Module:
    """Join encoder, decoder and head."""
    return Ocr(encoder, OcrDecoder(encoder.out_channels, options, planes), options.channels, planes)


def _enlarged(x: Tensor, size: Sequence[int]) -> Tensor:
    return functional.interpolate(x, size=tuple(size), mode="bilinear", align_corners=False)
