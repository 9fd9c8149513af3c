"""What every candidate blend answers, counted fold by fold: histograms of bins, or confusion matrices.

Memory is candidates x folds x classes, never pixels.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

from maskwright.core.labels import Task
from maskwright.ensembling.select import Shares
from maskwright.ensembling.thresholds import (
    BINS,
    Bins,
    Edges,
    Rule,
    Scores,
    best_edges,
    counts_at,
    counts_at_all,
    curves,
    without_all,
)
from maskwright.scoring.counts import Counts
from maskwright.scoring.measures import Measure, Sums

Table = NDArray[np.int64]
"""Counts of one item for each candidate: (A, K, 2, 256), or (A, C, C) for multiclass."""


class Tally:
    """Counts of some candidates.

    Args:
        task: multiclass counts confusion matrices, the others histograms.
        measure: the score; a mean over images is added up beside the counts, at every edge.
        candidates: distinct shares.
        folds: folds there are.
    """

    def __init__(self, task: Task, measure: Measure, candidates: Sequence[Shares], folds: Sequence[int]) -> None:
        self.task, self.measure = task, measure
        self.candidates, self.folds = tuple(candidates), tuple(folds)
        self._place = {shares: index for index, shares in enumerate(self.candidates)}
        self._tables = {fold: self.empty() for fold in self.folds}
        nothing = np.zeros_like(self._lifted(self.empty()))
        self._images = {} if measure.pooled else {fold: nothing.copy() for fold in self.folds}

    def empty(self) -> Table:
        """Return a table of zeros for one item."""
        planes = self.task.planes
        cell = (planes, planes) if self.task.kind == "multiclass" else (planes, 2, BINS)
        return np.zeros((len(self.candidates), *cell), np.int64)

    def count(
        self, values: NDArray[np.uint16], scale: int, label: NDArray[np.uint8], valid: NDArray[np.bool_]
    ) -> Table:
        """Count some pixels for every candidate; changes nothing, so threads may share a tally.

        Args:
            values: uint16 (M, K, ...), probabilities times `scale`.
            scale: 255 or 65535.
            label: uint8 (...), or (K, ...) for multilabel.
            valid: bool (...).
        """
        from maskwright.ensembling import kernels

        table = self.empty()
        flat = np.ascontiguousarray(values).reshape(*values.shape[:2], -1)
        counted = np.ascontiguousarray(valid).reshape(-1).view(np.uint8)
        shares = np.array(self.candidates, np.int64)
        if self.task.kind == "multiclass":
            kernels.count_classes(flat, np.ascontiguousarray(label).reshape(-1), counted, shares, table)
        else:
            truth = np.ascontiguousarray(label).reshape(flat.shape[1], -1)
            offsets, lookup = _offsets(self.candidates, scale)
            kernels.count_bins(flat, truth, counted, shares, offsets, lookup, table)
        return table

    def add(self, fold: int, table: Table) -> None:
        """Add what `count` counted of one item to a fold."""
        self._tables[fold] += table
        if self._images:
            self._images[fold] += self._lifted(table)

    def _lifted(self, table: Table) -> Sums:
        """Return what each candidate's scores of one image add up to: (A, 256, S, K), or (A, S, C) for multiclass."""
        if self.task.kind != "multiclass":
            return self.measure.lift(counts_at_all(table))
        hits, said, true = np.diagonal(table, axis1=1, axis2=2), table.sum(1), table.sum(2)
        rest = table.sum((1, 2))[:, None] - said - true + hits
        return self.measure.lift(np.stack([hits, said - hits, true - hits, rest], 1))

    def take(self, other: Tally) -> None:
        """Take over the candidates of another tally of the same items."""
        assert self.folds == other.folds, (self.folds, other.folds)
        new = [shares for shares in other.candidates if shares not in self._place]
        rows = [other.candidates.index(shares) for shares in new]
        self.candidates += tuple(new)
        self._place = {shares: index for index, shares in enumerate(self.candidates)}
        for fold in self.folds:
            self._tables[fold] = np.concatenate([self._tables[fold], other._tables[fold][rows]])
            if self._images:
                self._images[fold] = np.concatenate([self._images[fold], other._images[fold][rows]])

    def pooled(self, shares: Shares, folds: Iterable[int]) -> Bins:
        """Return one candidate's counts over some folds, (K, 2, 256) or (C, C)."""
        place = self._place[shares]
        total: Bins = np.zeros_like(self._tables[self.folds[0]][place])
        for fold in folds:
            total += self._tables[fold][place]
        return total

    def counts(self, shares: Shares, folds: Iterable[int], edges: Edges) -> Counts:
        """Return the counts of one candidate at given thresholds (none for multiclass) over some folds."""
        pooled = self.pooled(shares, folds)
        return Counts.from_confusion(pooled) if self.task.kind == "multiclass" else counts_at(pooled, edges)

    def sums(self, shares: Shares, folds: Iterable[int], edges: Edges) -> Sums:
        """Return what the scores of one candidate at given thresholds add up to over some folds, (S, K)."""
        if self.measure.pooled:
            return self.counts(shares, folds, edges).stacked
        total = self._image_sums(shares, folds)
        if self.task.kind == "multiclass":
            return total
        return np.stack([total[edge, :, plane] for plane, edge in enumerate(edges)], -1)

    def _image_sums(self, shares: Shares, folds: Iterable[int]) -> Sums:
        place = self._place[shares]
        return np.asarray(np.sum([self._images[fold][place] for fold in folds], axis=0))

    def score(self, shares: Shares, folds: Iterable[int], edges: Edges) -> float:
        """Return the score of one candidate at given thresholds over some folds; nan where it has none."""
        return self.measure.score(self.sums(shares, folds, edges))

    def curve(self, shares: Shares, folds: Iterable[int]) -> Scores:
        """Return the score of each plane at each edge over some folds, float64 (K, 256); not for multiclass."""
        if self.measure.pooled:
            return curves(self.pooled(shares, folds), self.measure)
        return without_all(self.measure.classes(self._image_sums(shares, folds))).T

    def tuned(self, shares: Shares, folds: Iterable[int], rule: Rule, default: Edges) -> Edges:
        """Return the best thresholds of one candidate over some folds; the default where none are tuned."""
        if rule in ("fixed", "argmax"):
            return default
        there = self.pooled(shares, folds)[:, 1].sum(-1) > 0
        return best_edges(self.curve(shares, folds), there, self.measure, rule, default)


def _offsets(candidates: Sequence[Shares], scale: int) -> tuple[NDArray[np.int64], NDArray[np.uint8]]:
    """Return where each candidate's table of bins begins, then where that of one whole share does; and the tables."""
    totals = [*(sum(shares) for shares in candidates), 1]
    begins, lookup = _lookup(tuple(sorted(set(totals))), scale)
    return np.array([begins[total] for total in totals], np.int64), lookup


@lru_cache(maxsize=8)
def _lookup(totals: tuple[int, ...], scale: int) -> tuple[dict[int, int], NDArray[np.uint8]]:
    """Return for each sum of shares where its table begins, and the tables: bin of each sum of shares times values."""
    unit = scale // 255
    parts = [(2 * np.arange(scale * total + 1) + unit * total) // (2 * unit * total) for total in totals]
    begins = np.cumsum([0, *(part.size for part in parts[:-1])]).tolist()
    return dict(zip(totals, begins, strict=True)), np.concatenate(parts).astype(np.uint8)
