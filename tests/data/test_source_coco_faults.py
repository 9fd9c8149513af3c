"""Everything that can be wrong with a COCO file is told in one run, in one line for each sort of fault."""

import json

import pytest
from coco_files import SIZE, box, coco_set, images, note
from data_helpers import BINARY, PLANES, SCENES, picture, save

from maskwright.core.errors import InputError
from maskwright.core.labels import Task
from maskwright.core.recipe.sources import CocoSource
from maskwright.data.findings import faults_of
from maskwright.data.sources import coco

GOOD = note(1, 1, [box(0, 0, 4, 4)])
SAYS = {
    "no_outline": ("annotations without a segmentation", "add it, or set missing_outline: skip or box"),
    "segmentation": ("segmentations of an unknown layout", "write [[x, y, x, y, ...]] or size and counts"),
    "odd_count": ("polygons with an odd count of numbers", "write x and y for each vertex"),
    "few_points": ("polygons with fewer than 3 vertices", "mend or drop them"),
    "not_number": ("coordinates that are no numbers", "mend or drop them"),
    "not_finite": ("coordinates that are not finite", "mend or drop them"),
    "far": ("outlines far outside of their image", "check that the labels are of these images"),
    "rle_counts": ("run lengths that cannot be drawn", "encode them anew"),
    "rle_size": ("run lengths of another size than the image", "encode them anew"),
    "no_image": ("annotations of images that are not listed", "list the images, or drop them"),
    "no_category": ("annotations of categories that are not listed", "list the categories"),
    "annotation_entry": ("annotations that are no objects", "mend the entries"),
    "over_edge": ("outlines that reach out of their image", "they are cut off; check the size that was labelled"),
    "box_differs": ("boxes that do not fit their outlines", "outlines are drawn; check both"),
    "annotation_twice": ("annotation ids that occur twice", "all are drawn; look for copies"),
    "image_entry": ("images without an id and a file_name", "mend the entries"),
    "image_twice": ("image ids that occur twice", "give every image an id of its own"),
    "name_twice": ("file names that occur twice", "list each image once"),
    "same_key": ("images whose names differ in the suffix alone", "keep one, or rename it"),
    "link": ("links that lead nowhere or out of the data folder", "copy the files"),
    "no_file": ("images that are not in the folder", "add the files, or set images: FOLDER"),
    "odd_name": ("file names that lead out of the data folder", "use names below images"),
    "image_size": ("images with an odd width x height", "write whole numbers of pixels"),
}
"""Sort of fault -> how its line begins and ends."""


def lines(block, root, task=SCENES):
    """Return what is found, without the folder's name; nothing may raise when labels are drawn all the same."""
    source, found = coco.join(block, root, task)
    for key in source.keys if source.labelled else ():
        source.read_label(key, SIZE, task)
    return [str(finding).replace(f"{root}/", "") for finding in found]


@pytest.mark.parametrize(
    ("sort", "entry", "example"),
    [
        ("no_outline", note(5, 1, None), "id 5 of 'a'"),
        ("no_outline", note(5, 1, [], bbox=[1, 2, 3, 4]), "id 5 of 'a'"),
        ("segmentation", note(5, 1, "hat"), "(str)"),
        ("segmentation", note(5, 1, box(0, 0, 2, 2)), "(polygon 1 is no list but 0)"),
        ("odd_count", note(5, 1, [[[0, 0], [4, 0], [4, 4]]]), "(polygon 1 has 3 numbers)"),
        ("odd_count", note(5, 1, [[0, 0, 4, 4, 4, 0, 7]]), "(polygon 1 has 7 numbers)"),
        ("few_points", note(5, 1, [box(0, 0, 2, 2), [1, 2, 3, 4]]), "(polygon 2 has 2)"),
        ("not_number", note(5, 1, [[0, 0, 4, "x", 4, 0]]), "(polygon 1)"),
        ("not_number", note(5, 1, [[0, 0, 4, None, 4, 0]]), "(polygon 1)"),
        ("not_number", note(5, 1, [[0, 0, 4, 10**400, 4, 0]]), "(polygon 1)"),
        ("not_finite", note(5, 1, [[0, 0, 4, float("nan"), 4, 0]]), "id 5 of 'a'"),
        ("not_finite", note(5, 1, [[0, 0, 4, float("-inf"), 4, 0]]), "id 5 of 'a'"),
        ("far", note(5, 1, [[0, 0, 2e8, 0, 2e8, 2e8]]), "id 5 of 'a'"),
        ("far", note(5, 1, [box(20, 2, 4, 4)]), "id 5 of 'a'"),
        ("far", note(5, 1, [box(2, -9, 4, 4)]), "id 5 of 'a'"),
        (
            "rle_counts",
            note(5, 1, {"size": [12, 16], "counts": [10, 999]}),
            "(the run lengths add up to 1009, the mask has 12 x 16 = 192 pixels)",
        ),
        ("rle_counts", note(5, 1, {"size": [12, 16], "counts": [-1, 193]}), "(run length 1 is negative (-1))"),
        (
            "rle_counts",
            note(5, 1, {"size": [12, 16], "counts": [1.5, 190.5]}),
            "(counts hold something that is no whole number)",
        ),
        (
            "rle_counts",
            note(5, 1, {"size": [12, 16], "counts": [1, [2]]}),
            "(counts hold something that is no whole number)",
        ),
        (
            "rle_counts",
            note(5, 1, {"size": [12, 16], "counts": [10**30]}),
            "(counts hold something that is no whole number)",
        ),
        (
            "rle_counts",
            note(5, 1, {"size": [12, 16], "counts": "~~"}),
            "(character 1 of the run lengths is no COCO digit)",
        ),
        (
            "rle_counts",
            note(5, 1, {"size": [12, 16], "counts": "PP"}),
            "(the run lengths end in the middle of number 1)",
        ),
        ("rle_counts", note(5, 1, {"size": [12, 16]}), "(counts are NoneType, neither a list nor a text)"),
        (
            "rle_size",
            note(5, 1, {"size": [16, 12], "counts": [192]}),
            "(16 x 12 for 12 x 16, height and width are swapped)",
        ),
        ("rle_size", note(5, 1, {"size": [6, 8], "counts": [48]}), "(6 x 8 for 12 x 16)"),
        ("rle_size", note(5, 1, {"size": 192, "counts": [192]}), "(size 192)"),
        ("no_image", note(5, 1, [box(0, 0, 2, 2)], image=9), "id 5 (image_id 9)"),
        ("no_image", note(5, 1, [box(0, 0, 2, 2)], image=[1]), "id 5 (image_id [1])"),
        ("no_category", note(5, 3, [box(0, 0, 2, 2)]), "id 5 (category_id 3)"),
        ("no_category", note(5, None, [box(0, 0, 2, 2)]), "id 5 (category_id None)"),
        ("annotation_entry", "hat", "entry 2"),
        ("over_edge", note(5, 1, [box(10, 2, 9, 4)]), "id 5 of 'a' by 3 pixels"),
        ("box_differs", note(5, 1, [box(2, 2, 4, 4)], bbox=[2, 2, 40, 4]), "id 5 of 'a'"),
        ("box_differs", note(5, 1, [box(2, 2, 4, 4)], bbox=[float("nan"), 2, 4, 4]), "id 5 of 'a'"),
        ("annotation_twice", note(1, 1, [box(2, 2, 4, 4)]), "id 1"),
    ],
)
def test_an_annotation_with_a_fault_is_named(tmp_path, sort, entry, example):
    heading, fix = SAYS[sort]
    example = f"id 5 of 'a' {example}" if example.startswith("(") else example
    assert lines(coco_set(tmp_path, [GOOD, entry]), tmp_path) == [f"coco.json: {heading}: {example}; {fix}"]


@pytest.mark.parametrize(
    ("sort", "entry", "example"),
    [
        ("image_entry", "hat", "entry 2"),
        ("image_entry", {"id": 2}, "entry 2"),
        ("image_entry", {"id": 1.5, "file_name": "b.png"}, "entry 2"),
        ("image_twice", {"id": 1, "file_name": "b.png"}, "id 1 ('b.png')"),
        ("name_twice", {"id": 2, "file_name": "a.png"}, "'a.png' (ids 1 and 2)"),
        ("same_key", {"id": 2, "file_name": "a.jpg"}, "'a.png' and 'a.jpg'"),
        ("no_file", {"id": 2, "file_name": "z.png"}, "'z.png'"),
        ("no_file", {"id": 2, "file_name": "north/c.png"}, "'north/c.png' (there is 'c.png')"),
        ("no_file", {"id": 2, "file_name": "C.png"}, "'C.png' (there is 'c.png')"),
        ("odd_name", {"id": 2, "file_name": "../a.png"}, "'../a.png'"),
        ("odd_name", {"id": 2, "file_name": "/etc/passwd"}, "'/etc/passwd'"),
        ("odd_name", {"id": 2, "file_name": "C:\\a.png"}, "'C:\\\\a.png'"),
        ("odd_name", {"id": 2, "file_name": "http://x/a.png"}, "'http://x/a.png'"),
        ("odd_name", {"id": 2, "file_name": "a\0.png"}, "'a\\x00.png'"),
        ("odd_name", {"id": 2, "file_name": ""}, "''"),
        ("link", {"id": 2, "file_name": "link.png"}, "'link.png'"),
        ("image_size", {"id": 2, "file_name": "b.png", "height": -4, "width": 4}, "'b.png' (4 x -4)"),
        ("image_size", {"id": 2, "file_name": "b.png", "height": "12", "width": 4}, "'b.png' (4 x '12')"),
    ],
)
def test_an_image_with_a_fault_is_named(tmp_path, sort, entry, example):
    heading, fix = SAYS[sort]
    block = coco_set(tmp_path / "set", [GOOD], [*images("a"), entry])
    for name in ("a.jpg", "A.png", "b.png", "c.png"):
        save(tmp_path / "set/images" / name, picture(3))
    (tmp_path / "set/images/z.png").unlink(missing_ok=True)
    (tmp_path / "set/images/C.png").unlink(missing_ok=True)
    (tmp_path / "set/images/link.png").unlink(missing_ok=True)
    (tmp_path / "set/images/link.png").symlink_to(save(tmp_path / "elsewhere.png", picture(4)))
    assert lines(block, tmp_path / "set") == [f"coco.json: {heading}: {example}; {fix}"]


@pytest.mark.parametrize(
    ("known", "line"),
    [
        ([{"id": 1, "name": "road"}, {"name": "car"}], "categories without an id: entry 2; mend the entries"),
        ([{"id": 1, "name": "road"}, 7], "categories without an id: entry 2; mend the entries"),
        (
            [{"id": 1, "name": "road"}, {"id": 1, "name": "car"}],
            "category ids with two names: id 1 ('road' and 'car'); give every category an id of its own",
        ),
        (
            [{"id": 1, "name": "rood"}, {"id": 7, "name": "cat"}],
            "categories that are no class of the task: 'rood' (1 annotations); "
            "add them to task.classes, or set categories: {rood: background}",
        ),
    ],
)
def test_a_category_with_a_fault_is_named(tmp_path, known, line):
    assert lines(coco_set(tmp_path, [GOOD], known=known), tmp_path) == [f"coco.json: {line}"]


def unmapped(root, names, task, **options):
    known = [{"id": place, "name": name} for place, name in enumerate(names)]
    notes = [note(place, place, [box(0, 0, 4, 4)]) for place in range(len(names))]
    _, found = coco.join(coco_set(root, notes, known=known, **options), root, task)
    return [finding.facts["categories"] for finding in found if finding.kind == "unknown_class"]


def test_a_map_is_proposed_for_categories_that_are_no_class(tmp_path):
    street = Task(kind="multiclass", classes=("Main Road", "car"))
    assert unmapped(tmp_path, ["main_road", "cars", "zebra"], street) == [
        {"main_road": "Main Road", "cars": "car", "zebra": "ignore"}
    ]
    assert unmapped(tmp_path, ["lungs", "left_hand"], PLANES) == [{"lungs": "lung", "left_hand": "background"}]
    assert unmapped(tmp_path, ["building"], BINARY) == [{"building": "roof"}]
    assert unmapped(tmp_path, ["building", "tree"], BINARY) == [{"building": "background", "tree": "background"}]
    assert unmapped(tmp_path, ["building", "tree"], BINARY, categories={"building": "roof"}) == [
        {"building": "roof", "tree": "background"}
    ]
    assert unmapped(tmp_path, ["roof", "tree"], BINARY, categories={"1": "ignore"}) == []


def test_names_are_written_so_that_yaml_reads_them_as_text(tmp_path):
    known = [{"id": 1, "name": "3"}, {"id": 7, "name": "no"}, {"id": 8, "name": "a: b"}]
    notes = [note(place, number, [box(0, 0, 4, 4 + place)]) for place, number in enumerate((1, 7, 8, 8))]
    assert lines(coco_set(tmp_path, notes, known=known), tmp_path) == [
        "coco.json: categories that are no class of the task: '3' (1 annotations), 'no' (1 annotations), "
        "'a: b' (2 annotations); add them to task.classes, or set categories: "
        '{"3": background, "no": background, "a: b": background}'
    ]


def test_a_map_that_names_no_category_is_refused(tmp_path):
    block = coco_set(tmp_path, [GOOD], categories={"rood": "car", "1": "road"})
    assert lines(block, tmp_path) == [
        "coco.json: categories names 'rood' (did you mean 'road'?), which no label here is called; "
        "there are: '1', 'road', '7', 'car'"
    ]


def test_categories_of_one_name(tmp_path):
    known = [{"id": 0, "name": "road"}, {"id": 1, "name": "road"}, {"id": 7, "name": "car"}]
    block = coco_set(tmp_path, [GOOD], known=known)
    source, found = coco.join(block, tmp_path, SCENES)
    assert found == []
    assert source.notes[0] == f"{tmp_path}/coco.json: 'road' names 2 categories; id 0 has no annotation"
    block = coco_set(tmp_path, [GOOD, note(2, 0, [box(0, 0, 4, 4)])], known=known)
    _, found = coco.join(block, tmp_path, SCENES)
    assert faults_of(found) == []
    assert lines(block, tmp_path) == [
        "coco.json: category names with several ids in use: 'road' (ids 0, 1); if they differ, set categories by id"
    ]
    told = block.model_copy(update={"categories": {"0": "car", "1": "road"}})
    assert lines(told, tmp_path) == []


def test_highest_id_needs_whole_ids(tmp_path):
    block = coco_set(tmp_path, [{**GOOD, "id": "x"}], overlap="highest_id")
    assert lines(block, tmp_path) == [
        "coco.json: annotations without a whole id, under overlap: highest_id: id x of 'a'; number them"
    ]


def test_equal_faults_are_one_line_with_a_count_and_unequal_ones_are_told_in_one_run(tmp_path):
    notes = [note(number, 1, [[1, 2, 3, 4]]) for number in range(30)]
    notes += [note(40, 9, [box(0, 0, 2, 2)]), note(41, 1, [[0, 0, 4, float("nan"), 4, 0]], image=2)]
    listed = [*images("ab"), {"id": 3, "file_name": "../c.png"}]
    block = coco_set(tmp_path, notes, listed)
    _, found = coco.join(block, tmp_path, SCENES)
    assert lines(block, tmp_path) == [
        "coco.json: file names that lead out of the data folder: '../c.png'; use names below images",
        "coco.json: annotations of categories that are not listed: id 40 (category_id 9); list the categories",
        "coco.json: polygons with fewer than 3 vertices: id 0 of 'a' (polygon 1 has 2), id 1 of 'a' (polygon 1 has 2), "
        "id 2 of 'a' (polygon 1 has 2), id 3 of 'a' (polygon 1 has 2) and 26 more; mend or drop them",
        "coco.json: coordinates that are not finite: id 41 of 'b'; mend or drop them",
    ]
    assert found[2].facts == {"count": 30}
    assert [finding.keys for finding in found] == [(), ("a",), ("a",), ("b",)]


ASK = "give a COCO file with images, annotations and categories"


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", ": is empty; copy it again"),
        (b'{"images": [{"id": 1', ":1: ends too early, as if it was cut off; copy it again"),
        (
            b'{"images": [],\n "annotations": oops}',
            ":2: no valid JSON (Expecting value, column 17); mend the line",
        ),
        (
            b'{"images": "\xff"}',
            ": no valid JSON ('utf-8' codec can't decode byte 0xff in position 12: invalid start byte); "
            "save it as UTF-8 JSON",
        ),
        (b"[" * 200_000, ": is nested too deeply to be labels; give the labels in the format's own layout"),
        (b"[1, 2]", f": no COCO file: a list or a value, not an object (list); {ASK}"),
        (b'{"fish": 1}', f": no COCO file: it holds 'fish', not images; {ASK}"),
        (
            b'{"shapes": [], "imagePath": "a"}',
            ": no COCO file: it holds 'shapes', 'imagePath', not images; "
            "this looks like polygons of one image; set format: polygons",
        ),
        (b'{"images": [], "annotations": {}}', f": annotations is no list (dict); {ASK}"),
    ],
)
def test_a_file_that_is_no_coco_json_is_refused(tmp_path, content, message):
    block = coco_set(tmp_path, [GOOD])
    (tmp_path / "coco.json").write_bytes(content)
    with pytest.raises(InputError) as caught:
        coco.join(block, tmp_path, SCENES)
    assert str(caught.value) == f"{tmp_path}/coco.json{message}"
    assert caught.value.kind == "bad_label_file"


def test_an_absent_file_or_folder_is_refused(tmp_path):
    block = coco_set(tmp_path, [GOOD])
    for name, message in (
        ("annotations", "nothing: no such file or folder; check the path"),
        ("images", "nothing: no such folder; check data.root and the folder's name"),
    ):
        with pytest.raises(InputError) as caught:
            coco.join(block.model_copy(update={name: "nothing"}), tmp_path, SCENES)
        assert str(caught.value) == f"{tmp_path}/{message}"


def test_a_file_that_lists_nothing(tmp_path):
    assert lines(coco_set(tmp_path, [], []), tmp_path) == ["coco.json: lists no images; give the file that does"]


def test_the_size_that_was_labelled_must_be_the_images(tmp_path):
    source, found = coco.join(coco_set(tmp_path, [GOOD]), tmp_path, SCENES)
    assert found == []
    says = f"{tmp_path}/coco.json: 'a' has 12 x 16 pixels here (height x width), its image"
    for shape, message, kind in (
        ((12, 17), "12 x 17; take the images that were labelled", "size_mismatch"),
        (
            (16, 12),
            "16 x 12: height and width are swapped; turn the labels, or the image if its viewer turned it (EXIF)",
            "size_transposed",
        ),
        (
            (24, 32),
            "24 x 32: the same proportions at another scale; scale the labels, or take the images they were drawn on",
            "size_scaled",
        ),
    ):
        with pytest.raises(InputError) as caught:
            source.read_label("a", shape, SCENES)
        assert str(caught.value) == f"{says} {message}"
        assert caught.value.kind == kind


def test_where_the_json_names_no_size_the_file_does(tmp_path):
    block = coco_set(tmp_path, [note(1, 1, {"size": [6, 8], "counts": [48]})], [{"id": 1, "file_name": "a.png"}])
    assert lines(block, tmp_path) == [
        "coco.json: run lengths of another size than the image: id 1 of 'a' (6 x 8 for 12 x 16); encode them anew"
    ]
    (tmp_path / "images/a.png").write_bytes(b"no picture")
    source, found = coco.join(block, tmp_path, SCENES)
    assert found == []
    with pytest.raises(InputError) as caught:
        source.read_label("a", SIZE, SCENES)
    assert str(caught.value) == (
        f"{tmp_path}/coco.json: 'a': the run lengths add up to 48, the mask has 12 x 16 = 192 pixels; "
        "make the image the size that was labelled"
    )


def test_keys_that_differ_in_case_alone(tmp_path):
    block = coco_set(tmp_path, [GOOD], images("aA"))
    assert lines(block, tmp_path) == [
        "coco.json: keys 'a' and 'A' differ only in case; rename one, some disks see one file"
    ]


def test_names_that_no_terminal_can_show_are_spelt_out(tmp_path):
    odd = "\ud800\x1b[31m"
    listed = [*images("a"), {"id": 9, "file_name": f"{odd}.jpg"}]
    block = coco_set(tmp_path, [note(odd, 1, None)], listed, known=[{"id": 1, "name": odd}])
    assert lines(block, tmp_path) == [
        "coco.json: file names that lead out of the data folder: '\\ud800\\x1b[31m.jpg'; use names below images",
        "coco.json: annotations without a segmentation: id \\ud800\\x1b[31m of 'a'; "
        "add it, or set missing_outline: skip or box",
        "coco.json: categories that are no class of the task: '\\ud800\\x1b[31m' (1 annotations); "
        'add them to task.classes, or set categories: {"\\\\ud800\\\\x1b[31m": background}',
    ]


def test_keys_of_the_file_are_what_an_unlabelled_test_set_has_too(tmp_path):
    coco_set(tmp_path, [GOOD])
    (tmp_path / "test.json").write_text(json.dumps({"images": images("ab")}), encoding="utf-8")
    source, found = coco.join(CocoSource(images="images", annotations="test.json"), tmp_path, SCENES)
    assert (found, source.keys, source.labelled) == ([], ("a", "b"), False)
