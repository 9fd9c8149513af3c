"""The page of an ablation: what each change does to the score, and whether that can be told from chance."""

from __future__ import annotations

from pathlib import Path

from maskwright.core.files import write_text
from maskwright.output.report.forest import Gap, forest
from maskwright.output.report.markup import MISSING, Column, Markup, name, notes, plural, score, signed, table, text
from maskwright.output.report.page import assemble
from maskwright.output.report.tuning_facts import AblationFacts, ArmFact


def build_ablation_page(facts: AblationFacts, out: Path) -> Path:
    """Write the page as one HTML file that needs no network.

    Args:
        facts: what to show; equal facts give an equal file.
        out: the file, e.g. `ablation.html`.

    Raises:
        StorageError: disk full or no permission.
    """
    write_text(out, render_ablation(facts))
    return out


def render_ablation(facts: AblationFacts) -> Markup:
    """Return the page as HTML text."""
    bodies = [(key, title, section(facts)) for key, (title, section) in SECTIONS.items()]
    counts = f"{plural(len(facts.folds), 'fold')} x {plural(len(facts.seeds), 'seed')}"
    parts = [plural(len(facts.arms), "change"), counts, text(facts.measured)]
    lede = " <i>·</i> ".join(f"<span>{part}</span>" for part in parts)
    return assemble("ablation", facts.title, lede, bodies, facts.version)


def result(facts: AblationFacts) -> Markup:
    """Return differences with their intervals, largest first, and a table."""
    ranked = _ranked(facts)
    percent = f"{100 * facts.confidence:g} %"
    gaps = [Gap(one.name, one.gain, one.low, one.high, firm=one.believed) for one in ranked if one.gain is not None]
    drawn = forest(gaps, "Difference to the recipe as it is", f"difference in {facts.metric}")
    columns = [Column("change"), Column("as it is", True), Column("difference", True), Column(percent, True)]
    columns += [Column("p", True), Column("p, Holm", True, "adjusted for all changes of the table"), Column("verdict")]
    few = (
        ["Two folds leave one degree of freedom: hardly any difference can be believed."]
        if len(facts.folds) == 2
        else []
    )
    few += [f"{one.name} failed: {one.reason}" for one in facts.arms if one.reason]
    believed = [one for one in ranked if one.believed]
    said = f"{plural(len(believed), 'difference')} of {len(facts.arms)} can be believed."
    return (
        f"{notes(few, 'warning')}<p>{said}</p>"
        f'<figure class="scale forest">{drawn}<figcaption>Dot: mean difference over folds and seeds; whisker: its '
        f"{percent} interval; full colour: believed after Holm's correction for all changes of this table."
        "</figcaption></figure>"
        f"{table('Differences', columns, [_row(one) for one in ranked])}{_how(facts)}"
    )


def _ranked(facts: AblationFacts) -> list[ArmFact]:
    return sorted(facts.arms, key=lambda one: (one.gain is None, -(one.gain or 0.0), one.name))


def _row(one: ArmFact) -> list[Markup]:
    if one.gain is None:
        return [name(one.name), MISSING, MISSING, MISSING, MISSING, MISSING, text(f"failed: {one.reason}")]
    style = ("up" if one.gain > 0 else "down") if one.believed else ""
    between = MISSING
    if one.low is not None and one.high is not None:
        between = f"{signed(one.low, 3)} to {signed(one.high, 3)}"
    verdict = ("better" if one.gain > 0 else "worse") if one.believed else "cannot be told from chance"
    gain = f'<span class="{style}">{signed(one.gain)}</span>'
    return [name(one.name), score(one.unchanged), gain, between, score(one.p, 3), score(one.adjusted, 3), text(verdict)]


def _how(facts: AblationFacts) -> Markup:
    return (
        '<p class="caption">Each change was trained on the same folds with the same seeds as the recipe as it is. '
        "Seeds are averaged within a fold; the folds are compared by Student's t with the variance of Nadeau and "
        f"Bengio (2003) for training sets that overlap (1/{len(facts.folds)} + {facts.ratio:.3g} times the sample "
        "variance).</p>"
    )


def pairs(facts: AblationFacts) -> Markup:
    """Return every difference by fold and seed."""
    body = ""
    for one in _ranked(facts):
        if not one.differences:
            continue
        columns = [Column("fold"), *(Column(f"seed {seed}", True) for seed in facts.seeds), Column("mean", True)]
        rows = [
            [str(fold), *(signed(value) for value in row), signed(sum(row) / len(row))]
            for fold, row in zip(facts.folds, one.differences, strict=True)
        ]
        body += f"<h3>{name(one.name)}</h3>{table(f'Differences of {one.name}', columns, rows)}"
    return body or '<p class="empty">Nothing was trained to its end.</p>'


def changes(facts: AblationFacts) -> Markup:
    """Return what each change sets."""
    columns = [Column("change"), Column("key"), Column("value")]
    rows = [
        [name(one.name), f"<code>{text(key)}</code>", f"<code>{text(value)}</code>"]
        for one in facts.arms
        for key, value in one.values
    ]
    return f"{table('What each change sets', columns, rows)}<p><code>{text(facts.command)}</code></p>"


SECTIONS = {
    "result": ("Result", result),
    "pairs": ("By fold and seed", pairs),
    "changes": ("Changes", changes),
}
"""Key (anchor) -> title and builder, in the order of the page."""
