"""Look at the images of a set as a whole: bands, dtypes, ranges, sizes, blank and hidden pixels, equal images."""

from __future__ import annotations

import re
from collections import Counter, defaultdict
from collections.abc import Iterator, Mapping
from statistics import median

from maskwright.data.audit.fingerprint import Fingerprint
from maskwright.data.audit.statistics import foreground
from maskwright.data.audit.view import View
from maskwright.data.findings import Finding, some

TINY_SIDE, EXTREME_ASPECT = 16, 8.0
"""Pixels of a short side, and proportion of the sides, beyond which an image is odd."""
OUTLIER = 16.0
"""An image that many times larger or smaller in area than the median one is named."""
ASPECTS = 1.5
"""Spread of proportions from which it is worth a note."""
FEW_COLOURS, ALL = 8, 0.8
"""Distinct values up to which an image looks like a mask, and the share of items that must."""
ANOTHER_SCALE = 50.0
"""Ratio of the largest values of two images from which they are of another scale."""


def image_findings(view: View) -> Iterator[Finding]:
    """Name what is wrong, suspicious or worth knowing about the images of a set."""
    yield from misfits(view)
    yield from _band_names(view)
    yield from _swapped(view)
    yield from _hidden(view)
    yield from _blank(view)
    yield from _bands(view)
    yield from _range(view)
    yield from _sizes(view)
    yield from duplicates(view)


def misfits(view: View) -> Iterator[Finding]:
    """Name images that differ from most others in bands or dtype, and bands the recipe asks for in vain."""
    data, usual = view.data, view.fingerprint
    wanted, used = max(data.bands or (usual.bands,)), len(data.bands or range(usual.bands))
    if data.normalize == "imagenet" and usual.items and used != 3:
        what = f"imagenet is for 3 bands, {used} are used"
        yield Finding("bands_unfit", "data.normalize", what, "set data.bands, or normalize: dataset")
    for record in usual.items:
        path, bands = str(view.source.image_path(record.key)), record.bands
        if bands == 1 and usual.bands == 3:
            bands = 3
        if data.bands is not None and bands < wanted:
            what, fix = f"has {record.bands} bands, but data.bands names {wanted}", "name bands that all images have"
            yield Finding("band_absent", path, what, fix, (record.key,))
        elif data.bands is None and bands != usual.bands:
            what = f"has {record.bands} bands, most images {usual.bands}"
            fix = "take it out, or set data.bands to what all have"
            yield Finding("bands_differ", path, what, fix, (record.key,))
        if record.dtype != usual.dtype:
            what = f"holds {record.dtype} values, most images {usual.dtype}"
            yield Finding("dtype_differs", path, what, "convert it to the same scale", (record.key,))


def _band_names(view: View) -> Iterator[Finding]:
    """Name images that call their bands otherwise than the recipe does: another order would be silent."""
    wanted = view.data.band_names
    if wanted is None:
        return
    for one in view.found:
        told = () if one.header is None else one.header.names
        plain = tuple(re.sub(r"\W", "_", name) for name in told)
        if plain and plain != wanted and all(plain):
            what = f"calls its bands {', '.join(told[:16])}, not {', '.join(wanted[:16])}"
            fix = "bring all images to one order, or mend data.band_names"
            yield Finding("band_names_differ", str(view.source.image_path(one.key)), what, fix, (one.key,))


def unlike(view: View, like: Fingerprint | None) -> Iterator[Finding]:
    """Name in what a set to predict differs from the one that models are trained on."""
    found = view.fingerprint
    if like is None or not found.items:
        return
    if found.dtype != like.dtype:
        what = f"holds {found.dtype} values, the training images {like.dtype}"
        yield view.of_set("test_dtype", what, "convert them to the same scale")
    if found.bands != like.bands and not (found.bands == 1 and like.bands == 3):
        what = f"images have {found.bands} bands, the training images {like.bands}"
        yield view.of_set("test_bands", what, "give the same bands")
    trained = {record.digest: record.key for record in like.items}
    plain = {one.digest for one in view.whole if one.plain}
    twins = [
        (record.key, trained[record.digest])
        for record in found.items
        if record.digest in trained and record.digest not in plain
    ]
    if twins:
        pairs = ", ".join(f"'{key}' = '{other}'" for key, other in twins[:6]) + (", ..." if twins[6:] else "")
        what = f"{len(twins)} images are training images too (test = train): {pairs}"
        facts = {"pairs": [list(pair) for pair in twins]}
        yield view.of_set("test_in_train", what, "take them out of one of both", [key for key, _ in twins], facts)


def _swapped(view: View) -> Iterator[Finding]:
    """Name images that are masks, beside labels that are photographs or not."""
    flat = [one for one in view.found if 0 < one.looks <= FEW_COLOURS and not one.plain]
    refused = [one for one in flat if any(f.kind in ("colour_mask", "jpeg_mask", "soft_mask") for f in one.findings)]
    copies = [one for one in view.whole if one.is_label and not one.plain]
    if view.source.labelled and len(refused) >= ALL * len(view.found):
        what = "the images look like masks and the masks like photographs: the folders may be swapped"
        yield view.of_set("swapped_folders", what, "name each in the other's place")
    elif copies and not (len(flat) >= ALL * len(view.found) and len(copies) < ALL * len(flat)):
        fix = "give the photographs as images"
        yield from view.of_some("image_is_label", copies, "have images that are their own labels in other colours", fix)
    elif len(flat) >= ALL * len(view.found) and len(flat) > 2:
        what = f"hold {FEW_COLOURS} distinct values or fewer, as masks do"
        yield from view.of_some("images_like_masks", flat, what, "check the folder of images")


def _hidden(view: View) -> Iterator[Finding]:
    hidden = [one for one in view.whole if one.hidden]
    areas = sum(record.height * record.width for record in view.fingerprint.items)
    share = sum(one.hidden for one in hidden) / max(areas, 1)
    if hidden:
        what = f"{len(hidden)} of {len(view.whole)} images hide pixels by alpha or nodata ({share:.2%} of all)"
        facts = {"images": len(hidden), "share": share}
        yield view.of_set("hidden_pixels", f"{what}; they do not count", facts=facts)
    if share > 0.5:
        what = f"{share:.1%} of all pixels are hidden by alpha or nodata"
        yield view.of_set("mostly_hidden", what, "check the nodata value and the alpha band", facts={"share": share})
    if not view.labelled:
        yield from view.of_some(
            "void_items", [one for one in view.whole if one.valid == 0], "have no pixel that counts"
        )
    turned = [one.key for one in view.whole if one.header is not None and one.header.orientation != 1]
    if turned:
        what = f"{len(turned)} of {len(view.whole)} images carry an EXIF orientation, which is not applied"
        yield view.of_set("exif_orientation", f"{what}: pixels are used as stored", keys=turned)


def _blank(view: View) -> Iterator[Finding]:
    blank = [one for one in view.whole if one.plain and one.valid]
    drawn = [one for one in blank if one.pixels and any(one.pixels[kind] for kind in foreground(view.task)[1:] or (1,))]
    fix = "check the images, or take them out"
    if view.task.kind == "binary":
        yield from view.of_some("blank_labelled", drawn, "have an image of one colour, but objects in the label", fix)
    rest = [one for one in blank if one not in drawn or view.task.kind != "binary"]
    if len(rest) == len(view.whole) > 2:
        yield view.of_set("all_blank", "every image is of one colour", "check the images and data.bands")
    else:
        yield from view.of_some("blank_images", rest, "have an image of one colour")


def _bands(view: View) -> Iterator[Finding]:
    usual, count = view.fingerprint, len(view.whole)
    grey = sum(record.bands == 1 for record in usual.items)
    if grey and usual.bands == 3:
        what = f"{grey} of {count} images are grey beside colour ones; their band is used three times"
        yield view.of_set("grey_beside_colour", what)
    if usual.bands == 3 and count and not grey and all(one.grey for one in view.whole):
        yield view.of_set("grey_as_colour", "all images are grey, stored in three equal bands")
    for place, flat in enumerate(constant_bands(view)):
        if flat:
            yield view.of_set(
                "constant_band", f"band {place + 1} of the bands used is constant", "leave it out: data.bands"
            )
    kinds = Counter(one.header.driver for one in view.whole if one.header is not None)
    if len(kinds) > 1:
        listed = ", ".join(f"{number} {name}" for name, number in sorted(kinds.items()))
        yield view.of_set("formats_differ", f"files of several formats: {listed}", facts={"formats": dict(kinds)})


def constant_bands(view: View) -> list[bool]:
    """Say for each band the recipe uses whether it has one value all over the set."""
    usual = view.fingerprint
    chosen = [band - 1 for band in view.data.bands or range(1, usual.bands + 1)]
    seen: list[set[float]] = [set() for _ in chosen]
    for one in view.whole:
        if one.moments is None or not one.moments.count:
            continue
        for place, band in enumerate(chosen):
            at = 0 if len(one.moments.mean) == 1 else band
            if at < len(one.moments.mean):
                seen[place].add(float(one.moments.mean[at]) if one.moments.squares[at] == 0 else float("nan"))
    return [len(values) == 1 and next(iter(values)) == next(iter(values)) for values in seen]


def _range(view: View) -> Iterator[Finding]:
    tops = {one.key: one.top for one in view.whole if not one.plain and one.top > 0}
    if not tops:
        return
    usual, high = median(tops.values()), max(tops.values())
    low = [key for key, top in tops.items() if top * ANOTHER_SCALE <= usual]
    high_up = [key for key, top in tops.items() if usual * ANOTHER_SCALE <= top]
    if odd := low + high_up:
        what = f"largest values differ {ANOTHER_SCALE:g} times and more from most images' ({usual:g}): {some(odd)}"
        yield view.of_set("scale_differs", what, "bring all images to one scale", odd, {"usual": usual})
    divided = high / view.fingerprint.divide
    if view.data.stretch is None and view.data.normalize != "dataset" and not 0.02 <= divided <= 4:
        what = f"the largest value is {high:g}, {divided:.3g} after dividing by {view.fingerprint.divide:g}"
        yield view.of_set("divide_unfit", what, "set data.divide to the largest value there can be")
    elif view.fingerprint.dtype == "uint16" and high <= 255:
        yield view.of_set("range_unused", f"16-bit images whose largest value is {high:g}", "set data.divide: 255")


def _sizes(view: View) -> Iterator[Finding]:
    shapes = {one.key: one.header.shape for one in view.whole if one.header is not None}
    if not shapes:
        return
    tiny = [key for key, shape in shapes.items() if min(shape) < TINY_SIDE]
    if tiny and len(tiny) < len(shapes):
        what = f"{len(tiny)} images have a side below {TINY_SIDE} pixels: {some(tiny)}"
        yield view.of_set("tiny_images", what, "check them, or take them out", tiny)
    long = [key for key, shape in shapes.items() if max(shape) > EXTREME_ASPECT * min(shape)]
    if long and len(long) < len(shapes):
        what = f"{len(long)} images are more than {EXTREME_ASPECT:g} times longer than wide: {some(long)}"
        yield view.of_set("extreme_aspect", what, "check them, or cut them", long)
    areas = {key: shape[0] * shape[1] for key, shape in shapes.items()}
    usual = median(areas.values())
    odd = [key for key, area in areas.items() if not usual / OUTLIER <= area <= usual * OUTLIER]
    if odd:
        yield view.of_set("size_outlier", f"far larger or smaller than most images: {some(odd)}", keys=odd)
    distinct = sorted(set(shapes.values()), key=lambda shape: (shape[0] * shape[1], shape))
    if len(distinct) > 1:
        (low, left), (high, right) = distinct[0], distinct[-1]
        what = f"{len(distinct)} sizes, from {low} x {left} to {high} x {right} pixels (height x width)"
        yield view.of_set("sizes_differ", what, facts={"sizes": len(distinct)})
    aspects = [shape[1] / shape[0] for shape in shapes.values()]
    if max(aspects) > ASPECTS * min(aspects):
        what = f"proportions (width / height) from {min(aspects):.2f} to {max(aspects):.2f}"
        yield view.of_set("aspects_differ", what, facts={"least": min(aspects), "most": max(aspects)})


def duplicates(view: View) -> Iterator[Finding]:
    """Name groups of equal images, and among them those whose labels differ."""
    labels: Mapping[str, str] = {one.key: one.label_digest for one in view.whole}
    split: dict[bool, list[tuple[str, ...]]] = defaultdict(list)
    for keys in view.fingerprint.duplicates:
        split[len({labels[key] for key in keys}) > 1].append(keys)
    for differ, groups in sorted(split.items()):
        shown = "; ".join(some(keys) for keys in groups[:6]) + ("; ..." if groups[6:] else "")
        concerned = [key for keys in groups for key in keys]
        facts = {"groups": [list(keys) for keys in groups]}
        if differ:
            what = f"equal images whose labels differ: {shown}"
            yield view.of_set("duplicate_conflict", what, "keep the right one of each", concerned, facts)
        else:
            what = f"equal images: {shown}; they stay in one fold"
            yield view.of_set("exact_duplicate", what, keys=concerned, facts=facts)
