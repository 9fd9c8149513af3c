"""Deal groups to folds so that each gets its share: of items, of foreground, or of every class."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from hashlib import blake2b

import numpy as np
from numpy.typing import NDArray

MOST_STRATA = 8
Groups = Mapping[str, Sequence[str]]
"""Name of a group -> keys of its items."""
Parts = Mapping[int, float]
"""Fold (or hold-out) -> share of the items it should get; the shares add up to 1."""


def deal_by_share(groups: Groups, share: Mapping[str, float], parts: Parts, seed: int) -> dict[str, int]:
    """Give each group, large ones first, to the part where it lessens the imbalance most; foreground decides ties.

    The imbalance is the sum of squared lacks of each stratum, and of items as a whole, relative to
    what each part should have.

    Args:
        groups: none is torn apart.
        share: key -> share of foreground, 0..1; all 0 for sizes alone.
        parts: what each should get.
        seed: of the lots.

    Returns:
        name -> part. No part stays empty if there are as many groups.
    """
    names_of_parts, wanted = list(parts), np.array(list(parts.values()))
    stratum = _strata(share, len(parts))
    sizes = np.bincount(list(stratum.values())).astype(float)
    lack = wanted[:, None] * sizes[None, :]
    foreground = wanted * sum(share.values())
    top = {name: max(stratum[key] for key in keys) for name, keys in groups.items()}
    much = {name: sum(share[key] for key in keys) * lot(seed, name) for name, keys in groups.items()}
    names = sorted(groups, key=lambda name: (-len(groups[name]), -top[name], -much[name], lot(seed, name)))
    home: dict[str, int] = {}
    filled = [False] * len(parts)
    for place, name in enumerate(names):
        mine = np.bincount([stratum[key] for key in groups[name]], minlength=len(sizes)).astype(float)
        many = mine.sum()
        gain = ((2 * lack * mine - mine**2) / np.maximum(sizes, 1)).sum(axis=1)
        gain = (gain + (2 * lack.sum(axis=1) * many - many**2) / len(share)) / wanted
        open_to = _open(filled, len(names) - place)
        best = max(open_to, key=lambda part: (round(gain[part], 9), foreground[part] / wanted[part]))
        lack[best] -= mine
        filled[best] = True
        foreground[best] -= sum(share[key] for key in groups[name])
        home[name] = names_of_parts[best]
    return home


def deal_by_classes(groups: Groups, present: Mapping[str, Sequence[int]], parts: Parts, seed: int) -> dict[str, int]:
    """Share out every class, the rarest first, each group to the part that lacks that class most.

    Source: Sechidis, Tsoumakas, Vlahavas 2011, On the stratification of multi-label data; here with groups.

    Args:
        groups: none is torn apart.
        present: key -> classes that occur in the item.
        parts: what each should get.
        seed: of the lots.

    Returns:
        name -> part. No part stays empty if there are as many groups.
    """
    names = sorted(groups, key=lambda name: (-len(groups[name]), lot(seed, name)))
    kinds = 1 + max((kind for found in present.values() for kind in found), default=-1)
    counts = np.zeros((len(names), kinds + 1))  # the last column counts items
    for row, name in zip(counts, names, strict=True):
        for key in groups[name]:
            row[list(present[key])] += 1
            row[kinds] += 1
    wanted = np.array(list(parts.values()))[:, None] * counts.sum(axis=0)
    left = np.ones(len(names), bool)
    filled = [False] * len(parts)
    home: dict[str, int] = {}
    while left.any():
        rest = counts[left].sum(axis=0)
        kind = min((kind for kind in range(kinds) if rest[kind]), key=lambda kind: rest[kind], default=kinds)
        for place in np.flatnonzero(left & (counts[:, kind] > 0)):
            best = _neediest(wanted, kind, _open(filled, int(left.sum())))
            wanted[best] -= counts[place]
            filled[best], left[place] = True, False
            home[names[place]] = list(parts)[best]
    return home


def _neediest(wanted: NDArray[np.float64], kind: int, open_to: Sequence[int]) -> int:
    """Return the part that lacks a class most, and among equals the one that lacks most items."""
    return max(open_to, key=lambda part: (round(wanted[part, kind], 9), round(wanted[part, -1], 9)))


def _open(filled: Sequence[bool], left: int) -> Sequence[int]:
    """Return the parts that may be given to: only empty ones when no more groups are left than these."""
    empty = [part for part, full in enumerate(filled) if not full]
    return empty if len(empty) >= left else range(len(filled))


def _strata(share: Mapping[str, float], parts: int) -> dict[str, int]:
    """Number keys by their share of foreground: 0 for none, then bins that hold as many keys each."""
    some = np.sort([value for value in share.values() if value > 0])
    count = int(np.clip(len(some) // (2 * parts), 1, MOST_STRATA))
    edges = [some[len(some) * number // count] for number in range(1, count)]
    return {key: int(value > 0) + int(np.searchsorted(edges, value, side="right")) for key, value in share.items()}


def lot(seed: int, name: str) -> float:
    """Draw a number of 1..2 for a name by hash: the same on any machine and with any release of numpy.

    It shuffles the order of dealing, and still lets large shares of foreground come before small ones.
    """
    return 1 + int.from_bytes(blake2b(f"{seed},{name}".encode(), digest_size=6).digest(), "little") / 2**48
