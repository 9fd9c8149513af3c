"""The verdict on a data set and everything that was found, worst first, kind by kind."""

from __future__ import annotations

from collections.abc import Sequence

from maskwright.output.report.data_facts import SEVERITIES, AuditFacts, AuditPage, FindingFact, SetFact, Severity
from maskwright.output.report.markup import Markup, count, name, plural, text

SHOWN, LISTED = 6, 300
"""Findings of one kind that are seen at once, and that a click shows; audit.json has all."""


def verdict(page: AuditPage) -> Markup:
    """Return the verdict in figures, what the set is made of, and all findings."""
    audit = page.audit
    figures = "".join(_figure(audit, severity) for severity in SEVERITIES)
    sets = "".join(tiles(name, one) for name, one in audit.sets.items())
    return f'<div class="figures verdict">{figures}</div><p class="explain">{_sentence(audit)}</p>{sets}'


def _figure(audit: AuditFacts, severity: Severity) -> Markup:
    number = audit.count(severity)
    style = f"{severity} {'none' if not number else 'some'}"
    title, below = SEVERITY_WORDS[severity]
    return (
        f'<div class="figure {style}"><span class="kicker">{title}</span>'
        f'<span class="digits">{count(number)}</span><span class="below">{below}</span></div>'
    )


def _sentence(audit: AuditFacts) -> Markup:
    faults, doubts = audit.count("fault"), audit.count("suspicion")
    if faults:
        rest = "each is named below with what to do" if faults > 1 else "it is named below with what to do"
        return f"<strong>This set cannot be trained on yet.</strong> {plural(faults, 'fault')}: {rest}."
    if doubts:
        return (
            "<strong>Nothing forbids training, but look at "
            f"{'these' if doubts > 1 else 'this'} first.</strong> A suspicion is what usually means a mistake "
            "in the labels or in the recipe."
        )
    return "<strong>The set is clean.</strong> Every image and every label was decoded and compared."


def tiles(title: str, one: SetFact) -> Markup:
    """Return what a set is made of, in a row of figures."""
    readable = one.items if one.readable is None else one.readable
    faulty = "" if readable == one.items else f" <small>{count(readable)} without faults</small>"
    labelled = "all labelled" if one.labelled == one.items else f"{count(one.labelled)} with labels"
    shown = [
        (f"{count(one.items)}{faulty}", f"{text(title)} items"),
        (labelled if one.labelled else "unlabelled", "labels"),
        (plural(one.bands, "band") if one.bands else "–", text(one.dtype)),
        (_size_range(one), "height × width, px"),
    ]
    body = "".join(f"<div><dd>{value}</dd><dt>{label}</dt></div>" for value, label in shown)
    return f'<dl class="tiles">{body}</dl>'


def _size_range(one: SetFact) -> Markup:
    if not one.sizes:
        return "–"
    ranked = sorted((row[0] * row[1], row[0], row[1]) for row in one.sizes)
    (_, *small), (_, *large) = ranked[0], ranked[-1]
    first = f"{small[0]} × {small[1]}"
    return first if small == large else f"{first} … {large[0]} × {large[1]}"


def findings(audit: AuditFacts) -> Markup:
    """Return everything that was found, by severity and kind."""
    parts = []
    for severity in SEVERITIES:
        found = list(audit.of(severity))
        if found:
            title, below = SEVERITY_WORDS[severity]
            parts.append(f"<h3>{title} <small>{count(len(found))}, {below}</small></h3>{_kinds(found, audit)}")
    return "".join(parts) or '<p class="empty">Nothing was found.</p>'


def _kinds(found: Sequence[FindingFact], audit: AuditFacts) -> Markup:
    by_kind: dict[str, list[FindingFact]] = {}
    for finding in found:
        by_kind.setdefault(finding.kind, []).append(finding)
    return '<div class="findings">' + "".join(_kind(kind, ones, audit) for kind, ones in by_kind.items()) + "</div>"


def _kind(kind: str, found: Sequence[FindingFact], audit: AuditFacts) -> Markup:
    title = audit.words.get(kind) or kind.replace("_", " ")
    title = title[:1].upper() + title[1:]
    badge = f'<span class="badge">{count(len(found))}</span>' if len(found) > 1 else ""
    fixes = {finding.fix for finding in found}
    common = fixes.pop() if len(fixes) == 1 else None
    lines = [_line(finding, with_fix=common is None) for finding in found[:LISTED]]
    body = f"<ul>{''.join(lines[:SHOWN])}</ul>"
    if rest := lines[SHOWN:]:
        body += f"<details><summary>{count(len(found) - SHOWN)} more</summary><ul>{''.join(rest)}</ul>"
        if len(found) > LISTED:
            body += f'<p class="caption">and {count(len(found) - LISTED)} more in audit.json</p>'
        body += "</details>"
    do = f'<p class="fix">{text(common[:1].upper() + common[1:])}.</p>' if common else ""
    return f'<article class="finding {found[0].severity}"><h4>{text(title)} {badge}</h4>{body}{do}</article>'


def _line(finding: FindingFact, *, with_fix: bool) -> Markup:
    where = f"<code>{name(finding.where)}</code> " if finding.where else ""
    fix = f' <span class="fix">{text(finding.fix)}</span>' if finding.fix and with_fix else ""
    return f"<li>{where}{name(finding.what)}{fix}</li>"


SEVERITY_WORDS: dict[Severity, tuple[str, str]] = {
    "fault": ("Faults", "must be mended before training"),
    "suspicion": ("Suspicions", "usually a mistake: look before training"),
    "note": ("Notes", "worth knowing"),
}
"""Severity -> heading and what it means."""
