"""Polygons of one file, made valid, with what was repaired or passed over on the way."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from maskwright.data.findings import Finding

SHOWN = 4


@dataclass
class Features:
    """Polygons with one attribute each, in one coordinate system."""

    path: Path
    crs: str
    """Name of their coordinate system; empty: the file does not say."""
    shapes: NDArray[Any]
    """(N,) valid shapely Polygons and MultiPolygons, x before y, without empty ones."""
    values: tuple[str, ...]
    """(N,) the attribute as text; empty where it is null or none was asked for."""
    fields: tuple[str, ...] = ()
    """Names of all attributes that the file has."""
    findings: list[Finding] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)

    @property
    def bounds(self) -> tuple[float, float, float, float]:
        """Return least x, least y, most x and most y of all."""
        import shapely

        low_x, low_y, high_x, high_y = (float(value) for value in shapely.total_bounds(self.shapes))
        return low_x, low_y, high_x, high_y

    def swapped(self) -> Features:
        """Return the same with x and y exchanged."""
        import shapely

        turned = shapely.transform(self.shapes, lambda places: places[:, ::-1])
        return Features(self.path, self.crs, turned, self.values, self.fields, self.findings, self.notes)


def tidy(features: Features, numbers: Sequence[int]) -> Features:
    """Refuse what is not finite, repair what crosses itself, pass over what has no area; count each.

    Args:
        features: as read; shapes may be None, invalid or of any kind.
        numbers: of each feature in its file, from 1, for messages.
    """
    import shapely

    shapes, path, notes = features.shapes, features.path, features.notes
    number = np.asarray(list(numbers), np.int64)
    there = ~shapely.is_missing(shapes) & ~shapely.is_empty(shapes)
    _note(notes, path, int((~there).sum()), "without a geometry are passed over")
    flat = there & (shapely.get_dimensions(shapes) < 2)
    if flat.any():
        kinds = sorted({shape.geom_type for shape in shapes[flat]})
        what = f"{int(flat.sum())} of {len(shapes)} features are {' and '.join(kinds)}, which have no area"
        kind = "no_polygons" if flat.sum() == there.sum() else "flat_features"
        fix = "give polygons" if kind == "no_polygons" else "they are passed over"
        features.findings.append(Finding(kind, str(path), what, fix, facts={"features": int(flat.sum())}))
    bounds = shapely.bounds(shapes)
    finite = np.isfinite(bounds).all(axis=1)
    whole = [bool(np.isfinite(shapely.get_coordinates(shape)).all()) for shape in shapes[there]]
    finite[there] &= np.array(whole, bool)
    if (odd := there & ~finite).any():
        listed = ", ".join(str(one) for one in number[odd][:SHOWN]) + (", ..." if odd.sum() > SHOWN else "")
        what = f"{int(odd.sum())} features have coordinates that are no finite numbers: number {listed}"
        features.findings.append(Finding("bad_annotation", str(path), what, "mend or delete them"))
    keep = there & ~flat & finite
    kept = shapes[keep]
    broken = ~shapely.is_valid(kept)
    if broken.any():
        kept[broken] = [
            _polygons(shape) for shape in shapely.make_valid(kept[broken], method="structure", keep_collapsed=False)
        ]
        _note(notes, path, int(broken.sum()), "cross themselves or repeat a line and are repaired")
    values = [value for value, good in zip(features.values, keep, strict=True) if good]
    full = shapely.area(kept) > 0
    _note(notes, path, int((~full).sum()), "have no area and are passed over")
    left = tuple(value for value, good in zip(values, full, strict=True) if good)
    return Features(path, features.crs, kept[full], left, features.fields, features.findings, notes)


def _polygons(shape: Any) -> Any:
    """Return the polygons of a repaired shape, which may have become a collection."""
    import shapely

    parts = [part for part in shapely.get_parts(shape) if part.geom_type in ("Polygon", "MultiPolygon")]
    return shape if shape.geom_type in ("Polygon", "MultiPolygon") else shapely.union_all(parts)


def _note(notes: list[str], path: Path, count: int, what: str) -> None:
    if count:
        one = f"{count} features" if count > 1 else "one feature"
        notes.append(
            f"{path}: {one} that {what}"
            if what.startswith("cross") or what.startswith("have")
            else f"{path}: {one} {what}"
        )


def as_text(value: Any) -> str:
    """Write an attribute as the recipe names it: 3 for 3.0, true for True, nothing for null."""
    if value is None or (isinstance(value, float | np.floating) and not np.isfinite(value)):
        return ""
    if isinstance(value, bool | np.bool_):
        return str(bool(value)).lower()
    if isinstance(value, float | np.floating) and float(value).is_integer():
        return str(int(value))
    return str(value)
