"""The section on self-training: the table of rounds, what each gained out of fold, and whose answer counts."""

from __future__ import annotations

import math
from urllib.parse import quote

from maskwright.output.report.facts import ReportFacts
from maskwright.output.report.markup import (
    MISSING,
    Column,
    Markup,
    count,
    notes,
    plural,
    score,
    signed,
    table,
    text,
)
from maskwright.output.report.sections import metric_title


def rounds(facts: ReportFacts) -> Markup:
    """Return the table of rounds, and where the final answer lies."""
    told = facts.selftrain
    columns = [
        Column("round", True),
        Column(f"{metric_title(told.metric)}, honest", True, "nested, out of fold"),
        Column("gain", True, "against the last round before it that was kept, on the same items"),
        Column("99 % interval", True),
        Column("images"),
        Column("verdict"),
    ]
    weighed = any(row.weights for row in told.rounds)
    if weighed:
        columns.insert(-1, Column("drawn by weight"))
    body = []
    for row in told.rounds:
        between = MISSING if math.isnan(row.low) else f"{signed(row.low)} to {signed(row.high)}"
        verdict = "kept" if row.kept else "not kept"
        reason = row.reason.partition(": 99 % interval")[0]  # which has a column of its own
        why = text(reason) if row.round == 0 else f"<b>{verdict}</b>: {text(reason)}"
        drawn = [text(row.weights)] if weighed else []
        body.append([count(row.round), score(row.honest), signed(row.gain), between, text(row.images), *drawn, why])
    whose = "the first teachers" if told.final == 0 else f"round {told.final}"
    link = f'<a href="./{quote(told.output)}">{text(told.output)}</a>'
    lines = ["Test items were among the images without labels, so students learnt from what they were to answer."]
    return (
        f"<p>Models labelled {plural(told.images, 'image')} for students of the same fold, so that nobody learnt, "
        "through any teacher, what it is scored on. A round counts if its gain is more than chance. The final answer "
        f"is that of <strong>{whose}</strong>: {link}</p>"
        + table("Rounds of self-training", columns, body)
        + (notes(lines, "warning") if told.test_items_used else "")
    )
