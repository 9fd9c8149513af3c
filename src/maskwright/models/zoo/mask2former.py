"""Mask2Former (Cheng et al. 2022, arXiv:2112.01527): queries that each answer with a mask and a class."""

from __future__ import annotations

from typing import Annotated, Any, Literal

import torch
from pydantic import Field
from torch import Tensor, nn
from torch.nn import functional

from maskwright.core.recipe.base import Block
from maskwright.models.heads import Outputs, Queries
from maskwright.models.zoo.own import need_maps
from maskwright.models.zoo.pixel_decoder import GROUPS, LEVELS, Layers, PixelDecoder, Sizes, positions

AT_ONCE = 8
"""Queries whose masks are enlarged at once in prediction: all together need a hundred planes of the image."""
SURE = 1e-7
"""How near to 0 and 1 probabilities come before their logits are taken."""


class Mask2FormerOptions(Block):
    """What queries and decoders are made of."""

    answer: Literal["classes", "planes", "maps"] = "classes"
    """How queries become logits of pixels. classes: shares of each class summed over queries, for classes that exclude
    one another, and binary; planes: the chance that any query says so, for planes that overlap; maps: mask logits x
    class logits summed, all but the first class, trained like any other network (SEEDS 003)."""
    queries: Annotated[int, Field(ge=1, le=10_000)] = 100
    """How many masks it can answer with."""
    channels: int = Field(default=256, ge=GROUPS, multiple_of=GROUPS)
    """Of features and queries, a multiple of 32."""
    heads: int = Field(default=8, ge=1)
    """Of all attention; channels divide by it."""
    pixel_layers: int = Field(default=6, ge=1)
    """Layers of deformable attention over the encoder's maps."""
    pixel_hidden: int = Field(default=1024, ge=1)
    """Hidden units of their MLPs."""
    points: int = Field(default=4, ge=1)
    """Places that a head looks at on each map."""
    layers: int = Field(default=9, ge=1)
    """Layers of the queries' decoder."""
    hidden: int = Field(default=2048, ge=1)
    """Hidden units of their MLPs."""
    pixel_channels: int | None = Field(default=None, ge=GROUPS, multiple_of=GROUPS)
    """Of the features of pixels, a multiple of 32; null: as channels."""
    pixel_heads: int | None = Field(default=None, ge=1)
    """Of the attention over the encoder's maps; null: as heads."""
    mask_channels: int | None = Field(default=None, ge=1)
    """That masks are the product of; null: as pixel_channels."""
    project: bool = False
    """A 1 x 1 convolution between pixels and queries even where their channels are as many."""

    @property
    def pixels(self) -> tuple[int, int, int]:
        """Channels and heads of the attention over the encoder's maps, and channels of masks."""
        wide = self.pixel_channels or self.channels
        return wide, self.pixel_heads or self.heads, self.mask_channels or wide


class Attention(nn.Module):
    """Attention of queries to tokens, or to one another; masked places are not looked at."""

    def __init__(self, channels: int, heads: int) -> None:
        super().__init__()
        self.heads = heads
        self.qkv = nn.Linear(channels, 3 * channels)
        self.out = nn.Linear(channels, channels)
        nn.init.xavier_uniform_(self.qkv.weight)
        nn.init.zeros_(self.qkv.bias)
        nn.init.zeros_(self.out.bias)

    def forward(self, query: Tensor, key: Tensor, value: Tensor, seen: Tensor | None = None) -> Tensor:
        """Return (B, Q, C).

        Args:
            query: (B, Q, C).
            key: (B, S, C).
            value: (B, S, C).
            seen: bool (B, Q, S), what each query may look at; None: all.
        """
        weights, biases = self.qkv.weight.chunk(3), self.qkv.bias.chunk(3)
        asked, keys, values = [
            self._split(functional.linear(each, weight, bias))
            for each, weight, bias in zip((query, key, value), weights, biases, strict=True)
        ]
        mask = None if seen is None else seen.unsqueeze(1)
        answer = functional.scaled_dot_product_attention(asked, keys, values, attn_mask=mask)
        result: Tensor = self.out(answer.transpose(1, 2).flatten(2))
        return result

    def _split(self, tokens: Tensor) -> Tensor:
        batch, count, channels = tokens.shape
        return tokens.view(batch, count, self.heads, channels // self.heads).transpose(1, 2)


class QueryLayer(nn.Module):
    """Queries look at a map where their masks are, at one another, and pass an MLP; a norm behind each."""

    def __init__(self, options: Mask2FormerOptions) -> None:
        super().__init__()
        wide = options.channels
        self.cross = Attention(wide, options.heads)
        self.norm1 = nn.LayerNorm(wide)
        self.among = Attention(wide, options.heads)
        self.norm2 = nn.LayerNorm(wide)
        self.fc1 = nn.Linear(wide, options.hidden)
        self.fc2 = nn.Linear(options.hidden, wide)
        self.norm3 = nn.LayerNorm(wide)

    def forward(self, queries: Tensor, places: Tensor, looked: tuple[Tensor, Tensor], seen: Tensor) -> Tensor:
        """Return queries (B, Q, C).

        Args:
            queries: (B, Q, C).
            places: (Q, C), what tells queries apart.
            looked: a map's tokens (B, S, C), with positions and without.
            seen: bool (B, Q, S).
        """
        placed, plain = looked
        queries = self.norm1(queries + self.cross(queries + places, placed, plain, seen))
        marked = queries + places
        queries = self.norm2(queries + self.among(marked, marked, queries))
        result: Tensor = self.norm3(queries + self.fc2(functional.relu(self.fc1(queries))))
        return result


class QueryDecoder(nn.Module):
    """From an encoder's maps to what queries say before the first layer and after each.

    Args:
        maps: channels of the encoder's maps, finest first.
        options: widths and depths.
    """

    def __init__(self, maps: tuple[int, ...], options: Mask2FormerOptions) -> None:
        super().__init__()
        wide = options.channels
        pixels, heads, masks = options.pixels
        layers = Layers(options.pixel_layers, heads, options.points, options.pixel_hidden)
        self.pixel = PixelDecoder(maps, pixels, masks, layers)
        between = pixels != wide or options.project
        self.inputs = nn.ModuleList(nn.Conv2d(pixels, wide, 1) if between else nn.Identity() for _ in range(LEVELS))
        self.features = nn.Embedding(options.queries, wide)
        self.places = nn.Embedding(options.queries, wide)
        self.level_embed = nn.Embedding(LEVELS, wide)
        self.layers = nn.ModuleList([QueryLayer(options) for _ in range(options.layers)])
        self.norm = nn.LayerNorm(wide)
        self.mask_embed = nn.Sequential(
            nn.Linear(wide, wide), nn.ReLU(), nn.Linear(wide, wide), nn.ReLU(), nn.Linear(wide, masks)
        )

    def forward(self, maps: list[Tensor]) -> list[tuple[Tensor, Tensor]]:
        """Return normed queries (B, Q, C) and their mask logits (B, Q, h, w), once more than there are layers.

        Args:
            maps: of the encoder, finest first.
        """
        pixels, coarse = self.pixel(maps)
        sizes: Sizes = [(each.shape[-2], each.shape[-1]) for each in coarse]
        looked = []
        for bring, each, (height, width), level in zip(
            self.inputs, coarse, sizes, self.level_embed.weight, strict=True
        ):
            plain = bring(each).flatten(2).transpose(1, 2) + level
            looked.append((plain + positions(height, width, plain.shape[2], plain), plain))
        queries = self.features.weight.expand(pixels.shape[0], -1, -1)
        said = [self._say(queries, pixels)]
        for number, layer in enumerate(self.layers):
            level = number % LEVELS
            queries = layer(queries, self.places.weight, looked[level], _seen(said[-1][1], sizes[level]))
            said.append(self._say(queries, pixels))
        return said

    def _say(self, queries: Tensor, pixels: Tensor) -> tuple[Tensor, Tensor]:
        normed = self.norm(queries)
        return normed, torch.einsum("bqc,bchw->bqhw", self.mask_embed(normed), pixels)


@torch.no_grad()
def _seen(masks: Tensor, size: tuple[int, int]) -> Tensor:
    """Return bool (B, Q, h * w): where a query's mask is at 0.5 or above; everywhere, if it is nowhere."""
    coarse = functional.interpolate(masks, size=size, mode="bilinear", align_corners=False)
    seen = coarse.sigmoid().flatten(2) >= 0.5
    return seen | ~seen.any(-1, keepdim=True)


class Mask2Former(nn.Module):
    """Encoder, pixel decoder, queries and what makes logits of pixels of them.

    Args:
        encoder: maps, finest first.
        options: widths, depths, and how queries answer.
        planes: K.
    """

    def __init__(self, encoder: Any, options: Mask2FormerOptions, planes: int) -> None:
        super().__init__()
        self.encoder = encoder
        self.decoder = QueryDecoder(tuple(encoder.out_channels), options)
        self._binary = planes == 1 and options.answer == "classes"
        self.segmentation_head = nn.Linear(options.channels, (2 if self._binary else planes) + 1)
        self.overlap = options.answer == "planes"

    def queries(self, image: Tensor) -> tuple[Queries, ...]:
        """Return what queries say before the first layer and after each, the last one last."""
        said = self.decoder(self.encoder(image))
        return tuple(Queries(self.segmentation_head(normed), masks) for normed, masks in said)

    def forward(self, image: Tensor) -> Tensor:
        """Return logits (B, K, H, W) whose softmax or sigmoid are the queries' shares of each class."""
        size = (image.shape[-2], image.shape[-1])
        return self._logits(self.shares(self.queries(image)[-1], size))

    def outputs(self, image: Tensor) -> Outputs:
        """Return coarse logits brought to the image's size, and what queries say, for training."""
        found = self.queries(image)
        logits = self._logits(self.shares(found[-1], None))
        size = (image.shape[-2], image.shape[-1])
        whole = functional.interpolate(logits, size=size, mode="bilinear", align_corners=False)
        return Outputs(whole, {}, found, size)

    def shares(self, last: Queries, size: tuple[int, int] | None) -> Tensor:
        """Return what queries say of each class at each pixel, float32 (B, classes, H, W).

        Summed over queries, class probability x mask probability; for planes that overlap the chance that any
        query says so.

        Args:
            last: of the last layer.
            size: that masks are enlarged to first; None: as they are.
        """
        classes = last.classes.float().softmax(-1)[..., :-1]
        total: Tensor | None = None
        step = AT_ONCE if size is not None else classes.shape[1]
        for start in range(0, classes.shape[1], step):
            masks = last.masks[:, start : start + step].float()
            if size is not None:
                masks = functional.interpolate(masks, size=size, mode="bilinear", align_corners=False)
            masks, weights = masks.sigmoid(), classes[:, start : start + step]
            if self.overlap:
                each = weights.permute(0, 2, 1)[..., None, None] * masks[:, None]
                part = torch.log1p(-each.clamp_max(1 - SURE)).sum(2)
            else:
                part = torch.einsum("bqk,bqhw->bkhw", weights, masks)
            total = part if total is None else total + part
        assert total is not None
        return -torch.expm1(total) if self.overlap else total

    def _logits(self, shares: Tensor) -> Tensor:
        if self.overlap:
            return torch.logit(shares, eps=SURE)
        logs = shares.clamp_min(SURE).log()
        return logs[:, 1:] - logs[:, :1] if self._binary else logs


class MapMask2Former(nn.Module):
    """The same network whose queries are summed to one map for each plane, without any matching (SEEDS 003).

    Args:
        encoder: maps, finest first.
        options: widths and depths.
        planes: K.
    """

    def __init__(self, encoder: Any, options: Mask2FormerOptions, planes: int) -> None:
        super().__init__()
        self.encoder = encoder
        self.decoder = QueryDecoder(tuple(encoder.out_channels), options)
        self.segmentation_head = nn.Linear(options.channels, planes + 1)

    def coarse(self, image: Tensor) -> Tensor:
        """Return logits (B, K, h, w): mask logits x class logits summed over queries; the first class is left out."""
        normed, masks = self.decoder(self.encoder(image))[-1]
        return torch.einsum("bqk,bqhw->bkhw", self.segmentation_head(normed)[..., 1:], masks)

    def forward(self, image: Tensor) -> Tensor:
        """Return logits (B, K, H, W)."""
        size = (image.shape[-2], image.shape[-1])
        return functional.interpolate(self.coarse(image), size=size, mode="bilinear", align_corners=False)


def multiple(encoder: Any, options: Mask2FormerOptions) -> int:
    """Return what sides are padded to a multiple of: 32 as in mmsegmentation; SEEDS 003 (maps) padded nothing."""
    del encoder
    return 1 if options.answer == "maps" else 32


def make_mask2former(encoder: Any, options: Mask2FormerOptions, planes: int) -> nn.Module:
    """Join encoder and decoders.

    Raises:
        ValueError: the encoder has too few maps, or heads do not divide channels.
    """
    need_maps(encoder, LEVELS + 1)
    pixels, heads, _ = options.pixels
    for channels, number in ((options.channels, options.heads), (pixels, heads)):
        if channels % number:
            raise ValueError(f"{channels} channels do not divide by {number} heads")
    kind = MapMask2Former if options.answer == "maps" else Mask2Former
    return kind(encoder, options, planes)
