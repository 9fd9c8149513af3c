"""Networks of segmentation-models-pytorch, each tried on the meta device before memory or time is spent."""

from __future__ import annotations

import inspect
import warnings
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import lru_cache
from itertools import product
from typing import Any

import torch
from torch import nn

from maskwright.core.errors import InputError, unknown
from maskwright.core.recipe.heads import Heads
from maskwright.core.recipe.members import Model
from maskwright.models.adapt import SegModel
from maskwright.models.taps import no_maps

RESERVED = ("encoder_name", "encoder_weights", "in_channels", "classes", "activation", "aux_params")
"""Constructor arguments that the recipe sets elsewhere, or that would change what comes out."""
LARGEST_STRIDE = 512
"""Pixels; windowed transformers need sides that divide by up to 32 x their window."""
BANDS = 3
"""Of the trial; how many there are does not change which sizes a network takes."""
ANY_SIZE: tuple[dict[str, Any], ...] = ({}, {"strict_img_size": False}, {"dynamic_img_size": True})
"""timm's ways of letting go of the pretraining size: none needed, Swin's, plain transformers'."""


@dataclass(frozen=True)
class Smp:
    """One SMP architecture and what was measured about it (SMP 0.6.0, timm 1.0.31, 2026-11-21)."""

    class_name: str
    """Class in segmentation_models_pytorch."""
    strides: tuple[int, ...] = ()
    """Values of encoder_output_stride it takes, the preferred one first; empty: it has no such argument."""
    bottleneck: int = 1
    """Least side of the deepest feature map; PAN pools it three times."""
    timm_only: bool = False
    """It takes `tu-` encoders alone."""
    needs_half: bool = False
    """It needs a feature map at half the size, which mix transformers lack."""
    stages: Callable[[nn.Module], list[nn.Module]] = no_maps
    """From the decoder to its modules that deep supervision can look at, finest first."""

    def check(self, block: Model, where: str) -> None:
        """Refuse encoders, weights and options that cannot work; builds nothing on a real device."""
        check_encoder(self, block, where)
        _check_options(self, block, where)
        check_weights(block, where)
        plan(self, block, where)

    def build(self, block: Model, bands: int, planes: int, where: str, *, pretrained: bool) -> SegModel:
        """Build the network with random or pretrained encoder weights."""
        found = plan(self, block, where)
        weights: str | bool | None = block.tag if pretrained else None
        if weights is not None and block.encoder.startswith("tu-"):
            weights = True
        with fetching(block, where):
            network = _construct(self, block, bands, planes, weights, found.options)
        return SegModel(network, found.stride, found.minimum)


@contextmanager
def fetching(block: Model, where: str) -> Iterator[None]:
    """Say in one line that pretrained weights cannot be had.

    Raises:
        InputError: instead of the library's error.
    """
    try:
        yield
    except OSError as error:
        raise InputError(
            f"pretrained weights '{block.tag}' of encoder '{block.encoder}' cannot be fetched ({type(error).__name__})",
            where=where,
            fix="connect to the network, or give weights: a local .safetensors file, or leave weights out",
        ) from error


@dataclass(frozen=True)
class Plan:
    """What a trial found out: further constructor arguments and the sizes the network takes."""

    stride: int
    minimum: int
    options: Mapping[str, Any] = field(default_factory=dict)


def plan(kind: Smp, block: Model, where: str) -> Plan:
    """Find constructor arguments and the stride with which the network takes images of any size.

    Raises:
        InputError: the architecture cannot be built on the encoder.
    """
    bare = block.model_copy(update={"weights": None, "stem": "repeat", "aux": Heads()}).model_dump_json()
    found = _plan(kind, bare)
    if isinstance(found, Plan):
        return found
    raise InputError(
        f"architecture '{block.architecture}' cannot use encoder '{block.encoder}': {found}",
        where=where,
        fix=_advice(kind, found),
    )


def _advice(kind: Smp, reason: str) -> str:
    if kind.timm_only:
        return "choose a vision transformer with patches of 16 pixels, such as tu-vit_small_patch16_224"
    if kind.strides and 32 not in kind.strides and "output stride" in reason:
        return "choose an encoder that can be dilated, such as resnet34, or another architecture, such as upernet"
    if "downsampling pattern" in reason:
        return "use architecture: dpt for plain vision transformers, or an encoder with a pyramid of feature maps"
    return "choose another encoder or architecture"


@lru_cache(maxsize=256)
def _plan(kind: Smp, block_json: str) -> Plan | str:
    block = Model.model_validate_json(block_json)
    reasons: list[str] = []
    for options in _candidates(kind, block):
        found = _try(kind, block, options)
        if isinstance(found, Plan):
            return found
        reasons.append(found)
    return min(reasons, key=lambda reason: "unexpected keyword" in reason)


def _candidates(kind: Smp, block: Model) -> Iterator[dict[str, Any]]:
    strides: list[dict[str, Any]] = [{}]
    if kind.strides and "encoder_output_stride" not in block.options:
        strides = [{"encoder_output_stride": stride} for stride in kind.strides]
    ways = ANY_SIZE if block.encoder.startswith("tu-") else ANY_SIZE[:1]
    for stride, way in product(strides, ways):
        if not way.keys() & block.options.keys():
            yield stride | way


def _try(kind: Smp, block: Model, options: Mapping[str, Any]) -> Plan | str:
    """Build on the meta device and look which sizes work; on the CPU where meta tensors are not enough."""
    reason = ""
    for device in ("meta", "cpu"):
        try:
            with torch.random.fork_rng(devices=[]), torch.device(device):
                network = _construct(kind, block, BANDS, 1, None, options)
            found = _sizes(network.train(False), kind, device)
        except (ValueError, TypeError, RuntimeError, AssertionError, IndexError, KeyError, AttributeError) as error:
            reason = _reason(error, options)
        else:
            if isinstance(found, Plan):
                return Plan(found.stride, found.minimum, dict(options))
            reason = found
        if "meta" not in reason:
            return reason
    return reason


def _reason(error: Exception, options: Mapping[str, Any]) -> str:
    stride = options.get("encoder_output_stride")
    text = str(error) or type(error).__name__
    if stride is not None and ("output_stride" in text or "dilat" in text or isinstance(error, AssertionError)):
        return f"it cannot be dilated to output stride {stride}"
    return text.splitlines()[0][:160]


def _sizes(network: nn.Module, kind: Smp, device: str) -> Plan | str:
    base = int(getattr(network.encoder, "output_stride", 32))
    least = base * kind.bottleneck
    first = _fails(network, device, (least, least), (least + base, least + 2 * base))
    if not first:
        return Plan(base, least)
    for stride in range(2 * base, LARGEST_STRIDE + 1, base):
        if not _fails(network, device, (stride, stride), (stride, 2 * stride)):
            return Plan(stride, stride)
    return f"it does not take images of different sizes ({first})"


def _fails(network: nn.Module, device: str, *shapes: tuple[int, int]) -> str:
    for shape in shapes:
        try:
            with torch.no_grad():
                logits = network(torch.zeros(1, BANDS, *shape, device=device))
        except (ValueError, RuntimeError, AssertionError) as error:
            return str(error).splitlines()[0][:120] if str(error) else type(error).__name__
        if tuple(logits.shape[-2:]) != shape:
            return f"{shape} pixels in, {tuple(logits.shape[-2:])} out"
    return ""


def _construct(
    kind: Smp, block: Model, bands: int, planes: int, weights: str | bool | None, options: Mapping[str, Any]
) -> nn.Module:
    import segmentation_models_pytorch as library

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        network: nn.Module = getattr(library, kind.class_name)(
            encoder_name=block.encoder,
            encoder_weights=weights,
            in_channels=bands,
            classes=planes,
            **{**block.options, **options},
        )
    return network


def check_encoder(kind: Smp, block: Model, where: str, ours: Iterable[str] = ()) -> None:
    """Refuse an encoder that no library has, or that the architecture cannot use.

    Args:
        kind: the architecture.
        block: the recipe's model block.
        where: recipe key for messages.
        ours: names of further encoders, for near misses.

    Raises:
        InputError: naming the encoder.
    """
    import timm
    from segmentation_models_pytorch.encoders import encoders

    name = block.encoder
    if kind.needs_half and name.startswith("mit_b"):
        raise InputError(
            f"architecture '{block.architecture}' cannot use '{name}', which has no features at half the size",
            where=f"{where}.encoder",
            fix="use architecture: segformer, fpn, unet or upernet, or another encoder",
        )
    if name in encoders and not kind.timm_only:
        return
    if name.startswith("tu-"):
        if timm.is_model(name[3:]):
            return
        raise unknown("encoder", name, [f"tu-{model}" for model in timm.list_models()], f"{where}.encoder")
    if name in encoders:
        raise InputError(
            f"architecture '{block.architecture}' takes timm encoders alone, got '{name}'",
            where=f"{where}.encoder",
            fix="write tu- and a timm name, such as tu-vit_small_patch16_224",
        )
    if timm.is_model(name):
        raise InputError(
            f"'{name}' is a timm encoder", where=f"{where}.encoder", fix=f"write it with its prefix: tu-{name}"
        )
    known = [*ours, *encoders, *(f"tu-{model}" for model in timm.list_models())]
    raise unknown("encoder", name, known, f"{where}.encoder")


def _check_options(kind: Smp, block: Model, where: str) -> None:
    import segmentation_models_pytorch as library

    for name in block.options:
        if name in RESERVED:
            raise InputError(
                "is set by the task, the data or another key of model",
                where=f"{where}.options.{name}",
                fix="leave it out",
            )
    known = [
        name
        for name, parameter in inspect.signature(getattr(library, kind.class_name).__init__).parameters.items()
        if parameter.kind is not parameter.VAR_KEYWORD and name not in (*RESERVED, "self")
    ]
    if not block.encoder.startswith("tu-"):  # timm's constructors check their own names; SMP's encoders drop them
        for name in block.options:
            if name not in known:
                raise unknown(f"option of {block.architecture}", name, known, f"{where}.options")


def check_weights(block: Model, where: str) -> None:
    """Refuse a tag of weights that the encoder's library does not know.

    Raises:
        InputError: naming tag and encoder.
    """
    import timm
    from segmentation_models_pytorch.encoders import encoders

    if block.tag is None:
        return
    if not block.encoder.startswith("tu-"):
        tags = encoders[block.encoder]["pretrained_settings"]
        if block.tag not in tags:
            raise unknown(f"weights of {block.encoder}", block.tag, tags, f"{where}.weights")
    elif block.tag != "imagenet":
        raise InputError(
            f"a timm encoder's tag belongs to its name, got weights '{block.tag}'",
            where=f"{where}.weights",
            fix=f"write encoder: {block.encoder.split('.')[0]}.{block.tag} and weights: imagenet",
        )
    elif not timm.models.is_model_pretrained(block.encoder[3:]):
        raise InputError(
            f"timm has no pretrained weights for '{block.encoder}'",
            where=f"{where}.weights",
            fix="leave weights out, or give a local .safetensors file",
        )
