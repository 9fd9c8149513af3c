"""Small builders of HTML: escaped text, numbers, tables, bars. Nothing else writes names into markup."""

from __future__ import annotations

import html
import math
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from maskwright.core.labels import Task

Markup = str
"""Text that is HTML already: every name in it went through `text`."""
MISSING = "–"


def text(raw: object) -> Markup:
    """Escape anything for element content and quoted attributes; what UTF-8 or XML cannot hold becomes �."""
    shown = str(raw).encode("utf-8", "replace").decode()
    shown = "".join(c if c in "\t\n" or (c >= " " and c != "\x7f") else "�" for c in shown)
    return html.escape(shown, quote=True)


def name(raw: object) -> Markup:
    """Escape a name from outside and fence it, so that right-to-left characters cannot reorder the line."""
    return f"<bdi>{text(raw)}</bdi>"


def score(value: float | None, digits: int = 4) -> Markup:
    """Write a score of 0..1 with fixed digits; None and nan as a dash."""
    return MISSING if value is None or not math.isfinite(value) else f"{value:.{digits}f}"


def signed(value: float, digits: int = 4) -> Markup:
    """Write a difference with its sign, a true minus."""
    if not math.isfinite(value):
        return MISSING
    shown = f"{value:+.{digits}f}"
    return f"±{shown[1:]}" if float(shown) == 0 else shown.replace("-", "−")


def share(value: float) -> Markup:
    """Write a share of 0..1 as percent; what would round to nothing keeps two significant digits."""
    if not math.isfinite(value):
        return MISSING
    percent = 100 * value
    digits = 1 if percent >= 1 or percent == 0 else min(6, 1 - math.floor(math.log10(percent)))
    return f"{percent:.{digits}f} %"


def count(value: int) -> Markup:
    """Write a whole number with thin spaces between thousands."""
    return f"{value:,}".replace(",", "\u202f")


def plural(value: int, noun: str) -> Markup:
    """Write `1 item`, `2 items`."""
    return f"{count(value)} {noun}{'' if value == 1 else 's'}"


class Column(NamedTuple):
    """Head of a table column."""

    title: str
    number: bool = False
    hint: str = ""


def table(caption: str, columns: Sequence[Column], rows: Sequence[Sequence[Markup]]) -> Markup:
    """Return a table that scrolls sideways on a narrow screen; the first cell of a row is its head.

    Args:
        caption: read aloud, not shown.
        columns: heads; numbers are right-aligned in tabular figures.
        rows: cells as markup, one for each column.
    """
    heads = "".join(
        f'<th scope="col"{_number(column)}' + (f' title="{text(column.hint)}"' if column.hint else "") + ">"
        f"{text(column.title)}</th>"
        for column in columns
    )
    lines = []
    for row in rows:
        cells = list(zip(columns, row, strict=True))
        first = f'<th scope="row"{_number(cells[0][0])}>{cells[0][1]}</th>'
        rest = "".join(f"<td{_number(column)}>{cell}</td>" for column, cell in cells[1:])
        lines.append(f"<tr>{first}{rest}</tr>")
    return (
        f'<div class="scroll" role="region" tabindex="0" aria-label="{text(caption)}"><table>'
        f'<caption class="hidden">{text(caption)}</caption><thead><tr>{heads}</tr></thead>'
        f"<tbody>{''.join(lines)}</tbody></table></div>"
    )


def _number(column: Column) -> str:
    return ' class="number"' if column.number else ""


def bar(value: float) -> Markup:
    """Return a small horizontal bar for a share of 0..1; nan is an empty one."""
    width = 0.0 if not math.isfinite(value) else 100 * min(max(value, 0.0), 1.0)
    return (
        '<svg class="bar" viewBox="0 0 100 8" preserveAspectRatio="none" aria-hidden="true">'
        f'<rect class="track" width="100" height="8"/><rect class="fill" width="{width:.2f}" height="8"/>'
        "</svg>"
    )


def swatch(fill: str) -> Markup:
    """Return a small square of a colour such as #rrggbb."""
    return (
        f'<svg class="swatch" viewBox="0 0 12 12" aria-hidden="true"><rect width="12" height="12" fill="{fill}"/></svg>'
    )


def named(fill: str, raw: object) -> Markup:
    """Return a class: its colour and its name, kept together."""
    return f'<span class="named">{swatch(fill)}{name(raw)}</span>'


def value_colours(task: Task) -> tuple[str, ...]:
    """Return #rrggbb of each of task.values (multilabel: of each plane), as the pictures have them."""
    rows = task.palette
    if task.kind == "binary":
        rows = np.vstack([np.zeros((1, 3), np.uint8), rows])
    return tuple("#" + bytes(row.tolist()).hex() for row in rows)


def notes(lines: Sequence[str], kind: str = "note") -> Markup:
    """Return remarks as a list, or nothing; kind is note or warning."""
    if not lines:
        return ""
    return f'<ul class="remarks {kind}">' + "".join(f"<li>{text(line)}</li>" for line in lines) + "</ul>"
