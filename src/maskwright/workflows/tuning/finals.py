"""The finalists of a search: the best trials and the recipe as it is, repeated with seeds that chose none of them."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from maskwright.workflows.tuning.board import Row

BASE = "base"
"""Stands for the recipe as it is, where trials have their number."""
Who = int | str


@dataclass(frozen=True)
class Final:
    """A finalist and how its repetitions went."""

    who: Who
    values: Mapping[str, Any]
    scores: Mapping[int, float]
    """Seed -> score."""
    failed: int
    """Seeds with which it failed."""
    wanted: int = 0
    """Seeds that it was to be repeated with."""

    @property
    def whole(self) -> bool:
        """Whether every seed gave a score."""
        return bool(self.scores) and len(self.scores) == self.wanted

    @property
    def mean(self) -> float:
        """Mean score; -1 without any, so that it comes last."""
        return float(np.mean(list(self.scores.values()))) if self.scores else -1.0

    @property
    def spread(self) -> float:
        """Standard deviation over seeds; nan for fewer than two."""
        return float(np.std(list(self.scores.values()), ddof=1)) if len(self.scores) > 1 else float("nan")

    def to_plain(self) -> dict[str, Any]:
        """Return plain data."""
        scores = {str(seed): score for seed, score in self.scores.items()}
        mean = self.mean if self.scores else None
        return {"trial": self.who, "values": dict(self.values), "scores": scores, "failed": self.failed, "mean": mean}

    def in_words(self, metric: str) -> str:
        """Write it on one line."""
        name = "the recipe as it is" if self.who == BASE else f"trial {self.who}"
        if not self.scores:
            return f"finalist {name}: failed with every seed"
        more = f" ± {self.spread:.4f}" if len(self.scores) > 1 else ""
        lost = f", failed with {self.failed}" if self.failed else ""
        return f"finalist {name}: {metric} {self.mean:.4f}{more} over {len(self.scores)} new seeds{lost}"


def choose(rows: Sequence[Row], count: int, as_is: Mapping[str, Any] | None) -> list[tuple[Who, dict[str, Any]]]:
    """Return the best trials that differ from each other and from the recipe as it is, and before them that.

    Args:
        rows: all trials.
        count: how many.
        as_is: the recipe's own values, if the space holds them.
    """
    ranked = sorted((row for row in rows if row.value is not None), key=lambda row: (-(row.value or 0.0), row.origin))
    if not ranked or not count:
        return []
    seen = set() if as_is is None else {_plain(as_is)}
    chosen: list[tuple[Who, dict[str, Any]]] = [(BASE, {})]
    for row in ranked:
        if _plain(row.values) not in seen and len(chosen) <= count:
            seen.add(_plain(row.values))
            chosen.append((row.origin, row.values))
    return chosen


def tasks(chosen: Sequence[tuple[Who, Mapping[str, Any]]], seeds: Sequence[int]) -> Iterator[dict[str, Any]]:
    """Yield what is to be run: every finalist with every seed."""
    for seed in seeds:
        for who, values in chosen:
            yield {"finalist": who, "seed": seed, "values": dict(values)}


def ranking(chosen: Sequence[tuple[Who, Mapping[str, Any]]], rows: Sequence[Row], seeds: int) -> list[Final]:
    """Return the finalists by mean score, those that failed with a seed last."""
    found = []
    for who, values in chosen:
        mine = [row for row in rows if row.facts["finalist"] == who]
        scores = {int(row.facts["seed"]): row.value for row in mine if row.value is not None}
        kept = dict(sorted(scores.items())[:seeds])
        found.append(Final(who, values, kept, sum(row.state == "failed" for row in mine), seeds))
    return sorted(found, key=lambda final: (not final.whole, -final.mean))


def _plain(values: Mapping[str, Any]) -> str:
    return json.dumps(dict(values), sort_keys=True)
