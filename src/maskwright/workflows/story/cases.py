"""The items that are shown in pictures: worst, best, least sure, and unlabelled ones."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

from maskwright.core.runs import Split
from maskwright.data.items import read_item
from maskwright.ensembling.blend import Decision
from maskwright.ensembling.diagnosis import Diagnosis
from maskwright.ensembling.items import ItemRow
from maskwright.output.report import facts as told
from maskwright.output.report.pictures import make_case
from maskwright.workflows.deliver import Target, label_of, shown_bands, targets
from maskwright.workflows.session import Session
from maskwright.workflows.story.decision import HELD_OUT

SPLITS: dict[str, Split] = {"oof": "oof", "holdout": "holdout", "test": "test"}


class Gallery(NamedTuple):
    """Items in pictures."""

    worst: tuple[told.Case, ...]
    best: tuple[told.Case, ...]
    unsure: tuple[told.Case, ...]


def gallery(session: Session, decision: Decision, rows: Sequence[ItemRow], found: Diagnosis, count: int) -> Gallery:
    """Draw at most `count` of the worst, the best and the least sure items; one item stands in one place only."""
    ranked = sorted((row for row in rows if row.score is not None), key=lambda row: (row.score, row.key))
    half = min(count, (len(ranked) + 1) // 2)
    worst, best = ranked[:half], ranked[::-1][: min(count, len(ranked) - half)]
    taken = {(row.key, row.split) for row in (*worst, *best)}
    doubted = [row for row in rows if row.split == "oof" and row.key in found.items]
    doubted = [row for row in doubted if (row.key, row.split) not in taken]
    doubted.sort(key=lambda row: (-found.items[row.key].entropy, row.key))
    return Gallery(
        tuple(_case(session, decision, row, found) for row in worst),
        tuple(_case(session, decision, row, found) for row in best),
        tuple(_case(session, decision, row, found) for row in doubted[:count]),
    )


def _case(session: Session, decision: Decision, row: ItemRow, found: Diagnosis) -> told.Case:
    source = session.train_source if row.split != "test" else session.test_source
    assert source is not None, row
    session.stop.check("the report is not written yet, all else is")
    item = read_item(source, row.key, session.recipe.task, session.recipe.data.max_pixels)
    predicted = label_of(session, decision, Target(row.key, SPLITS[row.split]))
    note = f"fold {row.fold}" if row.split == "oof" else HELD_OUT[row.split]
    if row.split == "oof" and row.key in found.items:
        unsure = found.items[row.key]
        note += f", unsure {unsure.entropy:.3f}"
        note += f", members part on {100 * unsure.disagreement:.1f} % of pixels" if unsure.disagreement else ""
    image = shown_bands(session, item.image)
    return make_case((row.key, row.score, note), image, predicted, session.recipe.task, item.label, item.valid)


def previews(session: Session, decision: Decision, count: int) -> tuple[told.Case, ...]:
    """Draw some answers for items without truth, if that is what the run is for."""
    source = session.test_source
    if source is None or source.labelled:
        return ()
    chosen = targets(session)
    step = max(1, len(chosen) // count)
    found = []
    for target in chosen[::step][:count]:
        item = read_item(source, target.key, session.recipe.task, session.recipe.data.max_pixels)
        predicted = label_of(session, decision, target)
        image = shown_bands(session, item.image)
        found.append(make_case((target.key, None, ""), image, predicted, session.recipe.task, valid=item.valid))
    return tuple(found)
