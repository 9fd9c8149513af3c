"""What the pages of a search and of an ablation show, from what was found."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from maskwright.core.recipe.tuning import Ablate, Search, Span
from maskwright.core.version import __version__
from maskwright.output.report.ablation_page import build_ablation_page
from maskwright.output.report.search_page import build_search_page
from maskwright.output.report.sections import metric_title
from maskwright.output.report.tuning_facts import (
    AblationFacts,
    ArmFact,
    FinalFact,
    KeyFact,
    SearchFacts,
    TrialFact,
)
from maskwright.workflows.tuning.attempt import Yardstick
from maskwright.workflows.tuning.board import Row
from maskwright.workflows.tuning.finals import BASE, Final
from maskwright.workflows.tuning.space import Base, value_of


def write_search_page(
    base: Base,
    block: Search,
    found: tuple[Sequence[Row], Sequence[Final], Final, Mapping[str, float]],
    how: str,
    out: Path,
) -> Path:
    """Write search.html.

    Args:
        base: the recipe.
        block: its block search.
        found: trials, finalists, the winner, importance of keys.
        how: metric and yardstick in words, parted by a line break.
        out: the file.
    """
    rows, finals, winner, importance = found
    metric, measured = how.split("\n")
    keys = tuple(
        KeyFact(
            key=key,
            space=span_in_words(span),
            log=span.log is not None,
            importance=importance.get(key),
            was=shown(value_of(base, key)),
            now=shown(winner.values.get(key, value_of(base, key))),
        )
        for key, span in block.space.items()
    )
    facts = SearchFacts(
        title=base.recipe.name,
        metric=metric_title(metric),
        measured=measured,
        winner=who_in_words(winner.who),
        keys=keys,
        trials=tuple(_trial(row, block) for row in rows),
        finals=tuple(_final(one, winner) for one in finals),
        command=f"maskwright search {base.path.name} data.root=PATH --trials {block.trials}",
        version=__version__,
    )
    return build_search_page(facts, out)


def who_in_words(who: int | str) -> str:
    """Name a finalist."""
    return "the recipe as it is" if who == BASE else f"trial {who}"


def yardstick_in_words(yardstick: Yardstick) -> str:
    """Say how recipes were measured."""
    folds = f"{len(yardstick.folds)} fold{'s' if len(yardstick.folds) > 1 else ''}"
    short = "" if yardstick.epochs is None else f", {yardstick.epochs} epochs"
    if yardstick.objective == "nested":
        return f"judged by the nested out-of-fold score{short}"
    return f"judged by validation on {folds}{short}"


def span_in_words(span: Span) -> str:
    """Write what a key could take."""
    if span.choice is not None:
        return f"{len(span.choice)} choices"
    assert span.ends is not None
    kind = "log" if span.log is not None else ("whole numbers" if span.whole is not None else "uniform")
    step = "" if span.step is None else f", step {span.step:g}"
    return f"{span.ends[0]:g} to {span.ends[1]:g}, {kind}{step}"


def shown(value: Any) -> str:
    """Write a value briefly."""
    if isinstance(value, float):
        return f"{value:.4g}"
    if isinstance(value, list):
        return f"[{', '.join(shown(one) for one in value)}]"
    if isinstance(value, Mapping):
        if len(value) == 1 and next(iter(value.values())) == {}:
            return str(next(iter(value)))
        return f"{{{', '.join(f'{key}: {shown(one)}' for key, one in value.items())}}}"
    return "null" if value is None else str(value)


def _trial(row: Row, block: Search) -> TrialFact:
    values = [row.values.get(key) for key in block.space]
    numbers = [
        float(value) if isinstance(value, int | float) and block.space[key].choice is None else None
        for key, value in zip(block.space, values, strict=True)
    ]
    path = tuple((float(step), score) for step, score in sorted(row.steps.items()) if math.isfinite(score))
    return TrialFact(
        number=row.origin,
        state=row.state,
        value=row.value,
        values=tuple(shown(value) for value in values),
        places=tuple(numbers),
        seconds=row.facts.get("seconds"),
        reason=str(row.facts.get("reason", "")),
        path=path,
    )


def _final(one: Final, winner: Final) -> FinalFact:
    spread = one.spread if math.isfinite(one.spread) else None
    mean = one.mean if one.scores else None
    return FinalFact(who_in_words(one.who), mean, spread, tuple(one.scores.values()), one.failed, one.who == winner.who)


def write_ablation_page(base: Base, block: Ablate, plain: Mapping[str, Any], how: str, out: Path) -> Path:
    """Write ablation.html from what ablation.json holds.

    Args:
        base: the recipe.
        block: its block ablate.
        plain: of ablation.json.
        how: what was measured, in words.
        out: the file.
    """
    facts = AblationFacts(
        title=base.recipe.name,
        metric=metric_title(plain["metric"]),
        measured=how,
        folds=tuple(plain["folds"]),
        seeds=tuple(plain["seeds"]),
        confidence=block.confidence,
        ratio=1 / (plain["folds_in_all"] - 1),
        arms=tuple(_arm(one) for one in plain["arms"]),
        command=f"maskwright ablate {base.path.name} data.root=PATH",
        version=__version__,
    )
    return build_ablation_page(facts, out)


def _arm(one: Mapping[str, Any]) -> ArmFact:
    pairs = zip(one["scores"], one.get("unchanged", one["scores"]), strict=True)
    before = [value for row in one.get("unchanged", ()) for value in row]
    return ArmFact(
        name=one["arm"],
        values=tuple((key, shown(value)) for key, value in one["values"].items()),
        gain=one.get("gain"),
        low=one.get("low"),
        high=one.get("high"),
        p=one.get("p"),
        adjusted=one.get("holm"),
        believed=bool(one.get("believed", False)),
        differences=tuple(tuple(a - b for a, b in zip(*rows, strict=True)) for rows in pairs),
        unchanged=sum(before) / len(before) if before else None,
        reason=one.get("reason", ""),
    )
