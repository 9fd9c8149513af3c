"""Mix transformer, the encoder of SegFormer (Xie et al. 2021, arXiv:2105.15203), with one epsilon in all its norms."""

from __future__ import annotations

import math
from typing import Annotated

import torch
from pydantic import Field
from timm.layers import DropPath
from torch import Tensor, nn
from torch.nn import functional

from maskwright.core.recipe.base import Block
from maskwright.models.zoo.swin import Four


class MitOptions(Block):
    """What a mix transformer is made of."""

    dims: Four = (64, 128, 320, 512)
    """Channels of each map."""
    depths: Four = (2, 2, 2, 2)
    """Blocks in each stage."""
    heads: Four = (1, 2, 5, 8)
    """Heads in each stage."""
    reductions: Four = (8, 4, 2, 1)
    """How much coarser keys and values are than queries, along each side."""
    mlp_ratio: int = Field(default=4, ge=1)
    """Hidden channels of a block's MLP to its channels."""
    drop_path: Annotated[float, Field(ge=0, lt=1)] = 0.1
    """Share of skipped blocks in training, at the last; it rises from 0 at the first."""
    eps: float = Field(default=1e-6, gt=0)
    """Of all norms: 1e-6 in mmsegmentation, 1e-5 in Hugging Face transformers."""


class Mit(nn.Module):
    """Maps at strides 4, 8, 16, 32 from patches that overlap.

    Args:
        options: depths, widths, reductions.
        bands: C of the image.
    """

    def __init__(self, options: MitOptions, bands: int) -> None:
        super().__init__()
        self.out_channels = options.dims
        self.strides = (4, 8, 16, 32)
        total = sum(options.depths)
        rates = [options.drop_path * index / max(total - 1, 1) for index in range(total)]
        self.stages = nn.ModuleList()
        for stage, depth in enumerate(options.depths):
            done = sum(options.depths[:stage])
            before = options.dims[stage - 1] if stage else bands
            self.stages.append(Stage(options, stage, before, rates[done : done + depth]))
        self.apply(_begin)

    def forward(self, image: Tensor) -> list[Tensor]:
        """Return normed maps (B, C, h, w) of an image (B, bands, H, W), finest first."""
        found: list[Tensor] = []
        for stage in self.stages:
            found.append(stage(found[-1] if found else image))
        return found


class Stage(nn.Module):
    """Overlapping patches, blocks, a norm."""

    def __init__(self, options: MitOptions, stage: int, before: int, drops: list[float]) -> None:
        super().__init__()
        channels = options.dims[stage]
        kernel, stride = (3, 2) if stage else (7, 4)
        self.patch = nn.ModuleDict(
            {
                "proj": nn.Conv2d(before, channels, kernel, stride, kernel // 2),
                "norm": nn.LayerNorm(channels, eps=options.eps),
            }
        )
        self.blocks = nn.ModuleList([MitBlock(options, stage, drop) for drop in drops])
        self.norm = nn.LayerNorm(channels, eps=options.eps)

    def forward(self, maps: Tensor) -> Tensor:
        """Return (B, C, h, w) of (B, before, H, W)."""
        maps = self.patch["proj"](maps)
        height, width = maps.shape[-2:]
        tokens = self.patch["norm"](maps.flatten(2).transpose(1, 2))
        for block in self.blocks:
            tokens = block(tokens, height, width)
        return _spread(self.norm(tokens), height, width)


class MitBlock(nn.Module):
    """Attention to a coarser map, then an MLP that looks at neighbours, each with a norm before and a way past it."""

    def __init__(self, options: MitOptions, stage: int, drop: float) -> None:
        super().__init__()
        channels = options.dims[stage]
        self.norm1 = nn.LayerNorm(channels, eps=options.eps)
        self.attn = Attention(channels, options.heads[stage], options.reductions[stage], options.eps)
        self.drop_path = DropPath(drop)
        self.norm2 = nn.LayerNorm(channels, eps=options.eps)
        self.mlp = MixMlp(channels, channels * options.mlp_ratio)

    def forward(self, tokens: Tensor, height: int, width: int) -> Tensor:
        """Return (B, h * w, C) of the same shape."""
        tokens = tokens + self.drop_path(self.attn(self.norm1(tokens), height, width))
        result: Tensor = tokens + self.drop_path(self.mlp(self.norm2(tokens), height, width))
        return result


class Attention(nn.Module):
    """Attention whose keys and values are a map made coarser by a convolution."""

    def __init__(self, channels: int, heads: int, reduction: int, eps: float) -> None:
        super().__init__()
        self.heads = heads
        self.q = nn.Linear(channels, channels)
        self.kv = nn.Linear(channels, 2 * channels)
        self.proj = nn.Linear(channels, channels)
        self.sr = nn.Conv2d(channels, channels, reduction, reduction) if reduction > 1 else None
        self.norm = nn.LayerNorm(channels, eps=eps) if reduction > 1 else None

    def forward(self, tokens: Tensor, height: int, width: int) -> Tensor:
        """Return (B, h * w, C)."""
        batch, positions, channels = tokens.shape
        seen = tokens
        if self.sr is not None and self.norm is not None:
            seen = self.norm(self.sr(_spread(tokens, height, width)).flatten(2).transpose(1, 2))
        query = self.q(tokens).view(batch, positions, self.heads, -1).transpose(1, 2)
        key, value = self.kv(seen).view(batch, seen.shape[1], 2, self.heads, -1).permute(2, 0, 3, 1, 4)
        answer = functional.scaled_dot_product_attention(query, key, value)
        result: Tensor = self.proj(answer.transpose(1, 2).reshape(batch, positions, channels))
        return result


class MixMlp(nn.Module):
    """A 1 x 1 convolution, one of 3 x 3 on each channel, GELU, a 1 x 1 convolution."""

    def __init__(self, channels: int, hidden: int) -> None:
        super().__init__()
        self.fc1 = nn.Conv2d(channels, hidden, 1)
        self.dwconv = nn.Conv2d(hidden, hidden, 3, padding=1, groups=hidden)
        self.fc2 = nn.Conv2d(hidden, channels, 1)

    def forward(self, tokens: Tensor, height: int, width: int) -> Tensor:
        """Return (B, h * w, C)."""
        maps = _spread(tokens, height, width)
        answer: Tensor = self.fc2(functional.gelu(self.dwconv(self.fc1(maps))))
        return answer.flatten(2).transpose(1, 2)


def _spread(tokens: Tensor, height: int, width: int) -> Tensor:
    """Return (B, h * w, C) as (B, C, h, w)."""
    batch, _, channels = tokens.shape
    return tokens.transpose(1, 2).reshape(batch, channels, height, width)


def _begin(module: nn.Module) -> None:
    if isinstance(module, nn.Linear):
        nn.init.trunc_normal_(module.weight, std=0.02)
        nn.init.zeros_(module.bias)
    elif isinstance(module, nn.Conv2d):
        fan_out = module.kernel_size[0] * module.kernel_size[1] * module.out_channels // module.groups
        with torch.no_grad():
            module.weight.normal_(0, math.sqrt(2.0 / fan_out))
            if module.bias is not None:
                module.bias.zero_()
