"""Distances and areas on the ground, anywhere on Earth."""

import numpy as np
import pytest
from geo import EAST, NORTH, UTM, affine

from maskwright.core.errors import InputError
from maskwright.core.grid import Grid, Window
from maskwright.data.ground import (
    Ground,
    Near,
    area,
    check_system,
    ground_of,
    in_degrees,
    metres_a_pixel,
    pixel_areas,
    pixel_in_metres,
    plots,
    same_system,
    shared_area,
)


def chips(crs=UTM, size=1.0, shape=(400, 400)):
    grid = Grid(crs, (size, 0.0, EAST, 0.0, -size, NORTH), shape)
    return {
        f"{row}_{col}": ground_of(grid.window(Window(row, col, 100, 100)), "s")
        for row in (0, 100, 250)
        for col in (0, 100, 250)
    }


def test_areas_are_those_of_the_map_but_for_its_scale() -> None:
    known = plots(chips())
    assert area([known["0_0"]]) == pytest.approx(10_000, rel=1e-3)
    assert area(list(known.values())) == pytest.approx(90_000, rel=1e-3)
    assert shared_area([known["0_0"]], [known["0_0"], known["0_100"]]) == pytest.approx(10_000, rel=1e-3)
    assert shared_area([known["0_0"]], [known["0_100"]]) < 0.01  # they touch


def test_neighbours_share_no_ground_and_lie_within_a_buffer() -> None:
    near = Near(plots(chips()))
    assert near.within(["0_0"], 0) == {"0_0"}
    assert near.within(["0_0"], 10) == {"0_0", "0_100", "100_0", "100_100"}
    assert near.within(["100_100"], 49) == {"0_0", "0_100", "100_0", "100_100"}
    assert near.within(["100_100"], 51) == {"0_0", "0_100", "100_0", "100_100", "100_250", "250_100", "0_250", "250_0"}
    assert near.pairs() == []


def test_overlapping_items_are_pairs() -> None:
    grid = Grid(UTM, tuple(affine())[:6], (64, 64))
    known = {
        name: ground_of(grid.window(Window(row, 0, 32, 32)), "s") for name, row in (("a", 0), ("b", 30), ("c", 32))
    }
    assert Near(plots(known)).pairs() == [("a", "b"), ("b", "c")]


@pytest.mark.parametrize("lon", [-180.0, 179.9999, 0.0, 85.5])
def test_neighbours_are_found_across_the_antimeridian(lon: float) -> None:
    step = 0.001
    turn = lambda x: (x + 180) % 360 - 180  # noqa: E731

    def ground(left: float) -> Ground:
        right = left + step
        return Ground("", (turn(left), step, turn(right), step, turn(right), 0.0, turn(left), 0.0))

    near = Near(plots({"west": ground(lon - step), "east": ground(lon), "far": ground(lon + 3 * step)}))
    assert near.within(["west"], 1) == {"west", "east"}
    assert near.within(["west"], 340) == {"west", "east", "far"}  # 3 x 111.3 m - 111.3 m lie between


def test_places_far_apart_have_planes_of_their_own() -> None:
    found = plots({name: Ground("", (x, 1, x + 0.01, 1, x + 0.01, 0.99, x, 0.99)) for name, x in (("a", 0), ("b", 50))})
    assert found["a"].plane != found["b"].plane
    for plot in found.values():
        assert area([plot]) == pytest.approx(1113.2 * 1105.7, rel=2e-3)


def test_scenes_without_coordinates_have_a_plane_each() -> None:
    grid = Grid("", (1.0, 0.0, 0.0, 0.0, 1.0, 0.0), (10, 10))
    near = Near(plots({name: ground_of(grid, name[0]) for name in ("a1", "a2", "b1")}))
    assert near.within(["a1"], 5) == {"a1", "a2"}


@pytest.mark.parametrize(("crs", "size"), [(UTM, 0.5), ("EPSG:3857", 0.5 / np.cos(np.radians(26.5)))])
def test_a_pixel_is_measured_on_the_ground(crs: str, size: float) -> None:
    y = NORTH if crs == UTM else 3_064_000.0
    tall, wide = metres_a_pixel(Grid(crs, (size, 0.0, EAST, 0.0, -size, y), (64, 64)))
    assert tall == pytest.approx(0.5, rel=5e-3)
    assert wide == pytest.approx(0.5, rel=5e-3)


def test_systems_are_compared_by_meaning() -> None:
    assert same_system("EPSG:4326", "urn:ogc:def:crs:OGC:1.3:CRS84")
    assert not same_system("EPSG:4326", UTM)
    assert not same_system("", UTM)
    assert in_degrees("OGC:CRS84")
    assert check_system("+proj=utm +zone=45 +datum=WGS84", "here")
    with pytest.raises(InputError) as caught:
        check_system("EPSG:99999999", "data.crs")
    assert str(caught.value) == (
        "data.crs: 'EPSG:99999999' is no coordinate system; name it as EPSG:32645, or by its well-known text"
    )


def test_pixels_are_measured_row_by_row_on_the_ellipsoid() -> None:
    """The surface of WGS84 is 510,065,622 km2; a degree at the equator is 12,309 km2."""
    world = Grid("EPSG:4326", (1.0, 0.0, -180.0, 0.0, -1.0, 90.0), (180, 360))
    areas = pixel_areas(world)
    assert 360 * areas.sum() / 1e6 == pytest.approx(510_065_622, rel=1e-4)
    assert areas[89] / 1e6 == pytest.approx(12_308.8, rel=1e-4)
    wrapped = pixel_areas(
        Grid("EPSG:4326", (1.0, 0.0, 0.0, 0.0, -1.0, 90.0), (180, 360))
    )  # its middle is where 180 is -180
    np.testing.assert_allclose(wrapped, areas, rtol=1e-6)
    flipped = pixel_areas(Grid("EPSG:4326", (1.0, 0.0, -180.0, 0.0, 1.0, -90.0), (180, 360)))
    np.testing.assert_allclose(flipped, areas, rtol=1e-9)
    assert pixel_areas(Grid("", (1.0, 0.0, 0.0, 0.0, 1.0, 0.0), (3, 3))) is None


def test_a_sheared_pixel_has_the_area_and_the_directions_of_its_parallelogram() -> None:
    grid = Grid(UTM, (0.5, 0.2, EAST, 0.1, -0.8, NORTH), (50, 40))
    np.testing.assert_allclose(pixel_areas(grid), 0.42, rtol=1e-3)
    matrix = np.array(pixel_in_metres(grid))
    assert abs(np.linalg.det(matrix)) == pytest.approx(0.42, rel=1e-3)
    np.testing.assert_allclose(matrix, [[0.5, 0.2], [0.1, -0.8]], atol=0.02)  # grid north is nearly north
