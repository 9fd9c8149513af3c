"""JSON files of polygons become labels by key, in the layouts of labelme, Cityscapes, Supervisely and our own."""

import json
import pickle

import cv2
import numpy as np
import pytest
import shapely
from data_helpers import BINARY, PLANES, SCENES, picture, save

from maskwright.core.errors import InputError
from maskwright.core.recipe.sources import PolygonsSource
from maskwright.data.sources import polygons

SIZE = (12, 16)
SQUARE = [[2, 3], [6, 3], [6, 8], [2, 8]]


def shape(label, points, **more):
    return {"label": label, "points": points, **more}


def polygon_set(root, files, names="a", **options):
    """Write images and JSON files; a file is a list of shapes, a whole JSON object, or bytes."""
    for place, name in enumerate(names):
        save(root / "images" / f"{name}.png", picture(place))
    (root / "json").mkdir(exist_ok=True)
    for name, content in files.items():
        plain = {"annotations": content} if isinstance(content, list) else content
        raw = content if isinstance(content, bytes) else json.dumps(plain).encode()
        (root / "json" / f"{name}.json").write_bytes(raw)
    return PolygonsSource(**{"images": "images", "annotations": "json", **options})


def lines(block, root, task=SCENES):
    source, found = polygons.join(block, root, task)
    for key in source.keys:
        source.read_label(key, SIZE, task)
    return [str(finding).replace(f"{root}/", "") for finding in found]


def label_of(block, root, task=SCENES, key="a"):
    assert lines(block, root, task) == []
    return polygons.join(block, root, task)[0].read_label(key, SIZE, task)


def inside(points):
    rows, columns = np.mgrid[: SIZE[0], : SIZE[1]] + 0.5
    return shapely.contains_xy(shapely.Polygon(points), columns, rows)


def test_corners_and_centres(tmp_path):
    slanted = [[1.2, 0.9], [14.7, 3.3], [6.1, 11.4]]
    block = polygon_set(tmp_path, {"a": [shape("road", slanted)]})
    np.testing.assert_array_equal(label_of(block, tmp_path)[0], inside(slanted))
    block = polygon_set(tmp_path, {"a": [shape("road", SQUARE)]}, vertices="centres")
    expected = cv2.fillPoly(np.zeros(SIZE, np.uint8), [np.array(SQUARE, np.int32)], 1)
    label, valid = label_of(block, tmp_path)
    np.testing.assert_array_equal(label, expected)
    assert label.sum() == 30
    assert valid.all()


@pytest.mark.parametrize(("overlap", "seen"), [("order", 2), ("large_first", 1)])
def test_overlap(tmp_path, overlap, seen):
    big = [[0, 0], [16, 0], [16, 12], [0, 12]]
    block = polygon_set(tmp_path, {"a": [shape("road", SQUARE), shape("car", big)]}, overlap=overlap)
    assert label_of(block, tmp_path)[0][5, 4] == seen


def test_planes_overlap_and_entries_of_one_id_are_one_mask(tmp_path):
    other = [[4, 4], [9, 4], [9, 9], [4, 9]]
    shapes = [shape("lung", SQUARE, id=3), shape("heart", other, id=4), shape("lung", other, id=3)]
    block = polygon_set(tmp_path, {"a": shapes})
    label, _ = label_of(block, tmp_path, PLANES)
    np.testing.assert_array_equal(label, np.stack([inside(SQUARE) | inside(other), inside(other)]))
    source, _ = polygons.join(block, tmp_path, PLANES)
    assert source.spans == {"a": (0, 2)}


def test_parts_of_one_id_are_one_size_when_sizes_are_compared(tmp_path):
    part, far = [[0, 0], [4, 0], [4, 4], [0, 4]], [[8, 0], [16, 0], [16, 12], [8, 12]]
    shapes = [shape("car", [[0, 0], [6, 0], [6, 6], [0, 6]]), shape("road", part, id=1), shape("road", far, id=1)]
    block = polygon_set(tmp_path, {"a": shapes}, overlap="large_first")
    assert label_of(block, tmp_path)[0][1, 1] == 2


def test_labelme(tmp_path):
    circle = [[8, 6], [8, 10]]
    file = {
        "version": "5.4",
        "shapes": [
            shape("roof", [[1, 1], [5, 4]], shape_type="rectangle"),
            shape("roof", circle, shape_type="circle", group_id=None),
            shape("roof", [[12, 8], [15, 8], [15, 10.9]], shape_type="polygon", flags={}),
        ],
        "imagePath": "..\\images\\a.png",
        "imageData": "AAAA",
        "imageHeight": 12,
        "imageWidth": 16,
        "camera": "x7",
    }
    block = polygon_set(tmp_path, {"a": file})
    rows, columns = np.mgrid[:12, :16] + 0.5
    expected = inside([[1, 1], [5, 1], [5, 4], [1, 4]]) | (np.hypot(columns - 8, rows - 6) < 4)
    np.testing.assert_array_equal(
        label_of(block, tmp_path, BINARY)[0], expected | inside([[12, 8], [15, 8], [15, 10.9]])
    )
    source, _ = polygons.join(block, tmp_path, BINARY)
    assert source.attributes("a") == {"version": "5.4", "imagePath": "..\\images\\a.png", "camera": "x7"}
    with pytest.raises(InputError) as caught:
        source.read_label("a", (16, 12), BINARY)
    assert str(caught.value) == (
        f"{tmp_path}/json/a.json: 'a' has 12 x 16 pixels here (height x width), its image 16 x 12: height and width "
        "are swapped; turn the labels, or the image if its viewer turned it (EXIF)"
    )


def test_cityscapes_and_supervisely(tmp_path):
    city = {"imgHeight": 12, "imgWidth": 16, "objects": [{"label": "road", "polygon": SQUARE}]}
    block = polygon_set(tmp_path, {"a": city}, points_field="polygon")
    np.testing.assert_array_equal(label_of(block, tmp_path)[0], inside(SQUARE))
    outline, hole = [[0, 0], [12, 0], [12, 12], [0, 12]], [[3, 3], [6, 3], [6, 6], [3, 6]]
    super_file = {"objects": [{"classTitle": "car", "points": {"exterior": outline, "interior": [hole]}}]}
    block = polygon_set(tmp_path, {"a": super_file}, label_field="classTitle")
    np.testing.assert_array_equal(label_of(block, tmp_path)[0], 2 * (inside(outline) & ~inside(hole)))


def test_own_fields_and_a_list_under_another_name(tmp_path):
    block = polygon_set(
        tmp_path,
        {"a": {"things": [{"kind": 4, "xy": SQUARE}]}},
        shapes_field="things",
        label_field="kind",
        points_field="xy",
        categories={4: "car"},
    )
    assert label_of(block, tmp_path)[0].max() == 2


def test_labels_are_mapped_or_a_map_is_proposed(tmp_path):
    block = polygon_set(tmp_path, {"a": [shape("Road", SQUARE), shape("tree", SQUARE), shape("tree", SQUARE)]})
    assert lines(block, tmp_path) == [
        "json: categories that are no class of the task: 'Road' (1 annotations), 'tree' (2 annotations); "
        "add them to task.classes, or set categories: {Road: road, tree: background}"
    ]
    mapped = block.model_copy(update={"categories": {"Road": "road", "tree": "ignore"}})
    label, valid = label_of(mapped, tmp_path)
    np.testing.assert_array_equal(valid, ~inside(SQUARE))
    assert not label.any()
    wrong = block.model_copy(update={"categories": {"Road": "road", "tree": "ignore", "cat": "car"}})
    assert lines(wrong, tmp_path) == [
        "json: categories names 'cat', which no label here is called; there are: 'Road', 'tree'"
    ]


def test_images_without_a_file_and_files_without_an_image(tmp_path):
    block = polygon_set(tmp_path, {"a": [shape("road", SQUARE)], "x": [], "y": []}, names="abc")
    orphans = "json: JSON files without an image: 'x', 'y'; add the images, or take the files away"
    assert lines(block, tmp_path) == [
        "json: images without a JSON file: 'b', 'c'; add them, or set missing_mask: background",
        orphans,
    ]
    block = block.model_copy(update={"missing_mask": "background"})
    assert lines(block, tmp_path) == [orphans]
    source, _ = polygons.join(block, tmp_path, SCENES)
    assert source.keys == ("a", "b", "c")
    assert source.notes == ("2 of 3 images have no JSON file and count as background",)
    assert source.label_path("b") is None
    label, valid = source.read_label("b", SIZE, SCENES)
    assert not label.any()
    assert valid.all()


def test_files_that_hold_no_shape_are_said(tmp_path):
    block = polygon_set(tmp_path, {"a": [], "b": [shape("road", SQUARE)]}, names="ab")
    source, found = polygons.join(block, tmp_path, SCENES)
    assert found == []
    assert source.notes == (f"{tmp_path}/json: 1 of 2 files hold no shape: 'a'",)
    assert not source.read_label("a", SIZE, SCENES)[0].any()


def test_nothing_joins(tmp_path):
    block = polygon_set(tmp_path, {"a_label": []})
    assert lines(block, tmp_path) == [
        "json: no file has the key of an image: images are named like 'a', files like 'a_label'; make the names equal"
    ]


def test_keys_below_a_folder_and_a_file_that_names_another_image(tmp_path):
    block = polygon_set(tmp_path, {})
    for key, said in (("n/a", "b.png"), ("n/b", "n\\b.png"), ("n/c", "gone.png")):
        save(tmp_path / "images" / f"{key}.png", picture(1))
        (tmp_path / "json/n").mkdir(exist_ok=True)
        (tmp_path / "json" / f"{key}.json").write_text(json.dumps({"filename": said, "shapes": []}))
    (tmp_path / "images/a.png").unlink()
    assert lines(block, tmp_path) == [
        "json/n/a.json: files that name another image than their own: 'n/b'; check that the labels are not swapped"
    ]


SAYS = {
    "entry": ("shapes that are no objects", "mend or drop them"),
    "no_label": ("shapes without a label", "add it, or set label_field"),
    "no_points": ("shapes without [[x, y], ...]", "mend them, or set points_field"),
    "kind": ("shapes that have no area or that we do not draw", "use polygon, rectangle, circle"),
    "few_points": ("polygons with fewer than 3 vertices", "mend or drop them, or set vertices: centres"),
    "not_number": ("coordinates that are no numbers", "mend or drop them"),
    "not_finite": ("coordinates that are not finite", "mend or drop them"),
    "far": ("outlines far outside of their image", "check that the labels are of these images"),
    "over_edge": ("outlines that reach out of their image", "they are cut off; check the size that was labelled"),
}


@pytest.mark.parametrize(
    ("sort", "entry", "detail"),
    [
        ("entry", 7, " (7)"),
        ("no_label", {"points": SQUARE}, " (label: None)"),
        ("no_label", shape(["road"], SQUARE), " (label: ['road'])"),
        ("no_points", {"label": "road"}, ""),
        ("no_points", shape("road", []), " ([])"),
        ("no_points", shape("road", [1, 2, 3, 4, 5, 6]), " (1)"),
        ("no_points", shape("road", [[1, 2, 3]]), " ([1, 2, 3])"),
        ("no_points", shape("road", {"exterior": SQUARE, "interior": 5}), " (interior)"),
        ("kind", shape("road", SQUARE, shape_type="linestrip"), " (4 points of a shape without area, or of )"),
        ("kind", shape("road", SQUARE, shape_type="ellipse"), " (ellipse)"),
        ("kind", shape("road", SQUARE, shape_type="circle"), " (a circle of 4 points)"),
        ("few_points", shape("road", SQUARE[:2]), " (2)"),
        ("few_points", shape("road", {"exterior": SQUARE, "interior": [SQUARE[:1]]}), " (1)"),
        ("not_number", shape("road", [[1, "x"], [2, 3], [4, 5]]), " ([1, 'x'])"),
        ("not_number", shape("road", [[1, 10**400], [2, 3], [4, 5]]), ""),
        ("not_finite", shape("road", [[1, float("nan")], [2, 3], [4, 5]]), ""),
        ("not_finite", shape("road", [[1, 2], [float("inf"), 2]], shape_type="circle"), ""),
        ("far", shape("road", [[1, 2], [2e8, 3], [4, 5]]), ""),
        ("far", shape("road", [[1, 2], [2e8, 3]], shape_type="circle"), ""),
        ("far", shape("road", [[20, 2], [24, 2], [24, 9]]), ""),
        ("over_edge", shape("road", [[9, 2], [20, 2], [9, 9]]), " by 4 pixels"),
    ],
)
def test_a_shape_with_a_fault_is_named(tmp_path, sort, entry, detail):
    heading, fix = SAYS[sort]
    file = {"height": 12, "width": 16, "annotations": [shape("road", SQUARE), entry]}
    block = polygon_set(tmp_path, {"a": file})
    assert lines(block, tmp_path) == [f"json/a.json: {heading}: shape 2{detail}; {fix}"]


def test_equal_faults_of_several_files_are_one_line(tmp_path):
    bad = [shape("road", [[0, 0], [1, 1]])]
    block = polygon_set(tmp_path, dict.fromkeys("abcdef", bad), names="abcdef")
    _, found = polygons.join(block, tmp_path, SCENES)
    assert [str(finding) for finding in found] == [
        f"{tmp_path}/json: polygons with fewer than 3 vertices: a.json shape 1 (2), b.json shape 1 (2), "
        "c.json shape 1 (2), d.json shape 1 (2) and 2 more; mend or drop them, or set vertices: centres"
    ]
    assert found[0].keys == tuple("abcdef")
    assert found[0].facts == {"count": 6}


def test_dots_and_lines_of_a_contour_tracer_are_drawn_where_vertices_are_centres(tmp_path):
    block = polygon_set(tmp_path, {"a": [shape("road", [[3, 4]]), shape("car", [[7, 1], [7, 5]])]}, vertices="centres")
    label, _ = label_of(block, tmp_path)
    assert np.argwhere(label == 1).tolist() == [[4, 3]]
    assert np.argwhere(label == 2).tolist() == [[row, 7] for row in range(1, 6)]


ASK = "set shapes_field to the key of the list of shapes"


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", "json/a.json: is empty; copy it again"),
        (b'{"shapes": [', "json/a.json:1: ends too early, as if it was cut off; copy it again"),
        (b"[]", f"json/a.json: no object with a list of shapes (list); {ASK}"),
        (b'{"fish": 1}', f"json/a.json: no 'annotations' or 'shapes' or 'objects' in it, it holds 'fish'; {ASK}"),
        (b'{"shapes": 5}', f"json/a.json: 'shapes' is no list (int); {ASK}"),
        (
            b'{"shapes": [], "imageHeight": 0, "imageWidth": 16}',
            "json/a.json: an odd width x height: 16 x 0; write whole numbers of pixels",
        ),
    ],
)
def test_a_file_that_is_no_set_of_shapes_is_named(tmp_path, content, message):
    assert lines(polygon_set(tmp_path, {"a": content}), tmp_path) == [message]


def test_all_faults_are_told_in_one_run(tmp_path):
    files = {"a": b"{", "b": [shape("rood", SQUARE), 5], "c": {"fish": 1}}
    block = polygon_set(tmp_path, files, names="abcd")
    assert [line.partition(":")[0] for line in lines(block, tmp_path)] == [
        "json",
        "json/b.json",
        "json/a.json",
        "json/c.json",
        "json",
    ]


def test_a_link_out_of_the_data_folder_is_not_read(tmp_path):
    block = polygon_set(tmp_path / "set", {"b": [shape("road", SQUARE)]}, names="ab")
    (tmp_path / "away.json").write_text("{}")
    (tmp_path / "set/json/a.json").symlink_to(tmp_path / "away.json")
    assert lines(block, tmp_path / "set") == [
        "json: images without a JSON file: 'a'; add them, or set missing_mask: background",
        "json/a.json: links that lead nowhere or out of the data folder: a.json; copy the files",
    ]


def test_no_images_and_absent_folders(tmp_path):
    block = polygon_set(tmp_path, {})
    (tmp_path / "images/a.png").unlink()
    assert lines(block, tmp_path) == ["images: no images; check the folder"]
    with pytest.raises(InputError) as caught:
        polygons.join(block.model_copy(update={"annotations": "gone"}), tmp_path, SCENES)
    assert str(caught.value) == f"{tmp_path}/gone: no such folder; check data.root and the folder's name"


def test_a_source_travels_to_another_process(tmp_path):
    source, _ = polygons.join(polygon_set(tmp_path, {"a": [shape("road", SQUARE)]}), tmp_path, SCENES)
    again = pickle.loads(pickle.dumps(source))
    np.testing.assert_array_equal(again.read_label("a", SIZE, SCENES)[0], inside(SQUARE))
