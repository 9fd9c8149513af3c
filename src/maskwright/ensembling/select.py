"""Which blends are looked at: equal shares, each member alone, a grid of shares, or greedy selection."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from itertools import product
from typing import Literal

Shares = tuple[int, ...]
"""Whole shares of the members, without a common divisor; the weight of each is its share of the sum."""
Path = int | None
"""A fold that must not be looked at, or None: all may be."""
STEPS = {2: 10, 3: 4}
"""Members -> parts of the whole: steps of 0.1 and 0.25. More members are selected greedily."""
ROUNDS = 10
"""Members drawn at most, with replacement, so weights are tenths or coarser (Caruana et al., ICML 2004)."""


def reduced(shares: Sequence[int]) -> Shares:
    """Divide shares by what they have in common: one blend, one name."""
    divisor = math.gcd(*shares)
    return tuple(share // divisor for share in shares)


def uniform(members: int) -> Shares:
    """Return equal shares."""
    return (1,) * members


def alone(members: int, chosen: int) -> Shares:
    """Return all shares for one member."""
    return tuple(int(index == chosen) for index in range(members))


def fixed_candidates(members: int, blend: Literal["mean", "weighted"]) -> tuple[Shares, ...]:
    """Return the candidates that do not depend on any score: equal shares first, then each member alone, then a grid.

    Members alone are always there, for their own scores; for `mean` they are not chosen.
    """
    found = [uniform(members), *(alone(members, index) for index in range(members))]
    parts = STEPS.get(members, 0) if blend == "weighted" else 0
    found += [reduced(shares) for shares in product(range(parts + 1), repeat=members) if sum(shares) == parts > 0]
    return tuple(dict.fromkeys(found))


def needs_greedy(members: int, blend: Literal["mean", "weighted"]) -> bool:
    """Say whether the grid would be too large."""
    return blend == "weighted" and members > max(STEPS)


def greedy(
    members: int,
    paths: Sequence[Path],
    measure: Callable[[Sequence[Shares]], None],
    score: Callable[[Shares, Path], float],
) -> dict[Path, Shares]:
    """Select members one by one, with replacement, each time the one that helps most; keep the best stage.

    All paths go side by side so that each new blend is measured once.

    Args:
        members: number of members.
        paths: folds to leave out, one selection for each.
        measure: called with blends that were not seen before, ahead of `score`.
        score: score of a blend on a path; nan counts as the worst.

    Returns:
        path -> the best blend on its way.
    """
    steps = [alone(members, index) for index in range(members)]
    drawn: dict[Path, Shares] = dict.fromkeys(paths, (0,) * members)
    best: dict[Path, tuple[float, Shares]] = {}
    seen: set[Shares] = set()
    for _ in range(ROUNDS):
        nexts = {path: [_plus(drawn[path], step) for step in steps] for path in paths}
        fresh = dict.fromkeys(reduced(shares) for options in nexts.values() for shares in options)
        new = [shares for shares in fresh if shares not in seen]
        measure(new)
        seen.update(new)
        for path, options in nexts.items():
            scored = [(_or_worst(score(reduced(shares), path)), shares) for shares in options]
            top = max(value for value, _ in scored)
            drawn[path] = next(shares for value, shares in scored if value == top)
            if path not in best or top > best[path][0]:
                best[path] = (top, reduced(drawn[path]))
    return {path: shares for path, (_, shares) in best.items()}


def _plus(one: Shares, other: Shares) -> Shares:
    return tuple(a + b for a, b in zip(one, other, strict=True))


def _or_worst(score: float) -> float:
    return -1.0 if math.isnan(score) else score
