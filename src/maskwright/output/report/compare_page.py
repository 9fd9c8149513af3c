"""Put two or more runs side by side into one self-contained page, as the report is."""

from __future__ import annotations

import math
from collections.abc import Sequence
from pathlib import Path

from maskwright.core.files import write_text
from maskwright.output.report.charts import Axes, Line, legend, line_chart
from maskwright.output.report.compare_facts import CompareFacts, Moved, PairedFacts, RunFacts
from maskwright.output.report.forest import Gap, forest
from maskwright.output.report.markup import (
    MISSING,
    Column,
    Markup,
    count,
    name,
    notes,
    plural,
    score,
    signed,
    table,
    text,
)
from maskwright.output.report.page import assemble
from maskwright.output.report.sections import link, metric_title
from maskwright.output.report.spent import duration, size

MOST_ITEMS = 300
"""Rows of items for each pair: those that moved most."""


def build_comparison(facts: CompareFacts, out: Path) -> Path:
    """Write the comparison as one HTML file that needs no network.

    Args:
        facts: what to show; equal facts give an equal file.
        out: the file, e.g. `compare.html`.

    Returns:
        `out`.

    Raises:
        StorageError: disk full or no permission.
    """
    write_text(out, render_comparison(facts))
    return out


def render_comparison(facts: CompareFacts) -> Markup:
    """Return the page as HTML text."""
    bodies = [(key, title, section(facts)) for key, (title, section) in SECTIONS.items()]
    title = " · ".join(run.name for run in facts.runs)
    parts = [plural(len(facts.runs), "run"), f"against {name(facts.runs[0].name)}", text(facts.date)]
    lede = " <i>·</i> ".join(f"<span>{part}</span>" for part in parts if part)
    return assemble("comparison", title, lede, bodies, facts.version)


def result(facts: CompareFacts) -> Markup:
    """Return honest scores, paired differences, and what makes them less comparable."""
    metric = metric_title(facts.metric)
    remarks = [f"{pair.name}: {remark}" for pair in facts.pairs for remark in pair.remarks]
    columns = [
        Column("run"),
        Column(f"honest {metric}", True),
        Column("95 % of redraws", True),
        Column("optimistic", True),
    ]
    columns += [Column("held out", True, "labelled items that were in no fold"), Column("items", True)]
    columns += [Column("folds", True), Column("members"), Column("tuning kept")]
    rows = [_row(run) for run in facts.runs]
    gaps = [Gap(pair.name, pair.gain, pair.low, pair.high, firm=_firm(pair)) for pair in facts.pairs]
    drawn = forest(gaps, f"Difference to {facts.runs[0].name} on shared items", f"difference in {metric}")
    said = "".join(f"<p>{_in_words(pair, facts)}</p>" for pair in facts.pairs)
    return (
        f"{notes(remarks, 'warning')}{table('Honest scores of the runs', columns, rows)}"
        f"<h3>On the same items</h3>{said}"
        f'<figure class="scale forest">{drawn}<figcaption>Dot: pooled {text(metric)} on the shared items minus that of '
        f"{name(facts.runs[0].name)}; whisker: where it lies in 95 % of redraws of groups of items. Full colour: the "
        "whisker does not touch 0. Each item is decided by what its run's other folds chose.</figcaption></figure>"
    )


def _row(run: RunFacts) -> list[Markup]:
    shown = name(run.name) if not run.link else f'<a href="{link(run.link)}">{name(run.name)}</a>'
    between = MISSING if run.low is None or run.high is None else f"{score(run.low, 3)} to {score(run.high, 3)}"
    members = ", ".join(name(member) for member in run.members)
    kept = text(", ".join(run.kept)) or "nothing"
    numbers = [score(run.optimistic), score(run.held_out), count(run.items), count(run.folds)]
    return [shown, f"<strong>{score(run.honest)}</strong>", between, *numbers, members, kept]


def _firm(pair: PairedFacts) -> bool:
    return pair.low is not None and pair.high is not None and (pair.low > 0 or pair.high < 0)


def _in_words(pair: PairedFacts, facts: CompareFacts) -> Markup:
    one, first = name(pair.name), name(facts.runs[0].name)
    if not pair.shared:
        return f"{one} and {first} share no item, so only their scores can be compared."
    side = "better" if pair.gain > 0 else "worse"
    if not math.isfinite(pair.gain):
        verdict = "no score is defined"
    elif pair.gain == 0:
        verdict = f"{one} scores exactly as {first}"
    elif _firm(pair):
        verdict = f"{one} is {side} than {first} by {signed(pair.gain)}, more than redrawing the items explains"
    elif pair.low is None:
        verdict = f"{one} is {side} by {signed(pair.gain)}; these are too few groups of items to tell it from chance"
    else:
        verdict = f"{one} is {side} by {signed(pair.gain)}, which may be chance"
    return (
        f"On {plural(pair.shared, 'shared item')} {verdict}. It scores higher on {count(pair.better)} and lower on "
        f"{count(pair.worse)} of them."
    )


def classes(facts: CompareFacts) -> Markup:
    """Return honest IoU of each class and run, with the difference to the first."""
    if not facts.classes:
        return '<p class="empty">There are no classes.</p>'
    columns = [Column("class")]
    for index, run in enumerate(facts.runs):
        columns += [Column(f"IoU {run.name}", True)] + ([Column("difference", True)] if index else [])
    rows = []
    for place, label in enumerate(facts.classes):
        cells, first = [name(label)], facts.runs[0].classes[place].iou
        for index, run in enumerate(facts.runs):
            value = run.classes[place].iou
            cells.append(score(value))
            if index:
                gap = value - first
                style = "" if not math.isfinite(gap) or gap == 0 else ("up" if gap > 0 else "down")
                cells.append(f'<span class="{style}">{signed(gap)}</span>')
        rows.append(cells)
    return table("Honest IoU of each class", columns, rows)


def items(facts: CompareFacts) -> Markup:
    """Return the items that moved most, for each run against the first."""
    metric, body = metric_title(facts.metric), ""
    for pair in facts.pairs:
        ranked = sorted(pair.moved, key=lambda row: (-abs(row.after - row.before), row.key))
        if not ranked:
            continue
        shown = ranked[:MOST_ITEMS]
        columns = [
            Column("item"),
            Column(f"{metric} {facts.runs[0].name}", True),
            Column(f"{metric} {pair.name}", True),
        ]
        columns.append(Column("difference", True))
        left = len(ranked) - len(shown)
        more = f"; {count(left)} that moved less are left out" if left else ""
        listed = table(f"Items of {pair.name}", columns, [_moved(row) for row in shown])
        body += f"<h3>{name(pair.name)} <small>what moved most first{more}</small></h3>"
        body += f'<div class="tall sortable">{listed}</div>'
    return body or '<p class="empty">No item has a score in two runs.</p>'


def _moved(row: Moved) -> list[Markup]:
    gap = row.after - row.before
    style = "" if gap == 0 else ("up" if gap > 0 else "down")
    return [name(row.key), score(row.before), score(row.after), f'<span class="{style}">{signed(gap)}</span>']


def recipes(facts: CompareFacts) -> Markup:
    """Return what the recipes do not have in common."""
    if not facts.settings:
        return "<p>The recipes are the same but for their names.</p>"
    columns = [Column("key"), *(Column(run.name) for run in facts.runs)]
    rows = [
        [
            f"<code>{text(row.key)}</code>",
            *(f"<code>{text(value)}</code>" if value else MISSING for value in row.values),
        ]
        for row in facts.settings
    ]
    return table("Keys of the recipes that differ", columns, rows)


def training(facts: CompareFacts) -> Markup:
    """Return the validation scores of all runs, a colour for each."""
    lines = [
        Line(f"{run.name}: {curve.member}, fold {curve.fold}", *_points(curve.rows), index, group=f"r{index}")
        for index, run in enumerate(facts.runs)
        for curve in run.curves
    ]
    entries = [(run.name, index, False, f"r{index}") for index, run in enumerate(facts.runs)]
    axes = Axes("Validation scores of all runs", "step", "validation score", width=640, whole_x=True)
    return f'{legend(entries)}<div class="charts wide"><figure>{line_chart(lines, axes)}</figure></div>'


def _points(rows: Sequence[object]) -> tuple[list[float], list[float]]:
    found = [(row.step, row.metric) for row in rows if row.metric is not None]  # type: ignore[attr-defined]
    return [float(step) for step, _ in found], [float(value) for _, value in found]


def cost(facts: CompareFacts) -> Markup:
    """Return what each run cost."""
    rows = [
        [
            name(run.name),
            duration(run.seconds) if run.seconds else MISSING,
            size(run.peak_mb) if run.peak_mb else MISSING,
            count(sum(row.rows[-1].step for row in run.curves if row.rows)),
        ]
        for run in facts.runs
    ]
    columns = [Column("run"), Column("time", True), Column("most memory", True), Column("training steps", True)]
    return table("Cost of the runs", columns, rows)


SECTIONS = {
    "result": ("Result", result),
    "classes": ("Classes", classes),
    "items": ("Items", items),
    "recipes": ("Recipes", recipes),
    "training": ("Training", training),
    "cost": ("Cost", cost),
}
"""Key (anchor) -> title and builder, in the order of the page."""
