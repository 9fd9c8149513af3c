"""Polygons and run lengths are drawn as pycocotools, shapely and OpenCV draw them, pixel by pixel."""

from itertools import pairwise

import cv2
import numpy as np
import pytest
import shapely
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from pycocotools import mask as cocotools

from maskwright.core.errors import InputError
from maskwright.data.labels import shapes

pytestmark = pytest.mark.filterwarnings("ignore:__array__ implementation doesn't accept a copy keyword")
SIZES = st.integers(1, 40)
COORDINATES = st.one_of(
    st.integers(-20, 60).map(float), st.integers(-40, 120).map(lambda n: n / 2), st.floats(-20, 60, width=32)
)
RINGS = st.lists(COORDINATES, min_size=6, max_size=20).filter(lambda ring: len(ring) % 2 == 0)
MASKS = hnp.arrays(np.uint8, st.tuples(SIZES, SIZES), elements=st.integers(0, 1))


def whole(patch: shapes.Patch, shape: tuple[int, int]) -> np.ndarray:
    mask = np.zeros(shape, np.uint8)
    mask[patch.window] = patch.mask
    assert patch.area == mask.sum()
    return mask


def drawn(rings, shape, rule="coco") -> np.ndarray:
    """Draw outlines without holes."""
    return whole(shapes.draw_polygon([[np.array(ring, float)] for ring in rings], shape, rule), shape)


def centres(shape: tuple[int, int]) -> np.ndarray:
    rows, columns = np.mgrid[: shape[0], : shape[1]]
    return shapely.points(columns + 0.5, rows + 0.5)


@given(st.lists(RINGS, min_size=1, max_size=3), SIZES, SIZES)
def test_polygons_are_those_of_pycocotools(rings, height, width):
    expected = cocotools.decode(cocotools.merge(cocotools.frPyObjects(rings, height, width)))
    np.testing.assert_array_equal(drawn(rings, (height, width)), expected)


def test_a_long_outline_finds_more_room():
    angle = np.linspace(0, 60 * np.pi, 4001)[:-1]
    ring = np.stack([30 + 28 * np.cos(7 * angle), 30 + 28 * np.sin(11 * angle)], 1).reshape(-1)
    expected = cocotools.decode(cocotools.merge(cocotools.frPyObjects([ring.tolist()], 60, 60)))
    np.testing.assert_array_equal(drawn([ring], (60, 60)), expected)


@given(RINGS, SIZES, SIZES)
def test_corners_of_a_tangled_outline_is_odd_where_an_odd_number_of_its_triangles_is(ring, height, width):
    points = np.array(ring).reshape(-1, 2)
    triangles = [[*points[0], *one, *other] for one, other in pairwise(points[1:])]
    expected = sum(drawn([triangle], (height, width), "corners").astype(int) for triangle in triangles) % 2
    np.testing.assert_array_equal(drawn([ring], (height, width), "corners"), expected)


@given(MASKS)
def test_compressed_run_lengths_are_read_and_written_as_pycocotools_does(mask):
    text = cocotools.encode(np.asfortranarray(mask))["counts"]
    counts = shapes.read_counts(text)
    np.testing.assert_array_equal(whole(shapes.draw_counts(counts, mask.shape), mask.shape), mask)
    assert shapes.write_counts(counts).encode() == text
    decoded = cocotools.decode({"size": list(mask.shape), "counts": shapes.write_counts(counts).encode()})
    np.testing.assert_array_equal(decoded, mask)


@given(st.lists(st.integers(0, 2**32 - 1), max_size=30))
def test_any_counts_survive_the_text(counts):
    numbers = np.array(counts, np.int64)
    np.testing.assert_array_equal(shapes.read_counts(shapes.write_counts(numbers)), numbers)


@given(st.binary(max_size=40))
def test_any_text_is_read_or_refused(text):
    try:
        counts = shapes.read_counts(text)
        shapes.draw_counts(counts, (5, 7))
    except InputError:
        return
    assert counts.sum() == 35


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("5 6", "character 2 of the run lengths is no COCO digit"),
        ("5\N{DEGREE SIGN}", "character 2 of the run lengths is no COCO digit"),
        ("15P", "the run lengths end in the middle of number 3"),
        ("Q" * 8 + "1", "number 1 of the run lengths has more than 32 bits"),
    ],
)
def test_text_that_is_no_run_lengths_is_refused(text, message):
    with pytest.raises(InputError) as caught:
        shapes.read_counts(text)
    assert str(caught.value) == message


@pytest.mark.parametrize(
    ("counts", "message"),
    [
        ([3, -1, 2], "run length 2 is negative (-1)"),
        ([10, 10], "the run lengths add up to 20, the mask has 3 x 4 = 12 pixels"),
        ([], "the run lengths add up to 0, the mask has 3 x 4 = 12 pixels"),
    ],
)
def test_run_lengths_that_do_not_fill_the_mask_are_refused(counts, message):
    with pytest.raises(InputError) as caught:
        shapes.draw_counts(np.array(counts, np.int64), (3, 4))
    assert str(caught.value) == message


def test_runs_of_no_length_are_passed_over():
    mask = whole(shapes.draw_counts(np.array([0, 0, 2, 3, 0, 1, 6]), (3, 4)), (3, 4))
    assert mask.T.reshape(-1).tolist() == [0, 0, 1, 1, 1, 1, 0, 0, 0, 0, 0, 0]


@given(st.lists(st.tuples(st.floats(0, 2 * np.pi), st.floats(2, 25)), min_size=3, max_size=12), SIZES, SIZES)
def test_corners_draws_pixels_whose_centre_is_inside(corners, height, width):
    points = [(17.3 + r * np.cos(a), 11.7 + r * np.sin(a)) for a, r in sorted(corners)]
    polygon = shapely.Polygon(points)
    mask = drawn([np.array(points).reshape(-1)], (height, width), "corners")
    away = shapely.distance(polygon.exterior, centres(mask.shape)) > 1e-9  # rounding decides on the outline
    if polygon.is_valid:
        np.testing.assert_array_equal(mask[away], shapely.contains(polygon, centres(mask.shape))[away])


@given(st.integers(1, 39), st.floats(-3, 43), st.floats(-3, 43))
def test_neighbours_share_their_side_and_no_pixel(height, top, bottom):
    left = [0, 0, top, 0, bottom, height, 0, height]
    right = [top, 0, 50, 0, 50, height, bottom, height]
    both = [drawn([ring], (height, 40), "corners") for ring in (left, right)]
    if top >= 0 and bottom >= 0:
        np.testing.assert_array_equal(both[0] + both[1], 1)


def test_corners_counts_a_centre_on_the_left_or_upper_side():
    square = [1.5, 0.5, 3.5, 0.5, 3.5, 2.5, 1.5, 2.5]
    mask = drawn([square], (4, 5), "corners")
    assert np.argwhere(mask).tolist() == [[0, 1], [0, 2], [1, 1], [1, 2]]


@pytest.mark.parametrize("rule", ["coco", "corners"])
def test_holes_are_cut_and_parts_are_joined(rule):
    outline, hole = np.array([0, 0, 12, 0, 12, 12, 0, 12.0]), np.array([4, 4, 8, 4, 8, 8, 4, 8.0])
    island = np.array([5, 5, 7, 5, 7, 7, 5, 7.0])
    patch = shapes.draw_polygon([[outline, hole], [island]], (16, 16), rule)
    expected = np.zeros((16, 16), np.uint8)
    expected[:12, :12] = 1
    expected[4:8, 4:8] = 0
    expected[5:7, 5:7] = 1
    np.testing.assert_array_equal(whole(patch, (16, 16)), expected)


@given(MASKS)
def test_centres_draws_what_a_contour_tracer_saw(mask):
    outlines, _ = cv2.findContours(mask, cv2.RETR_CCOMP, cv2.CHAIN_APPROX_SIMPLE)
    outer, _ = cv2.findContours(mask, cv2.RETR_EXTERNAL, cv2.CHAIN_APPROX_SIMPLE)
    got = drawn([line.reshape(-1) for line in outer], mask.shape, "centres") if outer else np.zeros_like(mask)
    if len(outlines) == len(outer):
        np.testing.assert_array_equal(got, mask)
    assert (got >= mask).all()


def test_centres_in_an_image_wider_than_16_bits():
    mask = drawn([[39990, 0, 39995, 0, 39995, 1, 39990, 1]], (3, 40000), "centres")
    assert np.argwhere(mask)[:, 1].tolist() == [*range(39990, 39996)] * 2


@pytest.mark.parametrize("rule", ["coco", "corners", "centres"])
def test_what_is_outside_is_cut_off(rule):
    assert drawn([[-90, -90, -50, -90, -50, -50]], (8, 9), rule).sum() == 0
    assert drawn([[50, 2, 90, 2, 90, 5]], (8, 9), rule).sum() == 0
    assert drawn([[-90, -90, 900, -90, 900, 900, -90, 900]], (8, 9), rule).all()


@given(st.floats(0.5, 40))
def test_a_circle_is_round(radius):
    mask = drawn([shapes.circle((45.2, 44.9), radius)], (90, 90), "corners")
    rows, columns = np.mgrid[:90, :90] + 0.5
    away = np.abs(np.hypot(columns - 45.2, rows - 44.9) - radius) > 0.02
    np.testing.assert_array_equal(mask[away], (np.hypot(columns - 45.2, rows - 44.9) < radius)[away])
