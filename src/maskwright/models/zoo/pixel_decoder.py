"""Mask2Former's pixel decoder: deformable attention over three coarse maps, then finer ones in the way of an FPN."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import NamedTuple

import torch
from torch import Tensor, nn
from torch.nn import functional

from maskwright.models.zoo.parts import resized

LEVELS = 3
"""Maps that attention goes over, the coarsest ones."""
GROUPS = 32
"""Of its group norms."""
TEMPERATURE = 10_000.0
"""Longest wave of a position code."""

Sizes = list[tuple[int, int]]


def positions(height: int, width: int, channels: int, like: Tensor) -> Tensor:
    """Return (height * width, channels): waves of a position's place, rows first (Carion et al. 2020, DETR).

    Args:
        height: rows of the map.
        width: columns.
        channels: even; half say the row, half the column.
        like: whose device and type the result has.
    """
    half = channels // 2
    place = torch.arange(half, device=like.device, dtype=torch.float32)
    waves = TEMPERATURE ** (2 * (place // 2) / half)

    def code(length: int) -> Tensor:
        steps = torch.arange(1, length + 1, device=like.device, dtype=torch.float32)
        angles = (steps / (length + 1e-6) * (2 * math.pi))[:, None] / waves
        return torch.stack([angles[:, 0::2].sin(), angles[:, 1::2].cos()], 2).flatten(1)

    rows = code(height)[:, None].expand(-1, width, -1)
    columns = code(width)[None].expand(height, -1, -1)
    return torch.cat([rows, columns], 2).reshape(height * width, channels).to(like.dtype)


class DeformableAttention(nn.Module):
    """Each position looks at a few learned places on each map (Zhu et al. 2021, arXiv:2010.04159).

    Args:
        channels: of tokens.
        heads: that they are split in.
        points: places that a head looks at on each map.
    """

    def __init__(self, channels: int, heads: int, points: int) -> None:
        super().__init__()
        self.heads, self.points = heads, points
        self.offsets = nn.Linear(channels, heads * LEVELS * points * 2)
        self.weights = nn.Linear(channels, heads * LEVELS * points)
        self.value = nn.Linear(channels, channels)
        self.out = nn.Linear(channels, channels)
        self._begin()

    @torch.no_grad()
    def _begin(self) -> None:
        """Let heads look in different directions, each point one step further, all weighed alike, as published."""
        nn.init.zeros_(self.offsets.weight)
        angles = torch.arange(self.heads, dtype=torch.float32) * (2 * math.pi / self.heads)
        ways = torch.stack([angles.cos(), angles.sin()], 1)
        ways = ways / ways.abs().amax(1, keepdim=True)
        steps = torch.arange(1, self.points + 1, dtype=torch.float32)
        looks = ways[:, None, None] * steps[None, None, :, None].expand(-1, LEVELS, -1, -1)
        self.offsets.bias.copy_(looks.expand(self.heads, LEVELS, self.points, 2).reshape(-1))
        nn.init.zeros_(self.weights.weight)
        nn.init.zeros_(self.weights.bias)
        for layer in (self.value, self.out):
            nn.init.xavier_uniform_(layer.weight)
            nn.init.zeros_(layer.bias)

    def forward(self, tokens: Tensor, placed: Tensor, sizes: Sizes, centres: Tensor) -> Tensor:
        """Return (B, S, C).

        Args:
            tokens: (B, S, C), what is looked at.
            placed: the same with positions added, who looks.
            sizes: height and width of each map, S is the sum of their positions.
            centres: (S, 2), x and y of each position in its map, from 0 to 1.
        """
        batch, count, channels = tokens.shape
        values = self.value(tokens).view(batch, count, self.heads, channels // self.heads)
        offsets = self.offsets(placed).view(batch, count, self.heads, LEVELS, self.points, 2)
        weights = self.weights(placed).view(batch, count, self.heads, LEVELS * self.points).softmax(-1)
        found = []
        parts = torch.split(values, [height * width for height, width in sizes], 1)
        for level, (part, (height, width)) in enumerate(zip(parts, sizes, strict=True)):
            maps = part.permute(0, 2, 3, 1).reshape(batch * self.heads, -1, height, width)
            scale = offsets.new_tensor([width, height])
            grid = 2 * (centres[None, :, None, None] + offsets[:, :, :, level] / scale) - 1
            grid = grid.transpose(1, 2).reshape(batch * self.heads, count, self.points, 2)
            found.append(_sampled(maps, grid))
        seen = torch.cat(found, 3)  # (B * heads, C / heads, S, levels * points)
        weights = weights.transpose(1, 2).reshape(batch * self.heads, 1, count, -1)
        answer = (seen * weights).sum(-1).view(batch, channels, count).transpose(1, 2)
        result: Tensor = self.out(answer)
        return result


class PixelLayer(nn.Module):
    """Deformable attention and an MLP, each with a way past it and a norm behind."""

    def __init__(self, channels: int, heads: int, points: int, hidden: int) -> None:
        super().__init__()
        self.attn = DeformableAttention(channels, heads, points)
        self.norm1 = nn.LayerNorm(channels)
        self.fc1 = nn.Linear(channels, hidden)
        self.fc2 = nn.Linear(hidden, channels)
        self.norm2 = nn.LayerNorm(channels)

    def forward(self, tokens: Tensor, places: Tensor, sizes: Sizes, centres: Tensor) -> Tensor:
        """Return (B, S, C) of the same shape."""
        tokens = self.norm1(tokens + self.attn(tokens, tokens + places, sizes, centres))
        result: Tensor = self.norm2(tokens + self.fc2(functional.relu(self.fc1(tokens))))
        return result


class Layers(NamedTuple):
    """The layers of attention of a pixel decoder."""

    depth: int
    heads: int
    points: int
    """Places that a head looks at on each map."""
    hidden: int
    """Units of their MLPs."""


class PixelDecoder(nn.Module):
    """From an encoder's maps to features of each pixel, and three maps that queries look at.

    Args:
        maps: channels of the encoder's maps, finest first, LEVELS + 1 or more.
        channels: of the three maps.
        features: channels of the features of each pixel.
        layers: of attention.
    """

    def __init__(self, maps: Sequence[int], channels: int, features: int, layers: Layers) -> None:
        super().__init__()
        coarse, fine = list(maps[: -LEVELS - 1 : -1]), list(maps[:-LEVELS][::-1])
        self.inputs = nn.ModuleList(
            [nn.Sequential(nn.Conv2d(wide, channels, 1), nn.GroupNorm(GROUPS, channels)) for wide in coarse]
        )
        self.levels = nn.Parameter(torch.randn(LEVELS, channels))
        depth, heads, points, hidden = layers
        self.layers = nn.ModuleList([PixelLayer(channels, heads, points, hidden) for _ in range(depth)])
        self.laterals = nn.ModuleList(
            [nn.Sequential(nn.Conv2d(wide, channels, 1, bias=False), nn.GroupNorm(GROUPS, channels)) for wide in fine]
        )
        self.smooths = nn.ModuleList(
            [
                nn.Sequential(
                    nn.Conv2d(channels, channels, 3, padding=1, bias=False), nn.GroupNorm(GROUPS, channels), nn.ReLU()
                )
                for _ in fine
            ]
        )
        self.mask = nn.Conv2d(channels, features, 1)

    def forward(self, maps: Sequence[Tensor]) -> tuple[Tensor, list[Tensor]]:
        """Return features (B, C, h, w) at the finest map's size, and three maps, coarsest first.

        Args:
            maps: of the encoder, finest first.
        """
        coarse = [bring(each) for bring, each in zip(self.inputs, maps[: -LEVELS - 1 : -1], strict=True)]
        sizes = [(each.shape[-2], each.shape[-1]) for each in coarse]
        tokens = torch.cat([each.flatten(2).transpose(1, 2) for each in coarse], 1)
        channels = tokens.shape[2]
        places = torch.cat(
            [
                positions(height, width, channels, tokens) + level
                for (height, width), level in zip(sizes, self.levels, strict=True)
            ]
        )
        centres = torch.cat([_centres(height, width, tokens) for height, width in sizes])
        for layer in self.layers:
            tokens = layer(tokens, places, sizes, centres)
        parts = torch.split(tokens, [height * width for height, width in sizes], 1)
        found = [
            part.transpose(1, 2).reshape(-1, channels, height, width)
            for part, (height, width) in zip(parts, sizes, strict=True)
        ]
        finest = found[-1]
        for lateral, smooth, each in zip(self.laterals, self.smooths, maps[:-LEVELS][::-1], strict=True):
            brought = lateral(each)
            finest = smooth(brought + resized(finest, brought))
        return self.mask(finest), found


def _sampled(maps: Tensor, grid: Tensor) -> Tensor:
    """Sample bilinearly, zeros beyond the border; places are never rounded to 16 bits."""
    wide = maps if maps.dtype == torch.float64 else maps.float()
    return functional.grid_sample(wide, grid.to(wide.dtype), align_corners=False).to(maps.dtype)


def _centres(height: int, width: int, like: Tensor) -> Tensor:
    """Return (height * width, 2): x and y of the middles of positions, from 0 to 1, in float32."""
    rows = (torch.arange(height, device=like.device, dtype=torch.float32) + 0.5) / height
    columns = (torch.arange(width, device=like.device, dtype=torch.float32) + 0.5) / width
    return torch.stack([columns[None].expand(height, -1), rows[:, None].expand(-1, width)], 2).reshape(-1, 2)
