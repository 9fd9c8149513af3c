"""Squares of shades: the confusion matrix in three views, and how alike members err."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from maskwright.output.report.charts import cut, svg
from maskwright.output.report.markup import Markup, count, share, text

Shades = NDArray[np.float64]


@dataclass(frozen=True)
class Square:
    """A matrix to be drawn."""

    title: str
    """For those who cannot see it."""
    rows: tuple[str, ...]
    columns: tuple[str, ...]
    shades: Shades
    """(R, C), 0 (nothing) to 1 (full colour); nan: left empty."""
    words: Callable[[int, int], str]
    """What a cell says when pointed at."""
    inside: Callable[[int, int], str]
    """What stands in a cell; at most three characters."""
    right: Callable[[int, int], bool]
    """Whether a cell is drawn in the colour of what is right."""


def draw(square: Square) -> Markup:
    """Draw a square of shaded cells with a name at each row and column."""
    size = max(len(square.rows), len(square.columns))
    cell = 34 if size <= 16 else 22
    left = 8 + 6.6 * min(18, max(len(name) for name in square.rows))
    above = 10 + 5.1 * min(18, max(len(name) for name in square.columns))
    width, height = left + cell * len(square.columns) + 70, above + cell * len(square.rows) + 6
    parts = []
    for row, label in enumerate(square.rows):
        y = above + row * cell + cell / 2 + 4
        shown = f"{text(cut(label, 18))}<title>{text(label)}</title>"
        parts.append(f'<text class="tick end" x="{left - 6:.1f}" y="{y:.1f}">{shown}</text>')
    for col, label in enumerate(square.columns):
        x = left + col * cell + cell / 2
        turn = f'transform="rotate(-45 {x:.1f} {above - 7:.1f})"'
        shown = f"{text(cut(label, 18))}<title>{text(label)}</title>"
        parts.append(f'<text class="tick" x="{x:.1f}" y="{above - 7:.1f}" {turn}>{shown}</text>')
    for row in range(len(square.rows)):
        for col in range(len(square.columns)):
            parts.append(_cell(square, (row, col), (left + col * cell, above + row * cell), cell))
    drawn = svg(round(width), round(height), square.title, "".join(parts))
    return drawn.replace("<svg ", f'<svg width="{round(1.15 * width)}" ', 1)  # a small one is not blown up


def _cell(square: Square, at: tuple[int, int], corner: tuple[float, float], cell: int) -> Markup:
    (x, y), value = corner, float(square.shades[at])
    place = f'x="{x:.1f}" y="{y:.1f}" width="{cell - 1.5}" height="{cell - 1.5}"'
    drawn = f'<rect class="cell none" {place}/>'
    if not math.isfinite(value):
        return drawn
    style = "cell right" if square.right(*at) else "cell wrong"
    depth = min(max(value, 0.0), 1.0) ** 0.6
    drawn += f'<rect class="{style}" {place} fill-opacity="{depth:.3f}"><title>{text(square.words(*at))}</title></rect>'
    said = square.inside(*at) if cell > 30 else ""
    if said:
        strong = " strong" if depth > (0.82 if square.right(*at) else 0.68) else ""  # where white reads better than ink
        drawn += f'<text class="inside mid{strong}" x="{x + cell / 2 - 0.75:.1f}" y="{y + cell / 2 + 3.5:.1f}">'
        drawn += f"{text(said)}</text>"
    return drawn


def confusion(counts: NDArray[np.int64], names: Sequence[str]) -> dict[str, Markup]:
    """Draw a confusion matrix as shares of the truth, as shares of the answer, and as pixels.

    Args:
        counts: pixels (C, C), rows are truth.
        names: of the C classes.

    Returns:
        a drawing each for `truth`, `answer` and `pixels`.
    """
    total = counts.astype(np.float64)
    of_truth = total / np.maximum(total.sum(1, keepdims=True), 1)
    of_answer = total / np.maximum(total.sum(0, keepdims=True), 1)
    most = max(float(total.max(initial=0)), 1.0)

    def view(kind: str, shades: Shades, shown: Shades) -> Markup:
        def words(row: int, col: int) -> str:
            pixels = count(int(counts[row, col]))
            if kind == "pixels":
                return f"{names[row]} called {names[col]}: {pixels} pixels"
            whole = names[row] if kind == "truth" else f"what is called {names[col]}"
            return f"{names[row]} called {names[col]}: {share(float(shown[row, col]))} of {whole}, {pixels} pixels"

        def inside(row: int, col: int) -> str:
            if kind == "pixels":
                return brief(int(counts[row, col]))
            return f"{100 * shown[row, col]:.0f}" if shown[row, col] >= 0.005 else ""

        title = f"Confusion matrix, {VIEWS[kind]}; rows are truth, columns are the answer"
        return draw(Square(title, tuple(names), tuple(names), shades, words, inside, lambda row, col: row == col))

    return {
        "truth": view("truth", of_truth, of_truth),
        "answer": view("answer", of_answer, of_answer),
        "pixels": view("pixels", np.log1p(total) / math.log1p(most), total),
    }


def brief(value: int) -> str:
    """Write a count in at most four characters: 950, 9.5k, 95k, 3M."""
    if value < 1000:
        return str(value) if value else ""
    for size, unit in ((10**9, "G"), (10**6, "M"), (10**3, "k")):
        if value >= size:
            scaled = value / size
            return f"{scaled:.1f}{unit}" if scaled < 9.95 else f"{scaled:.0f}{unit}"
    raise AssertionError(value)


def correlations(names: Sequence[str], values: Shades) -> Markup:
    """Draw how members' errors correlate: full colour where they err on the same pixels.

    Args:
        names: of the M members.
        values: (M, M), -1..1; nan where there is none, and on the diagonal.
    """

    def words(row: int, col: int) -> str:
        return f"{names[row]} and {names[col]}: errors correlate by {values[row, col]:.3f}"

    return draw(
        Square(
            "Correlation of members' errors",
            tuple(names),
            tuple(names),
            np.clip(values, 0, 1),
            words,
            lambda row, col: f"{values[row, col]:.2f}".replace("0.", ".", 1),
            lambda row, col: False,
        )
    )


VIEWS = {"truth": "shares of each class", "answer": "shares of each answer", "pixels": "pixels"}
"""View of the confusion matrix -> what a cell is."""
