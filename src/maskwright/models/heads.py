"""Auxiliary heads: small networks on maps of the encoder or decoder that train it, and that prediction leaves out."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn
from torch.nn import functional

from maskwright.core.errors import InputError
from maskwright.core.recipe.heads import ClassifyHead, DeepHead, FcnHead, Heads, PresenceHead, ScaleHead
from maskwright.models.taps import Tap, encoder_maps

POOLED_DROPOUT = 0.2
"""Share of pooled features dropped in training (SEEDS 004.3)."""


class Queries(NamedTuple):
    """What the queries of a mask transformer say after one of its layers."""

    classes: Tensor
    """Logits (B, Q, K + 1); the last is that of no object."""
    masks: Tensor
    """Logits (B, Q, h, w), coarser than the image as padded."""


class Outputs(NamedTuple):
    """What a network with auxiliary heads gives in training."""

    logits: Tensor
    """(B, K, H, W) of the main head."""
    heads: dict[str, Tensor]
    """Name of a head -> logits, (B, K, H, W), or (B, K) of one that speaks of the whole window."""
    queries: tuple[Queries, ...] = ()
    """Of a mask transformer: what its queries say before its first layer and after each, the last one last."""
    extent: tuple[int, int] | None = None
    """Height and width that the image was padded to, which masks of queries cover."""


def main_logits(output: Tensor | Outputs) -> Tensor:
    """Return the main head's logits of what a network gave."""
    return output if isinstance(output, Tensor) else output.logits


class Auxiliary(nn.Module):
    """All heads of a network, and their taps in it.

    Args:
        network: has `.encoder`, and `.decoder` if decoder maps are asked for.
        block: which heads.
        planes: K.
        stages: modules of the decoder whose maps can be supervised, finest first.
        image: (1, C, h, w) of a size that the network takes, to see how many channels maps have.
        where: recipe key of the model for messages.

    Raises:
        InputError: a stage that is not there.
    """

    def __init__(
        self,
        network: nn.Module,
        block: Heads,
        planes: int,
        stages: Sequence[nn.Module],
        image: Tensor,
        where: str,
    ) -> None:
        super().__init__()
        self.block = block
        wanted = _wanted_stages(block, stages, where)
        self._encoder = Tap()
        self._stages = [Tap() for _ in wanted]
        encoder: Any = network.encoder
        encoder.register_forward_hook(self._encoder)
        for tap, module in zip(self._stages, wanted, strict=True):
            module.register_forward_hook(tap)
        maps, decoded = self._channels(network, image)
        self.parts = nn.ModuleDict()
        for name, given in block.given.items():
            if name not in HEADS:
                raise InputError(
                    f"this architecture has no head '{name}' of its own",
                    where=f"{where}.aux.{name}",
                    fix=f"use architecture: {' or '.join(OWN[name])}, or leave it out",
                )
            self.parts[name] = HEADS[name](given, maps, decoded, planes, f"{where}.aux.{name}")

    @property
    def names(self) -> tuple[str, ...]:
        """Names of the logits that `forward` gives, in its order."""
        marks = {"deep": [f".{place}" for place in range(len(self._stages))]}
        return tuple(f"{name}{mark}" for name in self.parts for mark in marks.get(name, [""]))

    def listen(self, listening: bool) -> None:
        """Begin or stop to remember maps."""
        for tap in (self._encoder, *self._stages):
            tap.listening = listening

    def forward(self, image: Tensor) -> dict[str, Tensor]:
        """Return the logits of all heads, from the maps that the network's last pass over `image` left."""
        maps = encoder_maps(self._encoder.take(), image)
        decoded = [tap.take() for tap in self._stages]
        size = (image.shape[-2], image.shape[-1])
        found: dict[str, Tensor] = {}
        for name, head in self.parts.items():
            answers = head(decoded if name == "deep" else maps)
            found |= {f"{name}{mark}": _upsampled(logits, size) for mark, logits in answers.items()}
        return found

    @torch.no_grad()
    def _channels(self, network: nn.Module, image: Tensor) -> tuple[list[int], list[int]]:
        """Return the channels of the encoder's maps and of the decoder's that are listened to."""
        training = network.training
        network.train(False)
        self.listen(True)
        network(image)
        self.listen(False)
        network.train(training)
        maps = encoder_maps(self._encoder.take(), image)
        return [each.shape[1] for each in maps], [tap.take().shape[1] for tap in self._stages]


def _wanted_stages(block: Heads, stages: Sequence[nn.Module], where: str) -> Sequence[nn.Module]:
    """Return the decoder's modules to listen to; refuse to supervise a decoder of one map."""
    if block.deep is None:
        return ()
    if not stages:
        raise InputError(
            "the decoder of this architecture has one map alone, the main head's",
            where=f"{where}.aux.deep",
            fix="use aux.fcn, which stands on the encoder, or architecture: unet, unetplusplus, manet, linknet, fpn, "
            "upernet, pan or dpt",
        )
    if block.deep.maps is not None and block.deep.maps > len(stages):
        raise InputError(
            f"the decoder has {len(stages)} maps beside the main head's, got {block.deep.maps}",
            where=f"{where}.aux.deep.maps",
            fix="give fewer, or leave maps out for all",
        )
    return stages[: block.deep.maps]


def _upsampled(logits: Tensor, size: tuple[int, int]) -> Tensor:
    """Bring (B, K, h, w) logits to the image's size; (B, K) stay as they are."""
    if logits.ndim == 2 or logits.shape[-2:] == size:
        return logits
    return functional.interpolate(logits, size=size, mode="bilinear", align_corners=False)


class Fcn(nn.Module):
    """Convolutions on one map of the encoder (Long et al. 2015, with the batch norm of later works)."""

    def __init__(self, block: FcnHead, maps: Sequence[int], decoded: Sequence[int], planes: int, where: str) -> None:
        super().__init__()
        del decoded
        if not -len(maps) <= block.stage < len(maps):
            raise InputError(
                f"the encoder has {len(maps)} maps, got stage {block.stage}",
                where=f"{where}.stage",
                fix=f"give a number from {-len(maps)} to {len(maps) - 1}",
            )
        self.stage = block.stage
        layers: list[nn.Module] = []
        channels = maps[block.stage]
        for _ in range(block.convs):
            layers += [nn.Conv2d(channels, block.channels, 3, padding=1, bias=False)]
            layers += [nn.BatchNorm2d(block.channels), nn.ReLU(inplace=True)]
            channels = block.channels
        self.layers = nn.Sequential(*layers, nn.Dropout2d(block.dropout), nn.Conv2d(channels, planes, 1))

    def forward(self, maps: Sequence[Tensor]) -> dict[str, Tensor]:
        """Return coarse logits."""
        return {"": self.layers(maps[self.stage])}


class Classify(nn.Module):
    """One linear layer on the mean of the encoder's deepest map."""

    def __init__(
        self, block: ClassifyHead, maps: Sequence[int], decoded: Sequence[int], planes: int, where: str
    ) -> None:
        super().__init__()
        del decoded, where
        self.layers = nn.Sequential(nn.Dropout(block.dropout), nn.Linear(maps[-1], planes))

    def forward(self, maps: Sequence[Tensor]) -> dict[str, Tensor]:
        """Return (B, K) logits of the presence of each plane."""
        return {"": self.layers(maps[-1].mean((2, 3)))}


class Presence(nn.Module):
    """One linear layer on the mean of the encoder's deepest map: nothing in the window, or something (SEEDS 004)."""

    def __init__(
        self, block: PresenceHead, maps: Sequence[int], decoded: Sequence[int], planes: int, where: str
    ) -> None:
        super().__init__()
        del block, decoded, planes, where
        self.layers = nn.Sequential(nn.Dropout(POOLED_DROPOUT), nn.Linear(maps[-1], 2))

    def forward(self, maps: Sequence[Tensor]) -> dict[str, Tensor]:
        """Return (B, 2) logits of nothing and something."""
        return {"": self.layers(maps[-1].mean((2, 3)))}


class Scale(nn.Module):
    """One linear layer on the mean of the encoder's deepest map: the logarithm of the size of a pixel (SEEDS 004)."""

    def __init__(self, block: ScaleHead, maps: Sequence[int], decoded: Sequence[int], planes: int, where: str) -> None:
        super().__init__()
        del block, decoded, planes, where
        self.layers = nn.Sequential(nn.Dropout(POOLED_DROPOUT), nn.Linear(maps[-1], 1))

    def forward(self, maps: Sequence[Tensor]) -> dict[str, Tensor]:
        """Return (B, 1) numbers."""
        return {"": self.layers(maps[-1].mean((2, 3)))}


class Deep(nn.Module):
    """A 1 x 1 convolution on each map of the decoder (Lee et al. 2015, Deeply-supervised nets)."""

    def __init__(self, block: DeepHead, maps: Sequence[int], decoded: Sequence[int], planes: int, where: str) -> None:
        super().__init__()
        del block, maps, where
        self.layers = nn.ModuleList([nn.Conv2d(channels, planes, 1) for channels in decoded])

    def forward(self, maps: Sequence[Tensor]) -> dict[str, Tensor]:
        """Return coarse logits of each map, finest first, numbered from 0."""
        return {f".{place}": layer(each) for place, (layer, each) in enumerate(zip(self.layers, maps, strict=True))}


HEADS: Mapping[str, Callable[[Any, Sequence[int], Sequence[int], int, str], nn.Module]] = {
    "classify": Classify,
    "deep": Deep,
    "fcn": Fcn,
    "presence": Presence,
    "scale": Scale,
}
"""Name in `model.aux` -> what makes the head of its settings, the channels of the encoder's and of the decoder's maps
(finest first), K and the recipe key. Its loss has a row of the same name in training/losses/heads.py."""

OWN: Mapping[str, tuple[str, ...]] = {"regions": ("ocrnet",), "twin": ("efficient_fpn",)}
"""Name in `model.aux` of a head that only some architectures have -> those."""
