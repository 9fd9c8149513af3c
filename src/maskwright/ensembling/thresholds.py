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
from maskwright.scoring.scores import per_class

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


def elementwise(tp: Bins, fp: Bins, fn: Bins, tn: Bins, metric: str) -> Scores:
    """Score each element of count arrays of any equal shape; nan where a class is in neither truth nor answer."""
    scores = per_class(Counts(tp, fp, fn, tn), metric)
    return np.asarray(scores, np.float64).reshape(tp.shape)


def mean_over_classes(scores: Scores) -> Scores:
    """Average the last axis over what is not nan; nan where all is."""
    there = ~np.isnan(scores)
    count = there.sum(-1)
    total = np.where(there, scores, 0.0).sum(-1)
    return np.where(count > 0, total / np.maximum(count, 1), np.nan)


def counts_at(bins: Bins, edges: Edges) -> Counts:
    """Return the counts of thresholding each plane at its edge.

    Args:
        bins: (K, 2, 256).
        edges: K edges.
    """
    tp, fp, fn, tn = (part[np.arange(len(edges)), np.array(edges)] for part in _cumulated(bins))
    return Counts(tp, fp, fn, tn)


def curves(bins: Bins, metric: str) -> Scores:
    """Return the score of each plane at each edge, float64 (K, 256); edge 0, which accepts all, is nan."""
    scores = elementwise(*_cumulated(bins), metric)
    scores[:, 0] = np.nan
    return scores


def best_edges(bins: Bins, metric: str, rule: Rule, default: Edges) -> Edges:
    """Return the edges with the highest score; among equals the one nearest to the default, then the lower.

    Args:
        bins: (K, 2, 256), pooled over the items that may be looked at.
        metric: a name of scoring.
        rule: fixed: the default; global: one edge for all planes, best mean; per_class: each its own.
        default: K edges; a plane without a true pixel keeps its own.
    """
    if rule == "fixed":
        return default
    scores = curves(bins, metric)
    if rule == "global":
        return (_peak(mean_over_classes(scores.T), default[0]),) * len(default)
    assert rule == "per_class", rule
    found = bins[:, 1].sum(-1) > 0
    return tuple(
        _peak(curve, edge) if there else edge for curve, edge, there in zip(scores, default, found, strict=True)
    )


def _peak(curve: Scores, default: int) -> int:
    if np.isnan(curve).all():
        return default
    best = np.flatnonzero(curve == np.nanmax(curve))
    return int(best[np.argmin(np.abs(best - default))])


def _cumulated(bins: Bins) -> tuple[Bins, Bins, Bins, Bins]:
    """Return tp, fp, fn, tn of accepting all bins from each one on, int64 (K, 256) each."""
    above = bins[..., ::-1].cumsum(-1)[..., ::-1]
    totals = bins.sum(-1, keepdims=True)
    below = totals - above
    return above[:, 1], above[:, 0], below[:, 1], below[:, 0]
