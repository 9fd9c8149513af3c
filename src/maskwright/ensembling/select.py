"""Which blends are looked at: equal shares, each member alone, a grid of shares, or a search of the simplex."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from itertools import permutations, product
from typing import Literal

Shares = tuple[int, ...]
"""Whole shares of the members, without a common divisor; the weight of each is its share of the sum."""
PARTS = 20
"""Parts of the whole that a search moves between members: steps of 0.05."""
MOVES = (4, 2, 1)
"""Parts moved at once, first the largest."""
Path = int | None
"""A fold that must not be looked at, or None: all may be."""
STEPS = {2: 10, 3: 4}
"""Members -> parts of the whole: steps of 0.1 and 0.25. With more members the blend is searched for."""
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


def needs_search(members: int, blend: Literal["mean", "weighted"]) -> bool:
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


def exchange(
    begun: Mapping[Path, Shares],
    measure: Callable[[Sequence[Shares]], None],
    score: Callable[[Shares, Path], float],
) -> dict[Path, Shares]:
    """Climb from a blend by moving shares from one member to another, as long as that helps.

    Every pair of members is tried, with 4, then 2, then 1 twentieths of the whole; each time the best move is taken.
    All paths go side by side so that each new blend is measured once.

    Args:
        begun: path -> where to begin.
        measure: called with blends that may be new, ahead of `score`.
        score: score of a blend on a path; nan counts as the worst.

    Returns:
        path -> the best blend found; never worse than where it began.
    """
    seen: set[Shares] = set(begun.values())

    def prepare(options: Iterable[Shares]) -> None:
        new = [shares for shares in dict.fromkeys(options) if shares not in seen]
        measure(new)
        seen.update(new)

    places = {path: _in_parts(shares) for path, shares in begun.items()}
    prepare(reduced(place) for place in places.values())
    best = {path: (_or_worst(score(shares, path)), shares) for path, shares in begun.items()}
    value = {path: _or_worst(score(reduced(place), path)) for path, place in places.items()}
    for size in MOVES:
        open_paths = set(places)
        while open_paths:
            options = {path: _moves(places[path], size) for path in sorted(open_paths, key=str)}
            prepare(reduced(option) for moves in options.values() for option in moves)
            for path, moves in options.items():
                scored = [(_or_worst(score(reduced(option), path)), option) for option in moves]
                top, place = max(scored, key=lambda pair: pair[0], default=(-2.0, places[path]))
                if top > value[path]:
                    value[path], places[path] = top, place
                else:
                    open_paths.discard(path)
    for path, place in places.items():
        if value[path] > best[path][0]:
            best[path] = (value[path], reduced(place))
    return {path: shares for path, (_, shares) in best.items()}


def _in_parts(shares: Shares) -> Shares:
    """Return the nearest blend of PARTS parts: what is left over goes to the largest remainders."""
    total = sum(shares)
    parts = [share * PARTS // total for share in shares]
    rest = sorted(range(len(shares)), key=lambda index: -(shares[index] * PARTS % total))
    for index in rest[: PARTS - sum(parts)]:
        parts[index] += 1
    return tuple(parts)


def _moves(place: Shares, size: int) -> list[Shares]:
    """Return every blend that moving so many parts from one member to another makes."""
    found = []
    for giver, taker in permutations(range(len(place)), 2):
        if place[giver] >= size:
            moved = list(place)
            moved[giver] -= size
            moved[taker] += size
            found.append(tuple(moved))
    return found


def _plus(one: Shares, other: Shares) -> Shares:
    return tuple(a + b for a, b in zip(one, other, strict=True))


def _or_worst(score: float) -> float:
    return -1.0 if math.isnan(score) else score
