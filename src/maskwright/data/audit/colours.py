"""Sum up mask colours that no class has over the whole set, so that a thousand masks are one line."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator

from maskwright.data.audit.view import View
from maskwright.data.findings import Finding, some

SHOWN = 6
MOST = 256


def explain_colours(view: View) -> Iterator[Finding]:
    """Replace the faults of single masks with undeclared colours by one of the set."""
    odd = [(one, finding) for one in view.found for finding in one.findings if finding.kind == "undeclared_colour"]
    if len(odd) < 2:
        yield from (finding for _, finding in odd)
        return
    pixels: Counter[str] = Counter()
    size = unknown = 0
    close = {"noisy": 0.0, "mixed": 0.0}
    reasons: Counter[tuple[str, str]] = Counter()
    for _, finding in odd:
        pixels.update(finding.facts["colours"])
        size += finding.facts["pixels"]
        unknown += finding.facts["unknown"]
        for name in close:
            close[name] += finding.facts[name] * finding.facts["unknown"]
        reasons[(finding.facts["reason"], finding.fix)] += finding.facts["unknown"]
    listed = ", ".join(
        f"[{colour.replace(',', ', ')}] ({count / size:.2%})" for colour, count in pixels.most_common(SHOWN)
    )
    more = f" and {len(pixels) - SHOWN} more" if len(pixels) > SHOWN else ""
    keys = tuple(one.key for one, _ in odd)
    (reason, fix), _ = reasons.most_common(1)[0]
    what = (
        f"colours that no class has in {len(odd)} of {len(view.labelled) + len(odd)} masks ({some(keys)}), "
        f"{unknown / size:.2%} of their pixels: {listed}{more}"
    )
    facts = {
        "colours": {colour: {"pixels": count, "share": count / size} for colour, count in pixels.most_common(MOST)},
        "distinct": len(pixels),
        **{name: share / unknown for name, share in close.items()},
    }
    yield Finding("undeclared_colour", view.where, f"{what}; {reason}" if reason else what, fix, keys, facts)
