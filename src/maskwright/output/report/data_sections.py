"""The sections on a data set: classes, images, first look, look-alikes, train against test, what a model will see."""

from __future__ import annotations

from collections.abc import Sequence

from maskwright.output.report import data_charts as drawn
from maskwright.output.report import sections
from maskwright.output.report.charts import Axes
from maskwright.output.report.data_facts import Album, AuditFacts, ClassFact, Look, SetFact, Twins
from maskwright.output.report.data_findings import findings
from maskwright.output.report.facts import ReportFacts, Rgb
from maskwright.output.report.markup import (
    MISSING,
    Column,
    Markup,
    bar,
    count,
    name,
    named,
    plural,
    score,
    share,
    table,
    text,
)
from maskwright.output.report.pictures import data_uri

MAPS, MATRIX, RIDGES = 30, 40, 60
"""Most classes of which maps, matrix rows and size rows are drawn."""
PAIRS = 8
"""Pairs of classes whose common pixels are told."""
_SIZES, _MAP_BYTES, _MEAN_BYTES = 8, 3_000, 12_000


def classes(audit: AuditFacts) -> Markup:
    """Return what the labels hold: shares, counts, sizes, co-occurrence and places of the classes."""
    if not audit.train.labelled or not audit.train.classes:
        return '<p class="empty">There are no labels that could be counted.</p>'
    test = audit.test if audit.test is not None and audit.test.labelled else None
    return _class_table(audit, test) + figures(audit)


def of_report(facts: ReportFacts) -> Markup:
    """Return the run report's section on the data: its own tables, then the audit's findings and figures."""
    body = sections.data(facts)
    audit = facts.audit
    if audit is None:
        return body
    if any(one.findings for one in audit.sets.values()):
        body += findings(audit)
    if audit.shift is not None:
        body += f"<h3>Train and test</h3>{shift(audit)}"
    return body + figures(audit)


def figures(audit: AuditFacts) -> Markup:
    """Return the figures that the run report adds to its own tables: item by item, sizes, company, places."""
    train = audit.train
    if not train.labelled or not train.classes:
        return ""
    test = audit.test if audit.test is not None and audit.test.labelled else None
    return _per_image(audit, test) + _object_sizes(audit) + _companions(train) + _places(audit)


def _object_sizes(audit: AuditFacts) -> Markup:
    rows = zip(audit.train.classes[:RIDGES], audit.task.fills, strict=False)
    sizes = [(one.name, fill, one.areas) for one, fill in rows if _is_object(one, audit)]
    chart = drawn.ridges(sizes, "Sizes of objects, class by class")
    return f"<h3>How large objects are</h3><figure>{chart}</figure>"


def _is_object(one: ClassFact, audit: AuditFacts) -> bool:
    """Say whether a class is something, and not the background."""
    task = audit.task.task
    background = task.kind != "multilabel" and task.value_names[0] == one.name and len(task.value_names) > 1
    return not (background and (task.kind == "binary" or one.name.lower() in ("background", "bg", "other", "none")))


def _class_table(audit: AuditFacts, test: SetFact | None) -> Markup:
    train = audit.train
    total, other = (max(sum(one.pixels for one in found.classes), 1) if found else 1 for found in (train, test))
    planes = audit.task.kind == "multilabel"
    columns = [Column("class"), Column("of labelled pixels" if planes else "of pixels", True), Column("")]
    columns += [Column("items", True, "items it occurs in"), Column("objects", True, "connected areas")]
    columns += [Column("an item has", True, "objects of the class in an item that has it, on average")]
    columns += [Column("median object", True, "about, from sizes that double from step to step")]
    columns += [Column("in test", True, "share of the test labels' pixels")] if test else []
    rows = []
    for place, (one, fill) in enumerate(zip(train.classes, audit.task.fills, strict=False)):
        part = one.pixels / total
        cells = [named(fill, one.name), share(part), bar(part), count(one.images), count(one.objects)]
        cells += [f"{one.objects / one.images:.1f}" if one.images else MISSING, _median(one.areas)]
        if test:
            there = test.classes[place].pixels / other if place < len(test.classes) else 0.0
            cells.append(share(there))
        rows.append(cells)
    return table("What the labels hold, class by class", columns, rows)


def _median(areas: Sequence[int]) -> Markup:
    """Return the bin that holds the median object, as a range of pixels."""
    total, seen = sum(areas), 0
    for place, number in enumerate(areas):
        seen += number
        if 2 * seen >= total > 0:
            return f"{count(2**place)}–{count(2 ** (place + 1))} px"
    return MISSING


def _per_image(audit: AuditFacts, test: SetFact | None) -> Markup:
    train = audit.train
    charts = []
    plain: tuple[tuple[str, str, Sequence[int], Sequence[int], bool], ...] = (
        ("Objects in an item", "objects", train.objects_per_image, test.objects_per_image if test else (), True),
        ("Classes in an item", "classes", train.classes_per_image, test.classes_per_image if test else (), False),
    )
    if len(train.classes) < 3:
        plain = plain[:1]
    y = "share of items" if test else "items"
    for title, x, counts, others, more in plain:
        bins = drawn.whole_bins(counts, 32, more=more)
        second = drawn.whole_bins(others, 32, more=more) if others else None
        if second is not None and second.step != bins.step:
            second = None
        charts.append((title, drawn.columns(bins, Axes(title, x, y, whole_x=True), second)))
    if audit.task.task.kind != "multiclass" or not _is_object(train.classes[0], audit):
        step = 1 / max(len(train.coverage), 1)
        title, cover = "Share of an item that is not background", drawn.Bins(train.coverage, 0.0, step)
        over = drawn.Bins(test.coverage, 0.0, step) if test else None
        charts.append((title, drawn.columns(cover, Axes(title, "share of the pixels", y), over)))
    body = "".join(f"<figure><figcaption>{head}</figcaption>{chart}</figure>" for head, chart in charts)
    key = '<p class="caption">Columns: train; outline: test; both as shares of their items.</p>' if test else ""
    return f'<h3>Item by item</h3><div class="charts">{body}</div>{key}'


def _companions(train: SetFact) -> Markup:
    names = [one.name for one in train.classes]
    if len(names) < 3 or len(train.cooccurrence) != len(names):
        return ""
    if len(names) > MATRIX:
        return f'<h3>Who occurs with whom</h3><p class="empty">{len(names)} classes are too many to draw.</p>'
    chart = drawn.together(train.cooccurrence, names, "Co-occurrence of classes")
    return (
        '<h3>Who occurs with whom</h3><div class="matrix" role="region" tabindex="0" '
        f'aria-label="Co-occurrence of classes">{chart}</div>'
        '<p class="caption">Of the items that hold the row’s class, the percentage that hold the column’s too; on the '
        "diagonal, how many items hold the class.</p>"
    )


def _places(audit: AuditFacts) -> Markup:
    figures = []
    for one, fill in list(zip(audit.train.classes, audit.task.fills, strict=False))[:MAPS]:
        grid = audit.train.positions.get(one.name)
        if grid and one.pixels and _is_object(one, audit):
            top = max(max(row) for row in grid)
            picture = drawn.position_map(grid, fill)
            figures.append(_figure(picture, one.name, f"up to {share(top)}", "Where the class lies", _MAP_BYTES))
    if audit.train.overlap:
        picture, top = drawn.position_map(audit.train.overlap, "#ffffff"), max(max(row) for row in audit.train.overlap)
        figures.append(
            _figure(picture, "two or more", f"up to {share(top)}", "Where two classes or more overlap", _MAP_BYTES)
        )
    if not figures:
        return ""
    return (
        "<h3>Where classes lie <small>summed over all items, each stretched to a square</small></h3>"
        f'<div class="maps">{"".join(figures)}</div>{_overlaps(audit.train)}'
    )


def _overlaps(train: SetFact) -> Markup:
    """Say which classes share the most pixels."""
    names, pixels = [one.name for one in train.classes], train.overlap_pixels
    if not pixels or len(pixels) != len(names):
        return ""
    pairs = [
        (pixels[row][col] / pixels[row][row], names[row], names[col])
        for row in range(len(names))
        for col in range(len(names))
        if row != col and pixels[row][col]
    ]
    listed = [f"{share(part)} of {text(one)} in {text(other)}" for part, one, other in sorted(pairs, reverse=True)]
    return f'<p class="caption">Pixels in common: {"; ".join(listed[:PAIRS])}.</p>' if listed else ""


def _figure(picture: Rgb, title: str, said: str, alt: str, budget: int) -> Markup:
    height, width = picture.shape[:2]
    return (
        f'<figure><img class="picture" src="{data_uri(picture, budget)}" width="{width}" height="{height}" '
        f'alt="{text(alt)}: {text(title)}" loading="lazy" decoding="async">'
        f"<figcaption>{name(title)} <small>{text(said)}</small></figcaption></figure>"
    )


def images(audit: AuditFacts) -> Markup:
    """Return what the images are like: sizes, bands, and their mean."""
    train, test = audit.train, audit.test
    if not train.sizes:
        return '<p class="empty">No image could be read.</p>'
    body = f'<div class="pair"><div><h3>Sizes</h3>{_sizes(train, test)}</div>'
    body += f"<div><h3>Bands</h3>{_bands(train, test)}{_mean(audit)}</div></div>"
    return body


def _sizes(train: SetFact, test: SetFact | None) -> Markup:
    others = test.sizes if test else ()
    ranked = sorted(train.sizes, key=lambda row: (-row[2], row[0], row[1]))
    total = max(sum(row[2] for row in ranked), 1)
    rows = [[f"{height} × {width}", count(items), bar(items / total)] for height, width, items in ranked[:_SIZES]]
    if rest := ranked[_SIZES:]:
        left = sum(row[2] for row in rest)
        rows.append([f"{plural(len(rest), 'other size')}", count(left), bar(left / total)])
    body = table("Image sizes", [Column("height × width, px"), Column("items", True), Column("")], rows)
    if len({row[:2] for row in [*train.sizes, *others]}) > 1:
        chart = drawn.size_map(train.sizes, others, Axes("Sizes of the images", "width, px", "height, px"))
        key = "Discs: train, rings: test; larger for more items." if others else "Larger discs: more items."
        body += f'<figure>{chart}</figure><p class="caption">{key} The dashed line is square.</p>'
    return body


def _bands(train: SetFact, test: SetFact | None) -> Markup:
    if not train.mean:
        return '<p class="empty">Band statistics were not taken.</p>'
    both = test is not None and len(test.mean) == len(train.mean)
    columns = [Column("band"), Column("mean", True, "after dividing"), Column("std", True, "after dividing")]
    columns += [Column("mean in test", True), Column("std in test", True)] if both else []
    rows = []
    for place, (mean, std) in enumerate(zip(train.mean, train.std, strict=True)):
        cells = [str(place + 1), f"{mean:.4g}", f"{std:.4g}"]
        if both and test is not None:
            cells += [f"{test.mean[place]:.4g}", f"{test.std[place]:.4g}"]
        rows.append(cells)
    said = f'<p class="caption">Values divided by {train.divide:g}.</p>'
    return table("Mean and standard deviation of each band, after dividing", columns, rows) + said


def _mean(audit: AuditFacts) -> Markup:
    figures = [
        _figure(drawn.enlarged(one.mean_image), f"mean {name} image", "", "Mean of all images", _MEAN_BYTES)
        for name, one in audit.sets.items()
        if one.mean_image
    ]
    return f'<div class="maps large">{"".join(figures)}</div>' if figures else ""


def looks(found: Sequence[Look], budget: int) -> Markup:
    """Return items with their labels laid over, group by group."""
    parts = []
    for group, (title, said) in GROUPS.items():
        cards = [_card(look, budget) for look in found if look.group == group]
        if cards:
            parts.append(f'<h3>{title} <small>{said}</small></h3><div class="gallery">{"".join(cards)}</div>')
    return "".join(parts) or '<p class="empty">No pictures were made.</p>'


def _card(look: Look, budget: int) -> Markup:
    shown = [("Image", look.image)] + ([("Label", look.overlay)] if look.overlay is not None else [])
    return _pictures(look.key, shown, look.note, budget, "")


def _pictures(title: str, shown: Sequence[tuple[str, Rgb]], note: str, budget: int, value: str) -> Markup:
    figures = []
    for head, picture in shown:
        height, width = picture.shape[:2]
        small = " tiny" if max(height, width) < 160 else ""
        figures.append(
            f'<figure><button type="button" class="zoom" aria-label="Enlarge {text(head)} of {text(title)}">'
            f'<img class="picture{small}" src="{data_uri(picture, budget)}" width="{width}" height="{height}" '
            f'alt="{text(head)} of {text(title)}" loading="lazy" decoding="async"></button>'
            f"<figcaption>{name(head)}</figcaption></figure>"
        )
    remark = f'<p class="caption">{name(note)}</p>' if note else ""
    right = f'<span class="score">{text(value)}</span>' if value else ""
    return (
        f'<article class="case"><header><h4>{name(title)}</h4>{right}</header>'
        f'<div class="strip n{len(figures)}">{"".join(figures)}</div>{remark}</article>'
    )


def twins(found: Sequence[Twins], total: int, budget: int) -> Markup:
    """Return pairs of items that show the same, side by side."""
    if not total:
        return '<p class="empty">No two items show the same.</p>'
    cards = [
        _pictures(
            HOW.get(pair.how, pair.how),
            [(key, picture) for key, picture in zip(pair.keys, pair.pictures, strict=True)],
            "",
            budget,
            f"likeness {pair.likeness:.2f}",
        )
        for pair in found
    ]
    more = f'<p class="caption">{count(total - len(found))} more pairs in audit.json.</p>' if total > len(found) else ""
    said = "Such items belong into one fold, else the score is of images the model has seen."
    return f'<p>{plural(total, "pair")}. {said}</p><div class="gallery">{"".join(cards)}</div>{more}'


def shift(audit: AuditFacts) -> Markup:
    """Return how far test images differ from training images, and in what."""
    found = audit.shift
    if found is None:
        return '<p class="empty">There is no test set, or too few images to compare.</p>'
    said = next(words for limit, words in SHIFTS.items() if found.score < limit)
    marks = [(f"{found.score:.2f}", found.score, True), ("alike", 0.5, False), ("always told apart", 1.0, False)]
    line = drawn.share_line(marks, "How well train and test are told apart", (0.5, 1.0, "area under the ROC curve"))
    rows = [
        [
            name(one.name.replace("_", " ")),
            name(one.words),
            f"{one.train:.4g}",
            f"{one.test:.4g}",
            score(one.score, 2),
            bar(2 * one.score - 1),
        ]
        for one in found.drivers
    ]
    columns = [Column("feature"), Column("test images are"), Column("train", True, "median"), Column("test", True)]
    columns += [Column("tells apart", True, "share of train-test pairs that it alone orders"), Column("")]
    drivers = table("What tells train and test apart", columns, rows) if rows else ""
    return f'<div class="hero"><p class="explain">{said}</p><figure class="scale">{line}</figure></div>' + (
        "<h3>What drives it</h3>" + drivers if drivers else ""
    )


def albums(found: Sequence[Album], budget: int) -> Markup:
    """Return what each member will see: an item, and versions of it."""
    body = ""
    for album in found:
        steps = " ".join(f'<span class="badge">{text(step)}</span>' for step in album.augment)
        body += f"<h3>{name(album.member)} <small>windows of {text(album.crop)}</small></h3><p>{steps}</p>"
        for strip in album.strips:
            shown = [("Item", strip.original)]
            shown += [(str(number), picture) for number, picture in enumerate(strip.versions, 1)]
            body += _pictures(strip.key, shown, "", budget, "")
    return body + (
        '<p class="caption">Labels are outlined in their colours; hatched pixels do not count in the loss.</p>'
    )


GROUPS = {
    "suspicious": ("Named above", "items that a suspicion or a note speaks of"),
    "fullest": ("Fullest", "the largest share of foreground"),
    "emptiest": ("Emptiest", "the smallest share of foreground"),
    "random": ("Anywhere", "spread evenly over the set"),
    "test": ("Test", "items to predict"),
}
"""Why an item is shown -> heading and explanation, in the order of the page."""
HOW = {"copy": "A copy", "turned": "Mirrored or turned", "overlap": "Overlap in part", "equal": "Equal pixels"}
"""How two items are alike -> words."""
SHIFTS = {
    0.6: "<strong>Train and test look alike:</strong> a classifier can hardly tell them apart.",
    0.75: "<strong>Train and test differ a little.</strong> Out-of-fold scores should carry over, roughly.",
    0.9: "<strong>Train and test differ clearly.</strong> Expect less on test than out of fold; see what drives it.",
    2.0: "<strong>Train and test are nearly always told apart.</strong> Out-of-fold scores say little about test.",
}
"""Upper limit of the score -> what it means."""
