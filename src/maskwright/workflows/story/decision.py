"""The decision, calibration, members' errors and items, from decision.json, diagnosis.json and items.csv."""

from __future__ import annotations

import math
from collections.abc import Sequence

from maskwright.ensembling.blend import Decision
from maskwright.ensembling.diagnosis import Diagnosis
from maskwright.ensembling.items import ItemRow
from maskwright.ensembling.thresholds import edge_value
from maskwright.output.report import facts as told
from maskwright.output.report import insight_facts as seen
from maskwright.workflows.deliver import read_held_out
from maskwright.workflows.session import Session


def finite(score: float | None) -> float:
    """Return a score, nan for None."""
    return math.nan if score is None else score


def headline(session: Session, decision: Decision, found: Diagnosis) -> told.Headline:
    """Return the numbers at the top."""
    evidence = decision.evidence
    held = next(iter(read_held_out(session)), None)
    range_ = found.honest
    return told.Headline(
        metric=decision.measure.name,
        honest=finite(evidence.honest),
        optimistic=finite(evidence.optimistic),
        default=finite(evidence.default),
        items=evidence.items,
        folds=session.recipe.folds.count,
        held_out=None if held is None else finite(held.decided),
        held_out_name="held-out items" if held is None else HELD_OUT[held.split],
        held_out_items=0 if held is None else held.items,
        low=None if range_ is None else range_.low,
        high=None if range_ is None else range_.high,
        level=0.95 if range_ is None else range_.level,
        units=0 if range_ is None else range_.units,
    )


def decided(session: Session, decision: Decision) -> told.DecisionFacts:
    """Return members, choices and thresholds."""
    evidence = decision.evidence
    members = []
    for row in evidence.members:
        model = session.recipe.members[row.name].model
        weight = decision.weights.get(row.name, 0.0)
        members.append(told.MemberFacts(row.name, model.architecture, model.encoder, finite(row.fixed), weight))
    curves = []
    for index, plane in enumerate(evidence.classes):
        if decision.edges and plane.curve:
            shown = [(edge_value(i + 1), score) for i, score in enumerate(plane.curve) if score is not None]
            curves.append(
                told.ThresholdCurve(
                    plane.name,
                    tuple(x for x, _ in shown),
                    tuple(y for _, y in shown),
                    edge_value(decision.edges[index]),
                    edge_value(decision.fixed_edge),
                )
            )
    choices = tuple(
        told.Choice(
            {"weights": "blend weights"}.get(choice.what, choice.what),
            choice.outcome,
            choice.kept,
            choice.honest_gain,
            choice.optimistic_gain,
            choice.reason,
            choice.low,
            choice.high,
            f"{choice.folds_better} of {choice.folds}",
        )
        for choice in evidence.choices
    )
    return told.DecisionFacts(decision.rule, tuple(members), choices, tuple(curves))


def insight(found: Diagnosis) -> seen.InsightFacts:
    """Return calibration and how alike members err."""
    pixels = max(found.pixels, 1)
    return seen.InsightFacts(
        reliability=tuple(
            seen.ReliabilityFacts(row.name, row.pixels, row.true, row.mean, finite(row.error), finite(row.bias))
            for row in found.reliability
        ),
        wrong=tuple((row.name, row.wrong / pixels) for row in found.members),
        pairs=tuple(
            seen.PairFacts(
                pair.first, pair.second, pair.together / pixels, pair.differ / pixels, finite(pair.correlation)
            )
            for pair in found.pairs
        ),
    )


def item_facts(rows: Sequence[ItemRow], found: Diagnosis) -> tuple[seen.ItemFacts, ...]:
    """Return a row for each scored item."""
    facts = []
    for row in rows:
        unsure = found.items.get(row.key) if row.split == "oof" else None
        known = (math.nan, math.nan) if unsure is None else (unsure.entropy, unsure.disagreement)
        facts.append(seen.ItemFacts(row.key, row.fold, row.split, finite(row.score), *known))
    return tuple(facts)


HELD_OUT = {"test": "test set", "holdout": "hold-out"}
"""Labelled items that were in no fold, and what the report calls them."""
