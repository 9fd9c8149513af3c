"""THE table of our own encoders: name in a recipe -> family, settings, whose pretrained weights it can start from."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from torch import nn

from maskwright.core.recipe.base import Block
from maskwright.models.zoo.convnext import ConvNext, ConvNextOptions
from maskwright.models.zoo.mit import Mit, MitOptions
from maskwright.models.zoo.swin import Swin, SwinOptions


@dataclass(frozen=True)
class EncoderKind:
    """One encoder of ours."""

    family: str
    """Under which name models/imports knows its rules."""
    defaults: Block
    """Its settings, which model.options.encoder may change."""
    make: Callable[[Any, int], nn.Module]
    """From settings and bands to the encoder."""
    donor: str = ""
    """SMP's or timm's encoder (tu-) whose weights are those of the tag imagenet; empty: there are none."""


ENCODERS: Mapping[str, EncoderKind] = {
    "convnext_tiny": EncoderKind("convnext", ConvNextOptions(), ConvNext, "tu-convnext_tiny.fb_in22k"),
    "convnext_small": EncoderKind(
        "convnext", ConvNextOptions(depths=(3, 3, 27, 3)), ConvNext, "tu-convnext_small.fb_in22k"
    ),
    "convnext_base": EncoderKind(
        "convnext",
        ConvNextOptions(depths=(3, 3, 27, 3), dims=(128, 256, 512, 1024)),
        ConvNext,
        "tu-convnext_base.fb_in22k",
    ),
    "convnext_large": EncoderKind(
        "convnext",
        ConvNextOptions(depths=(3, 3, 27, 3), dims=(192, 384, 768, 1536)),
        ConvNext,
        "tu-convnext_large.fb_in22k",
    ),
    "convnext_xlarge": EncoderKind(
        "convnext",
        ConvNextOptions(depths=(3, 3, 27, 3), dims=(256, 512, 1024, 2048)),
        ConvNext,
        "tu-convnext_xlarge.fb_in22k",
    ),
    "mit_b0": EncoderKind("mit", MitOptions(dims=(32, 64, 160, 256)), Mit, "mit_b0"),
    "mit_b1": EncoderKind("mit", MitOptions(), Mit, "mit_b1"),
    "mit_b2": EncoderKind("mit", MitOptions(depths=(3, 4, 6, 3)), Mit, "mit_b2"),
    "mit_b3": EncoderKind("mit", MitOptions(depths=(3, 4, 18, 3)), Mit, "mit_b3"),
    "mit_b4": EncoderKind("mit", MitOptions(depths=(3, 8, 27, 3)), Mit, "mit_b4"),
    "mit_b5": EncoderKind("mit", MitOptions(depths=(3, 6, 40, 3)), Mit, "mit_b5"),
    "swin_tiny": EncoderKind("swin", SwinOptions(), Swin, "tu-swin_tiny_patch4_window7_224.ms_in22k"),
    "swin_small": EncoderKind(
        "swin", SwinOptions(depths=(2, 2, 18, 2)), Swin, "tu-swin_small_patch4_window7_224.ms_in22k"
    ),
    "swin_base": EncoderKind(
        "swin",
        SwinOptions(embed=128, depths=(2, 2, 18, 2), heads=(4, 8, 16, 32)),
        Swin,
        "tu-swin_base_patch4_window7_224.ms_in22k",
    ),
    "swin_base_384": EncoderKind(
        "swin",
        SwinOptions(embed=128, depths=(2, 2, 18, 2), heads=(4, 8, 16, 32), window=12),
        Swin,
        "tu-swin_base_patch4_window12_384.ms_in22k",
    ),
    "swin_large": EncoderKind(
        "swin",
        SwinOptions(embed=192, depths=(2, 2, 18, 2), heads=(6, 12, 24, 48)),
        Swin,
        "tu-swin_large_patch4_window7_224.ms_in22k",
    ),
    "swin_large_384": EncoderKind(
        "swin",
        SwinOptions(embed=192, depths=(2, 2, 18, 2), heads=(6, 12, 24, 48), window=12),
        Swin,
        "tu-swin_large_patch4_window12_384.ms_in22k_ft_in1k",
    ),
}
"""Sizes as published: Swin, Liu et al. 2021, table 7; ConvNeXt, Liu et al. 2022; MiT, Xie et al. 2021, table 6."""
