"""The section of cases in pictures: worst, best, least sure, unlabelled; each opens with a slider over the image."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence

from maskwright.output.report.facts import Case, ReportFacts, Rgb
from maskwright.output.report.markup import Markup, name, named, score, swatch, text, value_colours
from maskwright.output.report.pictures import data_uri, error_kinds
from maskwright.output.report.sections import metric_title

PICTURE_BUDGET = 5_500_000
"""Bytes of all pictures together before base64 adds a third; with it the page stays below 10 MB."""
_PICTURE_MOST = 60_000


def cases(facts: ReportFacts) -> Markup:
    """Return the worst, the best, the least sure and the unlabelled items in pictures, with a legend of colours."""
    groups = [
        ("Worst", "where the answer is furthest from the truth", facts.worst),
        ("Least sure", "where the blend wavers most, and which are neither worst nor best", facts.unsure),
        ("Best", "where it is closest", facts.best),
        ("Unlabelled", "predictions without a truth to compare", facts.previews),
    ]
    shown = [case for _, _, found in groups for case in found]
    if not shown:
        return '<p class="empty">No pictures were asked for.</p>'
    budget = share_of(PICTURE_BUDGET, shown)
    body = legend(facts)
    for title, said, found in groups:
        if found:
            cards = "".join(card(case, metric_title(facts.headline.metric), budget) for case in found)
            body += f'<h3>{title} <small>{said}</small></h3><div class="cases">{cards}</div>'
    return body


def share_of(budget: int, shown: Sequence[Case]) -> int:
    """Return how many bytes each picture of some cases may take.

    Args:
        budget: bytes of all of them.
        shown: at least one case.
    """
    return min(_PICTURE_MOST, budget // sum(len(list(_pictures(case))) for case in shown))


def _pictures(case: Case) -> Iterator[tuple[str, Rgb]]:
    yield "Image", case.image
    if case.truth is not None:
        yield "Truth", case.truth
    yield "Answer", case.prediction
    if case.error is not None:
        yield "Errors", case.error


def card(case: Case, metric: str, budget: int, words: Mapping[str, str] | None = None) -> Markup:
    """Return one case with its pictures side by side.

    Args:
        case: what to show.
        metric: what its score is called.
        budget: bytes of each picture.
        words: other titles for Image, Truth, Answer and Errors.
    """
    figures = []
    for usual, picture in _pictures(case):
        title = (words or {}).get(usual, usual)
        height, width = picture.shape[:2]
        small = " tiny" if max(height, width) < 160 else ""
        figures.append(
            f'<figure><button type="button" class="zoom" aria-label="Compare: {title.lower()} of {text(case.key)}">'
            f'<img class="picture{small}" src="{data_uri(picture, budget)}" width="{width}" height="{height}" '
            f'alt="{title} of {text(case.key)}" loading="lazy" decoding="async"></button>'
            f"<figcaption>{title}</figcaption></figure>"
        )
    value = "" if case.score is None else f'<span class="score">{text(metric)} {score(case.score, 3)}</span>'
    remark = f'<p class="caption">{text(case.note)}</p>' if case.note else ""
    return (
        f'<article class="case"><header><h4>{name(case.key)}</h4>{value}</header>'
        f'<div class="strip n{len(figures)}">{"".join(figures)}</div>{remark}</article>'
    )


def legend(facts: ReportFacts, words: Mapping[str, str] | None = None) -> Markup:
    """Return what the colours in pictures mean; `words` says some of it otherwise."""
    task, said = facts.task, words or {}
    entries = [(swatch("#" + bytes(tone).hex()), said.get(label, label)) for label, tone in error_kinds(task)]
    hatch = '<svg class="swatch" viewBox="0 0 12 12" aria-hidden="true"><rect width="12" height="12" fill="#686868"/>'
    hatch += '<path d="M0 6 6 0M2 12 12 2M8 12l4-4" stroke="#a8a8a8" stroke-width="2.4"/></svg>'
    entries.append((hatch, "does not count"))
    errors = "".join(f"<li>{key}{label}</li>" for key, label in entries)
    fills = value_colours(task)[-task.planes :]
    pairs = zip(fills, task.plane_names, strict=True)
    classes = "".join(f"<li>{named(fill, label)}</li>" for fill, label in pairs)
    return (
        f'<div class="keys"><ul class="legend"><li class="of">{said.get("Errors", "Errors")}</li>{errors}'
        f"<li>grey: {said.get('right', 'right')}</li></ul>"
        f'<ul class="legend"><li class="of">{said.get("Truth", "Truth")} and answer</li>{classes}</ul>'
        '<p class="caption">Choose a picture to lay it over the image with a slider.</p></div>'
    )
