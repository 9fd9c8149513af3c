"""Swin transformer (Liu et al. 2021, arXiv:2103.14030) that takes any size and norms each map, as detectors use it."""

from __future__ import annotations

from typing import Annotated

import torch
from pydantic import Field
from timm.layers import DropPath
from torch import Tensor, nn
from torch.nn import functional

from maskwright.core.recipe.base import Block

Four = tuple[int, int, int, int]
APART = -100.0
"""Added to the attention between what a shifted window holds of opposite borders of the map."""


class SwinOptions(Block):
    """What a Swin encoder is made of."""

    embed: int = Field(default=96, ge=1)
    """Channels of the first map; each later one has twice those of the one before."""
    depths: Four = (2, 2, 6, 2)
    """Blocks in each stage."""
    heads: Four = (3, 6, 12, 24)
    """Heads in each stage."""
    window: int = Field(default=7, ge=1)
    """Side of the windows, in positions of the map."""
    patch: int = Field(default=4, ge=1)
    """Pixels of the image to one position of the first map."""
    mlp_ratio: float = Field(default=4.0, gt=0)
    """Hidden units of a block's MLP to its channels."""
    drop_path: Annotated[float, Field(ge=0, lt=1)] = 0.3
    """Share of skipped blocks in training, at the last; it rises from 0 at the first."""


class Swin(nn.Module):
    """Maps at strides 4, 8, 16, 32; what windows, patches and mergers lack is padded below and right with zeros.

    Args:
        options: depths, widths, window.
        bands: C of the image.
    """

    def __init__(self, options: SwinOptions, bands: int) -> None:
        super().__init__()
        self.out_channels = tuple(options.embed * 2**stage for stage in range(4))
        self.strides = tuple(options.patch * 2**stage for stage in range(4))
        self.patch_embed = PatchEmbed(bands, options.embed, options.patch)
        total = sum(options.depths)
        rates = iter([options.drop_path * index / max(total - 1, 1) for index in range(total)])
        layers: list[Stage] = []
        for stage, (depth, heads) in enumerate(zip(options.depths, options.heads, strict=True)):
            channels = self.out_channels[stage]
            drops = [next(rates) for _ in range(depth)]
            layers.append(Stage(channels, heads, options, drops, last=stage == 3))
        self.layers = nn.ModuleList(layers)
        self.norms = nn.ModuleList([nn.LayerNorm(channels) for channels in self.out_channels])
        self.apply(_begin)

    def forward(self, image: Tensor) -> list[Tensor]:
        """Return normed maps (B, C, h, w) of an image (B, bands, H, W), finest first."""
        tokens = self.patch_embed(image)
        found = []
        for layer, norm in zip(self.layers, self.norms, strict=True):
            tokens, merged = layer(tokens)
            found.append(norm(tokens).permute(0, 3, 1, 2).contiguous())
            tokens = merged
        return found


class PatchEmbed(nn.Module):
    """A convolution whose stride is its kernel, and a norm: (B, C, H, W) to (B, h, w, D)."""

    def __init__(self, bands: int, channels: int, patch: int) -> None:
        super().__init__()
        self.patch = patch
        self.proj = nn.Conv2d(bands, channels, patch, patch)
        self.norm = nn.LayerNorm(channels)

    def forward(self, image: Tensor) -> Tensor:
        """Return normed patches."""
        height, width = image.shape[-2:]
        padded = functional.pad(image, (0, -width % self.patch, 0, -height % self.patch))
        tokens: Tensor = self.norm(self.proj(padded).permute(0, 2, 3, 1))
        return tokens


class Stage(nn.Module):
    """Blocks, every other one shifted, and what merges four neighbours for the next stage."""

    def __init__(self, channels: int, heads: int, options: SwinOptions, drops: list[float], *, last: bool) -> None:
        super().__init__()
        self.blocks = nn.ModuleList(
            [
                SwinBlock(channels, heads, options, shift=options.window // 2 if index % 2 else 0, drop=drop)
                for index, drop in enumerate(drops)
            ]
        )
        self.downsample = None if last else PatchMerging(channels)

    def forward(self, tokens: Tensor) -> tuple[Tensor, Tensor]:
        """Return (B, h, w, C) after all blocks, and that merged for the next stage."""
        for block in self.blocks:
            tokens = block(tokens)
        return tokens, tokens if self.downsample is None else self.downsample(tokens)


class PatchMerging(nn.Module):
    """Four neighbours side by side, normed, brought to twice the channels: (B, h, w, C) to (B, h/2, w/2, 2C)."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.norm = nn.LayerNorm(4 * channels)
        self.reduction = nn.Linear(4 * channels, 2 * channels, bias=False)

    def forward(self, tokens: Tensor) -> Tensor:
        """Return merged tokens; the order of neighbours is that of the published weights."""
        height, width = tokens.shape[1:3]
        tokens = functional.pad(tokens, (0, 0, 0, width % 2, 0, height % 2))
        columns = [tokens[:, row::2, column::2] for column in (0, 1) for row in (0, 1)]
        merged: Tensor = self.reduction(self.norm(torch.cat(columns, -1)))
        return merged


class SwinBlock(nn.Module):
    """Attention in windows, then an MLP, each with a norm before and a way past it."""

    def __init__(self, channels: int, heads: int, options: SwinOptions, *, shift: int, drop: float) -> None:
        super().__init__()
        self.window, self.shift = options.window, shift
        self.norm1 = nn.LayerNorm(channels)
        self.attn = WindowAttention(channels, heads, options.window)
        self.drop_path = DropPath(drop)
        self.norm2 = nn.LayerNorm(channels)
        self.mlp = Mlp(channels, int(channels * options.mlp_ratio))

    def forward(self, tokens: Tensor) -> Tensor:
        """Return (B, h, w, C) of the same size."""
        tokens = tokens + self.drop_path(self._attended(self.norm1(tokens)))
        result: Tensor = tokens + self.drop_path(self.mlp(self.norm2(tokens)))
        return result

    def _attended(self, tokens: Tensor) -> Tensor:
        _, height, width, _ = tokens.shape
        side, shift = self.window, self.shift
        padded = functional.pad(tokens, (0, 0, 0, -width % side, 0, -height % side))
        batch, high, wide, channels = padded.shape
        mask = None
        if shift:
            padded = torch.roll(padded, (-shift, -shift), (1, 2))
            mask = shifted_mask(high, wide, side, shift, tokens.device, tokens.dtype)
        windows = padded.view(batch, high // side, side, wide // side, side, channels).transpose(2, 3)
        answer = self.attn(windows.reshape(-1, side * side, channels), mask)
        answer = answer.view(batch, high // side, wide // side, side, side, channels).transpose(2, 3)
        whole = answer.reshape(batch, high, wide, channels)
        whole = torch.roll(whole, (shift, shift), (1, 2)) if shift else whole
        return whole[:, :height, :width].contiguous()


class WindowAttention(nn.Module):
    """Attention among the positions of a window, with a learned bias for each way two of them can lie."""

    relative_position_index: Tensor

    def __init__(self, channels: int, heads: int, window: int) -> None:
        super().__init__()
        self.heads = heads
        self.relative_position_bias_table = nn.Parameter(torch.zeros((2 * window - 1) ** 2, heads))
        self.register_buffer("relative_position_index", relative_index(window), persistent=False)
        self.qkv = nn.Linear(channels, 3 * channels)
        self.proj = nn.Linear(channels, channels)

    def forward(self, windows: Tensor, mask: Tensor | None) -> Tensor:
        """Return (B * windows, positions, C).

        Args:
            windows: (B * windows, positions, C), all windows of an image together.
            mask: (windows, positions, positions), added to the attention; None: nothing is added.
        """
        number, positions, channels = windows.shape
        query, key, value = self.qkv(windows).view(number, positions, 3, self.heads, -1).permute(2, 0, 3, 1, 4)
        table = self.relative_position_bias_table[self.relative_position_index.flatten()]
        bias = table.view(positions, positions, -1).permute(2, 0, 1).unsqueeze(0)
        if mask is not None:
            bias = (bias + mask.unsqueeze(1)).repeat(number // mask.shape[0], 1, 1, 1)
        answer = functional.scaled_dot_product_attention(query, key, value, bias.to(query.dtype))
        result: Tensor = self.proj(answer.transpose(1, 2).reshape(number, positions, channels))
        return result


class Mlp(nn.Module):
    """Two linear layers with GELU between them."""

    def __init__(self, channels: int, hidden: int) -> None:
        super().__init__()
        self.fc1 = nn.Linear(channels, hidden)
        self.fc2 = nn.Linear(hidden, channels)

    def forward(self, tokens: Tensor) -> Tensor:
        """Return tokens of the same shape."""
        result: Tensor = self.fc2(functional.gelu(self.fc1(tokens)))
        return result


def relative_index(window: int) -> Tensor:
    """Return int64 (window^2, window^2): which row of the bias table belongs to two positions of a window."""
    place = torch.arange(window * window)
    rows, columns = place // window, place % window
    down = rows[:, None] - rows[None] + window - 1
    right = columns[:, None] - columns[None] + window - 1
    return down * (2 * window - 1) + right


def shifted_mask(height: int, width: int, window: int, shift: int, device: torch.device, dtype: torch.dtype) -> Tensor:
    """Return (windows, window^2, window^2): APART between positions that only the roll made neighbours, else 0.

    Args:
        height: rows of the padded map.
        width: its columns.
        window: side.
        shift: how far the map was rolled up and left.
        device: where the result is.
        dtype: float type of the result.
    """

    def zones(length: int) -> Tensor:
        place = torch.arange(length, device=device)
        return (place >= length - window).long() + (place >= length - shift).long()

    zone = zones(height)[:, None] * 3 + zones(width)[None]
    zone = zone.view(height // window, window, width // window, window).transpose(1, 2).reshape(-1, window * window)
    return (zone[:, :, None] != zone[:, None]).to(dtype) * APART


def _begin(module: nn.Module) -> None:
    """Draw first weights as published: normal, 0.02, within two deviations; biases 0."""
    if isinstance(module, nn.Linear):
        nn.init.trunc_normal_(module.weight, std=0.02)
        if module.bias is not None:
            nn.init.zeros_(module.bias)
    elif isinstance(module, WindowAttention):
        nn.init.trunc_normal_(module.relative_position_bias_table, std=0.02)
