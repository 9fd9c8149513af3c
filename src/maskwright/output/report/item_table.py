"""The section of all items: one row each, to be searched and sorted."""

from __future__ import annotations

import math

from maskwright.output.report.facts import ReportFacts
from maskwright.output.report.insight_facts import ItemFacts
from maskwright.output.report.markup import Column, Markup, bar, count, name, plural, score, share, table
from maskwright.output.report.sections import metric_title

MOST = 500
"""Rows; of more items those with the lowest scores are shown."""
SPLITS = {"oof": "out of fold", "holdout": "hold-out", "test": "test set"}


def items(facts: ReportFacts) -> Markup:
    """Return the table of items, worst first, with a field to search it."""
    rows = ranked(facts.items)
    if not rows:
        return '<p class="empty">No item has a score.</p>'
    metric = metric_title(facts.headline.metric)
    unsure = any(math.isfinite(row.entropy) for row in rows)
    parted = any(row.disagreement > 0 for row in rows)
    columns = [Column("item"), Column("predicted by", hint="which models answered")]
    columns += [Column(metric, True, "of this item alone"), Column("")]
    columns += [Column("unsure", True, "mean entropy of the blend: 0 sure, 1 knows nothing")] if unsure else []
    columns += [Column("members part", True, "share of pixels on which not all members agree")] if parted else []
    body = []
    for row in rows[:MOST]:
        by = f"fold {row.fold}" if row.split == "oof" else SPLITS[row.split]
        cells = [name(row.key), by, score(row.score), bar(row.score)]
        cells += [score(row.entropy)] if unsure else []
        cells += [share(row.disagreement)] if parted else []
        body.append(cells)
    left = len(rows) - len(body)
    rest = f" Shown are the {count(MOST)} with the lowest scores; all are in items.csv." if left > 0 else ""
    return (
        f"<p>{plural(len(rows), 'item')}, the worst first.{rest}</p>"
        '<div class="finder" hidden><label for="find">Find items</label>'
        '<input type="search" id="find" autocomplete="off" spellcheck="false" placeholder="part of a name, fold 2, …">'
        f'<output for="find" aria-live="polite" data-found="{len(body)}"></output></div>'
        f'<div class="tall sortable">{table("Scores of items", columns, body)}</div>'
    )


def ranked(rows: tuple[ItemFacts, ...]) -> list[ItemFacts]:
    """Return items, lowest score first; those without a score last."""
    return sorted(rows, key=lambda row: (math.isnan(row.score), row.score if row.score == row.score else 0, row.key))
