"""The eight symmetries on tensors, each with its exact inverse."""

from __future__ import annotations

from collections.abc import Iterable

from torch import Tensor

from maskwright.core.errors import unknown
from maskwright.core.grid import SYMMETRIES, SYMMETRY, Symmetry


def symmetries(names: Iterable[str]) -> list[Symmetry]:
    """Return the identity and the named symmetries, in the order given.

    Args:
        names: names of core.grid.SYMMETRY, e.g. predict.tta.

    Raises:
        InputError: unknown name.
    """
    found = [SYMMETRY["identity"]]
    for name in names:
        if name not in SYMMETRY:
            raise unknown("symmetry", name, SYMMETRIES[1:], "predict.tta")
        found.append(SYMMETRY[name])
    return found


def apply(tensor: Tensor, symmetry: Symmetry) -> Tensor:
    """Turn or mirror the last two axes; no value is changed.

    Args:
        tensor: (..., H, W).
        symmetry: one of core.grid.SYMMETRY's values, or an inverse.

    Returns:
        (..., H, W), or (..., W, H) if the symmetry swaps rows and columns.
    """
    result = tensor.transpose(-2, -1) if symmetry.swap else tensor
    axes = [axis for axis, flip in ((-2, symmetry.rows), (-1, symmetry.cols)) if flip]
    return result.flip(axes) if axes else result


def undo(tensor: Tensor, symmetry: Symmetry) -> Tensor:
    """Put back what `apply` did with the same symmetry, element by element."""
    return apply(tensor, symmetry.inverse)
