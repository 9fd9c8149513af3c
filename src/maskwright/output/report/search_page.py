"""The page of a search: the winner and its finalists, the history, what each key decides, every trial."""

from __future__ import annotations

from pathlib import Path

from maskwright.core.files import write_text
from maskwright.output.report.charts import Axes, Line, ladder, legend, line_chart
from maskwright.output.report.markup import (
    MISSING,
    Column,
    Markup,
    bar,
    count,
    name,
    notes,
    plural,
    score,
    share,
    table,
    text,
)
from maskwright.output.report.page import assemble
from maskwright.output.report.spent import duration
from maskwright.output.report.tuning_facts import FinalFact, SearchFacts, TrialFact

MOST_PATHS = 60
"""Trials whose way is drawn."""


def build_search_page(facts: SearchFacts, out: Path) -> Path:
    """Write the page as one HTML file that needs no network.

    Args:
        facts: what to show; equal facts give an equal file.
        out: the file, e.g. `search.html`.

    Raises:
        StorageError: disk full or no permission.
    """
    write_text(out, render_search(facts))
    return out


def render_search(facts: SearchFacts) -> Markup:
    """Return the page as HTML text."""
    bodies = [(key, title, section(facts)) for key, (title, section) in SECTIONS.items()]
    told = {state: sum(trial.state == state for trial in facts.trials) for state in ("pruned", "failed")}
    parts = [plural(len(facts.trials), "trial"), f"{count(told['pruned'])} ended early"]
    parts += [f"{count(told['failed'])} failed", text(facts.measured)]
    lede = " <i>·</i> ".join(f"<span>{part}</span>" for part in parts)
    return assemble("search", facts.title, lede, bodies, facts.version)


def result(facts: SearchFacts) -> Markup:
    """Return who won, what that changes, and how the finalists fared."""
    columns = [Column("key"), Column("was"), Column("winner has"), Column("tried")]
    rows = [
        [f"<code>{text(one.key)}</code>", f"<code>{text(one.was)}</code>", _now(one.was, one.now), text(one.space)]
        for one in facts.keys
    ]
    changed = table("What the winning recipe changes", columns, rows)
    who = text(facts.winner[:1].upper() + facts.winner[1:])
    said = f"<p><strong>{who}</strong> wins. <code>winner.yaml</code> is that recipe.</p>"
    if not facts.finals:
        alone = ["The best trial was not repeated with other seeds (search.finalists: 0), so luck may have chosen it."]
        return f"{notes(alone, 'warning')}{said}{changed}"
    dots = [(one.name, value, "default") for one in facts.finals for value in one.scores]
    rungs = [(one.name, one.mean, "honest" if one.wins else "default") for one in facts.finals if one.mean is not None]
    drawn = ladder(rungs, f"Mean {facts.metric} of the finalists")
    heads = [Column("finalist"), Column(f"mean {facts.metric}", True), Column("± over seeds", True)]
    heads += [Column("seeds", True), Column("least", True), Column("most", True), Column("failed", True)]
    listed = table("Finalists", heads, [_final(one) for one in facts.finals])
    few = ["The winner was chosen among these means, so its own is a little rosy."] if len(dots) > 1 else []
    return (
        f"{said}{changed}<h3>Finalists <small>repeated with seeds that none was chosen on</small></h3>"
        f'<div class="pair"><figure class="scale">{drawn}</figure><div>{listed}{notes(few)}</div></div>'
    )


def _now(was: str, now: str) -> Markup:
    return f"<code>{text(now)}</code>" if was == now else f"<strong><code>{text(now)}</code></strong>"


def _final(one: FinalFact) -> list[Markup]:
    shown = f"<strong>{name(one.name)}</strong>" if one.wins else name(one.name)
    ends = [score(min(one.scores)), score(max(one.scores))] if one.scores else [MISSING, MISSING]
    return [shown, score(one.mean), score(one.spread), count(len(one.scores)), *ends, count(one.failed)]


def history(facts: SearchFacts) -> Markup:
    """Return scores trial by trial with the best so far, and how trials went on the way."""
    done = [trial for trial in facts.trials if trial.value is not None]
    early = [trial for trial in facts.trials if trial.state == "pruned" and trial.path]
    best, xs, ys = float("-inf"), [], []
    for trial in done:
        assert trial.value is not None
        best = max(best, trial.value)
        xs.append(float(trial.number))
        ys.append(best)
    lines = [Line("best so far", xs, ys, 1, dashed=True, group="best")]
    lines += [Line(f"trial {one.number}", [one.number], [one.value or 0.0], 0, group="done") for one in done]
    lines += [
        Line(f"trial {one.number}, ended early", [one.number], [one.path[-1][1]], 3, group="early") for one in early
    ]
    entries: list[tuple[str, int | None, bool, str]] = [("trial", 0, False, "done"), ("best so far", 1, True, "best")]
    entries += [("ended early", 3, False, "early")] if early else []
    axes = Axes("Scores of the trials", "trial", facts.metric, width=640, whole_x=True)
    ways = [trial for trial in facts.trials if len(trial.path) > 1][-MOST_PATHS:]
    drawn = [_way(trial) for trial in ways]
    way = Axes("Validation scores on the way", "% of the training", facts.metric, width=640)
    more = f"<figure><figcaption>On the way</figcaption>{line_chart(drawn, way)}</figure>" if drawn else ""
    return f'{legend(entries)}<div class="charts wide"><figure>{line_chart(lines, axes)}</figure>{more}</div>'


def _way(trial: TrialFact) -> Line:
    xs, ys = [at for at, _ in trial.path], [value for _, value in trial.path]
    ended = trial.state == "pruned"
    said = f"trial {trial.number}{', ended early' if ended else ''}"
    return Line(said, xs, ys, 3 if ended else 0, dashed=ended, group="early" if ended else "done")


def keys(facts: SearchFacts) -> Markup:
    """Return how much each key decides, and scores over its values."""
    known = [one for one in facts.keys if one.importance is not None]
    columns = [Column("key"), Column("decides", True), Column("")]
    rows = [
        [f"<code>{text(one.key)}</code>", share(one.importance or 0.0), bar(one.importance or 0.0)]
        for one in sorted(known, key=lambda one: -(one.importance or 0.0))
    ]
    told = table("What each key decides", columns, rows)
    if not known:
        told = '<p class="empty">Too few finished trials to tell what each key decides.</p>'
    charts = []
    for place, key in enumerate(facts.keys):
        points = [(trial.places[place], trial) for trial in facts.trials if trial.value is not None]
        lines = [
            Line(f"trial {trial.number}", [_log(at) if key.log else at], [trial.value or 0.0], 0)
            for at, trial in points
            if at is not None
        ]
        if lines:
            axes = Axes(f"Scores over {key.key}", f"{'log10 of ' if key.log else ''}value", facts.metric)
            charts.append(f"<figure><figcaption>{text(key.key)}</figcaption>{line_chart(lines, axes)}</figure>")
        else:
            charts.append(_choices(facts, place, key.key))
    return f'{told}<div class="charts">{"".join(charts)}</div>'


def _log(value: float) -> float:
    import math

    return math.log10(value)


def _choices(facts: SearchFacts, place: int, key: str) -> Markup:
    """Return mean and best score of each choice."""
    seen: dict[str, list[float]] = {}
    for trial in facts.trials:
        if trial.value is not None:
            seen.setdefault(trial.values[place], []).append(trial.value)
    rows = [
        [f"<code>{text(value)}</code>", count(len(found)), score(sum(found) / len(found)), score(max(found))]
        for value, found in sorted(seen.items(), key=lambda pair: -max(pair[1]))
    ]
    columns = [Column("value"), Column("trials", True), Column("mean", True), Column("best", True)]
    listed = table(f"Scores of the choices of {key}", columns, rows)
    return f"<figure><figcaption>{text(key)}</figcaption>{listed}</figure>"


def trials(facts: SearchFacts) -> Markup:
    """Return every trial, best first."""
    columns = [Column("trial", True), Column(facts.metric, True), Column("how it ended")]
    columns += [Column(one.key.removeprefix("members.")) for one in facts.keys] + [Column("time", True)]
    ranked = sorted(facts.trials, key=lambda trial: (trial.value is None, -(trial.value or 0.0), trial.number))
    rows = [
        [
            str(trial.number),
            score(trial.value),
            text(ENDS.get(trial.state, trial.state) + (f": {trial.reason}" if trial.reason else "")),
            *(f"<code>{text(value)}</code>" for value in trial.values),
            MISSING if trial.seconds is None else duration(trial.seconds),
        ]
        for trial in ranked
    ]
    listed = table("All trials", columns, rows)
    return f'<div class="tall sortable">{listed}</div><p><code>{text(facts.command)}</code></p>'


ENDS = {"done": "trained", "pruned": "ended early", "failed": "failed"}
"""State of a trial -> how it is said."""
SECTIONS = {
    "result": ("Result", result),
    "history": ("History", history),
    "keys": ("What decides", keys),
    "trials": ("Trials", trials),
}
"""Key (anchor) -> title and builder, in the order of the page."""
