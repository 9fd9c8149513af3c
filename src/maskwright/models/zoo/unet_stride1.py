"""A U-Net whose encoder keeps the full size in its first layer, so that the finest map and the answer have no steps."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import lru_cache
from typing import Annotated, Any, Literal

import torch
from pydantic import Field
from torch import Tensor, nn
from torch.nn import functional

from maskwright.core.errors import InputError, unknown
from maskwright.core.recipe.base import Block
from maskwright.core.recipe.members import Model
from maskwright.models import taps
from maskwright.models.adapt import SegModel
from maskwright.models.smp import check_weights, fetching
from maskwright.models.zoo.own import settings

TRIAL = 64
"""Side in pixels of the image that an encoder is tried with."""


class Options(Block):
    """What `options` of the recipe may hold."""

    decoder_channels: tuple[Annotated[int, Field(ge=1, le=8192)], ...] = (128, 64, 48, 32)
    """Of the decoder's blocks, the deepest first; one fewer than the encoder has maps (SEEDS 002.3)."""
    drop_path_rate: float = Field(default=0.0, ge=0, lt=1)
    """Share of residual branches that the encoder drops in training, rising with depth."""
    upsample: Literal["nearest", "bilinear"] = "nearest"
    """How the decoder's maps are enlarged."""
    batch_norm: bool = True
    """Whether the decoder's convolutions have batch norm behind them, or a bias."""
    unseen: tuple[Annotated[int, Field(ge=0)], ...] = ()
    """Maps of the encoder that the decoder does not see, the finest is 0; never the deepest."""


class Encoder(nn.Module):
    """A timm pyramid of maps whose first strided convolution has stride 1: each map is twice as fine as it was.

    Weights of the library fit as they are.

    Args:
        name: of timm.
        bands: C of what it is given.
        pretrained: whether to fetch timm's weights; those of RGB are repeated over the bands and scaled to their sum.
        drop_path_rate: see Options.

    Raises:
        ValueError: no convolution of stride 2 stands at the beginning.
    """

    def __init__(self, name: str, bands: int, *, pretrained: bool, drop_path_rate: float) -> None:
        import timm

        super().__init__()
        further: dict[str, Any] = {"drop_path_rate": drop_path_rate} if drop_path_rate else {}
        self.model = timm.create_model(name, in_chans=bands, pretrained=pretrained, features_only=True, **further)
        first = next(part for part in self.model.modules() if isinstance(part, nn.Conv2d))
        if first.stride != (2, 2) or max(first.kernel_size) < 3:
            raise ValueError(f"its first layer has stride {first.stride[0]} and cannot be made finer")
        first.stride = (1, 1)

    def forward(self, image: Tensor) -> list[Tensor]:
        """Return the maps, finest first, the first of the image's size."""
        maps: list[Tensor] = list(self.model(image))
        return maps


class UpBlock(nn.Module):
    """Twice the size, the encoder's map beside it, two convolutions with batch norm."""

    def __init__(self, channels: int, beside: int, out: int, options: Options) -> None:
        super().__init__()
        self.mode, self.sees = options.upsample, beside > 0
        self.conv1 = _convolved(channels + beside, out, options.batch_norm)
        self.conv2 = _convolved(out, out, options.batch_norm)

    def forward(self, deep: Tensor, beside: Tensor) -> Tensor:
        """Return a map of the size of `beside`.

        Args:
            deep: (B, C, h, w).
            beside: (B, D, 2h, 2w).
        """
        finer = functional.interpolate(deep, scale_factor=2.0, mode=self.mode)
        found: Tensor = self.conv2(self.conv1(torch.cat([finer, beside], 1) if self.sees else finer))
        return found


class Decoder(nn.Module):
    """From the deepest map upwards, block by block, to the image's size."""

    def __init__(self, maps: Sequence[int], options: Options) -> None:
        super().__init__()
        below = [maps[-1], *options.decoder_channels[:-1]]
        seen = [0 if place in options.unseen else wide for place, wide in enumerate(maps)]
        rows = zip(below, seen[-2::-1], options.decoder_channels, strict=True)
        self.blocks = nn.ModuleList([UpBlock(deep, beside, out, options) for deep, beside, out in rows])

    def forward(self, maps: Sequence[Tensor]) -> Tensor:
        """Return the finest map.

        Args:
            maps: of the encoder, finest first.
        """
        found = maps[-1]
        for block, beside in zip(self.blocks, maps[-2::-1], strict=True):
            found = block(found, beside)
        return found


class Net(nn.Module):
    """Encoder, decoder and a 3 x 3 convolution that answers at full size."""

    def __init__(self, encoder: Encoder, maps: Sequence[int], options: Options, planes: int) -> None:
        super().__init__()
        self.encoder = encoder
        self.decoder = Decoder(maps, options)
        self.segmentation_head = nn.Sequential(nn.Conv2d(options.decoder_channels[-1], planes, 3, padding=1))

    def forward(self, image: Tensor) -> Tensor:
        """Return logits (B, K, H, W).

        Args:
            image: (B, C, H, W), sides that the encoder's stride divides.
        """
        logits: Tensor = self.segmentation_head(self.decoder(self.encoder(image)))
        return logits


def _convolved(channels: int, out: int, norm: bool) -> nn.Sequential:
    convolution = nn.Conv2d(channels, out, 3, padding=1, bias=not norm)
    nn.init.kaiming_uniform_(convolution.weight, nonlinearity="relu")
    if convolution.bias is not None:
        nn.init.zeros_(convolution.bias)
    return nn.Sequential(convolution, nn.BatchNorm2d(out) if norm else nn.Identity(), nn.ReLU())


class UnetStride1:
    """The architecture of SEEDS 002 on any timm encoder that begins with a convolution of stride 2."""

    options = Options
    """What model.options may hold."""

    @property
    def stages(self) -> Callable[[nn.Module], list[nn.Module]]:
        """All decoder blocks but the last, which the main head stands on."""
        return taps.blocks

    def check(self, block: Model, where: str) -> None:
        """Refuse encoders, weights and options that cannot work; builds nothing on a real device."""
        import timm

        names = [f"tu-{name}" for name in timm.list_models()]
        if not block.encoder.startswith("tu-") or not timm.is_model(block.encoder[3:]):
            raise unknown("timm encoder", block.encoder, names, f"{where}.encoder")
        check_weights(block, where)
        options, maps = _options(block, where), self._maps(block, where)
        if len(options.decoder_channels) != len(maps) - 1:
            raise InputError(
                f"{block.encoder} has {len(maps)} maps, so the decoder has {len(maps) - 1} blocks, "
                f"got {len(options.decoder_channels)} numbers",
                where=f"{where}.options.decoder_channels",
                fix="give one for each block, the deepest first",
            )
        if max(options.unseen, default=-1) >= len(maps) - 1:
            raise InputError(
                f"the maps before the deepest are 0 to {len(maps) - 2}, got {list(options.unseen)}",
                where=f"{where}.options.unseen",
                fix="give some of them",
            )

    def build(self, block: Model, bands: int, planes: int, where: str, *, pretrained: bool) -> SegModel:
        """Build the network with random or pretrained encoder weights."""
        options, maps = _options(block, where), self._maps(block, where)
        with fetching(block, where):
            encoder = Encoder(block.encoder[3:], bands, pretrained=pretrained, drop_path_rate=options.drop_path_rate)
        stride = 2 ** (len(maps) - 1)
        return SegModel(Net(encoder, maps, options, planes), stride, stride)

    def _maps(self, block: Model, where: str) -> tuple[int, ...]:
        """Return the channels of the encoder's maps, finest first."""
        found = _tried(block.encoder[3:], _options(block, where).drop_path_rate)
        if isinstance(found, str):
            raise InputError(
                f"architecture '{block.architecture}' cannot use encoder '{block.encoder}': {found}",
                where=where,
                fix="choose an encoder that begins with a convolution of stride 2, such as tu-regnetx_002",
            )
        return found


def _options(block: Model, where: str) -> Options:
    found = settings(Options, block.options, f"{where}.options")
    assert isinstance(found, Options), found
    return found


@lru_cache(maxsize=64)
def _tried(name: str, drop_path_rate: float) -> tuple[int, ...] | str:
    """Return the channels of the encoder's maps, or why it will not do; nothing is built on a real device."""
    try:
        with torch.random.fork_rng(devices=[]), torch.device("meta"), torch.no_grad():
            encoder = Encoder(name, 3, pretrained=False, drop_path_rate=drop_path_rate).train(False)
            maps = encoder(torch.zeros(1, 3, TRIAL, TRIAL))
    except (ValueError, TypeError, RuntimeError, AssertionError, IndexError, KeyError, AttributeError) as error:
        return str(error).splitlines()[0][:160] if str(error) else type(error).__name__
    sides = [each.shape[-1] for each in maps]
    if sides != [TRIAL >> place for place in range(len(maps))] or len(maps) < 2:
        return f"its maps of {TRIAL} pixels have {', '.join(map(str, sides))}, not half as many each"
    return tuple(each.shape[1] for each in maps)
