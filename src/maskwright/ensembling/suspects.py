"""Labels ranked by how much they disagree with models that never saw them: items, and regions in them."""

from __future__ import annotations

import csv
import io
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from maskwright.core.errors import InputError
from maskwright.core.files import read_json, write_json, write_text
from maskwright.core.labels import Task
from maskwright.core.progress import Reporter
from maskwright.core.recipe.base import Block
from maskwright.core.runs import Split
from maskwright.core.stop import Stop
from maskwright.ensembling.blend import Decision, blend
from maskwright.ensembling.doubts import (
    BINS,
    Doubt,
    Gathered,
    Layer,
    Norm,
    Region,
    doubt,
    gather,
    joined,
    layer_names,
    layers,
    margin_bin,
    nothing,
    rarity,
)
from maskwright.ensembling.oof import Entry, Item, OutOfFold, StoredItems
from maskwright.inference.store import dequantise

Text = Callable[[Region, tuple[int, int]], str]
"""From a region and (height, width) of its item to COCO's compressed run lengths of a mask as large as the item."""
MOST = 20_000
"""Regions that are kept, of all items."""
LOUD = 0.5
"""Score of regions from which on they are counted, and shown to other tools."""
ITEM_COLUMNS = ("rank", "key", "score", "split", "fold", "regions", "worst_region", "shift_rows", "shift_cols")
REGION_COLUMNS = ("rank", "key", "score", "given", "likely", "area", "row", "col", "height", "width", "split")


class ItemSuspect(Block):
    """One item, and how much of its label the models are sure is wrong."""

    key: str
    split: Split
    """oof, holdout or test."""
    fold: int
    """The fold that held it out; -1: in none."""
    score: float
    """0: nothing that the models are sure is wrong; 1: all of it is."""
    regions: int
    """Regions of it with a score of at least one half."""
    worst: float
    """Score of its most suspicious region, 0 without any."""
    shift: tuple[int, int] | None
    """Rows and columns by which its label should be moved, if that makes it fit much better."""


class RegionSuspect(Block):
    """Connected pixels where label and models say different things."""

    key: str
    split: Split
    score: float
    """0..1: how sure the models are, less for what is thinner than objects are, and for labels often contradicted."""
    given: str
    """Class that the label says; in a multilabel task `no <class>` where it says nothing."""
    likely: str
    """Class that the models say."""
    area: int
    """In pixels."""
    box: tuple[int, int, int, int]
    """Row, column, height, width."""
    size: tuple[int, int]
    """(height, width) of the item."""
    counts: str
    """The region as COCO's compressed run lengths, as large as the item."""


class Suspects(Block):
    """suspects.json: all items, and the most suspicious regions, each by falling score."""

    recipe: str
    """Hash of the recipe whose models were asked."""
    trust: dict[str, float]
    """Class -> mean probability of it where labels say it."""
    items: tuple[ItemSuspect, ...]
    regions: tuple[RegionSuspect, ...]


def find_suspects(
    sets: Sequence[StoredItems], decision: Decision, task: Task, text: Text, reporter: Reporter, stop: Stop
) -> Suspects:
    """Rank items and regions.

    Args:
        sets: labelled items with stored probabilities of models that saw none of them.
        decision: gives the blend.
        task: what labels mean.
        text: see Text.
        reporter: gets two progress bars a set.
        stop: looked at between items.

    Raises:
        InputError: a file is damaged.
    """
    names, background = layer_names(task), nothing(task)
    totals = [Gathered(len(each)) for each in names]
    for some in sets:
        measure = partial(_gathered, decision, task, some.members)
        for _, found in some.each(measure, reporter, f"suspects {some.split}: what is usual", stop):
            for total, one in zip(totals, found, strict=True):
                total.add(one)
    norms = [total.norm() for total in totals]
    margins = [np.zeros((len(each), BINS), np.int64) for each in names]
    seen: list[tuple[Entry, StoredItems, float, tuple[int, int] | None, list[_Place]]] = []
    for some in sets:
        look = partial(_doubted, decision, task, some.members, norms, background)
        for entry, doubts in some.each(look, reporter, f"suspects {some.split}: what is odd", stop):
            mine = []
            for layer, (doubt_of, said) in enumerate(zip(doubts, names, strict=True)):
                margins[layer] += doubt_of.margins
                for each in doubt_of.regions:
                    told = _told(each, entry.key, some, said, text)
                    mine.append(_Place(told, layer, each.given, margin_bin(each.margin)))
            seen.append((entry, some, *joined(doubts), mine))
    rare = [rarity(each) for each in margins]
    items: list[ItemSuspect] = []
    regions: list[RegionSuspect] = []
    for entry, some, score, shift, places in seen:
        weighed = [place.weighed(rare) for place in places]
        items.append(_item(entry, some, score, shift, weighed))
        regions += weighed
    items.sort(key=lambda one: (-one.score, one.key))
    regions.sort(key=lambda one: (-one.score, one.key, one.box))
    return Suspects(
        recipe=decision.recipe, trust=_trust(names, norms), items=tuple(items), regions=tuple(regions[:MOST])
    )


def _seen(decision: Decision, task: Task, members: Sequence[str], item: Item) -> list[Layer]:
    planes = {name: dequantise(values, item.scale) for name, values in zip(members, item.values, strict=True)}
    return list(layers(blend(planes, decision), item.label, item.valid, task))


def _gathered(decision: Decision, task: Task, members: Sequence[str], item: Item) -> list[Gathered]:
    return [gather(layer) for layer in _seen(decision, task, members, item)]


def _doubted(
    decision: Decision, task: Task, members: Sequence[str], norms: Sequence[Norm], background: int | None, item: Item
) -> list[Doubt]:
    seen = _seen(decision, task, members, item)
    return [doubt(layer, norm, background) for layer, norm in zip(seen, norms, strict=True)]


def _split(some: StoredItems) -> Split:
    return "oof" if some.split == "oof" else "holdout" if some.split == "holdout" else "test"


class _Place(NamedTuple):
    """A region, until it is known how rare it is."""

    told: RegionSuspect
    layer: int
    given: int
    bin: int

    def weighed(self, rare: Sequence[NDArray[np.float64]]) -> RegionSuspect:
        """Return the region with its score times how rare such a margin is."""
        factor = float(rare[self.layer][self.given, self.bin])
        return self.told.model_copy(update={"score": round(self.told.score * factor, 4)})


def _item(
    entry: Entry, some: StoredItems, score: float, shift: tuple[int, int] | None, regions: Sequence[RegionSuspect]
) -> ItemSuspect:
    return ItemSuspect(
        key=entry.key,
        split=_split(some),
        fold=0 if isinstance(some, OutOfFold) and some.single else entry.fold,
        score=round(score, 4),
        regions=sum(region.score >= LOUD for region in regions),
        worst=max((region.score for region in regions), default=0.0),
        shift=shift,
    )


def _trust(names: Sequence[Sequence[str]], norms: Sequence[Norm]) -> dict[str, float]:
    pairs = [pair for said, norm in zip(names, norms, strict=True) for pair in zip(said, norm.trust, strict=True)]
    return {name: round(float(value), 4) for name, value in pairs}


def _told(region: Region, key: str, some: StoredItems, names: Sequence[str], text: Text) -> RegionSuspect:
    size = some.size(key)
    return RegionSuspect(
        key=key,
        split=_split(some),
        score=round(region.score, 4),
        given=names[region.given],
        likely=names[region.likely],
        area=region.area,
        box=region.box,
        size=size,
        counts=text(region, size),
    )


def write_suspects(folder: Path, found: Suspects) -> None:
    """Write suspects.csv and suspects_regions.csv, and last suspects.json, each whole."""
    items = [
        (rank, one.key, one.score, one.split, one.fold, one.regions, one.worst, *(one.shift or ("", "")))
        for rank, one in enumerate(found.items, 1)
    ]
    regions = [
        (rank, one.key, one.score, one.given, one.likely, one.area, *one.box, one.split)
        for rank, one in enumerate(found.regions, 1)
    ]
    write_text(folder / "suspects.csv", _table(ITEM_COLUMNS, items))
    write_text(folder / "suspects_regions.csv", _table(REGION_COLUMNS, regions))
    write_json(folder / "suspects.json", found.model_dump(mode="json"))


def _table(columns: Sequence[str], rows: Sequence[Sequence[object]]) -> str:
    stream = io.StringIO()
    writer = csv.writer(stream, lineterminator="\n")
    writer.writerow(columns)
    writer.writerows(rows)
    return stream.getvalue()


def read_suspects(path: Path) -> Suspects:
    """Read suspects.json.

    Raises:
        InputError: absent or damaged.
    """
    try:
        return Suspects.model_validate(read_json(path))
    except ValueError as error:
        if isinstance(error, InputError):
            raise
        raise InputError("no list of suspects of this version", where=path, fix="run maskwright suspects") from error
