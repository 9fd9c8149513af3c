"""What every bench file shares: a fair contest of callables and the row it ends in.

A bench file is `bench_<name>.py` with `rows() -> list[Row]`; `python -m bench [name ...]` runs it.
Only ratios within one run mean anything: every round times each contestant once, the order is
rotated from round to round so that nobody always runs on a warm cache, and medians are compared.
"""

from __future__ import annotations

import gc
import math
import statistics
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

Contestant = Callable[[], object]


@dataclass(frozen=True)
class Row:
    """One line of the table, in seconds.

    Args:
        name: the work that was done.
        ours: seconds of maskwright.
        floor: seconds of the least work anybody could do (a read pass, a memset); None: there is none.
        peers: name -> seconds of what people use today.
        target: largest ours/floor that PERFORMANCE.md allows; None: no such target is set.
        limit: most seconds that PERFORMANCE.md allows; None: no such limit is set.
        note: anything the reader must know, e.g. the data.
        least: fewest times we must be faster than every peer; None: no such target is set.
    """

    name: str
    ours: float
    floor: float | None = None
    peers: Mapping[str, float] = field(default_factory=dict)
    target: float | None = None
    limit: float | None = None
    note: str = ""
    least: float | None = None

    @property
    def ratio(self) -> float | None:
        """ours / floor, the lower the better."""
        return None if self.floor is None else self.ours / self.floor

    @property
    def gains(self) -> dict[str, float]:
        """peer / ours for each peer: how many times faster we are."""
        return {name: seconds / self.ours for name, seconds in self.peers.items()}

    @property
    def met(self) -> bool | None:
        """Whether target, limit and least were reached in this run; None if none of them is set."""
        if self.target is None and self.limit is None and self.least is None:
            return None
        near = self.target is None or (self.ratio is not None and self.ratio <= self.target)
        near = near and (self.least is None or min(self.gains.values()) >= self.least)
        return near and (self.limit is None or self.ours <= self.limit)


def contest(contestants: Mapping[str, Contestant], rounds: int = 31, least: float = 0.005) -> dict[str, float]:
    """Time callables against each other; return name -> median seconds of one call.

    Args:
        contestants: name -> callable without arguments; each is called once before the clock runs.
        rounds: times each is measured.
        least: seconds a measurement should last; fast callables are repeated within it.
    """
    repeats = {name: _repeats(call, least) for name, call in contestants.items()}
    names, spent = list(contestants), {name: list[float]() for name in contestants}
    gc.disable()
    try:
        for turn in range(rounds):
            shift = turn % len(names)
            for name in names[shift:] + names[:shift]:
                spent[name].append(_clock(contestants[name], repeats[name]))
    finally:
        gc.enable()
    return {name: statistics.median(values) for name, values in spent.items()}


def rounds(contestants: Mapping[str, Contestant], count: int) -> dict[str, float]:
    """Time long work: each contestant once a round, the order rotated; return name -> median seconds.

    Args:
        contestants: name -> callable without arguments, warm already.
        count: rounds.
    """
    names, spent = list(contestants), {name: list[float]() for name in contestants}
    for turn in range(count):
        shift = turn % len(names)
        for name in names[shift:] + names[:shift]:
            gc.collect()
            spent[name].append(_clock(contestants[name], 1))
    return {name: statistics.median(values) for name, values in spent.items()}


def row(
    name: str,
    times: Mapping[str, float],
    *,
    target: float | None = None,
    limit: float | None = None,
    note: str = "",
    least: float | None = None,
) -> Row:
    """Make a Row from a contest whose contestants are named `ours`, `floor` (if any) and peers."""
    peers = {key: value for key, value in times.items() if key not in ("ours", "floor")}
    return Row(name, times["ours"], times.get("floor"), peers, target, limit, note, least)


def _repeats(call: Contestant, least: float) -> int:
    call()
    return max(1, math.ceil(least / max(_clock(call, 1), 1e-9)))


def _clock(call: Contestant, repeats: int) -> float:
    begin = time.perf_counter()
    for _ in range(repeats):
        call()
    return (time.perf_counter() - begin) / repeats
