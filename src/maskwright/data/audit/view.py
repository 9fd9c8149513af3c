"""One set after the pass, as all that look for faults and suspicions see it."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Any

from maskwright.core.labels import Task
from maskwright.core.recipe.blocks import Data
from maskwright.data.audit.fingerprint import Fingerprint
from maskwright.data.audit.measure import Measured
from maskwright.data.audit.statistics import Statistics
from maskwright.data.findings import Finding, some
from maskwright.data.sources.base import Source


@dataclass(frozen=True)
class View:
    """A set whose items were all decoded."""

    where: str
    """data.train or data.test: what set-wide findings name."""
    source: Source
    task: Task
    data: Data
    found: tuple[Measured, ...]
    """All items, in the order of keys."""
    fingerprint: Fingerprint
    """Of those without faults."""
    statistics: Statistics
    """Of the same."""

    @property
    def training(self) -> bool:
        """Whether models learn from it."""
        return self.where == "data.train"

    @property
    def sampled(self) -> bool:
        """Whether only some items of the set were looked at."""
        return self.data.limit is not None

    @cached_property
    def whole(self) -> tuple[Measured, ...]:
        """Items without faults."""
        return tuple(one for one in self.found if one.moments is not None)

    @cached_property
    def labelled(self) -> tuple[Measured, ...]:
        """Items without faults that have labels."""
        return tuple(one for one in self.whole if one.pixels)

    def of_set(
        self, kind: str, what: str, fix: str = "", keys: Iterable[str] = (), facts: Mapping[str, Any] | None = None
    ) -> Finding:
        """Make a finding of the whole set."""
        return Finding(kind, self.where, what, fix, tuple(keys), facts or {})

    def of_some(self, kind: str, chosen: Iterable[Measured], what: str, fix: str = "") -> Iterable[Finding]:
        """Make one finding of several items, counted and named; none if there are none.

        Args:
            kind: a key of KINDS.
            chosen: the items.
            what: after `3 of 20 items `.
            fix: what to do.
        """
        keys = tuple(one.key for one in chosen)
        if keys:
            text = f"{len(keys)} of {len(self.found)} items {what}: {some(keys)}"
            yield self.of_set(kind, text, fix, keys, {"items": len(keys), "share": len(keys) / len(self.found)})
