"""The sections of the page that show the evidence: decision, thresholds, training curves, cases in pictures."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence

from maskwright.output.report.charts import Axes, Line, Mark, legend, line_chart
from maskwright.output.report.facts import Case, Curve, ReportFacts, Rgb, ThresholdCurve
from maskwright.output.report.markup import (
    Column,
    Markup,
    bar,
    count,
    name,
    named,
    plural,
    score,
    signed,
    swatch,
    table,
    text,
    value_colours,
)
from maskwright.output.report.pictures import data_uri, error_kinds
from maskwright.output.report.sections import metric_title

PICTURE_BUDGET = 5_500_000
"""Bytes of all pictures together before base64 adds a third; with it the page stays below 10 MB."""
_PICTURE_MOST = 60_000
_LEGEND_FOLDS = 12
_THRESHOLDS = 48


def decision(facts: ReportFacts) -> Markup:
    """Return members, what was tuned, and the thresholds."""
    return f"{_members(facts)}<h3>What was tuned</h3>{_choices(facts)}{_thresholds(facts)}"


def _members(facts: ReportFacts) -> Markup:
    metric = metric_title(facts.headline.metric)
    columns = [Column("member"), Column("model"), Column(f"own {metric}", True, "out-of-fold, nothing tuned")]
    columns += [Column("weight", True), Column("")]
    rows = []
    for row in facts.decision.members:
        model = f"{text(row.architecture)} <small>{text(row.encoder)}</small>"
        rows.append([name(row.name), model, score(row.score), f"{row.weight:.3f}", bar(row.weight)])
    return table("Members of the ensemble", columns, rows)


def _choices(facts: ReportFacts) -> Markup:
    if not facts.decision.choices:
        return '<p class="empty">Nothing: the plain settings were asked for.</p>'
    columns = [Column("setting"), Column("in force"), Column("")]
    columns += [Column("honest worth", True, "gain on folds that did not choose it")]
    columns += [Column("optimistic worth", True, "gain on the pixels that chose it"), Column("why")]
    rows = []
    for row in facts.decision.choices:
        badge = '<span class="badge kept">kept</span>' if row.kept else '<span class="badge">not kept</span>'
        trend = "up" if row.honest_gain > 0 else "down"
        gain = f'<span class="{trend}">{signed(row.honest_gain)}</span>'
        rows.append([text(row.what), text(row.outcome), badge, gain, signed(row.optimistic_gain), text(row.reason)])
    return table("What was tuned and what it was worth", columns, rows)


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


def training(facts: ReportFacts) -> Markup:
    """Return, for each member, the curves of loss, validation score and learning rate of all folds."""
    members = list(dict.fromkeys(curve.member for curve in facts.curves))
    if not members:
        return '<p class="empty">No training history was found.</p>'
    metric = metric_title(facts.headline.metric)
    return "".join(_member([c for c in facts.curves if c.member == member], metric) for member in members)


def _member(curves: Sequence[Curve], metric: str) -> Markup:
    member = curves[0].member
    losses, scores, rates = [], [], []
    for curve in curves:
        at = [row.epoch for row in curve.rows]
        fold = f"fold {curve.fold}"
        losses.append(Line(f"{fold}, training", at, [row.train_loss for row in curve.rows], curve.fold))
        held = [math.nan if row.valid_loss is None else row.valid_loss for row in curve.rows]
        losses.append(Line(f"{fold}, validation", at, held, curve.fold, dashed=True))
        scores.append(
            Line(fold, at, [math.nan if row.metric is None else row.metric for row in curve.rows], curve.fold)
        )
        rates.append(Line(fold, at, [row.lr for row in curve.rows], curve.fold))
    charts = [
        line_chart(losses, Axes(f"Loss of {member}", "epoch", "loss", whole_x=True, log_y=True)),
        line_chart(scores, Axes(f"Validation score of {member}", "epoch", f"validation {metric}", whole_x=True)),
        line_chart(rates, Axes(f"Learning rate of {member}", "epoch", "learning rate", whole_x=True)),
    ]
    entries: list[tuple[str, int | None, bool]]
    entries = [(f"fold {curve.fold}", curve.fold, False) for curve in curves[:_LEGEND_FOLDS]]
    if any(row.valid_loss is not None for curve in curves for row in curve.rows):
        entries.append(("loss on validation", None, True))
    body = "".join(f"<figure>{chart}</figure>" for chart in charts)
    said = plural(max(len(curve.rows) for curve in curves), "epoch")
    return f'<h3>{name(member)} <small>{said}</small></h3>{legend(entries)}<div class="charts">{body}</div>'


def cases(facts: ReportFacts) -> Markup:
    """Return the worst, the best and the unlabelled items in pictures, with the legend of their colours."""
    groups = [
        ("Worst", "where the answer is furthest from the truth", facts.worst),
        ("Best", "where it is closest", facts.best),
        ("Unlabelled", "predictions without a truth to compare", facts.previews),
    ]
    shown = [case for _, _, found in groups for case in found]
    if not shown:
        return '<p class="empty">No pictures were asked for.</p>'
    total = sum(len(list(_pictures(case))) for case in shown)
    budget = min(_PICTURE_MOST, PICTURE_BUDGET // total)
    body = _legend(facts)
    for title, said, found in groups:
        if found:
            cards = "".join(_case(case, metric_title(facts.headline.metric), budget) for case in found)
            body += f'<h3>{title} <small>{said}</small></h3><div class="cases">{cards}</div>'
    return body


def _pictures(case: Case) -> Iterator[tuple[str, Rgb]]:
    yield "Image", case.image
    if case.truth is not None:
        yield "Truth", case.truth
    yield "Answer", case.prediction
    if case.error is not None:
        yield "Errors", case.error


def _case(case: Case, metric: str, budget: int) -> Markup:
    figures = []
    for title, picture in _pictures(case):
        height, width = picture.shape[:2]
        small = " tiny" if max(height, width) < 160 else ""
        figures.append(
            f'<figure><button type="button" class="zoom" aria-label="Enlarge {title.lower()} of {text(case.key)}">'
            f'<img class="picture{small}" src="{data_uri(picture, budget)}" width="{width}" height="{height}" '
            f'alt="{title} of {text(case.key)}" loading="lazy" decoding="async"></button>'
            f"<figcaption>{title}</figcaption></figure>"
        )
    value = "" if case.score is None else f'<span class="score">{text(metric)} {score(case.score, 3)}</span>'
    remark = f'<p class="caption">{text(case.note)}</p>' if case.note else ""
    return (
        f'<article class="case"><header><h4>{name(case.key)}</h4>{value}</header>'
        f'<div class="strip n{len(figures)}">{"".join(figures)}</div>{remark}</article>'
    )


def _legend(facts: ReportFacts) -> Markup:
    task = facts.task
    entries = [(swatch("#" + bytes(tone).hex()), label) for label, tone in error_kinds(task)]
    hatch = '<svg class="swatch" viewBox="0 0 12 12" aria-hidden="true"><rect width="12" height="12" fill="#686868"/>'
    hatch += '<path d="M0 6 6 0M2 12 12 2M8 12l4-4" stroke="#a8a8a8" stroke-width="2.4"/></svg>'
    entries.append((hatch, "does not count"))
    errors = "".join(f"<li>{key}{label}</li>" for key, label in entries)
    fills = value_colours(task)[-task.planes :]
    pairs = zip(fills, task.plane_names, strict=True)
    classes = "".join(f"<li>{named(fill, label)}</li>" for fill, label in pairs)
    return (
        f'<div class="keys"><ul class="legend"><li class="of">Errors</li>{errors}<li>grey: right</li></ul>'
        f'<ul class="legend"><li class="of">Truth and answer</li>{classes}</ul></div>'
    )
