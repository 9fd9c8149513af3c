"""EfficientNet with Mish at both ends and padding fixed beforehand, as SEEDS 004 ran it, in plain PyTorch."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

from pydantic import Field
from torch import Tensor, nn
from torch.nn import functional

from maskwright.core.recipe.base import Block
from maskwright.models.zoo.depth import drop_path
from maskwright.models.zoo.parts import mish, swish

EPS = 1e-3
"""Of every batch norm here."""
MOMENTUM = 0.01
FIRST = 4
"""Blocks whose drop-connect rate is fixed."""
FIRST_RATE = 0.2
"""Their rate, before it is scaled with depth (SEEDS 004.3)."""


class MishEfficientNetOptions(Block):
    """Which EfficientNet, and how much of it is left out in training."""

    size: Literal["b0", "b1", "b2", "b3"] = "b1"
    """Width and depth as in the paper (Tan and Le 2019)."""
    drop_connect: float = Field(default=0.2, ge=0, lt=1)
    """How often a block's change is left out in training, of the last block, falling to 0 at the first; the first four
    blocks go by 0.2 whatever is said here (0.5: noisy student, SEEDS 004.3)."""


@dataclass(frozen=True)
class Stage:
    """Blocks alike, at width 1 and depth 1."""

    repeats: int
    kernel: int
    stride: int
    expand: int
    channels: int


class MishEfficientNet(nn.Module):
    """Stem, blocks and head convolution; maps at strides 4, 8, 16 and, of the head convolution, 32.

    Args:
        options: which.
        bands: C of the image.
    """

    def __init__(self, options: MishEfficientNetOptions, bands: int) -> None:
        super().__init__()
        self.size = options.size
        width, depth = SCALES[options.size]
        channels = rounded(STEM * width)
        self.stem = SameConv(bands, channels, 3, 2)
        self.stem_norm = nn.BatchNorm2d(channels, EPS, MOMENTUM)
        blocks: list[Inverted] = []
        ends: dict[int, int] = {}
        stride = 2
        for stage in STAGES:
            for number in range(math.ceil(depth * stage.repeats)):
                new = rounded(stage.channels * width)
                blocks.append(Inverted(channels, new, stage, stage.stride if number == 0 else 1))
                channels = new
            stride *= stage.stride
            ends[stride] = len(blocks) - 1
        for place, block in enumerate(blocks):
            rate = options.drop_connect if place >= FIRST else FIRST_RATE
            block.drop = rate * place / len(blocks)
        self.blocks = nn.ModuleList(blocks)
        self.head = nn.Conv2d(channels, rounded(HEAD * width), 1, bias=False)
        self.head_norm = nn.BatchNorm2d(rounded(HEAD * width), EPS, MOMENTUM)
        self.strides = (4, 8, 16, 32)
        self._taps = [ends[stride] for stride in self.strides[:-1]]
        taps: list[int] = [blocks[place].out_channels for place in self._taps]
        self.out_channels = (*taps, self.head.out_channels)
        for module in self.modules():
            if isinstance(module, nn.Conv2d):
                fan_out = module.kernel_size[0] * module.kernel_size[1] * module.out_channels // module.groups
                nn.init.normal_(module.weight, 0, math.sqrt(2 / fan_out))
                if module.bias is not None:
                    nn.init.zeros_(module.bias)

    def forward(self, image: Tensor) -> list[Tensor]:
        """Return four maps, finest first."""
        x = mish(self.stem_norm(self.stem(image)), self.training)
        found = []
        for place, block in enumerate(self.blocks):
            x = block(x)
            if place in self._taps:
                found.append(x)
        return [*found, mish(self.head_norm(self.head(x)), self.training)]


class Inverted(nn.Module):
    """Widen, filter each channel, weigh channels by the whole window, narrow (MBConv); added to what came in."""

    def __init__(self, old: int, new: int, stage: Stage, stride: int) -> None:
        super().__init__()
        self.out_channels, self.drop = new, 0.0
        self.adds = stride == 1 and old == new
        wide = old * stage.expand
        if stage.expand > 1:
            self.expand: nn.Conv2d | None = nn.Conv2d(old, wide, 1, bias=False)
            self.expand_norm = nn.BatchNorm2d(wide, EPS, MOMENTUM)
        else:
            self.expand = None
        self.depthwise = SameConv(wide, wide, stage.kernel, stride, groups=wide)
        self.depthwise_norm = nn.BatchNorm2d(wide, EPS, MOMENTUM)
        squeezed = max(1, old // 4)
        self.squeeze = nn.Conv2d(wide, squeezed, 1)
        self.excite = nn.Conv2d(squeezed, wide, 1)
        self.project = nn.Conv2d(wide, new, 1, bias=False)
        self.project_norm = nn.BatchNorm2d(new, EPS, MOMENTUM)

    def forward(self, x: Tensor) -> Tensor:
        """Return (B, new, h, w)."""
        wide = x if self.expand is None else swish(self.expand_norm(self.expand(x)), self.training)
        wide = swish(self.depthwise_norm(self.depthwise(wide)), self.training)
        weights = self.excite(swish(self.squeeze(wide.mean((2, 3), keepdim=True)), self.training))
        change: Tensor = self.project_norm(self.project(wide * weights.sigmoid()))
        return x + drop_path(change, self.drop, self.training) if self.adds else change


class SameConv(nn.Conv2d):
    """A convolution padded as for an even number of pixels, whatever their number is: more below and right.

    efficientnet-pytorch 0.6.3, which SEEDS 004 ran, reckons the padding of every layer once from a nominal side of
    224 to 300 pixels; for sides that divide by 32 that is TensorFlow's rule.
    """

    def __init__(self, old: int, new: int, kernel: int, stride: int, groups: int = 1) -> None:
        even = (kernel - stride) % 2 == 0
        super().__init__(old, new, kernel, stride, kernel // 2 if even else 0, groups=groups, bias=False)
        before = (kernel - stride) // 2
        self.uneven = () if even else (before, kernel - stride - before) * 2

    def forward(self, x: Tensor) -> Tensor:
        """Return (B, new, H / stride, W / stride)."""
        return super().forward(functional.pad(x, self.uneven) if self.uneven else x)


def rounded(channels: float) -> int:
    """Round to a multiple of 8, but never down by more than a tenth."""
    found = max(8, int(channels + 4) // 8 * 8)
    return found + 8 if found < 0.9 * channels else found


STEM, HEAD = 32, 1280
STAGES = (
    Stage(1, 3, 1, 1, 16),
    Stage(2, 3, 2, 6, 24),
    Stage(2, 5, 2, 6, 40),
    Stage(3, 3, 2, 6, 80),
    Stage(3, 5, 1, 6, 112),
    Stage(4, 5, 2, 6, 192),
    Stage(1, 3, 1, 6, 320),
)
"""EfficientNet-B0 (Tan and Le 2019, table 1)."""
SCALES: Mapping[str, tuple[float, float]] = {"b0": (1.0, 1.0), "b1": (1.0, 1.1), "b2": (1.1, 1.2), "b3": (1.2, 1.4)}
"""Width and depth as multiples."""
