"""Scores for `bench.families`: trivial answers out of fold, and submission files on items that no fold saw."""

from __future__ import annotations

import csv
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from maskwright.core import rle
from maskwright.core.progress import Silent
from maskwright.core.recipe.blocks import Recipe
from maskwright.data.items import Item, read_item
from maskwright.data.sources.open import open_source
from maskwright.ensembling.blend import answer, blend, read_decision
from maskwright.ensembling.oof import Entry, StoredItems
from maskwright.ensembling.oof import Item as StoredItem
from maskwright.inference.store import dequantise
from maskwright.scoring.counts import Counts, count
from maskwright.scoring.scores import score
from maskwright.workflows import deliver
from maskwright.workflows.session import open_session

Label = NDArray[np.uint8]
PLACE = 32
"""Side of the grid on which training labels are averaged."""
REDRAWS = 2000
"""Of held-out items, for the 95 % interval of what the vote is better than the best member."""


def items_of(recipe: Recipe, block: Any) -> Iterator[Item]:
    """Read all items of a part."""
    source = open_source(block, Path(recipe.data.root), recipe.task)
    for key in source.keys:
        yield read_item(source, key, recipe.task, recipe.data.max_pixels)


def planes_of(label: Label, recipe: Recipe) -> NDArray[np.float32]:
    """Return the label as float32 (K, H, W) of 0 and 1; binary has one plane."""
    if recipe.task.kind == "multilabel":
        return label.astype(np.float32)
    wanted = range(1, 2) if recipe.task.kind == "binary" else range(len(recipe.task.classes))
    return np.stack([label == value for value in wanted]).astype(np.float32)


def trivial(recipe: Recipe, run: Path) -> dict[str, float]:
    """Score the best constant answer, and what most items of the other fold have at each place."""
    task = recipe.task
    with (run / "folds.csv").open() as file:
        fold = {row["key"]: int(row["fold"]) for row in csv.DictReader(file)}
    # items beyond data.limit are in no fold
    items = {item.key: item for item in items_of(recipe, recipe.data.train) if fold.get(item.key, -1) >= 0}
    answers = range(task.planes) if task.kind == "multiclass" else (0, 1)
    constant = [Counts.zero(task.planes) for _ in answers]
    place = Counts.zero(task.planes)
    small = {key: grid(item, recipe) for key, item in items.items()}
    for key, item in items.items():
        assert item.label is not None
        for value in answers:
            constant[value] += count(item.label, np.full_like(item.label, value), item.valid, task)
        prior = np.mean([small[other] for other in items if fold[other] != fold[key]], axis=0)
        wide = np.stack([cv2.resize(plane, item.shape[::-1]) for plane in prior])
        said = wide.argmax(0) if task.kind == "multiclass" else wide > 0.5
        said = said[0] if task.kind == "binary" else said
        place += count(item.label, said.astype(np.uint8), item.valid, task)
    return {"constant": max(score(each, "iou") for each in constant), "place": score(place, "iou")}


def grid(item: Item, recipe: Recipe) -> NDArray[np.float32]:
    """Return how much of each class lies in each cell of a coarse grid over the image."""
    assert item.label is not None
    planes = planes_of(item.label, recipe) * item.valid
    return np.stack([cv2.resize(plane, (PLACE, PLACE), interpolation=cv2.INTER_AREA) for plane in planes])


def votes(recipe: Recipe, run: Path) -> dict[str, Any]:
    """Score the vote and the members' own submissions on the held-out items."""
    output = run / "output"
    files = {path.stem: path for path in sorted((output / "vote_members").glob("*.csv"))}
    assert {name.partition(".")[0] for name in files} == set(recipe.members), files
    return compare(output / "vote.csv", files, recipe)


def compare(vote: Path, files: Mapping[str, Path], recipe: Recipe) -> dict[str, Any]:
    """Score a vote beside its members; `gap` is the 95 % interval against the best of them, over items drawn anew."""
    truth = {item.key: item for item in items_of(recipe, recipe.data.test)}
    counts = {name: of_file(path, recipe, truth) for name, path in files.items()}
    voted = of_file(vote, recipe, truth)
    found = {name: iou(each.sum(0)) for name, each in counts.items()}
    best = max(found, key=found.__getitem__)
    return {"vote": iou(voted.sum(0)), "vote members": found, "gap": interval(voted, counts[best])}


def interval(one: NDArray[np.int64], other: NDArray[np.int64]) -> list[float]:
    """Return the 95 % interval of what one answer gains over another, both int64 (items, 4, K), items drawn anew."""
    drawn = np.random.default_rng(0).integers(0, len(one), (REDRAWS, len(one)))
    gaps = [iou(one[rows].sum(0)) - iou(other[rows].sum(0)) for rows in drawn]
    return [float(each) for each in np.nanquantile(gaps, [0.025, 0.975])]


def blended(recipe: Path, run: Path) -> list[float]:
    """Return the interval of the decided blend against that member which turned out best under the blend's own rule."""
    session = open_session(str(recipe), [], Silent(), out=run)
    decision, task = read_decision(session.run.decision), session.recipe.task
    shares = [decision.shares, *({**dict.fromkeys(decision.shares, 0), name: 1} for name in decision.shares)]
    rules = [decision.model_copy(update={"shares": each}) for each in shares]
    with session.working():
        split, source, keys = deliver.held_out_sets(session)[0]
        stores, truth = deliver.stores_of(session, split), deliver.truth_of(session, source)
        held = StoredItems(stores, [Entry(key, -1, key) for key in keys], truth, split, task)

        def look(item: StoredItem) -> NDArray[np.int64]:
            pairs = zip(held.members, item.values, strict=True)
            planes = {name: dequantise(values, item.scale) for name, values in pairs}
            answers = [answer(blend(planes, rule), rule, task) for rule in rules]
            return np.stack([count(item.label, each, item.valid, task).stacked for each in answers])

        counts = np.stack([found for _, found in held.each(look, Silent(), "held out", session.stop)], 1)
    return interval(counts[0], max(counts[1:], key=lambda each: iou(each.sum(0))))


def iou(counts: NDArray[np.int64]) -> float:
    """Return the score of counts (4, K)."""
    return score(Counts(*counts), "iou")


def of_file(path: Path, recipe: Recipe, truth: Mapping[str, Item]) -> NDArray[np.int64]:
    """Count a submission file's pixels: int64 (items, 4, K), in the order of `truth`."""
    task, counts = recipe.task, []
    planes: dict[str, dict[str, Label]] = {}
    with path.open() as file:
        for row in csv.DictReader(file):
            key, text = row.get("image_id") or row["ImageId"], row.get("PredictionString") or row.get("EncodedPixels")
            shape = truth[key].shape
            if task.kind == "multiclass":
                label = np.array((text or "").split(), np.uint8).reshape(shape)
            else:
                label = rle.decode(text or "", shape, "row", 1)
            planes.setdefault(key, {})[row.get("class") or ""] = label
    assert planes.keys() == truth.keys()
    for key, item in truth.items():
        assert item.label is not None
        mine = planes[key]
        label = np.stack([mine[name] for name in task.classes]) if task.kind == "multilabel" else mine[""]
        counts.append(count(item.label, label, item.valid, task).stacked)
    return np.stack(counts)
