"""The verb init: from a folder to a commented recipe that inspect accepts."""

import json

import numpy as np
import pytest
from cli_helpers import draw, tree
from PIL import Image
from ruamel.yaml import YAML

from maskwright.core.rle import encode


@pytest.fixture
def guessed(cli, tmp_path):
    """Guess a recipe of `set`, check that inspect takes it, and return it with what was said."""

    def call(*overrides):
        code, out, err = cli("init", "set", "-o", "guessed.yaml")
        assert code == 0, err
        code, _, err = cli("inspect", "guessed.yaml", "--json", *overrides)
        assert code == 0, err
        return YAML(typ="safe", pure=True).load((tmp_path / "guessed.yaml").read_text()), out

    return call


@pytest.fixture
def place(tmp_path):
    """Draw images and return their masks; save(path, array) below `set`."""
    root = tmp_path / "set"

    def save(path, array, **options):
        (root / path).parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(array).save(root / path, **options)

    def items(folder="images", count=8, names="s{}", suffix=".png"):
        rng = np.random.default_rng(list(names.encode()))  # other names, other pictures: copies would be leaks
        masks = {}
        for index in range(count):
            image, mask = draw(rng)
            name = names.format(index)
            save(f"{folder}/{name}{suffix}", image)
            masks[name] = mask
        return masks

    items.save, items.root = save, root
    return items


def test_masks_of_0_and_255(guessed, place):
    for name, mask in place().items():
        place.save(f"masks/{name}.png", mask)
    recipe, out = guessed()
    assert recipe["task"] == {"kind": "binary", "classes": ["foreground"]}
    train = {"format": "folder", "images": "images", "masks": "masks", "values": {0: 0, 255: 1}}
    assert recipe["data"] == {"root": "set", "train": train}
    assert recipe["folds"] == {"kind": "stratified", "count": 4}
    assert recipe["members"]["unet"]["train"]["crop"] == 32
    assert recipe["output"][0] == {"format": "masks", "values": {0: 0, 1: 255}}
    assert "guessed: 0 is taken for background and 255 for the class\n" in out
    assert out.endswith("mend the lines marked 'guessed', then: maskwright inspect guessed.yaml --augment\n")


def test_masks_beside_their_images_by_suffix(guessed, place):
    for name, mask in place("all").items():
        place.save(f"all/{name}_mask.png", mask)
    recipe, _ = guessed()
    assert recipe["data"]["train"] == {
        "format": "folder",
        "images": "all",
        "masks": "all",
        "mask_suffix": "_mask",
        "values": {0: 0, 255: 1},
    }


def test_splits_ids_ignore_names_and_sequences(guessed, place):
    for split, start in (("train", 0), ("val", 9)):
        for name, mask in place(f"{split}/images", names=f"cam{start}_00{{}}").items():
            label = (mask > 0).astype(np.uint8)
            label[:4], label[-2:] = 2, 255
            place.save(f"{split}/labels/{name}_gt.png", label)
    for index, (name, mask) in enumerate(place("train/images", 4, "rear_00{}").items()):
        place.save(f"train/labels/{name}_gt.png", (mask > 0).astype(np.uint8) + (index == 0))
    (place.root / "classes.txt").write_text("road\ncar\ntree\n")
    recipe, out = guessed()
    assert recipe["task"] == {"kind": "multiclass", "classes": ["road", "car", "tree"], "ignore": 255}
    block = {"format": "folder", "images": "train/images", "masks": "train/labels", "mask_suffix": "_gt"}
    assert recipe["data"]["train"] == block
    assert recipe["data"]["test"] == {**block, "images": "val/images", "masks": "val/labels"}
    assert recipe["folds"] == {"kind": "grouped", "count": 2, "group": "^([^_/.-]+)[_/.-]"}
    assert "guessed: 3 class names were found in a list" in out


def test_colours_of_a_class_dict(guessed, place):
    rows = {"sky": (0, 0, 128), "roof": (128, 0, 0)}
    for name, mask in place().items():
        place.save(f"labels/{name}.png", np.where(mask[..., None] > 0, rows["roof"], rows["sky"]).astype(np.uint8))
    listed = [",".join(map(str, (name, *colour))) for name, colour in rows.items()]
    (place.root / "class_dict.csv").write_text("name,r,g,b\n" + "\n".join(listed) + "\n")
    recipe, _ = guessed()
    assert recipe["task"]["classes"] == ["sky", "roof"]
    assert recipe["data"]["train"]["encoding"] == "rgb"
    assert recipe["data"]["train"]["palette"] == {"sky": [0, 0, 128], "roof": [128, 0, 0]}


def test_numbered_objects(guessed, place):
    for name, mask in place().items():
        label = np.zeros(mask.shape, np.uint16)
        for number in range(1, 61):
            label[number // 8 * 5 : number // 8 * 5 + 4, number % 8 * 5 : number % 8 * 5 + 4] = number
        place.save(f"masks/{name}.png", label)
    recipe, out = guessed()
    assert recipe["data"]["train"]["encoding"] == "instances"
    assert recipe["task"] == {"kind": "binary", "classes": ["object"]}
    assert "one for each object, not for a class" in out


def test_run_lengths_of_several_classes(guessed, place):
    rows = ["image_name,class,rle"]
    for name, mask in place().items():
        rows.append(f"{name}.png,lung,{encode(mask > 0, order='row', base=1)}")
        rows.append(f"{name}.png,heart,{encode((mask > 0) & (np.arange(40) < 20), order='row', base=1)}")
    (place.root / "labels.csv").write_text("\n".join(rows) + "\n")
    recipe, out = guessed("data.train.order=row")
    assert recipe["task"] == {"kind": "multilabel", "classes": ["lung", "heart"]}
    assert recipe["data"]["train"]["class_column"] == "class"
    assert recipe["output"][1]["rle_column"] == "rle"
    assert "guessed: run lengths go by " in out


def outline(mask):
    rows, cols = np.nonzero(mask)
    top, left, bottom, right = (int(value) for value in (rows.min(), cols.min(), rows.max() + 1, cols.max() + 1))
    return [[left, top], [right, top], [right, bottom], [left, bottom]]


def test_coco_and_objects_that_lie_on_objects(guessed, place):
    images, annotations = [], []
    for number, (name, mask) in enumerate(place().items()):
        images.append({"id": number, "file_name": f"{name}.png", "height": 40, "width": 40})
        small = outline(mask)
        for category, ring in ((1, [[0, 0], [40, 0], [40, 40], [0, 40]]), (2, small)):
            flat = [float(value) for point in ring for value in point]
            annotations.append({"id": len(annotations), "image_id": number, "category_id": category, "iscrowd": 0}
                               | {"segmentation": [flat]})  # fmt: skip
    held = {"images": images, "annotations": annotations}
    held["categories"] = [{"id": 1, "name": "facade"}, {"id": 2, "name": "window"}, {"id": 3, "name": "unused"}]
    (place.root / "instances.json").write_text(json.dumps(held))
    recipe, out = guessed()
    assert recipe["task"] == {"kind": "multiclass", "classes": ["facade", "window"]}
    assert recipe["data"]["train"]["annotations"] == "instances.json"
    assert "lie within one another: objects lie on objects or apart, so multiclass" in out


def test_outlines_one_file_an_image(guessed, place):
    for name, mask in place().items():
        shapes = [{"label": "roof", "points": outline(mask)}]
        path = place.root / "json" / f"{name}.json"
        path.parent.mkdir(exist_ok=True)
        path.write_text(json.dumps({"shapes": shapes, "imageHeight": 40, "imageWidth": 40}))
    recipe, _ = guessed()
    assert recipe["task"] == {"kind": "binary", "classes": ["roof"]}
    assert recipe["data"]["train"] == {"format": "polygons", "images": "images", "annotations": "json"}
    path.write_text(json.dumps({"shapes": [*shapes, {"label": "roof", "points": [[3, 3]]}]}))
    (place.root.parent / "guessed.yaml").unlink()
    recipe, out = guessed()
    assert recipe["data"]["train"]["vertices"] == "centres"
    assert "some outlines have one or two vertices, as contour tracers write them (vertices: centres)" in out


def test_a_table_of_paths(guessed, place):
    rows = ["picture,mask_file"]
    for index, (name, mask) in enumerate(place("a").items()):
        place.save(f"b/m{9 - index}.png", mask)
        rows.append(f"a/{name}.png,b/m{9 - index}.png")
    (place.root / "train.csv").write_text("\n".join(rows) + "\n")
    recipe, _ = guessed()
    assert recipe["data"]["train"]["format"] == "csv"
    assert recipe["data"]["train"]["mask_column"] == "mask_file"


def test_what_cannot_be_guessed_is_refused_and_nothing_is_written(cli, place, tmp_path):
    place()
    (place.root / "buildings.geojson").write_text("{}")
    before = tree(tmp_path)
    code, _, err = cli("init", "set")
    assert code == 2
    assert err == (
        "error: set: images in images (8), but no labels for them: no masks, run lengths, COCO or outlines that join; "
        "buildings.geojson cannot be read as labels of them; write a recipe by hand (see maskwright recipes)\n"
    )
    assert cli("init", "nowhere")[2] == (
        "error: nowhere: no such folder; give the folder that holds images and labels\n"
    )
    (tmp_path / "empty").mkdir()
    assert cli("init", "empty")[2] == "error: empty: no images; give the folder that holds images and labels\n"
    (tmp_path / "empty").rmdir()
    assert tree(tmp_path) == before


def test_a_recipe_that_is_there_is_kept(cli, place, tmp_path):
    (tmp_path / "recipe.yaml").write_text("mine")
    code, _, err = cli("init", "set")
    assert (code, err) == (2, "error: recipe.yaml: is there already; give another -o, or move it away\n")
    assert (tmp_path / "recipe.yaml").read_text() == "mine"


def test_links_out_of_the_folder_and_odd_names_are_passed_over(guessed, place, tmp_path):
    for name, mask in place().items():
        place.save(f"masks/{name}.png", mask)
    (tmp_path / "secret").mkdir()
    (tmp_path / "secret" / "masks.csv").write_text("a,b\n1,2\n")
    (place.root / "out").symlink_to(tmp_path / "secret")
    (place.root / "x.csv").symlink_to(tmp_path / "secret" / "masks.csv")
    recipe, out = guessed()
    assert recipe["data"]["train"]["masks"] == "masks"
    assert "secret" not in out


@pytest.mark.parametrize(
    "text",
    [
        "[" * 5000,
        '{"images": [{"id": [1], "file_name": ".."}, 7, {"file_name": "\\u0000"}],'
        ' "annotations": [3, {"category_id": {}}]}',
        '{"images": [{"id": 1, "file_name": "../s0.png"}], "annotations": [{"category_id": 1, "segmentation": 5}],'
        ' "categories": [{"id": 1, "name": null}, {"id": 1, "name": "a"}]}',
        '{"shapes": [{"label": "a", "points": "b"}, [], 5]}',
        "\x00\x01",
    ],
)
def test_hostile_label_files_are_no_labels_and_no_bug(cli, place, text):
    place()
    for name in ("labels.json", "labels.csv", "classes.txt", "json/s0.json", "json/s1.json"):
        (place.root / name).parent.mkdir(exist_ok=True)
        (place.root / name).write_text(text)
    (place.root / "more.csv").write_text("ImageId,EncodedPixels\n../s0,1 2\n/etc/passwd,3 4\n")
    (place.root / "paths.csv").write_text("image,mask\n../../a.png,/etc/passwd.png\n")
    code, _, err = cli("init", "set")
    assert code == 2
    assert err.startswith("error: set: images in images (8), but no labels for them")
