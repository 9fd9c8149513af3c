"""Scenes by row bands: the same numbers as in memory, in bounded memory, whatever kills the process."""

import signal
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import scene_helpers as helpers
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from conftest import PREPROCESS
from maskwright.core.errors import InputError, Interrupted
from maskwright.core.grid import Lattice
from maskwright.core.recipe.members import Predict
from maskwright.core.stop import Stop
from maskwright.data.pixels import geotiff
from maskwright.data.pixels.windows import opened_windows
from maskwright.inference.forward import Forward, Machine
from maskwright.inference.predict import predict_image
from maskwright.inference.row_bands import RowBands
from maskwright.inference.scene import first_row
from maskwright.inference.tiles import Accumulator, seam_weights

SIDES = st.integers(1, 70)
WINDOWS = st.tuples(st.integers(8, 40), st.integers(8, 40))
OVERLAPS = st.sampled_from([0, 0.1, 0.25, 0.5, 0.7, 0.9])


def picture(height, width, seed=0):
    return np.random.default_rng(seed).integers(1, 255, (height, width, 3)).astype(np.uint8)


@given(height=SIDES, width=SIDES, size=WINDOWS, overlap=OVERLAPS, data=st.data())
def test_bands_add_up_to_the_same_floats_as_all_in_memory_and_tile_the_raster(height, width, size, overlap, data):
    lattice = Lattice.over((height, width), size, overlap)
    rng = np.random.default_rng(height * 71 + width)
    weights = seam_weights("hann", size)
    total, seen = Accumulator((height, width), 2), np.full((2, height, width), np.nan, np.float32)
    bands = RowBands(lattice, 2, weights)
    start = first_row(lattice, data.draw(st.integers(0, len(lattice.rows) - 1)))
    for row in range(len(lattice.rows)):
        for col in range(len(lattice.cols)):
            answer = rng.random((2, *size), np.float32)
            total.add(lattice.window(row, col), answer, weights)
            if row >= start:
                done = bands.add(row, col, answer)
                assert np.isnan(seen[(slice(None), *done.window.slices)]).all()
                seen[(slice(None), *done.window.slices)] = done.mean
    expected = total.result()
    top = lattice.rows[start] if start == 0 else lattice.rows[start - 1] + size[0]
    assert np.array_equal(seen[:, top:], expected[:, top:])  # also where work began again further down


@settings(max_examples=12, suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow])
@given(
    height=SIDES, width=SIDES, size=WINDOWS, overlap=OVERLAPS, tta=st.sampled_from([(), ("hflip",), ("rot90", "vflip")])
)
def test_streamed_is_what_memory_gives(tmp_path_factory, make_model, tasks, height, width, size, overlap, tta):
    folder = tmp_path_factory.mktemp("scene")
    pixels = picture(height, width)
    path = helpers.write_scene(folder / "s.tif", pixels)
    models = [make_model(2, seed) for seed in (0, 1)]
    predict = Predict(window=size, overlap=overlap, tta=tta, batch_size=3)
    expected = predict_image(models, PREPROCESS(pixels), predict, tasks["multilabel"], "cpu")
    forward, means = Forward(models, tasks["multilabel"], tta, Machine("cpu")), []

    class Model:
        def batch_size(self, shape):
            return 2

        def __call__(self, images, names):
            return forward(images[0], names)

    def label(mean):
        means.append(mean)
        return (mean >= 0.5).astype(np.uint8)

    scenery = helpers.scenery(Model(), 2, size=size, overlap=overlap)
    object.__setattr__(scenery, "label", label)
    found = helpers.predict(path, folder / "bands", scenery)
    lattice, seen = scenery.lattice((height, width)), np.zeros_like(expected)
    places = [(row, col) for row in range(len(lattice.rows)) for col in range(len(lattice.cols))]
    for place, mean in zip(places, means, strict=True):
        seen[(slice(None), *lattice.done(*place).slices)] = mean
    assert np.abs(seen - expected).max() <= 1e-6
    assert np.abs(found["probability"] / 254 - expected).max() <= 0.5 / 254 + 1e-6
    assert np.array_equal(found["classes"], seen >= 0.5)


def test_what_is_held_does_not_grow_with_the_height():
    def held(height, width):
        return RowBands(Lattice.over((height, width), (32, 32), 0.25), 3, seam_weights("hann", (32, 32))).held

    assert held(24 * 40 + 32, 500) == held(24 * 4000 + 32, 500)
    carried = 8 * 4 * (3 + 1)  # rows that two rows of windows share, float32, planes and weight
    assert held(10_016, 1000) - held(10_016, 500) == 500 * carried


def test_windows_without_data_are_not_predicted_and_read_as_no_data(tmp_path):
    valid = np.zeros((100, 100), bool)
    valid[:20, 60:] = True
    valid[50, 50] = True
    path = helpers.write_scene(tmp_path / "s.tif", picture(100, 100), mask=valid)
    model = helpers.Plain()
    found = helpers.predict(path, tmp_path / "bands", helpers.scenery(model))
    assert model.seen == 6 < 16
    for layer in found.values():
        assert np.array_equal(layer[0] == 255, ~valid)


def test_nothing_valid_needs_no_model(tmp_path):
    path = helpers.write_scene(tmp_path / "s.tif", picture(40, 50), mask=np.zeros((40, 50), bool))
    model = helpers.Plain()
    found = helpers.predict(path, tmp_path / "bands", helpers.scenery(model))
    assert model.seen == 0
    assert all((layer == 255).all() for layer in found.values())


def test_a_stop_keeps_finished_bands_and_the_next_run_redoes_one_row_of_windows(tmp_path):
    path, stop, model = helpers.write_scene(tmp_path / "s.tif", picture(130, 40)), Stop(), helpers.Plain()
    expected = helpers.predict(path, tmp_path / "twin", helpers.scenery(helpers.Plain()))

    def label(mean):
        stop.signal_number = signal.SIGTERM
        return (mean >= 0.5).astype(np.uint8)

    scenery = helpers.scenery(helpers.Plain())
    object.__setattr__(scenery, "label", label)
    with pytest.raises(Interrupted, match=r"row bands of s\.tif are finished"):
        helpers.predict(path, tmp_path / "bands", scenery, stop)
    done = len((tmp_path / "bands" / "journal.jsonl").read_text().splitlines()) - 1
    assert 1 <= done < 6
    found = helpers.predict(path, tmp_path / "bands", helpers.scenery(model))
    assert model.seen == 2 * (6 - done + 1)
    assert all(np.array_equal(found[layer], expected[layer]) for layer in expected)


@pytest.mark.parametrize("moment", ["part:9", "band:2"])
def test_killed_and_gone_on_gives_the_same_bytes(tmp_path, moment):
    path = helpers.write_scene(tmp_path / "s.tif", picture(130, 70))
    helpers.predict(path, tmp_path / "twin", helpers.scenery(helpers.Plain()))
    command = [sys.executable, str(Path(helpers.__file__)), str(path), str(tmp_path / "bands"), moment]
    assert subprocess.run(command, check=False, timeout=300).returncode == -signal.SIGKILL
    before = (tmp_path / "bands" / "journal.jsonl").read_bytes()
    assert before.count(b'"band"') == (1 if moment == "part:9" else 2)
    helpers.predict(path, tmp_path / "bands", helpers.scenery(helpers.Plain()))
    for name in ("journal.jsonl", "probability.bytes", "classes.bytes"):
        assert (tmp_path / "bands" / name).read_bytes() == (tmp_path / "twin" / name).read_bytes()


@pytest.mark.parametrize("harm", ["lost", "cut", "other settings"])
def test_bands_that_are_not_as_they_were_are_made_anew(tmp_path, harm):
    path = helpers.write_scene(tmp_path / "s.tif", picture(130, 40))
    expected = helpers.predict(path, tmp_path / "bands", helpers.scenery(helpers.Plain()))
    stored, journal = tmp_path / "bands" / "classes.bytes", tmp_path / "bands" / "journal.jsonl"
    if harm == "lost":
        stored.unlink()
    elif harm == "cut":
        stored.write_bytes(stored.read_bytes()[:-1])
    else:
        journal.write_bytes(journal.read_bytes().replace(b'"a":1', b'"a":2'))
    model = helpers.Plain()
    found = helpers.predict(path, tmp_path / "bands", helpers.scenery(model))
    assert model.seen == 12
    assert all(np.array_equal(found[layer], expected[layer]) for layer in expected)


def test_a_damaged_tile_is_named_by_its_place(tmp_path):
    path = helpers.write_scene(tmp_path / "s.tif", picture(64, 64))
    whole = bytearray(path.read_bytes())
    whole[len(whole) // 2 : len(whole) // 2 + 400] = b"\xff" * 400
    path.write_bytes(whole)
    with pytest.raises(InputError, match=r"s\.tif: is damaged between rows \d+ and \d+, columns \d+ and \d+ "):
        helpers.predict(path, tmp_path / "bands", helpers.scenery(helpers.Plain()))


def test_other_bands_than_those_of_the_training_are_refused(tmp_path):
    path = helpers.write_scene(tmp_path / "s.tif", picture(40, 40)[:, :, :2])
    with pytest.raises(InputError, match=r"s\.tif: has 2 bands, the model was made for 3"):
        helpers.predict(path, tmp_path / "bands", helpers.scenery(helpers.Plain()))


def test_a_picture_is_read_like_a_scene(tmp_path):
    from PIL import Image

    pixels = picture(50, 45)
    Image.fromarray(pixels).save(tmp_path / "s.png")
    helpers.write_scene(tmp_path / "s.tif", pixels)
    with opened_windows(tmp_path / "s.png", 10**6) as raster:
        assert (raster.grid.crs, raster.grid.affine) == ("", (1, 0, 0, 0, 1, 0))
    one, two = (
        helpers.predict(tmp_path / f"s.{suffix}", tmp_path / suffix, helpers.scenery(helpers.Plain()))
        for suffix in ("png", "tif")
    )
    assert np.array_equal(one["probability"], two["probability"])


def test_a_stretch_over_scenes_takes_the_levels_of_the_raster_for_all_its_windows(tmp_path):
    from maskwright.core.recipe.blocks import Stretch
    from maskwright.data.preprocess import Preprocess

    pixels = picture(90, 70)
    pixels[:, 35:] //= 3  # levels of a window alone would bring both sides to the same
    path = helpers.write_scene(tmp_path / "s.tif", pixels)
    ready = Preprocess((0, 1, 2), 255.0, (0.5,) * 3, (0.25,) * 3, stretch=Stretch(over="scene"))
    given = helpers.scenery(helpers.Plain())
    object.__setattr__(given, "preprocesses", (ready,))
    found = helpers.predict(path, tmp_path / "bands", given)
    object.__setattr__(given, "preprocesses", (ready.of_scene(path),))
    expected = helpers.predict(path, tmp_path / "again", given)
    assert np.array_equal(found["probability"], expected["probability"])
    assert found["probability"][0, :, :30].mean() > found["probability"][0, :, 40:].mean() + 20


@pytest.mark.parametrize("nodata", [0, 7, None])
def test_blocks_that_a_file_does_not_hold_are_no_data_where_it_says_so_and_are_not_read(tmp_path, nodata, monkeypatch):
    import rasterio
    from rasterio.windows import Window

    path = tmp_path / "s.tif"
    profile = {"driver": "GTiff", "height": 70, "width": 90, "count": 3, "dtype": "uint8", "nodata": nodata}
    profile |= {"tiled": True, "blockxsize": 16, "blockysize": 16, "sparse_ok": True, "crs": "EPSG:32645"}
    with rasterio.open(path, "w", transform=rasterio.Affine(2, 0, 0, 0, -2, 0), **profile) as file:
        file.write(np.full((3, 16, 16), 200, np.uint8), window=Window(32, 16, 16, 16))
    read, seen = geotiff.image, []
    monkeypatch.setattr(geotiff, "image", lambda *given, **more: seen.append(1) or read(*given, **more))
    with opened_windows(path, 10**6) as raster:
        lattice = Lattice.over((70, 90), (24, 24), 0.25)
        for window in (lattice.window(row, col) for row in range(4) for col in range(5)):
            with rasterio.open(path) as file:
                area = Window(window.col, window.row, window.width, window.height)
                expected, valid = np.moveaxis(file.read(window=area), 0, -1), file.dataset_mask(window=area) > 0
            found, known = raster.read(window)
            assert np.array_equal(known, valid)
            assert np.array_equal(found[known], expected[known])
            assert (found.dtype, found.shape) == (np.uint8, (24, 24, 3))
    assert len(seen) == (20 if nodata is None else 4)
