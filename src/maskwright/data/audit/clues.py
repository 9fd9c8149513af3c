"""What the pass writes down for leaks and plausibility, and what is found with it afterwards, in and between sets."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import suppress
from typing import Any

import numpy as np

from maskwright.core.errors import InputError
from maskwright.core.labels import Task
from maskwright.core.recipe.blocks import Data
from maskwright.data.audit import places
from maskwright.data.audit.images import unlike
from maskwright.data.audit.measure import Describer, Measured
from maskwright.data.audit.objects import count_objects
from maskwright.data.audit.view import View
from maskwright.data.findings import Finding
from maskwright.data.items import Item
from maskwright.data.leaks import similar
from maskwright.data.plausible import plausible, shift
from maskwright.data.sources.base import Source, limit_keys
from maskwright.data.stretch import sample_levels

MOST_COUNTED, LEAST_COUNTED = 1 << 26, 64
"""Pixels of a set, and items at least, whose objects are counted: a large set is sampled evenly over its keys."""
Pairs = tuple[tuple[str, str, str, float], ...]
"""Key, key, how they are alike, 0..1."""
WORDS = {"copy": "the same picture", "turned": "mirrored or turned", "overlap": "a part of the same scene"}
"""How two images are alike, for the eye."""


def describers(source: Source, task: Task, data: Data) -> dict[str, Describer]:
    """Return what is to be written down of each item: for leaks of all, for plausibility and objects of a sample.

    Args:
        source: labelled or not.
        task: gives classes and values.
        data: max_pixels, and whether levels of the set are needed.
    """
    chosen = plausible.sample(source.keys)

    def alike(one: Measured, item: Item) -> similar.Description | None:
        del item
        assert one.small is not None, one.key
        return None if one.plain else similar.describe(one.small)

    def clues(one: Measured, item: Item) -> plausible.Clues | None:
        assert one.small is not None, one.key
        assert one.moments is not None, one.key
        if one.key not in chosen or not one.valid:
            return None
        levels = () if item.image.dtype == np.uint8 else tuple(float(value) for value in one.moments.mean)
        return plausible.describe(one.small, task, item.label, levels)

    deep = set(limit_keys(source.keys, max(LEAST_COUNTED, MOST_COUNTED // _area(source, data.max_pixels))))

    def objects(one: Measured, item: Item) -> None:
        if item.label is not None and one.key in deep:
            one.objects = count_objects(item.label, item.valid, task)

    found: dict[str, Describer] = {"alike": alike, "clues": clues, "objects": objects}
    if data.stretch is not None and data.stretch.over == "set":
        found["levels"] = lambda one, item: sample_levels(item.image, item.seen)
    return found


def _area(source: Source, max_pixels: int) -> int:
    """Return the pixels of the first image that can be read."""
    for key in source.keys[:8]:
        with suppress(InputError):
            height, width = source.read_header(key, max_pixels).shape
            return max(1, height * width)
    return 1


def similar_pairs(view: View) -> Pairs:
    """Return the pairs of a set that show the same though their pixels differ."""
    equal = {one.key: one.digest for one in view.whole}
    pairs = similar.pairs(_noted(view, "alike"))
    known = places.shared(view) if pairs else frozenset()  # folds go by the ground itself there
    return tuple(
        (pair.a, pair.b, pair.how, pair.score)
        for pair in pairs
        if equal[pair.a] != equal[pair.b] and frozenset((pair.a, pair.b)) not in known
    )


def clue_findings(view: View, pairs: Pairs) -> Iterator[Finding]:
    """Name what the clues of one set say."""
    if pairs:
        what = f"{len(pairs)} pairs of images show the same: {_listed(pairs)}"
        fix = "they stay in one fold (folds.duplicates), or take them out"
        keys = tuple(dict.fromkeys(key for pair in pairs for key in pair[:2]))
        yield view.of_set("near_duplicate", what, fix, keys, {"pairs": [list(pair) for pair in pairs]})
    yield from places.overlaps(view)
    block = view.data.train if view.training else view.data.test
    if view.training:
        yield from plausible.check_recipe(view.task, view.data, view.fingerprint.bands)
    yield from plausible.suspicions(_noted(view, "clues"), view.task, block, view.where)


def compare_sets(train: View, test: View) -> tuple[list[Finding], dict[str, Any] | None]:
    """Name in what the set to predict differs from the training set, and what they share."""
    found = list(unlike(test, train.fingerprint))
    equal = {one.digest for one in train.whole} & {one.digest for one in test.whole}
    trained = {one.key: one.digest for one in train.whole}
    pairs = tuple(
        (pair.a, pair.b, pair.how, pair.score)
        for pair in similar.pairs(_noted(train, "alike"), _noted(test, "alike"))
        if trained[pair.a] not in equal
    )
    if pairs:
        what = f"{len(pairs)} pairs of a training and a test image show the same: {_listed(pairs)}"
        facts = {"pairs": [list(pair) for pair in pairs]}
        keys = tuple(dict.fromkeys(pair[1] for pair in pairs))
        found.append(test.of_set("test_near_train", what, "scores on them are too good: take them out", keys, facts))
    found += places.between(train, test)
    known, asked = _noted(train, "clues"), _noted(test, "clues")
    found += plausible.between(known, asked, train.task)
    moved = shift.compare(known, asked)
    found += [] if moved is None else moved.findings
    return found, None if moved is None else moved.to_plain()


def _noted(view: View, name: str) -> dict[str, Any]:
    return {one.key: one.clues[name] for one in view.whole if one.clues.get(name) is not None}


def _listed(pairs: Pairs) -> str:
    shown = ", ".join(f"'{a}' ~ '{b}' ({WORDS.get(how, how)})" for a, b, how, _ in pairs[:4])
    return shown + (", ..." if pairs[4:] else "")
