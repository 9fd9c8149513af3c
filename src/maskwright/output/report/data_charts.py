"""Figures of a data set: columns, object sizes, who occurs with whom, image sizes, where classes lie, the mean."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from maskwright.output.report.charts import Axes, Frame, cut, short, svg, ticks
from maskwright.output.report.facts import Rgb
from maskwright.output.report.markup import Markup, count, plural, share, text

MAP_SIDE = 96
"""Pixels of a drawn position map."""
NIGHT = (18, 22, 26)
"""What a position map shows where a class never is."""


@dataclass(frozen=True)
class Bins:
    """Counts in neighbouring steps of one axis."""

    counts: Sequence[int]
    low: float = 0.0
    step: float = 1.0
    name: str = ""
    more: bool = False
    """The last step holds all that is beyond, too."""

    @property
    def total(self) -> int:
        """All that was counted."""
        return sum(self.counts)


def columns(bins: Bins, axes: Axes, other: Bins | None = None, said: str = "items") -> Markup:
    """Draw a histogram, with a second one as an outline over it; then both are shares, else counts.

    Args:
        bins: what is drawn as columns.
        axes: title and meaning; the range of x follows from the bins.
        other: a second set in the same steps.
        said: what is counted, for the words on a column.
    """
    if not bins.total:
        return f'<p class="empty">{text(axes.title)}: nothing was counted.</p>'
    both = other is not None and other.total > 0
    heights = np.array(bins.counts, np.float64) / (bins.total if both else 1)
    seconds = np.array(other.counts, np.float64) / other.total if other is not None and both else np.zeros(0)
    high = bins.low + bins.step * max(len(heights), len(seconds))
    top = float(max(heights.max(), seconds.max(initial=0.0)))
    frame = Frame(replace(axes, x_range=(bins.low, high), y_range=(0.0, top * 1.12)), heights, heights)
    parts = []
    for place, height in enumerate(heights.tolist()):
        if height == 0:
            continue
        x, width = frame.x(bins.low + place * bins.step), frame.x(bins.step) - frame.x(0)
        gap, y = min(0.75, width / 8), frame.y(height)
        words = f"{_step_name(bins, place)}: {plural(bins.counts[place], said.removesuffix('s'))}"
        words += f" ({share(bins.counts[place] / bins.total)})"
        parts.append(
            f'<rect class="column" x="{x + gap:.1f}" y="{y:.1f}" width="{width - 2 * gap:.1f}" '
            f'height="{frame.bottom - y:.1f}"><title>{text(words)}</title></rect>'
        )
    if both:
        parts.append(_outline(frame, bins, seconds))
    return frame.wrap("".join(parts))


def _step_name(bins: Bins, place: int) -> str:
    if bins.step == 1:
        return f"{place + round(bins.low)}{' or more' if bins.more and place == len(bins.counts) - 1 else ''}"
    return f"{bins.low + place * bins.step:.2f} to {bins.low + (place + 1) * bins.step:.2f}"


def _outline(frame: Frame, bins: Bins, heights: NDArray[np.float64]) -> Markup:
    points = [(frame.x(bins.low), float(frame.bottom))]
    for place, height in enumerate(heights.tolist()):
        for end in (place, place + 1):
            points.append((frame.x(bins.low + end * bins.step), frame.y(height)))
    points.append((points[-1][0], float(frame.bottom)))
    path = " ".join(f"{x:.1f},{y:.1f}" for x, y in points)
    return f'<polyline class="line second" points="{path}"/>'


def whole_bins(counts: Sequence[int], most: int, name: str = "", more: bool = False) -> Bins:
    """Put counts of 0, 1, 2, ... into at most about `most` columns of 1, 2, 5, 10, ... numbers each."""
    used = np.flatnonzero(counts)
    kept = list(counts[: used[-1] + 1]) if len(used) else []
    steps = (m * 10**power for power in range(12) for m in (1, 2, 5))
    step = next(step for step in steps if len(kept) <= most * step)
    joined = [sum(kept[at : at + step]) for at in range(0, len(kept), step)]
    return Bins(joined, -0.5 if step == 1 else 0.0, step, name, more)


def ridges(rows: Sequence[tuple[str, str, Sequence[int]]], title: str) -> Markup:
    """Draw, a row for each class, how large its objects are; areas double from column to column.

    Args:
        rows: class, #rrggbb, counts of objects in bins from 2**b pixels up to twice that.
        title: read aloud.
    """
    rows = [row for row in rows if sum(row[2])]
    if not rows:
        return f'<p class="empty">{text(title)}: no objects were found.</p>'
    least = min(next(b for b, n in enumerate(counts) if n) for _, _, counts in rows)
    most = max(len(counts) for _, _, counts in rows)
    left, right, step = 150, 700, 34
    bottom = 8 + step * len(rows)
    width = (right - left) / max(most - least, 1)
    parts = []
    for b in ticks(least, most, 10, whole=True):
        x = left + (b - least) * width
        parts.append(f'<line class="grid" x1="{x:.1f}" x2="{x:.1f}" y1="4" y2="{bottom}"/>')
        parts.append(f'<text class="tick mid" x="{x:.1f}" y="{bottom + 15}">{_pixels(b)}</text>')
    for index, (label, fill, counts) in enumerate(rows):
        base = 8 + step * (index + 1) - 4
        total, top = sum(counts), max(counts)
        parts.append(f'<line class="rung" x1="{left}" x2="{right}" y1="{base}" y2="{base}"/>')
        full = f"<title>{text(label)}</title>"
        parts.append(f'<text class="said name end" x="{left - 12}" y="{base - 4}">{text(cut(label, 21))}{full}</text>')
        for b, number in enumerate(counts):
            if number:
                tall = max(1.5, (step - 8) * number / top)
                words = f"{label}: {plural(number, 'object')} of {_pixels(b)} to {_pixels(b + 1)} px"
                parts.append(
                    f'<rect class="ridge" fill="{fill}" x="{left + (b - least) * width + 0.75:.1f}" '
                    f'y="{base - tall:.1f}" width="{width - 1.5:.1f}" height="{tall:.1f}">'
                    f"<title>{text(words)}</title></rect>"
                )
        parts.append(f'<text class="tick" x="{right + 10}" y="{base - 4}">{count(total)}</text>')
    parts.append(f'<text class="label end" x="{right}" y="{bottom + 31}">pixels of an object (connected area)</text>')
    parts.append(f'<text class="label" x="{right + 30}" y="{bottom + 15}">objects</text>')
    return svg(780, bottom + 36, title, "".join(parts))


def _pixels(bin_number: float) -> str:
    value = 2.0**bin_number
    for size, unit in ((1e9, "G"), (1e6, "M"), (1e3, "k")):
        if value >= size:
            return f"{value / size:.3g}{unit}"
    return f"{value:.0f}"


def together(counts: Sequence[Sequence[int]], names: Sequence[str], title: str) -> Markup:
    """Draw who occurs with whom: of the items that hold the row's class, the share that hold the column's too."""
    table = np.array(counts, np.int64).reshape(len(names), len(names))
    totals = table.diagonal()
    cell = 34 if len(names) <= 16 else 22
    left = 8 + 6.6 * min(18, max(len(name) for name in names))
    top = left * 0.75 + 4
    parts = []
    for row, label in enumerate(names):
        y, x = top + row * cell, left + row * cell + cell / 2
        shown, full = text(cut(label, 18)), f"<title>{text(label)}</title>"
        parts.append(f'<text class="tick end" x="{left - 6:.1f}" y="{y + cell / 2 + 4:.1f}">{shown}{full}</text>')
        turn = f'transform="rotate(-45 {x:.1f} {top - 7:.1f})"'
        parts.append(f'<text class="tick" x="{x:.1f}" y="{top - 7:.1f}" {turn}>{shown}{full}</text>')
        for col, number in enumerate(table[row].tolist()):
            value = number / totals[row] if totals[row] else 0.0
            place = f'x="{left + col * cell:.1f}" y="{y:.1f}" width="{cell - 1.5}" height="{cell - 1.5}"'
            words = f"{plural(number, 'item')} with {label} and {names[col]}: {share(value)} of those with {label}"
            if row == col:
                words = f"{plural(number, 'item')} with {label}"
            style = "cell none" if row == col else "cell right"
            parts.append(f'<rect class="cell none" {place}/>')
            opacity = 1.0 if row == col else value**1.5
            paint = f'<rect class="{style}" {place} fill-opacity="{opacity:.3f}"><title>{text(words)}</title></rect>'
            at = f'x="{left + col * cell + cell / 2 - 0.75:.1f}" y="{y + cell / 2 + 3.5:.1f}"'
            strong = " strong" if value > 0.6 and row != col else ""
            inside = str(number) if row == col else f"{100 * value:.0f}" if value >= 0.005 else ""
            fits = cell > 30 and len(inside) <= 4
            parts.append(paint + (f'<text class="inside mid{strong}" {at}>{inside}</text>' if fits else ""))
    return svg(round(left + cell * len(names) + 70), round(top + cell * len(names) + 6), title, "".join(parts))


def size_map(sizes: Sequence[tuple[int, int, int]], others: Sequence[tuple[int, int, int]], axes: Axes) -> Markup:
    """Draw image sizes as discs, larger for more items; those of a second set as rings."""
    every = [*sizes, *others]
    widths, heights = (np.array([row[at] for row in every], np.float64) for at in (1, 0))
    limits = [(0.0, float(values.max()) * 1.12) for values in (widths, heights)]
    frame = Frame(replace(axes, x_range=limits[0], y_range=limits[1]), widths, heights)
    parts = []
    edge = min(limits[0][1], limits[1][1])
    parts.append(
        f'<line class="mark quiet" x1="{frame.x(0):.1f}" y1="{frame.y(0):.1f}" x2="{frame.x(edge):.1f}" '
        f'y2="{frame.y(edge):.1f}"><title>square</title></line>'
    )
    for rows, style in ((sizes, "disc"), (others, "disc ring")):
        most = max((number for _, _, number in rows), default=1)
        for height, width, number in sorted(rows, key=lambda row: -row[2])[:400]:
            words = f"{height} × {width} (height × width): {plural(number, 'item')}"
            parts.append(
                f'<circle class="{style}" cx="{frame.x(width):.1f}" cy="{frame.y(height):.1f}" '
                f'r="{3 + 9 * math.sqrt(number / most):.1f}"><title>{text(words)}</title></circle>'
            )
    return frame.wrap("".join(parts))


def position_map(grid: Sequence[Sequence[float]], fill: str) -> Rgb:
    """Return where a class lies as a glow in its colour, uint8 (96, 96, 3); brightest where it is most often."""
    values = np.array(grid, np.float32)
    rows, cols = (np.linspace(0, length - 1, MAP_SIDE) for length in values.shape)
    smooth = _lerp(_lerp(values, rows).T, cols).T
    smooth = (smooth / max(float(smooth.max()), 1e-9)) ** 0.8
    colour = np.array([int(fill[at : at + 2], 16) for at in (1, 3, 5)], np.float32)
    bright = float(colour.max())
    colour = colour * (235 / bright) if bright > 40 else np.full(3, 235, np.float32)  # a dark one would not glow
    low = np.array(NIGHT, np.float32)
    return np.asarray((low + smooth[..., None] * (colour - low)).round(), np.uint8)


def _lerp(values: NDArray[np.float32], at: NDArray[np.float64]) -> NDArray[np.float32]:
    """Interpolate rows linearly."""
    first = np.minimum(at.astype(np.intp), max(len(values) - 2, 0))
    second = np.minimum(first + 1, len(values) - 1)
    part = (at - first)[:, None].astype(np.float32)
    result: NDArray[np.float32] = values[first] * (1 - part) + values[second] * part
    return result


def enlarged(image: Sequence[Sequence[Sequence[int]]], times: int = 6) -> Rgb:
    """Return a small RGB image enlarged smoothly, for the mean image."""
    values = np.array(image, np.float32)
    rows, cols = (np.linspace(0, length - 1, length * times) for length in values.shape[:2])
    planes = [_lerp(_lerp(values[..., band], rows).T, cols).T for band in range(values.shape[2])]
    return np.stack(planes, axis=2).clip(0, 255).round().astype(np.uint8)


def share_line(rows: Sequence[tuple[str, float, bool]], title: str, axes: tuple[float, float, str]) -> Markup:
    """Draw one number on a scale with named places, e.g. how well train and test are told apart.

    Args:
        rows: name, place, whether it is the number itself (the others are landmarks).
        title: read aloud.
        axes: from, to, what it means.
    """
    low, high, said = axes
    left, right = 14, 396
    parts = [f'<line class="axis" x1="{left}" x2="{right}" y1="42" y2="42"/>']
    for name, value, own in rows:
        x = left + (min(max(value, low), high) - low) / (high - low) * (right - left)
        anchor = "end" if x > right - 60 else "mid" if x > left + 60 else ""
        if own:
            parts.append(
                f'<circle class="dot honest" cx="{x:.1f}" cy="42" r="7"><title>{short(value)}</title></circle>'
            )
            parts.append(f'<text class="said {anchor}" x="{x:.1f}" y="24">{text(name)}</text>')
        else:
            parts.append(f'<line class="axis" x1="{x:.1f}" x2="{x:.1f}" y1="38" y2="46"/>')
            parts.append(f'<text class="tick {anchor}" x="{x:.1f}" y="62">{text(name)}</text>')
    parts.append(f'<text class="label" x="{left}" y="82">{text(said)}</text>')
    return svg(410, 92, title, "".join(parts))
