"""The section on the decision: members and how alike they err, what was tuned and its worth, thresholds."""

from __future__ import annotations

import math

import numpy as np

from maskwright.output.report.charts import Axes, Line, Mark, line_chart
from maskwright.output.report.facts import ReportFacts, ThresholdCurve
from maskwright.output.report.forest import Gap, forest
from maskwright.output.report.heat import correlations
from maskwright.output.report.insight_facts import InsightFacts
from maskwright.output.report.markup import (
    MISSING,
    Column,
    Markup,
    bar,
    count,
    name,
    score,
    share,
    signed,
    table,
    text,
)
from maskwright.output.report.sections import metric_title

_THRESHOLDS = 48
_PAIRS = 12
_SQUARE = 24


def decision(facts: ReportFacts) -> Markup:
    """Return members, what was tuned, and the thresholds."""
    return f"{_members(facts)}{_alike(facts.insight)}<h3>What was tuned</h3>{_choices(facts)}{_thresholds(facts)}"


def _members(facts: ReportFacts) -> Markup:
    metric = metric_title(facts.headline.metric)
    wrong = dict(facts.insight.wrong)
    columns = [Column("member"), Column("model"), Column(f"own {metric}", True, "out-of-fold, nothing tuned")]
    columns += [Column("wrong pixels", True, "of all it was asked, by itself, nothing tuned")] if wrong else []
    columns += [Column("weight", True), Column("")]
    rows = []
    for row in facts.decision.members:
        model = f"{text(row.architecture)} <small>{text(row.encoder)}</small>"
        cells = [name(row.name), model, score(row.score)]
        cells += [share(wrong.get(row.name, math.nan))] if wrong else []
        rows.append([*cells, f"{row.weight:.3f}", bar(row.weight)])
    return table("Members of the ensemble", columns, rows)


def _alike(insight: InsightFacts) -> Markup:
    """Say how alike the members err: an ensemble gains where they do not."""
    pairs = insight.pairs
    if not pairs:
        return ""
    names = [member for member, _ in insight.wrong]
    known = [pair.correlation for pair in pairs if math.isfinite(pair.correlation)]
    mean = f"on average by {sum(known) / len(known):.2f}" if known else "nowhere, since one of them makes no error"
    said = (
        f"<p>Members help each other where they err on different pixels. Here their errors correlate {mean} "
        "(1: the same pixels, 0: independent).</p>"
    )
    columns = [Column("members"), Column("errors correlate", True, "phi coefficient, -1..1")]
    columns += [Column("both wrong", True, "share of pixels"), Column("answers differ", True, "share of pixels")]
    ranked = sorted(pairs, key=lambda pair: pair.correlation if math.isfinite(pair.correlation) else 2)
    rows = [
        [
            f"{name(pair.first)} · {name(pair.second)}",
            f"{pair.correlation:.3f}" if math.isfinite(pair.correlation) else MISSING,
            share(pair.together),
            share(pair.differ),
        ]
        for pair in ranked[:_PAIRS]
    ]
    left = len(pairs) - len(rows)
    listed = table("Pairs of members", columns, rows)
    listed += f'<p class="caption">{count(left)} more pairs: see diagnosis.json.</p>' if left else ""
    if not 2 < len(names) <= _SQUARE:
        return f"<h3>How alike members err</h3>{said}{listed}"
    place = {member: index for index, member in enumerate(names)}
    values = np.full((len(names), len(names)), math.nan)
    for pair in pairs:
        one, two = place[pair.first], place[pair.second]
        values[one, two] = values[two, one] = pair.correlation
    square = (
        f'<div class="matrix" role="region" tabindex="0" aria-label="Correlations">{correlations(names, values)}</div>'
    )
    return f'<h3>How alike members err</h3>{said}<div class="confusion"><div>{square}</div><div>{listed}</div></div>'


def _choices(facts: ReportFacts) -> Markup:
    if not facts.decision.choices:
        return '<p class="empty">Nothing: the plain settings were asked for.</p>'
    metric = metric_title(facts.headline.metric)
    gaps = [
        Gap(row.what, row.honest_gain, row.low, row.high, row.optimistic_gain, row.kept)
        for row in facts.decision.choices
    ]
    drawn = forest(gaps, "What each choice was worth on folds that had no say in it", f"gain in {metric}")
    columns = [Column("setting"), Column("chosen", hint="what tuning chose; in force if it was kept"), Column("")]
    columns += [Column("honest worth", True, "gain on folds that did not choose it")]
    columns += [Column("optimistic worth", True, "gain on the pixels that chose it"), Column("why")]
    rows = []
    for row in facts.decision.choices:
        badge = '<span class="badge kept">kept</span>' if row.kept else '<span class="badge">not kept</span>'
        trend = "up" if row.honest_gain > 0 else "down"
        gain = f'<span class="{trend}">{signed(row.honest_gain)}</span>'
        rows.append([text(row.what), text(row.outcome), badge, gain, signed(row.optimistic_gain), text(row.reason)])
    return (
        f'<figure class="scale forest">{drawn}<figcaption>Dot: worth on folds that had no say; whisker: where it lies '
        "in 99 % of redraws of the items; ring: worth on the pixels that chose it, which flatters. Full colour: kept."
        f"</figcaption></figure>{table('What was tuned and what it was worth', columns, rows)}"
    )


def _thresholds(facts: ReportFacts) -> Markup:
    curves = facts.decision.thresholds
    if not curves:
        said = "The class with the highest blended probability wins; there is no threshold to choose."
        plain = "The thresholds were given, not chosen." if facts.decision.rule != "argmax" else said
        return f"<h3>Thresholds</h3><p>{plain}</p>"
    metric = metric_title(facts.headline.metric)
    body = "".join(_threshold(curve, metric) for curve in curves[:_THRESHOLDS])
    left = len(curves) - _THRESHOLDS
    rest = f'<p class="caption">{count(left)} more classes: see decision.json.</p>' if left > 0 else ""
    return f'<h3>Thresholds</h3><div class="charts">{body}</div>{rest}'


def _threshold(curve: ThresholdCurve, metric: str) -> Markup:
    near = dict(zip(curve.thresholds, curve.scores, strict=True))
    at = min(near, key=lambda x: abs(x - curve.chosen)) if near else curve.chosen
    below = 0.25 < curve.chosen < curve.fixed  # words stand on the sides that look away from each other
    marks = [Mark(curve.chosen, f"{curve.chosen:.3g} in force", near.get(at), left=below or curve.chosen > 0.75)]
    if abs(curve.chosen - curve.fixed) > 1e-9:
        marks.insert(0, Mark(curve.fixed, f"{curve.fixed:g} plain", quiet=True, left=curve.chosen > curve.fixed))
    axes = Axes(
        f"{metric} of {curve.plane} at each threshold",
        "threshold on probability",
        metric,
        x_range=(0.0, 1.0),
    )
    chart = line_chart([Line(curve.plane, curve.thresholds, curve.scores)], axes, marks)
    return f"<figure><figcaption>{name(curve.plane)}</figcaption>{chart}</figure>"
