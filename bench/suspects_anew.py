"""The labels of finished runs of `bench.suspects` spoilt anew, many times: how well are items and objects ranked?

    python -m bench.suspects_anew ../shared/data camvid --times 12 [--out runs/suspects]

5 % of so few items are six or seven, so that one spoilt set says little. No model saw the labels of the fold that it is
asked about, so those can be spoilt again without training anew; what the models were trained on keeps its first faults.
Mixed spoiling of `bench.suspects`, with other seeds than the models' own. Means over all spoilt items, and over times
for objects with their deviation.
"""

from __future__ import annotations

import argparse
import os
import statistics
import sys
from functools import partial
from pathlib import Path

import numpy as np

from bench.suspects import IGNORE, KINDS, SETS, Mask, Picture, object_scores, roc, spoil
from maskwright.core.labels import Task
from maskwright.core.progress import Silent
from maskwright.ensembling.blend import blend, read_decision
from maskwright.ensembling.doubts import (
    Doubt,
    Gathered,
    Layer,
    doubt,
    gather,
    layers,
    margin_bin,
    nothing,
    rarity,
)
from maskwright.ensembling.oof import Item
from maskwright.inference.store import dequantise
from maskwright.workflows.session import open_session
from maskwright.workflows.suspects import labelled_sets

Roc = dict[str, list[tuple[float, int]]]


def stored(folder: Path) -> tuple[dict[str, Layer], Task]:
    """Return the out-of-fold probabilities of a run, and its task."""
    os.chdir(folder)
    session = open_session("r.yaml", [], Silent())
    decision, task = read_decision(session.run.decision), session.recipe.task

    def seen(members: tuple[str, ...], item: Item) -> Layer:
        planes = {name: dequantise(values, item.scale) for name, values in zip(members, item.values, strict=True)}
        return next(iter(layers(blend(planes, decision), item.label, item.valid, task)))

    found = {}
    with session.working():
        for some in labelled_sets(session):
            work = partial(seen, some.members)
            found |= {entry.key: layer for entry, layer in some.each(work, Silent(), "read", session.stop)}
    return found, task


def doubts(pictures: list[Picture], known: dict[str, Layer], background: int | None) -> dict[str, Doubt]:
    """Return what is odd with each picture's label as it is now."""
    spoilt = {}
    total = Gathered(len(next(iter(known.values())).probability))
    for one in pictures:
        valid = one.label != IGNORE
        label = np.where(valid, one.label, 0).astype(np.uint8)
        spoilt[one.key] = known[one.key]._replace(label=label, valid=valid)
        total.add(gather(spoilt[one.key]))
    norm = total.norm()
    return {key: doubt(layer, norm, background) for key, layer in spoilt.items()}


def regions(found: dict[str, Doubt], known: dict[str, Layer]) -> dict[str, list[tuple[float, Mask]]]:
    """Return the scores and masks of all regions."""
    rare = rarity(np.sum([one.margins for one in found.values()], axis=0))
    result: dict[str, list[tuple[float, Mask]]] = {}
    for key, one in found.items():
        for region in one.regions:
            mask = np.zeros(known[key].label.shape, bool)
            row, col, height, width = region.box
            mask[row : row + height, col : col + width] = region.mask > 0
            score = region.score * rare[region.given, margin_bin(region.margin)]
            result.setdefault(key, []).append((float(score), mask))
    return result


def add(to: Roc, scores: list[float], ways: list[str]) -> None:
    """Note the areas under the ROC, all together and by kind, with how many were spoilt."""
    for kind in ("all", *KINDS):
        chosen = [(score, way) for score, way in zip(scores, ways, strict=True) if way in ("", kind) or kind == "all"]
        count = sum(bool(way) for _, way in chosen)
        if count:
            to.setdefault(kind, []).append((roc([score for score, _ in chosen], [way for _, way in chosen]), count))


def main() -> None:
    """Spoil, rank, and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("data", type=Path)
    parser.add_argument("what", nargs="+", choices=[name for name, _ in SETS])
    parser.add_argument("--times", type=int, default=12)
    parser.add_argument("--out", type=Path, default=Path("runs/suspects"))
    given = parser.parse_args()
    data, out = given.data.absolute(), given.out.absolute()
    for name in given.what:
        known, task = stored(out / f"{name}-mixed")
        items: Roc = {}
        objects: Roc = {}
        for seed in range(100, 100 + given.times):
            pictures = dict(SETS)[name](data)
            spoil(pictures, "mixed", seed)
            found = doubts(pictures, known, nothing(task))
            add(items, [found[one.key].score for one in pictures], [one.whole for one in pictures])
            add(objects, *object_scores(pictures, regions(found, known)))
        for what, table in (("items", items), ("objects", objects)):
            cells = [told(kind, values) for kind, values in table.items()]
            sys.stdout.write(f"{name} {what}: {', '.join(cells)}\n")
            sys.stdout.flush()


def told(kind: str, values: list[tuple[float, int]]) -> str:
    """Return the mean over all that were spoilt, how many, and the deviation over times."""
    count = sum(number for _, number in values)
    mean = sum(area * number for area, number in values) / count
    return f"{kind} {mean:.3f} ({count}; +- {statistics.pstdev([area for area, _ in values]):.3f})"


if __name__ == "__main__":
    main()
