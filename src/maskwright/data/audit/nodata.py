"""Find values that mean no data and are not declared so, and bands that are called alpha but hold data."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from maskwright.core.errors import MaskwrightError
from maskwright.data.findings import Finding, some
from maskwright.data.pixels.header import Pixels
from maskwright.data.pixels.rasters import read_alpha
from maskwright.data.sources.base import limit_keys

if TYPE_CHECKING:
    from maskwright.data.audit.view import View

SENTINELS = (-9999.0, -99999.0, -999999.0, -32767.0, -32768.0, -2147483648.0)
"""Lowest values that GIS tools write where there are no data."""
BOUNDLESS = 1e30
"""A float as far from 0 as this is no measurement: tools write the largest float there is, or 1e36 and more."""
ALPHA_ITEMS, SOFT, MOST = 12, 0.5, 0.8
"""Images with alpha that are looked at; an alpha that is neither 0 nor full on more pixels than SOFT is a band, and the
set is suspected if that holds for MOST of them."""

Marks = dict[int, tuple[float, int]]
"""Band (from 0) -> the value that probably means no data, and how many pixels hold it."""


def marks_of(image: Pixels) -> Marks:
    """Return the bands of an image (H, W, B) whose lowest or highest value probably means no data; unsigned: none."""
    found: Marks = {}
    if image.dtype.kind not in "if" or image.dtype.itemsize < 2:
        return found
    low, high = image.min(axis=(0, 1)), image.max(axis=(0, 1))
    for band in range(image.shape[2]):
        for value in (float(low[band]), float(high[band])):
            if abs(value) >= BOUNDLESS or (value in SENTINELS and value == float(low[band])):
                found[band] = value, int(np.count_nonzero(image[:, :, band] == image.dtype.type(value)))
                break
    return found


def nodata_findings(view: View) -> Iterator[Finding]:
    """Name undeclared values of no data, and alpha bands that are no alpha."""
    yield from _undeclared(view)
    yield from _alpha(view)


def _undeclared(view: View) -> Iterator[Finding]:
    chosen = {band - 1 for band in view.data.bands} if view.data.bands else None
    items: dict[float, list[str]] = defaultdict(list)
    bands: dict[float, set[int]] = defaultdict(set)
    pixels: dict[float, int] = defaultdict(int)
    for one in view.whole:
        for band, (value, count) in one.marks.items():
            if chosen is None or band in chosen:
                items[value] += [one.key] if one.key not in items[value][-1:] else []
                bands[value].add(band + 1)
                pixels[value] += count
    for value, keys in sorted(items.items()):
        listed = ", ".join(str(band) for band in sorted(bands[value]))
        what = (
            f"{value:g} on {pixels[value]} pixels of {len(keys)} of {len(view.whole)} images, in band {listed} "
            f"({some(keys)}): this mostly means no data, and the files do not say so"
        )
        fix = "declare it as nodata in the files, or leave the band out: data.bands"
        facts = {"value": value, "pixels": pixels[value], "bands": sorted(bands[value])}
        yield view.of_set("nodata_undeclared", what, fix, keys, facts)


def _alpha(view: View) -> Iterator[Finding]:
    held = [one.key for one in view.whole if one.header is not None and one.header.has_alpha]
    if not held:
        return
    looked = [alpha for key in limit_keys(held, ALPHA_ITEMS) if (alpha := _read(view, key)) is not None]
    soft = [float(((alpha != 0) & (alpha != alpha.max())).mean()) for alpha in looked]
    if looked and sum(share > SOFT for share in soft) >= MOST * len(looked):
        what = (
            f"{len(held)} of {len(view.whole)} images have an alpha band that holds values as an image band does "
            f"({np.median(soft):.0%} of its pixels are neither 0 nor full): it may be infrared, and is not used"
        )
        fix = "if so, write it without the mark of alpha (GDAL: ALPHA=NO, or -colorinterp_4 undefined)"
        yield view.of_set("alpha_is_data", what, fix, held)


def _read(view: View, key: str) -> NDArray[np.generic] | None:
    try:
        return read_alpha(view.source.image_path(key), view.data.max_pixels)
    except MaskwrightError:
        return None  # it could be read before; the file changed since
