"""Class-head surgery: how a checkpoint's classes become those of the recipe, only if it is asked for."""

from __future__ import annotations

import re
from dataclasses import dataclass

import torch
from torch import Tensor

from maskwright.core.errors import InputError


@dataclass(frozen=True)
class Surgery:
    """What is done with the tensors that have a row for each class."""

    drop: bool = False
    """Leave ours at random."""
    difference: bool = False
    """Two softmax classes become one sigmoid plane: row 1 minus row 0, exact for a linear layer."""
    rows: tuple[int, ...] = ()
    """Which of the file's classes become ours, in our order."""

    @property
    def given(self) -> bool:
        """Whether there is anything to do."""
        return self.drop or self.difference or bool(self.rows)


def surgery_of(text: str | None) -> Surgery:
    """Return what --head asks for.

    Args:
        text: drop, difference, numbers such as 0,2,1, or None.

    Raises:
        InputError: anything else.
    """
    if text is None:
        return Surgery()
    if text in ("drop", "difference"):
        return Surgery(drop=text == "drop", difference=text == "difference")
    if re.fullmatch(r"\d{1,6}(,\d{1,6})*", text):
        return Surgery(rows=tuple(int(number) for number in text.split(",")))
    raise InputError(
        f"must be drop, difference or class numbers such as 0,2,1, got '{text}'", where="--head", fix="mend it"
    )


def operate(surgery: Surgery, tensor: Tensor, like: Tensor, name: str) -> tuple[Tensor | None, str]:
    """Return a head's tensor with our classes and how that came; None: it stays at random.

    Args:
        surgery: what was asked for.
        tensor: the file's, a row for each class (and one more for no object).
        like: the model's.
        name: of the model's.

    Raises:
        ValueError: it cannot be done, with the reason.
    """
    if surgery.drop:
        return None, "dropped: at random"
    if tensor.shape[1:] != like.shape[1:] or tensor.ndim == 0:
        raise ValueError(f"{name} is {tuple(tensor.shape)} in the file and {tuple(like.shape)} in the model")
    if surgery.difference:
        if tensor.shape[0] != 2 or like.shape[0] != 1:
            raise ValueError(
                f"{name}: a difference needs 2 classes in the file and 1 plane in the model, "
                f"they have {tensor.shape[0]} and {like.shape[0]}"
            )
        return tensor[1:] - tensor[:1], "class 1 minus class 0"
    rows = list(surgery.rows)
    if like.shape[0] == len(rows) + 1:
        rows.append(tensor.shape[0] - 1)  # no object, the last row of a mask transformer's
    if len(rows) != like.shape[0] or max(rows) >= tensor.shape[0]:
        raise ValueError(
            f"{name}: classes {','.join(map(str, surgery.rows))} of {tensor.shape[0]} in the file do not make "
            f"the model's {like.shape[0]}"
        )
    return tensor.index_select(0, torch.tensor(rows)), f"classes {','.join(map(str, surgery.rows))}"
