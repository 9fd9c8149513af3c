"""Polygons of a class raster: traced strip by strip, joined across strips without a cut, holes kept, written for a GIS.

Pieces of one class that share an edge of a pixel are one feature; those that touch at a corner alone are two.
Memory: one strip of rows, and the polygons.
"""

from __future__ import annotations

import os
import warnings
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from maskwright.core.errors import InputError, unknown
from maskwright.core.files import atomic_path
from maskwright.core.grid import Grid, Window
from maskwright.output.apart import apart, only_areas
from maskwright.output.squares import squared

STRIP = 1024
"""Rows that are traced at once."""
STEPS = 1.5
"""Pixels by which an outline is straightened at least before it gets right angles, so that its steps vanish."""


@dataclass(frozen=True)
class Tracing:
    """What becomes a polygon, and how it is drawn."""

    classes: Mapping[int, str]
    """Value -> name of the classes that become polygons."""
    tolerance: float = 0.0
    """How far an outline may be moved to have fewer corners (Douglas and Peucker 1973), in metres; 0: not at all."""
    least: float = 0.0
    """Smaller features are left out, in square metres."""
    regularise: bool = False
    """Whether outlines get right angles where they have a direction; see squares.py."""


@dataclass
class Feature:
    """One connected piece."""

    value: int
    name: str
    shape: Any
    """shapely Polygon or MultiPolygon in coordinates of the raster."""
    probability: float
    """Mean over its pixels, 0..1."""
    area: float
    """Of its pixels, in square metres; without coordinates in pixels."""


@dataclass
class _Piece:
    """A part of a feature that may go on below."""

    value: int
    shapes: list[Any]
    pixels: int
    probability: float
    """Sum over pixels."""
    area: float

    def take(self, other: _Piece) -> None:
        self.shapes += other.shapes
        self.pixels += other.pixels
        self.probability += other.probability
        self.area += other.area


Read = Callable[[int, int], tuple[NDArray[np.uint8], NDArray[np.float32]]]
"""From first row and number of rows to values (rows, W) and probabilities of what they say (rows, W)."""


class Ruler(NamedTuple):
    """How large pixels are; both say None where it is not known, and lengths are in pixels then."""

    areas: Callable[[Grid], NDArray[np.float64] | None]
    """From a grid to the ground of a pixel in each of its rows (H,), in square metres."""
    frame: Callable[[Grid], tuple[tuple[float, float], tuple[float, float]] | None]
    """From a grid to the matrix that takes columns and rows to metres about its middle."""


def trace(grid: Grid, read: Read, ruler: Ruler, wanted: Tracing, strip: int = STRIP) -> list[Feature]:
    """Return the polygons of a raster, from the top; they share no ground.

    Args:
        grid: of the raster.
        read: gives rows of it.
        ruler: how large pixels are, row by row, since degrees differ in size.
        wanted: classes, and how outlines are drawn.
        strip: rows at once; the result does not depend on it.
    """
    found: list[Feature] = []
    open_pieces: list[_Piece] = []
    edge = np.zeros(grid.shape[1], np.int64)  # at the last row above: number of the open piece, from 1; 0: none
    for top in range(0, grid.shape[0], strip):
        rows = min(strip, grid.shape[0] - top)
        values, probability = read(top, rows)
        areas = ruler.areas(grid.window(Window(top, 0, rows, grid.shape[1])))
        numbers, pieces = _pieces(values, probability, top, np.ones(rows) if areas is None else areas, wanted.classes)
        parents = _joined(edge, numbers[0], open_pieces, pieces)
        groups: dict[int, _Piece] = {}
        for place, piece in enumerate((*open_pieces, *pieces)):
            root = _root(parents, place)
            if root in groups:
                groups[root].take(piece)
            else:
                groups[root] = piece
        last = numbers[-1] if top + rows < grid.shape[0] else np.zeros_like(edge)
        going = {_root(parents, len(open_pieces) + int(number) - 1) for number in np.unique(last[last > 0])}
        found += [_feature(piece, grid, ruler, wanted) for root, piece in groups.items() if root not in going]
        order = {root: place for place, root in enumerate(sorted(going), start=1)}
        table = np.array([0, *(order.get(_root(parents, len(open_pieces) + n), 0) for n in range(len(pieces)))])
        edge, open_pieces = table[last], [groups[root] for root in sorted(going)]
    found = [one for one in found if one.area >= wanted.least]
    if wanted.tolerance or wanted.regularise:
        for one, shape in zip(found, apart([one.shape for one in found]), strict=True):
            one.shape = shape
    return [one for one in found if not one.shape.is_empty]


def _pieces(
    values: NDArray[np.uint8],
    probability: NDArray[np.float32],
    top: int,
    areas: NDArray[np.float64],
    classes: Mapping[int, str],
) -> tuple[NDArray[np.int32], list[_Piece]]:
    """Return the number of the piece at each pixel, from 1 (0: none), and the pieces in that order."""
    import cv2
    import shapely
    from rasterio.features import shapes

    numbers = np.zeros(values.shape, np.int32)
    kinds: list[int] = []
    for value in classes:
        count, found = cv2.connectedComponents((values == value).astype(np.uint8), connectivity=4)
        if count > 1:
            numbers += np.where(found > 0, found + len(kinds), 0).astype(np.int32)
            kinds += [value] * (count - 1)
    flat = numbers.ravel()
    pixels = np.bincount(flat, minlength=len(kinds) + 1)[1:].tolist()
    sums = np.bincount(flat, probability.ravel(), minlength=len(kinds) + 1)[1:].tolist()
    ground = np.bincount(flat, np.repeat(areas, values.shape[1]), minlength=len(kinds) + 1)[1:].tolist()
    pieces = [_Piece(kind, [], *numbers_) for kind, *numbers_ in zip(kinds, pixels, sums, ground, strict=True)]
    for outline, number in shapes(numbers, mask=numbers > 0, connectivity=4):
        outer, *holes = [np.add(ring, [0, top]) for ring in outline["coordinates"]]
        pieces[int(number) - 1].shapes.append(shapely.Polygon(outer, holes))
    return numbers, pieces


def _joined(
    above: NDArray[np.int64], below: NDArray[np.int32], old: Sequence[_Piece], new: Sequence[_Piece]
) -> list[int]:
    """Return the parent of each piece, old ones first, in a forest whose trees are what belongs together."""
    parents = list(range(len(old) + len(new)))
    both = (above > 0) & (below > 0)
    for one, other in np.unique(np.stack([above[both], below[both].astype(np.int64)]), axis=1).T.tolist():
        if old[one - 1].value == new[other - 1].value:
            left, right = _root(parents, one - 1), _root(parents, len(old) + other - 1)
            parents[max(left, right)] = min(left, right)
    return parents


def _root(parents: list[int], place: int) -> int:
    while parents[place] != place:
        parents[place] = parents[parents[place]]
        place = parents[place]
    return place


def _feature(piece: _Piece, grid: Grid, ruler: Ruler, wanted: Tracing) -> Feature:
    """Join a feature's parts, draw its outline and bring it to the ground."""
    import shapely

    shape = piece.shapes[0] if len(piece.shapes) == 1 else shapely.union_all(piece.shapes)
    shape = _valid(shape.simplify(0))  # corners in the middle of a straight line, left where strips met
    if wanted.tolerance or wanted.regularise:
        shape = _drawn(shape, grid, ruler, wanted)
    shape = _valid(shapely.transform(shape, grid.to_ground))
    return Feature(piece.value, wanted.classes[piece.value], shape, piece.probability / piece.pixels, piece.area)


def _drawn(shape: Any, grid: Grid, ruler: Ruler, wanted: Tracing) -> Any:
    """Draw an outline in pixels with fewer corners, or with right angles, in metres where it lies."""
    import shapely

    middle = int((shape.bounds[1] + shape.bounds[3]) / 2)
    rows = Window(middle - middle % STRIP, 0, min(STRIP, grid.shape[0] - middle + middle % STRIP), grid.shape[1])
    matrix = np.array(ruler.frame(grid.window(rows)) or ((1.0, 0.0), (0.0, 1.0)))
    ground = shapely.transform(shape, lambda places: places @ matrix.T)
    pixel = float(np.sqrt(abs(np.linalg.det(matrix))))
    drawn = squared(ground, max(wanted.tolerance, STEPS * pixel)) if wanted.regularise else None
    if drawn is None:
        drawn = _valid(ground.simplify(wanted.tolerance)) if wanted.tolerance else ground
    back = np.linalg.inv(matrix)
    return shapely.transform(drawn, lambda places: places @ back.T)


def _valid(shape: Any) -> Any:
    """Return a shape whose outline may touch itself, e.g. around pixels that meet at corners, as a valid one."""
    import shapely

    if shape.is_valid:
        return shape
    return only_areas(shapely.make_valid(shape, method="structure", keep_collapsed=False))


def write_features(path: Path, features: Sequence[Feature], crs: str, kind: str) -> None:
    """Write polygons with class, value, mean probability and area; the file is whole, or absent.

    Args:
        path: final name.
        features: to be written, perhaps none.
        crs: coordinate system as well-known text; empty: none.
        kind: a name of FORMATS.

    Raises:
        InputError: unknown format, or GeoJSON without a coordinate system.
        StorageError: disk full or no permission.
    """
    import shapely
    from pyogrio import read_info, set_gdal_config_options
    from pyogrio.errors import DataSourceError
    from pyogrio.raw import write

    check_format(kind, crs, path)
    driver, suffix, options = FORMATS[kind]
    area = "area_m2" if crs else "area_px"
    fields = ["class", "value", "probability", area]
    data = [
        np.array([one.name for one in features], object),
        np.array([one.value for one in features], np.int32),
        np.round([one.probability for one in features], 4).astype(np.float64),
        np.round([one.area for one in features], 3).astype(np.float64),
    ]
    shapes = np.array([_multi(one.shape) for one in features], object)
    geometry = shapely.to_wkb(shapes) if len(features) else np.array([], object)

    def verify(written: Path) -> None:
        if read_info(written)["features"] != len(features):
            raise OSError("reads back with another number of features")

    with atomic_path(path) as temporary:
        drawn = temporary.with_name(f".{path.stem}.{os.getpid()}{suffix}")
        set_gdal_config_options({"OGR_CURRENT_DATE": "2000-01-01T00:00:00Z"})  # equal polygons give equal bytes
        try:
            known: dict[str, Any] = {"driver": driver, "geometry_type": "MultiPolygon", "crs": crs or None}
            with warnings.catch_warnings():
                warnings.filterwarnings("ignore", "'crs' was not provided", UserWarning)
                write(drawn, geometry, data, fields, layer=path.stem, layer_options=options, **known)
            verify(drawn)
            drawn.replace(temporary)
        except DataSourceError as error:
            raise OSError(str(error)) from error
        finally:
            set_gdal_config_options({"OGR_CURRENT_DATE": None})
            with suppress(OSError):
                for left in temporary.parent.glob(f"{drawn.name}*"):
                    left.unlink(missing_ok=True)


def check_format(kind: str, crs: str, where: Path) -> None:
    """Refuse a format that is unknown, or that cannot hold a raster's coordinates.

    Raises:
        InputError: as said.
    """
    if kind not in FORMATS:
        raise unknown("format of polygons", kind, FORMATS, "--polygons")
    if kind == "geojson" and not crs:
        what = "has no coordinate system, and GeoJSON knows longitude and latitude alone"
        raise InputError(what, where=where, fix="use --polygons gpkg")


def rows_of(classes: Path, probability: Path, band: int | None = None) -> Read:
    """Return what reads the rasters that write_geotiff wrote.

    Args:
        classes: class ids, or planes of 0 and 1.
        probability: a band for each plane.
        band: for planes, which one, from 0; None: class ids.
    """

    def read(row: int, count: int) -> tuple[NDArray[np.uint8], NDArray[np.float32]]:
        import rasterio
        from rasterio.windows import Window as Part

        with rasterio.open(classes, driver="GTiff") as one, rasterio.open(probability, driver="GTiff") as other:
            part = Part(0, row, one.width, count)
            values = one.read((band or 0) + 1, window=part)
            scale = np.float32(other.scales[0])
            if band is not None or other.count == 1:
                return values, other.read((band or 0) + 1, window=part) * scale
            chosen = np.zeros(values.shape, np.float32)
            for plane in range(other.count):
                here = values == plane
                if here.any():
                    chosen[here] = other.read(plane + 1, window=part)[here] * scale
            return values, chosen

    return read


def _multi(shape: Any) -> Any:
    import shapely

    return shape if shape.geom_type == "MultiPolygon" else shapely.MultiPolygon([shape])


FORMATS: Mapping[str, tuple[str, str, dict[str, str]]] = {
    "fgb": ("FlatGeobuf", ".fgb", {}),
    "geojson": ("GeoJSON", ".geojson", {"RFC7946": "YES"}),
    "gpkg": ("GPKG", ".gpkg", {}),
}
"""Name -> GDAL's driver, suffix, and its options for a layer."""


def features_of(
    grid: Grid, files: tuple[Path, Path], planes: Sequence[str], ruler: Ruler, wanted: Tracing
) -> Iterator[Feature]:
    """Give the polygons of a class raster.

    Args:
        grid: of the raster.
        files: its classes and its probabilities.
        planes: names of planes that may overlap, for a multilabel task; empty: class ids.
        ruler: see trace.
        wanted: see trace; for planes the classes are ignored.
    """
    if not planes:
        yield from trace(grid, rows_of(*files), ruler, wanted)
    for plane, name in enumerate(planes):
        alone = replace(wanted, classes={1: name})
        for one in trace(grid, rows_of(*files, band=plane), ruler, alone):
            one.value = plane
            yield one
