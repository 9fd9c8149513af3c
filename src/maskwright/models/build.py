"""THE table of architectures, and the way from a recipe's model block to a network."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Protocol

import torch
from torch import nn

from maskwright.core.errors import InputError, unknown
from maskwright.core.recipe.heads import Heads
from maskwright.core.recipe.members import Model
from maskwright.models import hub, taps
from maskwright.models.adapt import SegModel
from maskwright.models.initial import load_into, take_encoder
from maskwright.models.smp import Smp
from maskwright.models.zoo import deeplab, efficient_fpn, mask2former, ocr, segformer, unet3plus, upernet
from maskwright.models.zoo.own import Either, Own
from maskwright.models.zoo.pan import PanOptions, make_pan
from maskwright.models.zoo.unet_stride1 import UnetStride1

__all__ = ["ARCHITECTURES", "Architecture", "SegModel", "build_model", "check"]

PICKLED = (".pth", ".pt", ".ckpt", ".bin", ".pkl", ".pickle", ".tar")
"""Endings of checkpoints that would run code when opened."""


TAG_BANDS = 3
"""Bands that weights by a tag were trained on."""


class Architecture(Protocol):
    """What the table holds for each name."""

    @property
    def stages(self) -> Callable[[nn.Module], list[nn.Module]]:
        """From the network's decoder to its modules that deep supervision can look at, finest first."""

    def check(self, block: Model, where: str) -> None:
        """Raise InputError if the block cannot be built."""

    def build(self, block: Model, bands: int, planes: int, where: str, *, pretrained: bool) -> SegModel:
        """Build it; `pretrained` says whether block.weights is a tag to fetch now."""


def check(block: Model, where: str) -> None:
    """Refuse a model block that cannot be built; no memory is spent and no weights are fetched.

    Args:
        block: the recipe's model block.
        where: recipe key for messages, e.g. `members.a.model`.

    Raises:
        InputError: unknown architecture, encoder, option or weights tag (with near misses), a pair
            that does not go together, or a pickled weights file.
    """
    if block.architecture not in ARCHITECTURES:
        raise unknown("architecture", block.architecture, ARCHITECTURES, f"{where}.architecture")
    if block.tag is not None and block.tag.lower().endswith(PICKLED):
        raise InputError(
            f"pickled checkpoint '{block.tag}' can run code when it is opened",
            where=f"{where}.weights",
            fix="convert it to .safetensors where you trust it",
        )
    if block.stem != "repeat" and block.weights is None:
        raise InputError(
            f"'{block.stem}' says how pretrained weights meet other bands, and there are none",
            where=f"{where}.stem",
            fix="set weights, or leave stem out",
        )
    ARCHITECTURES[block.architecture].check(_plain(block), where)
    if block.aux.given:
        _check_heads(block, where)


def _check_heads(block: Model, where: str) -> None:
    """Build network and heads on the meta device; on the CPU where that is not enough."""
    bare = block.model_copy(update={"weights": None})
    for device in ("meta", "cpu"):
        try:
            with torch.random.fork_rng(devices=[]), torch.device(device):
                assemble(bare, 3, 1, where, pretrained=False)
        except RuntimeError:
            if device == "cpu":
                raise
        else:
            return


def assemble(block: Model, bands: int, planes: int, where: str, *, pretrained: bool) -> SegModel:
    """Build the network, its spectral stem and its auxiliary heads, in this order, from a block that was checked.

    Args:
        block: the recipe's model block.
        bands: C.
        planes: K.
        where: recipe key for messages.
        pretrained: whether block.weights is a tag to fetch now.
    """
    kind, inner = ARCHITECTURES[block.architecture], taken(block, bands)
    model = kind.build(_plain(block), inner, planes, where, pretrained=pretrained)
    if block.spectral is not None:
        model.mix_bands(bands, block.spectral.hidden or inner, inner)
    if block.aux.given:
        stages = kind.stages(model.decoder) if block.aux.deep is not None else []
        model.attach(block.aux, inner, planes, stages, where)
    return model


def _plain(block: Model) -> Model:
    """Return the block without what is built around a network."""
    return block.model_copy(update={"aux": Heads(), "spectral": None})


def taken(block: Model, bands: int) -> int:
    """Return how many channels the network's own first layer takes of an image of so many bands."""
    return bands if block.spectral is None else block.spectral.channels


def build_model(
    block: Model, bands: int, planes: int, recipe_dir: Path | None = None, where: str = "model"
) -> SegModel:
    """Build a network from a recipe's model block; random weights come from torch's generator.

    Args:
        block: the recipe's model block.
        bands: C, channels of the image, >= 1.
        planes: K, channels of the logits, >= 1.
        recipe_dir: folder that a local weights file is relative to; None: the current directory.
        where: recipe key for messages.

    Raises:
        InputError: as `check`, and when weights are missing, damaged or do not fit.
    """
    check(block, where)
    inner = taken(block, bands)
    apart = block.tag is not None and block.stem != "repeat" and inner != TAG_BANDS
    model = assemble(block, bands, planes, where, pretrained=block.tag is not None and not apart)
    if apart:  # the libraries themselves know one way of other bands alone
        donor = ARCHITECTURES[block.architecture].build(_plain(block), TAG_BANDS, planes, where, pretrained=True)
        take_encoder(model, donor, inner, block.stem)
    if block.local_file is not None:
        load_into(model, (recipe_dir or Path()) / block.local_file, inner, block.stem)
    elif block.first is not None and block.first.hub is not None:
        load_into(model, hub.fetch(block.first, where), inner, block.stem)
    return model


ARCHITECTURES: Mapping[str, Architecture] = {
    "deeplabv1": Own(deeplab.LargeFovOptions, deeplab.make_deeplabv1, families=("dilated", "dilated_vgg"), stride=8),
    "deeplabv2": Own(deeplab.AsppSumOptions, deeplab.make_deeplabv2, families=("dilated", "dilated_vgg"), stride=8),
    "deeplabv3": Smp("DeepLabV3", strides=(8, 16)),
    "deeplabv3plus": Smp("DeepLabV3Plus", strides=(16, 8)),
    "dpt": Smp("DPT", timm_only=True, stages=taps.fusions),
    "efficient_fpn": Own(
        efficient_fpn.EfficientFpnOptions,
        efficient_fpn.make_efficient_fpn,
        families=("mish_efficientnet",),
        stride=32,
    ),
    "fpn": Smp("FPN", stages=taps.pyramid),
    "linknet": Smp("Linknet", needs_half=True, stages=taps.blocks),
    "manet": Smp("MAnet", stages=taps.blocks),
    "mask2former": Own(
        mask2former.Mask2FormerOptions,
        mask2former.make_mask2former,
        multiple=mask2former.multiple,
        minimum=64,
        border="zeros",
    ),
    "ocrnet": Own(ocr.OcrOptions, ocr.make_ocr),
    "pan": Either(
        Smp("PAN", strides=(16, 32), bottleneck=8, stages=taps.gates),
        Own(PanOptions, make_pan, stride=4, minimum=256),
    ),
    "pspnet": Smp("PSPNet"),
    "segformer": Smp("Segformer"),
    "segformer_hf": Own(segformer.SegformerOptions, segformer.make_plain, stages=segformer.stages),
    "segformer_mmseg": Own(segformer.SegformerOptions, segformer.make_segformer, stages=segformer.stages),
    "unet": Smp("Unet", stages=taps.blocks),
    "unet3plus": Own(
        unet3plus.Unet3PlusOptions,
        unet3plus.make_unet3plus,
        multiple=unet3plus.multiple,
        minimum=1,
        stages=unet3plus.stages,
    ),
    "unet_stride1": UnetStride1(),
    "unetplusplus": Smp("UnetPlusPlus", needs_half=True, stages=taps.nested_blocks),
    "upernet": Smp("UPerNet", stages=taps.laterals),
    "upernet_mmseg": Own(upernet.UperOptions, upernet.make_upernet, stages=upernet.stages),
}
