"""How our own networks enter the table: encoder and decoder by name, settings as blocks, joined to one network."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Literal, Protocol

from pydantic import ValidationError
from torch import Tensor, nn
from torch.nn import functional

from maskwright.core.errors import InputError, unknown
from maskwright.core.recipe.base import Block
from maskwright.core.recipe.members import Model
from maskwright.models.adapt import SegModel
from maskwright.models.smp import Plan, Smp, check_encoder, check_weights, fetching, plan
from maskwright.models.taps import no_maps
from maskwright.models.zoo.encoders import ENCODERS
from maskwright.models.zoo.library import LibraryEncoder

LIBRARY = Smp("UPerNet")
"""How a library's encoder is tried: in the least demanding decoder that needs a pyramid."""
TAG_BANDS = 3
"""Bands that weights by a tag were trained on."""
ENCODER = "encoder"
"""Key of model.options whose value are the encoder's settings; all others are the decoder's."""


class Encoder(Protocol):
    """What a decoder may count on: maps of an image of any size, finest first."""

    out_channels: tuple[int, ...]
    """Of each map, finest first."""
    strides: tuple[int, ...]
    """Pixels of the image to one of each map, e.g. (4, 8, 16, 32)."""


class Segmenter(nn.Module):
    """Encoder, decoder of one coarse map, and a head, whose logits are enlarged bilinearly to the image's size.

    Args:
        encoder: gives maps, finest first.
        decoder: from those to one map.
        head: from that to logits of the same size.
    """

    def __init__(self, encoder: nn.Module, decoder: nn.Module, head: nn.Module) -> None:
        super().__init__()
        self.encoder, self.decoder, self.segmentation_head = encoder, decoder, head

    def coarse(self, image: Tensor) -> Tensor:
        """Return logits at the size of the decoder's map."""
        logits: Tensor = self.segmentation_head(self.decoder(self.encoder(image)))
        return logits

    def forward(self, image: Tensor) -> Tensor:
        """Return logits (B, K, H, W) of an image (B, C, H, W)."""
        size = (image.shape[-2], image.shape[-1])
        return functional.interpolate(self.coarse(image), size=size, mode="bilinear", align_corners=False)


@dataclass(frozen=True)
class Own:
    """An architecture of our own: a row of models/build.py's table."""

    options: type[Block]
    """What model.options may hold beside the encoder's settings."""
    make: Callable[[Any, Any, int], nn.Module]
    """From an encoder, options and the number of planes to a network with .encoder and .decoder."""
    families: tuple[str, ...] = ()
    """Families of encoders that fit; empty: whatever gives maps at several strides."""
    stride: int = 1
    """Pixels; what images are padded to a multiple of. 1: as they are, where the original does not pad."""
    multiple: Callable[[Any, Any], int] | None = None
    """From encoder and options to what counts instead of `stride`, where that is not the same for all."""
    minimum: int = 32
    """Pixels; least side."""
    border: Literal["mirror", "zeros"] = "mirror"
    """What images are padded with."""
    stages: Callable[[nn.Module], list[nn.Module]] = no_maps
    """From the decoder to its modules that deep supervision can look at, finest first."""

    def check(self, block: Model, where: str) -> None:
        """Refuse encoders, weights and options that cannot work; nothing is built on a real device."""
        self._check_encoder(block, where)
        self._settings(block, where)
        self._check_tag(block, where)

    def build(self, block: Model, bands: int, planes: int, where: str, *, pretrained: bool) -> SegModel:
        """Build the network with random or pretrained encoder weights."""
        inner, outer = self._settings(block, where)
        kind, found = ENCODERS.get(block.encoder), None
        if kind is None:
            found = library_plan(block, where)
            encoder: nn.Module = library_encoder(block, bands, found, where, pretrained=pretrained)
        else:
            encoder = kind.make(inner, bands)
        try:
            network = self.make(encoder, outer, planes)
        except ValueError as error:
            raise InputError(
                f"architecture '{block.architecture}' cannot use encoder '{block.encoder}': {error}",
                where=where,
                fix="choose another encoder or other options",
            ) from error
        if kind is not None and pretrained:
            _fill_encoder(network, block, bands, where)
        stride = self.stride if self.multiple is None else self.multiple(encoder, outer)
        stride = stride if found is None else math.lcm(stride, found.stride)
        return SegModel(network, stride, -(-max(self.minimum, stride) // stride) * stride, self.border)

    def _check_encoder(self, block: Model, where: str) -> None:
        fitting = [name for name, each in ENCODERS.items() if not self.families or each.family in self.families]
        if block.encoder in fitting:
            return
        if self.families or block.encoder in ENCODERS:
            raise unknown(f"encoder of {block.architecture}", block.encoder, fitting, f"{where}.encoder")
        check_encoder(LIBRARY, block, where, ours=fitting)
        library_plan(block, where)

    def _settings(self, block: Model, where: str) -> tuple[Block | None, Block]:
        """Return the settings of encoder (None: a library's) and decoder that the recipe gives."""
        given = dict(block.options)
        inner = given.pop(ENCODER, {})
        kind = ENCODERS.get(block.encoder)
        if not isinstance(inner, Mapping):
            raise InputError(
                f"must be a mapping of settings, got {inner!r}", where=f"{where}.options.{ENCODER}", fix="mend it"
            )
        outer = settings(self.options, given, f"{where}.options")
        if kind is None:
            return None, outer
        merged = {**kind.defaults.model_dump(), **inner}
        return settings(type(kind.defaults), merged, f"{where}.options.{ENCODER}"), outer

    def _check_tag(self, block: Model, where: str) -> None:
        kind = ENCODERS.get(block.encoder)
        if block.tag is None:
            return
        if kind is None:
            check_weights(block, where)
        elif not kind.donor or block.tag != "imagenet":
            raise InputError(
                f"there are no weights '{block.tag}' for encoder '{block.encoder}'",
                where=f"{where}.weights",
                fix="leave weights out, or bring a file in with: maskwright import-weights",
            )


@dataclass(frozen=True)
class Either:
    """An architecture of a library that takes our encoders, too."""

    library: Smp
    own: Own

    @property
    def stages(self) -> Callable[[nn.Module], list[nn.Module]]:
        """From the decoder to its modules that deep supervision can look at: the library's."""
        return self.library.stages

    def check(self, block: Model, where: str) -> None:
        """Refuse what cannot be built."""
        self._kind(block).check(block, where)

    def build(self, block: Model, bands: int, planes: int, where: str, *, pretrained: bool) -> SegModel:
        """Build the network."""
        return self._kind(block).build(block, bands, planes, where, pretrained=pretrained)

    def _kind(self, block: Model) -> Smp | Own:
        return self.own if block.encoder in ENCODERS else self.library


def library_plan(block: Model, where: str) -> Plan:
    """Find out which sizes a library's encoder takes, and what its constructor needs for that."""
    return plan(LIBRARY, block.model_copy(update={"architecture": "upernet", "options": _inner(block)}), where)


def library_encoder(block: Model, bands: int, found: Plan, where: str, *, pretrained: bool) -> LibraryEncoder:
    """Build a library's encoder; its pretrained weights are fetched if asked for."""
    timm = block.encoder.startswith("tu-")
    weights: str | bool | None = (True if timm else block.tag) if pretrained else None
    with fetching(block, where):
        return LibraryEncoder(block.encoder, bands, weights, {**_inner(block), **found.options})


def _inner(block: Model) -> dict[str, Any]:
    given = block.options.get(ENCODER, {})
    return dict(given) if isinstance(given, Mapping) else {}


def settings(kind: type[Block], given: Mapping[str, Any], where: str) -> Block:
    """Check settings against their block, naming the key that is wrong.

    Args:
        kind: the block.
        given: as in the recipe.
        where: recipe key for messages.

    Raises:
        InputError: an unknown key, or a value out of range.
    """
    try:
        return kind.model_validate(dict(given))
    except ValidationError as error:
        detail = error.errors(include_url=False)[0]
        what, _, fix = str(detail["msg"]).removeprefix("Value error, ").partition("; ")
        key = ".".join([where, *(str(part) for part in detail["loc"])])
        if detail["type"] not in ("unknown_key", "value_error"):
            what = f"{what[0].lower()}{what[1:]}, got {detail['input']!r}"
        raise InputError(what, where=key, fix=fix or "see docs/reference/names.md") from None


def _fill_encoder(network: nn.Module, block: Model, bands: int, where: str) -> None:
    """Fill an encoder of ours with the weights that SMP or timm has for the same one."""
    from maskwright.models.imports.convert import fill_encoder

    donor = ENCODERS[block.encoder].donor
    timm = donor.startswith("tu-")
    options: dict[str, Any] = {"strict_img_size": False} if donor.startswith("tu-swin") else {}
    with fetching(block, where):
        encoder = LibraryEncoder(donor, TAG_BANDS, True if timm else block.tag, options)
    state = {name.removeprefix("model."): tensor for name, tensor in encoder.model.state_dict().items()}
    own: Any = network.encoder
    fill_encoder(own, state, "timm" if timm else "smp", block, bands)


def need_maps(encoder: Any, count: int) -> None:
    """Refuse an encoder that gives fewer maps than a decoder needs.

    Raises:
        ValueError: with the reason.
    """
    if len(encoder.out_channels) < count:
        raise ValueError(f"it needs {count} maps, the encoder has {len(encoder.out_channels)}")
