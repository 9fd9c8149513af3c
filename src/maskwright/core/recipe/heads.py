"""Recipe blocks of auxiliary heads: what a network learns beside its main task, in training alone."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any

from pydantic import BeforeValidator, Field

from maskwright.core.recipe.base import Block

LossNames = dict[str, float | dict[str, Any]]


def _weight_alone(given: Any) -> Any:
    """Let a number stand for a head with that weight: {fcn: 0.4}."""
    return {"weight": given} if isinstance(given, int | float) and not isinstance(given, bool) else given


class FcnHead(Block):
    """A small head on a map of the encoder that answers the main question coarsely."""

    weight: float = Field(default=0.4, gt=0, le=1000)
    """Weight of its losses beside the main ones (0.4: PSPNet, Zhao et al. 2017, and SEEDS 000, 001)."""
    stage: int = Field(default=-2, ge=-16, le=15)
    """Which map of the encoder, counted from the finest (0); -1: the deepest, -2: the one before."""
    channels: int = Field(default=256, ge=1, le=4096)
    """Of its hidden maps."""
    convs: int = Field(default=1, ge=1, le=8)
    """3 x 3 convolutions, each with batch norm and ReLU, before the one that answers."""
    dropout: float = Field(default=0.1, ge=0, lt=1)
    """Share of hidden channels dropped in training."""
    loss: LossNames = Field(default_factory=dict)
    """Losses of this head, as in members.NAME.loss; empty: those of the member."""


class ClassifyHead(Block):
    """A head on the encoder's deepest map that says of each class whether the window has it at all."""

    weight: float = Field(default=0.2, gt=0, le=1000)
    """Weight of its loss beside the main ones (0.2: context encoding, Zhang et al. 2018)."""
    gamma: float = Field(default=2.0, ge=0, le=10)
    """Its loss is focal with this gamma (SEEDS 004); 0: cross entropy."""
    dropout: float = Field(default=0.2, ge=0, lt=1)
    """Share of pooled features dropped in training."""


class DeepHead(Block):
    """Deep supervision: each coarser map of the decoder answers the main question too."""

    weight: float = Field(default=0.5, gt=0, le=1000)
    """Weight of the losses of the finest map supervised, beside the main ones."""
    fade: float = Field(default=0.5, gt=0, le=1)
    """Each coarser map weighs this much of the one before it (nnU-Net halves; 1: all alike, as UNet++)."""
    maps: int | None = Field(default=None, ge=1, le=16)
    """How many maps, from the finest; None: all that the decoder has."""
    loss: LossNames = Field(default_factory=dict)
    """Losses of these maps, as in members.NAME.loss; empty: those of the member."""


class TwinHead(Block):
    """A second answer from the network's last map, of anything against nothing, to be trained with another loss."""

    weight: float = Field(default=0.1, gt=0, le=1000)
    """Weight of its losses beside the main ones (0.1: SEEDS 004)."""
    loss: LossNames = Field(default_factory=lambda: LossNames(dice=1.0))
    """Losses of this head, of those for binary tasks."""


class PresenceHead(Block):
    """Two logits of the whole window: nothing in it, or something (any class but the first, any plane)."""

    weight: float = Field(default=1.0, gt=0, le=1000)
    """Weight of its loss beside the main ones (1: SEEDS 004)."""
    gamma: float = Field(default=2.0, ge=0, le=10)
    """Its loss is focal with this gamma; 0: cross entropy."""
    alpha: float | None = Field(default=0.75, gt=0, lt=1)
    """Weight of windows with something against 1 - alpha of those without; null: all alike."""


class ScaleHead(Block):
    """A number for the whole window: the logarithm of how large its pixels are on the ground."""

    weight: float = Field(default=0.1, gt=0, le=1000)
    """Weight of its loss, the mean distance of the logarithms."""


class RegionsHead(Block):
    """The coarse answer from which a network makes its regions' representations (OCR)."""

    weight: float = Field(default=0.4, gt=0, le=1000)
    """Weight of its losses beside the main ones (0.4: Yuan et al. 2020)."""
    loss: LossNames = Field(default_factory=dict)
    """Losses of this head, as in members.NAME.loss; empty: those of the member."""


Shorthand = BeforeValidator(_weight_alone)


class Heads(Block):
    """Auxiliary heads; a number alone is a head's weight: {fcn: 0.4}. Prediction does not run them."""

    fcn: Annotated[FcnHead | None, Shorthand] = None
    """A coarse answer from the encoder; {} for the defaults."""
    classify: Annotated[ClassifyHead | None, Shorthand] = None
    """Which classes the window has."""
    deep: Annotated[DeepHead | None, Shorthand] = None
    """Coarse answers from the decoder; for architectures whose decoder has several maps."""
    twin: Annotated[TwinHead | None, Shorthand] = None
    """A second answer from the last map; efficient_fpn has such a head."""
    presence: Annotated[PresenceHead | None, Shorthand] = None
    """Whether the window has anything at all; efficient_fpn's own head, or one on the deepest map."""
    scale: Annotated[ScaleHead | None, Shorthand] = None
    """How large the window's pixels are on the ground; efficient_fpn's own head, or one on the deepest map."""
    regions: Annotated[RegionsHead | None, Shorthand] = None
    """The coarse answer of ocrnet, whose regions are hardly learned without it."""

    @property
    def given(self) -> Mapping[str, Block]:
        """Name -> settings of the heads that are asked for."""
        return {name: block for name in type(self).model_fields if (block := getattr(self, name)) is not None}
