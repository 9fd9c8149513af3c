"""InternImage, the deformable network of SEEDS 000, in plain PyTorch: stem, four levels of blocks, maps of each."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Annotated, Literal

import torch
from pydantic import Field, model_validator
from torch import Tensor, nn
from torch.nn import functional

from maskwright.core.recipe.base import Block
from maskwright.models.zoo.dcn import EPS, Deform, Guide, last_layer_norm
from maskwright.models.zoo.depth import drop_path

EXTRA = 2
"""The level that `extra_norms` is of, from 0."""
Four = tuple[Annotated[int, Field(ge=1, le=4096)], ...]


class InternImageOptions(Block):
    """Sizes of an InternImage; the names internimage_t to internimage_xl stand for those of the paper (table 1)."""

    channels: int = Field(default=64, ge=2, le=4096, multiple_of=2)
    """Of the first level; each next one has twice as many."""
    depths: Four = Field(default=(4, 4, 18, 4), min_length=1, max_length=6)
    """Blocks of each level."""
    groups: Four = Field(default=(4, 8, 16, 32), min_length=1, max_length=6)
    """Groups of channels of each level's deformable convolutions."""
    mlp_ratio: float = Field(default=4.0, gt=0, le=16)
    """Hidden channels of the perceptrons, as a multiple."""
    post_norm: bool = False
    """Norms behind convolution and perceptron, none at the end of a level; or before them, and one there."""
    layer_scale: float | None = Field(default=1.0, ge=0, le=10)
    """What each channel's learned factor begins at; null: no factors."""
    offset_scale: float = Field(default=1.0, gt=0, le=16)
    """What the grid of sampling points and its learned offsets are multiplied by."""
    guide_kernel: Literal[1, 3, 5, 7, 9] = 3
    """Side of the convolution that offsets and weights are made from (5 in H and G)."""
    centre_scale: bool = False
    """Whether each group of channels learns how much of its own pixel passes unsampled (H and G); a level then ends in
    a norm whatever post_norm says."""
    inner_norm: bool = False
    """A second norm, behind convolution and perceptron (H and G); it goes with neither layer_scale nor post_norm."""
    extra_norms: tuple[Annotated[int, Field(ge=0)], ...] = ()
    """Blocks of the third level, from 0, that a further norm follows (5, 11, 17, 23, 29 in H)."""
    norm: Literal["layer", "batch"] = "layer"
    """Of stem, steps down and the convolutions that offsets are made from; all other norms are layer norms."""
    activation: Literal["gelu", "relu", "silu"] = "gelu"
    """Of stem, perceptrons and the convolutions that offsets are made from."""
    drop_path: float = Field(default=0.2, ge=0, lt=1)
    """How often a block's change is left out in training, of the last block."""
    drop_path_type: Literal["linear", "uniform"] = "linear"
    """Whether it rises from 0 at the first block, or is the same for all."""
    dropout: float = Field(default=0.0, ge=0, lt=1)
    """Share of perceptrons' values that is dropped in training."""

    @model_validator(mode="after")
    def _fits(self) -> InternImageOptions:
        if len(self.groups) != len(self.depths):
            raise ValueError(f"there are {len(self.depths)} depths and {len(self.groups)} groups; give as many of each")
        for level, groups in enumerate(self.groups):
            if self.channels * 2**level % groups:
                raise ValueError(f"{self.channels * 2**level} channels of level {level} do not make {groups} groups")
        if self.inner_norm and (self.post_norm or self.layer_scale is not None):
            raise ValueError("inner_norm goes with neither post_norm nor layer_scale; set layer_scale: null")
        third = self.depths[EXTRA] if len(self.depths) > EXTRA else 0
        if len(set(self.extra_norms)) < len(self.extra_norms) or max(self.extra_norms, default=-1) >= third:
            raise ValueError(f"extra_norms {self.extra_norms} are not different blocks of {third}; count from 0")
        return self


class InternImage(nn.Module):
    """InternImage (Wang et al. 2023, arXiv:2211.05778) as an encoder.

    Args:
        options: sizes.
        bands: C of the image.
    """

    def __init__(self, options: InternImageOptions, bands: int) -> None:
        super().__init__()
        levels = len(options.depths)
        self.out_channels = tuple(options.channels * 2**level for level in range(levels))
        self.strides = tuple(4 * 2**level for level in range(levels))
        self.stem = Stem(bands, options)
        total = sum(options.depths)
        drops = [options.drop_path * place / max(total - 1, 1) for place in range(total)]
        rates = iter(drops if options.drop_path_type == "linear" else [options.drop_path] * total)
        self.levels = nn.ModuleList(
            Level(options, level, [next(rates) for _ in range(depth)]) for level, depth in enumerate(options.depths)
        )

    def forward(self, image: Tensor) -> list[Tensor]:
        """Return the maps of all levels, (B, C, h, w), finest first."""
        x = self.stem(image)
        found = []
        for level in self.levels:
            out, x = level(x)
            found.append(out.movedim(3, 1))
        return found


class Stem(nn.Module):
    """Two convolutions that halve both sides, each with a norm."""

    def __init__(self, bands: int, options: InternImageOptions) -> None:
        super().__init__()
        channels, norm = options.channels, NORMS[options.norm]
        self.activate = ACTIVATIONS[options.activation]
        self.conv1 = nn.Conv2d(bands, channels // 2, 3, stride=2, padding=1)
        self.norm1 = norm(channels // 2)
        self.conv2 = nn.Conv2d(channels // 2, channels, 3, stride=2, padding=1)
        self.norm2 = norm(channels)

    def forward(self, image: Tensor) -> Tensor:
        """Return (B, H / 4, W / 4, C)."""
        x = self.activate(self.norm1(self.conv1(image).movedim(1, 3)))
        found: Tensor = self.norm2(self.conv2(x.movedim(3, 1)).movedim(1, 3))
        return found


class Level(nn.Module):
    """Blocks at one size, and the convolution that leads to the next."""

    def __init__(self, options: InternImageOptions, place: int, drops: list[float]) -> None:
        super().__init__()
        channels = options.channels * 2**place
        self.blocks = nn.ModuleList(InternBlock(options, channels, options.groups[place], drop) for drop in drops)
        ends = not options.post_norm or options.centre_scale
        self.norm = nn.LayerNorm(channels, eps=EPS) if ends else nn.Identity()
        self.extra = options.extra_norms if place == EXTRA else ()
        self.extra_norms = nn.ModuleList(nn.LayerNorm(channels, eps=EPS) for _ in self.extra)
        self.downsample = Downsample(channels, options) if place + 1 < len(options.depths) else None

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """Return the level's map and what the next level begins with, by channels last."""
        for place, block in enumerate(self.blocks):
            x = block(x)
            if place in self.extra:
                x = self.extra_norms[self.extra.index(place)](x)
        x = self.norm(x)
        return x, x if self.downsample is None else self.downsample(x)


class Downsample(nn.Module):
    """Half the sides, twice the channels."""

    def __init__(self, channels: int, options: InternImageOptions) -> None:
        super().__init__()
        self.conv = nn.Conv2d(channels, 2 * channels, 3, stride=2, padding=1, bias=False)
        self.norm = NORMS[options.norm](2 * channels)

    def forward(self, x: Tensor) -> Tensor:
        """Return (B, H / 2, W / 2, 2 C) for (B, H, W, C)."""
        found: Tensor = self.norm(self.conv(x.movedim(3, 1)).movedim(1, 3))
        return found


class InternBlock(nn.Module):
    """A deformable convolution and a perceptron, each added to what came in."""

    def __init__(self, options: InternImageOptions, channels: int, groups: int, drop: float) -> None:
        super().__init__()
        self.post_norm, self.drop = options.post_norm, drop
        self.norm1 = nn.LayerNorm(channels, eps=EPS)
        guide = Guide(options.guide_kernel, NORMS[options.norm], ACTIVATIONS[options.activation])
        self.dcn = Deform(channels, groups, options.offset_scale, guide, centre=options.centre_scale)
        self.norm2 = nn.LayerNorm(channels, eps=EPS)
        self.mlp = Perceptron(channels, options)
        self.inner1 = nn.LayerNorm(channels, eps=EPS) if options.inner_norm else None
        self.inner2 = nn.LayerNorm(channels, eps=EPS) if options.inner_norm else None
        start = options.layer_scale
        self.gamma1 = None if start is None else nn.Parameter(torch.full((channels,), start))
        self.gamma2 = None if start is None else nn.Parameter(torch.full((channels,), start))

    def forward(self, x: Tensor) -> Tensor:
        """Return (B, H, W, C) for (B, H, W, C)."""
        x = x + self._change(x, (self.norm1, self.dcn, self.inner1), self.gamma1)
        return x + self._change(x, (self.norm2, self.mlp, self.inner2), self.gamma2)

    def _change(
        self, x: Tensor, parts: tuple[nn.Module, nn.Module, nn.LayerNorm | None], gamma: Tensor | None
    ) -> Tensor:
        norm, inner, behind = parts
        change: Tensor = norm(inner(x)) if self.post_norm else inner(norm(x))
        if behind is not None:
            change = behind(change)
        return drop_path(change if gamma is None else gamma * change, self.drop, self.training)


class Perceptron(nn.Module):
    """Two linear layers over channels."""

    def __init__(self, channels: int, options: InternImageOptions) -> None:
        super().__init__()
        hidden = int(channels * options.mlp_ratio)
        self.activate = ACTIVATIONS[options.activation]
        self.fc1 = nn.Linear(channels, hidden)
        self.fc2 = nn.Linear(hidden, channels)
        self.dropout = options.dropout
        for layer in (self.fc1, self.fc2):
            nn.init.trunc_normal_(layer.weight, std=0.02)
            nn.init.zeros_(layer.bias)

    def forward(self, x: Tensor) -> Tensor:
        """Return what has the shape of x, over its last axis."""
        hidden = functional.dropout(self.activate(self.fc1(x)), self.dropout, self.training)
        return functional.dropout(self.fc2(hidden), self.dropout, self.training)


class LastBatchNorm(nn.BatchNorm2d):
    """A batch norm of (B, H, W, C)."""

    def forward(self, x: Tensor) -> Tensor:
        """Return what has the shape of x."""
        return super().forward(x.movedim(3, 1)).movedim(1, 3)


NORMS: Mapping[str, Callable[[int], nn.Module]] = {"batch": LastBatchNorm, "layer": last_layer_norm}
"""Name in `norm` -> from channels to the norm, of what has them last."""
ACTIVATIONS: Mapping[str, Callable[[Tensor], Tensor]] = {
    "gelu": functional.gelu,
    "relu": functional.relu,
    "silu": functional.silu,
}
"""Name in `activation` -> that."""
