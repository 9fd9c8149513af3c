"""Read polygons of any format we take: GeoJSON by ourselves, GPKG and FlatGeobuf with GDAL, chosen by first bytes.

GDAL would open two hundred formats, some of which point at other files; so a file is only handed to it when
its first bytes are those of GPKG or FlatGeobuf.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

from maskwright.core.errors import InputError, from_os_error, near
from maskwright.data.findings import Finding
from maskwright.data.ground import check_system
from maskwright.data.vectors import geojson
from maskwright.data.vectors.features import Features, as_text, tidy

SUFFIXES = (".geojson", ".json", ".gpkg", ".fgb")
"""Names that are taken for vector files when a folder is listed."""
SQLITE, GPKG_IDS = b"SQLite format 3\0", (b"GPKG", b"GP10", b"GP11")
"""First bytes of SQLite, and the application ids (at byte 68) of GPKG since version 1.0 (OGC 12-128r19, table 1)."""
FLATGEOBUF = b"fgb\x03fgb"
EMPTY = "holds no polygon"


def read_features(path: Path, attribute: str | None = None, layer: str | None = None) -> Features:
    """Read the polygons of a file.

    Args:
        path: GeoJSON, GPKG or FlatGeobuf.
        attribute: field to read of each feature as text; None: none.
        layer: of a GPKG; None: the only one.

    Returns:
        valid polygons, with findings (faults of single features) and notes (what was repaired).

    Raises:
        InputError: absent, damaged, of another format, or without the attribute or layer.
    """
    try:
        with path.open("rb") as handle:
            head = handle.read(100)
    except OSError as error:
        raise from_os_error(error, path) from error
    if not head.strip():
        raise InputError("is empty", where=path, fix="copy it again", kind="bad_label_file")
    if head.startswith(SQLITE) and head[68:72] in GPKG_IDS:
        found = _with_gdal(path, attribute, layer, "GPKG")
    elif head.startswith(FLATGEOBUF):
        found = _with_gdal(path, attribute, None, "FlatGeobuf")
    elif head.lstrip(b"\xef\xbb\xbf \t\r\n").startswith(b"{"):
        found = geojson.read(path, attribute)
    else:
        what = f"is no GeoJSON, GPKG or FlatGeobuf (it begins with {ascii(head[:8])[2:-1]})"
        raise InputError(what, where=path, fix="convert it", kind="foreign_format")
    if attribute and found.fields and attribute not in found.fields:
        listed = ", ".join(f"'{name}'" for name in found.fields[:12])
        what = f"no feature has an attribute '{attribute}'{near(attribute, found.fields)}; they have {listed}"
        raise InputError(what, where=path, fix="set attribute to one of these", kind="no_column")
    if not len(found.shapes) and not any(one.severity == "fault" for one in found.findings):
        found.findings.append(Finding("no_polygons", str(path), EMPTY, "give polygons"))
    return found


def _with_gdal(path: Path, attribute: str | None, layer: str | None, format_: str) -> Features:
    import shapely
    from pyogrio import list_layers
    from pyogrio.errors import DataLayerError, DataSourceError
    from pyogrio.raw import read

    try:
        layers = [str(row[0]) for row in list_layers(path)]
        if layer is None and len(layers) > 1:
            listed = ", ".join(layers[:12])
            raise InputError(f"has {len(layers)} layers: {listed}", where=path, fix="set layer", kind="bad_label_file")
        if layer is not None and layer not in layers:
            what = f"has no layer '{layer}'{near(layer, layers)}; it has {', '.join(layers[:12]) or 'none'}"
            raise InputError(what, where=path, fix="set layer to one of these", kind="bad_label_file")
        meta, _, geometry, columns = read(path, layer=layer, force_2d=True)
    except (DataSourceError, DataLayerError) as error:
        what = f"is damaged or no {format_} ({error})"
        raise InputError(what, where=path, fix="copy it again", kind="bad_label_file") from None
    fields = tuple(str(name) for name in meta["fields"])
    values: list[str] = [""] * len(geometry)
    if attribute in fields:
        values = [as_text(value) for value in columns[fields.index(attribute)].tolist()]
    shapes: Any = shapely.from_wkb(geometry, on_invalid="fix") if len(geometry) else np.array([], object)
    crs = check_system(str(meta["crs"]), str(path)) if meta["crs"] else ""
    return tidy(Features(path, crs, np.array(shapes, object), tuple(values), fields), range(1, len(geometry) + 1))
