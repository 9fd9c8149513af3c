"""Suspicious items and regions in pictures, for the report."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from maskwright.data.items import Item, read_item
from maskwright.data.labels.shapes import draw_counts, read_counts
from maskwright.ensembling.blend import Decision
from maskwright.ensembling.suspects import LOUD, ItemSuspect, RegionSuspect, read_suspects
from maskwright.output.report import facts as told
from maskwright.output.report.pictures import make_case, marked, shrink, thumbnail
from maskwright.workflows.deliver import Target, known_suspects, label_of
from maskwright.workflows.session import Session

AROUND = 1.5
"""Pixels shown on each side of a region, in sides of it."""
LEAST = 40
"""And at least so many."""


def suspect_facts(session: Session, decision: Decision, count: int) -> told.SuspectFacts:
    """Draw the most suspicious items and regions, if labels were ranked.

    Args:
        session: an opened recipe.
        decision: what answers in the pictures are made by.
        count: of items, and of regions; of these first the ones of items that are not shown as a whole, no item more
            than twice.
    """
    if not known_suspects(session):
        return told.SuspectFacts()
    found = read_suspects(session.run.suspects)
    loud = [one for one in found.regions if one.score >= LOUD]
    items = [one for one in found.items[:count] if one.score > 0]
    shown = {one.key for one in items}
    loud.sort(key=lambda one: one.key in shown)  # what is in no picture yet comes first
    return told.SuspectFacts(
        items=tuple(_whole(session, decision, one) for one in items),
        regions=tuple(_part(session, decision, one) for one in _spread(loud, count)),
        ranked=len(found.items),
        loud=len(loud),
    )


def _spread(regions: Sequence[RegionSuspect], count: int) -> list[RegionSuspect]:
    """Return the first regions, at most two of one item."""
    seen: dict[str, int] = {}
    chosen = []
    for one in regions:
        seen[one.key] = seen.get(one.key, 0) + 1
        if seen[one.key] <= 2:
            chosen.append(one)
    return chosen[:count]


def _read(session: Session, one: ItemSuspect | RegionSuspect) -> Item:
    source = session.train_source if one.split != "test" else session.test_source
    assert source is not None, one
    session.stop.check("the report is not written yet, all else is")
    item = read_item(source, one.key, session.recipe.task, session.recipe.data.max_pixels)
    bands = session.recipe.data.bands
    return item if bands is None else replace(item, image=item.image[..., [band - 1 for band in bands]])


def _whole(session: Session, decision: Decision, one: ItemSuspect) -> told.Case:
    item = _read(session, one)
    note = f"fold {one.fold}" if one.split == "oof" else one.split
    note += f", {one.regions} sure region{'' if one.regions == 1 else 's'}" if one.regions else ""
    if one.shift is not None:
        rows, cols = one.shift
        moves = ((rows, "down" if rows > 0 else "up"), (cols, "right" if cols > 0 else "left"))
        note += f"; fits far better moved {', '.join(f'{abs(by)} px {way}' for by, way in moves if by)}"
    predicted = label_of(session, decision, Target(one.key, one.split))
    return make_case((one.key, one.score, note), item.image, predicted, session.recipe.task, item.label, item.valid)


def _part(session: Session, decision: Decision, one: RegionSuspect) -> told.Case:
    item = _read(session, one)
    assert item.label is not None, one.key
    predicted = label_of(session, decision, Target(one.key, one.split))
    window = _around(one)
    mask: NDArray[np.uint8] = np.zeros(one.size, np.uint8)
    patch = draw_counts(read_counts(one.counts), one.size)
    mask[patch.window] = patch.mask
    shown = thumbnail(item.image, item.seen)[window]
    note = f"label: {one.given}; models: {one.likely}; {one.area} px"
    case = make_case(
        (one.key, one.score, note),
        shown,
        predicted[(..., *window)],
        session.recipe.task,
        item.label[(..., *window)],
        item.valid[window],
    )
    return replace(case, image=shrink(marked(shown, mask[window])))


def _around(one: RegionSuspect) -> tuple[slice, slice]:
    row, col, height, width = one.box
    side = round(max(height, width) * AROUND)
    reach = max(side, LEAST)
    return (
        slice(max(0, row - reach), min(one.size[0], row + height + reach)),
        slice(max(0, col - reach), min(one.size[1], col + width + reach)),
    )
