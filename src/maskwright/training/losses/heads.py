"""Losses of auxiliary heads: which terms each head's logits go into, and with which weight."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

from maskwright.core.recipe.heads import ClassifyHead, DeepHead, FcnHead, Heads
from maskwright.training.losses.pixelwise import BinaryCrossEntropy, Focal
from maskwright.training.losses.total import Addend

Named = Mapping[str, float | Mapping[str, Any]]
Terms = Callable[[Named, str], Sequence[Addend]]
"""From losses as a recipe names them (none: those of the member), and where, to addends of the main head."""


def head_addends(block: Heads, outputs: Iterable[str], terms: Terms, where: str = "model.aux") -> list[Addend]:
    """Return the addends of the loss that auxiliary heads add.

    Args:
        block: the recipe's heads.
        outputs: names of what the network's heads give, such as fcn or deep.0.
        terms: makes addends of losses' names.
        where: recipe key for messages.
    """
    found: list[Addend] = []
    for output in outputs:
        name, _, place = output.partition(".")
        found += HEAD_LOSSES[name](block.given[name], output, int(place or 0), terms, f"{where}.{name}.loss")
    return found


def _coarse(block: FcnHead | DeepHead, output: str, place: int, terms: Terms, where: str) -> list[Addend]:
    """Make a head that answers the main question: the member's losses, or its own."""
    share = block.weight * (block.fade**place if isinstance(block, DeepHead) else 1.0)
    return [
        Addend(f"{output}.{each.name}", share * each.weight, each.term, output) for each in terms(block.loss, where)
    ]


def _presence(block: ClassifyHead, output: str, place: int, terms: Terms, where: str) -> list[Addend]:
    """Make a head that says which classes a window has: focal or plain cross entropy of each plane."""
    del place, terms, where
    return [Addend(output, block.weight, Focal(False, block.gamma) if block.gamma else BinaryCrossEntropy(), output)]


HEAD_LOSSES: Mapping[str, Callable[[Any, str, int, Terms, str], list[Addend]]] = {
    "classify": _presence,
    "deep": _coarse,
    "fcn": _coarse,
}
"""Name in `model.aux` -> what makes its addends of its settings, the output's name and number, and the recipe key."""
