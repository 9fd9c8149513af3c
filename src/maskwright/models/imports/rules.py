"""How names and shapes of other projects become ours: rules, the first that fits counts, and what came of them."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor


@dataclass(frozen=True)
class Rule:
    """What becomes of the source names that a pattern fits as a whole."""

    pattern: str
    """Regular expression."""
    target: str | tuple[str, ...]
    """Our name, with groups as in re.sub; several: the tensor is split on dim 0; none: it is left out, see `why`."""
    piece: tuple[int, int] | None = None
    """(k, n): the source is the k-th of n tensors that are put together on dim 0."""
    shares: tuple[int, ...] = ()
    """How large the parts of a split are, relative to each other; empty: equal."""
    change: str = ""
    """A name from CHANGES."""
    constant: bool = False
    """The target is a buffer that we compute ourselves: the source must equal it."""
    why: str = ""
    """Why the source is not needed, where there is no target."""


Rules = tuple[Rule, ...]
PartRules = Rules | Callable[[Any], Rules]
"""Rules, or what makes them of the settings of a head."""


@dataclass(frozen=True)
class Row:
    """One line of the map: a source tensor and what became of it."""

    source: str
    target: str
    how: str = ""
    """Empty: taken as it is."""
    shape: tuple[int, ...] = ()
    """Of the source."""


@dataclass
class Mapped:
    """What rules made of a checkpoint."""

    filled: dict[str, Tensor] = field(default_factory=dict)
    constants: dict[str, Tensor] = field(default_factory=dict)
    rows: list[Row] = field(default_factory=list)
    left_out: dict[str, str] = field(default_factory=dict)
    """Source -> why it is not needed."""
    unused: list[str] = field(default_factory=list)
    broken: list[str] = field(default_factory=list)
    """Faults, one line each: pieces that lack others, two sources of one target, shapes that a change cannot take."""


def apply_rules(rules: Iterable[Rule], tensors: Mapping[str, Tensor]) -> Mapped:
    """Map a checkpoint's tensors to our names.

    Args:
        rules: the first that fits counts.
        tensors: by source name.
    """
    compiled = [(re.compile(rule.pattern), rule) for rule in rules]
    mapped = Mapped()
    pieces: dict[str, dict[int, tuple[str, Tensor, int]]] = {}
    for source, tensor in tensors.items():
        found = next(((hit, rule) for pattern, rule in compiled if (hit := pattern.fullmatch(source))), None)
        if found is None:
            mapped.unused.append(source)
            continue
        hit, rule = found
        targets = [hit.expand(each) for each in ([rule.target] if isinstance(rule.target, str) else rule.target)]
        if not targets:
            mapped.left_out[source] = rule.why
        elif rule.constant:
            mapped.constants[targets[0]] = tensor
            mapped.rows.append(Row(source, targets[0], "a constant", tuple(tensor.shape)))
        elif rule.piece is not None:
            place, count = rule.piece
            pieces.setdefault(targets[0], {})[place] = (source, tensor, count)
        else:
            _take(mapped, source, tensor, rule, targets)
    for target, parts in pieces.items():
        _join(mapped, target, parts)
    return mapped


def _take(mapped: Mapped, source: str, tensor: Tensor, rule: Rule, targets: list[str]) -> None:
    how = []
    if rule.change:
        try:
            tensor = CHANGES[rule.change](tensor)
        except (RuntimeError, ValueError, IndexError) as error:
            mapped.broken.append(f"{source} of {tuple(tensor.shape)} cannot be changed: {error}")
            return
        how.append(rule.change.replace("_", " "))
    parts = [tensor]
    if len(targets) > 1:
        shares = rule.shares or (1,) * len(targets)
        unit, rest = divmod(tensor.shape[0] if tensor.ndim else 0, sum(shares))
        if rest or not unit:
            mapped.broken.append(f"{source} of {tuple(tensor.shape)} cannot be split in {shares}")
            return
        parts = [part.contiguous() for part in torch.split(tensor, [unit * share for share in shares])]
        how.append(f"split in {len(targets)}")
    for target, part in zip(targets, parts, strict=True):
        _put(mapped, Row(source, target, ", ".join(how), tuple(tensor.shape)), part)


def _join(mapped: Mapped, target: str, parts: Mapping[int, tuple[str, Tensor, int]]) -> None:
    count = next(iter(parts.values()))[2]
    if sorted(parts) != list(range(count)):
        mapped.broken.append(f"{target} needs {count} tensors, the file has {len(parts)} of them")
        return
    tensors = [parts[place][1] for place in range(count)]
    if len({tensor.shape[1:] for tensor in tensors}) > 1:
        mapped.broken.append(f"{target} cannot be put together of {[tuple(tensor.shape) for tensor in tensors]}")
        return
    for place in range(count):
        source, tensor, _ = parts[place]
        mapped.rows.append(Row(source, target, f"part {place + 1} of {count}", tuple(tensor.shape)))
    _hold(mapped, target, torch.cat(tensors))


def _put(mapped: Mapped, row: Row, tensor: Tensor) -> None:
    mapped.rows.append(row)
    _hold(mapped, row.target, tensor)


def _hold(mapped: Mapped, target: str, tensor: Tensor) -> None:
    if target in mapped.filled:
        mapped.broken.append(f"two tensors of the file are {target}")
    mapped.filled[target] = tensor


def _unfold_to_concat(tensor: Tensor) -> Tensor:
    """Turn the last dim of merged patches from channel, row, column to column, row, channel."""
    *lead, last = tensor.shape
    return tensor.view(*lead, last // 4, 2, 2).movedim((-1, -2), (-3, -2)).reshape(*lead, last).contiguous()


def _linear_to_conv(tensor: Tensor) -> Tensor:
    """Give a linear layer's weight the form of a 1 x 1 convolution's."""
    return tensor[:, :, None, None].contiguous()


CHANGES: Mapping[str, Callable[[Tensor], Tensor]] = {
    "linear_to_conv": _linear_to_conv,
    "unfold_to_concat": _unfold_to_concat,
}
"""Name in a rule, and in the report -> what it does to a tensor."""
