"""Right angles: recovered where a shape has them, left alone where it has none; features share no ground."""

import math

import numpy as np
import pytest
import shapely
from hypothesis import given, settings
from hypothesis import strategies as st
from shapely import affinity

from maskwright.core.grid import Grid
from maskwright.output.apart import apart
from maskwright.output.squares import squared
from maskwright.output.vector import Ruler, Tracing, trace

GRID = (0.5, 0.0, 300_000.0, 0.0, -0.5, 3_060_000.0)
RULER = Ruler(lambda grid: np.full(grid.shape[0], 0.25), lambda grid: ((0.5, 0.0), (0.0, -0.5)))


def drawn(shape, side=120):
    """Rasterise a shape in pixels, as a network that is right everywhere would."""
    from rasterio.features import rasterize

    return rasterize([(shape, 1)], (side, side), dtype="uint8")


def traced(values, regularise=True, tolerance=0.0, ruler=RULER, affine=GRID):
    grid = Grid("", affine, values.shape)
    chances = np.ones(values.shape, np.float32)
    read = lambda row, count: (values[row : row + count], chances[row : row + count])  # noqa: E731
    return trace(grid, read, ruler, Tracing({1: "a", 2: "b"}, tolerance, 0.0, regularise))


def in_pixels(shape):
    return shapely.transform(shape, lambda at: (at - [300_000.0, 3_060_000.0]) * [2.0, -2.0])


def angles(polygon):
    """Return the inner angles of a polygon's rings in degrees."""
    found = []
    for ring in (polygon.exterior, *polygon.interiors):
        at = np.asarray(ring.coords)[:-1]
        before, after = np.roll(at, 1, 0) - at, np.roll(at, -1, 0) - at
        cosine = (before * after).sum(1) / np.hypot(*before.T) / np.hypot(*after.T)
        found += np.degrees(np.arccos(np.clip(cosine, -1, 1))).tolist()
    return found


@settings(max_examples=60)
@given(
    high=st.integers(14, 60), wide=st.integers(14, 60), turn=st.floats(0, 90), x=st.floats(55, 65), y=st.floats(55, 65)
)
def test_turned_rectangles_come_back(high, wide, turn, x, y):
    truth = affinity.rotate(shapely.box(x - wide / 2, y - high / 2, x + wide / 2, y + high / 2), turn)
    (one,) = traced(drawn(truth))
    found = in_pixels(one.shape)
    assert found.is_valid
    assert len(found.exterior.coords) == 5
    assert angles(found) == pytest.approx([90] * 4, abs=1e-4)
    assert found.symmetric_difference(truth).area < 0.55 * truth.length  # half a pixel all around
    assert shapely.hausdorff_distance(found, truth) < 1.5  # pixels


@pytest.mark.parametrize("turn", [0, 7, 22.5, 45, 71])
def test_an_l_with_a_courtyard_keeps_its_form(turn):
    outline = [(20, 30), (95, 30), (95, 60), (60, 60), (60, 95), (20, 95)]
    truth = affinity.rotate(shapely.Polygon(outline, [[(30, 40), (50, 40), (50, 80), (30, 80)]]), turn, origin=(60, 60))
    (one,) = traced(drawn(truth))
    found = in_pixels(one.shape)
    assert (len(found.exterior.coords), [len(hole.coords) for hole in found.interiors]) == (7, [5])
    assert sorted(angles(found)) == pytest.approx([90] * 10, abs=1e-4)
    assert found.intersection(truth).area / found.union(truth).area > 0.95


def test_one_slanting_side_stays_and_a_cut_corner_is_filled():
    cut = shapely.Polygon([(20, 20), (90, 20), (90, 60), (58, 92), (20, 92)])
    (one,) = traced(drawn(cut))
    assert sorted(round(angle) for angle in angles(in_pixels(one.shape))) == [90, 90, 90, 135, 135]
    small = shapely.Polygon([(20, 20), (88, 20), (91, 23), (91, 92), (20, 92)])
    (one,) = traced(drawn(small))
    assert len(in_pixels(one.shape).exterior.coords) == 5


@pytest.mark.parametrize(
    "shape",
    [
        shapely.Point(60, 60).buffer(30),
        shapely.Point(60, 60).buffer(9),
        affinity.scale(shapely.Point(60, 60).buffer(30, quad_segs=2), 1, 1),
        shapely.Polygon([(60 + 40 * math.cos(a), 60 + 40 * math.sin(a)) for a in np.radians(range(0, 360, 60))]),
        shapely.Polygon([(20, 20), (100, 20), (60, 89)]),
    ],
    ids=["circle", "small circle", "octagon", "hexagon", "triangle"],
)
def test_what_has_no_direction_is_left_alone(shape):
    values = drawn(shape)
    for tolerance in (0.0, 0.4):
        (plain,), (one,) = traced(values, regularise=False, tolerance=tolerance), traced(values, tolerance=tolerance)
        assert one.shape.equals(plain.shape)


def test_a_far_fetched_outline_is_thrown_away():
    comb = shapely.union_all([shapely.box(20, 20, 100, 30), *(shapely.box(x, 30, x + 1, 50) for x in range(22, 98, 3))])
    ring = squared(comb, 3.0)
    assert ring is None or shapely.hausdorff_distance(ring, comb) <= 6
    assert squared(shapely.box(0, 0, 1, 1), 3.0) is None  # sides shorter than the tolerance


def test_right_angles_are_right_on_the_ground_where_pixels_are_oblong_or_sheared():
    matrix = np.array([[0.5, 0.15], [0.0, -0.8]])
    ruler = Ruler(lambda grid: np.full(grid.shape[0], 0.4), lambda grid: tuple(map(tuple, matrix.tolist())))
    affine = (0.5, 0.15, 300_000.0, 0.0, -0.8, 3_060_000.0)
    ground = affinity.rotate(shapely.box(15, -70, 45, -30), 25)
    values = drawn(shapely.transform(ground, lambda at: at @ np.linalg.inv(matrix).T))
    (one,) = traced(values, ruler=ruler, affine=affine)
    assert angles(one.shape) == pytest.approx([90] * 4, abs=1e-4)
    assert one.area == pytest.approx(1200, rel=0.02)


@settings(max_examples=30)
@given(seed=st.integers(0, 999), tolerance=st.sampled_from([0.0, 0.4, 1.2, 3.0]), regularise=st.booleans())
def test_features_are_valid_and_share_no_ground(seed, tolerance, regularise):
    import cv2

    rng = np.random.default_rng(seed)
    values = np.zeros((90, 90), np.uint8)
    for _ in range(14):
        box = cv2.boxPoints((rng.uniform(10, 80, 2).tolist(), rng.uniform(6, 30, 2).tolist(), rng.uniform(0, 90)))
        cv2.fillPoly(values, [np.rint(box).astype(np.int32)], int(rng.integers(0, 3)))
    found = traced(values, regularise, tolerance)
    shapes = np.array([one.shape for one in found], object)
    assert shapely.is_valid(shapes).all()
    assert all(shape.geom_type in ("Polygon", "MultiPolygon") for shape in shapes)
    one, other = shapely.STRtree(shapes).query(shapes, predicate="intersects")
    pairs = one < other
    shared = shapely.area(shapely.intersection(shapes[one[pairs]], shapes[other[pairs]]))
    assert shared.max(initial=0) < 1e-6
    assert len(found) == len(traced(values, False))  # none is lost


def test_the_smaller_one_stays_where_two_overlap():
    large, small = shapely.box(0, 0, 10, 10), shapely.box(9, 4, 12, 6)
    left = apart([large, small, shapely.box(20, 0, 21, 1)])
    assert left[1].equals(small)
    assert left[0].equals(large - small)
    inner = shapely.box(2, 2, 3, 3)
    assert [shape.area for shape in apart([inner, large])] == [1, 99]
    assert apart([large]) == [large]
