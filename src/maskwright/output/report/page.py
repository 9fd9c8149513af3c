"""Put the sections into one self-contained page: no request leaves it, and only our own script runs in it."""

from __future__ import annotations

import base64
import hashlib
from collections.abc import Sequence
from importlib.resources import files
from pathlib import Path
from string import Template

from maskwright.core.files import write_text
from maskwright.output.report import (
    calibration,
    curves,
    data_sections,
    ensemble,
    gallery,
    ground,
    item_table,
    rounds,
    sections,
    spent,
    suspects,
)
from maskwright.output.report.facts import ReportFacts
from maskwright.output.report.markup import Markup, text


def build_report(facts: ReportFacts, out: Path) -> Path:
    """Write the report as one HTML file that needs no network.

    Args:
        facts: what to show; equal facts give an equal file.
        out: the file, e.g. `report.html`; links to files beside it are relative.

    Returns:
        `out`.

    Raises:
        StorageError: disk full or no permission.
    """
    write_text(out, render(facts))
    return out


def render(facts: ReportFacts) -> Markup:
    """Return the page as HTML text."""
    bodies = [(key, title, section(facts)) for key, (title, section) in SECTIONS.items() if shown(key, facts)]
    return assemble("report", facts.title, sections.lede(facts), bodies, facts.made.version)


def shown(key: str, facts: ReportFacts) -> bool:
    """Say whether a section is on the page: places where items have one, suspects and rounds where there are some."""
    there = {
        "ground": not facts.ground.empty,
        "suspects": facts.suspects.ranked > 0,
        "rounds": bool(facts.selftrain.rounds),
    }
    return there.get(key, True)


def assemble(what: str, title: str, lede: Markup, bodies: Sequence[tuple[str, str, Markup]], version: str) -> Markup:
    """Put sections into one page that stands alone.

    Args:
        what: report or audit, for the brand above the title.
        title: of the page, as text.
        lede: one line below it.
        bodies: anchor, title, content of each section, in order.
        version: of maskwright.
    """
    style, script = _part("style.css"), _part("script.js")
    return Template(_part("template.html")).substitute(
        what=what,
        policy=_policy(style, script),
        title=text(title),
        lede=lede,
        style=style,
        script=script,
        nav="".join(f'<a href="#{key}">{title}</a>' for key, title, _ in bodies),
        main="".join(
            f'<section id="{key}" aria-labelledby="{key}-title"><h2 id="{key}-title">{title}</h2>{body}</section>'
            for key, title, body in bodies
        ),
        version=text(f"maskwright {version}".strip()),
    )


def _part(name: str) -> str:
    return files("maskwright.output.report").joinpath(name).read_text(encoding="utf-8")


def _policy(style: str, script: str) -> str:
    """Return a Content-Security-Policy that names our style and script by digest and allows nothing else."""
    digests = [base64.b64encode(hashlib.sha256(part.encode()).digest()).decode() for part in (style, script)]
    return (
        f"default-src 'none'; img-src data:; style-src 'sha256-{digests[0]}'; script-src 'sha256-{digests[1]}'; "
        "base-uri 'none'; form-action 'none'"
    )


SECTIONS = {
    "result": ("Result", sections.overview),
    "classes": ("Classes", sections.classes),
    "cases": ("Cases", gallery.cases),
    "items": ("Items", item_table.items),
    "suspects": ("Suspects", suspects.suspects),
    "ground": ("On the ground", ground.ground),
    "calibration": ("Calibration", calibration.calibration),
    "decision": ("Decision", ensemble.decision),
    "rounds": ("Self-training", rounds.rounds),
    "training": ("Training", curves.training),
    "data": ("Data", data_sections.of_report),
    "cost": ("Cost", spent.cost),
    "recipe": ("Recipe", sections.recipe),
}
"""Key (anchor) -> title and builder, in the order of the page."""
