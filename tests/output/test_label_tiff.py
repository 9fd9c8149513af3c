"""Labels as GeoTIFF: values and place come back bit for bit."""

import numpy as np
import pytest
import rasterio

from maskwright.core.grid import Grid
from maskwright.output.tiles import write_label_tiff

TURNED = (0.3, 0.01, 300_000.123456789, 0.02, -0.31, 3_060_000.5)


@pytest.mark.parametrize("shape", [(1, 1), (17, 300), (300, 260)])
@pytest.mark.parametrize("crs", ["EPSG:32645", ""])
def test_what_is_read_is_what_was_written(tmp_path, shape, crs):
    label = np.random.default_rng(0).integers(0, 256, shape, np.uint8)
    write_label_tiff(tmp_path / "a.tif", label, Grid(crs, TURNED, shape))
    with rasterio.open(tmp_path / "a.tif") as file:
        assert (file.count, file.dtypes, file.nodata) == (1, ("uint8",), None)
        assert tuple(file.transform)[:6] == TURNED
        assert file.crs == (rasterio.CRS.from_string(crs) if crs else None)
        np.testing.assert_array_equal(file.read(1), label)


@pytest.mark.filterwarnings("ignore::rasterio.errors.NotGeoreferencedWarning")
def test_a_label_without_a_place_has_none(tmp_path):
    write_label_tiff(tmp_path / "a.tif", np.ones((4, 4), np.uint8), None)
    with rasterio.open(tmp_path / "a.tif") as file:
        assert file.crs is None
        assert file.transform.is_identity
