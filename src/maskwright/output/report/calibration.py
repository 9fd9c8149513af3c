"""The section on calibration: does 80 % mean 80 %; reliability diagrams and the error in one number."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np

from maskwright.output.report.charts import Axes, Frame
from maskwright.output.report.facts import ReportFacts
from maskwright.output.report.insight_facts import ReliabilityFacts
from maskwright.output.report.markup import Column, Markup, bar, count, name, score, share, signed, table, text

_DIAGRAMS = 13
_STRIP = 34
"""Height of the columns below a diagram that say how many pixels each step has."""


def calibration(facts: ReportFacts) -> Markup:
    """Return reliability diagrams of the blended out-of-fold probabilities."""
    rows = [row for row in facts.insight.reliability if sum(row.pixels)]
    if not rows:
        return '<p class="empty">There are no out-of-fold probabilities to look at.</p>'
    shown = rows[:_DIAGRAMS]
    figures = "".join(_figure(row) for row in shown)
    rest = len(rows) - len(shown)
    more = f'<p class="caption">{count(rest)} more classes are in the table alone.</p>' if rest else ""
    return f'<p class="explain">{_in_words(rows[0])}</p><div class="charts">{figures}</div>{more}{_key()}{_table(rows)}'


def title_of(row: ReliabilityFacts) -> str:
    """Return what a line is about."""
    return row.name or "the class that wins"


def _in_words(row: ReliabilityFacts) -> Markup:
    what = "the class it settles on" if not row.name else f"{name(row.name)}"
    side = "promises too much" if row.bias > 0 else "promises too little"
    tail = f" On the whole it {side}: by {share(abs(row.bias))}." if abs(row.bias) >= 5e-4 else ""
    return (
        f"Where the blend says 80 % for {what}, is it so in 80 % of pixels? On average it is off by "
        f"<strong>{share(row.error)}</strong> (expected calibration error, out of fold).{tail} "
        "Easy pixels are most of a picture and keep this number small; look at the middle of the diagram for the rest."
    )


def _figure(row: ReliabilityFacts) -> Markup:
    return (
        f"<figure><figcaption>{name(title_of(row))} <small>error {share(row.error)}</small></figcaption>"
        f"{diagram(row)}</figure>"
    )


def diagram(row: ReliabilityFacts) -> Markup:
    """Draw share that is true over probability said, with the gap to the diagonal, and pixels below."""
    axes = Axes(
        f"Reliability of {title_of(row)}: share that is true at each probability; error {share(row.error)}",
        "probability said",
        "share that is true",
        width=320,
        height=300,
        x_range=(0.0, 1.0),
        y_range=(0.0, 1.0),
    )
    frame = Frame(axes, np.zeros(1), np.zeros(1))
    frame.bottom -= _STRIP
    steps = len(row.pixels)
    shares = [true / pixels if pixels else math.nan for true, pixels in zip(row.true, row.pixels, strict=True)]
    points = [(m, s, n) for m, s, n in zip(row.mean, shares, row.pixels, strict=True) if n]
    parts = [f'<line class="even" x1="{frame.x(0):.1f}" y1="{frame.y(0):.1f}" ']
    parts.append(f'x2="{frame.x(1):.1f}" y2="{frame.y(1):.1f}"/>')
    line = " ".join(f"{frame.x(m):.1f},{frame.y(s):.1f}" for m, s, _ in points)
    for mean, true, pixels in points:
        said = f"said {share(mean)}, true {share(true)}, {count(pixels)} pixels"
        x = frame.x(mean)
        parts.append(
            f'<line class="gap-line" x1="{x:.1f}" x2="{x:.1f}" y1="{frame.y(mean):.1f}" y2="{frame.y(true):.1f}"/>'
        )
        dot = f'<circle class="reliable" cx="{x:.1f}" cy="{frame.y(true):.1f}" r="3.6">'
        parts.append(f"{dot}<title>{text(said)}</title></circle>")
    parts.insert(2, f'<polyline class="line s0" points="{line}"/>')
    return _with_strip(frame, "".join(parts), row.pixels, steps)


def _with_strip(frame: Frame, body: Markup, pixels: Sequence[int], steps: int) -> Markup:
    """Put columns of log pixels below the diagram's own axis."""
    floor, most = frame.axes.height - 2, math.log1p(max(pixels))
    columns = []
    for step, number in enumerate(pixels):
        height = (_STRIP - 8) * math.log1p(number) / most
        x, width = frame.x(step / steps), frame.x((step + 1) / steps) - frame.x(step / steps) - 1
        said = f"{step / steps:.2f} to {(step + 1) / steps:.2f}: {count(number)} pixels"
        columns.append(
            f'<rect class="column" x="{x:.1f}" y="{floor - height:.1f}" width="{width:.1f}" height="{height:.1f}">'
            f"<title>{text(said)}</title></rect>"
        )
    return frame.wrap(body + "".join(columns))


def _key() -> Markup:
    return (
        '<p class="caption">Dots on the dashed line are honest probabilities; below it too much is promised, above it '
        "too little. Columns: pixels at each probability, on a logarithmic scale.</p>"
    )


def _table(rows: Sequence[ReliabilityFacts]) -> Markup:
    columns = [Column("probability of"), Column("calibration error", True, "mean |said - true|, weighed by pixels")]
    columns += [Column("said minus true", True, "over all pixels; above 0 too much is promised")]
    columns += [Column("unsure pixels", True, "with a probability of 10 to 90 %"), Column("")]
    body = []
    for row in rows:
        steps = len(row.pixels)
        middle = sum(row.pixels[round(0.1 * steps) : round(0.9 * steps)]) / max(sum(row.pixels), 1)
        body.append([name(title_of(row)), score(row.error), signed(row.bias), share(middle), bar(middle)])
    return table("Calibration of each class", columns, body)
