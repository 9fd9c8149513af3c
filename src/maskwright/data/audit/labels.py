"""Look at the labels of a set as a whole: classes that are absent, empty, constant, equal or inverted masks, specks."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterator

from maskwright.core.labels import looks_background
from maskwright.data.audit.measure import Measured
from maskwright.data.audit.statistics import covered, foreground, names
from maskwright.data.audit.view import View
from maskwright.data.findings import Finding, some

FEW = 3
"""Items below which nothing is said of what all of a set have in common."""
RARE_SHARE, RARE_IMAGES = 1e-4, 5
"""A class on a smaller share of pixels, or in fewer images, is called rare."""
MOSTLY_EMPTY = 0.95
INVERTED, HALF = 0.9, 0.6
"""Share of foreground from which a binary set is called inverted; HALF, where its background comes in pieces."""
PIECES = 3.0
"""Pieces of background for each of foreground that are many."""
SPECKS, SPECKS_PER_IMAGE = 0.9, 5
"""Share of objects of up to 3 pixels, and how many there must be, to speak of specks; sky seen through leaves
reaches 0.7 (camvid)."""
SMALL_AREA = 9
"""Pixels, 3 x 3: smaller objects vanish where images are halved once."""
THIN = 0.9
"""Share of a class's pixels at its own edge from which it is a line and no area."""


def label_findings(view: View) -> Iterator[Finding]:
    """Name what is suspicious or worth knowing about legal labels."""
    if not view.labelled:
        return
    yield from _classes(view)
    yield from _coverage(view)
    yield from _ignored(view)
    yield from _alike(view)
    yield from _palettes(view)
    yield from _small(view)


def _classes(view: View) -> Iterator[Finding]:
    sums, listed = view.statistics, names(view.task)
    for kind, name in enumerate(listed):
        pixels, images = int(sums.pixels[kind]), int(sums.images[kind])
        facts = {"class": name, "pixels": pixels, "images": images}
        first = kind == 0 and view.task.kind == "multiclass" and looks_background(name)
        if pixels:
            share = pixels / sum(one.valid for one in view.labelled)
            if images < RARE_IMAGES <= len(view.labelled) / 4 or share < RARE_SHARE:
                what = f"class '{name}' is rare: {share:.3%} of the pixels, in {images} of {len(view.labelled)} images"
                fix = "stratify the folds, and draw crops with it more often"
                yield view.of_set("class_rare", what, fix, facts=facts)
        elif not view.training or view.sampled:
            yield view.of_set("class_unseen", f"class '{name}' has no pixel", facts=facts)
        elif first and len(view.labelled) >= FEW:
            what = f"class '{name}' has no pixel, though it is the background: labels may be counted from 1 or ignored"
            yield view.of_set("background_absent", what, "check values and task.ignore", facts=facts)
        else:
            what = f"class '{name}' has no pixel"
            yield view.of_set("class_absent", what, "check its id and values, or take it out of the task", facts=facts)
    shares = sums.pixels / max(int(sums.pixels.sum()), 1)
    if view.task.kind == "multiclass" and len(listed) > 2 and shares.max() > 0.99:
        name = listed[int(shares.argmax())]
        yield view.of_set("class_dominates", f"class '{name}' covers {shares.max():.2%} of all pixels")


def _coverage(view: View) -> Iterator[Finding]:
    total = len(view.labelled)
    if looks_full := [one for one in view.labelled if view.task.kind == "binary" and covered(one, view.task) == 1.0]:
        yield from view.of_some("full_labels", looks_full, "are foreground all over")
    bare = view.task.kind != "multiclass" or looks_background(view.task.classes[0])
    empty = [
        one for one in view.labelled if one.valid and bare and not any(one.pixels[k] for k in foreground(view.task))
    ]
    if len(empty) == total >= FEW and not view.sampled:
        yield view.of_set("no_foreground", "no label holds anything but background", "check values and the masks")
    elif len(empty) > MOSTLY_EMPTY * total and total >= 20:
        yield from view.of_some("mostly_empty", empty, "have empty labels", "check that labels were not lost")
    elif empty:
        yield from view.of_some("empty_labels", empty, "have empty labels (background all over)")
    if view.task.kind == "binary" and total >= FEW:
        sums = view.statistics
        share = sums.pixels[1] / max(int(sums.pixels.sum()), 1)
        pieces = sums.objects[0] > PIECES * max(int(sums.objects[1]), sums.counted)
        if share >= INVERTED or (share >= HALF and pieces):
            what = f"'{names(view.task)[1]}' covers {share:.1%} of all pixels" + (
                f" in {sums.objects[1]} pieces, background the rest in {sums.objects[0]}" if pieces else ""
            )
            yield view.of_set("inverted", f"{what}: masks may be inverted", "if so, set values: {0: 1, 1: 0}")
    single = [one for one in view.labelled if view.task.kind != "multilabel" and sum(p > 0 for p in one.pixels) == 1]
    if len(single) == total >= FEW and (view.statistics.images > 0).sum() > 1:
        what = "each label is of one class all over: labels of images, not of pixels"
        yield view.of_set("constant_labels", what, "give masks that outline what is seen")


def _ignored(view: View) -> Iterator[Finding]:
    void = [one for one in view.labelled if one.valid == 0]
    yield from view.of_some("void_items", void, "have no pixel that counts", "take them out, or check task.ignore")
    seen = sum(_area(one) - one.hidden for one in view.labelled)
    hidden = seen - sum(one.valid for one in view.labelled)
    if seen and hidden > seen / 2:
        what = f"the labels ignore {hidden / seen:.1%} of all pixels"
        yield view.of_set("mostly_ignored", what, "check task.ignore and values", facts={"share": hidden / seen})
    if view.task.ignore is not None and not hidden:
        yield view.of_set("ignore_unused", f"the ignored value {view.task.ignore} never occurs")
        yield from _lines(view)


def _lines(view: View) -> Iterator[Finding]:
    """Name a first or last class that is nothing but lines: borders that were to be ignored."""
    if view.task.kind != "multiclass":
        return
    for kind in (0, len(view.task.classes) - 1):
        drawn = [one.edges[kind] / one.pixels[kind] for one in view.labelled if one.edges and one.pixels[kind]]
        if len(drawn) >= max(FEW, len(view.labelled) / 2) and sum(drawn) > THIN * len(drawn):
            what = (
                f"class '{view.task.classes[kind]}' ({kind}) is nothing but thin lines and the ignored value "
                f"{view.task.ignore} never occurs: ignore may be shifted"
            )
            yield view.of_set("ignore_as_class", what, f"if so, set values: {{{kind}: ignore, ...}}")


def _alike(view: View) -> Iterator[Finding]:
    groups: dict[str, list[Measured]] = defaultdict(list)
    for one in view.labelled:
        if sum(pixels > 0 for pixels in one.pixels) > (view.task.kind != "multilabel"):
            groups[one.label_digest].append(one)
    for group in groups.values():
        keys = [one.key for one in group]
        if len({one.digest for one in group}) > 1:
            what = f"different images have one and the same label: {some(keys)}"
            yield view.of_set(
                "identical_labels",
                what,
                "check which label is whose; if they show one place, keep them in one fold",
                keys,
            )
    if view.task.kind == "multilabel":
        for first in range(view.task.planes):
            for second in range(first + 1, view.task.planes):
                pairs = [(one.pixels[first], one.pixels[second]) for one in view.labelled]
                if sum(one > 0 for one, _ in pairs) >= FEW and all(one == other for one, other in pairs):
                    twins = f"classes '{view.task.classes[first]}' and '{view.task.classes[second]}'"
                    what = f"{twins} have as many pixels in every image: one may be a copy of the other"
                    yield view.of_set("planes_equal", what, "check how labels were exported")


def _palettes(view: View) -> Iterator[Finding]:
    """Name palette masks in which a colour has another index than in most: they were numbered file by file."""
    counts = Counter(one.palette for one in view.labelled if one.palette is not None)
    if len(counts) < 2:
        return
    usual, most = _colours(counts.most_common(1)[0][0]), counts.most_common(1)[0][1]
    odd = [one.key for one in view.labelled if one.palette is not None and _reordered(_colours(one.palette), usual)]
    if odd:
        what = f"palette masks whose colours have other indices than in {most} of {sum(counts.values())}: {some(odd)}"
        yield view.of_set("palettes_differ", what, "save all with one palette, or as RGB with encoding: rgb", odd)


def _colours(palette: bytes) -> list[bytes]:
    return [palette[place : place + 3] for place in range(0, len(palette), 3)]


def _reordered(palette: list[bytes], usual: list[bytes]) -> bool:
    """Say whether two palettes hold a colour at different indices; a shorter or longer one is no other order."""
    pairs = list(zip(palette, usual, strict=False))
    return any(mine != theirs and (mine in usual or theirs in palette) for mine, theirs in pairs)


def _small(view: View) -> Iterator[Finding]:
    sums, listed = view.statistics, names(view.task)
    for kind in foreground(view.task):
        objects, areas = int(sums.objects[kind]), sums.areas[kind]
        specks = int(areas[:2].sum())
        if specks > SPECKS * objects and specks >= SPECKS_PER_IMAGE * sums.counted:
            what = f"{specks} of {objects} objects of '{listed[kind]}' have 3 pixels or fewer: specks"
            yield view.of_set("speckled_labels", what, "check how the masks were made (JPEG? resized? traced?)")
        elif objects and areas[:3].sum() > objects / 2:
            what = f"more than half of the {objects} objects of '{listed[kind]}' are smaller than {SMALL_AREA} pixels"
            yield view.of_set("tiny_objects", what, "train at native size or larger")


def _area(one: Measured) -> int:
    assert one.header is not None, one.key
    return one.header.height * one.header.width
