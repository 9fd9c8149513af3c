"""Differences with their intervals, row by row on one scale with a line at nothing."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

from maskwright.output.report.charts import cut, short, svg, ticks
from maskwright.output.report.markup import Markup, signed, text

_LEFT, _RIGHT, _STEP = 200, 470, 34


@dataclass(frozen=True)
class Gap:
    """One difference."""

    label: str
    value: float
    low: float | None = None
    high: float | None = None
    rosy: float | None = None
    """The same difference seen optimistically, drawn as a ring."""
    firm: bool = True
    """Drawn full: believed; else hollow and grey."""


def forest(gaps: Sequence[Gap], title: str, unit: str) -> Markup:
    """Draw differences; a whisker is an interval, a ring the optimistic view.

    Args:
        gaps: rows, top first; those without a finite value are left out.
        title: for those who cannot see it.
        unit: what the axis counts.
    """
    gaps = [gap for gap in gaps if math.isfinite(gap.value)]
    if not gaps:
        return f'<p class="empty">{text(title)}: nothing was recorded.</p>'
    ends = [0.0, *(x for gap in gaps for x in (gap.value, gap.low, gap.high, gap.rosy) if x is not None)]
    ends = [x for x in ends if math.isfinite(x)]
    spare = 0.08 * max(max(ends) - min(ends), 1e-4)
    low, high = min(ends) - spare, max(ends) + spare
    height = _STEP * len(gaps) + 46

    def x(value: float) -> float:
        return _LEFT + (value - low) / (high - low) * (_RIGHT - _LEFT)

    parts = []
    for tick in ticks(low, high, 5):
        at, style = x(tick), "axis" if tick == 0 else "grid"
        parts.append(f'<line class="{style}" x1="{at:.1f}" x2="{at:.1f}" y1="4" y2="{height - 38}"/>')
        parts.append(f'<text class="tick mid" x="{at:.1f}" y="{height - 23}">{short(tick)}</text>')
    parts.append(f'<text class="label end" x="{_RIGHT}" y="{height - 6}">{text(unit)}</text>')
    for index, gap in enumerate(gaps):
        parts.append(_row(gap, 4 + _STEP * index + _STEP / 2, x))
    return svg(560, height, title, "".join(parts))


def _row(gap: Gap, y: float, x: object) -> Markup:
    assert callable(x)
    tone = ("better" if gap.value > 0 else "worse") if gap.firm else "chance"
    said = f"{gap.label}: {signed(gap.value)}"
    whisker = ""
    if gap.low is not None and gap.high is not None:
        said += f", interval {signed(gap.low)} to {signed(gap.high)}"
        whisker = f'<line class="whisker" x1="{x(gap.low):.1f}" x2="{x(gap.high):.1f}" y1="{y}" y2="{y}"/>'
        for end in (gap.low, gap.high):
            whisker += f'<line class="whisker" x1="{x(end):.1f}" x2="{x(end):.1f}" y1="{y - 4}" y2="{y + 4}"/>'
    ring = ""
    if gap.rosy is not None and math.isfinite(gap.rosy):
        said += f", optimistic {signed(gap.rosy)}"
        ring = f'<circle class="ring" cx="{x(gap.rosy):.1f}" cy="{y}" r="4.5"/>'
    return (
        f'<g class="gap {tone}"><title>{text(said)}</title>'
        f'<text class="said end" x="{_LEFT - 14}" y="{y + 4}">{text(cut(gap.label, 28))}</text>{whisker}{ring}'
        f'<circle class="point-of" cx="{x(gap.value):.1f}" cy="{y}" r="5.5"/>'
        f'<text class="value" x="{_RIGHT + 14}" y="{y + 4}">{signed(gap.value)}</text></g>'
    )
