"""THE table of origins: whose checkpoints can be brought in, where their weights lie, and by which rules they map."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Literal

from maskwright.core.errors import InputError, unknown
from maskwright.core.recipe.members import Model
from maskwright.models.imports import hand_bone, hf, internimage, mmseg, open_cities, smp, timm, wildfire
from maskwright.models.imports.rules import PartRules, Rule, Rules
from maskwright.models.zoo.encoders import ENCODERS

LIBRARY = "library"
"""Part of encoders that come from SMP or timm and keep their names."""


@dataclass(frozen=True)
class Origin:
    """One origin of checkpoints."""

    parts: Mapping[str, PartRules]
    """Rules by architecture, by family of encoders, and by aux.HEAD."""
    keys: tuple[str, ...] = ("state_dict", "model_state_dict", "model")
    """Where weights may lie in a file, the preferred place first; averages beside them are dropped unless they are
    named here."""
    scope: Literal["whole", "encoder"] = "whole"
    """What its files hold."""
    beside: Rules = ()
    """Of what its files may hold beside a network, whatever that is."""


def origin_of(name: str, block: Model, where: str) -> Origin:
    """Return an origin that has rules for a model.

    Args:
        name: as in --from.
        block: the recipe's model.
        where: recipe key for messages.

    Raises:
        InputError: an unknown origin, or one that has nothing like the model.
    """
    if name not in ORIGINS:
        raise unknown("origin", name, ORIGINS, "--from")
    kind = ORIGINS[name]
    family = family_of(block)
    for part, key in ((block.architecture, "architecture"), (family, "encoder")):
        if part not in kind.parts and not (kind.scope == "encoder" and key == "architecture"):
            named = block.architecture if key == "architecture" else block.encoder
            raise InputError(
                f"checkpoints from {name} hold no {key} '{named}'",
                where=f"{where}.{key}",
                fix=_instead(kind, block, key),
            )
    return kind


def _instead(kind: Origin, block: Model, key: str) -> str:
    """Say which origins hold a model, or, if none does, what this one holds."""
    family = family_of(block)
    others = [name for name, each in ORIGINS.items() if family in each.parts and block.architecture in each.parts]
    if others:
        return f"give --from {' or '.join(others)}, or another {key}"
    families = {each.family for each in ENCODERS.values()}
    encoders = [name for name, each in ENCODERS.items() if each.family in kind.parts]
    if LIBRARY in kind.parts:
        encoders.append("those of the libraries")
    architectures = sorted(part for part in kind.parts if part not in families and part != LIBRARY and "." not in part)
    return f"choose one of: {', '.join(encoders if key == 'encoder' else architectures)}"


def family_of(block: Model) -> str:
    """Return under which part an encoder's rules stand; a library's architecture takes its own encoder of a name."""
    from maskwright.models.build import ARCHITECTURES
    from maskwright.models.smp import Smp

    ours = block.encoder in ENCODERS and not isinstance(ARCHITECTURES.get(block.architecture), Smp)
    return ENCODERS[block.encoder].family if ours else LIBRARY


def rules_of(kind: Origin, block: Model) -> list[Rule]:
    """Return the rules for a model: of its architecture, of its encoder and of its auxiliary heads."""
    return [*(rule for part in _parts(kind, block) for rule in part), *kind.beside]


def _parts(kind: Origin, block: Model) -> Iterator[Rules]:
    for part, settings in [
        (block.architecture, block),
        (family_of(block), block),
        *((f"aux.{name}", head) for name, head in block.aux.given.items()),
    ]:
        rules = kind.parts.get(part, ())
        yield rules(settings) if callable(rules) else rules


ORIGINS: Mapping[str, Origin] = {
    "hand-bone": Origin({"plain": hand_bone.PLAIN, "unet3plus": hand_bone.UNET3PLUS}),
    "hf": Origin(
        {
            "convnext": hf.CONVNEXT,
            "mask2former": hf.MASK2FORMER,
            "mit": hf.MIT,
            "segformer_hf": hf.SEGFORMER,
            "swin": hf.SWIN,
            "upernet_mmseg": hf.UPERNET,
            "aux.fcn": hf.fcn,
        }
    ),
    "internimage": Origin(
        {
            "internimage": internimage.INTERNIMAGE,
            "mask2former": mmseg.MASK2FORMER,
            "segformer_mmseg": mmseg.SEGFORMER,
            "upernet_mmseg": mmseg.UPERNET,
            "aux.fcn": mmseg.fcn,
        },
        beside=mmseg.BESIDE,
    ),
    "mmseg": Origin(
        {
            "convnext": mmseg.CONVNEXT,
            "mask2former": mmseg.MASK2FORMER,
            "mit": mmseg.MIT,
            "segformer_mmseg": mmseg.SEGFORMER,
            "swin": mmseg.SWIN,
            "upernet_mmseg": mmseg.UPERNET,
            "aux.fcn": mmseg.fcn,
        },
        beside=mmseg.BESIDE,
    ),
    "open-cities": Origin({"efficient_fpn": open_cities.decoder, "mish_efficientnet": open_cities.ENCODER}),
    "smp": Origin(
        {
            **dict.fromkeys(smp.DECODERS, smp.SAME),
            LIBRARY: smp.LIBRARY,
            "dilated_vgg": smp.VGG,
            "mish_efficientnet": open_cities.ENCODER,
            "mit": smp.MIT,
            "swin": smp.SWIN,
        }
    ),
    "timm": Origin(
        {
            "convnext": timm.CONVNEXT,
            "dilated": timm.INSIDE,
            "hrnet": timm.HRNET,
            "swin": timm.SWIN,
            LIBRARY: timm.SAME,
        },
        keys=("state_dict_ema", "state_dict", "model_ema", "model"),
        scope="encoder",
    ),
    "wildfire": Origin({"unet_stride1": wildfire.UNET, LIBRARY: wildfire.ENCODER}),
}
"""Name in --from -> what its checkpoints hold."""
