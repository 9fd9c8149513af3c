"""The sections of the page that tell of results, data, folds and provenance."""

from __future__ import annotations

import math
from collections.abc import Sequence
from urllib.parse import quote

import numpy as np
from numpy.typing import NDArray

from maskwright.output.report.charts import Axes, histogram, ladder
from maskwright.output.report.facts import ReportFacts, SizeCount
from maskwright.output.report.heat import VIEWS
from maskwright.output.report.heat import confusion as confusion_views
from maskwright.output.report.markup import (
    MISSING,
    Column,
    Markup,
    bar,
    count,
    name,
    named,
    notes,
    plural,
    score,
    share,
    signed,
    table,
    text,
    value_colours,
)

MATRIX_CLASSES = 40
"""A confusion matrix of more classes is not drawn."""
SWITCH_CLASSES = 24
"""A matrix of more classes is drawn as shares of the truth alone."""
_SIZES = 6
_LADDER = 12
_MISTAKES = 10


def metric_title(metric: str) -> str:
    """Return a metric's name as people write it."""
    return METRIC_TITLES.get(metric, metric)


def lede(facts: ReportFacts) -> Markup:
    """Say in one line what was done on what."""
    planes = facts.task.plane_names
    target = name(planes[0]) if len(planes) == 1 else f"{len(planes)} classes"
    head = facts.headline
    parts = [
        f"{text(facts.task.kind.capitalize())} segmentation of {target}",
        plural(head.items, "item"),
        plural(head.folds, "fold"),
        plural(len(facts.decision.members), "member"),
        text(facts.made.date),
    ]
    return " <i>·</i> ".join(f"<span>{part}</span>" for part in parts if part)


def overview(facts: ReportFacts) -> Markup:
    """Return the headline: the honest score first, the others on one scale beside it."""
    head = facts.headline
    metric = metric_title(head.metric)
    of = f"mean {metric} of {facts.task.planes} classes" if facts.task.planes > 1 else metric
    rows = [
        ("honest", head.honest, "honest"),
        ("optimistic", head.optimistic, "optimistic"),
        ("nothing tuned", head.default, "default"),
    ]
    if head.held_out is not None:
        rows.append((head.held_out_name, head.held_out, "held"))
    figures = _figure("honest", f"Honest {metric}", head.honest, _range(facts) or "folds that had no say")
    figures += _figure("optimistic", "Optimistic", head.optimistic, "the pixels that chose")
    if head.held_out is not None:
        figures += _figure("held", head.held_out_name.capitalize(), head.held_out, plural(head.held_out_items, "item"))
    return (
        f'{notes(facts.warnings, "warning")}<div class="hero"><div><div class="figures">{figures}</div>'
        f'<p class="explain">{_explanation(facts)}</p></div>'
        f'<figure class="scale">{ladder(rows, f"{of}: honest, optimistic and untuned")}'
        f"<figcaption>{text(of[0].upper() + of[1:])}, pixels pooled over items; scale enlarged</figcaption></figure>"
        f'</div><div class="pair">{_spread(facts)}{_fold_by_fold(facts)}</div>'
    )


def _figure(style: str, label: str, value: float, below: str) -> Markup:
    return (
        f'<div class="figure {style}"><span class="kicker">{text(label)}</span>'
        f'<span class="digits">{score(value, 3)}</span><span class="below">{text(below)}</span></div>'
    )


def _range(facts: ReportFacts) -> str:
    head = facts.headline
    if head.low is None or head.high is None:
        return ""
    return f"{score(head.low, 3)} to {score(head.high, 3)} in {100 * head.level:.0f} % of redraws"


def _explanation(facts: ReportFacts) -> Markup:
    head = facts.headline
    flatter, gain = head.optimistic - head.honest, head.honest - head.default
    if not all(math.isfinite(value) for value in (flatter, gain)):
        return "Expect about the honest number on new images of the same kind."
    if gain > 5e-5:
        worth = f"tuning is worth {signed(gain)} of it"
    elif gain < -5e-5:
        worth = f"tuning costs {signed(gain)} on folds it has not seen"
    else:
        worth = "tuning adds nothing to it"
    vain = f" (the optimistic number flatters by {signed(flatter)})" if flatter > 5e-5 else ""
    sure = ""
    if head.low is not None and head.high is not None:
        sure = f" With other items of the same kind it would mostly lie between {head.low:.3f} and {head.high:.3f}"
        sure += f" ({plural(head.units, 'group')} of items redrawn)."
    return (
        "Expect about <strong>the honest number</strong> on new images of the same kind: every item was scored by "
        f"models, weights and thresholds that never saw its fold{vain}; {worth}.{sure} {_meaning(head.metric)}"
    )


def _meaning(metric: str) -> Markup:
    """Say what a metric measures, where that can be said in a line."""
    said = MEANINGS.get(metric)
    return f'<span class="meaning">{said}</span>' if said else ""


def _spread(facts: ReportFacts) -> Markup:
    finite = [value for value in facts.item_scores if math.isfinite(value)]
    if not finite:
        return ""
    metric = metric_title(facts.headline.metric)
    low, middle, high = np.percentile(finite, [10, 50, 90]).tolist()
    chart = histogram(finite, Axes(f"How many items reach which {metric}", f"{metric} of an item", "items"))
    return (
        f"<div><h3>Item by item</h3><figure>{chart}<figcaption>Half of {plural(len(finite), 'item')} score above "
        f"{middle:.3f}; one in ten below {low:.3f}, one in ten above {high:.3f}.</figcaption></figure></div>"
    )


def _fold_by_fold(facts: ReportFacts) -> Markup:
    rows = [(f"fold {row.fold}", row.score, "fold") for row in facts.folds if row.fold >= 0 and row.score is not None]
    if len(rows) < 2:
        return ""
    spread = max(value for _, value, _ in rows) - min(value for _, value, _ in rows)
    return (
        f'<div><h3>Fold by fold</h3><figure class="scale">{ladder(rows[:_LADDER], "Score of each fold")}<figcaption>'
        f"Worst and best fold differ by {spread:.4f}, with one and the same recipe."
        "</figcaption></figure></div>"
    )


def classes(facts: ReportFacts) -> Markup:
    """Return the per-class table and, for multiclass, the confusion matrix."""
    colours = value_colours(facts.task)[-facts.task.planes :]
    columns = [Column("class"), Column("IoU", True), Column("")]
    columns += [Column("Dice", True), Column("precision", True, "share of what was marked that is right")]
    columns += [Column("recall", True, "share of what is there that was found"), Column("support, px", True)]
    total = sum(row.support for row in facts.classes)
    rows = []
    for row, fill in zip(facts.classes, colours, strict=True):
        part = f" <small>{share(row.support / total)}</small>" if total and facts.task.kind == "multiclass" else ""
        rows.append(
            [
                named(fill, row.name),
                score(row.iou),
                bar(row.iou),
                score(row.dice),
                score(row.precision),
                score(row.recall),
                count(row.support) + part,
            ]
        )
    body = "<p>Out-of-fold: each pixel was predicted by models that saw neither its item nor its group.</p>"
    body += table("Out-of-fold scores of each class", columns, rows)
    return body + _confusion(facts)


def _confusion(facts: ReportFacts) -> Markup:
    if facts.confusion is None:
        return ""
    names = facts.task.classes
    head = "<h3>What is taken for what</h3>"
    if len(names) > MATRIX_CLASSES:
        return f'{head}<p class="empty">The matrix of {len(names)} classes is too large to be drawn.</p>'
    drawn = confusion_views(facts.confusion, names)
    shown = list(drawn) if len(names) <= SWITCH_CLASSES else ["truth"]
    views = "".join(f'<div class="view {kind}">{drawn[kind]}</div>' for kind in shown)
    return (
        f'{head}<div class="confusion"><div class="views">{_switch(shown)}'
        f'<div class="matrix" role="region" tabindex="0" aria-label="Confusion matrix">{views}</div>'
        '<p class="caption">Rows are the truth, columns the answer. Cells are percent, blank below ½; pixels are '
        f"shaded logarithmically.</p></div><div>{_mistakes(facts.confusion, facts)}</div></div>"
    )


def _switch(kinds: Sequence[str]) -> Markup:
    """Return the choice between the views of a matrix; style.css does the rest, without a script."""
    if len(kinds) < 2:
        return ""
    options = "".join(
        f'<label><input type="radio" name="matrix" value="{kind}"{" checked" if kind == kinds[0] else ""}>'
        f"{VIEWS[kind]}</label>"
        for kind in kinds
    )
    return f'<fieldset class="switch"><legend>Cells are</legend>{options}</fieldset>'


def _mistakes(confusion: NDArray[np.int64], facts: ReportFacts) -> Markup:
    """Return the confusions that cost most, by their share of the class in the truth."""
    wrong = np.where(np.eye(len(confusion), dtype=bool), 0, confusion)
    shares = wrong / np.maximum(confusion.sum(axis=1), 1)[:, None]
    colours, names = value_colours(facts.task), facts.task.classes
    rows = []
    for index in np.argsort(-shares, axis=None, kind="stable")[:_MISTAKES].tolist():
        row, col = divmod(index, len(names))
        if wrong[row, col]:
            pair = f"{named(colours[row], names[row])} → {named(colours[col], names[col])}"
            rows.append([pair, share(float(shares[row, col])), count(int(wrong[row, col]))])
    if not rows:
        return '<p class="empty">Nothing is taken for anything else.</p>'
    heads = [Column("truth → answer"), Column("of the class", True), Column("pixels", True)]
    return table("The most frequent confusions", heads, rows)


def data(facts: ReportFacts) -> Markup:
    """Return what the data is made of and how it was split."""
    found = facts.data
    ignored = 1 - found.valid_pixels / found.pixels if found.pixels else math.nan
    tiles = [
        (count(found.items), "items"),
        (plural(found.bands, "band"), text(found.dtype)),
        (_size_range(found.sizes), "height × width, px"),
        (share(ignored), "pixels ignored"),
    ]
    body = '<dl class="tiles">' + "".join(f"<div><dd>{value}</dd><dt>{label}</dt></div>" for value, label in tiles)
    body += f"</dl>{notes(found.notes)}"
    parts = [("Classes", _shares(facts)), ("Folds", _folds(facts))]
    parts += [("Sizes", _sizes(found.sizes)), ("Bands", _bands(facts))]
    blocks = "".join(f"<div><h3>{title}</h3>{block}</div>" for title, block in parts)
    return f'{body}<div class="pair">{blocks}</div>'


def _size_range(sizes: tuple[SizeCount, ...]) -> Markup:
    if not sizes:
        return MISSING
    heights, widths = [size.height for size in sizes], [size.width for size in sizes]
    small, large = (min(heights), min(widths)), (max(heights), max(widths))
    first = f"{small[0]} × {small[1]}"
    return first if small == large else f"{first} … {large[0]} × {large[1]}"


def _shares(facts: ReportFacts) -> Markup:
    total = max(facts.data.valid_pixels, 1)
    rows = []
    for row, fill in zip(facts.data.classes, value_colours(facts.task), strict=False):
        items = MISSING if row.items is None else count(row.items)
        part = row.pixels / total
        rows.append([named(fill, row.name), share(part), bar(part), items])
    heads = [Column("class"), Column("of pixels", True), Column(""), Column("items", True, "items it occurs in")]
    return table("Share of the labelled pixels by class", heads, rows)


def _sizes(sizes: tuple[SizeCount, ...]) -> Markup:
    ranked = sorted(sizes, key=lambda size: (-size.items, size.height, size.width))
    total = max(sum(size.items for size in sizes), 1)
    rows = [[f"{s.height} × {s.width}", count(s.items), bar(s.items / total)] for s in ranked[:_SIZES]]
    if rest := ranked[_SIZES:]:
        left = sum(size.items for size in rest)
        rows.append([f"{plural(len(rest), 'other size')}", count(left), bar(left / total)])
    return table("Image sizes", [Column("height × width, px"), Column("items", True), Column("")], rows)


def _folds(facts: ReportFacts) -> Markup:
    metric = metric_title(facts.headline.metric)
    scored = any(row.score is not None for row in facts.folds)
    shared = any(row.foreground is not None for row in facts.folds)
    columns = [Column("fold"), Column("items", True), Column("groups", True)]
    columns += [Column("foreground", True, "share of the pixels"), Column("")] if shared else []
    columns += [Column(metric, True)] if scored else []
    rows = []
    for row in facts.folds:
        cells = [
            {-1: "hold-out", -2: "training alone"}.get(row.fold, str(row.fold)),
            count(row.items),
            count(row.groups),
        ]
        part = math.nan if row.foreground is None else row.foreground
        cells += [share(part), bar(part)] if shared else []
        rows.append(cells + ([score(row.score)] if scored else []))
    return table("Items in each fold", columns, rows)


def _bands(facts: ReportFacts) -> Markup:
    found = facts.data
    pairs = list(zip(found.mean, found.std, strict=True))
    if not pairs:
        return '<p class="empty">Band statistics were not taken.</p>'
    rows = [[str(index), f"{mean:.4g}", f"{std:.4g}"] for index, (mean, std) in enumerate(pairs, 1)]
    return table(
        "Mean and standard deviation of each band, after dividing",
        [Column("band"), Column("mean", True, "after dividing"), Column("std", True, "after dividing")],
        rows,
    )


def recipe(facts: ReportFacts) -> Markup:
    """Return where the run came from and what lies beside the report."""
    made = facts.made
    pairs = [("made", made.date), ("maskwright", made.version), ("machine", made.machine), ("command", made.command)]
    pairs.append(("recipe hash", made.recipe_hash))
    lines = "".join(f"<div><dt>{label}</dt><dd>{text(value)}</dd></div>" for label, value in pairs if value)
    body = f'<dl class="facts">{lines}</dl>' if lines else '<p class="empty">Nothing was recorded.</p>'
    if made.files:
        rows = [[f'<a href="{link(row.path)}">{name(row.path)}</a>', text(row.what)] for row in made.files]
        body += "<h3>Beside this page</h3>" + table("Files beside this page", [Column("path"), Column("what")], rows)
    if made.recipe:
        body += f"<details><summary>The resolved recipe</summary><pre><code>{text(made.recipe)}</code></pre></details>"
    return body


def link(path: str) -> Markup:
    """Return a relative link; `./` keeps a colon in a name from becoming a scheme."""
    return text("./" + quote(path.lstrip("/"), safe="/", errors="replace"))


METRIC_TITLES = {"iou": "IoU", "dice": "Dice", "f_beta": "F-beta"}
MEANINGS = {
    "iou": "IoU: of all pixels that are of a class or were called so, the share that is both.",
    "dice": "Dice: twice the rightly found pixels over all that are there and all that were called so.",
    "precision": "Precision: of the pixels that were called so, the share that is right.",
    "recall": "Recall: of the pixels that are there, the share that was found.",
    "accuracy": "Accuracy: the share of pixels that are right.",
}
"""Metric -> what it measures."""
