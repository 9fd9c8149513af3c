"""The section of suspects: labels that models which never saw them would have drawn otherwise, in pictures."""

from __future__ import annotations

from maskwright.output.report.facts import ReportFacts
from maskwright.output.report.gallery import card, legend, share_of
from maskwright.output.report.markup import Markup, plural

BUDGET = 1_500_000
"""Bytes of all pictures of the section, before base64 adds a third."""

WORDS = {
    "Truth": "Label",
    "Errors": "Difference",
    "too much": "in the answer alone",
    "missed": "in the label alone",
    "wrong class": "another class",
    "right": "alike",
}
"""Here nobody knows yet who is right."""


def suspects(facts: ReportFacts) -> Markup:
    """Return the most suspicious items and regions in pictures."""
    found = facts.suspects
    shown = [*found.items, *found.regions]
    if not shown:
        return '<p class="empty">No label was doubted.</p>'
    budget = share_of(BUDGET, shown)
    body = (
        f"<p>{plural(found.ranked, 'item')} ranked by how much of its label models that never saw it are sure is "
        f"wrong; {plural(found.loud, 'region')} of which they are quite sure. "
        "What they call an error may be theirs: look before you change a label. All are in suspects.csv and "
        "suspects_regions.csv.</p>"
    )
    body += legend(facts, WORDS)
    groups = (
        ("Items", "whose whole label fits least", found.items),
        ("Regions", "outlined in the image: the label says one thing, the models another", found.regions),
    )
    for title, said, cases in groups:
        if cases:
            cards = "".join(card(case, "suspicion", budget, WORDS) for case in cases)
            body += f'<h3>{title} <small>{said}</small></h3><div class="cases">{cards}</div>'
    return body
