"""What items share on the ground: scenes that overlap, and test items that lie on training ground."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator

from maskwright.data.audit.view import View
from maskwright.data.findings import Finding, some
from maskwright.data.ground import Near, Plot, plots, shared_area

LEAST = 1.0
"""Square metres that two scenes must share to be named."""


def shared(view: View) -> frozenset[frozenset[str]]:
    """Return the pairs of items of a set that share ground."""
    grounds = {record.key: record.ground for record in view.fingerprint.items if record.ground is not None}
    return frozenset(frozenset(pair) for pair in Near(plots(grounds)).pairs())


def overlaps(view: View) -> Iterator[Finding]:
    """Name scenes of a set that lie on the same ground."""
    grounds = {record.key: record.ground for record in view.fingerprint.items if record.ground is not None}
    known = plots(grounds)
    by_scenes: dict[tuple[str, str], tuple[set[str], set[str]]] = defaultdict(lambda: (set(), set()))
    for pair in Near(known).pairs():
        scenes = [view.source.attributes(key).get("scene", key) for key in pair]
        if scenes[0] != scenes[1] and all(view.source.scored(key) for key in pair):
            (first, one), (second, other) = sorted(zip(scenes, pair, strict=True))
            by_scenes[first, second][0].add(one)
            by_scenes[first, second][1].add(other)
    areas = {
        names: shared_area([known[key] for key in sorted(one)], [known[key] for key in sorted(other)])
        for names, (one, other) in by_scenes.items()
    }
    areas = {names: size for names, size in areas.items() if size >= LEAST}
    if areas:
        listed = [f"'{a}' and '{b}' share {size:.0f} m2" for (a, b), size in list(areas.items())[:4]]
        more = f" and {len(areas) - 4} more" if len(areas) > 4 else ""
        what = f"{len(areas)} pairs of scenes lie on the same ground: {', '.join(listed)}{more}"
        keys = tuple(dict.fromkeys(name for names in areas for name in names))
        facts = {"pairs": [[*names, size] for names, size in areas.items()]}
        yield view.of_set("scenes_overlap", what, "no fold trains on what it is scored on", keys, facts)


def between(train: View, test: View) -> Iterator[Finding]:
    """Name test items that lie on ground that is trained on."""
    grounds = {
        (name, record.key): record.ground
        for name, view in (("train", train), ("test", test))
        for record in view.fingerprint.items
        if record.ground is not None and not record.plane
    }
    known = plots({f"{name} {key}": ground for (name, key), ground in grounds.items()})
    trained = [f"train {key}" for name, key in grounds if name == "train"]
    hit = sorted(key for key in Near(known).within(trained, 0) if key.startswith("test ")) if trained else []
    if hit:
        mine: list[Plot] = [known[key] for key in hit]
        size = shared_area(mine, [known[key] for key in trained])
        keys = tuple(key.removeprefix("test ") for key in hit)
        what = f"{len(hit)} items lie on {size:.0f} m2 that are trained on: {some(keys)}"
        yield test.of_set("test_on_train", what, "scores on them are too good: take them out", keys, {"area": size})
