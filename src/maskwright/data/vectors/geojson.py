"""Read GeoJSON by ourselves: every feature that is not as it should be is named by its number."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from maskwright.core.errors import InputError
from maskwright.data.findings import Finding
from maskwright.data.ground import WORLD, check_system
from maskwright.data.sources.vector import read_json
from maskwright.data.vectors.features import SHOWN, Features, as_text, tidy


class BadGeometryError(ValueError):
    """A geometry that is not as GeoJSON wants it."""


def read(path: Path, attribute: str | None) -> Features:
    """Read the polygons of a GeoJSON file.

    Coordinates are longitude and latitude (RFC 7946) unless the file names another system in the `crs` member
    of the older format. Rings that are not closed are closed, and counted.

    Args:
        path: the file.
        attribute: property to read of each feature; None: none.

    Raises:
        InputError: it is no GeoJSON.
    """
    given = read_json(path)
    entries = _entries(given, path)
    found = Features(path, _crs(given, path), np.array([], object), ())
    shapes, values, counts, bad = np.full(len(entries), None, object), [], Counter[str](), []
    names: dict[str, None] = {}
    for number, entry in enumerate(entries, start=1):
        properties = entry.get("properties") if isinstance(entry, Mapping) else None
        properties = properties if isinstance(properties, Mapping) else {}
        names.update(dict.fromkeys(str(name) for name in properties))
        values.append(as_text(properties.get(attribute)) if attribute else "")
        try:
            shapes[number - 1] = _shape(entry.get("geometry") if isinstance(entry, Mapping) else entry, counts)
        except BadGeometryError as error:
            bad.append(f"number {number} {error}")
    if bad:
        more = f" and {len(bad) - SHOWN} more" if len(bad) > SHOWN else ""
        what = f"features that cannot be drawn: {', '.join(bad[:SHOWN])}{more}"
        found.findings.append(Finding("bad_annotation", str(path), what, "mend or delete them"))
    if counts["unclosed"]:
        found.notes.append(f"{path}: {counts['unclosed']} rings that do not end where they begin are closed")
    found.shapes, found.values, found.fields = shapes, tuple(values), tuple(names)
    return tidy(found, range(1, len(entries) + 1))


def _entries(given: Any, path: Path) -> list[Any]:
    kind = given.get("type") if isinstance(given, Mapping) else None
    if kind == "FeatureCollection" and isinstance(given.get("features"), list):
        return list(given["features"])
    if kind == "Feature":
        return [given]
    if kind in ("Polygon", "MultiPolygon", "GeometryCollection"):
        return [{"geometry": given}]
    what, fix = f"is no GeoJSON: its type is {kind!r}", "give a FeatureCollection"
    if isinstance(given, Mapping) and "arcs" in given:
        what, fix = "is TopoJSON", "save it as GeoJSON"
    raise InputError(what, where=path, fix=fix, kind="bad_label_file")


def _crs(given: Any, path: Path) -> str:
    """Return the system a file names in the old way, or WGS84."""
    crs = given.get("crs") if isinstance(given, Mapping) else None
    properties = crs.get("properties") if isinstance(crs, Mapping) else None
    name = properties.get("name") if isinstance(properties, Mapping) else None
    return check_system(str(name), f"{path}:crs") if name else WORLD


def _shape(geometry: Any, counts: Counter[str]) -> Any:
    """Return a shapely geometry; None for null.

    Raises:
        BadGeometryError: it is not as it should be, in words.
    """
    import shapely

    if geometry is None:
        return None
    if not isinstance(geometry, Mapping):
        raise BadGeometryError("is no geometry")
    kind, coordinates = geometry.get("type"), geometry.get("coordinates")
    if kind == "Polygon":
        return _polygon(coordinates, counts)
    if kind == "MultiPolygon" and isinstance(coordinates, list):
        return shapely.multipolygons([_polygon(part, counts) for part in coordinates])
    if kind == "GeometryCollection" and isinstance(geometry.get("geometries"), list):
        parts = [_shape(part, counts) for part in geometry["geometries"]]
        return shapely.geometrycollections([part for part in parts if part is not None])
    if kind in ("Point", "MultiPoint"):
        return shapely.Point(0, 0)
    if kind in ("LineString", "MultiLineString"):
        return shapely.LineString([(0, 0), (1, 1)])
    raise BadGeometryError(f"is of type {str(kind)[:40]!r}")


def _polygon(rings: Any, counts: Counter[str]) -> Any:
    import shapely

    if not isinstance(rings, list):
        raise BadGeometryError("has no list of rings")
    if not rings:
        return shapely.Polygon()
    lines = [_ring(ring, counts) for ring in rings]
    with np.errstate(invalid="ignore"):
        return shapely.polygons(lines[0], holes=lines[1:] or None)


def _ring(ring: Any, counts: Counter[str]) -> Any:
    import shapely

    try:
        given = np.array([point[:2] for point in ring])
        places = given.astype(np.float64) if given.dtype.kind in "iuf" else None
    except (TypeError, ValueError, OverflowError, IndexError, KeyError):
        places = None
    if places is None:
        raise BadGeometryError("has a coordinate that is no number")
    if places.ndim != 2 or places.shape[1] != 2 or len(places) < 3:
        raise BadGeometryError(f"has a ring of {len(places)} points")
    if not np.isfinite(places).all():
        places = np.full((4, 2), np.inf)  # named later, with all others
    if (places[0] != places[-1]).any():
        counts["unclosed"] += 1
        places = np.concatenate([places, places[:1]])
    if len(places) < 4:
        raise BadGeometryError("has a ring of 2 points")
    with np.errstate(invalid="ignore"):
        return shapely.linearrings(places)
