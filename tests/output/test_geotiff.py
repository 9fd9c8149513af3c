"""Cloud-optimised GeoTIFF: pixels, place and meaning as given, and never half a file."""

import errno
import warnings

import numpy as np
import pytest
import rasterio
import rasterio.shutil
from rasterio.errors import NotGeoreferencedWarning

from maskwright.core.errors import StorageError
from maskwright.core.grid import Grid
from maskwright.output import geotiff
from maskwright.output.geotiff import Layer, write_geotiff

UTM = rasterio.CRS.from_epsg(32645).to_wkt()
NORTH_UP, TURNED, SOUTH_UP = (
    (0.3, 0.0, 3e5, 0.0, -0.3, 3e6),
    (0.3, 0.1, 3e5, 0.1, -0.3, 3e6),
    (0.25, 0.0, 179.9, 0.0, 0.25, -40.0),
)
LOCAL = 'LOCAL_CS["plant",UNIT["metre",1,AUTHORITY["EPSG","9001"]],AXIS["Easting",EAST],AXIS["Northing",NORTH]]'


def rows_of(array, step):
    return lambda band: (array[band, row : row + step] for row in range(0, array.shape[1], step))


@pytest.mark.parametrize(
    ("crs", "affine"), [(UTM, NORTH_UP), (UTM, TURNED), ("EPSG:4326", SOUTH_UP), (LOCAL, NORTH_UP)]
)
@pytest.mark.parametrize("shape", [(1, 1), (1, 700), (600, 33)])
def test_pixels_place_and_names_come_back(tmp_path, crs, affine, shape):
    pixels = np.random.default_rng(0).integers(0, 256, (2, *shape)).astype(np.uint8)
    layer = Layer(Grid(crs, affine, shape), ("roof", "road"), 255, {"A": "b"}, scale=1 / 254)
    write_geotiff(tmp_path / "p.tif", layer, rows_of(pixels, 77))
    with rasterio.open(tmp_path / "p.tif") as file:
        assert np.array_equal(file.read(), pixels)
        assert tuple(file.transform)[:6] == affine
        assert file.crs == rasterio.CRS.from_user_input(crs)
        assert file.nodata == 255
        assert file.descriptions == ("roof", "road")
        assert file.scales == (1 / 254, 1 / 254)
        assert file.tags()["A"] == "b"
        assert file.tags(ns="IMAGE_STRUCTURE")["LAYOUT"] == "COG"
        assert file.profile["compress"] == "deflate"
        assert bool(file.overviews(1)) == (max(shape) > 512)
    assert [path.name for path in tmp_path.iterdir()] == ["p.tif"]


def test_classes_have_a_palette_and_names_and_no_place_stays_no_place(tmp_path):
    pixels = np.array([[[0, 1, 2, 255]]], np.uint8)
    palette = {0: (0, 0, 0), 1: (200, 10, 20), 2: (0, 90, 255)}
    names = ("water", "ice & snow", "rock")
    layer = Layer(Grid("", (1, 0, 0, 0, 1, 0), (1, 4)), ("class",), 255, palette=palette, value_names=names)
    write_geotiff(tmp_path / "c.tif", layer, rows_of(pixels, 1))
    warnings.simplefilter("ignore", NotGeoreferencedWarning)  # pytest puts the filters back
    with rasterio.open(tmp_path / "c.tif") as file:
        colours = file.colormap(1)
        assert {value: colours[value][:3] for value in palette} == palette
        assert file.crs is None
        assert file.transform.is_identity
        assert [file.tags(1)[f"CLASS_{value}"] for value in palette] == list(names)
        assert np.array_equal(file.read(), pixels)
    assert "<Category>ice &amp; snow</Category>" in (tmp_path / "c.tif.aux.xml").read_text()


def test_equal_pixels_give_equal_bytes(tmp_path):
    pixels = np.random.default_rng(1).integers(0, 3, (1, 1100, 600)).astype(np.uint8)
    layer = Layer(Grid(UTM, NORTH_UP, (1100, 600)), ("class",), 255, overviews="mode")
    for name, step in (("a", 100), ("b", 1100)):
        write_geotiff(tmp_path / f"{name}.tif", layer, rows_of(pixels, step))
    assert (tmp_path / "a.tif").read_bytes() == (tmp_path / "b.tif").read_bytes()


def _full(*_arguments, **_options):
    raise OSError(errno.ENOSPC, "No space left on device")


@pytest.mark.parametrize("moment", ["plain", "cog", "read back"])
def test_a_fault_while_writing_names_path_and_free_space_and_leaves_the_old_file(tmp_path, monkeypatch, moment):
    pixels = np.zeros((1, 20, 20), np.uint8)
    layer = Layer(Grid(UTM, NORTH_UP, (20, 20)), ("class",), 255)
    (tmp_path / "c.tif").write_bytes(b"old")
    if moment == "plain":
        monkeypatch.setattr(rasterio.io.DatasetWriter, "write", _full)
    elif moment == "cog":
        monkeypatch.setattr(rasterio.shutil, "copy", _full)
    else:
        given = iter([[0]])  # as if blocks had not reached the disk
        monkeypatch.setattr(geotiff, "_sums", lambda path: next(given))
    with pytest.raises(StorageError, match=r"c\.tif: .* \(\d+\.\d MiB free") as caught:
        write_geotiff(tmp_path / "c.tif", layer, rows_of(pixels, 20))
    assert caught.value.exit_code == 4
    assert [path.name for path in tmp_path.iterdir()] == ["c.tif"]
    assert (tmp_path / "c.tif").read_bytes() == b"old"
