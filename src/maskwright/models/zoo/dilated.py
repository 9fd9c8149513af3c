"""Encoders whose last stages are dilated and not strided, as DeepLab has them."""

from __future__ import annotations

from typing import Any, Literal

from torch import Tensor, nn
from torch.nn import functional

from maskwright.core.recipe.base import Block


class DilatedOptions(Block):
    """Which residual network, and how fine its deepest map stays."""

    depth: Literal[18, 34, 50, 101, 152] = 101
    """Its layers."""
    stride: Literal[8, 16] = 8
    """Pixels of the image to one of the deepest map."""


class DilatedResNet(nn.Module):
    """timm's ResNet, whose last stages are dilated and not strided.

    Args:
        options: which.
        bands: C of the image.
    """

    def __init__(self, options: DilatedOptions, bands: int) -> None:
        super().__init__()
        import timm

        self.network: Any = timm.create_model(
            f"resnet{options.depth}", features_only=True, output_stride=options.stride, in_chans=bands
        )
        self.out_channels = tuple(self.network.feature_info.channels())
        self.strides = tuple(self.network.feature_info.reduction())

    def forward(self, image: Tensor) -> list[Tensor]:
        """Return the maps of all stages, finest first; the last ones are of one size."""
        return list(self.network(image))


class VggOptions(Block):
    """Sizes of the dilated VGG."""

    widths: tuple[int, int, int, int, int] = (64, 128, 256, 512, 512)
    """Channels of its five stages of two, two, three, three and three convolutions."""


class DilatedVgg(nn.Module):
    """VGG16 as DeepLab v1 has it: the last two poolings keep the size, the last stage is dilated by 2.

    Args:
        options: sizes.
        bands: C of the image.
    """

    def __init__(self, options: VggOptions, bands: int) -> None:
        super().__init__()
        self.strides = (1, 2, 4, 8, 8)
        self.out_channels = options.widths
        self.stages = nn.ModuleList()
        old = bands
        for place, new in enumerate(options.widths):
            rate = 2 if place == 4 else 1
            convs: list[nn.Module] = []
            for _ in range(2 if place < 2 else 3):
                convs += [nn.Conv2d(old, new, 3, padding=rate, dilation=rate), nn.ReLU(inplace=True)]
                old = new
            self.stages.append(nn.Sequential(*convs))
        for module in self.modules():
            if isinstance(module, nn.Conv2d):
                nn.init.kaiming_normal_(module.weight, nonlinearity="relu")
                assert module.bias is not None
                nn.init.zeros_(module.bias)

    def forward(self, image: Tensor) -> list[Tensor]:
        """Return the maps of all stages, finest first; the last is pooled once more, at its size."""
        found: list[Tensor] = []
        x = image
        for place, stage in enumerate(self.stages):
            x = stage(x)
            found.append(x)
            x = functional.max_pool2d(x, 3, 2 if place < 3 else 1, 1)
        return [*found[:-1], x]
