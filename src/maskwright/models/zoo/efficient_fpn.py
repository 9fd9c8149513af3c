"""EfficientFPN of SEEDS 004: a small pyramid on EfficientNet with context, ASPP and a gate, and four heads."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional

from maskwright.core.recipe.base import Block
from maskwright.models.heads import Outputs
from maskwright.models.zoo.parts import mish

CHANNELS = 64
"""Of every map of the pyramid."""
RATES = (4, 8, 12)
"""Dilations of the ASPP."""
DROPOUT, ASPP_DROPOUT = 0.2, 0.1


class EfficientFpnOptions(Block):
    """Parts of the decoder that may be left out."""

    aspp: bool = True
    """Looks around at several distances (Chen et al. 2017)."""
    context: bool = False
    """A global context block before it (Cao et al. 2019), whose last layer begins at 0; with any encoder but b2 a
    second one behind it. Without aspp the first has no effect, as in the original."""
    mish: bool = False
    """Mish, and not ReLU, behind the last convolution; context implies it."""
    gate: bool = True
    """Multiplies the last map by the tanh of a 1 x 1 convolution of it."""


class EfficientFpnDecoder(nn.Module):
    """From four maps to one of 64 channels at the finest map's size.

    Args:
        maps: channels of the encoder's maps, finest first.
        options: parts.
        twice: whether context means two blocks, the first of them narrower.
    """

    def __init__(self, maps: Sequence[int], options: EfficientFpnOptions, twice: bool) -> None:
        super().__init__()
        wide = 3 * CHANNELS
        self.laterals = nn.ModuleList(nn.Conv2d(given, CHANNELS, 1) for given in maps)
        self.ups = nn.ModuleList(
            [
                nn.Conv2d(CHANNELS, CHANNELS, 3, padding=1),
                ConvUp(CHANNELS),
                nn.Sequential(ConvUp(CHANNELS), ConvUp(CHANNELS)),
            ]
        )
        self.dropout = nn.Dropout(DROPOUT)
        self.context = GlobalContext(wide, 4 if twice else 8) if options.context else None
        self.aspp = Aspp(wide) if options.aspp else None
        self.inner_context = GlobalContext(wide, 8) if options.context and twice else None
        self.mix = nn.Conv2d(wide, CHANNELS, 3, padding=1, bias=False)
        self.mix_norm = nn.BatchNorm2d(CHANNELS)
        self.mish = options.mish or options.context
        self.gate = nn.Conv2d(CHANNELS, CHANNELS, 1, bias=False) if options.gate else None

    def forward(self, maps: Sequence[Tensor]) -> Tensor:
        """Return (B, 64, h, w) at the size of the first map; each next one has half its sides."""
        pyramid = [lateral(each) for lateral, each in zip(self.laterals, maps, strict=True)]
        for place in (2, 1, 0):
            size = pyramid[place].shape[-2:]
            pyramid[place] = pyramid[place] + functional.interpolate(pyramid[place + 1], size=size)
        x = torch.cat([self.ups[place](pyramid[place]) for place in (2, 1, 0)], 1)
        x = self.dropout(x)
        parts = (self.context if self.aspp is not None else None, self.aspp, self.inner_context)
        for part in parts:
            x = x if part is None else part(x)
        x = self.mix_norm(self.mix(x))
        x = mish(x, self.training) if self.mish else functional.relu(x, inplace=True)
        return x if self.gate is None else x * torch.tanh(self.gate(x))


class ConvUp(nn.Module):
    """A convolution with group norm and ReLU, then twice the size."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.conv = nn.Conv2d(channels, channels, 3, padding=1, bias=False)
        self.norm = nn.GroupNorm(32, channels)

    def forward(self, x: Tensor) -> Tensor:
        """Return (B, C, 2 h, 2 w)."""
        x = functional.relu(self.norm(self.conv(x)), inplace=True)
        return functional.interpolate(x, scale_factor=2, mode="bilinear", align_corners=False)


class GlobalContext(nn.Module):
    """What the whole window says, added to every pixel (Cao et al. 2019, GCNet: attention pooling, addition)."""

    def __init__(self, channels: int, hidden: int) -> None:
        super().__init__()
        self.attend = nn.Conv2d(channels, 1, 1)
        self.narrow = nn.Conv2d(channels, hidden, 1)
        self.norm = nn.LayerNorm([hidden, 1, 1])
        self.widen = nn.Conv2d(hidden, channels, 1)
        nn.init.zeros_(self.widen.weight)
        if self.widen.bias is not None:
            nn.init.zeros_(self.widen.bias)

    def forward(self, x: Tensor) -> Tensor:
        """Return what has the shape of x."""
        weights = self.attend(x).flatten(2).softmax(2)
        pooled = torch.bmm(x.flatten(2), weights.transpose(1, 2)).unsqueeze(3)
        said: Tensor = self.widen(functional.relu(self.norm(self.narrow(pooled))))
        return x + said


class Aspp(nn.Module):
    """Convolutions at several dilations and the mean of the window, side by side, then mixed."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.convs = nn.ModuleList([nn.Conv2d(channels, channels, 1, bias=False)])
        for rate in RATES:
            self.convs.append(nn.Conv2d(channels, channels, 3, padding=rate, dilation=rate, bias=False))
        self.convs.append(nn.Conv2d(channels, channels, 1, bias=False))
        self.norms = nn.ModuleList(nn.BatchNorm2d(channels) for _ in self.convs)
        self.mix = nn.Conv2d(len(self.convs) * channels, channels, 1, bias=False)
        self.mix_norm = nn.BatchNorm2d(channels)
        self.dropout = nn.Dropout(ASPP_DROPOUT)

    def forward(self, x: Tensor) -> Tensor:
        """Return what has the shape of x."""
        seen = [x] * (len(self.convs) - 1) + [x.mean((2, 3), keepdim=True)]
        found = [
            functional.relu(norm(conv(each)), inplace=True)
            for conv, norm, each in zip(self.convs, self.norms, seen, strict=True)
        ]
        found[-1] = found[-1].expand_as(x)  # one pixel, enlarged
        mixed: Tensor = self.dropout(functional.relu(self.mix_norm(self.mix(torch.cat(found, 1))), inplace=True))
        return mixed


class EfficientFpn(nn.Module):
    """Encoder, decoder and four heads: pixels, pixels once more, the whole window, its scale.

    Args:
        encoder: gives four maps at strides 4 to 32.
        decoder: from those to one of 64 channels.
        deepest: channels of the encoder's last map.
        planes: K.
    """

    head_names = ("twin", "presence", "scale")
    """What it gives beside the main logits in training: (B, 1, h, w) of anything at all, to be trained with another
    loss; (B, 2) of nothing and something in the window; (B, 1) of its scale."""

    def __init__(self, encoder: nn.Module, decoder: nn.Module, deepest: int, planes: int) -> None:
        super().__init__()
        self.encoder, self.decoder = encoder, decoder
        self.segmentation_head = nn.Conv2d(CHANNELS, planes, 1)
        self.twin = nn.Conv2d(CHANNELS, 1, 1, bias=False)
        self.presence = nn.Linear(deepest, 2)
        self.scale = nn.Linear(deepest, 1)

    def raw(self, image: Tensor) -> Outputs:
        """Return what all heads say, as they say it: logits (B, K, H / 4, W / 4), and see `head_names`."""
        maps = self.encoder(image)
        pooled = functional.dropout(maps[-1].mean((2, 3)), DROPOUT, self.training)
        x = self.decoder(maps)
        heads = {"twin": self.twin(x), "presence": self.presence(pooled), "scale": self.scale(pooled)}
        return Outputs(self.segmentation_head(x), heads)

    def outputs(self, image: Tensor) -> Outputs:
        """Return what all heads say, those of pixels at the image's size."""
        logits, heads, *_ = self.raw(image)
        size = (image.shape[-2], image.shape[-1])
        return Outputs(enlarged(logits, size), {**heads, "twin": enlarged(heads["twin"], size)})

    def coarse(self, image: Tensor) -> Tensor:
        """Return the main logits (B, K, H / 4, W / 4); the other heads are not run."""
        logits: Tensor = self.segmentation_head(self.decoder(self.encoder(image)))
        return logits

    def forward(self, image: Tensor) -> Tensor:
        """Return logits (B, K, H, W)."""
        return enlarged(self.coarse(image), (image.shape[-2], image.shape[-1]))

    def probabilities(self, image: Tensor, activate: Callable[[Tensor], Tensor]) -> Tensor:
        """Return probabilities (B, K, H, W), enlarged as such (SEEDS 004.6)."""
        return enlarged(activate(self.coarse(image).float()), (image.shape[-2], image.shape[-1]))


def make_efficient_fpn(encoder: Any, options: EfficientFpnOptions, planes: int) -> nn.Module:
    """Join encoder, decoder and heads; b2 has one context block, the others two."""
    decoder = EfficientFpnDecoder(encoder.out_channels, options, twice=encoder.size != "b2")
    return EfficientFpn(encoder, decoder, encoder.out_channels[-1], planes)


def enlarged(logits: Tensor, size: tuple[int, int]) -> Tensor:
    """Bring (B, K, h, w) to a size, bilinearly."""
    return functional.interpolate(logits, size=size, mode="bilinear", align_corners=False)
