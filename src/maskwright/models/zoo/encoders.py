"""THE table of our own encoders: name in a recipe -> family, settings, whose pretrained weights it can start from."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from torch import nn

from maskwright.core.recipe.base import Block
from maskwright.models.zoo.convnext import ConvNext, ConvNextOptions
from maskwright.models.zoo.dilated import DilatedOptions, DilatedResNet, DilatedVgg, VggOptions
from maskwright.models.zoo.efficientnet import MishEfficientNet, MishEfficientNetOptions
from maskwright.models.zoo.hrnet import HrNet, HrNetOptions
from maskwright.models.zoo.internimage import InternImage, InternImageOptions
from maskwright.models.zoo.mit import Mit, MitOptions
from maskwright.models.zoo.plain import Plain, PlainOptions
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
    "dilated_resnet50": EncoderKind("dilated", DilatedOptions(depth=50), DilatedResNet, "tu-resnet50.tv_in1k"),
    "dilated_resnet101": EncoderKind("dilated", DilatedOptions(), DilatedResNet, "tu-resnet101.tv_in1k"),
    "dilated_vgg16": EncoderKind("dilated_vgg", VggOptions(), DilatedVgg, "vgg16"),
    "hrnet_w18": EncoderKind("hrnet", HrNetOptions(width=18), HrNet, "tu-hrnet_w18.ms_in1k"),
    "hrnet_w18_small": EncoderKind("hrnet", HrNetOptions(width=18, small="v1"), HrNet, "tu-hrnet_w18_small.ms_in1k"),
    "hrnet_w18_small_v2": EncoderKind(
        "hrnet", HrNetOptions(width=18, small="v2"), HrNet, "tu-hrnet_w18_small_v2.ms_in1k"
    ),
    "hrnet_w30": EncoderKind("hrnet", HrNetOptions(width=30), HrNet, "tu-hrnet_w30.ms_in1k"),
    "hrnet_w32": EncoderKind("hrnet", HrNetOptions(width=32), HrNet, "tu-hrnet_w32.ms_in1k"),
    "hrnet_w40": EncoderKind("hrnet", HrNetOptions(width=40), HrNet, "tu-hrnet_w40.ms_in1k"),
    "hrnet_w44": EncoderKind("hrnet", HrNetOptions(width=44), HrNet, "tu-hrnet_w44.ms_in1k"),
    "hrnet_w48": EncoderKind("hrnet", HrNetOptions(), HrNet, "tu-hrnet_w48.ms_in1k"),
    "hrnet_w64": EncoderKind("hrnet", HrNetOptions(width=64), HrNet, "tu-hrnet_w64.ms_in1k"),
    "internimage_h": EncoderKind(
        "internimage",
        InternImageOptions(
            channels=320,
            depths=(6, 6, 32, 6),
            groups=(10, 20, 40, 80),
            layer_scale=None,
            guide_kernel=5,
            centre_scale=True,
            inner_norm=True,
            extra_norms=(5, 11, 17, 23, 29),
            drop_path=0.4,
        ),
        InternImage,
    ),
    "internimage_t": EncoderKind("internimage", InternImageOptions(), InternImage),
    "internimage_s": EncoderKind(
        "internimage",
        InternImageOptions(channels=80, depths=(4, 4, 21, 4), groups=(5, 10, 20, 40), post_norm=True, drop_path=0.3),
        InternImage,
    ),
    "internimage_b": EncoderKind(
        "internimage",
        InternImageOptions(channels=112, depths=(4, 4, 21, 4), groups=(7, 14, 28, 56), post_norm=True, drop_path=0.4),
        InternImage,
    ),
    "internimage_l": EncoderKind(
        "internimage",
        InternImageOptions(
            channels=160,
            depths=(5, 5, 22, 5),
            groups=(10, 20, 40, 80),
            post_norm=True,
            offset_scale=2.0,
            drop_path=0.4,
        ),
        InternImage,
    ),
    "internimage_xl": EncoderKind(
        "internimage",
        InternImageOptions(
            channels=192,
            depths=(5, 5, 24, 5),
            groups=(12, 24, 48, 96),
            post_norm=True,
            offset_scale=2.0,
            drop_path=0.4,
        ),
        InternImage,
    ),
    "mish_efficientnet_b0": EncoderKind(
        "mish_efficientnet", MishEfficientNetOptions(size="b0"), MishEfficientNet, "efficientnet-b0"
    ),
    "mish_efficientnet_b1": EncoderKind(
        "mish_efficientnet", MishEfficientNetOptions(), MishEfficientNet, "efficientnet-b1"
    ),
    "mish_efficientnet_b2": EncoderKind(
        "mish_efficientnet", MishEfficientNetOptions(size="b2"), MishEfficientNet, "efficientnet-b2"
    ),
    "mish_efficientnet_b3": EncoderKind(
        "mish_efficientnet", MishEfficientNetOptions(size="b3"), MishEfficientNet, "efficientnet-b3"
    ),
    "mit_b0": EncoderKind("mit", MitOptions(dims=(32, 64, 160, 256)), Mit, "mit_b0"),
    "mit_b1": EncoderKind("mit", MitOptions(), Mit, "mit_b1"),
    "mit_b2": EncoderKind("mit", MitOptions(depths=(3, 4, 6, 3)), Mit, "mit_b2"),
    "mit_b3": EncoderKind("mit", MitOptions(depths=(3, 4, 18, 3)), Mit, "mit_b3"),
    "mit_b4": EncoderKind("mit", MitOptions(depths=(3, 8, 27, 3)), Mit, "mit_b4"),
    "mit_b5": EncoderKind("mit", MitOptions(depths=(3, 6, 40, 3)), Mit, "mit_b5"),
    "plain": EncoderKind("plain", PlainOptions(), Plain),
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
