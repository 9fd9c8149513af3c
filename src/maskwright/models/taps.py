"""Where auxiliary heads listen: the maps of an encoder, and those of a decoder, architecture by architecture."""

from __future__ import annotations

from typing import Any

from torch import Tensor, nn


class Tap:
    """Remembers what a module gave, while it listens; a copied model has taps of its own."""

    def __init__(self) -> None:
        self.listening = False
        self.heard: Any = None

    def __call__(self, module: nn.Module, given: Any, output: Any) -> None:
        """Be called by torch after the module."""
        del module, given
        if self.listening:
            self.heard = output

    def take(self) -> Any:
        """Return what was heard last, and forget it."""
        heard, self.heard = self.heard, None
        assert heard is not None, "nothing was heard"
        return heard


def encoder_maps(output: Any, image: Tensor) -> list[Tensor]:
    """Return the maps of an encoder that a head can stand on, finest first.

    Args:
        output: what the encoder gave: a list of (B, C, h, w), or such a list and something else.
        image: the very tensor it was given; the encoders of SMP hand it on as their first map.
    """
    maps: list[Tensor] = list(output[0] if isinstance(output, tuple) else output)
    return [each for each in maps if each.shape[1] > 0 and each is not image]


def no_maps(decoder: nn.Module) -> list[nn.Module]:
    """Decoders of one map alone."""
    del decoder
    return []


def blocks(decoder: nn.Module) -> list[nn.Module]:
    """Unet, MAnet, Linknet: all blocks but the last, which the main head stands on."""
    return _children(decoder, "blocks")[-2::-1]


def nested_blocks(decoder: nn.Module) -> list[nn.Module]:
    """Unet++: the ends of the smaller U-Nets in it, the deepest first (Zhou et al. 2018, fig. 1c)."""
    named: Any = decoder.blocks
    last = int(getattr(decoder, "depth", 0)) - 1
    return [named[f"x_{place}_{last}"] for place in range(1, last + 1)]


def pyramid(decoder: nn.Module) -> list[nn.Module]:
    """FPN: the pyramid but for its finest map, at whose size the main head stands."""
    return [getattr(decoder, name) for name in ("p3", "p4", "p5")]


def laterals(decoder: nn.Module) -> list[nn.Module]:
    """UPerNet: the pyramid from the second finest map up to the pooled one."""
    psp: Any = decoder.psp
    return [*_children(decoder, "fpn_lateral_blocks")[-2::-1], psp]


def gates(decoder: nn.Module) -> list[nn.Module]:
    """PAN: the attention units but for the finest."""
    return [getattr(decoder, name) for name in ("gau2", "gau3") if hasattr(decoder, name)]


def fusions(decoder: nn.Module) -> list[nn.Module]:
    """DPT: all fusions but the last."""
    return _children(decoder, "fusion_blocks")[-2::-1]


def _children(decoder: nn.Module, name: str) -> list[nn.Module]:
    return list(getattr(decoder, name).children())
