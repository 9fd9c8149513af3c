"""Losses of auxiliary heads: which terms each head's logits go into, and with which weight."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any, Protocol

from maskwright.core.recipe.heads import (
    ClassifyHead,
    DeepHead,
    FcnHead,
    Heads,
    PresenceHead,
    RegionsHead,
    ScaleHead,
    TwinHead,
)
from maskwright.training.losses.pixelwise import BinaryCrossEntropy, Focal
from maskwright.training.losses.total import Addend
from maskwright.training.losses.views import Distance

Named = Mapping[str, float | Mapping[str, Any]]


class Terms(Protocol):
    """Makes addends of the main head from losses as a recipe names them."""

    def __call__(self, names: Named, where: str, *, foreground: bool = False) -> Sequence[Addend]:
        """Return them.

        Args:
            names: losses; none: those of the member.
            where: recipe key for messages.
            foreground: whether they are asked of anything against nothing, as in a binary task.
        """


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


def _coarse(block: FcnHead | DeepHead | RegionsHead, output: str, place: int, terms: Terms, where: str) -> list[Addend]:
    """Make a head that answers the main question: the member's losses, or its own."""
    share = block.weight * (block.fade**place if isinstance(block, DeepHead) else 1.0)
    return [
        Addend(f"{output}.{each.name}", share * each.weight, each.term, output) for each in terms(block.loss, where)
    ]


def _presence(block: ClassifyHead, output: str, place: int, terms: Terms, where: str) -> list[Addend]:
    """Make a head that says which classes a window has: focal or plain cross entropy of each plane."""
    del place, terms, where
    term = Focal(False, block.gamma) if block.gamma else BinaryCrossEntropy()
    return [Addend(output, block.weight, term, output, "classes_there")]


def _twin(block: TwinHead, output: str, place: int, terms: Terms, where: str) -> list[Addend]:
    """Make a head that answers for the foreground alone: losses of a binary task."""
    del place
    return [
        Addend(f"{output}.{each.name}", block.weight * each.weight, each.term, output, "anything")
        for each in terms(block.loss, where, foreground=True)
    ]


def _anything(block: PresenceHead, output: str, place: int, terms: Terms, where: str) -> list[Addend]:
    """Make a head that says whether a window has anything: focal or plain cross entropy of two logits."""
    del place, terms, where
    return [Addend(output, block.weight, Focal(True, block.gamma, block.alpha), output, "anything_there")]


def _scale(block: ScaleHead, output: str, place: int, terms: Terms, where: str) -> list[Addend]:
    """Make a head that says how large a window's pixels are."""
    del place, terms, where
    return [Addend(output, block.weight, Distance(), output, "log_size")]


HEAD_LOSSES: Mapping[str, Callable[[Any, str, int, Terms, str], list[Addend]]] = {
    "classify": _presence,
    "deep": _coarse,
    "fcn": _coarse,
    "presence": _anything,
    "regions": _coarse,
    "scale": _scale,
    "twin": _twin,
}
"""Name in `model.aux` -> what makes its addends of its settings, the output's name and number, and the recipe key."""
