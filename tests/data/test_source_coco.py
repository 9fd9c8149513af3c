"""A COCO file becomes labels: classes by name or id, overlaps, crowds, planes, all as pycocotools draws them."""

import pickle

import numpy as np
import pytest
from coco_files import SIZE, box, coco_set, images, note
from data_helpers import BINARY, PLANES, SCENES, picture, save
from hypothesis import given
from hypothesis import strategies as st
from pycocotools import mask as cocotools

from maskwright.core.errors import RecipeError
from maskwright.core.labels import Task
from maskwright.core.recipe.load import build
from maskwright.data.sources import coco

pytestmark = pytest.mark.filterwarnings("ignore:__array__ implementation doesn't accept a copy keyword")
STREET = Task(kind="multiclass", classes=("road", "car"))
"""Without a background."""


def label_of(block, root, task=SCENES, key="a"):
    source, found = coco.join(block, root, task)
    assert [str(finding) for finding in found if finding.severity == "fault"] == []
    return source.read_label(key, SIZE, task)


def filled(left, top, width, height, value=1):
    mask = np.zeros(SIZE, np.uint8)
    mask[top : top + height, left : left + width] = value
    return mask


def test_polygons_by_category_name_and_pixels_without_are_background(tmp_path):
    block = coco_set(tmp_path, [note(1, 1, [box(2, 3, 4, 5)]), note(2, 7, [box(10, 0, 3, 2), box(9, 8, 2, 3)])])
    source, found = coco.join(block, tmp_path, SCENES)
    assert found == []
    assert source.keys == ("a", "b")
    assert source.labelled
    assert source.notes == (f"{tmp_path}/coco.json: 1 of 2 images have no annotation",)
    assert source.image_path("a") == tmp_path / "images/a.png"
    assert source.label_path("b") == tmp_path / "coco.json"
    label, valid = source.read_label("a", SIZE, SCENES)
    np.testing.assert_array_equal(
        label, filled(2, 3, 4, 5) + filled(10, 0, 3, 2, value=2) + filled(9, 8, 2, 3, value=2)
    )
    assert valid.all()
    assert label.dtype == np.uint8
    assert not source.read_label("b", SIZE, SCENES)[0].any()


def test_every_layout_of_a_segmentation_is_drawn_as_pycocotools_does(tmp_path):
    mask = np.random.default_rng(3).integers(0, 2, SIZE).astype(np.uint8)
    packed = cocotools.encode(np.asfortranarray(mask))["counts"].decode()
    flat = mask.T.reshape(-1)
    edges = np.flatnonzero(np.diff(flat, prepend=0, append=0))
    loose = np.diff(np.concatenate([[0], edges, [flat.size]])).tolist()
    polygon = [1.3, 2.2, 14.9, 0.4, 9.6, 11.8]
    drawn = cocotools.decode(cocotools.merge(cocotools.frPyObjects([polygon], *SIZE)))
    layouts = {
        "a": ({"size": [*SIZE], "counts": packed}, mask),
        "b": ({"size": [*SIZE], "counts": loose}, mask),
        "c": ([polygon], drawn),
    }
    notes = [note(place, 1, given, image=place + 1) for place, (given, _) in enumerate(layouts.values())]
    block = coco_set(tmp_path, notes, images("abc"))
    for key, (_, expected) in layouts.items():
        np.testing.assert_array_equal(label_of(block, tmp_path, key=key)[0], expected)


@given(st.lists(st.lists(st.integers(-8, 40).map(lambda n: n / 2), min_size=6, max_size=6), min_size=1, max_size=4))
def test_large_first_is_the_order_of_the_pixels_drawn(tmp_path_factory, triangles):
    root = tmp_path_factory.mktemp("coco")
    block = coco_set(root, [note(place, 1 + 6 * (place % 2), [ring]) for place, ring in enumerate(triangles)])
    source, found = coco.join(block, root, SCENES)
    if [finding for finding in found if finding.severity == "fault"]:
        return
    masks = [cocotools.decode(cocotools.merge(cocotools.frPyObjects([ring], *SIZE))) for ring in triangles]
    expected = np.zeros(SIZE, np.uint8)
    for place in sorted(range(len(masks)), key=lambda place: -int(masks[place].sum())):
        expected[masks[place] > 0] = 1 + place % 2
    np.testing.assert_array_equal(source.read_label("a", SIZE, SCENES)[0], expected)


@pytest.mark.parametrize(
    ("overlap", "top"), [("large_first", "small"), ("order", "last"), ("highest_id", "highest")], ids=str
)
def test_overlap_rules(tmp_path, overlap, top):
    names = ("none", "small", "last", "highest")
    task = Task(kind="multiclass", classes=names)
    categories = [{"id": place, "name": name} for place, name in enumerate(names)]
    notes = [
        note(5, 1, [box(4, 4, 2, 2)]),
        note(90, 3, [box(2, 2, 8, 8)]),
        note(7, 2, [box(1, 1, 12, 10)]),
    ]
    block = coco_set(tmp_path, notes, known=categories, overlap=overlap)
    assert names[label_of(block, tmp_path, task)[0][5, 5]] == top


def test_small_masks_that_are_not_kept_are_drawn_again(tmp_path, monkeypatch):
    notes = [note(1, 7, [box(4, 4, 2, 2)]), note(2, 1, [box(1, 1, 12, 10)])]
    block = coco_set(tmp_path, notes)
    kept, _ = label_of(block, tmp_path)
    monkeypatch.setattr("maskwright.data.sources.outlines.KEPT_BYTES", 0)
    np.testing.assert_array_equal(label_of(block, tmp_path)[0], kept)
    assert kept[5, 5] == 2


def test_multilabel_planes_overlap(tmp_path):
    categories = [{"id": 1, "name": "lung"}, {"id": 2, "name": "heart"}]
    notes = [note(1, 1, [box(0, 0, 8, 8)]), note(2, 2, [box(4, 4, 8, 8)]), note(3, 1, [box(9, 0, 3, 3)])]
    label, valid = label_of(coco_set(tmp_path, notes, known=categories), tmp_path, PLANES)
    np.testing.assert_array_equal(
        label, np.stack([filled(0, 0, 8, 8) + filled(9, 0, 3, 3), filled(4, 4, 8, 8)]).astype(np.uint8)
    )
    assert valid.all()


def test_binary_is_the_union_of_all_that_is_mapped_to_the_class(tmp_path):
    notes = [note(1, 1, [box(0, 0, 8, 8)]), note(2, 7, [box(4, 4, 8, 8)])]
    block = coco_set(tmp_path, notes, categories={"road": "roof", "7": "roof"})
    label, _ = label_of(block, tmp_path, BINARY)
    np.testing.assert_array_equal(label, filled(0, 0, 8, 8) | filled(4, 4, 8, 8))
    block = block.model_copy(update={"categories": {"road": "roof", "car": "background"}})
    np.testing.assert_array_equal(label_of(block, tmp_path, BINARY)[0], filled(0, 0, 8, 8))


@pytest.mark.parametrize("task", [BINARY, SCENES, PLANES], ids=lambda task: task.kind)
@pytest.mark.parametrize("crowd", ["ignore", "draw", "skip"])
def test_crowds(tmp_path, task, crowd):
    name = task.classes[-1]
    notes = [note(1, 1, [box(4, 4, 8, 4)], iscrowd=0), note(2, 1, [box(0, 0, 8, 8)], iscrowd=1)]
    block = coco_set(tmp_path, notes, known=[{"id": 1, "name": name}])
    label, valid = label_of(block.model_copy(update={"crowd": crowd}), tmp_path, task)
    plane = label if task.kind == "binary" else label == 2 if task.kind == "multiclass" else label[1]
    thing, mass = filled(4, 4, 8, 4) > 0, filled(0, 0, 8, 8) > 0
    if crowd == "ignore":
        hidden = mass if task.kind == "multilabel" else mass & ~thing
        np.testing.assert_array_equal(valid, ~hidden)
        np.testing.assert_array_equal(plane, thing & ~hidden)
    else:
        assert valid.all()
        np.testing.assert_array_equal(plane, thing | mass if crowd == "draw" else thing)


@pytest.mark.parametrize("task", [BINARY, SCENES, PLANES], ids=lambda task: task.kind)
def test_categories_that_are_ignored(tmp_path, task):
    block = coco_set(
        tmp_path,
        [note(1, 1, [box(0, 0, 8, 8)]), note(2, 7, [box(6, 6, 2, 2)])],
        known=[{"id": 1, "name": "unclear"}, {"id": 7, "name": task.classes[-1]}],
    ).model_copy(update={"categories": {"unclear": "ignore"}})
    label, valid = label_of(block, tmp_path, task)
    seen = 0 if task.kind == "multilabel" else 4
    assert int((~valid).sum()) == 64 - seen
    assert np.count_nonzero(label) == seen
    assert not label[..., ~valid].any()


def test_what_nothing_covers_does_not_count_unless_there_is_a_background(tmp_path):
    block = coco_set(tmp_path, [note(1, 7, [box(4, 4, 2, 2)])], images("a"))
    source, _ = coco.join(block, tmp_path, STREET)
    assert source.notes == (
        f"{tmp_path}/coco.json: pixels that no annotation covers do not count; "
        "set unlabelled: CLASS if they are of a class",
    )
    label, valid = source.read_label("a", SIZE, STREET)
    assert valid.sum() == 4
    assert label[valid].tolist() == [1] * 4
    assert label.sum() == 4
    for choice, count in (("road", 192), ("ignore", 4)):
        source, _ = coco.join(block.model_copy(update={"unlabelled": choice}), tmp_path, STREET)
        assert source.notes == ()
        assert source.read_label("a", SIZE, STREET)[1].sum() == count
    block = block.model_copy(update={"unlabelled": "ignore"})
    assert label_of(block, tmp_path, SCENES)[1].sum() == 4


def test_background_is_painted_where_it_is_a_class(tmp_path):
    notes = [note(1, 1, [box(0, 0, 8, 8)]), note(2, 7, [box(2, 2, 2, 2)])]
    block = coco_set(tmp_path, notes).model_copy(update={"categories": {"car": "background"}, "unlabelled": "ignore"})
    label, valid = label_of(block, tmp_path)
    np.testing.assert_array_equal(label, filled(0, 0, 8, 8) - filled(2, 2, 2, 2))
    np.testing.assert_array_equal(valid, filled(0, 0, 8, 8) > 0)


def test_an_id_goes_before_a_name_and_the_rest_goes_by_equal_names(tmp_path):
    categories = [{"id": 1, "name": "road"}, {"id": 7, "name": "7"}, {"id": 8, "name": "road"}]
    notes = [note(place, number, [box(2 * place, 0, 2, 2)]) for place, number in enumerate((1, 7, 8))]
    block = coco_set(tmp_path, notes, known=categories).model_copy(
        update={"categories": {"7": "car", "8": "background"}}
    )
    source, found = coco.join(block, tmp_path, SCENES)
    assert [finding.kind for finding in found] == ["category_twice"]
    assert source.read_label("a", SIZE, SCENES)[0][0, :6].tolist() == [1, 1, 2, 2, 0, 0]


def test_an_annotation_without_a_segmentation_can_be_skipped_or_its_box_filled(tmp_path):
    block = coco_set(tmp_path, [note(1, 1, [], bbox=[2, 3, 4, 5]), note(2, 7, None, bbox=[9, 1, 2, 2])])
    skip = block.model_copy(update={"missing_outline": "skip"})
    assert not label_of(skip, tmp_path)[0].any()
    boxes = block.model_copy(update={"missing_outline": "box"})
    expected = filled(2, 3, 4, 5) + filled(9, 1, 2, 2, value=2)
    np.testing.assert_array_equal(label_of(boxes, tmp_path)[0], expected)


def test_attributes_are_the_plain_fields_of_an_image(tmp_path):
    listed = images("a")
    listed[0] |= {"license": 3, "patient_id": "p7", "night": True, "gain": 1.5, "tags": ["x"], "nothing": None}
    source, _ = coco.join(coco_set(tmp_path, [note(1, 1, [box(0, 0, 2, 2)])], listed), tmp_path, SCENES)
    assert source.attributes("a") == {"license": "3", "patient_id": "p7", "night": "true", "gain": "1.5"}
    assert source.weight("a") == 1.0
    assert source.scored("a")


def test_a_file_without_annotations_is_unlabelled(tmp_path):
    source, found = coco.join(coco_set(tmp_path, []), tmp_path, SCENES)
    assert found == []
    assert not source.labelled
    assert source.keys == ("a", "b")
    assert source.label_path("a") is None
    assert source.notes == (f"{tmp_path}/coco.json: there are no annotations, so the images are unlabelled",)


def test_folders_in_file_names_ids_that_are_texts_and_images_left_aside(tmp_path):
    listed = [{"id": "x1", "file_name": "north\\a.png"}]
    block = coco_set(tmp_path, [note(1, 1, [box(0, 0, 20, 2)], image="x1")], listed)
    for name in ("north/a.png", "b.png", "c.png"):
        save(tmp_path / "images" / name, picture(1))
    source, found = coco.join(block, tmp_path, SCENES)
    assert [str(finding) for finding in found] == [
        f"{tmp_path}/coco.json: outlines that reach out of their image: id 1 of 'north/a' by 4 pixels; "
        "they are cut off; check the size that was labelled"
    ]
    assert source.keys == ("north/a",)
    assert source.notes == (f"{tmp_path}/images: 2 images that coco.json does not list are left aside",)
    assert source.read_label("north/a", SIZE, SCENES)[0].sum() == 32


def test_a_source_travels_to_another_process_and_holds_no_pixels(tmp_path):
    block = coco_set(tmp_path, [note(1, 1, [box(0, 0, 8, 8)]), note(2, 7, {"size": [12, 16], "counts": [2, 9, 181]})])
    source, _ = coco.join(block, tmp_path, SCENES)
    packed = pickle.dumps(source)
    assert len(packed) < 4000
    np.testing.assert_array_equal(
        pickle.loads(packed).read_label("a", SIZE, SCENES)[0], source.read_label("a", SIZE, SCENES)[0]
    )


def test_a_file_with_a_byte_order_mark_is_read(tmp_path):
    block = coco_set(tmp_path, [note(1, 1, [box(0, 0, 8, 8)])])
    path = tmp_path / "coco.json"
    path.write_bytes(b"\xef\xbb\xbf" + path.read_bytes())
    assert label_of(block, tmp_path)[0].sum() == 64


def recipe(**source):
    task = {"kind": source.pop("kind", "multiclass"), "classes": ["background", "roof"]}
    return {"name": "t", "task": task, "data": {"train": {"images": "i", "annotations": "a", **source}}}


@pytest.mark.parametrize("form", ["coco", "polygons"])
def test_a_recipe_that_maps_to_no_class_is_refused(form):
    faults = {
        "recipe: data.train.categories: 'x' is mapped to 'rof', which is no class (did you mean 'roof'?); "
        "use one of: background, roof, ignore": recipe(format=form, categories={"x": "rof"}),
        "recipe: data.train.unlabelled: 'sky' is no class; use one of: background, roof, ignore": recipe(
            format=form, unlabelled="sky"
        ),
        "recipe: data.train.unlabelled: in a binary task, what nothing covers is 0; leave it out": recipe(
            format=form, unlabelled="ignore", kind="binary"
        ),
    }
    for message, plain in faults.items():
        with pytest.raises(RecipeError) as caught:
            build(plain)
        assert str(caught.value) == message
    assert build(recipe(format=form, categories={3: "roof"})).data.train.categories == {"3": "roof"}
