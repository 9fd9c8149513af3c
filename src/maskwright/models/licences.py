"""What is known of licences and of whose pretrained weights are whose: two tables, and nothing guessed beyond them."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

Use = Literal["yes", "no", "unknown"]
"""Whether weights may be used commercially. Where terms are particular to one publisher: unknown, read them."""


@dataclass(frozen=True)
class Origin:
    """Whose the pretrained weights of a family are."""

    licence: str | None
    """As LICENCES spells it; None: nobody states one."""
    source: str
    """Who made them."""
    twin: str = ""
    """The same weights in timm, whose record a test holds this one against."""
    trained_on: str = "ImageNet-1k"
    """Images."""


def use_of(licence: str | None) -> Use:
    """Return whether a licence is known to allow commercial use.

    Args:
        licence: in any case, or None.
    """
    return "unknown" if licence is None else LICENCES.get(normal(licence), "unknown")


def normal(licence: str) -> str:
    """Return a licence's name as the table spells it, e.g. `Apache 2.0` as apache-2.0."""
    return re.sub(r"[\s_]+", "-", licence.strip().lower())


def smp_origin(encoder: str, tag: str) -> Origin | None:
    """Return whose an SMP encoder's pretrained weights are; None for a family that is not in the table.

    Args:
        encoder: an SMP name, without the prefix tu-.
        tag: one of its weights.
    """
    for (families, tags), origin in SMP_WEIGHTS.items():
        if re.fullmatch(families, encoder) and re.fullmatch(tags, tag):
            return origin
    return None


def trained_on(tag: str) -> str:
    """Return the images that a timm tag names, e.g. `ImageNet-22k, ImageNet-1k` for fb_in22k_ft_in1k; may be empty."""
    words = re.split(r"[_-]", tag)
    found = [says for word in words for part, says in IMAGES.items() if re.fullmatch(part, word)]
    return ", ".join(dict.fromkeys(found))


IMAGES: Mapping[str, str] = {
    "in1k": "ImageNet-1k",
    "in12k": "ImageNet-12k",
    "in2[12]k": "ImageNet-22k",
    "inw21k": "ImageNet-22k",
    "jft": "JFT-300M",
    "ig1b": "Instagram",
    "yfcc1(00|5)m": "YFCC",
    "laion(2b|400m|a)": "LAION",
    "webli": "WebLI",
    "openai": "OpenAI's pairs of images and texts",
    "lvd[0-9]+m": "LVD",
    "sa1b": "SA-1B",
}
"""Words of timm's tags -> images, as patterns."""

LICENCES: Mapping[str, Use] = {
    "apache-2.0": "yes",
    "mit": "yes",
    "bsd-2-clause": "yes",
    "bsd-3-clause": "yes",
    "isc": "yes",
    "unlicense": "yes",
    "cc0-1.0": "yes",
    "cc-by-4.0": "yes",
    "cc-by-sa-4.0": "yes",
    "cc-by-nc-4.0": "no",
    "cc-by-nc-sa-4.0": "no",
    "cc-by-nc-nd-4.0": "no",
    "apple-amlr": "no",  # Apple's machine learning research licence: research purposes only
    "fair-noncommercial-research-license": "no",
    "nvidia-source-code-license": "no",  # SegFormer's: non-commercial only
}
"""Licence -> whether it allows commercial use. Publishers' own terms that allow it under conditions are not here."""

_NVIDIA = Origin("nvidia-source-code-license", "NVIDIA, SegFormer (non-commercial)")
_SEMI = "Facebook, semi-supervised and semi-weakly supervised ImageNet models"
_TIMM = "timm (Ross Wightman)"

SMP_WEIGHTS: Mapping[tuple[str, str], Origin] = {
    (r"mit_b\d", "imagenet"): _NVIDIA,
    (r"mobileone_s\d", "imagenet"): Origin("mobileone-license", "Apple, MobileOne", "mobileone_s0.apple_in1k"),
    (r"resne.*", "ssl"): Origin(
        "cc-by-nc-4.0", _SEMI, "resnet18.fb_ssl_yfcc100m_ft_in1k", "YFCC (unlabelled), ImageNet-1k"
    ),
    (r"resne.*", "swsl"): Origin("cc-by-nc-4.0", _SEMI, "resnet18.fb_swsl_ig1b_ft_in1k", "Instagram, ImageNet-1k"),
    (r"resnext101.*", "instagram"): Origin(
        "cc-by-nc-4.0", "Facebook, weakly supervised models", "resnext101_32x8d.fb_wsl_ig1b_ft_in1k", "Instagram"
    ),
    (r"resne(t|xt).*", "imagenet"): Origin("bsd-3-clause", "torchvision", "resnet34.tv_in1k"),
    (r"vgg.*", "imagenet"): Origin("bsd-3-clause", "torchvision", "vgg16.tv_in1k"),
    (r"(densenet.*|mobilenet_v2)", "imagenet"): Origin("bsd-3-clause", "torchvision"),
    (r"dpn.*", r"imagenet(\+5k)?"): Origin("apache-2.0", "Dual Path Networks, through timm", "dpn68.mx_in1k"),
    (r"(senet|se_resne).*", "imagenet"): Origin(
        "apache-2.0", "Squeeze-and-Excitation networks", "legacy_senet154.in1k"
    ),
    (r"inceptionv4", r"imagenet(\+background)?"): Origin("apache-2.0", "TensorFlow models", "inception_v4.tf_in1k"),
    (r"inceptionresnetv2", r"imagenet(\+background)?"): Origin(
        "apache-2.0", "TensorFlow models", "inception_resnet_v2.tf_in1k"
    ),
    (r"xception", "imagenet"): Origin("apache-2.0", "TensorFlow models", "legacy_xception.tf_in1k"),
    (r"timm-skresne.*", "imagenet"): Origin("apache-2.0", _TIMM, "skresnet18.ra_in1k"),
    (r"timm-tf_efficientnet_lite\d", "imagenet"): Origin(
        "apache-2.0", "TensorFlow models, through timm", "tf_efficientnet_lite0.in1k"
    ),
    (r"(timm-)?efficientnet-b\d", "imagenet"): Origin("apache-2.0", "TensorFlow models", "tf_efficientnet_b0.aa_in1k"),
    (r"(timm-)?efficientnet-b\d", "advprop"): Origin("apache-2.0", "TensorFlow models", "tf_efficientnet_b0.ap_in1k"),
    (r"timm-efficientnet-(b\d|l2)", r"noisy-student(-475)?"): Origin(
        "apache-2.0", "TensorFlow models", "tf_efficientnet_b0.ns_jft_in1k", "JFT-300M (unlabelled), ImageNet-1k"
    ),
}
"""Patterns of SMP's encoders and of their tags -> whose the weights are; the first that fits counts. SMP itself states
no licence with its weights but for MiT and MobileOne (its licenses/LICENSES.md); the others are as timm records
the same weights, torchvision's as torchvision's own licence (both read 2026-11-27)."""
