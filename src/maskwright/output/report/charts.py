"""Charts drawn as SVG: lines (training, thresholds), histogram, ladder of scores; colours in style.css."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from maskwright.output.report.markup import Markup, count, score, text

SERIES = 8
"""How many series colours style.css has: classes s0..s7."""
_POINTS, _ALL_POINTS = 240, 2400
"""Most points of one line, and of all lines of a chart: beyond, they are thinned evenly."""
_TARGETS = 240
"""Most hover targets of a chart."""
_LEAST = 1e-30
"""What is smaller is nothing, on any axis."""
LEFT, RIGHT, TOP, BOTTOM = 46, 12, 24, 36
"""Room around a chart for the words of its axes."""


@dataclass(frozen=True)
class Line:
    """One line of a chart."""

    name: str
    xs: Sequence[float]
    ys: Sequence[float]
    series: int = 0
    """Which of the series colours."""
    dashed: bool = False
    group: str = ""
    """What the legend's button shows and hides it by, of letters and digits."""


@dataclass(frozen=True)
class Mark:
    """A vertical line at x with a few words, and a dot on the line where it meets y."""

    x: float
    label: str
    y: float | None = None
    quiet: bool = False
    left: bool | None = None
    """On which side of the line the words stand; None: where there is more room."""
    high: bool = False
    """Put the words at the top; else at the bottom, where curves with a peak leave room."""


@dataclass(frozen=True)
class Axes:
    """What a chart is called and what its axes mean, units included."""

    title: str
    x: str
    y: str
    width: int = 380
    height: int = 224
    log_y: bool = False
    x_range: tuple[float, float] | None = None
    y_range: tuple[float, float] | None = None
    whole_x: bool = False
    """Ticks of x at whole numbers only."""


def ticks(low: float, high: float, most: int = 5, whole: bool = False) -> list[float]:
    """Return round numbers (1, 2, 5 x 10^n) within [low, high], at most about `most` of them."""
    span = high - low
    if not span > _LEAST:
        return [low]
    rough = span / max(most, 1)
    power = 10.0 ** math.floor(math.log10(rough))
    step = next(m * power for m in (1, 2, 5, 10) if m * power >= rough * 0.999)
    if whole:
        step = max(1.0, round(step))
    first = math.ceil(low / step - 1e-9)
    return [round(k * step, 12) for k in range(first, math.floor(high / step + 1e-9) + 1)]


class Frame:
    """The mapping from numbers to places on the drawing."""

    def __init__(self, axes: Axes, xs: NDArray[np.float64], ys: NDArray[np.float64]) -> None:
        self.axes = axes
        self.log = axes.log_y and bool((ys > _LEAST).all())
        self.x_low, self.x_high = axes.x_range or _padded(xs, 0.0)
        self.y_low, self.y_high = axes.y_range or _padded(np.log10(ys) if self.log else ys, 0.06)
        self.right, self.bottom = axes.width - RIGHT, axes.height - BOTTOM

    def x(self, value: float) -> float:
        """Return where a value of x lies."""
        return LEFT + (value - self.x_low) / (self.x_high - self.x_low) * (self.right - LEFT)

    def y(self, value: float) -> float:
        """Return where a value of y lies."""
        level = math.log10(value) if self.log else value
        return self.bottom - (level - self.y_low) / (self.y_high - self.y_low) * (self.bottom - TOP)

    def y_ticks(self) -> list[float]:
        """Return the values of y that get a line."""
        if not self.log:
            return ticks(self.y_low, self.y_high)
        low, high = 10**self.y_low, 10**self.y_high
        steps = (1, 2, 5) if self.y_high - self.y_low < 2.5 else (1,)
        powers = range(math.floor(self.y_low), math.ceil(self.y_high) + 1)
        found = [m * 10.0**k for k in powers for m in steps if low <= m * 10.0**k <= high]
        return found if len(found) >= 2 else ticks(low, high)

    def grid(self) -> Markup:
        """Draw axes, ticks and what they mean."""
        parts = []
        for value in self.y_ticks():
            y = self.y(value)
            parts.append(f'<line class="grid" x1="{LEFT}" x2="{self.right}" y1="{y:.1f}" y2="{y:.1f}"/>')
            parts.append(f'<text class="tick end" x="{LEFT - 7}" y="{y + 3.5:.1f}">{short(value)}</text>')
        for value in ticks(self.x_low, self.x_high, whole=self.axes.whole_x):
            x = self.x(value)
            parts.append(
                f'<line class="axis" x1="{x:.1f}" x2="{x:.1f}" y1="{self.bottom}" y2="{self.bottom + 4}"/>'
                f'<text class="tick mid" x="{x:.1f}" y="{self.bottom + 16}">{short(value)}</text>'
            )
        parts.append(f'<line class="axis" x1="{LEFT}" x2="{self.right}" y1="{self.bottom}" y2="{self.bottom}"/>')
        parts.append(f'<text class="label" x="0" y="11">{text(self.axes.y)}</text>')
        parts.append(f'<text class="label end" x="{self.right}" y="{self.bottom + 31}">{text(self.axes.x)}</text>')
        return "".join(parts)

    def wrap(self, body: Markup) -> Markup:
        """Put a drawing on its axes."""
        return svg(self.axes.width, self.axes.height, self.axes.title, self.grid() + body)


def line_chart(lines: Sequence[Line], axes: Axes, marks: Sequence[Mark] = ()) -> Markup:
    """Draw lines over common axes; points that are not finite (or not positive on a log axis) are left out."""
    most = min(_POINTS, max(16, _ALL_POINTS // max(len(lines), 1)))
    kept = [(line, _finite(line, axes.log_y, most)) for line in lines]
    kept = [(line, points) for line, points in kept if len(points)]
    if not kept:
        return f'<p class="empty">{text(axes.title)}: nothing was recorded.</p>'
    every = np.concatenate([points for _, points in kept])
    frame = Frame(axes, every[:, 0], every[:, 1])
    targets = max(2, _TARGETS // len(kept))
    drawn = "".join(_drawn(frame, line, points, targets) for line, points in kept)
    return frame.wrap("".join(drawn_mark(frame, mark) for mark in marks) + drawn)


def _finite(line: Line, positive: bool, most: int) -> NDArray[np.float64]:
    points = np.column_stack([np.asarray(line.xs, np.float64), np.asarray(line.ys, np.float64)])
    points = points[np.isfinite(points).all(axis=1) & ((points[:, 1] > _LEAST) | (not positive))]
    if len(points) <= most:
        return points
    thinned: NDArray[np.float64] = points[np.unique(np.linspace(0, len(points) - 1, most).round().astype(int))]
    return thinned


def _drawn(frame: Frame, line: Line, points: NDArray[np.float64], targets: int) -> Markup:
    places = [(frame.x(x), frame.y(y)) for x, y in points]
    style = f"s{line.series % SERIES}" + (" dashed" if line.dashed else "")
    path = " ".join(f"{x:.1f},{y:.1f}" for x, y in places)
    parts = [f'<polyline class="line {style}" points="{path}"><title>{text(line.name)}</title></polyline>']
    every = max(1, math.ceil(len(points) / targets))
    lone = " lone" if len(points) == 1 else ""
    for (x, y), (at, value) in list(zip(places, points, strict=True))[::every]:
        said = f"{line.name}: {short(float(value))} at {frame.axes.x} {short(float(at))}"
        parts.append(f'<circle class="point {style}{lone}" cx="{x:.1f}" cy="{y:.1f}" r="3.5">')
        parts.append(f"<title>{text(said)}</title></circle>")
    group = f' data-group="{text(line.group)}"' if line.group else ""
    return f'<g class="series {style}"{group}>{"".join(parts)}</g>'


def drawn_mark(frame: Frame, mark: Mark) -> Markup:
    """Draw a vertical line with its words."""
    x = frame.x(mark.x)
    quiet = " quiet" if mark.quiet else ""
    left = x > (frame.right + LEFT) / 2 if mark.left is None else mark.left
    side, gap = (" end", -5) if left else ("", 5)
    height = TOP + 9 if mark.high else frame.bottom - (22 if mark.quiet else 8)
    parts = [f'<line class="mark{quiet}" x1="{x:.1f}" x2="{x:.1f}" y1="{TOP}" y2="{frame.bottom}"/>']
    parts.append(f'<text class="said{quiet}{side}" x="{x + gap:.1f}" y="{height:.1f}">{text(mark.label)}</text>')
    if mark.y is not None and math.isfinite(mark.y):
        parts.append(f'<circle class="spot" cx="{x:.1f}" cy="{frame.y(mark.y):.1f}" r="4.5"/>')
    return "".join(parts)


def legend(entries: Sequence[tuple[str, int | None, bool, str]]) -> Markup:
    """Return the legend of the line charts that follow it, a button for each group of lines.

    Args:
        entries: name, series number (None: a remark on all), dashed, group of lines (`dashed`: all dashed ones).
    """
    items = []
    for label, series, dashed, group in entries:
        style = f"s{SERIES - 1 if series is None else series % SERIES}"
        mark = f"line {style}{' dashed' * dashed}"
        key = f'<svg viewBox="0 0 22 8" aria-hidden="true"><line class="{mark}" x1="1" x2="21" y1="4" y2="4"/></svg>'
        button = f'<button type="button" class="toggle" aria-pressed="true" data-group="{text(group)}">'
        items.append(f"<li>{button}{key}{text(label)}</button></li>")
    return f'<ul class="legend toggles">{"".join(items)}</ul>'


def histogram(values: Sequence[float], axes: Axes, bins: int = 20) -> Markup:
    """Draw how many values of 0..1 fall into each of `bins` equal steps, with the median marked.

    The scale begins at 0, or at a tenth below the least value if that is above one half.
    """
    numbers = np.asarray(values, np.float64)
    numbers = numbers[np.isfinite(numbers)].clip(0, 1)
    if not len(numbers):
        return f'<p class="empty">{text(axes.title)}: nothing was recorded.</p>'
    least = float(numbers.min())
    start = min(math.floor(10 * least) / 10, 0.9) if least > 0.5 else 0.0
    heights, edges = np.histogram(numbers, bins=bins, range=(start, 1))
    top = float(heights.max())
    frame = Frame(replace(axes, x_range=(start, 1.0), y_range=(0.0, top * 1.18)), numbers, heights)
    parts = []
    for height, low, high in zip(heights, edges[:-1], edges[1:], strict=True):
        x, width, y = frame.x(low) + 0.75, frame.x(high) - frame.x(low) - 1.5, frame.y(height)
        said = f"{low:.2f} to {high:.2f}: {count(int(height))}"
        parts.append(
            f'<rect class="column" x="{x:.1f}" y="{y:.1f}" width="{width:.1f}" height="{frame.bottom - y:.1f}">'
            f"<title>{text(said)}</title></rect>"
        )
    middle = float(np.median(numbers))
    return frame.wrap("".join(parts) + drawn_mark(frame, Mark(middle, f"median {middle:.3f}", high=True)))


def ladder(rows: Sequence[tuple[str, float, str]], title: str) -> Markup:
    """Draw scores as dots on one enlarged scale, a row each, so that small differences show.

    Args:
        rows: label, score, style class (honest, optimistic, default, held).
        title: what the drawing is, for those who cannot see it.
    """
    rows = [row for row in rows if math.isfinite(row[1])]
    if not rows:
        return f'<p class="empty">{text(title)}: nothing was recorded.</p>'
    values = np.array([value for _, value, _ in rows])
    low, high = _padded(values, 0.25, least=0.02)
    left, right, step = 150, 348, 34
    height = step * len(rows) + 30
    place = {value: left + (value - low) / (high - low) * (right - left) for value in values.tolist()}
    parts = []
    for value in ticks(low, high, 4):
        x = left + (value - low) / (high - low) * (right - left)
        parts.append(f'<line class="grid" x1="{x:.1f}" x2="{x:.1f}" y1="4" y2="{height - 22}"/>')
        parts.append(f'<text class="tick mid" x="{x:.1f}" y="{height - 7}">{short(value)}</text>')
    for index, (label, value, style) in enumerate(rows):
        y, x = 4 + step * index + step / 2, place[value]
        parts.append(f'<line class="rung" x1="{left}" x2="{right}" y1="{y}" y2="{y}"/>')
        parts.append(f'<text class="said end {style}" x="{left - 12}" y="{y + 4}">{text(cut(label, 19))}</text>')
        parts.append(
            f'<circle class="dot {style}" cx="{x:.1f}" cy="{y}" r="6.5"><title>{score(value)}</title></circle>'
        )
        parts.append(f'<text class="value {style}" x="{right + 12}" y="{y + 4}">{score(value)}</text>')
    return svg(410, height, title, "".join(parts))


def short(value: float) -> str:
    """Write an axis number in at most about six characters, a true minus."""
    if value == 0:
        return "0"
    shown = f"{value:.4g}"
    if "e" in shown:
        digits, power = shown.split("e")
        shown = f"{digits}e{int(power)}"
    return shown.replace("-", "−")


def cut(label: str, most: int) -> str:
    """Shorten a name to so many characters."""
    return label if len(label) <= most else label[: most - 1] + "…"


def _padded(values: NDArray[np.float64], share_of_span: float, least: float = 0.0) -> tuple[float, float]:
    """Return a range around values that is never empty."""
    low, high = float(values.min()), float(values.max())
    span = max(high - low, least)
    if span <= 1e-9 * max(abs(low), abs(high)) + _LEAST:  # one value, but for rounding
        span = abs(high) * 0.1 if abs(high) > _LEAST else 1.0
        return low - span / 2, high + span / 2
    spare = (span - (high - low)) / 2 + share_of_span * span
    return low - spare, high + spare


def svg(width: int, height: int, title: str, body: Markup) -> Markup:
    """Return a drawing that scales with the page; the title is read aloud."""
    return f'<svg class="chart" viewBox="0 0 {width} {height}" role="img" aria-label="{text(title)}">{body}</svg>'
