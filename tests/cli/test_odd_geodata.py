"""Hostile and odd rasters and labels, row by row: handled by the rule of docs/explain/odd-geodata.md, or refused in one
line with the exact message."""

import json
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pyogrio
import pytest
import rasterio
import shapely
from rasterio.control import GroundControlPoint
from rasterio.errors import NotGeoreferencedWarning
from rasterio.transform import Affine
from rasterio.warp import transform as reproject

UTM = "EPSG:32645"
EAST, NORTH, SIDE = 300_000.0, 3_060_000.0, 64
PLACE = Affine(0.5, 0, EAST, 0, -0.5, NORTH)


def write(path: Path, transform: Affine | None = PLACE, crs: str | None = UTM, side: int = SIDE, **more) -> Path:
    """Write a scene with a bright block in its middle; cut: bytes of it that are kept; spoilt: a tile of it is."""
    cut, spoilt = more.pop("cut", None), more.pop("spoilt", False)
    pixels = np.random.default_rng(0).integers(1, 90, (3, side, side), np.uint8)
    pixels[:, side // 4 : side // 2, side // 4 : side // 2] += 120
    if more.get("nodata") == 0:
        pixels[:] = 0
    known = {"count": 3, "height": side, "width": side, "dtype": "uint8", "crs": crs, "transform": transform}
    if side > 16:
        known |= {"tiled": True, "blockxsize": 16, "blockysize": 16, "compress": "deflate"}
    path.parent.mkdir(parents=True, exist_ok=True)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", NotGeoreferencedWarning)
        with rasterio.open(path, "w", driver="GTiff", **{**known, **more}) as file:
            file.write(pixels)
    data = path.read_bytes()
    if cut:
        path.write_bytes(data[: round(len(data) * cut)])
    if spoilt:
        middle = len(data) // 2
        path.write_bytes(data[:middle] + b"\xff" * 300 + data[middle + 300 :])
    return path


def vrt(path: Path) -> None:
    path.write_text("<VRTDataset rasterXSize='9' rasterYSize='9'></VRTDataset>", encoding="utf-8")


def points(path: Path) -> None:
    corners = ((0, 0), (0, SIDE), (SIDE, 0))
    gcps = [GroundControlPoint(row, col, EAST + col / 2, NORTH - row / 2) for row, col in corners]
    write(path, Affine.identity(), gcps=gcps)


class Raster(NamedTuple):
    """One odd raster."""

    write: Callable[[Path], object]
    said: str = ""
    """What predict says of it, after its path; empty: it is answered on its own grid."""


LOST = "between rows 24 and 56, columns 0 and 32 ({name}.tif, band 1: IReadBlock failed at X offset {x}, Y offset 2: "
RASTERS = {
    "vrt": Raster(vrt, "is a GDAL VRT, which may point at any file and is never opened; give the GeoTIFF it points at"),
    "truncated": Raster(lambda path: write(path, cut=0.6), f"is damaged {LOST.format(name='truncated', x=1)}"),
    "damaged": Raster(lambda path: write(path, spoilt=True), f"is damaged {LOST.format(name='damaged', x=0)}"),
    "no_crs": Raster(lambda path: write(path, None, None)),
    "turned": Raster(lambda path: write(path, Affine(0.4, 0.3, EAST, 0.3, -0.4, NORTH))),
    "south_up": Raster(lambda path: write(path, Affine(0.5, 0, EAST, 0, 0.5, NORTH - 32))),
    "points_alone": Raster(points, "is placed by ground control points alone; warp it, e.g. with rio warp or gdalwarp"),
    "oblong": Raster(lambda path: write(path, Affine(1.5, 0, EAST, 0, -0.5, NORTH))),
    "antimeridian": Raster(lambda path: write(path, Affine(0.001, 0, 179.968, 0, -0.001, -16), "EPSG:4326")),
    "one_pixel": Raster(lambda path: write(path, side=1)),
    "all_nodata": Raster(lambda path: write(path, nodata=0)),
    "no_inverse": Raster(
        lambda path: write(path, Affine(0.5, 0.5, EAST, 0.5, 0.5, NORTH)),
        "has the transform (0.5, 0.5, 300000, 0.5, 0.5, 3.06e+06), which has no inverse; mend it",
    ),
}


@pytest.fixture
def trained(cli, folder_set, write_recipe, tmp_path):
    """A run that answers to three bands of 8 bits."""
    folder_set["members"]["a"]["train"] |= {"epochs": 1, "steps_per_epoch": 1}
    code, _, err = cli("run", write_recipe(folder_set), "--until", "train")
    assert code == 0, err
    return tmp_path / "runs" / "tiny"


def test_odd_rasters_are_answered_on_their_own_grid_or_refused_in_one_line(cli, tmp_path, trained):
    for name, row in RASTERS.items():
        (tmp_path / "new").mkdir(exist_ok=True)
        row.write(tmp_path / "new" / f"{name}.tif")
    command = ("predict", trained, "--input", "new", "--output", "out", "--window", 32)
    code, _, err = cli(*command, "--polygons", "gpkg")
    told = [line for line in err.splitlines() if line.startswith("error: ")]
    refused = sorted(name for name, row in RASTERS.items() if row.said)
    assert (code, [line.split(":")[1].strip() for line in told]) == (2, [f"new/{name}.tif" for name in refused])
    for name, line in zip(refused, told, strict=True):
        assert line.startswith(f"error: new/{name}.tif: {RASTERS[name].said}")
        assert "; " in line
    made = sorted(path.name.removesuffix("_classes.tif") for path in (tmp_path / "out").glob("*_classes.tif"))
    assert made == sorted(RASTERS.keys() - refused)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", NotGeoreferencedWarning)
        for name in made:
            given, answered = tmp_path / "new" / f"{name}.tif", tmp_path / "out" / f"{name}_classes.tif"
            with rasterio.open(given) as one, rasterio.open(answered) as other:
                assert (one.transform, one.crs, one.shape) == (other.transform, other.crs, other.shape), name
                assert np.array_equal(other.read(1) == 255, one.dataset_mask() == 0), name
            _check_areas(tmp_path / "out" / f"{name}_polygons.gpkg", tmp_path / "out" / f"{name}_classes.tif", name)
    assert not list((tmp_path / "out").glob("*.partial"))


AREAS = {"turned": 0.25, "south_up": 0.25, "oblong": 0.75, "no_crs": 1.0, "one_pixel": 0.25}
"""Raster -> ground of a pixel in square metres (without coordinates: in pixels)."""


def _check_areas(polygons: Path, classes: Path, name: str) -> None:
    """Polygons are valid, cover what the classes say, and know their area on the ground."""
    meta, _, geometry, columns = pyogrio.raw.read(polygons)
    shapes = shapely.from_wkb(geometry)
    assert shapely.is_valid(shapes).all(), name
    with rasterio.open(classes) as file:
        pixels = (file.read(1) == 1).sum()
    told = float(np.sum(columns[list(meta["fields"]).index("area_px" if name == "no_crs" else "area_m2")]))
    assert told == pytest.approx(pixels * AREAS.get(name, told / max(pixels, 1)), rel=2e-3), name


def test_a_raster_of_30_gb_is_opened_and_read_where_it_is_asked(tmp_path):
    from maskwright.core.grid import Window
    from maskwright.data.pixels.windows import opened_windows

    side, path = 100_000, tmp_path / "huge.tif"
    profile = {"count": 3, "height": side, "width": side, "dtype": "uint8", "crs": UTM, "transform": PLACE, "nodata": 0}
    tiles = {"tiled": True, "blockxsize": 512, "blockysize": 512, "sparse_ok": True, "bigtiff": "YES"}
    with rasterio.open(path, "w", driver="GTiff", compress="deflate", **profile, **tiles) as file:
        file.write(np.full((3, 512, 512), 9, np.uint8), window=((51_200, 51_712), (51_200, 51_712)))
    with opened_windows(path, 10**6) as raster:
        assert raster.shape == (side, side)
        assert raster.read(Window(51_700, 51_700, 24, 24))[1].sum() == 12 * 12
        assert not raster.read(Window(99_000, 99_000, 1000, 1000))[1].any()


def box(left: float, top: float, right: float, bottom: float) -> list[list[float]]:
    """Return a closed ring around pixels of a scene at PLACE."""
    x, y = (EAST + left / 2, EAST + right / 2), (NORTH - top / 2, NORTH - bottom / 2)
    return [[x[0], y[0]], [x[1], y[0]], [x[1], y[1]], [x[0], y[1]], [x[0], y[0]]]


def degrees(ring: list[list[float]]) -> list[list[float]]:
    lon, lat = reproject(UTM, "EPSG:4326", *np.array(ring).T)
    return np.stack([lon, lat], 1).tolist()


def geojson(rings: list, crs: str | None = UTM, kind: str = "Polygon") -> str:
    geometry = [{"type": kind, "coordinates": [ring] if kind == "Polygon" else ring} for ring in rings]
    features = [{"type": "Feature", "properties": {}, "geometry": one} for one in geometry]
    plain: dict = {"type": "FeatureCollection", "features": features}
    if crs is not None:
        plain["crs"] = {"type": "name", "properties": {"name": crs}}
    return json.dumps(plain)


ROOF = box(16, 16, 32, 32)


class Labels(NamedTuple):
    """One odd file of labels, beside a plain scene."""

    text: str
    said: str
    """The fault, note or suspicion that names the file, after its name; empty: nothing is said of it."""
    pixels: int = 0
    """Of the label where it is accepted; 0: refused."""
    more: str = ""
    """Further settings of the source."""


BOW_TIE = [ROOF[0], ROOF[2], ROOF[1], ROOF[3], ROOF[0]]
TURNED = [at[::-1] for at in degrees(ROOF)]
SCENES = "scenes at (84.97265, 27.64904) to (84.97298, 27.64933) (longitude, latitude)"
POINT = '"features": [{"type": "Feature", "geometry": {"type": "Point", "coordinates": [300001, 3059999]}}, '
INFINITE = "1 features have coordinates that are no finite numbers: number 1; mend or delete them"
LABELS = {
    "right": Labels(geojson([ROOF]), "", 256),
    "degrees": Labels(geojson([degrees(ROOF)], None), "", 256),
    "metres for degrees": Labels(
        geojson([ROOF], None),
        "coordinates go from (300008, 3.05998e+06) to (300016, 3.05999e+06), which are no degrees; "
        "set label_crs to their system (GeoJSON means EPSG:4326)",
    ),
    "swapped axes": Labels(
        geojson([TURNED], None),
        "no polygon lies on a scene: polygons are at (27.64918, 84.97273) to (27.64926, 84.97281), "
        f"{SCENES}; with x and y exchanged they do: set swap_axes: true",
    ),
    "swapped axes, told": Labels(geojson([TURNED], None), "", 256, "swap_axes: true"),
    "wrong system": Labels(
        geojson([ROOF], "EPSG:32644"),
        "no polygon lies on a scene: polygons are at (78.97273, 27.64918) to (78.97281, 27.64926), "
        f"{SCENES}; taken for EPSG:32645 they do: set label_crs: EPSG:32645",
    ),
    "wrong system, told": Labels(
        geojson([ROOF], "EPSG:32644"),
        "says EPSG:32644, and is taken for EPSG:32645 as label_crs says",
        256,
        f"label_crs: {UTM}",
    ),
    "elsewhere": Labels(
        geojson([[[x + 5000, y] for x, y in ROOF]]),
        "no polygon lies on a scene: polygons are at (85.02339, 27.64992) to (85.02347, 27.64999), "
        f"{SCENES}; check that labels and imagery are of one place",
    ),
    "bow-tie": Labels(geojson([BOW_TIE]), "one feature that cross themselves or repeat a line and are repaired", 128),
    "unclosed": Labels(geojson([ROOF[:4]]), "1 rings that do not end where they begin are closed", 256),
    "points": Labels(geojson([ROOF[0]], kind="Point"), "1 of 1 features are Point, which have no area; give polygons"),
    "points beside polygons": Labels(
        geojson([ROOF]).replace('"features": [', POINT),
        "1 of 2 features are Point, which have no area; they are passed over",
        256,
    ),
    "NaN at the start of a ring": Labels(geojson([[[float("nan"), 1.0], *ROOF[1:]], ROOF]), INFINITE),
    "NaN within a ring": Labels(geojson([[ROOF[0], [1.0, float("nan")], *ROOF[2:]], ROOF]), INFINITE),
    "infinite": Labels(geojson([[[1e999, 1.0], *ROOF[1:]], ROOF]), INFINITE),
    "text for a number": Labels(
        geojson([[["300000", 1.0], *ROOF[1:]], ROOF]),
        "features that cannot be drawn: number 1 has a coordinate that is no number; mend or delete them",
    ),
    "nothing": Labels(geojson([]), "holds no polygon; give polygons"),
    "another format": Labels("<gml/>", "is no GeoJSON, GPKG or FlatGeobuf (it begins with <gml/>); convert it"),
    "cut off": Labels(
        geojson([ROOF])[:-9], "no valid JSON (Unterminated string starting at, column 298); mend the line"
    ),
}


@pytest.mark.parametrize("name", LABELS)
def test_odd_labels_are_taken_by_the_rule_or_refused_in_one_line(cli, tmp_path, name):
    row = LABELS[name]
    write(tmp_path / "set" / "images" / "town.tif")
    (tmp_path / "set" / "labels.geojson").write_text(row.text, encoding="utf-8")
    more = f", {row.more}" if row.more else ""
    (tmp_path / "r.yaml").write_text(
        "name: odd\ntask: {kind: binary, classes: [roof]}\n"
        f"data: {{root: set, train: {{format: scenes, images: images, labels: labels.geojson, chip: 32{more}}}}}\n"
    )
    code, out, err = cli("inspect", "r.yaml")
    kinds = ("note", "suspicion") if row.pixels else ("fault",)
    lines = [line for line in (out + err).splitlines() if "labels.geojson" in line and line.startswith(kinds)]
    assert code == (0 if row.pixels else 2), err
    said = [line.partition("labels.geojson")[2].removeprefix(":1").removeprefix(": ") for line in lines]
    assert said == ([row.said] if row.said else []), lines
    assert "error: a bug" not in err
    if row.pixels:
        told = json.loads((tmp_path / "runs" / "odd" / "fingerprint.json").read_text())
        assert abs(sum(item["pixels"][1] for item in told["items"]) - row.pixels) <= 16
