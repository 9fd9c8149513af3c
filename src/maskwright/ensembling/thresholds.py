"""Arithmetic of thresholds for decide.py: scores at all 255 edges between bins of probability, from histograms.

A probability p is in bin floor(255 p + 1/2), 0..255. Edge b, 1..255, is the threshold (2 b - 1) / 510:
p >= threshold exactly if its bin is b or more. So histograms of bins give the counts at every edge
exactly, an 8-bit probability is its own bin, and 1/2 is edge 128.
"""

from __future__ import annotations

import math
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from maskwright.scoring.counts import Counts
from maskwright.scoring.measures import Measure

BINS = 256
Edges = tuple[int, ...]
Rule = Literal["fixed", "global", "per_class", "argmax"]
Bins = NDArray[np.int64]
"""Histograms of one blend, int64 (K, 2, 256): plane, truth, bin."""
Scores = NDArray[np.float64]


def edge_value(edge: int) -> float:
    """Return the threshold that an edge 1..255 stands for, 0 < t < 1."""
    return (2 * edge - 1) / 510


def edge_of(threshold: float) -> int:
    """Return the edge that decides 8-bit probabilities exactly as `threshold` does.

    Args:
        threshold: 0 < t < 1; between two edges it acts as the next one above the last bin it refuses.
    """
    return min(max(math.ceil(255 * threshold), 1), BINS - 1)


def counts_at(bins: Bins, edges: Edges) -> Counts:
    """Return the counts of thresholding each plane at its edge.

    Args:
        bins: (K, 2, 256).
        edges: K edges.
    """
    tp, fp, fn, tn = (part[np.arange(len(edges)), np.array(edges)] for part in _cumulated(bins))
    return Counts(tp, fp, fn, tn)


def curves(bins: Bins, measure: Measure) -> Scores:
    """Return the score of each plane at each edge, pixels pooled, float64 (K, 256); nan at edge 0: it accepts all."""
    return without_all(measure.classes(counts_at_all(bins))).T


def without_all(scores: Scores) -> Scores:
    """Take edge 0 out of scores (256, K): it accepts all, and no threshold does."""
    scores[0] = np.nan
    return scores


def counts_at_all(bins: Bins) -> Bins:
    """Return tp, fp, fn, tn at each edge: bins (..., K, 2, 256) become int64 (..., 256, 4, K)."""
    return np.moveaxis(np.stack(_cumulated(bins), -1), -3, -1)


def best_edges(scores: Scores, there: NDArray[np.bool_], measure: Measure, rule: Rule, default: Edges) -> Edges:
    """Return the edges with the highest score; among equals the one nearest to the default, then the lower.

    Args:
        scores: of each plane at each edge, float64 (K, 256), over the items that may be looked at.
        there: bool (K,), planes that have a true pixel; the others keep their own.
        measure: how classes are averaged.
        rule: fixed: the default; global: one edge for all planes, best mean; per_class: each its own.
        default: K edges.
    """
    if rule == "fixed":
        return default
    if rule == "global":
        return (_peak(measure.over_classes(scores.T), default[0]),) * len(default)
    assert rule == "per_class", rule
    return tuple(
        _peak(curve, edge) if found else edge for curve, edge, found in zip(scores, default, there, strict=True)
    )


def _peak(curve: Scores, default: int) -> int:
    if np.isnan(curve).all():
        return default
    best = np.flatnonzero(curve == np.nanmax(curve))
    return int(best[np.argmin(np.abs(best - default))])


def _cumulated(bins: Bins) -> tuple[Bins, Bins, Bins, Bins]:
    """Return tp, fp, fn, tn of accepting all bins from each one on, int64 (..., K, 256) each."""
    above = bins[..., ::-1].cumsum(-1)[..., ::-1]
    totals = bins.sum(-1, keepdims=True)
    below = totals - above
    return above[..., 1, :], above[..., 0, :], below[..., 1, :], below[..., 0, :]
