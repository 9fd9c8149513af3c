"""Tensors of which each process holds one piece, and plain ones: what both can do."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor, distributed


def is_piece(tensor: Tensor) -> bool:
    """Say whether other processes hold the rest of a tensor: it is one of torch's DTensors, divided on its first axis.

    Asked without the class, as its module is slow to import and only divided trainings need it.
    """
    return hasattr(tensor, "full_tensor")


def local(tensor: Tensor) -> Tensor:
    """Return this process's piece as a plain tensor on the same memory; a plain tensor is returned as it is."""
    piece: Any = tensor
    found: Tensor = piece.to_local() if is_piece(tensor) else tensor
    return found


def cut(whole: Tensor, like: Tensor) -> Tensor:
    """Return this process's piece of a whole tensor, divided as `like` is; torch.chunk's division, as FSDP's."""
    if not is_piece(like) or whole.shape != like.shape:
        return whole
    chunks, rank = whole.chunk(distributed.get_world_size(), 0), distributed.get_rank()
    return chunks[rank] if rank < len(chunks) else whole[:0]


@torch.no_grad()
def fill(target: Tensor, whole: Tensor) -> None:
    """Overwrite a tensor, or this process's piece of it, from a whole one."""
    local(target).copy_(cut(whole, target))


def piece_like(values: Tensor, like: Tensor) -> Tensor:
    """Return values that belong to a piece of `like`, an optimiser's average say, as a piece; a step count stays."""
    if not is_piece(like) or values.shape != local(like).shape:
        return values
    from torch.distributed.tensor import DTensor

    of: Any = like
    return DTensor.from_local(
        values, of.device_mesh, of.placements, run_check=False, shape=like.shape, stride=like.stride()
    )


def gathered(tensors: Mapping[str, Tensor], *, keep: bool) -> dict[str, Tensor]:
    """Return tensors whole, one after another, pieces on the CPU; every process must call it with the same names.

    Args:
        tensors: name -> tensor.
        keep: whether this process wants them; if not, it gets none.
    """
    found = {}
    for name, tensor in tensors.items():
        piece: Any = tensor
        whole = piece.full_tensor().cpu() if is_piece(tensor) else tensor
        if keep:
            found[name] = whole
    return found
