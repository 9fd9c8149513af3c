"""Put what was found of a data set into audit.html: one self-contained page, as the report is."""

from __future__ import annotations

from pathlib import Path

from maskwright.core.files import write_text
from maskwright.output.report import data_findings, data_sections
from maskwright.output.report.data_facts import AuditFacts, AuditPage
from maskwright.output.report.markup import Markup, name, named, plural, text
from maskwright.output.report.page import assemble

PICTURE_BUDGET = 5_500_000
"""Bytes of all pictures together before base64 adds a third; with it the page stays below 10 MB."""
_PICTURE_MOST = 60_000


def build_audit_page(page: AuditPage, out: Path) -> Path:
    """Write the page as one HTML file that needs no network.

    Args:
        page: what to show; equal facts give an equal file.
        out: the file, e.g. `audit.html`.

    Returns:
        `out`.

    Raises:
        StorageError: disk full or no permission.
    """
    write_text(out, render_audit(page))
    return out


def render_audit(page: AuditPage) -> Markup:
    """Return the page as HTML text."""
    audit, budget = page.audit, _budget(page)
    pairs = len(audit.train.similar) + (len(audit.test.similar) if audit.test else 0)
    bodies = [("verdict", "Verdict", data_findings.verdict(page))]
    if any(one.findings for one in audit.sets.values()):
        bodies.append(("findings", "Findings", data_findings.findings(audit)))
    if page.looks:
        bodies.append(("looks", "First look", _legend(audit) + data_sections.looks(page.looks, budget)))
    if audit.train.classes:
        bodies.append(("classes", "Classes", data_sections.classes(audit)))
    bodies.append(("images", "Images", data_sections.images(audit)))
    if pairs:
        bodies.append(("twins", "Look-alikes", data_sections.twins(page.twins, pairs, budget)))
    if audit.shift is not None:
        bodies.append(("shift", "Train and test", data_sections.shift(audit)))
    if page.albums:
        bodies.append(("augmented", "Augmented", data_sections.albums(page.albums, budget)))
    return assemble("audit", page.title, _lede(page), bodies, page.made.version)


def _budget(page: AuditPage) -> int:
    """Return the bytes each picture may take."""
    shown = sum(1 + (look.overlay is not None) for look in page.looks) + 2 * len(page.twins)
    shown += sum(1 + len(strip.versions) for album in page.albums for strip in album.strips)
    return min(_PICTURE_MOST, PICTURE_BUDGET // max(shown, 1))


def _lede(page: AuditPage) -> Markup:
    task, train = page.audit.task.task, page.audit.train
    target = name(task.plane_names[0]) if task.planes == 1 else f"{task.planes} classes"
    parts = [f"Labels for {task.kind} segmentation of {target}", plural(train.items, "item"), text(page.made.date)]
    return " <i>·</i> ".join(f"<span>{part}</span>" for part in parts if part)


def _legend(audit: AuditFacts) -> Markup:
    task = audit.task.task
    pairs = zip(audit.task.fills[-task.planes :], task.plane_names, strict=True)
    classes = "".join(f"<li>{named(fill, label)}</li>" for fill, label in pairs)
    return f'<div class="keys"><ul class="legend">{classes}</ul></div>'
