"""Small parts that several of our networks share."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional


class ConvNorm(nn.Module):
    """A convolution that keeps the size, batch norm, ReLU.

    Args:
        before: channels in.
        channels: channels out.
        kernel: side, odd.
    """

    def __init__(self, before: int, channels: int, kernel: int) -> None:
        super().__init__()
        self.conv = nn.Conv2d(before, channels, kernel, padding=kernel // 2, bias=False)
        self.bn = nn.BatchNorm2d(channels)

    def forward(self, maps: Tensor) -> Tensor:
        """Return (B, channels, h, w)."""
        return functional.relu(self.bn(self.conv(maps)))


def head(channels: int, planes: int, dropout: float) -> nn.Sequential:
    """Return what makes logits of a map: dropout of whole channels and a 1 x 1 convolution."""
    layer = nn.Conv2d(channels, planes, 1)
    nn.init.normal_(layer.weight, std=0.01)
    assert layer.bias is not None
    nn.init.zeros_(layer.bias)
    return nn.Sequential(nn.Dropout2d(dropout), layer)


def mish(x: Tensor, training: bool) -> Tensor:
    """Return Mish of x; outside of training bit for bit as SEEDS 004 wrote it out."""
    return functional.mish(x) if training else x * torch.tanh(functional.softplus(x))


def swish(x: Tensor, training: bool) -> Tensor:
    """Return Swish of x; outside of training bit for bit as efficientnet-pytorch writes it out."""
    return functional.silu(x) if training else x * torch.sigmoid(x)


def resized(maps: Tensor, like: Tensor) -> Tensor:
    """Return maps brought bilinearly (corners not aligned) to the size of others."""
    size = (like.shape[-2], like.shape[-1])
    return functional.interpolate(maps, size=size, mode="bilinear", align_corners=False)
