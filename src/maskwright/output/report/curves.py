"""The section on training: curves of loss, validation score and learning rate, of all members and folds."""

from __future__ import annotations

import math
from collections.abc import Sequence

from maskwright.output.report.charts import Axes, Line, legend, line_chart
from maskwright.output.report.facts import Curve, ReportFacts
from maskwright.output.report.markup import Markup, name, plural
from maskwright.output.report.sections import metric_title

_LEGEND_FOLDS = 12
_LEGEND_MEMBERS = 16


def training(facts: ReportFacts) -> Markup:
    """Return the validation scores of all members together, then each member's curves of all folds."""
    members = list(dict.fromkeys(curve.member for curve in facts.curves))
    if not members:
        return '<p class="empty">No training history was found.</p>'
    metric = metric_title(facts.headline.metric)
    own = "".join(_member([c for c in facts.curves if c.member == member], metric) for member in members)
    return (_together(facts.curves, members, metric) if len(members) > 1 else "") + own


def _together(curves: Sequence[Curve], members: Sequence[str], metric: str) -> Markup:
    """Return one chart with every member's validation scores, a colour for each member."""
    lines = []
    for curve in curves:
        index = members.index(curve.member)
        at, scores = [row.epoch for row in curve.rows], _scores(curve)
        lines.append(Line(f"{curve.member}, fold {curve.fold}", at, scores, index, group=f"m{index}"))
    axes = Axes(f"Validation {metric} of all members", "epoch", f"validation {metric}", width=640, whole_x=True)
    entries = [(member, index, False, f"m{index}") for index, member in enumerate(members[:_LEGEND_MEMBERS])]
    return (
        f"<h3>All members <small>a line for each fold</small></h3>{legend(entries)}"
        f'<div class="charts wide"><figure>{line_chart(lines, axes)}</figure></div>'
    )


def _scores(curve: Curve) -> list[float]:
    return [math.nan if row.metric is None else row.metric for row in curve.rows]


def _member(curves: Sequence[Curve], metric: str) -> Markup:
    member = curves[0].member
    losses, scores, rates = [], [], []
    for curve in curves:
        at = [row.epoch for row in curve.rows]
        fold, group = f"fold {curve.fold}", f"f{curve.fold}"
        losses.append(Line(f"{fold}, training", at, [row.train_loss for row in curve.rows], curve.fold, group=group))
        held = [math.nan if row.valid_loss is None else row.valid_loss for row in curve.rows]
        losses.append(Line(f"{fold}, validation", at, held, curve.fold, dashed=True, group=group))
        scores.append(Line(fold, at, _scores(curve), curve.fold, group=group))
        rates.append(Line(fold, at, [row.lr for row in curve.rows], curve.fold, group=group))
    charts = [
        line_chart(losses, Axes(f"Loss of {member}", "epoch", "loss", whole_x=True, log_y=True)),
        line_chart(scores, Axes(f"Validation score of {member}", "epoch", f"validation {metric}", whole_x=True)),
        line_chart(rates, Axes(f"Learning rate of {member}", "epoch", "learning rate", whole_x=True)),
    ]
    entries: list[tuple[str, int | None, bool, str]]
    entries = [(f"fold {curve.fold}", curve.fold, False, f"f{curve.fold}") for curve in curves[:_LEGEND_FOLDS]]
    if any(row.valid_loss is not None for curve in curves for row in curve.rows):
        entries.append(("loss on validation", None, True, "dashed"))
    body = "".join(f"<figure>{chart}</figure>" for chart in charts)
    said = plural(max(len(curve.rows) for curve in curves), "epoch")
    left = len(curves) - _LEGEND_FOLDS
    more = f'<p class="caption">{plural(left, "more fold")} in the charts.</p>' if left > 0 else ""
    return f'<h3>{name(member)} <small>{said}</small></h3>{legend(entries)}<div class="charts">{body}</div>{more}'
